/* engine_bench_large.c - tables of 64-byte keys and 1,000-byte values: what they pin, and how fast they
 * merge. */
#include "bench/engine/engine_bench.h"
#include "engine/build.h"

#define SECOND_NS 1e9
#define MIB 1048576.0

static uint64_t bytes_of_runs(const struct table_set *set)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < set->count; i++)
        bytes += table_summary(set->tables[i]->table)->bytes;
    return bytes;
}

/* Merges all runs into new tables that nobody reads; the engine's own stay. */
static void merge_runs(struct bench *b, struct rig *rig)
{
    struct engine *e = rig->engine;
    struct merge merge;
    rig_check(merge_init(&merge, e->reactor, e->tables->run_count), "merge_init");
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        merge_add_run(&merge, &e->tables->runs[i], TABLE_CURSOR_BULK);
    struct build build = {.merge = &merge, .level = 1, .now_ms = reactor_wall_ms(e->reactor)};
    uint64_t began_ns = reactor_clock_ns(b->reactor);
    rig_check(engine_build_tables(e, &build), "engine_build_tables");
    double took_s = (double)(reactor_clock_ns(b->reactor) - began_ns) / SECOND_NS;
    bench_tell("merge_read", (double)bytes_of_runs(e->tables) / MIB / took_s, "MiB/s");
    bench_tell("merge_records", (double)rig->put_count / took_s, "records/s");
    for (uint32_t i = 0; i < build.count; i++) {
        char path[ENGINE_PATH_MAX];
        engine_table_path(e, build.tables[i]->number, path);
        table_close(build.tables[i]->table);
        reactor_free(e->reactor, build.tables[i]);
        rig_check(file_remove(e->reactor, path), path);
    }
    build_deinit(e, &build);
    merge_deinit(&merge);
}

void measure_tables(struct bench *b)
{
    struct rig rig = {.sample = {64, 1000}};
    bench_open(b, &rig, "tables");
    rig_fill(&rig, 0, b->large / 2);
    rig_flush(&rig);
    rig_fill(&rig, b->large / 4, b->large / 2); /* half of them are overwritten */
    rig_flush(&rig);
    struct engine_counters c = engine_counters(rig.engine);
    uint64_t records = b->large / 2 * 2;
    bench_tell("pinned_per_key", (double)c.table_pinned_bytes / (double)records, "bytes");
    bench_tell("table_bytes_per_user_byte", (double)c.table_bytes / ((double)records * (64 + 1000)), "");
    merge_runs(b, &rig);
    rig_close(&rig);
}
