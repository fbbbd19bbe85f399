/* engine_script_test.c - bugs of the engine that histories have found, each told again step by step. */
#include "engine/entry.h"
#include "engine/wal_format.h"
#include "test/sim/engine_script.h"

#include <stdio.h>

/* Where the last log record with entries is. */
static uint64_t last_record(const struct script *s, const char *path)
{
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_record_header h;
    uint64_t last = 0;
    for (uint64_t at = WAL_BLOCK_BYTES;
         sim_disk_peek(sim_node_disk(s->node), path, block, sizeof block, at) == (int64_t)sizeof block;
         at += WAL_BLOCK_BYTES)
        if (wal_record_header_decode(block, &h) && h.entry_count > 0)
            last = at;
    CU_ASSERT_FATAL(last > 0);
    return last;
}

/* ---- what was found ---- */

static void expect_last_unknown(struct script *s)
{
    CU_ASSERT(script_has_event(s, "log_damaged"));
    CU_ASSERT(!script_has_event(s, "log_tail_cut"));
    CU_ASSERT_EQUAL(script_answer(s, 9), TORC_E_UNKNOWN);
}

static void expect_last_unknown_still(struct script *s)
{
    CU_ASSERT_EQUAL(engine_counters(s->engine).quarantined, 1);
    CU_ASSERT_EQUAL(script_answer(s, 9), TORC_E_UNKNOWN);
    script_put(s, 9);
    CU_ASSERT_EQUAL(script_answer(s, 9), ENGINE_FOUND);
}

/* No record came after it, so only that it cannot be read tells it from a torn one. */
TEST(log_whose_last_record_cannot_be_read_is_damaged_and_not_torn)
{
    static const char path[] = "shard/wal-0000000000000001.log";
    struct script *s = script_new(&(struct sim_world_options){.seed = 1});
    script_run_and_lose_power(s, script_put_ten);
    CU_ASSERT_EQUAL(s->failed, 0);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, path, last_record(s, path));
    script_run_to_the_end(s, expect_last_unknown);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_run_to_the_end(s, expect_last_unknown_still);
    script_free(s);
}

static void put_three_more(struct script *s)
{
    for (uint32_t key = 20; key < 23; key++)
        script_put(s, key);
}

/* Writes a record behind the last one of the file that deletes key 5: as a write leaves it that was made, and
 * answered with an error. */
static void leave_failed_write(const struct script *s, const char *path)
{
    uint8_t block[WAL_BLOCK_BYTES];
    char text[16];
    struct sim_disk *disk = sim_node_disk(s->node);
    struct wal_record_header h = {0}, next;
    uint64_t at = WAL_BLOCK_BYTES;
    for (; sim_disk_peek(disk, path, block, sizeof block, at) == (int64_t)sizeof block;
         at += WAL_BLOCK_BYTES) {
        if (!wal_record_header_decode(block, &next))
            break;
        h = next;
    }
    struct record record = {.key = script_key(5, text),
                            .version = {.clock = h.clock_max + 1},
                            .flags = RECORD_TOMBSTONE};
    record.checksum = entry_checksum(&record.key, record.value);
    memset(block, 0, sizeof block);
    h.block = (uint32_t)(at / WAL_BLOCK_BYTES);
    h.sequence++;
    h.previous_checksum = h.checksum;
    h.clock_max++;
    h.entry_count = 1;
    h.payload_bytes = (uint32_t)entry_encode(block + WAL_RECORD_HEADER_BYTES, &record);
    h.payload_checksum = wal_payload_checksum(block + WAL_RECORD_HEADER_BYTES, h.payload_bytes);
    wal_record_header_encode(block, &h);
    sim_disk_poke(disk, path, block, sizeof block, at);
}

static void expect_deletion_in_doubt(struct script *s)
{
    CU_ASSERT(script_has_event(s, "log_damaged"));
    CU_ASSERT_EQUAL(script_answer(s, 5), TORC_E_UNKNOWN); /* it has been taken, and must not be believed */
    script_put(s, 5);
    CU_ASSERT_EQUAL(script_answer(s, 5), ENGINE_FOUND);
}

/* Only the header of the next file says that the log goes on without it. */
TEST(failed_write_is_not_believed_when_the_header_behind_it_is_damaged)
{
    static const char first[] = "shard/wal-0000000000000001.log", second[] = "shard/wal-0000000000000003.log";
    uint8_t noise = 0x55;
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    script_run_to_the_end(s, script_put_ten);
    script_run_to_the_end(s, put_three_more);
    CU_ASSERT_EQUAL(s->opened, 0);
    leave_failed_write(s, first);
    sim_disk_poke(sim_node_disk(s->node), second, &noise, 1, 10);
    script_run_to_the_end(s, expect_deletion_in_doubt);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* Two that fail in a row close it. */
static void put_until_the_log_is_closed(struct script *s)
{
    struct sim_faults faults = {.per_million[SIM_SYNC_ERROR] = 1000000};
    script_put(s, 0);
    task_sleep(s->r, 100 * MS); /* until the next file of the log is there */
    sim_world_set_faults(s->world, &faults);
    for (uint32_t key = 1; key < SCRIPT_KEYS_MAX && script_begin_put(s, key, 0) == 0; key++)
        task_sleep(s->r, MS / 20);
    script_await_puts(s);
    sim_world_set_faults(s->world, &(struct sim_faults){.per_million[SIM_SYNC_ERROR] = 0});
}

static void expect_no_more_than_unknown(struct script *s)
{
    for (uint32_t key = 0; key < SCRIPT_KEYS_MAX; key++)
        if (s->results[key] != TORC_E_UNKNOWN)
            CU_ASSERT_EQUAL(script_answer(s, key), key == 0 ? ENGINE_FOUND : ENGINE_ABSENT);
    for (uint32_t key = 1; key < SCRIPT_KEYS_MAX; key++)
        s->failed += s->results[key] == TORC_E_UNKNOWN && script_answer(s, key) == ENGINE_FOUND;
}

TEST(write_that_failed_and_is_there_after_the_next_start_was_answered_unknown)
{
    uint32_t unknown = 0, refused = 0, back = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct script *s = script_new(&(struct sim_world_options){.seed = seed});
        script_run_to_the_end(s, put_until_the_log_is_closed);
        for (uint32_t key = 1; key < SCRIPT_KEYS_MAX; key++) {
            unknown += s->results[key] == TORC_E_UNKNOWN;
            refused += s->results[key] == TORC_E_STORAGE;
        }
        script_run_to_the_end(s, expect_no_more_than_unknown);
        back += s->failed;
        script_free(s);
    }
    CU_ASSERT(unknown >= 16 && refused > 0 && back > 0 && back < unknown);
}

/* ---- bad sectors ---- */

static const char first_file[] = "shard/wal-0000000000000001.log";

static void put_one(struct script *s)
{
    script_put(s, 20);
}

static void expect_all(struct script *s)
{
    for (uint32_t key = 0; key < 10; key++)
        CU_ASSERT_EQUAL(script_answer(s, key), ENGINE_FOUND);
    CU_ASSERT_EQUAL(engine_counters(s->engine).quarantined, 0);
}

static void expect_all_and_twenty(struct script *s)
{
    expect_all(s);
    CU_ASSERT_EQUAL(script_answer(s, 20), ENGINE_FOUND);
}

TEST(unreadable_header_of_a_log_file_does_not_keep_the_shard_from_opening)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    script_run_to_the_end(s, script_put_ten);
    script_run_and_lose_power(s, put_one);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, "shard/wal-0000000000000003.log", 0);
    script_run_to_the_end(s, expect_all_and_twenty);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_run_to_the_end(s, expect_all_and_twenty);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

static void put_ten_and_rest(struct script *s)
{
    script_put_ten(s);
    task_sleep(s->r, 100 * MS);
}

static void expect_all_beside_a_bad_sector(const char *path, uint64_t offset)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    script_run_to_the_end(s, put_ten_and_rest);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, path, offset);
    script_run_to_the_end(s, expect_all);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

TEST(bad_sector_where_the_log_was_never_written_is_no_damage)
{
    expect_all_beside_a_bad_sector(first_file, 15 * WAL_BLOCK_BYTES);
    expect_all_beside_a_bad_sector("shard/wal-0000000000000002.log", 9 * WAL_BLOCK_BYTES);
}

/* The last record covers itself by no watermark: it is the log's own, written when nothing else came. */
static void put_ten_rest_put_one(struct script *s)
{
    put_ten_and_rest(s);
    script_put(s, 20);
}

static void accept_the_loss(struct script *s)
{
    CU_ASSERT_EQUAL(script_answer(s, 8), TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(engine_accept_loss(s->engine), 0);
    expect_all(s);
}

TEST(accepted_loss_does_not_come_again_with_the_next_start)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    script_run_and_lose_power(s, put_ten_rest_put_one);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, first_file, last_record(s, first_file));
    script_run_to_the_end(s, accept_the_loss);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_run_to_the_end(s, expect_all);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

static void accept_on_a_bad_disk(struct script *s)
{
    struct sim_faults faults = {.per_million[SIM_WRITE_ERROR] = 1000000};
    sim_world_set_faults(s->world, &faults);
    int rc = engine_accept_loss(s->engine);
    CU_ASSERT(rc == TORC_E_STORAGE);
}

TEST(loss_cannot_be_accepted_on_a_disk_that_fails_and_that_is_said)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    script_run_and_lose_power(s, put_ten_rest_put_one);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, first_file, last_record(s, first_file));
    script_run_to_the_end(s, accept_on_a_bad_disk);
    script_free(s);
}

/* ---- a bad block ---- */

enum { MANY_KEYS = 600, KEYS_PER_BLOCK_MAX = 64 };

static void put_many(struct script *s)
{
    for (uint32_t key = 0; key < MANY_KEYS; key++)
        script_put(s, key);
    task_sleep(s->r, 1000 * MS);
    CU_ASSERT(engine_counters(s->engine).flushes > 0);
}

/* The first table on the disk. */
static struct sim_file_info table_of(const struct script *s)
{
    const struct sim_disk *disk = sim_node_disk(s->node);
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        if (strstr(file.path, "table-"))
            return file;
    }
    CU_FAIL_FATAL("there is no table");
    return (struct sim_file_info){.bytes = 0};
}

static void expect_all_but_one_block(struct script *s)
{
    unsigned corrupt = 0, found = 0;
    for (uint32_t key = 0; key < MANY_KEYS; key++) {
        int answer = script_answer(s, key);
        corrupt += answer == TORC_E_CORRUPT;
        found += answer == ENGINE_FOUND;
    }
    CU_ASSERT(corrupt > 0 && corrupt <= KEYS_PER_BLOCK_MAX);
    CU_ASSERT_EQUAL(found, MANY_KEYS - corrupt);
}

TEST(one_bad_block_takes_no_other_keys_with_it)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 4});
    script_run_to_the_end(s, put_many);
    struct sim_file_info file = table_of(s);
    char path[128];
    snprintf(path, sizeof path, "%s", file.path);
    sim_disk_rot(sim_node_disk(s->node), s->world, path, file.bytes / 4);
    CU_ASSERT(sim_disk_is_damaged(sim_node_disk(s->node), path, file.bytes / 4));
    CU_ASSERT(!sim_disk_is_damaged(sim_node_disk(s->node), path, 0));
    script_run_to_the_end(s, expect_all_but_one_block);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* ---- value logs ---- */

static void put_many_and_look(struct script *s)
{
    put_many(s);
    CU_ASSERT(!s->is_spoiling);
    CU_ASSERT(engine_counters(s->engine).value_files > 0);
    CU_ASSERT_EQUAL(engine_counters(s->engine).value_files_damaged, 0);
    for (uint32_t key = 0; key < MANY_KEYS; key++)
        CU_ASSERT_EQUAL(script_answer(s, key), ENGINE_FOUND);
}

static void expect_many(struct script *s)
{
    for (uint32_t key = 0; key < MANY_KEYS; key++)
        CU_ASSERT_EQUAL(script_answer(s, key), ENGINE_FOUND);
    CU_ASSERT_EQUAL(engine_counters(s->engine).value_files_damaged, 0);
    CU_ASSERT(!script_has_event(s, "values_unreadable"));
}

static void flush_beside_a_spoilt_value_log(bool is_removed)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 6});
    s->has_value_logs = s->is_spoiling = true;
    s->is_removed = is_removed;
    script_run_and_lose_power(s, put_many_and_look);
    script_run_to_the_end(s, expect_many);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* The memtable and the log still have the values: they go when the table counts. */
TEST(flush_whose_new_value_log_is_gone_is_made_again)
{
    flush_beside_a_spoilt_value_log(true);
}

TEST(flush_whose_new_value_log_is_short_is_made_again)
{
    flush_beside_a_spoilt_value_log(false);
}
