/* cursor_damage_test.c - scans that go on behind an error: nothing that was passed over comes back.
 *
 * Found by build/sim --seed 65: only the source that had failed was sought again, and gave out what the
 * others had passed over as deleted. */
#include "engine/engine_internal.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

#include <stdio.h>

enum { KEYS = 400, BAD_BLOCK = 1, BLOCK_BYTES = 4096 };

static void await_flush(struct engine_rig *rig)
{
    uint64_t end = engine_counters(rig->engine).flushes + 1;
    for (uint32_t i = 0; i < 20000 && engine_counters(rig->engine).flushes < end; i++) {
        engine_rig_put(rig, &(struct rig_put){.key = i % KEYS, .value_bytes = 150});
        engine_rig_await(rig);
    }
    CU_ASSERT_EQUAL_FATAL(engine_counters(rig->engine).flushes, end);
}

TEST_IN_REACTOR(scan_behind_an_error_gives_out_nothing_that_is_deleted)
{
    struct engine_rig *rig = engine_rig_make();
    struct engine_cursor *c;
    struct record record;
    char path[ENGINE_PATH_MAX];
    rig->is_one_vnode = true;
    engine_rig_open(rig, r);
    await_flush(rig);
    engine_table_path(rig->engine, rig->engine->tables->runs[0].tables[0]->number, path);
    engine_rig_close(rig);
    damage_flip(r, path, BAD_BLOCK * BLOCK_BYTES + 700, 0x10);
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < KEYS; key++)
        engine_rig_put(rig, &(struct rig_put){.key = key, .flags = RECORD_TOMBSTONE});
    engine_rig_await(rig);
    CU_ASSERT_EQUAL_FATAL(rig->engine->tables->run_count, 1);
    struct record_key from = {.vnode = RIG_VNODE_FIRST};
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &c), 0);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT); /* all before it is deleted */
        CU_ASSERT_EQUAL(engine_cursor_seek(c, &from), 0);
    }
    from.vnode = RIG_VNODE_FIRST + RIG_VNODES - 1;
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(engine_cursor_seek(c, &from), 0);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 0);
    engine_cursor_close(c);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Of a memtable, behind the engine's back. */
static void spoil(struct engine_rig *rig, uint32_t key)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key plain = engine_rig_key(rig, key, memory);
    struct engine_key k;
    struct record record;
    engine_key_init(rig->engine, &k, &plain);
    CU_ASSERT_EQUAL_FATAL(engine_get(rig->engine, &k, 0, &record), ENGINE_FOUND);
    *(uint8_t *)(uintptr_t)record.value.data ^= 1;
}

TEST_IN_REACTOR(record_that_went_bad_is_not_passed_over_by_a_scan)
{
    static const uint32_t keys[] = {1, 2, 4}; /* of one namespace */
    char memory[RIG_KEY_BYTES_MAX];
    struct engine_rig *rig = engine_rig_make();
    struct engine_cursor *c;
    struct record record;
    rig->is_one_vnode = true;
    engine_rig_open(rig, r);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        engine_rig_put(rig, &(struct rig_put){.key = keys[i], .value_bytes = 10});
    engine_rig_await(rig);
    spoil(rig, 2);
    struct record_key to = {.vnode = RIG_VNODE_FIRST};
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &to, engine_rig_now_ms(rig), &c), 0);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), ENGINE_CURSOR_RECORD);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
    to = engine_rig_key(rig, 2, memory);
    CU_ASSERT_EQUAL(engine_cursor_seek(c, &to), 0);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
    to = engine_rig_key(rig, 4, memory);
    CU_ASSERT_EQUAL(engine_cursor_seek(c, &to), 0);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), ENGINE_CURSOR_RECORD);
    CU_ASSERT_EQUAL(engine_rig_key_number(&record.key), 4);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), ENGINE_CURSOR_END);
    engine_cursor_close(c);
    engine_rig_close(rig);
    engine_rig_free(rig);
}
