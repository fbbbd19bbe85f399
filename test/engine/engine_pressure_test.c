/* engine_pressure_test.c - an engine with too much to do: writes faster than flushes, reads that wait while
 * their tables are replaced, a disk that takes no tables, a manifest that cannot be written.
 *
 * Nothing acknowledged is lost, nothing hangs, and what was held back goes on when it can. */
#include "engine/engine_internal.h"
#include "reactor/core.h"
#include "test/engine/engine_rig.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

static void put(struct engine_rig *rig, uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
}

/* So many writes, none of them waited for. */
static void pour(struct engine_rig *rig, uint32_t count, uint32_t value_bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        put(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS), value_bytes);
        if (i % 16 == 0)
            task_yield(rig->reactor);
    }
}

TEST_IN_REACTOR(writers_are_slowed_and_not_stopped_while_flushes_are_behind)
{
    struct engine_rig *rig = engine_rig_make();
    uint64_t tasks = reactor_counters(r).tasks_alive;
    rig->options.memtable_bytes = 512 << 10; /* many batches of the log */
    rig->options.value_bytes_max = 4096;
    engine_rig_open(rig, r);
    uint32_t frozen_max = 0;
    for (uint32_t round = 0; round < 300; round++) {
        pour(rig, 100, 1000);
        frozen_max = rig->engine->frozen_count > frozen_max ? rig->engine->frozen_count : frozen_max;
    }
    CU_ASSERT(frozen_max >= 2);
    CU_ASSERT(engine_counters(rig->engine).write_delays > 0);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(rig->failed, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    pour(rig, 3000, 1000); /* and closes in the middle of it */
    engine_rig_close(rig);
    CU_ASSERT_EQUAL(reactor_counters(r).tasks_alive, tasks);
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* The log of the frozen memtables is not that of the active one, which has room. */
TEST_IN_REACTOR(a_start_with_a_long_log_does_not_hold_writes_back)
{
    enum { MEMTABLE_BYTES = 1 << 20, LOG_BYTES = 4 << 20, VALUE_BYTES = 1000 };
    struct engine_rig *rig = engine_rig_make();
    rig->options.memtable_bytes = 16 << 20;
    rig->options.log_bytes_max = 64 << 20;
    rig->options.segment_bytes = 4 << 20;
    engine_rig_open(rig, r);
    while (engine_counters(rig->engine).log_bytes < 2 * LOG_BYTES) {
        pour(rig, 32, VALUE_BYTES);
        engine_rig_await(rig);
    }
    CU_ASSERT_EQUAL(engine_counters(rig->engine).flushes, 0);
    engine_rig_close(rig);
    rig->options.memtable_bytes = MEMTABLE_BYTES;
    rig->options.log_bytes_max = LOG_BYTES;
    engine_rig_open(rig, r);
    CU_ASSERT(rig->engine->frozen_count >= FROZEN_KEPT_MAX);
    put(rig, 0, VALUE_BYTES);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).log_hold_turns, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Without a memtable to go on in, where the heap can be made to fail: in a release it cannot. */
static void fail_to_freeze(struct engine_rig *rig, unsigned times)
{
    struct heap *heap = &core_of(rig->reactor)->heap;
    for (unsigned i = 0; i < times; i++) {
        heap->fails_in = 1;
        engine_freeze_if_full(rig->engine);
        heap->fails_in = 0;
    }
}

TEST_IN_REACTOR(want_of_memory_for_a_memtable_is_told_once)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    put(rig, 0, 100);
    engine_rig_await(rig);
    uint64_t memtable_bytes = rig->engine->options.memtable_bytes;
    rig->engine->options.memtable_bytes = 1;
    fail_to_freeze(rig, 3);
    CU_ASSERT(rig->events <= 1);
    engine_freeze_if_full(rig->engine);
    CU_ASSERT(rig->engine->frozen_count > 0);
    uint32_t told = rig->events;
    fail_to_freeze(rig, 2);
    CU_ASSERT(rig->events <= 2 * told);
    rig->engine->options.memtable_bytes = memtable_bytes;
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* ---- scans of large values ---- */

/* Returns: how often the reactor turned while all was scanned. */
static uint64_t scan_turns(struct engine_rig *rig, bool is_keys_only, uint32_t wanted)
{
    struct engine_range range = {.to = {.vnode = ENGINE_VNODE_END},
                                 .is_keys_only = is_keys_only,
                                 .now_ms = engine_rig_now_ms(rig)};
    struct engine_cursor *c;
    struct record record;
    uint32_t count = 0;
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
    uint64_t begun = reactor_counters(rig->reactor).turns;
    for (; engine_cursor_next(c, &record) == ENGINE_CURSOR_RECORD; count++)
        CU_ASSERT_EQUAL(record.value.bytes, is_keys_only ? 0 : VALUE_BYTES_MAX);
    uint64_t turns = reactor_counters(rig->reactor).turns - begun;
    CU_ASSERT_EQUAL(count, wanted);
    engine_cursor_close(c);
    return turns;
}

TEST_IN_REACTOR(a_scan_of_large_values_gives_way_after_some_bytes)
{
    enum { VALUES = 24 };
    struct engine_rig *rig = engine_rig_make();
    rig->is_one_vnode = true;
    rig->options.memtable_bytes = 128 << 20;
    rig->options.log_bytes_max = 256 << 20;
    rig->options.segment_bytes = 64 << 20;
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < VALUES; key++)
        put(rig, key, VALUE_BYTES_MAX);
    engine_rig_await(rig);
    CU_ASSERT(scan_turns(rig, false, VALUES) >= VALUES / 4);
    CU_ASSERT(scan_turns(rig, true, VALUES) >= 2); /* they are hashed */
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* ---- reads that wait ---- */

struct readers {
    struct engine_rig *rig;
    uint32_t alive;
    uint32_t checks;
    uint32_t wrong;
    bool is_over;
    struct event all_over;
};

static void read_on(struct reactor *r, void *context)
{
    struct readers *readers = context;
    while (!readers->is_over) {
        uint32_t key = (uint32_t)engine_rig_random(readers->rig, RIG_KEYS);
        readers->wrong += !engine_rig_check(readers->rig, key);
        readers->checks++;
        task_yield(r);
    }
    if (--readers->alive == 0)
        event_set(r, &readers->all_over, 0);
}

TEST_IN_REACTOR(reads_that_wait_outlive_the_tables_they_began_with)
{
    struct engine_rig *rig = engine_rig_make();
    struct readers readers = {.rig = rig};
    event_init(&readers.all_over);
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < RIG_KEYS; key++)
        put(rig, key, 1200); /* 3.6 MB beside a cache of 1 MB */
    engine_rig_await(rig);
    for (; readers.alive < 8; readers.alive++)
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, read_on, &readers), 0);
    struct engine_counters before = engine_counters(rig->engine);
    for (uint32_t i = 0; i < 200; i++) {
        pour(rig, 30, 1200);
        engine_rig_await(rig);
    }
    readers.is_over = true;
    CU_ASSERT_EQUAL(event_wait(r, &readers.all_over, EVENT_FOREVER), 0);
    struct engine_counters after = engine_counters(rig->engine);
    CU_ASSERT_EQUAL(readers.wrong, 0);
    CU_ASSERT(readers.checks > 200);
    CU_ASSERT(after.compactions > before.compactions + 2);
    CU_ASSERT(after.table_block_reads > before.table_block_reads + 100);
    CU_ASSERT(after.gets_table > before.gets_table);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

struct tables_there {
    uint64_t lowest;
    uint32_t count;
};

static int note_table(void *context, const char *name)
{
    struct tables_there *t = context;
    unsigned long long number;
    if (sscanf(name, "table-%16llx.sst", &number) != 1)
        return 0;
    if (t->count++ == 0) /* names come in order */
        t->lowest = number;
    return 0;
}

static struct tables_there tables_there(const struct engine_rig *rig)
{
    struct tables_there t = {.count = 0};
    CU_ASSERT_EQUAL(directory_list(rig->reactor, rig->options.directory, note_table, &t), 0);
    return t;
}

TEST_IN_REACTOR(scan_keeps_the_files_of_its_tables_until_it_is_closed)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < 1000; key++)
        put(rig, key, 300);
    engine_rig_await(rig);
    engine_rig_settle(rig);
    struct tables_there at_first = tables_there(rig);
    CU_ASSERT_FATAL(at_first.count > 0);
    struct engine_cursor *c;
    struct record record;
    struct record_key from = {.vnode = RIG_VNODE_FIRST};
    uint64_t now_ms = engine_rig_now_ms(rig);
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, now_ms, &c), 0);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
    uint64_t compactions = engine_counters(rig->engine).compactions;
    for (uint32_t i = 0; i < 100 && engine_counters(rig->engine).compactions < compactions + 8; i++) {
        pour(rig, 300, 300);
        engine_rig_await(rig);
    }
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(tables_there(rig).lowest, at_first.lowest);
    uint32_t seen = 1;
    while (engine_cursor_next(c, &record) == 1)
        seen++;
    CU_ASSERT(seen >= 1000);
    engine_cursor_close(c);
    engine_rig_settle(rig);
    CU_ASSERT(tables_there(rig).lowest > at_first.lowest);
    CU_ASSERT_EQUAL(tables_there(rig).count, engine_counters(rig->engine).tables);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* ---- a disk that fails ---- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Log files fit below the limit, the table does not. */
TEST_IN_REACTOR(flush_waits_for_a_disk_that_takes_no_table)
{
    struct engine_rig *rig = engine_rig_make();
    rig->options.memtable_bytes = 112 << 20; /* a run of it has tables of 3.5 MiB */
    rig->options.segment_bytes = 2 << 20;
    rig->options.log_bytes_max = 256 << 20;
    rig->options.table_bytes_max = 0;
    engine_rig_open(rig, r);
    limit_files(3 << 20);
    for (uint32_t key = 0; key < RIG_KEYS; key++)
        put(rig, key, 40000);
    engine_rig_await(rig);
    for (int i = 0; rig->events == 0 && i < 5000; i++)
        task_sleep(r, 1000000);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "flush");
    CU_ASSERT_EQUAL(engine_counters(rig->engine).flushes, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(tables_there(rig).count <= 1); /* the next try's, if it is under way: those before are gone */
    limit_files(RLIM_INFINITY);
    engine_rig_await_flushes(rig, 1);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "storage_recovered");
    CU_ASSERT_EQUAL(rig->events, 2);
    CU_ASSERT_EQUAL(rig->failed, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static void move(struct engine_rig *rig, const char *from, const char *to)
{
    char a[512], b[512];
    snprintf(a, sizeof a, "%s/%s", rig->options.directory, from);
    snprintf(b, sizeof b, "%s/%s", rig->options.directory, to);
    CU_ASSERT_EQUAL(file_rename(rig->reactor, a, b), 0);
}

static void make_directory(struct engine_rig *rig, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", rig->options.directory, name);
    CU_ASSERT_EQUAL(directory_create(rig->reactor, path), 0);
}

static int try_put(struct engine_rig *rig)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record record = {.key = engine_rig_key(rig, 1, memory), .version = {.clock = UINT32_MAX}};
    return engine_put(rig->engine, &record, &(struct engine_ticket){.words = {0}});
}

/* Directories stand where its manifest was: opening them for writing fails. */
TEST_IN_REACTOR(engine_without_a_manifest_gives_tickets_back_and_takes_no_more)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    pour(rig, 100, 100);
    engine_rig_await(rig);
    move(rig, "MANIFEST-A", "kept-a");
    move(rig, "MANIFEST-B", "kept-b");
    make_directory(rig, "MANIFEST-A");
    make_directory(rig, "MANIFEST-B");
    for (uint32_t i = 0; i < 7500; i++) /* in one turn, and far more than what memtables hold */
        put(rig, i % RIG_KEYS, 1900);
    for (int i = 0; !rig->engine->is_failed && i < 5000; i++)
        task_sleep(r, 1000000);
    CU_ASSERT(rig->engine->is_failed);
    CU_ASSERT_EQUAL(try_put(rig), TORC_E_STORAGE);
    engine_rig_await(
        rig); /* durable, or failed: the log goes on in no file that the manifest does not name */
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    move(rig, "MANIFEST-A", "away-a");
    move(rig, "MANIFEST-B", "away-b");
    move(rig, "kept-a", "MANIFEST-A");
    move(rig, "kept-b", "MANIFEST-B");
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT_EQUAL(rig->engine->is_failed, false);
    engine_rig_close(rig);
    engine_rig_free(rig);
}
