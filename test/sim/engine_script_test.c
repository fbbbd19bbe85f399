/* engine_script_test.c - bugs of the engine that histories have found, each told again step by step.
 *
 * One shard on a simulated disk. A life opens it, does what its script says and ends; between two lives the
 * disk is touched. Keys are numbers, values follow from them. */
#include "engine/engine.h"
#include "engine/entry.h"
#include "engine/manifest.h"
#include "engine/snapshot.h"
#include "engine/wal_format.h"
#include "reactor/sim/sim.h"
#include "test/engine/engine_rig.h"
#include "test/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE_BYTES = 200, EVENTS_MAX = 8, WAITS_MAX = 1000, KEYS_MAX = 40 };
#define MS UINT64_C(1000000)
#define HOUR_NS (UINT64_C(3600) * 1000 * MS)

struct script {
    struct sim_world *world;
    struct sim_node *node;
    struct reactor *r;
    struct engine *engine;
    void (*run)(struct script *s); /* Waits; with the engine open. Null: there is nothing to do */
    bool is_over;                  /* of a life that is to be killed: its script has ended */
    bool is_killed;
    bool has_value_logs;
    bool has_archive;
    uint64_t table_bytes_max; /* 0: as usual */
    bool is_spoiling;         /* the next value log, as soon as it is written */
    bool is_removed;          /* by that; else it is cut off */
    int opened;
    uint32_t puts;
    uint32_t returned;
    uint32_t failed;
    int results[KEYS_MAX]; /* of the last put of each of the first keys */
    char events[EVENTS_MAX][32];
    uint32_t event_count;
};

/* ---- in the life ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct script *s = owner;
    (void)times;
    s->returned++;
    s->failed += result != 0;
    if (ticket->words[0] < KEYS_MAX)
        s->results[ticket->words[0]] = result;
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct script *s = owner;
    (void)text;
    if (s->event_count < EVENTS_MAX)
        snprintf(s->events[s->event_count++], sizeof s->events[0], "%s", event);
}

static bool has_event(const struct script *s, const char *event)
{
    for (uint32_t i = 0; i < s->event_count; i++)
        if (strcmp(s->events[i], event) == 0)
            return true;
    return false;
}

/* The name of a table's value log; false: the file is no table with bytes. */
static bool values_of(const struct sim_file_info *table, char path[64])
{
    static const char begin[] = "shard/table-";
    if (strncmp(table->path, begin, sizeof begin - 1) != 0 || table->bytes == 0)
        return false;
    snprintf(path, 64, "shard/values-%.16s.log", table->path + sizeof begin - 1);
    return true;
}

/* A table is written when its value log is whole and durable. Both are not looked at again before they
 * count. */
static void spoil(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    char path[64];
    uint8_t byte;
    for (uint32_t i = 0; i < sim_disk_file_count(disk) && s->is_spoiling; i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        if (!values_of(&file, path) || sim_disk_peek(disk, path, &byte, 1, 0) != 1)
            continue;
        s->is_spoiling = false;
        if (s->is_removed)
            sim_disk_remove_file(disk, path);
        else
            sim_disk_truncate_file(disk, path, 4096);
    }
}

static void on_turn(void *context)
{
    struct script *s = context;
    spoil(s);
    if (s->engine)
        engine_submit(s->engine);
}

static struct record_key key_of(uint32_t key, char text[16])
{
    int bytes = snprintf(text, 16, "key-%u", key);
    return (struct record_key){.vnode = (uint16_t)(key % 4), .key = slice_of(text, (size_t)bytes)};
}

/* Returns: what engine_put does. */
static int begin_put(struct script *s, uint32_t key, uint8_t flags)
{
    char text[16];
    uint8_t value[VALUE_BYTES];
    memset(value, (int)key, sizeof value);
    struct record record = {.key = key_of(key, text),
                            .version = {.clock = engine_version_clock_max(s->engine) + 1},
                            .flags = flags,
                            .value = slice_of(value, flags & RECORD_TOMBSTONE ? 0 : sizeof value)};
    record.checksum = entry_checksum(&record.key, record.value);
    int rc = engine_put(s->engine, &record, &(struct engine_ticket){.words = {key}});
    s->puts += rc == 0;
    return rc;
}

static void await_puts(struct script *s)
{
    for (unsigned i = 0; s->returned < s->puts && i < WAITS_MAX; i++)
        task_sleep(s->r, MS / 10);
    CU_ASSERT_EQUAL(s->returned, s->puts);
}

/* Returns: what engine_put does. */
static int try_put(struct script *s, uint32_t key, uint8_t flags)
{
    int rc = begin_put(s, key, flags);
    await_puts(s);
    return rc;
}

/* Each its own log record. */
static void put(struct script *s, uint32_t key)
{
    CU_ASSERT_EQUAL_FATAL(try_put(s, key, 0), 0);
}

static void put_ten(struct script *s)
{
    for (uint32_t key = 0; key < 10; key++)
        put(s, key);
}

static int answer_of(struct script *s, uint32_t key)
{
    char text[16];
    struct record_key plain = key_of(key, text);
    return engine_answer(s->engine, &plain, 1);
}

static int live(struct reactor *r, void *context)
{
    struct script *s = context;
    char why[256];
    struct engine_options options = {
        .directory = "shard",
        .vnode_bits = 2,
        .vnode_count = 4,
        .memtable_bytes = 64 << 10,
        .segment_bytes = 64 << 10,
        .value_bytes_max = VALUE_BYTES,
        .value_log_bytes_min = s->has_value_logs ? VALUE_BYTES : UINT32_MAX,
        .archive = s->has_archive ? "archive" : NULL,
        .table_bytes_max = s->table_bytes_max,
        .on_durable = on_durable,
        .on_event = on_event,
        .owner = s,
    };
    s->r = r;
    s->opened = engine_open(r, &options, &s->engine, why, sizeof why);
    if (s->opened == 0) {
        reactor_set_turn_hook(r, on_turn, s);
        s->run(s);
        if (s->is_killed) {
            s->is_over = true;
            return 0;
        }
        engine_close(s->engine);
    }
    s->engine = NULL;
    reactor_set_turn_hook(r, NULL, NULL);
    reactor_stop(r);
    return 0;
}

/* ---- between lives ---- */

static struct script *script_new(const struct sim_world_options *options)
{
    struct script *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->world = sim_world_new(options);
    s->node = sim_node_new(s->world, "10.0.0.1", NULL);
    return s;
}

static void script_free(struct script *s)
{
    sim_world_free(s->world);
    free(s);
}

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

static bool is_over(void *context)
{
    const struct script *s = context;
    return s->is_over;
}

static void begin(struct script *s, void (*run)(struct script *s), bool is_killed)
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    s->run = run;
    s->is_killed = is_killed;
    s->is_over = false;
    s->puts = s->returned = s->failed = s->event_count = 0;
    sim_node_start(s->node, &options, live, s);
}

static void run_to_the_end(struct script *s, void (*run)(struct script *s))
{
    begin(s, run, false);
    CU_ASSERT(sim_run(s->world, sim_now_ns(s->world) + HOUR_NS, is_down, s->node));
}

static void run_and_lose_power(struct script *s, void (*run)(struct script *s))
{
    begin(s, run, true);
    CU_ASSERT(sim_run(s->world, sim_now_ns(s->world) + HOUR_NS, is_over, s));
    sim_node_kill(s->node, SIM_END_POWER);
    s->engine = NULL;
}

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
    CU_ASSERT(has_event(s, "log_damaged"));
    CU_ASSERT(!has_event(s, "log_tail_cut"));
    CU_ASSERT_EQUAL(answer_of(s, 9), TORC_E_UNKNOWN);
}

static void expect_last_unknown_still(struct script *s)
{
    CU_ASSERT_EQUAL(engine_counters(s->engine).quarantined, 1);
    CU_ASSERT_EQUAL(answer_of(s, 9), TORC_E_UNKNOWN);
    put(s, 9);
    CU_ASSERT_EQUAL(answer_of(s, 9), ENGINE_FOUND);
}

/* No record came after it, so only that it cannot be read tells it from a torn one. */
TEST(log_whose_last_record_cannot_be_read_is_damaged_and_not_torn)
{
    static const char path[] = "shard/wal-0000000000000001.log";
    struct script *s = script_new(&(struct sim_world_options){.seed = 1});
    run_and_lose_power(s, put_ten);
    CU_ASSERT_EQUAL(s->failed, 0);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, path, last_record(s, path));
    run_to_the_end(s, expect_last_unknown);
    CU_ASSERT_EQUAL(s->opened, 0);
    run_to_the_end(s, expect_last_unknown_still);
    script_free(s);
}

static void put_three_more(struct script *s)
{
    for (uint32_t key = 20; key < 23; key++)
        put(s, key);
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
    struct record record = {.key = key_of(5, text),
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
    CU_ASSERT(has_event(s, "log_damaged"));
    CU_ASSERT_EQUAL(answer_of(s, 5), TORC_E_UNKNOWN); /* it has been taken, and must not be believed */
    put(s, 5);
    CU_ASSERT_EQUAL(answer_of(s, 5), ENGINE_FOUND);
}

/* Only the header of the next file says that the log goes on without it. */
TEST(failed_write_is_not_believed_when_the_header_behind_it_is_damaged)
{
    static const char first[] = "shard/wal-0000000000000001.log", second[] = "shard/wal-0000000000000003.log";
    uint8_t noise = 0x55;
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    run_to_the_end(s, put_ten);
    run_to_the_end(s, put_three_more);
    CU_ASSERT_EQUAL(s->opened, 0);
    leave_failed_write(s, first);
    sim_disk_poke(sim_node_disk(s->node), second, &noise, 1, 10);
    run_to_the_end(s, expect_deletion_in_doubt);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* Two that fail in a row close it. */
static void put_until_the_log_is_closed(struct script *s)
{
    struct sim_faults faults = {.per_million[SIM_SYNC_ERROR] = 1000000};
    put(s, 0);
    task_sleep(s->r, 100 * MS); /* until the next file of the log is there */
    sim_world_set_faults(s->world, &faults);
    for (uint32_t key = 1; key < KEYS_MAX && begin_put(s, key, 0) == 0; key++)
        task_sleep(s->r, MS / 20);
    await_puts(s);
    sim_world_set_faults(s->world, &(struct sim_faults){.per_million[SIM_SYNC_ERROR] = 0});
}

static void expect_no_more_than_unknown(struct script *s)
{
    for (uint32_t key = 0; key < KEYS_MAX; key++)
        if (s->results[key] != TORC_E_UNKNOWN)
            CU_ASSERT_EQUAL(answer_of(s, key), key == 0 ? ENGINE_FOUND : ENGINE_ABSENT);
    for (uint32_t key = 1; key < KEYS_MAX; key++)
        s->failed += s->results[key] == TORC_E_UNKNOWN && answer_of(s, key) == ENGINE_FOUND;
}

TEST(write_that_failed_and_is_there_after_the_next_start_was_answered_unknown)
{
    uint32_t unknown = 0, refused = 0, back = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct script *s = script_new(&(struct sim_world_options){.seed = seed});
        run_to_the_end(s, put_until_the_log_is_closed);
        for (uint32_t key = 1; key < KEYS_MAX; key++) {
            unknown += s->results[key] == TORC_E_UNKNOWN;
            refused += s->results[key] == TORC_E_STORAGE;
        }
        run_to_the_end(s, expect_no_more_than_unknown);
        back += s->failed;
        script_free(s);
    }
    CU_ASSERT(unknown >= 16 && refused > 0 && back > 0 && back < unknown);
}

/* ---- a full disk ---- */

/* Until puts are refused. */
static void use_what_is_left(struct script *s, struct sim_disk *disk)
{
    put_ten(s);
    task_sleep(s->r, 100 * MS); /* until the next file of the log is there */
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk));
    uint32_t taken = 0;
    while (try_put(s, 10 + taken % 40, 0) == 0 && taken < 1000)
        taken++;
    CU_ASSERT(taken > 3 && taken < 1000);
    CU_ASSERT_EQUAL(s->failed, 0); /* refused, and none of those that were taken */
}

static void fill_the_disk(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    use_what_is_left(s, disk);
    CU_ASSERT_EQUAL(answer_of(s, 3), ENGINE_FOUND);
    CU_ASSERT_EQUAL(try_put(s, 3, RECORD_TOMBSTONE), 0);
    CU_ASSERT_EQUAL(answer_of(s, 3), ENGINE_ABSENT);
    CU_ASSERT_EQUAL(try_put(s, 3, 0), TORC_E_DISK_FULL);
    uint32_t deleted = 0;
    while (try_put(s, deleted % 3, RECORD_TOMBSTONE) == 0 && deleted < 1000)
        deleted++;
    CU_ASSERT(deleted > 5 && deleted < 1000);
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
    task_sleep(s->r, 3000 * MS);
    CU_ASSERT(has_event(s, "log_room"));
    put(s, 3);
    CU_ASSERT_EQUAL(answer_of(s, 3), ENGINE_FOUND);
}

static void look_after_full(struct script *s)
{
    CU_ASSERT_EQUAL(answer_of(s, 3), ENGINE_FOUND);
    CU_ASSERT_EQUAL(answer_of(s, 1), ENGINE_ABSENT);
    CU_ASSERT_EQUAL(answer_of(s, 9), ENGINE_FOUND);
}

TEST(full_disk_refuses_puts_and_takes_deletes_until_there_is_room)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 2});
    run_and_lose_power(s, fill_the_disk);
    run_to_the_end(s, look_after_full);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

static void copy_on_a_full_disk(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    struct engine_snapshot *snapshot;
    struct engine_snapshot_facts facts;
    uint64_t clock;
    use_what_is_left(s, disk);
    CU_ASSERT_EQUAL_FATAL(engine_snapshot_begin(s->engine, &snapshot, &clock), 0);
    CU_ASSERT_EQUAL(engine_snapshot_write(snapshot, "copy", NULL, &facts), -ENOSPC);
    engine_snapshot_end(snapshot);
    for (uint32_t key = 0; key < 5; key++)
        CU_ASSERT_EQUAL(try_put(s, key, RECORD_TOMBSTONE), 0);
    CU_ASSERT_EQUAL(s->failed, 0);
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
}

TEST(copy_on_a_full_disk_leaves_deletes_the_rest_of_the_log)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 2});
    s->has_archive = true;
    run_to_the_end(s, copy_on_a_full_disk);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* ---- a full disk between two copies of the manifest ---- */

/* Of more than a block in the manifest. */
static int add_table(struct manifest *m)
{
    static const uint8_t values[MANIFEST_VALUES_BYTES_MAX];
    struct manifest_table table = {
        .number = manifest_next_number(m),
        .smallest = {.key = slice_of_string("a")},
        .largest = {.key = slice_of_string("b")},
        .values = slice_of(values, sizeof values),
    };
    return manifest_commit(m, &(struct manifest_change){.added = &table, .added_count = 1});
}

static void grow_manifest_on_a_full_disk(struct script *s)
{
    enum { ROOM_MAX = 6, BLOCK_BYTES = 4096 };
    struct sim_disk *disk = sim_node_disk(s->node);
    char why[256];
    struct manifest *m;
    unsigned full = 0;
    task_sleep(s->r, 100 * MS); /* until the log has its files */
    CU_ASSERT_EQUAL(directory_create(s->r, "other"), 0);
    CU_ASSERT_EQUAL_FATAL(manifest_open(s->r, "other", NULL, &m, why, sizeof why), 0);
    CU_ASSERT_EQUAL(add_table(m), 0);
    for (uint64_t room = 0; room < ROOM_MAX; room++) {
        uint64_t generation = manifest_state(m)->generation;
        sim_disk_set_capacity(disk, sim_disk_used_bytes(disk) + room * BLOCK_BYTES);
        int rc = add_table(m);
        CU_ASSERT(rc == 0 || rc == TORC_E_DISK_FULL);
        CU_ASSERT_EQUAL(manifest_state(m)->generation, generation + (rc == 0));
        CU_ASSERT_EQUAL(manifest_copies(m), 2); /* or no file may be removed, and the disk stays full */
        full += rc != 0;
    }
    CU_ASSERT(full > 0 && full < ROOM_MAX);
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
    CU_ASSERT_EQUAL(add_table(m), 0);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    manifest_close(m);
}

TEST(full_disk_is_found_before_one_copy_of_the_manifest_is_ahead)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 8});
    run_to_the_end(s, grow_manifest_on_a_full_disk);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

static void put_below(struct script *s, uint32_t count)
{
    for (uint32_t key = 0; key < count; key++)
        put(s, key);
}

/* The bottom cannot be written anew in what is left, but flushes and the log find their place in it. */
static void merge_without_room(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    put_below(s, 16000);
    task_sleep(s->r, 20000 * MS); /* until all is in the bottom */
    uint64_t compactions = engine_counters(s->engine).compactions;
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk) + (3300 << 10));
    put_below(s, 3000);
    task_sleep(s->r, 4000 * MS);
    CU_ASSERT_EQUAL(engine_counters(s->engine).compactions, compactions);
    CU_ASSERT_EQUAL(s->failed, 0);
    CU_ASSERT(!has_event(s, "compaction")); /* it was not tried in vain */
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
    task_sleep(s->r, 20000 * MS);
    CU_ASSERT(engine_counters(s->engine).compactions > compactions);
    CU_ASSERT_EQUAL(answer_of(s, 2000), ENGINE_FOUND);
}

TEST(merge_that_does_not_fit_on_the_disk_waits_for_room)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    run_to_the_end(s, merge_without_room);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* Many in a log record. Returns: the most bytes of the disk that were used meanwhile. */
static uint64_t put_together(struct script *s, uint32_t count)
{
    enum { TOGETHER = 100 };
    uint64_t most = 0;
    for (uint32_t key = 0; key < count; key++) {
        CU_ASSERT_EQUAL_FATAL(begin_put(s, key, 0), 0);
        if (key % TOGETHER != TOGETHER - 1)
            continue;
        await_puts(s);
        uint64_t used = sim_disk_used_bytes(sim_node_disk(s->node));
        most = used > most ? used : most;
    }
    await_puts(s);
    return most;
}

/* What has been used at most is there once more. Eight flushed runs do not always fit then, a fragment does:
 * so rounds go on, and writes with them. */
static void merge_in_little_room(struct script *s)
{
    enum { KEYS = 40000, ROOM_BYTES = 64 << 10 };
    struct sim_disk *disk = sim_node_disk(s->node);
    put_together(s, KEYS);
    task_sleep(s->r, 20000 * MS);
    uint64_t most = put_together(s, KEYS); /* rounds, wherever the first begins */
    sim_disk_set_capacity(disk, most + ROOM_BYTES);
    uint64_t bottom_bytes = engine_counters(s->engine).compacted_bottom_bytes;
    put_together(s, KEYS / 4);
    CU_ASSERT(engine_counters(s->engine).compacted_bottom_bytes > bottom_bytes);
    CU_ASSERT_EQUAL(s->failed, 0);
    CU_ASSERT(!has_event(s, "log_disk_full"));
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
}

TEST(fragment_is_merged_where_a_tier_does_not_fit_on_the_disk)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 6});
    s->table_bytes_max = 128 << 10;
    run_to_the_end(s, merge_in_little_room);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* ---- bad sectors ---- */

static const char first_file[] = "shard/wal-0000000000000001.log";

static void put_one(struct script *s)
{
    put(s, 20);
}

static void expect_all(struct script *s)
{
    for (uint32_t key = 0; key < 10; key++)
        CU_ASSERT_EQUAL(answer_of(s, key), ENGINE_FOUND);
    CU_ASSERT_EQUAL(engine_counters(s->engine).quarantined, 0);
}

static void expect_all_and_twenty(struct script *s)
{
    expect_all(s);
    CU_ASSERT_EQUAL(answer_of(s, 20), ENGINE_FOUND);
}

TEST(unreadable_header_of_a_log_file_does_not_keep_the_shard_from_opening)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    run_to_the_end(s, put_ten);
    run_and_lose_power(s, put_one);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, "shard/wal-0000000000000003.log", 0);
    run_to_the_end(s, expect_all_and_twenty);
    CU_ASSERT_EQUAL(s->opened, 0);
    run_to_the_end(s, expect_all_and_twenty);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

static void put_ten_and_rest(struct script *s)
{
    put_ten(s);
    task_sleep(s->r, 100 * MS);
}

static void expect_all_beside_a_bad_sector(const char *path, uint64_t offset)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    run_to_the_end(s, put_ten_and_rest);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, path, offset);
    run_to_the_end(s, expect_all);
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
    put(s, 20);
}

static void accept_the_loss(struct script *s)
{
    CU_ASSERT_EQUAL(answer_of(s, 8), TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(engine_accept_loss(s->engine), 0);
    expect_all(s);
}

TEST(accepted_loss_does_not_come_again_with_the_next_start)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    run_and_lose_power(s, put_ten_rest_put_one);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, first_file, last_record(s, first_file));
    run_to_the_end(s, accept_the_loss);
    CU_ASSERT_EQUAL(s->opened, 0);
    run_to_the_end(s, expect_all);
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
    run_and_lose_power(s, put_ten_rest_put_one);
    sim_disk_break_sector(sim_node_disk(s->node), s->world, first_file, last_record(s, first_file));
    run_to_the_end(s, accept_on_a_bad_disk);
    script_free(s);
}

/* ---- a bad block ---- */

enum { MANY_KEYS = 600, KEYS_PER_BLOCK_MAX = 64 };

static void put_many(struct script *s)
{
    for (uint32_t key = 0; key < MANY_KEYS; key++)
        put(s, key);
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
        int answer = answer_of(s, key);
        corrupt += answer == TORC_E_CORRUPT;
        found += answer == ENGINE_FOUND;
    }
    CU_ASSERT(corrupt > 0 && corrupt <= KEYS_PER_BLOCK_MAX);
    CU_ASSERT_EQUAL(found, MANY_KEYS - corrupt);
}

TEST(one_bad_block_takes_no_other_keys_with_it)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 4});
    run_to_the_end(s, put_many);
    struct sim_file_info file = table_of(s);
    char path[128];
    snprintf(path, sizeof path, "%s", file.path);
    sim_disk_rot(sim_node_disk(s->node), s->world, path, file.bytes / 4);
    CU_ASSERT(sim_disk_is_damaged(sim_node_disk(s->node), path, file.bytes / 4));
    CU_ASSERT(!sim_disk_is_damaged(sim_node_disk(s->node), path, 0));
    run_to_the_end(s, expect_all_but_one_block);
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
        CU_ASSERT_EQUAL(answer_of(s, key), ENGINE_FOUND);
}

static void expect_many(struct script *s)
{
    for (uint32_t key = 0; key < MANY_KEYS; key++)
        CU_ASSERT_EQUAL(answer_of(s, key), ENGINE_FOUND);
    CU_ASSERT_EQUAL(engine_counters(s->engine).value_files_damaged, 0);
    CU_ASSERT(!has_event(s, "values_unreadable"));
}

static void flush_beside_a_spoilt_value_log(bool is_removed)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 6});
    s->has_value_logs = s->is_spoiling = true;
    s->is_removed = is_removed;
    run_and_lose_power(s, put_many_and_look);
    run_to_the_end(s, expect_many);
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
