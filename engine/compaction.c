/* compaction.c - tables to fewer tables: size-tiered, one at a time.
 *
 * Tables of about one size are a tier: each tier is four times the one before, beginning at the memtable's size. When
 * four tables of a tier are there they are merged into one, which is then of a higher tier. A key is so written about
 * once a tier, and there are at most three tables a tier and one in the making (O'Neil et al., "The Log-Structured
 * Merge-Tree", 1996, in its tiered form).
 *
 * A tombstone, or a record that has expired, is dropped when nothing older than the merge is left outside of it. A bad
 * block ends the merge: its table is left as it is, served where it can be, and not merged again until the next start,
 * so damage never spreads. */
#include "engine/build.h"

enum { TIER_TABLES = 4, TIER_FACTOR = 4, TIERS_MAX = 16 };

/* What one merge reads at the most: its table stays below the 4 GiB that a table may have. Tables of about a third of it
 * are not merged any further. */
#define MERGE_BYTES_MAX (3ull << 30)

static uint32_t tier_of(const struct engine *e, const struct table_ref *t)
{
    uint64_t limit = e->options.memtable_bytes * 2;
    uint32_t tier = 0;
    for (; tier + 1 < TIERS_MAX && table_summary(t->table)->bytes > limit; tier++)
        limit *= TIER_FACTOR;
    return tier;
}

struct picked {
    struct table_ref *tables[COMPACTION_TABLES_MAX];
    uint32_t count;
    uint32_t tier;
};

/* The lowest tier with enough tables; of it the oldest. */
static bool pick(const struct engine *e, struct picked *p)
{
    for (uint32_t tier = 0; tier < TIERS_MAX; tier++) {
        *p = (struct picked){.tier = tier};
        uint64_t bytes = 0;
        for (uint32_t i = e->tables->count; i-- > 0 && p->count < COMPACTION_TABLES_MAX;) {
            struct table_ref *t = e->tables->tables[i];
            uint64_t with_this = bytes + table_summary(t->table)->bytes;
            if (t->is_damaged || tier_of(e, t) != tier || with_this > MERGE_BYTES_MAX)
                continue;
            bytes = with_this;
            p->tables[p->count++] = t;
        }
        if (p->count >= TIER_TABLES)
            return true;
    }
    return false;
}

static bool is_picked(const struct picked *p, const struct table_ref *t)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->tables[i] == t)
            return true;
    return false;
}

/* Nothing outside of the merge is as old as the newest in it. */
static bool is_bottom(const struct table_set *set, const struct picked *p)
{
    uint64_t newest = 0;
    for (uint32_t i = 0; i < p->count; i++)
        newest = p->tables[i]->clock_max > newest ? p->tables[i]->clock_max : newest;
    for (uint32_t i = 0; i < set->count; i++)
        if (!is_picked(p, set->tables[i]) && table_summary(set->tables[i]->table)->clock_min <= newest)
            return false;
    return true;
}

static int merge_picked(struct engine *e, const struct picked *p, const struct table_set *set, struct table_ref **out)
{
    struct merge merge;
    struct build build = {
        .merge = &merge,
        .level = p->tier + 1,
        .drops_dead = is_bottom(set, p),
        .now_ms = reactor_wall_ms(e->reactor),
    };
    int rc = merge_init(&merge, e->reactor, p->count);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < p->count; i++)
        merge_add_table(&merge, p->tables[i]->table, TABLE_CURSOR_BULK);
    rc = engine_build_table(e, &build, out);
    if (rc && build.is_input_bad && rc != TORC_E_CANCELLED)
        for (uint32_t i = 0; i < p->count; i++)
            p->tables[i]->is_damaged = true;
    merge_deinit(&merge);
    return rc;
}

static int compact_once(struct engine *e, const struct picked *p)
{
    struct table_set *set = e->tables;
    struct table_ref *merged;
    table_set_hold(set);
    int rc = merge_picked(e, p, set, &merged);
    if (rc == 0) {
        struct tables_change change = {
            .added = merged,
            .created_ms = reactor_wall_ms(e->reactor),
            .removed = p->tables,
            .removed_count = p->count,
        };
        rc = engine_change_tables(e, &change);
        if (rc == 0) {
            e->counters.compactions++;
            e->counters.compacted_bytes += merged ? table_summary(merged->table)->bytes : 0;
        }
    }
    table_set_release(set);
    return rc;
}

static void compact(struct reactor *r, void *context)
{
    struct engine *e = context;
    struct picked picked;
    (void)r;
    while (!e->is_closing && !e->is_failed && pick(e, &picked)) {
        int rc = compact_once(e, &picked);
        if (rc == 0) {
            engine_tell_recovered(e);
        } else if (rc != TORC_E_CANCELLED) {
            engine_tell_failure(e, "compaction", rc);
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
