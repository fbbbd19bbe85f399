/* compaction_test.c - what is left of tables after they were merged. */
#include "engine/compaction.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

#include <stdio.h>

static void put(struct engine_rig *rig, uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
}

static void erase(struct engine_rig *rig, uint32_t key)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .flags = RECORD_TOMBSTONE});
}

/* Writes keys from `first` on until another memtable has become a table. */
static void flush_with(struct engine_rig *rig, uint32_t first)
{
    uint64_t end = engine_counters(rig->engine).flushes + 1;
    for (uint32_t i = 0; i < 100000 && engine_counters(rig->engine).flushes < end; i++) {
        put(rig, first + i % 500, 200);
        engine_rig_await(rig);
    }
    CU_ASSERT_FATAL(engine_counters(rig->engine).flushes >= end);
}

struct totals {
    uint64_t entries;
    uint64_t tombstones;
    uint64_t expiring;
    uint32_t runs;
    uint32_t tables;
};

static struct totals totals(const struct engine_rig *rig)
{
    const struct table_set *set = rig->engine->tables;
    struct totals t = {.runs = set->run_count, .tables = set->count};
    for (uint32_t i = 0; i < set->count; i++) {
        const struct table_summary *s = table_summary(set->tables[i]->table);
        t.entries += s->entries;
        t.tombstones += s->tombstones;
        t.expiring += s->expiring;
    }
    return t;
}

TEST_IN_REACTOR(flush_leaves_no_tombstone_of_a_key_that_no_table_holds)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < 50; key++)
        put(rig, key, 100);
    for (uint32_t key = 0; key < 50; key++)
        erase(rig, key);
    engine_rig_put(rig,
                   &(struct rig_put){.key = 60, .value_bytes = 9, .flags = RECORD_EXPIRING, .expiry_ms = 5});
    flush_with(rig, 1000);
    CU_ASSERT(totals(rig).entries > 0);
    CU_ASSERT_EQUAL(totals(rig).tombstones, 0);
    CU_ASSERT_EQUAL(totals(rig).expiring, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(compaction_drops_tombstones_with_what_they_shadow)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < 50; key++)
        put(rig, key, 100);
    flush_with(rig, 1000);
    for (uint32_t key = 0; key < 50; key++)
        erase(rig, key);
    flush_with(rig, 1000);
    CU_ASSERT_EQUAL(totals(rig).tombstones, 50); /* an older table holds the keys still */
    CU_ASSERT(engine_rig_check_all(rig));
    while (engine_counters(rig->engine).compactions == 0)
        flush_with(rig, 1000);
    CU_ASSERT_EQUAL(totals(rig).tombstones, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* As when nothing was written for a while. */
static void merge_all(struct engine_rig *rig)
{
    engine_rig_settle(rig);
    rig->engine->is_idle = true;
    engine_wake_compaction(rig->engine);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL_FATAL(rig->engine->tables->run_count, 1);
}

/* The bottom's tables, and no other, hold every key; the rest is flushed in small pieces from here on. */
static void fill_bottom(struct engine_rig *rig)
{
    rig->options.memtable_bytes = 8 << 10;
    engine_rig_open(rig, rig->reactor);
    for (uint32_t key = 0; key < RIG_KEYS; key++)
        put(rig, key, 1000);
    engine_rig_await(rig);
    merge_all(rig);
    CU_ASSERT_FATAL(engine_counters(rig->engine).rounds > 0);
}

static uint64_t flush_keys(struct engine_rig *rig, uint32_t keys)
{
    for (uint32_t key = 0; key < keys; key++)
        put(rig, key, 1000);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    return table_run_full_bytes(&rig->engine->tables->runs[0]);
}

TEST_IN_REACTOR(merge_of_a_tier_keeps_tombstones_that_the_bottom_needs)
{
    struct engine_rig *rig = engine_rig_make();
    rig->reactor = r;
    fill_bottom(rig);
    for (uint32_t key = 0; key < 50; key++)
        erase(rig, key);
    engine_rig_put(rig,
                   &(struct rig_put){.key = 60, .value_bytes = 9, .flags = RECORD_EXPIRING, .expiry_ms = 5});
    rig->engine->options.runs_max = 4;
    struct engine_counters before = engine_counters(rig->engine);
    while (engine_counters(rig->engine).compacted_tier_bytes == before.compacted_tier_bytes)
        flush_with(rig, 2500);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).rounds, before.rounds);
    CU_ASSERT_EQUAL(totals(rig).tombstones, 50);
    CU_ASSERT_EQUAL(totals(rig).expiring, 1); /* it hides what the bottom has of its key */
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* The last upper table may go before the end of keys: the next to come is of no round that is under way. */
TEST_IN_REACTOR(round_of_idleness_is_over_when_nothing_is_left)
{
    struct engine_rig *rig = engine_rig_make();
    rig->reactor = r;
    fill_bottom(rig);
    uint64_t merged = engine_counters(rig->engine).compactions;
    for (uint32_t key = 0; key < 20; key++)
        put(rig, key, 100);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    rig->engine->is_idle = true;
    engine_wake_compaction(rig->engine);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).compactions, merged);
    CU_ASSERT_EQUAL(totals(rig).runs, 2);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* A table of many fragments stays until the last: what it deletes needs no tombstone in the bottom. */
TEST_IN_REACTOR(nothing_is_left_when_all_was_deleted)
{
    struct engine_rig *rig = engine_rig_make();
    rig->reactor = r;
    rig->options.table_bytes_max = 64 << 10;
    fill_bottom(rig);
    CU_ASSERT_FATAL(totals(rig).tables > 20);
    rig->engine->options.memtable_bytes = 1 << 20;
    for (uint32_t key = 0; key < RIG_KEYS; key++)
        erase(rig, key);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(totals(rig).tombstones, RIG_KEYS);
    round_set_position(rig->engine, &(struct record_key){.vnode = RIG_VNODE_FIRST});
    rig->engine->is_idle = rig->engine->round.is_of_idleness = true;
    engine_wake_compaction(rig->engine);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(totals(rig).tables, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static bool is_sorted(const struct table_run *run)
{
    for (uint32_t i = 1; i < run->count; i++)
        if (record_key_compare(&table_summary(run->tables[i - 1]->table)->largest,
                               &table_summary(run->tables[i]->table)->smallest) >= 0)
            return false;
    return true;
}

/* Many fragments, with reads between them. */
TEST_IN_REACTOR(round_passes_through_the_bottom_in_fragments)
{
    struct engine_rig *rig = engine_rig_make();
    rig->reactor = r;
    rig->options.table_bytes_max = 64 << 10;
    fill_bottom(rig);
    uint64_t rounds = engine_counters(rig->engine).rounds;
    uint32_t fragments_seen = 0;
    for (uint32_t i = 0; i < 12000 && engine_counters(rig->engine).rounds < rounds + 3; i++) {
        uint32_t key = (uint32_t)engine_rig_random(rig, RIG_KEYS);
        if (engine_rig_random(rig, 3) == 0)
            erase(rig, key);
        else
            put(rig, key, (uint32_t)engine_rig_random(rig, 1500));
        if (i % 8 != 0)
            continue;
        engine_rig_await(rig);
        CU_ASSERT(engine_rig_check(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS)));
        fragments_seen += rig->engine->round.position.key.bytes > 0;
        if (i % 512 == 0)
            CU_ASSERT(engine_rig_check_all(rig));
    }
    CU_ASSERT(engine_counters(rig->engine).rounds >= rounds + 3);
    CU_ASSERT(fragments_seen > 10);
    engine_rig_close(rig); /* perhaps in the middle of one: the next begins anew */
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_settle(rig);
    for (uint32_t i = 0; i < rig->engine->tables->run_count; i++)
        CU_ASSERT(is_sorted(&rig->engine->tables->runs[i]));
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* A table that came when the round was in its midst stays. A newer one that was all to come goes: what that
 * has deleted must not come to light in the other. */
TEST_IN_REACTOR(table_that_is_passed_in_part_brings_nothing_back)
{
    enum { FIRST = 7, SECOND = 14, DELETED = 1600 }; /* in the order of keys */
    char text[RIG_KEY_BYTES_MAX];
    struct engine_rig *rig = engine_rig_make();
    rig->is_one_vnode = true;
    const struct record_key second = engine_rig_key(rig, SECOND, text);
    engine_rig_open(rig, r);
    put(rig, FIRST, 100);
    put(rig, DELETED, 100);
    flush_with(rig, 1000);
    round_set_position(rig->engine, &second);
    erase(rig, DELETED);
    flush_with(rig, 1000);
    CU_ASSERT_EQUAL_FATAL(totals(rig).runs, 2);
    rig->engine->is_idle = rig->engine->round.is_of_idleness = true;
    engine_wake_compaction(rig->engine);
    engine_rig_settle(rig);
    CU_ASSERT(engine_counters(rig->engine).rounds > 0);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(keys_in_order_are_merged_without_what_is_there_already)
{
    struct engine_rig *rig = engine_rig_make();
    rig->options.table_bytes_max = 64 << 10;
    rig->is_one_vnode = true;
    engine_rig_open(rig, r);
    for (uint32_t key = 1; key < RIG_KEYS; key++) {
        if (key % 3 == 0 || key % 7 == 0) /* of other namespaces and prefixes */
            continue;
        put(rig, key, 2000);
        if (key % 16 == 0)
            engine_rig_await(rig);
    }
    engine_rig_await(rig);
    engine_rig_settle(rig);
    struct engine_counters c = engine_counters(rig->engine);
    CU_ASSERT(c.compactions >= 3);
    CU_ASSERT(c.compacted_bottom_bytes > 0);
    CU_ASSERT(c.compacted_bytes < c.flushed_bytes * 5 / 4);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static void put_expiring(struct engine_rig *rig, uint32_t keys, uint64_t expiry_ms)
{
    for (uint32_t key = 0; key < keys; key++)
        engine_rig_put(rig, &(struct rig_put){.key = key,
                                              .value_bytes = 1000,
                                              .flags = RECORD_EXPIRING,
                                              .expiry_ms = expiry_ms});
    engine_rig_await(rig);
}

/* Waits for that time, and for what the next flush has compaction do. */
static void let_expire(struct engine_rig *rig, uint64_t expiry_ms)
{
    for (int i = 0; engine_rig_now_ms(rig) <= expiry_ms && i < 1000; i++)
        task_sleep(rig->reactor, 1000000);
    flush_with(rig, 1000);
    engine_rig_settle(rig);
}

TEST_IN_REACTOR(tables_of_expired_records_go_unread)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    uint64_t expiry_ms = engine_rig_now_ms(rig) + 400;
    put_expiring(rig, 150, expiry_ms);
    engine_rig_settle(rig);
    CU_ASSERT(totals(rig).expiring > 0);
    let_expire(rig, expiry_ms);
    CU_ASSERT_EQUAL(totals(rig).expiring, 0);
    CU_ASSERT(engine_counters(rig->engine).expired_tables > 0);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).compacted_bytes, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* The older version is alive: the newer one, expired, must go on hiding it. */
TEST_IN_REACTOR(table_of_expired_records_stays_while_it_hides_something)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < 100; key++)
        put(rig, key, 1000);
    engine_rig_await(rig);
    uint64_t expiry_ms = engine_rig_now_ms(rig) + 300;
    put_expiring(rig, 100, expiry_ms);
    let_expire(rig, expiry_ms);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(counters_do_not_fall_while_a_replaced_table_is_held)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 4; i++) {
        flush_with(rig, i * 500);
        CU_ASSERT(engine_rig_check_all(rig));
    }
    struct table_set *held = rig->engine->tables;
    table_set_hold(held);
    uint64_t before = engine_counters(rig->engine).table_block_reads;
    CU_ASSERT(before > 0);
    for (uint32_t i = 0; i < 4; i++)
        flush_with(rig, i * 500);
    engine_rig_await_compactions(rig, engine_counters(rig->engine).compactions + 1);
    CU_ASSERT(engine_counters(rig->engine).table_block_reads >= before);
    table_set_release(held);
    engine_rig_settle(rig);
    CU_ASSERT(engine_counters(rig->engine).table_block_reads >= before);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* As when the bottom has expired: its trigger falls, and what is below that was no debt. */
TEST_IN_REACTOR(writers_are_not_slowed_when_the_bottom_goes)
{
    struct engine_rig *rig = engine_rig_make();
    rig->reactor = r;
    fill_bottom(rig);
    struct engine *e = rig->engine;
    e->options.memtable_bytes = 1 << 20;
    e->is_compacting = true; /* it waits */
    for (uint64_t upper = 0; upper < 300 << 10; upper = compaction_upper_bytes(e))
        (void)flush_keys(rig, 100);
    e->options.memtable_bytes = 8 << 10;
    e->pace.merge_debt.free = 0;
    compaction_refresh_debt(e);
    CU_ASSERT_EQUAL_FATAL(pace_delay_ns(&e->pace.merge_debt, 1 << 20), 0);
    const struct table_run *bottom = table_set_bottom(e->tables);
    struct tables_change change = {.removed = bottom->tables, .removed_count = bottom->count};
    CU_ASSERT_EQUAL(engine_change_tables(e, &change), 0);
    CU_ASSERT(compaction_upper_bytes(e) > 4 * compaction_trigger_bytes(e));
    CU_ASSERT_EQUAL(pace_delay_ns(&e->pace.merge_debt, 1 << 20), 0);
    (void)flush_keys(rig, 400);
    CU_ASSERT(pace_delay_ns(&e->pace.merge_debt, 1 << 20) > 0); /* but by what is written then */
    e->is_compacting = false;
    engine_wake_compaction(e);
    engine_rig_settle(rig);
    uint64_t trigger = compaction_trigger_bytes(e);
    CU_ASSERT_EQUAL(e->pace.merge_debt.free, trigger);
    CU_ASSERT(e->pace.merge_debt.limit > trigger && e->pace.merge_debt.limit <= 2 * trigger);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Of memtables with next to nothing in them, as when the log is full of writes of one key. */
TEST_IN_REACTOR(tiny_runs_are_merged_behind_large_ones)
{
    enum { TINY = 60, RUNS_MAX = 12 };
    struct engine_rig *rig = engine_rig_make();
    rig->options.runs_max = RUNS_MAX - 1;
    rig->options.memtable_bytes = 1 << 20;
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 3; i++) { /* of two any third is too much for one merge */
        for (uint32_t key = 0; key < 1500; key++)
            put(rig, 1500 * (i % 2) + key, 500);
        engine_rig_await(rig);
        CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    }
    CU_ASSERT_EQUAL_FATAL(totals(rig).runs, 3);
    for (uint32_t i = 0; i < TINY; i++) {
        put(rig, 7, 100);
        engine_rig_await(rig);
        CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
        engine_rig_settle(rig);
        CU_ASSERT(totals(rig).runs <= RUNS_MAX);
    }
    CU_ASSERT_EQUAL(engine_counters(rig->engine).rounds, 0);
    CU_ASSERT(engine_counters(rig->engine).compacted_bytes < 2 << 20); /* without the large ones */
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Of one tier: the two oldest runs fill the room of a merge, and of those behind them eight fit. */
TEST_IN_REACTOR(runs_that_do_not_fit_keep_none_of_their_tier_from_its_turn)
{
    enum { SMALL = 8 };
    struct engine_rig *rig = engine_rig_make();
    rig->reactor = r;
    fill_bottom(rig);
    uint64_t memtable_bytes = rig->engine->options.memtable_bytes;
    rig->engine->options.memtable_bytes = 1 << 20;
    rig->engine->options.runs_max = SMALL;
    rig->engine->is_compacting = true; /* it waits until all are there */
    uint64_t large = flush_keys(rig, 119) + flush_keys(rig, 119), small = 0;
    for (uint32_t i = 0; i < SMALL; i++)
        small += flush_keys(rig, 10);
    rig->engine->options.memtable_bytes = memtable_bytes;
    rig->engine->is_compacting = false;
    uint64_t room = compaction_trigger_bytes(rig->engine) / 2;
    CU_ASSERT_FATAL(large <= room && large + small / SMALL > room && small <= room);
    CU_ASSERT_FATAL(!round_is_due(rig->engine));
    engine_wake_compaction(rig->engine);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(totals(rig).runs, 4); /* the bottom, the large ones, and what eight became */
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(compaction_makes_one_run_of_disjoint_tables)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 4; i++)
        flush_with(rig, i * 500);
    engine_rig_await_compactions(rig, 1);
    engine_rig_settle(rig);
    struct totals t = totals(rig);
    CU_ASSERT_EQUAL(t.runs, 1);
    CU_ASSERT(t.tables >= 2);
    CU_ASSERT(is_sorted(&rig->engine->tables->runs[0]));
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT_EQUAL(totals(rig).runs, 1);
    CU_ASSERT_EQUAL(totals(rig).tables, t.tables);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static int count_tables(void *context, const char *name)
{
    *(uint32_t *)context += strncmp(name, "table-", 6) == 0;
    return 0;
}

TEST_IN_REACTOR(compaction_removes_the_files_it_has_replaced)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 9; i++)
        flush_with(rig, i * 200);
    engine_rig_settle(rig);
    CU_ASSERT(engine_counters(rig->engine).compactions >= 2);
    uint32_t files = 0;
    CU_ASSERT_EQUAL(directory_list(r, rig->options.directory, count_tables, &files), 0);
    CU_ASSERT_EQUAL(files, totals(rig).tables);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Closes the engine and writes over the footer of its first table. */
static void close_and_spoil_footer(struct reactor *r, struct engine_rig *rig)
{
    const struct table_ref *t = rig->engine->tables->tables[0];
    char path[ENGINE_PATH_MAX];
    uint8_t block[512];
    uint64_t bytes = table_summary(t->table)->bytes;
    engine_table_path(rig->engine, t->number, path);
    engine_rig_close(rig);
    CU_ASSERT_FATAL(bytes > sizeof block);
    memset(block, 0x5a, sizeof block);
    damage_overwrite(r, path, bytes - sizeof block, slice_of(block, sizeof block));
}

static uint32_t count_answers(struct engine_rig *rig, uint32_t first, uint32_t count, int wanted)
{
    uint32_t answers = 0;
    for (uint32_t key = first; key < first + count; key++)
        answers += engine_rig_answer(rig, key) == wanted;
    return answers;
}

TEST_IN_REACTOR(compaction_leaves_a_damaged_table_alone)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    flush_with(rig, 0);
    char path[ENGINE_PATH_MAX];
    engine_table_path(rig->engine, rig->engine->tables->tables[0]->number, path);
    engine_rig_close(rig);
    damage_flip(r, path, 5000, 0x10); /* in the middle of its second block */
    engine_rig_open(rig, r);
    for (uint32_t i = 1; i < 8; i++)
        flush_with(rig, 1000);
    engine_rig_settle(rig);
    CU_ASSERT(engine_counters(rig->engine).compactions >= 1);
    CU_ASSERT(engine_counters(rig->engine).corruptions >= 1);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "table_damaged"); /* told once, and nothing after it */
    CU_ASSERT(totals(rig).runs >= 2);
    uint32_t corrupt = count_answers(rig, 0, 500, TORC_E_CORRUPT);
    CU_ASSERT(corrupt > 0 && corrupt <= 4096 / 200);
    CU_ASSERT(count_answers(rig, 0, 500, ENGINE_FOUND) > 200); /* its other blocks are served */
    for (uint32_t key = 1000; key < 1500; key++)
        CU_ASSERT(engine_rig_check(rig, key));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Keys behind all of those that flush_with writes, when all are of one vnode. */
static uint32_t key_behind(uint32_t i)
{
    return 2001 + 21 * i; /* of the higher namespace */
}

TEST_IN_REACTOR(unreadable_table_keeps_no_tombstone_outside_of_its_range)
{
    struct engine_rig *rig = engine_rig_make();
    rig->is_one_vnode = true;
    engine_rig_open(rig, r);
    flush_with(rig, 0);
    close_and_spoil_footer(r, rig);
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL_FATAL(engine_counters(rig->engine).tables_damaged, 1);
    for (uint32_t i = 0; i < 40; i++)
        put(rig, key_behind(i), 100);
    flush_with(rig, 1000);
    for (uint32_t i = 0; i < 40; i++)
        erase(rig, key_behind(i));
    flush_with(rig, 1000);
    CU_ASSERT_EQUAL(totals(rig).tombstones, 40); /* the table before holds the keys still */
    uint64_t compactions = engine_counters(rig->engine).compactions;
    for (uint32_t i = 0; i < 40 && engine_counters(rig->engine).compactions == compactions; i++)
        flush_with(rig, 1000);
    engine_rig_settle(rig);
    CU_ASSERT(engine_counters(rig->engine).compactions > compactions);
    CU_ASSERT_EQUAL(totals(rig).tombstones, 0);
    for (uint32_t i = 0; i < 40; i++)
        CU_ASSERT(engine_rig_check(rig, key_behind(i)));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* The last table of an upper run of many. */
static const struct table_ref *last_of_a_run(const struct engine *e)
{
    for (uint32_t i = 0; i < e->tables->run_count; i++) {
        const struct table_run *run = &e->tables->runs[i];
        if (compaction_is_upper(run) && run->count > 2)
            return run->tables[run->count - 1];
    }
    return NULL;
}

/* Scrubbing may find a bad block while a fragment waits for its first key, or before that. What the other
 * tables of that run hold is merged all the same. */
TEST_IN_REACTOR(table_that_is_suspected_while_a_round_waits_takes_no_others_with_it)
{
    struct engine_rig *rig = engine_rig_make();
    rig->options.memtable_bytes = 512 << 10;
    rig->options.table_bytes_max = 64 << 10;
    engine_rig_open(rig, r);
    uint32_t suspected = 0;
    for (uint32_t i = 0; i < 40000 && suspected < 3; i++) {
        put(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS), 300);
        if (i % 64 != 0)
            continue;
        engine_rig_await(rig);
        if (!round_is_due(rig->engine))
            continue;
        for (uint64_t yields = engine_rig_random(rig, 8); yields > 0; yields--)
            task_yield(r);
        const struct table_ref *ref = last_of_a_run(rig->engine);
        if (!ref || ref->is_damaged || ref->is_suspect)
            continue;
        engine_suspect_table(rig->engine, ref->number);
        suspected++;
        engine_rig_settle(rig);
        CU_ASSERT(!round_is_due(rig->engine));
        CU_ASSERT(engine_rig_check_all(rig));
    }
    CU_ASSERT_EQUAL(suspected, 3);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).tables_damaged, 3);
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}
