/* engine_full_disk_test.c - a shard whose disk is full: what it refuses, what goes on, how it comes out. */
#include "engine/manifest.h"
#include "engine/snapshot.h"
#include "engine/wal_format.h"
#include "test/sim/engine_script.h"

#include <errno.h>
#include <stdio.h>

/* Until puts are refused. */
static void use_what_is_left(struct script *s, struct sim_disk *disk)
{
    script_put_ten(s);
    task_sleep(s->r, 100 * MS); /* until the next file of the log is there */
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk));
    uint32_t taken = 0;
    while (script_try_put(s, 10 + taken % 40, 0) == 0 && taken < 1000)
        taken++;
    CU_ASSERT(taken > 3 && taken < 1000);
    CU_ASSERT_EQUAL(s->failed, 0); /* refused, and none of those that were taken */
}

static void fill_the_disk(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    use_what_is_left(s, disk);
    CU_ASSERT_EQUAL(script_answer(s, 3), ENGINE_FOUND);
    CU_ASSERT_EQUAL(script_try_put(s, 3, RECORD_TOMBSTONE), 0);
    CU_ASSERT_EQUAL(script_answer(s, 3), ENGINE_ABSENT);
    CU_ASSERT_EQUAL(script_try_put(s, 3, 0), TORC_E_DISK_FULL);
    uint32_t deleted = 0;
    while (script_try_put(s, deleted % 3, RECORD_TOMBSTONE) == 0 && deleted < 1000)
        deleted++;
    CU_ASSERT(deleted > 5 && deleted < 1000);
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
    task_sleep(s->r, 3000 * MS);
    CU_ASSERT(script_has_event(s, "log_room"));
    script_put(s, 3);
    CU_ASSERT_EQUAL(script_answer(s, 3), ENGINE_FOUND);
}

static void look_after_full(struct script *s)
{
    CU_ASSERT_EQUAL(script_answer(s, 3), ENGINE_FOUND);
    CU_ASSERT_EQUAL(script_answer(s, 1), ENGINE_ABSENT);
    CU_ASSERT_EQUAL(script_answer(s, 9), ENGINE_FOUND);
}

TEST(full_disk_refuses_puts_and_takes_deletes_until_there_is_room)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 2});
    script_run_and_lose_power(s, fill_the_disk);
    script_run_to_the_end(s, look_after_full);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* Deletes, too, are refused then: the log has nothing to write to. */
static void make_room_for_one_file(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    use_what_is_left(s, disk);
    for (unsigned i = 0; script_try_put(s, 3, RECORD_TOMBSTONE) == 0 && i < 1000; i++)
        ;
    CU_ASSERT(script_has_event(s, "log_disk_full"));
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk) + SCRIPT_SEGMENT_BYTES + SCRIPT_SEGMENT_BYTES / 2);
    task_sleep(s->r, 3000 * MS);
    CU_ASSERT(script_has_event(s, "log_room"));
    script_put(s, 3);
}

TEST(full_disk_is_left_with_room_for_one_file_of_the_log)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 2});
    script_run_to_the_end(s, make_room_for_one_file);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* Some files of the log, and a memtable that would take many more. */
static void fill_the_disk_with_the_log(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    for (uint32_t i = 0; i < 10 * SCRIPT_SEGMENT_BYTES / WAL_BLOCK_BYTES; i++)
        script_put(s, i % 10);
    use_what_is_left(s, disk);
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk) + SCRIPT_SEGMENT_BYTES / 2); /* for a table */
    CU_ASSERT_EQUAL(script_try_put(s, 3, 0), TORC_E_DISK_FULL);
    CU_ASSERT_EQUAL(engine_counters(s->engine).flushes, 0);
    task_sleep(s->r, 10000 * MS);
    CU_ASSERT_EQUAL(engine_counters(s->engine).flushes, 1);
    CU_ASSERT(script_has_event(s, "log_room"));
    script_put(s, 3);
}

TEST(full_disk_is_freed_of_the_log_that_a_flush_makes_needless)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 2});
    s->memtable_bytes = 64 << 20;
    script_run_to_the_end(s, fill_the_disk_with_the_log);
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
        CU_ASSERT_EQUAL(script_try_put(s, key, RECORD_TOMBSTONE), 0);
    CU_ASSERT_EQUAL(s->failed, 0);
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
}

TEST(copy_on_a_full_disk_leaves_deletes_the_rest_of_the_log)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 2});
    s->has_archive = true;
    script_run_to_the_end(s, copy_on_a_full_disk);
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
    script_run_to_the_end(s, grow_manifest_on_a_full_disk);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

static void put_below(struct script *s, uint32_t count)
{
    for (uint32_t key = 0; key < count; key++)
        script_put(s, key);
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
    CU_ASSERT(!script_has_event(s, "compaction")); /* it was not tried in vain */
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
    task_sleep(s->r, 20000 * MS);
    CU_ASSERT(engine_counters(s->engine).compactions > compactions);
    CU_ASSERT_EQUAL(script_answer(s, 2000), ENGINE_FOUND);
}

TEST(merge_that_does_not_fit_on_the_disk_waits_for_room)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 3});
    script_run_to_the_end(s, merge_without_room);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}

/* Many in a log record. Returns: the most bytes of the disk that were used meanwhile. */
static uint64_t put_together(struct script *s, uint32_t count)
{
    enum { TOGETHER = 100 };
    uint64_t most = 0;
    for (uint32_t key = 0; key < count; key++) {
        CU_ASSERT_EQUAL_FATAL(script_begin_put(s, key, 0), 0);
        if (key % TOGETHER != TOGETHER - 1)
            continue;
        script_await_puts(s);
        uint64_t used = sim_disk_used_bytes(sim_node_disk(s->node));
        most = used > most ? used : most;
    }
    script_await_puts(s);
    return most;
}

/* A little less than has been used at most is there. Flushed runs of a tier do not always fit then, a
 * fragment does: so rounds go on, and writes with them. */
static void merge_in_little_room(struct script *s)
{
    enum { KEYS = 40000, LESS_BYTES = 128 << 10 };
    struct sim_disk *disk = sim_node_disk(s->node);
    put_together(s, KEYS);
    task_sleep(s->r, 20000 * MS);
    uint64_t most = put_together(s, KEYS); /* rounds, wherever the first begins */
    sim_disk_set_capacity(disk, most - LESS_BYTES);
    uint64_t bottom_bytes = engine_counters(s->engine).compacted_bottom_bytes;
    put_together(s, KEYS / 4);
    CU_ASSERT(engine_counters(s->engine).compacted_bottom_bytes > bottom_bytes);
    CU_ASSERT_EQUAL(s->failed, 0);
    CU_ASSERT(!script_has_event(s, "log_disk_full"));
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
}

TEST(fragment_is_merged_where_a_tier_does_not_fit_on_the_disk)
{
    struct script *s = script_new(&(struct sim_world_options){.seed = 6});
    s->table_bytes_max = 64 << 10; /* a fragment is small beside a tier */
    s->runs_max = 2;
    script_run_to_the_end(s, merge_in_little_room);
    CU_ASSERT_EQUAL(s->opened, 0);
    script_free(s);
}
