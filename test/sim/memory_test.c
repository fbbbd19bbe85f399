/* memory_test.c - memory that is out at any one allocation of an engine's life, each in turn.
 *
 *   run 0:  some times: an engine is filled and killed, so that there are a log and tables to recover; and of
 *           these times, some: its log is damaged, and the loss is accepted in both runs
 *   run 1:  open, put, flush, merge, get, scan, close; the k-th allocation after the start fails
 *   run 2:  the same disk, nothing fails: what was acknowledged is there
 *
 * In the first run whatever is answered must be true: an error is an error that says so, a value is one that
 * was written last or later. Neither run leaves memory, files, tasks or timers behind. */
#include "engine/engine.h"
#include "engine/entry.h"
#include "engine/wal_format.h"
#include "reactor/core.h"
#include "reactor/sim/sim.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 30,
    TEXT_BYTES = 256, /* of a key: more than it needs */
    ROUNDS = 3,       /* how often each key is put */
    VALUE_BYTES = 600,
    LARGE_BYTES = 6000, /* of one in LARGE_EACH: a run of blocks of its own in a table */
    LARGE_EACH = 16,
    AT_ONCE = 8,           /* puts that wait together */
    IN_LOG = 10,           /* puts that a kill finds in the log alone */
    ALLOCATIONS_MIN = 100, /* fewer would be no life */
    ALLOCATIONS_MAX = 100000,
    WAITS_MAX = 20000,
};
#define WAIT_NS (UINT64_C(1000) * 1000)
#define HOUR_NS (UINT64_C(3600) * 1000000000)

struct trial {
    struct reactor *r;
    struct engine *engine;
    uint64_t fails_in;           /* 0: nothing fails */
    uint32_t written[KEYS];      /* the highest number put, 0: none */
    uint32_t acknowledged[KEYS]; /* the highest number known to be durable */
    int opened;                  /* what engine_open returned last */
    uint32_t numbers;            /* given out; a put's is its version and its value */
    uint64_t compactions;
    uint64_t quarantined; /* stretches of the log, summed over the opens */
    uint32_t puts;
    uint32_t returned;
    uint32_t wrong;    /* answers that are not true */
    uint32_t refusals; /* of anything, for want of memory or what follows from it */
    bool is_filled;    /* run 0 may be killed */
    bool has_failed;   /* the allocation was reached */
};

/* ---- records ---- */

static struct record_key key_of(uint32_t key, char text[TEXT_BYTES])
{
    int bytes = snprintf(text, TEXT_BYTES, "key-%04u", key);
    return (struct record_key){.vnode = (uint16_t)(key % 4), .key = slice_of(text, (size_t)bytes)};
}

static size_t value_bytes_of(uint32_t number)
{
    return number % LARGE_EACH == 0 ? LARGE_BYTES : VALUE_BYTES;
}

/* What check_number takes for wrong when it is no value of this test. */
static uint32_t number_of(const struct record *record)
{
    uint32_t number = record->value.bytes >= VALUE_BYTES ? load_u32le(record->value.data) : 0;
    return record->value.bytes == value_bytes_of(number) ? number : UINT32_MAX;
}

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct trial *t = owner;
    uint32_t key = (uint32_t)ticket->words[0], number = (uint32_t)ticket->words[1];
    (void)times;
    t->returned++;
    if (result != 0)
        t->refusals++;
    else if (number > t->acknowledged[key])
        t->acknowledged[key] = number;
}

static void put(struct trial *t, uint32_t key, uint32_t number)
{
    uint8_t value[LARGE_BYTES] = {0};
    char text[TEXT_BYTES];
    store_u32le(value, number);
    struct record record = {.key = key_of(key, text),
                            .version = {.clock = number},
                            .value = slice_of(value, value_bytes_of(number))};
    record.checksum = entry_checksum(&record.key, record.value);
    struct engine_ticket ticket = {.words = {key, number}};
    if (engine_put(t->engine, &record, &ticket) == 0) {
        t->puts++;
        t->written[key] = number;
    } else {
        t->refusals++;
    }
}

/* ---- waiting ---- */

static void await_tickets(struct trial *t)
{
    for (unsigned i = 0; t->returned < t->puts && i < WAITS_MAX; i++)
        task_sleep(t->r, WAIT_NS);
    CU_ASSERT_EQUAL(t->returned, t->puts);
}

/* Until the tables are made and merged, or that has come to rest otherwise. */
static void await_tables(struct trial *t)
{
    enum { QUIET = 50 };
    unsigned quiet = 0;
    struct engine_counters before = engine_counters(t->engine);
    for (unsigned i = 0; quiet < QUIET && i < WAITS_MAX; i++) {
        task_sleep(t->r, WAIT_NS);
        struct engine_counters now = engine_counters(t->engine);
        bool is_same = now.flushes == before.flushes && now.compactions == before.compactions &&
                       now.compacted_bytes == before.compacted_bytes;
        quiet = is_same ? quiet + 1 : 0;
        before = now;
    }
}

/* ---- reading ---- */

static void check_number(struct trial *t, uint32_t key, uint32_t number)
{
    if (number < t->acknowledged[key] || number > t->written[key])
        t->wrong++;
}

static void get(struct trial *t, uint32_t key)
{
    char text[TEXT_BYTES];
    struct engine_key k;
    struct record_key plain = key_of(key, text);
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    engine_key_init(t->engine, &k, &plain);
    int rc = engine_get_wait(t->engine, &k, 1, &record, &hold);
    if (rc == ENGINE_FOUND)
        check_number(t, key, number_of(&record));
    else if (rc == ENGINE_ABSENT)
        check_number(t, key, 0);
    else
        t->refusals++;
    engine_release(t->engine, &hold);
}

static void scan(struct trial *t)
{
    struct engine_cursor *c = NULL;
    struct record_key from = {.vnode = 0};
    struct record record;
    uint32_t met = 0, there = 0;
    int rc = engine_cursor_open(t->engine, &from, 1, &c);
    if (rc) {
        t->refusals++;
        return;
    }
    while ((rc = engine_cursor_next(c, &record)) == 1) {
        unsigned key = 0;
        CU_ASSERT_EQUAL(sscanf((const char *)record.key.key.data, "key-%4u", &key), 1);
        check_number(t, key, number_of(&record));
        met++;
    }
    engine_cursor_close(c);
    for (uint32_t i = 0; i < KEYS; i++)
        there += t->acknowledged[i] > 0;
    t->refusals += rc != 0;
    t->wrong += rc == 0 && met < there;
}

/* ---- the runs ---- */

static void on_turn(void *context)
{
    struct trial *t = context;
    if (t->engine)
        engine_submit(t->engine);
}

static int open_engine(struct trial *t, struct reactor *r)
{
    char why[256];
    struct engine_options options = {
        .directory = "shard",
        .vnode_bits = 2,
        .vnode_count = 4,
        .memtable_bytes = 16 << 10,
        .log_bytes_max = 256 << 10,
        .segment_bytes = 64 << 10,
        .cache_bytes = 1 << 20,
        .table_bytes_max = 16 << 10,
        .value_bytes_max = LARGE_BYTES,
        .list_shared_min = 2,
        .on_durable = on_durable,
        .owner = t,
    };
    t->r = r;
    int rc = engine_open(r, &options, &t->engine, why, sizeof why);
    if (rc)
        t->engine = NULL;
    else
        reactor_set_turn_hook(r, on_turn, t);
    return rc;
}

static void close_engine(struct trial *t)
{
    engine_close(t->engine);
    t->engine = NULL;
    reactor_set_turn_hook(t->r, NULL, NULL);
}

static void accept_loss(struct trial *t)
{
    t->quarantined += engine_counters(t->engine).quarantined;
    t->refusals += engine_accept_loss(t->engine) != 0;
}

static void live(struct trial *t)
{
    uint32_t begin = t->numbers;
    accept_loss(t);
    for (uint32_t i = 0; i < KEYS * ROUNDS; i++) {
        put(t, i % KEYS, begin + i + 1);
        if (i % AT_ONCE == AT_ONCE - 1)
            await_tickets(t);
    }
    t->numbers += KEYS * ROUNDS;
    await_tickets(t);
    await_tables(t);
    t->compactions += engine_counters(t->engine).compactions;
    for (uint32_t key = 0; key < KEYS; key++)
        get(t, key);
    scan(t);
}

static int run_failing(struct reactor *r, void *context)
{
    struct trial *t = context;
    struct heap *heap = &core_of(r)->heap;
    heap->fails_in = t->fails_in;
    int rc = open_engine(t, r);
    if (rc == 0) {
        live(t);
        close_engine(t);
    } else {
        /* STORAGE: the manifest was written, and there was no memory to hold it */
        t->wrong += rc != TORC_E_NO_MEMORY && rc != TORC_E_STORAGE;
    }
    t->has_failed = t->fails_in > 0 && heap->fails_in == 0;
    heap->fails_in = 0;
    reactor_stop(r);
    return 0;
}

/* Ends by itself only when it is killed. */
static int run_filling(struct reactor *r, void *context)
{
    struct trial *t = context;
    int rc = open_engine(t, r);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    live(t);
    for (uint32_t key = 0; key < IN_LOG; key++) { /* too few for a table */
        put(t, key, ++t->numbers);
        await_tickets(t);
    }
    t->is_filled = true;
    return 0;
}

static int run_whole(struct reactor *r, void *context)
{
    struct trial *t = context;
    t->refusals = 0;
    int rc = open_engine(t, r);
    CU_ASSERT_EQUAL(rc, 0);
    if (rc == 0) {
        accept_loss(t);
        for (uint32_t key = 0; key < KEYS; key++)
            get(t, key);
        scan(t);
        close_engine(t);
    }
    CU_ASSERT_EQUAL(t->refusals, 0);
    reactor_stop(r);
    return 0;
}

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

static void run_node(struct sim_world *w, struct sim_node *n, reactor_main_fn *run, struct trial *t)
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    sim_node_start(n, &options, run, t);
    CU_ASSERT(sim_run(w, sim_now_ns(w) + HOUR_NS, is_down, n));
    CU_ASSERT_EQUAL(sim_node_result(n), 0);
    struct sim_leaks leaks = sim_node_leaks(n);
    CU_ASSERT_EQUAL(leaks.files, 0);
    CU_ASSERT_EQUAL(leaks.tasks, 0);
    CU_ASSERT_EQUAL(leaks.timers, 0);
    CU_ASSERT_EQUAL(leaks.heap_bytes, 0);
}

static bool is_filled(void *context)
{
    const struct trial *t = context;
    return t->is_filled;
}

static void run_past(struct sim_world *w, struct sim_node *n, struct trial *t)
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    sim_node_start(n, &options, run_filling, t);
    CU_ASSERT(sim_run(w, sim_now_ns(w) + HOUR_NS, is_filled, t));
    sim_node_kill(n, SIM_END_POWER);
    t->engine = NULL;
}

/* Each record of this file of the log is damaged but the last, which says that the others were durable. */
static void damage_segment(struct sim_disk *disk, const char *path, uint64_t bytes)
{
    enum { AT_SEQUENCE = 32 };
    uint64_t before = 0;
    for (uint64_t at = WAL_BLOCK_BYTES; at < bytes; at += WAL_BLOCK_BYTES) {
        uint8_t magic[4] = {0};
        int64_t got = sim_disk_peek(disk, path, magic, sizeof magic, at);
        if (got < (int64_t)sizeof magic || load_u32le(magic) != WAL_RECORD_MAGIC)
            continue;
        if (before > 0)
            sim_disk_poke(disk, path, "garbage", 8, before + AT_SEQUENCE);
        before = at;
    }
}

/* What was acknowledged may be gone. */
static void damage_log(struct sim_node *n, struct trial *t)
{
    struct sim_disk *disk = sim_node_disk(n);
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        char path[128];
        snprintf(path, sizeof path, "%s", file.path); /* it is borrowed until the disk changes */
        if (strstr(path, "wal-"))
            damage_segment(disk, path, file.bytes);
    }
    memset(t->acknowledged, 0, sizeof t->acknowledged);
}

enum past { PAST_NONE, PAST_KILLED, PAST_DAMAGED };

/* Returns: whether the allocation was reached. */
static bool try_allocation(uint64_t fails_in, enum past past)
{
    struct sim_world_options options = {.seed = 1};
    struct trial *t = calloc(1, sizeof *t);
    ASSERT(t);
    t->fails_in = fails_in;
    struct sim_world *w = sim_world_new(&options);
    struct sim_node *n = sim_node_new(w, "10.0.0.1", NULL);
    if (past != PAST_NONE)
        run_past(w, n, t);
    if (past == PAST_DAMAGED)
        damage_log(n, t);
    run_node(w, n, run_failing, t);
    run_node(w, n, run_whole, t);
    CU_ASSERT_EQUAL(t->wrong, 0);
    if (fails_in == 0) {
        CU_ASSERT(t->compactions > 0);
        CU_ASSERT_EQUAL(t->quarantined > 0, past == PAST_DAMAGED);
    }
    if (t->wrong)
        fprintf(stderr, "allocation %llu: %u wrong answers\n", (unsigned long long)fails_in, t->wrong);
    bool has_failed = t->has_failed;
    sim_world_free(w);
    free(t);
    return has_failed;
}

static void try_each(enum past past)
{
    uint64_t k = 1;
    CU_ASSERT_FALSE(try_allocation(0, past));
    while (try_allocation(k, past) && k < ALLOCATIONS_MAX)
        k++;
    CU_ASSERT(k > ALLOCATIONS_MIN && k < ALLOCATIONS_MAX);
}

TEST(memory_out_at_any_allocation_of_a_new_engine_loses_nothing_and_leaks_nothing)
{
    try_each(PAST_NONE);
}

TEST(memory_out_at_any_allocation_of_a_recovered_engine_loses_nothing_and_leaks_nothing)
{
    try_each(PAST_KILLED);
}

TEST(memory_out_at_any_allocation_after_a_loss_loses_and_leaks_nothing_more)
{
    try_each(PAST_DAMAGED);
}
