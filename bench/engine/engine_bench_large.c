/* engine_bench_large.c - tables of 64-byte keys and 1,000-byte values: what they pin, how fast they merge,
 * and how fast single records are read from them. */
#include "bench/clock.h"
#include "bench/engine/engine_bench.h"
#include "engine/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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

/* ---- gets from the disk ---- */

enum { CACHE_SHARE = 10, WRITE_MEMORY = 64 << 20, DEPTH_MAX = 1024 };

struct getters {
    struct rig *rig;
    struct random random;
    uint64_t records;
    uint64_t until_ns;
    uint64_t done;
    unsigned running;
    struct event are_over;
};

/* One after the other, of any key. */
static void get_until(struct reactor *r, void *argument)
{
    struct getters *g = argument;
    while (reactor_clock_ns(r) < g->until_ns) {
        rig_get_any(g->rig, &g->random, g->records);
        g->done++;
        task_yield_if_due(r);
    }
    if (--g->running == 0)
        event_set(r, &g->are_over, 0);
}

/* Returns: how many there were. Waits. */
static uint64_t get_for(struct bench *b, struct getters *g, unsigned depth)
{
    g->until_ns = reactor_clock_ns(b->reactor) + b->seconds * (uint64_t)SECOND_NS;
    g->done = 0;
    g->running = depth;
    event_init(&g->are_over);
    for (unsigned i = 0; i < depth; i++)
        rig_check(task_spawn(b->reactor, get_until, g), "task_spawn");
    rig_check(event_wait(b->reactor, &g->are_over, EVENT_FOREVER), "event_wait");
    return g->done;
}

static void get_at_depth(struct bench *b, struct getters *g, unsigned depth)
{
    char name[64];
    struct engine_counters before = engine_counters(g->rig->engine);
    uint64_t began_ns = reactor_clock_ns(b->reactor);
    uint64_t cpu_ns = clock_thread_cpu_ns();
    double gets = (double)get_for(b, g, depth);
    cpu_ns = clock_thread_cpu_ns() - cpu_ns;
    double took_s = (double)(reactor_clock_ns(b->reactor) - began_ns) / SECOND_NS;
    struct engine_counters after = engine_counters(g->rig->engine);
    snprintf(name, sizeof name, "gets_%u", depth);
    bench_tell(name, gets / took_s, "gets/s");
    snprintf(name, sizeof name, "gets_%u_cpu", depth);
    bench_tell(name, (double)cpu_ns / 1e3 / gets, "us/get");
    snprintf(name, sizeof name, "gets_%u_reads", depth);
    bench_tell(name, (double)(after.table_block_reads - before.table_block_reads) / gets, "reads/get");
}

/* The core stands still between two lines, so that something else can be measured meanwhile: what is settled
 * has nothing to do. */
static void get_as_asked(struct bench *b, struct getters *g)
{
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long depth = strtoul(line, NULL, 10);
        rig_check(depth > 0 && depth <= DEPTH_MAX ? 0 : -EINVAL, "how many gets in flight");
        get_at_depth(b, g, (unsigned)depth);
    }
}

/* Data ten times as large as the cache, uniform keys: what fio's random reads are to be compared with. */
void measure_gets(struct bench *b)
{
    static const unsigned depths[] = {16, 64, 128};
    struct rig rig = {.sample = {64, 1000},
                      .options = {.memtable_bytes = WRITE_MEMORY,
                                  .log_bytes_max = UINT64_C(8) * WRITE_MEMORY,
                                  .cache_bytes = b->large * (64 + 1000) / CACHE_SHARE}};
    bench_open(b, &rig, "gets");
    rig_fill(&rig, 0, b->large);
    rig_flush(&rig);
    rig_settle(&rig);
    struct getters g = {.rig = &rig, .random = random_of_seed(1), .records = b->large};
    get_for(b, &g, depths[0]); /* into the cache */
    if (b->is_asked)
        get_as_asked(b, &g);
    for (size_t i = 0; !b->is_asked && i < sizeof depths / sizeof depths[0]; i++)
        get_at_depth(b, &g, depths[i]);
    rig_close(&rig);
}
