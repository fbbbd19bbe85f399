/* crash_judge.c - recovers one image, in a world of its own; see crash_judge.h. */
#include "test/sim/crash_judge.h"
#include "test/sim/crash_copy.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    REST_NS = 100 * 1000 * 1000, /* flushes, compactions and the idle log's watermark are over by then */
    LIFE_NS_MAX = INT32_MAX,     /* some two seconds */
    PUT_KEY = 0,
    PUT_BYTES = 100,
    NAME_BYTES = 64,
};

struct judge {
    struct sim_node *node;
    struct crash_history history;
    struct crash_shard shard;
    uint64_t tables; /* that counted when the life ended */
    uint64_t values; /* value logs, the same */
    bool is_full;    /* the disk: nothing can be put */
    bool has_put;
    bool is_over;
};

/* ---- a life, as a task ---- */

static bool check_counters(struct judge *j)
{
    struct engine_counters c = engine_counters(j->shard.engine);
    j->tables = c.tables;
    j->values = c.value_files;
    if (j->history.unknown_below > 0)
        return c.quarantined > 0 || crash_shard_complain(&j->shard, "damage of the log is forgotten");
    if (c.quarantined || c.corruptions)
        return crash_shard_complain(&j->shard,
                                    "a loss of power was taken for damage: %u stretches, %u checksums",
                                    (unsigned)c.quarantined, (unsigned)c.corruptions);
    return true;
}

static bool put_one(struct judge *j)
{
    struct crash_shard *s = &j->shard;
    uint32_t number = j->history.count;
    j->has_put = true;
    crash_shard_put(s, PUT_KEY, PUT_BYTES, false);
    if (!crash_shard_await(s))
        return false;
    if (j->history.writes[number].state != CRASH_ACKNOWLEDGED)
        return crash_shard_complain(s, "a put after the recovery is refused or fails; %s", s->last_event);
    return crash_shard_observe(s);
}

static bool live(struct judge *j, struct reactor *r)
{
    struct crash_shard *s = &j->shard;
    if (crash_shard_open(s, r) != 0)
        return false;
    bool is_good = crash_shard_observe(s);
    task_sleep(r, REST_NS);
    is_good = is_good && crash_shard_observe(s);
    if (is_good && !j->has_put && !j->is_full)
        is_good = put_one(j);
    task_sleep(r, REST_NS);
    is_good = is_good && check_counters(j);
    crash_shard_close(s);
    is_good = is_good && (j->is_full || crash_copy_check(s));
    return is_good && s->why[0] == '\0';
}

static int run_life(struct reactor *r, void *context)
{
    struct judge *j = context;
    j->is_over = live(j, r);
    reactor_stop(r);
    return 0;
}

/* ---- around it ---- */

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

static bool check_leaks(struct judge *j)
{
    struct sim_leaks leaks = sim_node_leaks(j->node);
    char text[SIM_LEAKS_TEXT_BYTES];
    return !sim_leaks_tell(&leaks, text) || crash_shard_complain(&j->shard, "a tidy end leaves %s", text);
}

static bool run_node(struct judge *j)
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    struct sim_world *world = sim_node_world(j->node);
    j->is_over = false;
    sim_node_start(j->node, &options, run_life, j);
    if (!sim_run(world, sim_now_ns(world) + LIFE_NS_MAX, is_down, j->node))
        return crash_shard_complain(&j->shard, "the recovery does not end");
    return j->is_over && check_leaks(j);
}

/* The power goes: nothing is kept that was not durable. */
static void lose_all_pending(struct judge *j)
{
    struct sim_disk *disk = sim_node_take_disk(j->node);
    uint32_t count = sim_disk_pending_count(disk);
    struct sim_choice *choices = calloc(count + 1, sizeof *choices);
    ASSERT(choices);
    for (uint32_t i = 0; i < count; i++)
        choices[i].what = SIM_DROP;
    sim_disk_lose_power(disk, choices);
    free(choices);
    sim_node_give_disk(j->node, disk);
}

/* Only files that are named by someone, and no more of the log than a shard may keep. */
static bool check_files(struct judge *j)
{
    const struct sim_disk *disk = sim_node_disk(j->node);
    uint64_t tables = 0, values = 0, segments = 0;
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info info = sim_disk_file_at(disk, i);
        if (strncmp(info.path, &CRASH_DIRECTORY "/"[1], sizeof CRASH_DIRECTORY - 1) != 0)
            continue; /* copies */
        const char *name = strrchr(info.path, '/');
        name = name ? name + 1 : info.path;
        bool is_table = strncmp(name, "table-", 6) == 0;
        bool is_segment = strncmp(name, "wal-", 4) == 0;
        bool is_values = strncmp(name, "values-", 7) == 0;
        tables += is_table;
        values += is_values;
        segments += is_segment;
        if (is_segment && info.bytes > CRASH_SEGMENT_BYTES)
            return crash_shard_complain(&j->shard, "%s has %llu bytes", info.path,
                                        (unsigned long long)info.bytes);
        if (!is_table && !is_values && !is_segment && strncmp(name, "MANIFEST-", 9) != 0)
            return crash_shard_complain(&j->shard, "%s is left, which nobody names", info.path);
    }
    if (tables != j->tables)
        return crash_shard_complain(&j->shard, "%u files of tables for %u tables", (unsigned)tables,
                                    (unsigned)j->tables);
    if (values != j->values)
        return crash_shard_complain(&j->shard, "%u files of %u value logs", (unsigned)values,
                                    (unsigned)j->values);
    if (segments > CRASH_SEGMENTS_MAX)
        return crash_shard_complain(&j->shard, "%u files of the log", (unsigned)segments);
    return true;
}

/* As many lives as it takes: one that puts, one after it, and one before it when the disk is full. */
static bool run_lives(struct judge *j)
{
    if (j->is_full) {
        if (!run_node(j) || !check_files(j))
            return false;
        lose_all_pending(j);
        sim_disk_set_capacity(sim_node_disk(j->node), CRASH_DISK_BYTES);
        j->is_full = false;
    }
    if (!run_node(j) || !check_files(j))
        return false;
    lose_all_pending(j);
    return run_node(j) && check_files(j);
}

bool crash_judge(const struct crash_workload *workload, const struct crash_state *state,
                 struct sim_disk *disk, struct crash_verdict *out)
{
    struct judge *j = calloc(1, sizeof *j);
    ASSERT(j);
    struct sim_world *world = sim_world_new(&(struct sim_world_options){.seed = 1});
    j->history = state->history;
    j->is_full = state->is_full;
    j->shard = (struct crash_shard){.knobs = workload->knobs, .history = &j->history};
    j->node = sim_node_new(world, "10.0.0.1", disk);
    if (!j->is_full)
        sim_disk_set_capacity(disk,
                              CRASH_DISK_BYTES); /* it may have come back since the image's state began */
    bool is_good = run_lives(j);
    snprintf(out->why, sizeof out->why, "%s", j->shard.why);
    snprintf(out->last_event, sizeof out->last_event, "%s", j->shard.last_event);
    ASSERT(is_good == (out->why[0] == '\0'));
    sim_world_free(world);
    free(j);
    return is_good;
}
