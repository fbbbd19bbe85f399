/* cursor_test.c - scans: their order, where they begin, and what happens around them meanwhile. */
#include "test/engine/engine_rig.h"

#include <stdlib.h>

static void put(struct engine_rig *rig, uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
}

static struct engine_cursor *open_at(struct engine_rig *rig, uint16_t vnode, const char *key)
{
    struct engine_cursor *c = NULL;
    struct record_key from = {.vnode = vnode, .key = slice_of_string(key)};
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &c), 0);
    return c;
}

static uint32_t count_rest(struct engine_cursor *c)
{
    struct record record;
    uint32_t count = 0;
    while (engine_cursor_next(c, &record) == 1)
        count++;
    return count;
}

/* So many keys in tables, frozen memtables and the active one. */
static void fill(struct engine_rig *rig, uint32_t keys)
{
    for (uint32_t key = 0; key < keys; key++) {
        put(rig, key, 60 + key % 90);
        if (key % 50 == 0)
            engine_rig_await(rig);
    }
    engine_rig_await(rig);
}

TEST_IN_REACTOR(cursor_begins_where_it_is_told)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill(rig, 2000);
    engine_rig_await_flushes(rig, 1);
    struct engine_cursor *c = open_at(rig, 0, ""); /* below the shard */
    CU_ASSERT_EQUAL(count_rest(c), 2000);
    engine_cursor_close(c);
    uint32_t sum = 0;
    for (uint16_t i = RIG_VNODES; i-- > 0;) {
        struct record record;
        c = open_at(rig, (uint16_t)(RIG_VNODE_FIRST + i), "");
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
        CU_ASSERT_EQUAL(record.key.vnode, RIG_VNODE_FIRST + i);
        uint32_t rest = 1 + count_rest(c);
        CU_ASSERT(rest > sum);
        sum = rest;
        engine_cursor_close(c);
    }
    CU_ASSERT_EQUAL(sum, 2000);
    c = open_at(rig, RIG_VNODE_FIRST + RIG_VNODES, ""); /* behind it */
    CU_ASSERT_EQUAL(count_rest(c), 0);
    engine_cursor_close(c);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(cursor_seeks_forward_only)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill(rig, 3000);
    for (uint32_t round = 0; round < 200; round++) {
        char a[RIG_KEY_BYTES_MAX], b[RIG_KEY_BYTES_MAX], at[RIG_KEY_BYTES_MAX];
        struct record_key from = engine_rig_key(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS), a);
        struct record_key to = engine_rig_key(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS), b);
        struct engine_cursor *c;
        struct record record;
        CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &c), 0);
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
        CU_ASSERT_EQUAL(record_key_compare(&record.key, &from), 0);
        CU_ASSERT_EQUAL(engine_cursor_seek(c, &to), 0);
        int rc = engine_cursor_next(c, &record);
        if (record_key_compare(&to, &from) > 0) {
            CU_ASSERT_EQUAL(rc, 1);
            CU_ASSERT_EQUAL(record_key_compare(&record.key, &to), 0);
        } else if (rc == 1) {
            CU_ASSERT(record_key_compare(&record.key, &from) > 0);
        }
        from = engine_rig_key(rig, 0, at);
        from.vnode = RIG_VNODE_FIRST + RIG_VNODES;
        CU_ASSERT_EQUAL(engine_cursor_seek(c, &from), 0);
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 0);
        from.vnode = RIG_VNODE_FIRST;
        CU_ASSERT_EQUAL(engine_cursor_seek(c, &from), 0);
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 0);
        engine_cursor_close(c);
    }
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(cursor_gives_out_bytes_that_no_write_changes)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    put(rig, 1, 90);
    engine_rig_await(rig);
    struct engine_cursor *c = open_at(rig, RIG_VNODE_FIRST, "");
    struct record record;
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
    put(rig, 1, 80);
    engine_rig_await(rig);
    engine_rig_put(rig, &(struct rig_put){
                            .key = 1, .value_bytes = 70, .flags = RECORD_EXPIRING, .expiry_ms = UINT64_MAX});
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_allows(rig, 1, &record, 1));
    CU_ASSERT_EQUAL(record.version.clock, 1);
    CU_ASSERT_EQUAL(count_rest(c), 0);
    engine_cursor_close(c);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Even keys are left alone while odd ones are written and erased. */
static void write_odd(struct engine_rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)engine_rig_random(rig, RIG_KEYS / 2) * 2 + 1;
        bool is_long = engine_rig_random(rig, 3) == 0;
        uint8_t flags = engine_rig_random(rig, 4) == 0 ? RECORD_TOMBSTONE : 0;
        engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = is_long ? 900 : 90, .flags = flags});
    }
}

TEST_IN_REACTOR(cursor_sees_what_lives_all_along_through_flushes_and_merges)
{
    struct engine_rig *rig = engine_rig_make();
    uint8_t *seen = calloc(RIG_KEYS, 1);
    ASSERT(seen);
    engine_rig_open(rig, r);
    fill(rig, RIG_KEYS);
    struct engine_counters before = engine_counters(rig->engine);
    struct engine_cursor *c = open_at(rig, RIG_VNODE_FIRST, "");
    struct record record;
    uint32_t even = 0, wrong = 0, previous = 0;
    while (engine_cursor_next(c, &record) == 1) {
        uint32_t key = engine_rig_key_number(&record.key);
        wrong += seen[key]++ != 0;
        even += key % 2 == 0;
        wrong += !engine_rig_allows(rig, key, &record, 1);
        if (++previous % 3 == 0)
            write_odd(rig, 12);
        if (previous % 100 == 0)
            engine_rig_await(rig);
    }
    struct engine_counters after = engine_counters(rig->engine);
    CU_ASSERT_EQUAL(even, RIG_KEYS / 2);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(after.flushes > before.flushes + 8);
    CU_ASSERT(after.compactions > before.compactions + 1);
    engine_cursor_close(c);
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_check_scan(rig));
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
    free(seen);
}
