/* instructions_read.c - gets by where the answer comes from, and scans. */
#include "bench/engine/instructions.h"

enum {
    GET_RECORDS = 8000,
    BLOCK_RECORDS = 24000,
    BLOCK_GETS_PER_ROUND = 2000,
    SCAN_RECORDS = 8000,
};

static void make_keys(struct harness *h, uint64_t first, uint32_t count)
{
    h->count = count;
    h->keys = reactor_alloc(h->rig.reactor, count * sizeof *h->keys);
    h->memory = reactor_alloc(h->rig.reactor, count * sizeof *h->memory);
    ASSERT(h->keys && h->memory);
    for (uint32_t i = 0; i < count; i++)
        h->keys[i].key = sample_key(&h->rig.sample, first + i, h->memory[i].key);
}

static void warm(struct harness *h, uint64_t first, uint64_t count)
{
    uint8_t memory[SAMPLE_KEY_BYTES_MAX];
    for (uint64_t i = first; i < first + count; i++) {
        struct record_key key = sample_key(&h->rig.sample, i, memory);
        struct engine_key k;
        engine_key_init(h->rig.engine, &k, &key);
        bool is_found = rig_get_wait(&h->rig, &k);
        ASSERT(is_found);
    }
}

void prepare_memtable_gets(struct harness *h)
{
    harness_open(h);
    harness_fill(h, 0, GET_RECORDS);
    make_keys(h, 0, GET_RECORDS);
}

/* All blocks come into the cache with keys that are not measured: they lie between the others. */
void prepare_block_gets(struct harness *h)
{
    uint32_t measured = INSTRUCTIONS_ROUNDS_MAX * BLOCK_GETS_PER_ROUND;
    harness_open(h);
    harness_fill(h, 0, BLOCK_RECORDS);
    rig_flush(&h->rig);
    warm(h, measured, BLOCK_RECORDS - measured);
    make_keys(h, 0, measured);
}

void prepare_row_gets(struct harness *h)
{
    harness_open(h);
    harness_fill(h, 0, GET_RECORDS);
    rig_flush(&h->rig);
    warm(h, 0, GET_RECORDS);
    make_keys(h, 0, GET_RECORDS);
}

/* The key is hashed with each get, as for a request. */
static void get(struct harness *h, uint32_t number)
{
    struct record record;
    engine_key_init(h->rig.engine, &h->keys[number], &h->keys[number].key);
    int answer = engine_get(h->rig.engine, &h->keys[number], 1, &record);
    ASSERT(answer == ENGINE_FOUND);
}

uint64_t run_gets(struct harness *h, uint32_t round)
{
    (void)round;
    for (uint32_t i = 0; i < h->count; i++)
        get(h, i);
    return h->count;
}

/* Each key once: afterwards the row cache has it. */
uint64_t run_block_gets(struct harness *h, uint32_t round)
{
    struct engine_counters before = engine_counters(h->rig.engine);
    for (uint32_t i = 0; i < BLOCK_GETS_PER_ROUND; i++)
        get(h, round * BLOCK_GETS_PER_ROUND + i);
    struct engine_counters after = engine_counters(h->rig.engine);
    ASSERT(after.cache_hits - before.cache_hits >= BLOCK_GETS_PER_ROUND);
    return BLOCK_GETS_PER_ROUND;
}

void prepare_memtable_scan(struct harness *h)
{
    harness_open(h);
    harness_fill(h, 0, SCAN_RECORDS);
}

void prepare_table_scan(struct harness *h)
{
    prepare_memtable_scan(h);
    rig_flush(&h->rig);
}

uint64_t run_scan(struct harness *h, uint32_t round)
{
    struct record_key from = {.vnode = 0};
    struct engine_cursor *cursor;
    struct record record;
    uint64_t count = 0;
    int rc;
    (void)round;
    rig_check(engine_cursor_open(h->rig.engine, &from, 1, &cursor), "engine_cursor_open");
    while ((rc = engine_cursor_next(cursor, &record)) == 1)
        count++;
    rig_check(rc, "engine_cursor_next");
    ASSERT(count == SCAN_RECORDS);
    engine_cursor_close(cursor);
    return count;
}
