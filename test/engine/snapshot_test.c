/* snapshot_test.c - a snapshot holds what was acknowledged, whatever its shard does meanwhile and after. */
#include "engine/snapshot.h"

#include "engine/engine_internal.h"
#include "test/engine/engine_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 400 };

static void write_some(struct engine_rig *rig, uint32_t count)
{
    static const struct rig_mix mix = {.keys = KEYS, .value_bytes_end = 300, .deleting_one_in = 5};
    engine_rig_put_mix(rig, &mix, count);
}

static void wait_for_all(struct engine_rig *rig)
{
    engine_rig_await(rig);
    engine_rig_settle(rig);
}

static const char *path_of(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", test_directory(), name);
    return path;
}

/* Opens the snapshot as an engine of its own: each key answers as it was, or as a write that came meanwhile.
 * */
static void check_snapshot(struct engine_rig *rig, const char *directory, const uint32_t *oldest)
{
    struct engine_rig *copy = engine_rig_make();
    char why[256] = "";
    copy->reactor = rig->reactor;
    copy->options.directory = directory;
    CU_ASSERT_EQUAL_FATAL(engine_open(rig->reactor, &copy->options, &copy->engine, why, sizeof why), 0);
    CU_ASSERT_EQUAL(engine_counters(copy->engine).quarantined, 0);
    for (uint32_t key = 0; key < KEYS; key++) {
        struct record record;
        struct engine_hold hold = {.buffer = NULL};
        int answer = engine_rig_get(copy, key, &record, &hold);
        CU_ASSERT_FATAL(answer == ENGINE_FOUND || answer == ENGINE_ABSENT);
        CU_ASSERT(engine_rig_allows(rig, key, answer == ENGINE_FOUND ? &record : NULL, oldest[key]));
        engine_release(copy->engine, &hold);
    }
    engine_close(copy->engine);
    engine_rig_free(copy);
}

TEST_IN_REACTOR(a_snapshot_holds_all_that_was_acknowledged_before_it)
{
    struct engine_rig *rig = engine_rig_make();
    struct engine_snapshot *snapshot;
    struct engine_snapshot_facts facts;
    char directory[256];
    uint64_t clock;
    rig->options.value_log_bytes_min = 150; /* about half of the values are in value logs */
    engine_rig_open(rig, r);
    write_some(rig, 6000);
    wait_for_all(rig);
    write_some(rig, 100); /* in the log only */
    engine_rig_await(rig);
    uint32_t *oldest = malloc(sizeof rig->last);
    CU_ASSERT_FATAL(oldest != NULL);
    memcpy(oldest, rig->last, sizeof rig->last);
    CU_ASSERT_EQUAL_FATAL(engine_snapshot_begin(rig->engine, &snapshot, &clock), 0);
    CU_ASSERT(clock >= rig->count);
    write_some(rig, 6000); /* tables are merged, the log is cut */
    CU_ASSERT_EQUAL(engine_snapshot_write(snapshot, path_of(directory, "copy"), NULL, &facts), 0);
    CU_ASSERT(facts.files >= 2 && facts.end_sequence >= facts.start_sequence);
    engine_snapshot_end(snapshot);
    write_some(rig, 6000);
    wait_for_all(rig);
    check_snapshot(rig, directory, oldest);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
    free(oldest);
}

TEST_IN_REACTOR(a_snapshot_is_not_written_over_another)
{
    struct engine_rig *rig = engine_rig_make();
    struct engine_snapshot *snapshot;
    struct engine_snapshot_facts facts;
    char directory[256];
    uint64_t clock;
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(directory_create(r, path_of(directory, "copy")), 0);
    CU_ASSERT_EQUAL_FATAL(engine_snapshot_begin(rig->engine, &snapshot, &clock), 0);
    CU_ASSERT_EQUAL(engine_snapshot_write(snapshot, directory, NULL, &facts), -EEXIST);
    engine_snapshot_end(snapshot);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(a_snapshot_that_is_cancelled_says_so)
{
    struct engine_rig *rig = engine_rig_make();
    struct engine_snapshot *snapshot;
    struct engine_snapshot_facts facts;
    char directory[256];
    uint64_t clock;
    bool is_cancelled = true;
    engine_rig_open(rig, r);
    write_some(rig, 500);
    CU_ASSERT_EQUAL_FATAL(engine_snapshot_begin(rig->engine, &snapshot, &clock), 0);
    CU_ASSERT_EQUAL(engine_snapshot_write(snapshot, path_of(directory, "copy"), &is_cancelled, &facts),
                    TORC_E_CANCELLED);
    engine_snapshot_end(snapshot);
    engine_rig_close(rig);
    engine_rig_free(rig);
}
