/* flush.c - frozen memtables become tables, oldest first.
 *
 * The table is written and synced, its name is made durable, the manifest names it and says from where the log is still
 * needed; only then does the memtable go and the log shrink. A full disk is waited out; the memtable stays and is
 * served meanwhile. */
#include "engine/build.h"

static void edit_log_start(void *context, struct manifest_numbers *n)
{
    struct engine *e = context;
    n->log_start = wal_start_at(e->wal, e->frozen[0].last_sequence + 1);
    if (memtable_clock_max(e->frozen[0].memtable) > n->clock_max)
        n->clock_max = memtable_clock_max(e->frozen[0].memtable);
}

static int build_oldest(struct engine *e, struct table_ref **out)
{
    struct merge merge;
    struct build build = {.merge = &merge};
    uint32_t vnode_end = (uint32_t)e->options.vnode_first + e->options.vnode_count;
    int rc = merge_init(&merge, e->reactor, 1);
    if (rc)
        return rc;
    merge_add_memtable(&merge, e->frozen[0].memtable, e->options.vnode_first, vnode_end);
    rc = engine_build_table(e, &build, out);
    merge_deinit(&merge);
    return rc;
}

static void drop_oldest(struct engine *e)
{
    struct memtable *flushed = e->frozen[0].memtable;
    e->frozen_count--;
    memmove(&e->frozen[0], &e->frozen[1], e->frozen_count * sizeof e->frozen[0]);
    memtable_release(flushed);
    engine_refresh_clock(e);
}

static int flush_oldest(struct engine *e)
{
    struct table_ref *ref;
    int rc = build_oldest(e, &ref);
    if (rc)
        return rc;
    struct tables_change change = {
        .added = ref,
        .created_ms = reactor_wall_ms(e->reactor),
        .edit = edit_log_start,
        .context = e,
    };
    rc = engine_change_tables(e, &change);
    if (rc)
        return rc;
    drop_oldest(e);
    e->counters.flushes++;
    e->counters.flushed_bytes += ref ? table_summary(ref->table)->bytes : 0;
    if (e->wal)
        wal_truncate(e->wal, manifest_state(e->manifest)->numbers.log_start);
    return 0;
}

static void flush(struct reactor *r, void *context)
{
    struct engine *e = context;
    (void)r;
    while (e->frozen_count > 0 && !e->is_closing && !e->is_failed) {
        int rc = flush_oldest(e);
        if (rc == 0) {
            engine_tell_recovered(e);
            engine_freeze_if_full(e);
            engine_wake_compaction(e);
        } else if (rc != TORC_E_CANCELLED) {
            engine_tell_failure(e, "flush", rc);
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
