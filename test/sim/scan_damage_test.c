/* scan_damage_test.c - scans over a table with a sector that cannot be read: all that is beside it comes. */
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

static struct scene *begin(struct reactor *r, struct rig *world)
{
    struct scene *s = calloc(1, sizeof *s);
    ASSERT(s);
    sim_disk_set_capacity(world->disk, DISK_BYTES);
    s->rig = engine_rig_make();
    s->rig->options.directory = "shard";
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
static void find_bad(struct scene *s)
{
    engine_rig_reopen(s->rig);
    s->first_bad = KEYS;
    for (uint32_t i = 0; i < KEYS; i++)
        if (engine_rig_answer(s->rig, engine_rig_key_number(&s->keys[i])) == TORC_E_STORAGE) {
            s->first_bad = i < s->first_bad ? i : s->first_bad;
            s->end_bad = i + 1;
        }
    CU_ASSERT_FATAL(s->first_bad > IN_A_BLOCK_MAX && s->end_bad + IN_A_BLOCK_MAX < KEYS);
    CU_ASSERT(s->end_bad - s->first_bad <= IN_A_BLOCK_MAX);
    engine_rig_reopen(s->rig);
}

/* Of the places [first, end), whose scan ends with `wanted`. Returns: how many it gives out. */
static uint32_t scan(struct scene *s, uint32_t first, uint32_t end, bool is_backward, int wanted)
{
    struct engine_range range = {.from = {.vnode = RIG_VNODE_FIRST},
                                 .to = {.vnode = ENGINE_VNODE_END},
                                 .is_backward = is_backward,
                                 .now_ms = engine_rig_now_ms(s->rig)};
    struct engine_cursor *c;
    struct record record;
    uint32_t count = 0;
    int rc;
    if (first > 0)
        range.from = s->keys[first];
    if (end < KEYS)
        range.to = s->keys[end];
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(s->rig->engine, &range, &c), 0);
    while ((rc = engine_cursor_next(c, &record)) == ENGINE_CURSOR_RECORD) {
        uint32_t place = is_backward ? end - 1 - count : first + count;
        CU_ASSERT_EQUAL(record_key_compare(&record.key, &s->keys[place]), 0);
        count++;
    }
    CU_ASSERT_EQUAL(rc, wanted);
    engine_cursor_close(c);
    return count;
}

static void scan_beside_a_bad_sector(struct reactor *r, struct rig *world)
{
    struct scene *s = begin(r, world);
    break_sector(world);
    find_bad(s);
    CU_ASSERT_EQUAL(scan(s, 0, KEYS, false, TORC_E_STORAGE), s->first_bad);
    CU_ASSERT_EQUAL(scan(s, 0, KEYS, true, TORC_E_STORAGE), KEYS - s->end_bad);
    CU_ASSERT_EQUAL(scan(s, s->end_bad, KEYS, false, 0), KEYS - s->end_bad);
    CU_ASSERT_EQUAL(scan(s, 0, s->first_bad - 1, false, 0), s->first_bad - 1);
    CU_ASSERT_EQUAL(scan(s, 0, s->first_bad - 1, true, 0), s->first_bad - 1);
    end(s);
}

/* Windows of many blocks were read at once, and failed with the sector. */
TEST(one_bad_sector_takes_no_other_keys_from_scans)
{
    rig_try(4, scan_beside_a_bad_sector);
}
