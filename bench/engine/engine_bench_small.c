/* engine_bench_small.c - small records: puts, the memtable's memory, scans and gets. */
#include "bench/engine/engine_bench.h"

#include "engine/entry.h"

#define SECOND_NS 1e9

enum { GETS = 1000 * 1000, ENTRY_BYTES = 150, KEY_BYTES = 20 };

void measure_memtable(struct bench *b)
{
    struct rig rig = {.sample = {KEY_BYTES, ENTRY_BYTES - KEY_BYTES - ENTRY_HEADER_BYTES}};
    bench_open(b, &rig, "memtable");
    uint64_t empty = engine_counters(rig.engine).memtable_bytes;
    rig_fill(&rig, 0, b->small);
    double entries = (double)b->small * ENTRY_BYTES;
    double taken = (double)(engine_counters(rig.engine).memtable_bytes - empty);
    bench_tell("memtable_overhead_150", 100.0 * (taken - entries) / entries, "%");
    rig_close(&rig);
}

/* Returns: records a second. */
static double scan_all(struct rig *rig, uint64_t expected)
{
    struct record_key from = {.vnode = 0};
    struct engine_cursor *cursor;
    struct record record;
    uint64_t count = 0;
    int rc;
    uint64_t began_ns = reactor_clock_ns(rig->reactor);
    rig_check(engine_cursor_open(rig->engine, &from, 1, &cursor), "engine_cursor_open");
    while ((rc = engine_cursor_next(cursor, &record)) == 1)
        count++;
    rig_check(rc, "engine_cursor_next");
    uint64_t took_ns = reactor_clock_ns(rig->reactor) - began_ns;
    engine_cursor_close(cursor);
    ASSERT(count == expected);
    return (double)count / (double)took_ns * SECOND_NS;
}

/* Uniform gets of keys that are there. Returns: gets a second. */
static double get_some(struct rig *rig, uint64_t records, uint32_t gets)
{
    struct random random = random_of_seed(7);
    uint64_t began_ns = reactor_clock_ns(rig->reactor);
    for (uint32_t i = 0; i < gets; i++) {
        rig_get_any(rig, &random, records);
        task_yield_if_due(rig->reactor);
    }
    return gets / (double)(reactor_clock_ns(rig->reactor) - began_ns) * SECOND_NS;
}

void measure_scans(struct bench *b)
{
    struct rig rig = {.sample = {KEY_BYTES, 100 - KEY_BYTES}};
    bench_open(b, &rig, "scans");
    uint64_t began_ns = reactor_clock_ns(b->reactor);
    rig_fill(&rig, 0, b->small);
    uint64_t took_ns = reactor_clock_ns(b->reactor) - began_ns;
    bench_tell("put_durable", (double)b->small / (double)took_ns * SECOND_NS, "puts/s");
    bench_tell("scan_memory_first", scan_all(&rig, b->small), "records/s");
    bench_tell("scan_memory", scan_all(&rig, b->small), "records/s");
    bench_tell("get_memory", get_some(&rig, b->small, GETS), "gets/s");
    rig_flush(&rig);
    bench_tell("scan_tables_first", scan_all(&rig, b->small), "records/s");
    get_some(&rig, b->small, GETS); /* its rows and blocks come into the caches */
    bench_tell("scan_tables", scan_all(&rig, b->small), "records/s");
    bench_tell("get_row_or_block", get_some(&rig, b->small, GETS), "gets/s");
    rig_close(&rig);
}
