/* read_damage_test.c - gets and scans beside a sector that cannot be read, or a table that is gone: all that
 * is beside it comes. */
#include "engine/engine_internal.h"
#include "test/engine/engine_rig.h"
#include "test/sim/disk_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 2000, VALUE_BYTES = 150, IN_A_BLOCK_MAX = 40 };
static const uint64_t DISK_BYTES = 1 << 30;

struct scene {
    struct engine_rig *rig;
    char names[KEYS][RIG_KEY_BYTES_MAX];
    struct record_key keys[KEYS]; /* in the order of scans */
    uint32_t first_bad;           /* places of those that cannot be read */
    uint32_t end_bad;
};

static int by_key(const void *a, const void *b)
{
    return record_key_compare(a, b);
}

static struct scene *begin(struct reactor *r, struct rig *world, uint32_t value_log_min)
{
    struct scene *s = calloc(1, sizeof *s);
    ASSERT(s);
    sim_disk_set_capacity(world->disk, DISK_BYTES);
    s->rig = engine_rig_make();
    s->rig->options.directory = "shard";
    s->rig->options.table_bytes_max = 64 << 10;
    s->rig->options.value_log_bytes_min = value_log_min;
    engine_rig_open(s->rig, r);
    for (uint32_t key = 0; key < KEYS; key++) {
        engine_rig_put(s->rig, &(struct rig_put){.key = key, .value_bytes = VALUE_BYTES});
        s->keys[key] = engine_rig_key(s->rig, key, s->names[key]);
    }
    engine_rig_settle(s->rig);
    qsort(s->keys, KEYS, sizeof s->keys[0], by_key);
    return s;
}

static void end(struct scene *s)
{
    engine_rig_close(s->rig);
    engine_rig_free(s->rig);
    free(s);
}

/* In the middle of the largest table. */
static void break_sector(struct rig *world)
{
    struct sim_file_info table = {.bytes = 0};
    for (uint32_t i = 0; i < sim_disk_file_count(world->disk); i++) {
        struct sim_file_info file = sim_disk_file_at(world->disk, i);
        if (strstr(file.path, "table-") && file.bytes > table.bytes)
            table = file;
    }
    CU_ASSERT_FATAL(table.bytes > 0);
    sim_disk_break_sector(world->disk, world->world, table.path, table.bytes / 2);
}

/* In a life of its own: gets leave the good blocks in the cache. */
static void find_bad(struct scene *s, int wanted)
{
    engine_rig_reopen(s->rig);
    s->first_bad = KEYS;
    for (uint32_t i = 0; i < KEYS; i++)
        if (engine_rig_answer(s->rig, engine_rig_key_number(&s->keys[i])) == wanted) {
            s->first_bad = i < s->first_bad ? i : s->first_bad;
            s->end_bad = i + 1;
        }
    CU_ASSERT_FATAL(s->first_bad > IN_A_BLOCK_MAX && s->end_bad + IN_A_BLOCK_MAX < KEYS);
    engine_rig_reopen(s->rig);
}

/* Returns: how many a scan of the range gives out before it ends with `wanted`. They are the places from
 * `first` on, or down. */
static uint32_t scan_range(struct scene *s, struct engine_range range, uint32_t first, int wanted)
{
    struct engine_cursor *c;
    struct record record;
    uint32_t count = 0;
    int rc;
    range.now_ms = engine_rig_now_ms(s->rig);
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(s->rig->engine, &range, &c), 0);
    while ((rc = engine_cursor_next(c, &record)) == ENGINE_CURSOR_RECORD) {
        uint32_t place = range.is_backward ? first - count : first + count;
        CU_ASSERT_EQUAL(record_key_compare(&record.key, &s->keys[place]), 0);
        count++;
    }
    CU_ASSERT_EQUAL(rc, wanted);
    engine_cursor_close(c);
    return count;
}

static struct engine_range all(void)
{
    return (struct engine_range){.from = {.vnode = RIG_VNODE_FIRST}, .to = {.vnode = ENGINE_VNODE_END}};
}

static uint32_t scan(struct scene *s, uint32_t first, uint32_t end, int wanted)
{
    struct engine_range range = all();
    range.from = s->keys[first];
    if (end < KEYS)
        range.to = s->keys[end];
    return scan_range(s, range, first, wanted);
}

static uint32_t scan_back(struct scene *s, uint32_t first, uint32_t end, int wanted)
{
    struct engine_range range = all();
    range.is_backward = true;
    if (first > 0)
        range.from = s->keys[first];
    if (end < KEYS)
        range.to = s->keys[end];
    return scan_range(s, range, end - 1, wanted);
}

static void scan_beside_a_bad_sector(struct reactor *r, struct rig *world)
{
    struct scene *s = begin(r, world, UINT32_MAX);
    break_sector(world);
    find_bad(s, TORC_E_STORAGE);
    CU_ASSERT(s->end_bad - s->first_bad <= IN_A_BLOCK_MAX);
    CU_ASSERT_EQUAL(scan(s, 0, KEYS, TORC_E_STORAGE), s->first_bad);
    CU_ASSERT_EQUAL(scan_back(s, 0, KEYS, TORC_E_STORAGE), KEYS - s->end_bad);
    CU_ASSERT_EQUAL(scan(s, s->end_bad, KEYS, 0), KEYS - s->end_bad);
    CU_ASSERT_EQUAL(scan(s, 0, s->first_bad - 1, 0), s->first_bad - 1);
    CU_ASSERT_EQUAL(scan_back(s, 0, s->first_bad - 1, 0), s->first_bad - 1);
    end(s);
}

/* Windows of many blocks were read at once, and failed with the sector. */
TEST(one_bad_sector_takes_no_other_keys_from_scans)
{
    rig_try(4, scan_beside_a_bad_sector);
}

/* Up to just behind the last key before the damage, and from the first behind it. */
static void check_ranges_beside(struct scene *s)
{
    char text[RIG_KEY_BYTES_MAX + 1] = {0};
    struct slice last = s->keys[s->first_bad - 1].key;
    memcpy(text, last.data, last.bytes);
    struct engine_range range = all();
    range.to = s->keys[s->first_bad - 1];
    range.to.key = slice_of(text, last.bytes + 1);
    range.to.subkey = slice_of(NULL, 0);
    CU_ASSERT_EQUAL(scan_range(s, range, 0, 0), s->first_bad);
    CU_ASSERT_EQUAL(scan_back(s, s->end_bad, KEYS, 0), KEYS - s->end_bad);
}

static void scan_up_to_a_bad_sector(struct reactor *r, struct rig *world)
{
    struct scene *s = begin(r, world, UINT32_MAX);
    break_sector(world);
    find_bad(s, TORC_E_STORAGE);
    check_ranges_beside(s);
    end(s);
}

TEST(a_range_that_ends_before_a_bad_block_is_whole)
{
    rig_try(4, scan_up_to_a_bad_sector);
}

static void scan_up_to_a_lost_table(struct reactor *r, struct rig *world)
{
    struct scene *s = begin(r, world, UINT32_MAX);
    const struct table_set *set = s->rig->engine->tables;
    const struct table_run *run = &set->runs[0];
    char path[ENGINE_PATH_MAX];
    for (uint32_t i = 0; i < set->run_count; i++)
        run = set->runs[i].count > run->count ? &set->runs[i] : run;
    CU_ASSERT_FATAL(run->count >= 3);
    engine_table_path(s->rig->engine, run->tables[1]->number, path);
    engine_rig_close(s->rig);
    sim_disk_remove_file(world->disk, path);
    engine_rig_open(s->rig, r);
    find_bad(s, TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(scan(s, 0, KEYS, TORC_E_CORRUPT), s->first_bad);
    check_ranges_beside(s);
    end(s);
}

TEST(a_range_that_ends_before_a_lost_table_is_whole)
{
    rig_try(4, scan_up_to_a_lost_table);
}

static void read_a_value_once_in_vain(struct reactor *r, struct rig *world)
{
    struct scene *s = begin(r, world, VALUE_BYTES);
    CU_ASSERT_FATAL(engine_counters(s->rig->engine).value_files > 0);
    engine_rig_reopen(s->rig);
    CU_ASSERT(engine_rig_check(s->rig, 1)); /* its block is in the cache from now on */
    row_cache_clear(s->rig->engine->rows);
    rig_set_fault(world, SIM_READ_ERROR);
    CU_ASSERT_EQUAL(engine_rig_answer(s->rig, 1), TORC_E_STORAGE);
    CU_ASSERT_EQUAL(engine_counters(s->rig->engine).value_reads, 2); /* it was the value, not the block */
    rig_set_fault(world, SIM_FAULT_COUNT);
    CU_ASSERT(engine_rig_check(s->rig, 1));
    CU_ASSERT_EQUAL(engine_counters(s->rig->engine).value_files_damaged, 0);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(s->rig), 0);
    end(s);
}

/* The file counted as damaged from then on: no snapshot and no backup until the next start. */
TEST(a_value_that_could_not_be_read_once_stops_no_snapshot)
{
    rig_try(4, read_a_value_once_in_vain);
}
