/* compaction.c - runs of tables to fewer runs: size-tiered, one merge at a time.
 *
 * Runs of about one size are a tier: each tier is four times the one before, beginning at the memtable's
 * size. When four runs of a tier are there they are merged into one, which is then of a higher tier. A key is
 * so written about once a tier, and there are at most three runs a tier and one in the making (O'Neil et al.,
 * "The Log-Structured Merge-Tree", 1996, in its tiered form).
 *
 * A tombstone, or a record that has expired, is dropped when no run outside of the merge may hold an older
 * version of its key: the filters tell. What is in memtables is newer than what is in tables, since versions
 * are stamped in ascending order. A bad block ends the merge: its run is left as it is, served where it can
 * be, and not merged again until the next start, so damage never spreads. */
#include "engine/build.h"
#include "reactor/base/mark.h"

enum { TIER_RUNS = 4, TIER_FACTOR = 4, TIERS_MAX = 16 };

struct picked {
    const struct table_run *runs[COMPACTION_RUNS_MAX]; /* of `set` */
    uint32_t count;
    uint32_t tier;
    uint32_t table_count;  /* of all of them */
    struct table_set *set; /* held */
};

/* ---- what to merge ---- */

static uint64_t run_bytes(const struct table_run *run)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < run->count; i++)
        bytes += table_summary(run->tables[i]->table)->bytes;
    return bytes;
}

static uint32_t tier_of(const struct engine *e, const struct table_run *run)
{
    uint64_t bytes = run_bytes(run);
    uint64_t limit = e->options.memtable_bytes * 2;
    uint32_t tier = 0;
    for (; tier + 1 < TIERS_MAX && bytes > limit; tier++)
        limit *= TIER_FACTOR;
    return tier;
}

static bool is_damaged(const struct table_run *run)
{
    for (uint32_t i = 0; i < run->count; i++)
        if (run->tables[i]->is_damaged)
            return true;
    return false;
}

/* The run that holds most of what is to leave value logs that are collected: with nothing else to do it is
 * written again, and its values move. */
static bool pick_for_values(const struct engine *e, struct picked *p)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < p->set->run_count; i++) {
        const struct table_run *run = &p->set->runs[i];
        uint64_t bytes = 0;
        for (uint32_t j = 0; j < run->count; j++)
            bytes += values_collectable_bytes(e, &run->tables[j]->values);
        if (bytes <= most || is_damaged(run))
            continue;
        most = bytes;
        p->runs[0] = run;
        p->count = 1;
        p->table_count = run->count;
    }
    p->tier = p->count ? p->runs[0]->tables[0]->level - 1 : 0; /* it stays as deep as it is */
    return p->count > 0;
}

/* The lowest tier with enough runs; of it the oldest. */
static bool pick(const struct engine *e, struct picked *p)
{
    struct table_set *set = e->tables;
    for (uint32_t tier = 0; tier < TIERS_MAX; tier++) {
        *p = (struct picked){.tier = tier, .set = set};
        for (uint32_t i = set->run_count; i-- > 0 && p->count < COMPACTION_RUNS_MAX;)
            if (tier_of(e, &set->runs[i]) == tier && !is_damaged(&set->runs[i])) {
                p->runs[p->count++] = &set->runs[i];
                p->table_count += set->runs[i].count;
            }
        if (p->count >= TIER_RUNS)
            return true;
    }
    *p = (struct picked){.set = set};
    return pick_for_values(e, p);
}

static bool is_picked(const struct picked *p, const struct table_run *run)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->runs[i] == run)
            return true;
    return false;
}

/* ---- the merge ---- */

/* The runs outside of the merge. While writes are missing nothing is dropped: a tombstone is what is known of
 * its key. */
static int find_older(struct engine *e, const struct picked *p, struct build *b)
{
    if (e->quarantine_clock != 0)
        return 0;
    const struct table_run **older =
        reactor_alloc(e->reactor, (p->set->run_count + 1) * sizeof(struct table_run *));
    if (!older)
        return TORC_E_NO_MEMORY;
    b->older = older;
    for (uint32_t i = 0; i < p->set->run_count; i++)
        if (!is_picked(p, &p->set->runs[i]))
            older[b->older_count++] = &p->set->runs[i];
    return 0;
}

/* A table that cannot be read whole. */
static void set_aside(struct engine *e, const struct merge_source *bad, int code)
{
    struct table_ref *ref = bad->run->tables[bad->table];
    char path[ENGINE_PATH_MAX];
    engine_table_path(e, ref->number, path);
    MARK(table_that_a_merge_cannot_read_is_set_aside);
    ref->is_damaged = true;
    engine_tell(e, "table_damaged",
                "%s: %s; what is whole of it is served, and it is not merged until the next start", path,
                error_sentence(code));
}

static int merge_picked(struct engine *e, const struct picked *p, struct build *b)
{
    struct merge merge;
    int rc = merge_init(&merge, e->reactor, p->count);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < p->count; i++)
        merge_add_run(&merge, p->runs[i], TABLE_CURSOR_BULK);
    b->merge = &merge;
    rc = find_older(e, p, b);
    if (rc == 0)
        rc = engine_build_tables(e, b);
    if (b->is_input_bad)
        set_aside(e, &merge.sources[merge.bad_source], rc);
    reactor_free(e->reactor, (void *)(uintptr_t)b->older);
    merge_deinit(&merge);
    return rc;
}

/* `removed` has room for p->table_count. */
static int replace(struct engine *e, const struct picked *p, const struct build *b,
                   struct table_ref **removed)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->count; i++)
        for (uint32_t j = 0; j < p->runs[i]->count; j++)
            removed[count++] = p->runs[i]->tables[j];
    ASSERT(count == p->table_count);
    uint64_t bytes = build_bytes(b);
    int rc = engine_change_tables(e, &(struct tables_change){
                                         .added = b->tables,
                                         .added_count = b->count,
                                         .removed = removed,
                                         .removed_count = count,
                                     });
    if (rc)
        return rc;
    e->counters.compactions++;
    e->counters.compacted_bytes += bytes;
    return 0;
}

static int compact_once(struct engine *e, const struct picked *p)
{
    struct build build = {.level = p->tier + 1, .now_ms = reactor_wall_ms(e->reactor)};
    struct table_ref **removed = reactor_alloc(e->reactor, p->table_count * sizeof(struct table_ref *));
    if (!removed)
        return TORC_E_NO_MEMORY;
    table_set_hold(p->set);
    int rc = merge_picked(e, p, &build);
    if (rc == 0)
        rc = replace(e, p, &build, removed);
    bool is_known = build.is_input_bad; /* and told; other runs may be merged at once */
    build_deinit(e, &build);
    reactor_free(e->reactor, removed);
    table_set_release(p->set);
    return is_known ? TORC_E_CANCELLED : rc;
}

/* While the log or a flush waits for room a merge takes none of it: what it may write, and a file of the log,
 * must both find a place. Waits. */
static bool leaves_room(struct engine *e, const struct picked *p)
{
    if (!e->is_out_of_room && !wal_is_out_of_room(e->wal))
        return true;
    uint64_t needed = e->options.segment_bytes;
    for (uint32_t i = 0; i < p->count; i++)
        needed += run_bytes(p->runs[i]);
    uint64_t free_bytes = 0;
    int rc = directory_free_bytes(e->reactor, e->directory, &free_bytes);
    if (rc == 0 && free_bytes >= needed)
        return true;
    MARK(merge_leaves_the_room_to_the_log);
    return false;
}

static void compact(struct reactor *r, void *context)
{
    struct engine *e = context;
    struct picked picked;
    (void)r;
    while (!e->is_closing && !e->is_failed && pick(e, &picked)) {
        if (!leaves_room(e, &picked)) {
            engine_pause(e, &e->compaction_wake);
            continue;
        }
        /* There may be other tables by now. */
        int rc = pick(e, &picked) ? compact_once(e, &picked) : TORC_E_CANCELLED;
        if (rc == 0) {
            engine_tell_recovered(e, &e->compacting);
        } else if (rc != TORC_E_CANCELLED) {
            MARK(compaction_failed_and_is_tried_again);
            engine_tell_failure(e, &e->compacting, rc);
            engine_pause(e, &e->compaction_wake);
        }
    }
    e->is_compacting = false;
    engine_task_over(e);
}

void engine_wake_compaction(struct engine *e)
{
    if (e->is_compacting || e->is_closing || e->is_failed)
        return;
    e->is_compacting = task_spawn(e->reactor, compact, e) == 0; /* else after the next flush */
}
