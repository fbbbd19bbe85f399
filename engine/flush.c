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
    b->older = set->runs; /* tables are older than memtables */
    b->older_count = set->run_count;
    merge_add_memtable(&merge, e->frozen[0].memtable, e->options.vnode_first, vnode_end);
    merge_for_the_last_time(&merge);
    rc = engine_build_tables(e, b);
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

/* As in the flush before: in the memtable large values are part of their entries still. */
static uint64_t usual_entry_bytes(const struct engine *e)
{
    const struct memtable *m = e->frozen[0].memtable;
    uint64_t entries = memtable_entries(m), bytes = entries ? memtable_used_bytes(m) / entries : 0;
    if (e->flushed_entry_bytes)
        return e->flushed_entry_bytes;
    return bytes < e->options.value_log_bytes_min ? bytes : 0;
}

static int flush_oldest(struct engine *e)
{
    uint64_t begun_ns = reactor_clock_ns(e->reactor);
    uint64_t memtable_bytes = memtable_used_bytes(e->frozen[0].memtable);
    struct build build = {
        .entry_bytes = usual_entry_bytes(e),
        .table_bytes = build_table_bytes_of_run(e, memtable_bytes),
    };
    int rc = build_oldest(e, &build);
    if (rc == 0) {
        uint64_t bytes = build_bytes(&build), entry_bytes = build_entry_bytes(build.tables, build.count);
        rc = engine_change_tables(e, &(struct tables_change){
                                         .added = build.tables,
                                         .added_count = build.count,
                                         .edit = edit_log_start,
                                         .context = e,
                                     });
        e->counters.flushed_bytes += rc == 0 ? bytes : 0;
        e->flushed_entry_bytes = entry_bytes;
    }
    build_deinit(e, &build);
    if (rc)
        return rc;
    forget_rows(e);
    drop_oldest(e);
    e->counters.flushes++;
    pace_flushed(&e->pace, memtable_bytes, reactor_clock_ns(e->reactor) - begun_ns);
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
            e->is_idle = false;
            engine_wake_compaction(e);
            engine_look_later(e);
            engine_wake_scrub(e);
        } else if (rc != TORC_E_CANCELLED) {
            if (rc == TORC_E_DISK_FULL)
                MARK(flush_finds_the_disk_full);
            else
                MARK(flush_failed_and_is_tried_again);
            engine_tell_failure(e, &e->flushing, rc);
            engine_pause(e, &e->flush_wake, RETRY_NS);
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
