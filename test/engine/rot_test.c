/* rot_test.c - records that go bad in the block cache, and in memory before they reach a table.
 *
 * What is bad in memory alone costs one more read of its block and nothing else: it is answered as it was
 * put, and neither table nor value log is held to be damaged. What is bad on the disk stays CORRUPT. */
#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "test/engine/engine_rig.h"

enum { KEYS = 8, KEY = 4, VALUE_BYTES = 300, LARGE = 5000, BIT = 0x20 };

/* Of an entry's header what says which key it is: when that goes bad, the key is not found at all. */
enum { KEY_FIELDS_BEGIN = 4, KEY_FIELDS_END = 14 };

static struct engine_rig *begin(struct reactor *r, uint32_t value_bytes)
{
    struct engine_rig *rig = engine_rig_make();
    rig->is_one_vnode = true;
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < KEYS; key++)
        engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
    engine_rig_await(rig);
    return rig;
}

static struct engine_rig *begin_with_table(struct reactor *r, uint32_t value_bytes)
{
    struct engine_rig *rig = begin(r, value_bytes);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    CU_ASSERT_EQUAL_FATAL(rig->engine->tables->count, 1);
    return rig;
}

static void end(struct engine_rig *rig)
{
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Returns: whether all that went bad was read again, block by block, and nothing is held to be damaged. */
static bool is_mended(const struct engine_rig *rig, uint64_t blocks)
{
    struct engine_counters c = engine_counters(rig->engine);
    return c.bad_blocks == blocks && c.corruptions == 0 && c.tables_damaged == 0 &&
           c.value_files_damaged == 0 && rig->events == 0;
}

static uint64_t block_reads(const struct engine_rig *rig)
{
    return engine_counters(rig->engine).table_block_reads;
}

static void begin_get(const struct engine_rig *rig, struct engine_key *k, char memory[RIG_KEY_BYTES_MAX])
{
    struct record_key key = engine_rig_key(rig, KEY, memory);
    engine_key_init(rig->engine, k, &key);
}

static int get_at_once(struct engine_rig *rig)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct engine_key k;
    struct record record;
    begin_get(rig, &k, memory);
    return engine_get(rig->engine, &k, 0, &record);
}

/* Waits. Has the key's block in the cache, and no row of it. *out: its record there. Returns: its entry. */
static uint8_t *entry_in_cache(struct engine_rig *rig, struct record *out)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key key = engine_rig_key(rig, KEY, memory);
    uint32_t block;
    CU_ASSERT_EQUAL(engine_rig_answer(rig, KEY), ENGINE_FOUND);
    row_cache_clear(rig->engine->rows);
    struct table_wanted wanted = {&key, table_key_hash(&key)};
    struct table *table = rig->engine->tables->tables[0]->table;
    CU_ASSERT_EQUAL_FATAL(table_get_cached(table, wanted, out, &block), TABLE_FOUND);
    return (uint8_t *)(uintptr_t)entry_of_decoded(out).data;
}

/* Each byte of the entry in turn that is not of its key, and what is asked then. */
static void spoil_each_byte(struct reactor *r, bool (*is_answered)(struct engine_rig *rig))
{
    struct engine_rig *rig = begin_with_table(r, VALUE_BYTES);
    struct record record;
    uint64_t tries = 0;
    for (size_t at = 0; at < ENTRY_HEADER_BYTES + VALUE_BYTES; at++) {
        if (at >= KEY_FIELDS_BEGIN && at < KEY_FIELDS_END)
            continue;
        uint8_t *entry = entry_in_cache(rig, &record);
        uint8_t *value = (uint8_t *)(uintptr_t)record.value.data;
        *(at < ENTRY_HEADER_BYTES ? entry + at : value + (at - ENTRY_HEADER_BYTES)) ^= BIT;
        uint64_t reads = block_reads(rig);
        CU_ASSERT_TRUE(is_answered(rig));
        CU_ASSERT_EQUAL(block_reads(rig), reads + 1);
        CU_ASSERT_TRUE(is_mended(rig, ++tries));
    }
    end(rig);
}

static bool get_at_once_and_then_wait(struct engine_rig *rig)
{
    return get_at_once(rig) == ENGINE_WAITS && engine_rig_check(rig, KEY);
}

TEST_IN_REACTOR(block_that_went_bad_in_memory_is_read_again_by_a_get)
{
    spoil_each_byte(r, get_at_once_and_then_wait);
}

static bool get_with_waiting(struct engine_rig *rig)
{
    struct record record;
    struct engine_hold hold;
    bool is_right = engine_rig_get(rig, KEY, &record, &hold) == ENGINE_FOUND &&
                    engine_rig_allows(rig, KEY, &record, rig->last[KEY]);
    engine_release(rig->engine, &hold);
    return is_right;
}

TEST_IN_REACTOR(block_that_went_bad_in_memory_is_read_again_by_a_get_that_waits)
{
    spoil_each_byte(r, get_with_waiting);
}

TEST_IN_REACTOR(block_that_went_bad_in_memory_is_read_again_by_a_scan)
{
    spoil_each_byte(r, engine_rig_check_scan);
}

static bool scan_backward(struct engine_rig *rig)
{
    struct engine_range range = {.from = {.vnode = RIG_VNODE_FIRST},
                                 .to = {.vnode = ENGINE_VNODE_END},
                                 .is_backward = true};
    struct engine_cursor *c;
    struct record record;
    uint32_t count = 0;
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
    while (engine_cursor_next(c, &record) == ENGINE_CURSOR_RECORD) {
        uint32_t key = engine_rig_key_number(&record.key);
        count += engine_rig_allows(rig, key, &record, rig->last[key]);
    }
    engine_cursor_close(c);
    return count == KEYS;
}

TEST_IN_REACTOR(block_that_went_bad_in_memory_is_read_again_by_a_scan_backward)
{
    spoil_each_byte(r, scan_backward);
}

/* It may have been given out in another one's place. */
TEST_IN_REACTOR(a_key_that_went_bad_in_memory_ends_one_scan)
{
    struct record record;
    struct engine_rig *rig = begin_with_table(r, VALUE_BYTES);
    struct engine_range range = {.from = {.vnode = RIG_VNODE_FIRST}, .to = {.vnode = ENGINE_VNODE_END}};
    struct engine_cursor *c;
    (void)entry_in_cache(rig, &record);
    *(uint8_t *)(uintptr_t)record.key.key.data ^= BIT;
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
    int rc;
    while ((rc = engine_cursor_next(c, &record)) == ENGINE_CURSOR_RECORD)
        CU_ASSERT_NOT_EQUAL(engine_rig_key_number(&record.key), KEY);
    CU_ASSERT_EQUAL(rc, TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
    engine_cursor_close(c);
    CU_ASSERT_TRUE(engine_rig_check_scan(rig));
    CU_ASSERT_TRUE(is_mended(rig, 1));
    end(rig);
}

/* ---- pointers into value logs ---- */

static void spoil_pointers(struct reactor *r, bool (*is_answered)(struct engine_rig *rig))
{
    struct engine_rig *rig = begin_with_table(r, LARGE);
    struct record record;
    CU_ASSERT_EQUAL(engine_counters(rig->engine).value_files, 1);
    for (size_t at = 0; at < VALUE_POINTER_BYTES; at++) {
        (void)entry_in_cache(rig, &record);
        CU_ASSERT_EQUAL_FATAL(record.value.bytes, VALUE_POINTER_BYTES);
        ((uint8_t *)(uintptr_t)record.value.data)[at] ^= BIT;
        uint64_t reads = block_reads(rig);
        CU_ASSERT_TRUE(is_answered(rig));
        CU_ASSERT_EQUAL(block_reads(rig), reads + 1);
        CU_ASSERT_TRUE(is_mended(rig, at + 1));
    }
    end(rig);
}

TEST_IN_REACTOR(a_pointer_that_went_bad_in_memory_is_read_again_by_a_get)
{
    spoil_pointers(r, get_with_waiting);
}

TEST_IN_REACTOR(a_pointer_that_went_bad_in_memory_is_read_again_by_a_scan)
{
    spoil_pointers(r, engine_rig_check_scan);
}

/* ---- bad on the disk ---- */

/* Waits. A table with a record of the key that was bad before it was written. */
static struct engine_rig *begin_with_bad_record(struct reactor *r)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct engine_key k;
    struct record record;
    struct engine_rig *rig = begin(r, VALUE_BYTES);
    begin_get(rig, &k, memory);
    CU_ASSERT_EQUAL_FATAL(engine_get(rig->engine, &k, 0, &record), ENGINE_FOUND);
    *(uint8_t *)(uintptr_t)record.value.data ^= BIT;
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    return rig;
}

TEST_IN_REACTOR(a_record_that_is_bad_on_the_disk_costs_each_get_one_read_and_becomes_no_row)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct engine_key k;
    struct record record;
    struct engine_rig *rig = begin_with_bad_record(r);
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t reads = block_reads(rig), corruptions = engine_counters(rig->engine).corruptions;
        CU_ASSERT_EQUAL(get_at_once(rig), ENGINE_WAITS);
        CU_ASSERT_EQUAL(engine_rig_answer(rig, KEY), TORC_E_CORRUPT);
        CU_ASSERT_EQUAL(block_reads(rig), reads + 1);
        CU_ASSERT_EQUAL(engine_rig_answer(rig, KEY), TORC_E_CORRUPT); /* without a look before */
        CU_ASSERT_EQUAL(block_reads(rig), reads + 2);
        CU_ASSERT_EQUAL(engine_counters(rig->engine).corruptions, corruptions + 2);
        begin_get(rig, &k, memory);
        CU_ASSERT_FALSE(row_cache_get(rig->engine->rows, &k, &record));
        CU_ASSERT_TRUE(engine_rig_check(rig, KEY + 1));
    }
    end(rig);
}

TEST_IN_REACTOR(a_record_that_is_bad_on_the_disk_ends_a_scan_also_out_of_the_cache)
{
    struct engine_rig *rig = begin_with_bad_record(r);
    for (uint64_t i = 0; i < 3; i++) {
        struct engine_cursor *c;
        struct record record;
        struct record_key from = {.vnode = RIG_VNODE_FIRST};
        uint64_t reads = block_reads(rig);
        CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, 0, &c), 0);
        int rc;
        while ((rc = engine_cursor_next(c, &record)) == ENGINE_CURSOR_RECORD)
            CU_ASSERT_NOT_EQUAL(engine_rig_key_number(&record.key), KEY);
        CU_ASSERT_EQUAL(rc, TORC_E_CORRUPT);
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
        CU_ASSERT_EQUAL(block_reads(rig), reads + 1);
        engine_cursor_close(c);
    }
    end(rig);
}
