/* crash_test.c - the tester of crash points is tested, and a few images of each kind are recovered.
 *
 * All images of all workloads: build/sim --crash-points. What that has found stays here as a script. */
#include "test/sim/crash_explore.h"
#include "test/sim/crash_image.h"
#include "test/sim/crash_judge.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the history ---- */

static void add(struct crash_history *h, uint8_t key, enum crash_write_state state, uint8_t group)
{
    uint32_t number = crash_history_add(h, &(struct crash_write){.key = key, .value_bytes = 10});
    h->writes[number].state = (uint8_t)state;
    h->writes[number].group = group;
}

static bool allows(const struct crash_history *h, int key0, int key1)
{
    uint32_t cut;
    struct crash_view view = {{key0, key1, CRASH_ABSENT, CRASH_ABSENT, CRASH_ABSENT, CRASH_ABSENT}};
    return crash_history_allows(h, &view, &cut);
}

TEST(a_history_allows_only_prefixes_of_the_log)
{
    struct crash_history h = {.count = 0};
    add(&h, 0, CRASH_SUBMITTED, 0);
    add(&h, 1, CRASH_SUBMITTED, 0);
    CU_ASSERT(allows(&h, CRASH_ABSENT, CRASH_ABSENT));
    CU_ASSERT(allows(&h, 0, CRASH_ABSENT));
    CU_ASSERT(allows(&h, 0, 1));
    CU_ASSERT(!allows(&h, CRASH_ABSENT, 1));
    CU_ASSERT(!allows(&h, 0, CRASH_FOREIGN));
}

TEST(a_history_asks_for_what_was_acknowledged)
{
    struct crash_history h = {.count = 0};
    add(&h, 0, CRASH_ACKNOWLEDGED, 0);
    add(&h, 0, CRASH_SUBMITTED, 0);
    CU_ASSERT(allows(&h, 0, CRASH_ABSENT));
    CU_ASSERT(allows(&h, 1, CRASH_ABSENT));
    CU_ASSERT(!allows(&h, CRASH_ABSENT, CRASH_ABSENT));
}

TEST(a_failed_write_may_be_found_only_while_it_is_the_last)
{
    struct crash_history h = {.count = 0};
    add(&h, 0, CRASH_FAILED, 1);
    CU_ASSERT(allows(&h, 0, CRASH_ABSENT));
    CU_ASSERT(allows(&h, CRASH_ABSENT, CRASH_ABSENT));
    add(&h, 1, CRASH_ACKNOWLEDGED, 1);
    CU_ASSERT(allows(&h, CRASH_ABSENT, 1));
    CU_ASSERT(!allows(&h, 0, 1));
}

TEST(what_a_read_has_shown_stays)
{
    struct crash_history h = {.count = 0};
    add(&h, 0, CRASH_SUBMITTED, 0);
    add(&h, 1, CRASH_SUBMITTED, 0);
    crash_history_settle(&h, 1);
    CU_ASSERT(allows(&h, 0, CRASH_ABSENT));
    CU_ASSERT(!allows(&h, 0, 1));
    CU_ASSERT(!allows(&h, CRASH_ABSENT, CRASH_ABSENT));
}

/* ---- workloads ---- */

static const struct crash_workload *find(const char *name)
{
    for (uint32_t i = 0; crash_workload_at(i); i++)
        if (strcmp(crash_workload_at(i)->name, name) == 0)
            return crash_workload_at(i);
    CU_FAIL_FATAL("no such workload");
    return NULL;
}

TEST(the_scripts_of_all_workloads_can_be_read)
{
    struct crash_step steps[CRASH_STEPS_MAX];
    for (uint32_t i = 0; crash_workload_at(i); i++) {
        uint32_t count = crash_workload_steps(crash_workload_at(i), steps), records = 0;
        for (uint32_t k = 0; k < count; k++)
            records += steps[k].act == CRASH_RECORD;
        CU_ASSERT_EQUAL(records, 1);
        for (uint32_t k = i + 1; crash_workload_at(k); k++)
            CU_ASSERT(strcmp(crash_workload_at(i)->name, crash_workload_at(k)->name) != 0);
    }
}

static struct crash_recording *record(const struct crash_workload *workload)
{
    struct crash_recording *recording = crash_record(workload, &(struct crash_start){.seed = 77});
    CU_ASSERT_STRING_EQUAL(recording->why, "");
    CU_ASSERT_FATAL(recording->count > 1);
    return recording;
}

TEST(a_recording_ends_with_what_was_acknowledged)
{
    struct crash_recording *recording = record(find("put"));
    const struct crash_state *last = &recording->states[recording->count - 1];
    CU_ASSERT_EQUAL(last->history.count, 1);
    CU_ASSERT_EQUAL(last->history.writes[0].state, CRASH_ACKNOWLEDGED);
    crash_recording_free(recording);
}

/* ---- images ---- */

TEST(images_of_a_state_are_all_different_choices)
{
    struct crash_recording *recording = record(find("put_large"));
    uint64_t most = 0;
    for (uint32_t i = 0; i < recording->count; i++) {
        struct crash_images images;
        struct sim_choice choices[2][CRASH_PENDING_MAX] = {0};
        crash_images_init(&images, recording->states[i].disk, 1000);
        most = images.count > most ? images.count : most;
        for (uint64_t k = 0; k + 1 < images.count && images.count == images.combinations; k++) {
            crash_images_choose(&images, k, choices[0]);
            crash_images_choose(&images, k + 1, choices[1]);
            size_t bytes = images.pending_count * sizeof choices[0][0];
            CU_ASSERT(memcmp(choices[0], choices[1], bytes) != 0);
        }
    }
    CU_ASSERT(most > 4); /* a write of several blocks was kept, dropped and torn */
    crash_recording_free(recording);
}

/* ---- the judge ---- */

/* The image of the last state with everything kept. */
static struct sim_disk *last_image(const struct crash_recording *recording)
{
    struct crash_images images;
    crash_images_init(&images, recording->states[recording->count - 1].disk, 1);
    return crash_images_build(&images, 0);
}

static void remove_files(struct sim_disk *disk, const char *kind)
{
    for (uint32_t i = sim_disk_file_count(disk); i-- > 0;) {
        const char *path = sim_disk_file_at(disk, i).path;
        if (strstr(path, kind))
            sim_disk_remove_file(disk, path);
    }
}

/* What the judge says of a tidy end of the workload after `spoil` had its way. */
static bool judge_spoiled(const char *name, void (*spoil)(struct sim_disk *, struct crash_history *))
{
    const struct crash_workload *workload = find(name);
    struct crash_recording *recording = record(workload);
    struct crash_state state = recording->states[recording->count - 1];
    struct crash_verdict verdict;
    struct sim_disk *disk = last_image(recording);
    if (spoil)
        spoil(disk, &state.history);
    bool is_good = crash_judge(workload, &state, disk, &verdict);
    CU_ASSERT_EQUAL(is_good, verdict.why[0] == '\0');
    crash_recording_free(recording);
    return is_good;
}

static void lose_log(struct sim_disk *disk, struct crash_history *history)
{
    (void)history;
    remove_files(disk, "/wal-");
}

static void lose_tables(struct sim_disk *disk, struct crash_history *history)
{
    (void)history;
    remove_files(disk, "/table-");
}

static void lose_values(struct sim_disk *disk, struct crash_history *history)
{
    (void)history;
    remove_files(disk, "/values-");
}

static void want_more(struct sim_disk *disk, struct crash_history *history)
{
    (void)disk;
    add(history, 1, CRASH_ACKNOWLEDGED, 0);
}

static void forget_all(struct sim_disk *disk, struct crash_history *history)
{
    (void)disk;
    history->count = 0;
}

TEST(a_judge_finds_nothing_wrong_with_a_tidy_end)
{
    CU_ASSERT(judge_spoiled("put", NULL));
    CU_ASSERT(judge_spoiled("flush", NULL));
    CU_ASSERT(judge_spoiled("values", NULL));
    CU_ASSERT(judge_spoiled("compaction_of_deletes", NULL));
}

TEST(a_judge_misses_what_was_acknowledged)
{
    CU_ASSERT(!judge_spoiled("put", lose_log));
    CU_ASSERT(!judge_spoiled("flush", lose_tables));
    CU_ASSERT(!judge_spoiled("values", lose_values));
    CU_ASSERT(!judge_spoiled("put", want_more));
}

TEST(a_judge_sees_what_was_never_written)
{
    CU_ASSERT(!judge_spoiled("put", forget_all));
}

/* ---- a few images of each kind ---- */

static void explore(const struct crash_exploration *some)
{
    struct crash_progress *progress = calloc(1, sizeof *progress);
    CU_ASSERT_FATAL(progress != NULL);
    struct crash_exploration x = *some;
    x.progress = progress;
    x.images_max[0] = 2000;
    x.images_max[1] = 100;
    x.failures_max = 1;
    CU_ASSERT(crash_explore(&x));
    CU_ASSERT(progress->tally.distinct > 4);
    CU_ASSERT_EQUAL(progress->tally.recovered, progress->tally.distinct);
    CU_ASSERT_EQUAL(progress->tally.failed, 0);
    free(progress);
}

static void explore_some(const char *name)
{
    explore(&(struct crash_exploration){.workload = find(name), .images_built_max = 4, .is_once = true});
}

TEST(images_of_a_first_start_recover)
{
    explore_some("first_start");
}

TEST(images_of_puts_in_flight_recover)
{
    explore_some("put_in_flight");
}

TEST(images_of_a_flush_recover)
{
    explore_some("flush");
}

TEST(images_of_a_recycled_segment_recover)
{
    explore_some("recycling");
}

TEST(images_of_a_changed_manifest_recover)
{
    explore_some("manifest_of_tables");
}

TEST(images_of_a_value_log_whose_values_move_recover)
{
    explore_some("values_collected");
}

TEST(images_after_a_failed_write_recover)
{
    explore_some("failed_write_in_flight");
}

/* ---- what was found ---- */

enum { NEVER = 1 << 30 };

/* Recovery took a torn record of a segment whose header was lost for one that had been durable. */
TEST(a_torn_tail_behind_a_torn_segment_header_is_no_damage)
{
    struct crash_workload w = {
        .name = "a test's",
        .script = "open rest record put:0:100 turn put:1:8000 turn put:2:100 await",
        .knobs = {.memtable_bytes = 1 << 20, .writes_in_flight = 3},
    };
    explore(&(struct crash_exploration){.workload = &w, .is_once = true});
}

/* A process was killed while it wrote one copy; the next one found that copy whole, relied on it and wrote
 * over the other, or dropped files which the other needs. Then the power went, and the first had never been
 * durable. */
TEST(a_manifest_that_is_only_in_the_cache_is_made_durable_by_the_next_start)
{
    struct crash_workload w = {
        .name = "a test's",
        .script = "open put:0:100 await rest put:1:8000 await rest put:0:8000 await rest put:2:100 await "
                  "record rest:4",
        .knobs = {.memtable_bytes = 1, .writes_in_flight = 2},
        .again_every = NEVER, /* but after a kill */
    };
    explore(&(struct crash_exploration){.workload = &w});
}

/* A process was killed while it made a log file; the next one took it for a spare one, and its size was
 * lost. */
TEST(a_log_file_that_was_never_synced_is_synced_before_it_is_used)
{
    struct crash_workload w = {
        .name = "a test's",
        .script = "record open rest:5 put:0:100 await",
        .knobs = {.memtable_bytes = 1 << 20, .writes_in_flight = 2},
        .again_every = NEVER,
    };
    explore(&(struct crash_exploration){.workload = &w});
}
