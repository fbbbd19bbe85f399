/* flush.c - frozen memtables become tables, oldest first.
 *
 * The table is written and synced, its name is made durable, the manifest names it and says from where the
 * log is still needed; only then does the memtable go and the log shrink. A full disk is waited out; the
 * memtable stays and is served meanwhile. */
#include "engine/build.h"
#include "reactor/base/mark.h"

static void edit_log_start(void *context, struct manifest_numbers *n)
{
    struct engine *e = context;
    n->log_start = wal_start_at(e->wal, e->frozen[0].last_sequence + 1);
    if (memtable_clock_max(e->frozen[0].memtable) > n->clock_max)
        n->clock_max = memtable_clock_max(e->frozen[0].memtable);
}

/* Tables are older than memtables. While writes are missing a tombstone is kept: it is what is known of its
 * key. */
static int find_older(struct engine *e, const struct table_set *set, struct build *b)
{
    if (e->quarantine_clock != 0)
        return 0;
    const struct table_run **older =
        reactor_alloc(e->reactor, (set->run_count + 1) * sizeof(struct table_run *));
    if (!older)
        return TORC_E_NO_MEMORY;
    for (uint32_t i = 0; i < set->run_count; i++)
        older[i] = &set->runs[i];
    b->older = older;
    b->older_count = set->run_count;
    return 0;
}

static int build_oldest(struct engine *e, struct build *b)
{
    struct merge merge;
    struct table_set *set = e->tables;
    uint32_t vnode_end = (uint32_t)e->options.vnode_first + e->options.vnode_count;
    int rc = merge_init(&merge, e->reactor, 1);
    if (rc)
        return rc;
    table_set_hold(set);
    b->merge = &merge;
    b->now_ms = reactor_wall_ms(e->reactor);
    rc = find_older(e, set, b);
    if (rc == 0) {
        merge_add_memtable(&merge, e->frozen[0].memtable, e->options.vnode_first, vnode_end);
        rc = engine_build_tables(e, b);
    }
    reactor_free(e->reactor, (void *)(uintptr_t)b->older);
    merge_deinit(&merge);
    table_set_release(set);
    return rc;
}

enum { ROWS_PER_YIELD = 128 };

struct forgetting {
    struct engine *engine;
    uint32_t count;
};

static void forget_row(void *context, uint32_t tag)
{
    struct forgetting *f = context;
    row_cache_remove(f->engine->rows, tag);
    if (++f->count % ROWS_PER_YIELD == 0) /* one vnode may have them all; frozen, it stays as it is */
        task_yield_if_due(f->engine->reactor);
}

/* The row cache may hold older versions of what is now in a table: until they are gone the memtable hides
 * them. */
static void forget_rows(struct engine *e)
{
    struct forgetting f = {.engine = e};
    for (uint32_t i = 0; i < e->options.vnode_count; i++) {
        memtable_each_tag(e->frozen[0].memtable, (uint16_t)(e->options.vnode_first + i), forget_row, &f);
        task_yield_if_due(e->reactor);
    }
}

static void drop_oldest(struct engine *e)
{
    struct memtable *flushed = e->frozen[0].memtable;
    e->frozen_count--;
    memmove(&e->frozen[0], &e->frozen[1], e->frozen_count * sizeof e->frozen[0]);
    engine_refresh_clock(e);
    memtable_release(flushed); /* waits sometimes */
}

static int flush_oldest(struct engine *e)
{
    struct build build = {.level = 0};
    int rc = build_oldest(e, &build);
    if (rc == 0) {
        uint64_t bytes = build_bytes(&build);
        rc = engine_change_tables(e, &(struct tables_change){
                                         .added = build.tables,
                                         .added_count = build.count,
                                         .edit = edit_log_start,
                                         .context = e,
                                     });
        e->counters.flushed_bytes += rc == 0 ? bytes : 0;
    }
    build_deinit(e, &build);
    if (rc)
        return rc;
    forget_rows(e);
    drop_oldest(e);
    e->counters.flushes++;
    /* An older copy of the manifest would need the old log. */
    if (manifest_copies(e->manifest) < 2)
        MARK(log_is_kept_for_the_older_manifest_copy);
    else
        wal_truncate(e->wal, manifest_state(e->manifest)->numbers.log_start);
    return 0;
}

static void flush(struct reactor *r, void *context)
{
    struct engine *e = context;
    (void)r;
    while (e->frozen_count > 0 && !e->is_closing && !e->is_failed) {
        int rc = flush_oldest(e);
        if (rc == 0 || rc == TORC_E_DISK_FULL)
            e->is_out_of_room = rc != 0;
        if (rc == 0) {
            engine_tell_recovered(e, &e->flushing);
            engine_freeze_if_full(e);
            engine_wake_compaction(e);
        } else if (rc != TORC_E_CANCELLED) {
            if (rc == TORC_E_DISK_FULL)
                MARK(flush_finds_the_disk_full);
            else
                MARK(flush_failed_and_is_tried_again);
            engine_tell_failure(e, &e->flushing, rc);
            engine_pause(e, &e->flush_wake);
        }
    }
    e->is_flushing = false;
    engine_task_over(e);
}

void engine_wake_flush(struct engine *e)
{
    if (e->is_flushing || e->is_closing || e->is_failed || e->frozen_count == 0)
        return;
    e->is_flushing = task_spawn(e->reactor, flush, e) == 0; /* else with the next frozen memtable */
}
