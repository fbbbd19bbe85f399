/* instructions_write.c - puts, the encoding of the log, and merges. */
#include "bench/engine/instructions.h"
#include "engine/build.h"
#include "engine/wal_format.h"

enum {
    PRELOADED = 2000,
    PUTS_PER_ROUND = 2000,
    PUTS_IN_FLIGHT = 250,
    ENCODE_RECORDS = 500,
    ENCODE_PASSES = 20,
    RUN_RECORDS = 4000,
    RUN_OVERLAP = 1000,
};

static void make_records(struct harness *h, uint64_t first, uint32_t count)
{
    h->count = count;
    h->records = reactor_alloc(h->rig.reactor, count * sizeof *h->records);
    h->memory = reactor_alloc(h->rig.reactor, count * sizeof *h->memory);
    ASSERT(h->records && h->memory);
    for (uint32_t i = 0; i < count; i++)
        h->records[i] = sample_record(&h->rig.sample, first + i, h->rig.put_count + i + 1, &h->memory[i]);
}

void prepare_puts(struct harness *h)
{
    harness_open(h);
    harness_fill(h, 0, PRELOADED);
    make_records(h, PRELOADED, INSTRUCTIONS_ROUNDS_MAX * PUTS_PER_ROUND);
}

/* New keys, so many at a time as one group commit of a busy shard takes. */
uint64_t run_put(struct harness *h, uint32_t round)
{
    const struct record *records = h->records + (size_t)round * PUTS_PER_ROUND;
    for (uint32_t i = 0; i < PUTS_PER_ROUND; i++) {
        rig_put(&h->rig, &records[i]);
        if ((i + 1) % PUTS_IN_FLIGHT == 0)
            rig_await(&h->rig);
    }
    return PUTS_PER_ROUND;
}

void prepare_entries(struct harness *h)
{
    h->rig.sample = (struct sample){.key_bytes = 20, .value_bytes = 100};
    make_records(h, 0, ENCODE_RECORDS);
    h->bytes = reactor_alloc(h->rig.reactor, ENCODE_RECORDS * 256);
    ASSERT(h->bytes);
}

uint64_t run_encode(struct harness *h, uint32_t round)
{
    (void)round;
    for (uint32_t pass = 0; pass < ENCODE_PASSES; pass++) {
        size_t bytes = 0;
        for (uint32_t i = 0; i < ENCODE_RECORDS; i++)
            bytes += entry_encode(h->bytes + bytes, &h->records[i]);
        h->byte_count += wal_payload_checksum(h->bytes, bytes) & 1; /* so that it is not optimised away */
    }
    return ENCODE_PASSES * ENCODE_RECORDS;
}

/* Two runs of one table each; a quarter of their keys is in both. */
void prepare_runs(struct harness *h)
{
    harness_open(h);
    harness_fill(h, 0, RUN_RECORDS);
    rig_flush(&h->rig);
    harness_fill(h, RUN_RECORDS - RUN_OVERLAP, RUN_RECORDS);
    rig_flush(&h->rig);
    ASSERT(h->rig.engine->tables->run_count == 2);
}

uint64_t run_merge(struct harness *h, uint32_t round)
{
    struct engine *e = h->rig.engine;
    struct merge merge;
    (void)round;
    rig_check(merge_init(&merge, e->reactor, 2), "merge_init");
    for (uint32_t i = 0; i < 2; i++)
        merge_add_run(&merge, &e->tables->runs[i], TABLE_CURSOR_BULK);
    struct build build = {.merge = &merge, .level = 1, .now_ms = reactor_wall_ms(e->reactor)};
    rig_check(engine_build_tables(e, &build), "engine_build_tables");
    ASSERT(build.count == 1);
    uint64_t entries = table_summary(build.tables[0]->table)->entries;
    ASSERT(entries == 2 * RUN_RECORDS - RUN_OVERLAP);
    build_deinit(e, &build);
    merge_deinit(&merge);
    return 2 * RUN_RECORDS;
}
