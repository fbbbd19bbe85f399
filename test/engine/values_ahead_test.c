/* values_ahead_test.c - records of a merge come out as they are, and with the values that are to move. */
#include "engine/values_ahead.h"

#include "engine/engine_internal.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

enum { KEYS = 300, ROUNDS = 5, LARGE = 5000 };

/* A merge over all tables, and a build that would move every value. */
struct ahead_rig {
    struct engine_rig *rig;
    struct merge merge;
    struct values_build build;
    struct values_ahead ahead;
};

static void add_runs(struct ahead_rig *a, struct merge *m)
{
    const struct table_set *set = a->rig->engine->tables;
    CU_ASSERT_EQUAL_FATAL(merge_init(m, a->rig->reactor, set->run_count), 0);
    for (uint32_t i = 0; i < set->run_count; i++)
        merge_add_run(m, &set->runs[i], TABLE_CURSOR_BULK);
}

static struct ahead_rig begin(struct reactor *r)
{
    struct ahead_rig a = {.rig = engine_rig_make()};
    a.rig->options.value_log_bytes_min = 1000;
    engine_rig_open(a.rig, r);
    for (uint32_t i = 0; i < ROUNDS * KEYS; i++) {
        uint32_t key = (uint32_t)engine_rig_random(a.rig, KEYS);
        engine_rig_put(a.rig, &(struct rig_put){.key = key, .value_bytes = i % 5 == 0 ? 100 : LARGE});
        engine_rig_await(a.rig);
    }
    engine_rig_settle(a.rig);
    return a;
}

/* The build is full: no file that it does not name has a place. */
static void start(struct ahead_rig *a)
{
    struct engine *e = a->rig->engine;
    add_runs(a, &a->merge);
    values_build_init(&a->build, e, (struct disk_share){.disk = NULL});
    a->build.row = reactor_alloc_zeroed(e->reactor, VALUE_REFERENCES_MAX * sizeof a->build.row[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a->build.row);
    a->build.count = VALUE_REFERENCES_MAX;
    CU_ASSERT(values_ahead_pays(&a->merge));
    CU_ASSERT_EQUAL_FATAL(values_ahead_init(&a->ahead, e, &a->merge, &a->build), 0);
    CU_ASSERT_EQUAL_FATAL(merge_seek(&a->merge, &(struct record_key){.vnode = RIG_VNODE_FIRST}), 0);
}

static void end(struct ahead_rig *a)
{
    values_ahead_deinit(&a->ahead);
    values_build_deinit(&a->build);
    merge_deinit(&a->merge);
    engine_rig_close(a->rig);
    engine_rig_free(a->rig);
}

/* Returns: whether it is a pointer; then its value was read, too. */
static bool check_value(struct ahead_rig *a, const struct record *record)
{
    struct value_pointer p;
    struct record whole = *record;
    if (!(record->flags & RECORD_SEPARATED))
        return false;
    CU_ASSERT_EQUAL_FATAL(value_pointer_decode(record->value, &p), 0);
    const uint8_t *stored = values_ahead_find(&a->ahead, &p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stored);
    CU_ASSERT_EQUAL(value_accept(&whole, &p, stored), 0);
    CU_ASSERT_EQUAL(whole.value.bytes, LARGE);
    return true;
}

/* Until the end, against a merge by itself that stands at the same record. Returns: how many pointers. */
static uint32_t compare(struct ahead_rig *a, struct merge *plain, uint32_t *records)
{
    struct record record, expected;
    struct slice entry;
    uint32_t pointers = 0;
    int rc;
    for (*records = 0; (rc = values_ahead_next(&a->ahead, &record, &entry)) == 1; (*records)++) {
        CU_ASSERT_EQUAL_FATAL(merge_next(plain, &expected), 1);
        CU_ASSERT_EQUAL(record_key_compare(&record.key, &expected.key), 0);
        CU_ASSERT(slice_equal(entry, merge_entry(plain)));
        CU_ASSERT_EQUAL(a->merge.place.source, plain->place.source);
        CU_ASSERT_EQUAL(a->merge.place.table, plain->place.table);
        pointers += check_value(a, &record);
    }
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(merge_next(plain, &expected), 0);
    return pointers;
}

TEST_IN_REACTOR(values_that_move_are_read_many_at_once)
{
    struct ahead_rig a = begin(r);
    struct merge plain;
    uint32_t records;
    start(&a);
    add_runs(&a, &plain);
    CU_ASSERT_EQUAL(merge_seek(&plain, &(struct record_key){.vnode = RIG_VNODE_FIRST}), 0);
    uint64_t before = disk_counters(a.rig->engine->disk).transfers[DISK_COMPACTION];
    uint32_t pointers = compare(&a, &plain, &records);
    uint64_t reads = disk_counters(a.rig->engine->disk).transfers[DISK_COMPACTION] - before;
    CU_ASSERT(records > pointers && pointers > KEYS / 2);
    CU_ASSERT(reads > 0 && reads * 2 < pointers);
    CU_ASSERT_EQUAL(values_ahead_next(&a.ahead, &(struct record){.flags = 0}, &(struct slice){NULL, 0}), 0);
    merge_deinit(&plain);
    end(&a);
}

TEST_IN_REACTOR(what_was_taken_ahead_is_dropped_when_the_merge_is_sought_anew)
{
    struct ahead_rig a = begin(r);
    struct merge plain;
    struct record record;
    struct slice entry;
    uint8_t memory[KEY_BYTES_MAX];
    start(&a);
    for (uint32_t i = 0; i < KEYS / 2; i++)
        CU_ASSERT_EQUAL_FATAL(values_ahead_next(&a.ahead, &record, &entry), 1);
    struct record_key key = record.key;
    memcpy(memory, key.key.data, key.key.bytes);
    key.key.data = memory;
    for (uint32_t i = 0; i < KEYS / 4; i++)
        CU_ASSERT_EQUAL_FATAL(values_ahead_next(&a.ahead, &record, &entry), 1);
    values_ahead_restart(&a.ahead);
    CU_ASSERT_EQUAL(merge_seek_anew(&a.merge, &key), 0);
    add_runs(&a, &plain);
    CU_ASSERT_EQUAL(merge_seek(&plain, &key), 0);
    uint32_t records;
    CU_ASSERT(compare(&a, &plain, &records) > 0);
    CU_ASSERT(records > KEYS / 4); /* those that were given out twice among them */
    merge_deinit(&plain);
    end(&a);
}

TEST_IN_REACTOR(nothing_behind_the_end_of_a_stretch_is_given_out)
{
    struct ahead_rig a = begin(r);
    struct record record;
    struct slice entry;
    char memory[RIG_KEY_BYTES_MAX];
    start(&a);
    struct record_key limit = engine_rig_key(a.rig, KEYS / 2, memory);
    a.ahead.end = &limit;
    uint32_t count = 0;
    int rc;
    while ((rc = values_ahead_next(&a.ahead, &record, &entry)) == 1) {
        CU_ASSERT(record_key_compare(&record.key, &limit) < 0);
        count++;
    }
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT(count > 0 && count < KEYS);
    end(&a);
}

/* What comes before it is given out first, and then its table is named. */
TEST_IN_REACTOR(a_block_that_is_bad_ahead_is_named_when_its_turn_has_come)
{
    struct ahead_rig a = begin(r);
    struct merge plain;
    struct record record, expected;
    struct slice entry;
    char path[ENGINE_PATH_MAX];
    const struct table_run *bottom = table_set_bottom(a.rig->engine->tables);
    CU_ASSERT_FATAL(bottom && bottom->count > 1);
    const struct table_ref *bad = bottom->tables[bottom->count - 1];
    engine_table_path(a.rig->engine, bad->number, path);
    damage_flip(r, path, 700, 0x10); /* in its first block */
    start(&a);
    add_runs(&a, &plain);
    CU_ASSERT_EQUAL(merge_seek(&plain, &(struct record_key){.vnode = RIG_VNODE_FIRST}), 0);
    uint32_t count = 0;
    int rc;
    for (; (rc = values_ahead_next(&a.ahead, &record, &entry)) == 1; count++)
        CU_ASSERT_EQUAL_FATAL(merge_next(&plain, &expected), 1);
    CU_ASSERT_EQUAL(rc, TORC_E_CORRUPT);
    CU_ASSERT(count > 0);
    CU_ASSERT_EQUAL(merge_next(&plain, &expected), TORC_E_CORRUPT);
    struct merge_place place = a.merge.place;
    CU_ASSERT_EQUAL(place.source, plain.place.source);
    CU_ASSERT_EQUAL(place.table, plain.place.table);
    CU_ASSERT_PTR_EQUAL(a.merge.sources[place.source].run->tables[place.table], bad);
    merge_deinit(&plain);
    end(&a);
}
