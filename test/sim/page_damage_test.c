/* page_damage_test.c - pages of a scan in whose way a sector cannot be read bring all that is before it. */
#include "test/sim/server_rig.h"

#include <stdio.h>
#include <string.h>

enum { KEYS = 600, VALUE_BYTES = 200, IN_A_BLOCK_MAX = 30 };

/* Of one vnode, so that pages come in the order of keys. */
static const char *key_of(unsigned i)
{
    static char key[32];
    snprintf(key, sizeof key, "{tag}%04u", i);
    return key;
}

static void put_all(struct server_rig *rig)
{
    static const uint8_t value[VALUE_BYTES];
    for (unsigned i = 0; i < KEYS; i++) {
        struct rig_request q = {.op = FRAME_PUT, .key = key_of(i), .value = slice_of(value, sizeof value)};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

/* In the middle of the largest table. */
static void break_sector(struct server_rig *rig)
{
    struct sim_disk *disk = sim_node_disk(rig->server.node);
    struct sim_file_info table = {.bytes = 0};
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        if (strstr(file.path, "table-") && file.bytes > table.bytes)
            table = file;
    }
    CU_ASSERT_FATAL(table.bytes > 0);
    sim_disk_break_sector(disk, rig->world, table.path, table.bytes / 2);
}

/* Page after page until one is an error. Returns: the keys that came. */
static unsigned scan(struct server_rig *rig, uint8_t flags, uint32_t limit)
{
    uint8_t memory[FRAME_CURSOR_BYTES_MAX] = {0};
    struct slice cursor = slice_of(memory, 0);
    unsigned count = 0;
    rig->asked = rig->answered = 0;
    while (rig->asked < RIG_ANSWERS_MAX) {
        struct rig_request q = {.op = FRAME_SCAN,
                                .flags = flags | FRAME_KEYS_ONLY,
                                .key = "{tag}",
                                .value = cursor,
                                .limit = limit};
        unsigned place = rig_ask(rig, &q);
        rig_await(rig);
        const struct rig_answer *a = &rig->answers[place];
        if (a->code) {
            CU_ASSERT_EQUAL(a->code, TORC_E_STORAGE);
            return count;
        }
        struct slice next, entries, key, value;
        CU_ASSERT_FATAL(a->value_bytes < sizeof a->value);
        CU_ASSERT_EQUAL(frame_page_parse(slice_of(a->value, a->value_bytes), &next, &entries), 0);
        CU_ASSERT_FATAL(next.bytes > 0); /* the end is behind the damage */
        memcpy(memory, next.data, next.bytes);
        cursor = slice_of(memory, next.bytes);
        for (; frame_page_next(&entries, &key, &value) == 1; count++) {
            unsigned at = flags & FRAME_REVERSE ? KEYS - 1 - count : count;
            CU_ASSERT(slice_equal(key, slice_of_string(key_of(at))));
        }
    }
    CU_FAIL("it never came to the damage");
    return count;
}

static void scan_both_ways(struct server_rig *rig)
{
    static const uint32_t limits[] = {1, 10, 150};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        unsigned before = scan(rig, 0, limits[i]);
        unsigned behind = scan(rig, FRAME_REVERSE, limits[i]);
        CU_ASSERT(before > 0 && behind > 0);
        CU_ASSERT(before + behind >= KEYS - IN_A_BLOCK_MAX && before + behind < KEYS);
    }
}

TEST(pages_bring_all_keys_before_a_bad_sector)
{
    struct server_rig rig;
    server_rig_open(&rig, 1);
    server_rig_start(&rig);
    server_rig_run(&rig, put_all);
    server_rig_stop(&rig);
    break_sector(&rig);
    server_rig_start(&rig);
    server_rig_run(&rig, scan_both_ways);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}
