/* engine_test.c - an engine from put to get: its answers, restarts and crashes, against a model of all
 * writes. */
#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

#include <stdio.h>

static struct engine_rig *rig; /* of the test that runs; outlives its reactors */

static void put(uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
}

static void erase(uint32_t key)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .flags = RECORD_TOMBSTONE});
}

static int get(uint32_t key, uint64_t now_ms)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key record_key = engine_rig_key(rig, key, memory);
    struct engine_key k;
    struct record record;
    engine_key_init(rig->engine, &k, &record_key);
    return engine_get(rig->engine, &k, now_ms, &record);
}

/* Enough writes of many keys to fill so many memtables. */
static void fill_memtables(uint32_t count)
{
    uint64_t flushes = engine_counters(rig->engine).flushes;
    uint64_t end = flushes + count;
    for (uint32_t i = 0; i < 20000 && engine_counters(rig->engine).flushes < end; i++) {
        put((uint32_t)engine_rig_random(rig, RIG_KEYS), 200);
        if (i % 64 == 0)
            engine_rig_await(rig);
    }
    engine_rig_await(rig);
}

/* ---- one life ---- */

TEST_IN_REACTOR(engine_answers_what_was_put)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(get(1, 0), ENGINE_ABSENT);
    put(1, 100);
    CU_ASSERT_EQUAL(get(1, 0), ENGINE_ABSENT); /* not before it is durable */
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(get(1, 0), ENGINE_FOUND);
    CU_ASSERT(engine_rig_check(rig, 1));
    put(1, 300); /* does not fit where the older one was */
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_check(rig, 1));
    put(1, 0);
    put(1, 7);
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT_EQUAL(engine_counters(rig->engine).memtable_entries, 1);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_answers_absent_for_deleted_and_expired_keys)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    put(2, 10);
    engine_rig_put(
        rig, &(struct rig_put){.key = 3, .value_bytes = 9, .flags = RECORD_EXPIRING, .expiry_ms = 5000});
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(get(3, 4999), ENGINE_FOUND);
    CU_ASSERT_EQUAL(get(3, 5000), ENGINE_ABSENT);
    erase(2);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(get(2, 0), ENGINE_ABSENT);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static int result_of_last;

static void note_result(void *owner, const struct engine_ticket *ticket, int result,
                        const struct engine_write_times *times)
{
    struct engine_rig *in = owner;
    (void)ticket, (void)times;
    result_of_last = result;
    in->returned++;
    event_set(in->reactor, &in->progress, 0);
}

/* A write that the model knows nothing of. */
static int put_version(uint32_t key, uint64_t clock)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record record = {
        .key = engine_rig_key(rig, key, memory),
        .version = {.clock = clock, .node = 1},
        .value = slice_of("v", 1),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    result_of_last = 1;
    rig->count++;
    CU_ASSERT_EQUAL(engine_put(rig->engine, &record, &(struct engine_ticket){.words = {0}}), 0);
    engine_rig_await(rig);
    return result_of_last;
}

TEST_IN_REACTOR(engine_tells_a_writer_that_a_newer_version_is_held)
{
    rig = engine_rig_make();
    rig->options.on_durable = note_result;
    rig->count = 1000;
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(put_version(1, 1000), 0);
    CU_ASSERT_EQUAL(put_version(1, 999), TORC_E_SUPERSEDED);
    CU_ASSERT_EQUAL(put_version(1, 1000), 0); /* the same write again */
    CU_ASSERT_EQUAL(put_version(1, 1001), 0);
    CU_ASSERT_EQUAL(put_version(2, 5), 0); /* versions are compared key by key */
    engine_rig_reopen(rig);
    CU_ASSERT_EQUAL(engine_version_clock_max(rig->engine), 1001);
    CU_ASSERT_EQUAL(put_version(1, 1000), TORC_E_SUPERSEDED);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(clock_of_an_engine_does_not_go_back_with_the_last_tombstone)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    put(2, 10);
    erase(3); /* of what no table has */
    engine_rig_await(rig);
    for (int life = 0; life < 2; life++) {
        CU_ASSERT_EQUAL(engine_version_clock_max(rig->engine), rig->count);
        CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
        engine_rig_settle(rig);
        CU_ASSERT_EQUAL(engine_version_clock_max(rig->engine), rig->count);
        engine_rig_reopen(rig);
    }
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_compares_writes_with_frozen_memtables)
{
    rig = engine_rig_make();
    rig->options.on_durable = note_result;
    rig->count = 1000;
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(put_version(1, 1000), 0);
    CU_ASSERT_EQUAL(engine_freeze(rig->engine, rig->engine->last_sequence, 0), 0); /* and not flushed */
    CU_ASSERT_EQUAL(put_version(1, 999), TORC_E_SUPERSEDED);
    CU_ASSERT_EQUAL(put_version(1, 1000), 0);
    CU_ASSERT_EQUAL(memtable_entries(rig->engine->active), 0);
    CU_ASSERT_EQUAL(put_version(2, 999), 0);
    CU_ASSERT_EQUAL(put_version(1, 1001), 0);
    CU_ASSERT_EQUAL(memtable_entries(rig->engine->active), 2);
    engine_wake_flush(rig->engine);
    engine_rig_await_flushes(rig, 1);
    CU_ASSERT_EQUAL(get(1, 0), ENGINE_FOUND);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static void flush(uint64_t flushes)
{
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_freeze(rig->engine, rig->engine->last_sequence, 0), 0);
    engine_wake_flush(rig->engine);
    engine_rig_await_flushes(rig, flushes);
}

/* Waits. Returns: the number of the write that a get answers which was begun before. */
static uint64_t end_get(struct engine_key *k)
{
    struct record record;
    struct engine_hold hold;
    int answer = engine_get_wait(rig->engine, k, 0, &record, &hold);
    CU_ASSERT_EQUAL_FATAL(answer, ENGINE_FOUND);
    CU_ASSERT(record_key_compare(&record.key, &k->key) == 0 && entry_verify(&record));
    engine_release(rig->engine, &hold);
    return record.version.clock;
}

/* Key 7, with a value of 300 bytes, in the only table. */
static struct record_key begin_with_7_in_a_table(struct reactor *r, char memory[RIG_KEY_BYTES_MAX])
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    put(7, 300);
    flush(1);
    return engine_rig_key(rig, 7, memory);
}

TEST_IN_REACTOR(get_that_waits_goes_on_where_it_was_unless_tables_have_changed)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record record;
    struct engine_key begun, other;
    struct record_key key = begin_with_7_in_a_table(r, memory);
    engine_key_init(rig->engine, &begun, &key);
    CU_ASSERT_EQUAL_FATAL(engine_get(rig->engine, &begun, 0, &record), ENGINE_WAITS);
    CU_ASSERT_EQUAL(begun.lead.tables, rig->engine->tables->number);
    const struct table *table = begun.lead.table->table;
    uint64_t first = end_get(&begun);
    CU_ASSERT_EQUAL(first, rig->last[7]);
    CU_ASSERT_EQUAL(table_counters(table).gets, 1);
    CU_ASSERT_EQUAL(engine_get(rig->engine, &begun, 0, &record), ENGINE_FOUND);
    CU_ASSERT_EQUAL(begun.lead.tables, 0);

    row_cache_clear(rig->engine->rows);
    put(8, 300);
    put(7, 300);
    flush(2);
    engine_key_init(rig->engine, &other, &key);
    CU_ASSERT_EQUAL_FATAL(engine_get(rig->engine, &other, 0, &record), ENGINE_WAITS);
    put(7, 300);
    flush(3);
    CU_ASSERT_EQUAL(end_get(&other), rig->last[7]); /* and not what the second table has */
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Makes the record of a key one that the row cache has. Returns: its bytes there. */
static uint8_t *make_row(struct engine_key *k)
{
    struct record record;
    (void)end_get(k);
    (void)end_get(k);
    CU_ASSERT_EQUAL_FATAL(engine_get(rig->engine, k, 0, &record), ENGINE_FOUND);
    CU_ASSERT_FATAL(row_cache_get(rig->engine->rows, k, &record));
    return (uint8_t *)(uintptr_t)entry_of_decoded(&record).data;
}

TEST_IN_REACTOR(row_that_went_bad_in_memory_is_read_again)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record record;
    struct engine_key k;
    struct record_key key = begin_with_7_in_a_table(r, memory);
    engine_key_init(rig->engine, &k, &key);
    for (size_t at = 0; at < ENTRY_HEADER_BYTES + key.key.bytes + 300; at++) {
        if (at >= ENTRY_HEADER_BYTES && at < ENTRY_HEADER_BYTES + key.key.bytes)
            continue; /* another key: the row is not found at all */
        uint8_t *row = make_row(&k);
        row[at] ^= 0x20;
        int answer = engine_get(rig->engine, &k, 0, &record);
        CU_ASSERT(answer == ENGINE_WAITS || answer == ENGINE_FOUND);
        CU_ASSERT(answer == ENGINE_WAITS || record.version.clock == rig->last[7]);
        CU_ASSERT_EQUAL(end_get(&k), rig->last[7]);
    }
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_takes_the_largest_records_through_flushes)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 12; i++)
        put(i * 5, VALUE_BYTES_MAX - i * 1000);
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_await_flushes(rig, 3);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_gives_all_tickets_back_when_it_closes)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 3000; i++)
        put(i, 500);
    engine_rig_close(rig); /* asserts that all are back */
    CU_ASSERT_EQUAL(rig->failed, 0);
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_closes_at_any_moment_of_a_flush)
{
    rig = engine_rig_make();
    for (uint32_t round = 0; round < 40; round++) {
        engine_rig_open(rig, r);
        CU_ASSERT(engine_rig_check(rig, round));
        for (uint32_t i = 0; i < 500; i++)
            put((uint32_t)engine_rig_random(rig, RIG_KEYS), 150);
        engine_rig_await(rig);
        for (uint64_t i = 0; i < engine_rig_random(rig, 60); i++)
            task_yield(r);
        engine_rig_close(rig);
    }
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_gives_its_memory_back)
{
    uint64_t before = reactor_counters(r).heap_bytes;
    rig = engine_rig_make();
    for (uint32_t round = 0; round < 3; round++) {
        engine_rig_open(rig, r);
        fill_memtables(3);
        CU_ASSERT(engine_rig_check_scan(rig));
        CU_ASSERT(engine_rig_check_all(rig));
        engine_rig_close(rig);
    }
    CU_ASSERT_EQUAL(reactor_counters(r).heap_bytes, before);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_removes_the_log_that_tables_replace)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 60000; i++) {
        put(i % RIG_KEYS, 900);
        if (i % 64 == 0)
            engine_rig_await(rig);
    }
    engine_rig_await(rig);
    engine_rig_settle(rig);
    struct engine_counters c = engine_counters(rig->engine);
    CU_ASSERT(c.log_bytes > 12u * (4 << 20));
    CU_ASSERT(c.log_segments < 9);
    CU_ASSERT(c.table_bytes < 16 << 20); /* compaction drops what was overwritten: 2.8 MB are live */
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* ---- against the model ---- */

static void write_at_random(void)
{
    uint32_t key = (uint32_t)engine_rig_random(rig, RIG_KEYS);
    uint64_t kind = engine_rig_random(rig, 100);
    struct rig_put p = {.key = key, .value_bytes = (uint32_t)engine_rig_random(rig, 300)};
    if (kind < 15)
        p.flags = RECORD_TOMBSTONE;
    else if (kind < 25)
        p.flags = RECORD_EXPIRING;
    if (p.flags == RECORD_EXPIRING)
        p.expiry_ms = kind < 20 ? 1 + engine_rig_random(rig, 1000) : engine_rig_now_ms(rig) + 86400000;
    if (kind == 99)
        p.value_bytes = (uint32_t)engine_rig_random(rig, 20000);
    engine_rig_put(rig, &p);
}

static void live_for_a_while(uint32_t writes)
{
    for (uint32_t i = 0; i < writes; i++) {
        write_at_random();
        if (engine_rig_random(rig, 40) == 0)
            engine_rig_await(rig);
        if (engine_rig_random(rig, 4) == 0)
            CU_ASSERT_FATAL(engine_rig_check(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS)));
        if (engine_rig_random(rig, 3000) == 0)
            CU_ASSERT_FATAL(engine_rig_check_scan(rig));
    }
}

TEST_IN_REACTOR(engine_agrees_with_a_model_through_restarts)
{
    rig = engine_rig_make();
    rig->random = 1;
    for (uint32_t life = 0; life < 6; life++) {
        engine_rig_open(rig, r);
        CU_ASSERT(engine_rig_check_all(rig));
        CU_ASSERT(engine_rig_check_scan(rig));
        live_for_a_while(4000);
        engine_rig_close(rig);
    }
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static void live_and_crash(struct reactor *r)
{
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    live_for_a_while(1000 + (uint32_t)engine_rig_random(rig, 2000));
    for (uint64_t i = 0; i < engine_rig_random(rig, 30); i++)
        task_yield(r);
    engine_rig_crash(rig);
}

static void look_after_the_crash(struct reactor *r)
{
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_close(rig);
}

TEST(engine_keeps_what_was_acknowledged_through_crashes)
{
    rig = engine_rig_make();
    rig->random = 2;
    for (uint32_t life = 0; life < 12; life++)
        test_run_in_reactor(live_and_crash);
    test_run_in_reactor(look_after_the_crash);
    engine_rig_free(rig);
}

TEST(engine_keeps_what_was_acknowledged_when_one_vnode_has_all)
{
    rig = engine_rig_make();
    rig->random = 3;
    rig->is_one_vnode = true;
    for (uint32_t life = 0; life < 4; life++)
        test_run_in_reactor(live_and_crash);
    test_run_in_reactor(look_after_the_crash);
    engine_rig_free(rig);
}

/* ---- refusals ---- */

TEST_IN_REACTOR(engine_refuses_a_directory_of_other_vnodes)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    put(1, 10);
    engine_rig_close(rig);
    struct engine *e = NULL;
    char why[256] = "";
    rig->options.vnode_count++;
    CU_ASSERT_EQUAL(engine_open(r, &rig->options, &e, why, sizeof why), TORC_E_CONFIGURATION);
    CU_ASSERT(why[0] != '\0');
    rig->options.vnode_count--;
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check(rig, 1));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static int note_log(void *context, const char *name)
{
    char *first = context;
    if (first[0] == '\0' && strncmp(name, "wal-", 4) == 0)
        snprintf(first, 64, "%s", name);
    return 0;
}

/* Flips a byte of the `n`-th record of the first log file. Requires: each record is one block. */
static void damage_log(struct reactor *r, uint64_t n)
{
    char path[512], name[64] = "";
    CU_ASSERT_EQUAL(directory_list(r, rig->options.directory, note_log, name), 0);
    snprintf(path, sizeof path, "%s/%s", rig->options.directory, name);
    damage_flip(r, path, 4096 * (n + 1) + 150, 0x10);
}

TEST_IN_REACTOR(engine_answers_unknown_where_acknowledged_writes_are_lost)
{
    rig = engine_rig_make();
    rig->options.segment_bytes = 0;
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < 10; key++) {
        put(key, 100);
        engine_rig_await(rig);
    }
    engine_rig_close(rig);
    damage_log(r, 4);
    for (uint32_t start = 0; start < 3; start++) {
        engine_rig_open(rig, r);
        CU_ASSERT_EQUAL(engine_counters(rig->engine).quarantined, 1); /* the same one each time */
        for (uint32_t key = 0; key < 20;
             key++) /* write 5 is lost; the log says that it is not after write 6 */
            CU_ASSERT_EQUAL(get(key, 0), key > 5 && key < 10 ? ENGINE_FOUND : TORC_E_UNKNOWN);
        engine_rig_close(rig);
    }
    engine_rig_open(rig, r);
    put(4, 50);
    put(5, 50);
    erase(5);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(get(4, 0), ENGINE_FOUND);
    CU_ASSERT_EQUAL(get(5, 0), ENGINE_ABSENT); /* deleted after what was lost: that is known */
    fill_memtables(6);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(get(RIG_KEYS + 1, 0), TORC_E_UNKNOWN);
    CU_ASSERT(engine_rig_check(rig, 4));
    CU_ASSERT(engine_rig_check(rig, 5));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static int count_tables(void *context, const char *name)
{
    *(uint32_t *)context += strncmp(name, "table-", 6) == 0;
    return 0;
}

TEST_IN_REACTOR(engine_removes_tables_that_nothing_names)
{
    rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill_memtables(1);
    engine_rig_settle(rig);
    uint64_t tables = engine_counters(rig->engine).tables;
    engine_rig_close(rig);
    char path[512];
    struct file *f;
    snprintf(path, sizeof path, "%s/table-00000000000000ff.sst", rig->options.directory);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
    file_close(r, f);
    engine_rig_open(rig, r);
    uint32_t files = 0;
    CU_ASSERT_EQUAL(directory_list(r, rig->options.directory, count_tables, &files), 0);
    CU_ASSERT_EQUAL(files, tables);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).tables, tables);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}
