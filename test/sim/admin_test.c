/* admin_test.c - snapshots and backups of a server whose power goes in the middle of them. */
#include "test/sim/server_rig.h"

#include <stdio.h>

enum {
    ALWAYS = 1000000,
    KEYS = 200,
    KEY_BYTES = 16,
    STEP_NS = 150 * 1000,
    STEPS = 24,
    POLL_NS = 1000000,
    POLLS_MAX = 20000,
    NUMBER_BYTES = 32,
    JOBS_KEPT = 8, /* beside the last one */
    SNAPSHOTS_OF_A_LONG_LIST = 40,
    LIST_NS = 500 * 1000 * 1000,
    REMOVAL_STEP_BYTES = 4096,
    LOOK_NS = 4000,
};

struct admin_rig {
    struct server_rig server; /* the first: bodies get it */
    uint64_t pause_ns;
    const char *command; /* of the body start_job */
    const char *argument;
};

static struct admin_rig *rig_of(struct server_rig *rig)
{
    return CONTAINER_OF(rig, struct admin_rig, server);
}

/* ---- for bodies ---- */

static void put_all(struct server_rig *rig)
{
    static const char value[1000];
    for (unsigned i = 0; i < KEYS; i++) {
        char key[KEY_BYTES];
        snprintf(key, sizeof key, "key-%u", i);
        struct rig_request q = {.op = FRAME_PUT, .key = key, .value = slice_of(value, sizeof value)};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

/* Returns: the answer's text, until the next request. */
static const char *ask(struct server_rig *rig, const char *command, const char *argument)
{
    struct rig_request q = {.op = FRAME_ADMIN, .key = command, .value = slice_of_string(argument)};
    unsigned place = rig_ask(rig, &q);
    rig_await(rig);
    struct rig_answer *a = &rig->answers[place];
    CU_ASSERT_EQUAL_FATAL(a->code, 0);
    CU_ASSERT_FATAL(a->value_bytes < sizeof a->value);
    a->value[a->value_bytes] = 0;
    return (const char *)a->value;
}

/* Writes its number to `number`. */
static void begin_job(struct server_rig *rig, const char *command, const char *argument,
                      char number[NUMBER_BYTES])
{
    unsigned long long job = 0;
    CU_ASSERT_EQUAL(sscanf(ask(rig, command, argument), "{\"job\":%llu}", &job), 1);
    snprintf(number, NUMBER_BYTES, "%llu", job);
}

/* Waits for its end. Returns: what `job` says of it. */
static const char *await_job(struct server_rig *rig, const char *number)
{
    const char *text = ask(rig, "job", number);
    for (unsigned i = 0; strstr(text, "\"running\"") && i < POLLS_MAX; i++) {
        task_sleep(rig->reactor, POLL_NS);
        text = ask(rig, "job", number);
    }
    return text;
}

static const char *run_job(struct server_rig *rig, const char *command, const char *argument)
{
    char number[NUMBER_BYTES];
    begin_job(rig, command, argument, number);
    return await_job(rig, number);
}

static void make_snapshot(struct server_rig *rig)
{
    CU_ASSERT(strstr(run_job(rig, "snapshot-create", "one"), "\"done\"") != NULL);
}

static void start_job(struct server_rig *rig)
{
    (void)ask(rig, rig_of(rig)->command, rig_of(rig)->argument);
    task_sleep(rig->reactor, rig_of(rig)->pause_ns);
}

static void check_none_useless(struct server_rig *rig)
{
    CU_ASSERT_PTR_NULL(strstr(run_job(rig, "snapshot-list", ""), "useless"));
}

/* ---- the disk ---- */

/* Files whose path begins so. */
static unsigned count_files(struct admin_rig *a, const char *prefix)
{
    const struct sim_disk *disk = sim_node_disk(a->server.server.node);
    unsigned count = 0;
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++)
        count += strncmp(sim_disk_file_at(disk, i).path, prefix, strlen(prefix)) == 0;
    return count;
}

static bool is_whole_snapshot(struct admin_rig *a)
{
    char byte;
    const struct sim_disk *disk = sim_node_disk(a->server.server.node);
    return sim_disk_peek(disk, "data/snapshots/one/CATALOGUE", &byte, 1, 0) >= 0;
}

/* ---- tests ---- */

/* Returns: whether something was left that was no snapshot when the power came back. */
static bool cut_off(const char *command, const char *argument, bool is_made_before, unsigned step)
{
    struct admin_rig a = {.command = command, .argument = argument, .pause_ns = (uint64_t)step * STEP_NS};
    server_rig_open(&a.server, 1);
    snprintf(a.server.server.options.backup_root, sizeof a.server.server.options.backup_root, "/backups");
    server_rig_start(&a.server);
    server_rig_run(&a.server, put_all);
    if (is_made_before)
        server_rig_run(&a.server, make_snapshot);
    if (step % 2)
        server_rig_set_fault(&a.server, SIM_DROPPED_NAME, ALWAYS / 2);
    server_rig_run(&a.server, start_job);
    sim_node_kill(a.server.server.node, SIM_END_POWER);
    bool is_whole = is_whole_snapshot(&a);
    bool is_left = count_files(&a, "data/snapshots/.backup/") > 0 ||
                   (!is_whole && count_files(&a, "data/snapshots/one/") > 0);
    server_rig_start(&a.server);
    server_rig_run(&a.server, check_none_useless);
    CU_ASSERT_EQUAL(count_files(&a, "data/snapshots/.backup/"), 0);
    CU_ASSERT_EQUAL(is_whole_snapshot(&a), is_whole);
    CU_ASSERT_EQUAL(count_files(&a, "data/snapshots/one/") > 0, is_whole);
    server_rig_stop(&a.server);
    server_rig_close(&a.server);
    return is_left;
}

TEST(deletion_of_a_snapshot_that_is_cut_off_is_finished_by_the_next_start)
{
    unsigned left = 0;
    for (unsigned step = 0; step < STEPS; step++)
        left += cut_off("snapshot-delete", "one", true, step);
    CU_ASSERT(left > 0);
}

TEST(snapshot_or_backup_that_is_cut_off_is_removed_by_the_next_start)
{
    unsigned snapshots = 0, backups = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        snapshots += cut_off("snapshot-create", "one", false, step * 4);
        backups += cut_off("backup", "/backups", false, step * 4);
    }
    CU_ASSERT(snapshots > 0 && backups > 0);
}

static void delete_the_rest(struct server_rig *rig)
{
    CU_ASSERT(strstr(run_job(rig, "snapshot-list", ""), "\"useless\":\"unfinished\"") != NULL);
    CU_ASSERT(strstr(run_job(rig, "snapshot-delete", "one"), "\"done\"") != NULL);
    CU_ASSERT(strstr(run_job(rig, "snapshot-list", ""), "\"snapshots\":[]") != NULL);
    CU_ASSERT(strstr(run_job(rig, "snapshot-delete", "one"), "there is no snapshot") != NULL);
}

TEST(half_deleted_snapshot_is_listed_as_useless_and_can_be_deleted)
{
    struct admin_rig a = {.pause_ns = 0};
    server_rig_open(&a.server, 2);
    server_rig_start(&a.server);
    server_rig_run(&a.server, put_all);
    server_rig_run(&a.server, make_snapshot);
    sim_disk_remove_file(sim_node_disk(a.server.server.node), "data/snapshots/one/CATALOGUE");
    server_rig_run(&a.server, delete_the_rest);
    CU_ASSERT_EQUAL(count_files(&a, "data/snapshots/one/"), 0);
    server_rig_stop(&a.server);
    CU_ASSERT_EQUAL(sim_node_leaks(a.server.server.node).heap_bytes, 0); /* of either core */
    server_rig_close(&a.server);
}

/* Waits until the snapshot is gone. */
static void delete_and_watch(struct server_rig *rig)
{
    struct admin_rig *a = rig_of(rig);
    uint64_t used = sim_disk_used_bytes(sim_node_disk(rig->server.node)), before = used;
    unsigned files = count_files(a, "data/snapshots/one/"), steps = 0;
    char number[NUMBER_BYTES];
    begin_job(rig, "snapshot-delete", "one", number);
    for (unsigned i = 0; i < POLLS_MAX && count_files(a, "data/snapshots/one/") > 0; i++) {
        task_sleep(rig->reactor, LOOK_NS);
        used = sim_disk_used_bytes(sim_node_disk(rig->server.node));
        steps += used < before;
        before = used;
    }
    CU_ASSERT(steps > files + KEYS * 1000 / REMOVAL_STEP_BYTES / 2);
    CU_ASSERT(strstr(await_job(rig, number), "\"done\"") != NULL);
}

/* The copy of the log, which has no other name. */
TEST(deleted_snapshot_gives_its_blocks_back_in_steps)
{
    struct admin_rig a = {.pause_ns = 0};
    server_rig_open(&a.server, 1);
    a.server.server.sizes.removal_step_bytes = REMOVAL_STEP_BYTES;
    server_rig_start(&a.server);
    server_rig_run(&a.server, put_all);
    server_rig_run(&a.server, make_snapshot);
    server_rig_run(&a.server, delete_and_watch);
    CU_ASSERT_EQUAL(count_files(&a, "data/snapshots/one/"), 0);
    server_rig_stop(&a.server);
    server_rig_close(&a.server);
}

static bool is_known(struct server_rig *rig, const char *number)
{
    struct rig_request q = {.op = FRAME_ADMIN, .key = "job", .value = slice_of_string(number)};
    int code = rig_ask_now(rig, &q);
    CU_ASSERT(code == 0 || code == TORC_E_NOT_FOUND);
    return code == 0;
}

static void make_one_and_others_after_it(struct server_rig *rig)
{
    char made[NUMBER_BYTES], failed[NUMBER_BYTES], other[NUMBER_BYTES];
    begin_job(rig, "snapshot-create", "one", made);
    (void)await_job(rig, made);
    begin_job(rig, "snapshot-delete", "none", failed);
    (void)await_job(rig, failed);
    for (unsigned i = 1; i < JOBS_KEPT; i++) {
        begin_job(rig, "snapshot-list", "", other);
        CU_ASSERT(strstr(ask(rig, "job", made), "\"state\":\"done\",\"result\":{\"name\":\"one\"") != NULL);
        CU_ASSERT(strstr(ask(rig, "job", failed), "there is no snapshot") != NULL);
        CU_ASSERT(strstr(await_job(rig, other), "\"name\":\"one\"") != NULL);
    }
    begin_job(rig, "snapshot-list", "", other);
    CU_ASSERT(!is_known(rig, made) && is_known(rig, failed));
    CU_ASSERT(strstr(await_job(rig, other), "\"name\":\"one\"") != NULL);
}

TEST(what_became_of_a_job_is_known_while_others_run_after_it)
{
    struct admin_rig a = {.pause_ns = 0};
    server_rig_open(&a.server, 2);
    server_rig_start(&a.server);
    server_rig_run(&a.server, put_all);
    server_rig_run(&a.server, make_one_and_others_after_it);
    server_rig_stop(&a.server);
    CU_ASSERT_EQUAL(sim_node_leaks(a.server.server.node).heap_bytes, 0);
    server_rig_close(&a.server);
}

/* Is what became of this list still known when so many jobs have begun after it? */
static bool is_list_known_after(struct server_rig *rig, unsigned jobs)
{
    char list[NUMBER_BYTES];
    begin_job(rig, "snapshot-list", "", list);
    task_sleep(rig->reactor, LIST_NS); /* what it says is more than an answer here has room for */
    while (jobs-- > 0)
        (void)run_job(rig, "snapshot-delete", "none");
    return is_known(rig, list);
}

static void list_many(struct server_rig *rig)
{
    for (unsigned i = 0; i < SNAPSHOTS_OF_A_LONG_LIST; i++) {
        char name[64];
        snprintf(name, sizeof name, "snapshot-of-a-list-that-takes-more-than-four-kib-%02u", i);
        CU_ASSERT(strstr(run_job(rig, "snapshot-create", name), "\"done\"") != NULL);
        if (i == SNAPSHOTS_OF_A_LONG_LIST / 4)
            CU_ASSERT(is_list_known_after(rig, JOBS_KEPT));
    }
    CU_ASSERT(is_list_known_after(rig, 1));
    CU_ASSERT(!is_list_known_after(rig, 2));
}

TEST(long_list_of_snapshots_is_kept_until_the_second_job_after_it)
{
    struct admin_rig a = {.pause_ns = 0};
    server_rig_open(&a.server, 1);
    server_rig_start(&a.server);
    server_rig_run(&a.server, list_many);
    server_rig_stop(&a.server);
    server_rig_close(&a.server);
}
