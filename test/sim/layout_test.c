/* layout_test.c - a server whose number of cores changes keeps what it has, whenever the power goes. */
#include "test/sim/server_rig.h"

#include <stdio.h>

enum {
    KEYS = 120,
    KEY_BYTES = 16,
    VALUE_BYTES = 32,
    ALWAYS = 1000000,
    STEP_NS = 400 * 1000,
    STEPS_MAX = 400,
    KILL_STEP_NS = 30 * 1000,
    KILLS = 150,
    PAGE_BYTES = 4096,
    NS_PER_S = 1000000000,
};
#define REFUSAL_NS (UINT64_C(5) * 1000 * 1000 * 1000)

/* What the keys hold: of generation 0 nothing. */
struct expected {
    unsigned generation[KEYS];
    bool is_deleted[KEYS];
    unsigned now;
};

struct layout_rig {
    struct server_rig server; /* the first: bodies get it */
    struct expected expected;
    unsigned wrong;
};

static struct layout_rig *rig_of(struct server_rig *rig)
{
    return CONTAINER_OF(rig, struct layout_rig, server);
}

static const char *key_of(char to[KEY_BYTES], unsigned i)
{
    snprintf(to, KEY_BYTES, "key-%u", i);
    return to;
}

static struct slice value_of(char to[VALUE_BYTES], unsigned i, unsigned generation)
{
    snprintf(to, VALUE_BYTES, "value-%u-%u", i, generation);
    return slice_of_string(to);
}

/* Writes two thirds of the keys anew and deletes some of the rest. */
static void put_generation(struct server_rig *rig)
{
    struct expected *x = &rig_of(rig)->expected;
    x->now++;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[KEY_BYTES], value[VALUE_BYTES];
        if ((i + x->now) % 3 != 0 || i % 7 == x->now % 7) {
            bool is_delete = i % 7 == x->now % 7;
            x->generation[i] = x->now;
            x->is_deleted[i] = is_delete;
            rig_ask(rig, &(struct rig_request){.op = is_delete ? FRAME_DELETE : FRAME_PUT,
                                               .key = key_of(key, i),
                                               .value = is_delete ? slice_of(NULL, 0)
                                                                  : value_of(value, i, x->now)});
        }
    }
    rig_await(rig);
    for (unsigned i = 0; i < rig->asked; i++)
        CU_ASSERT_EQUAL(rig->answers[i].code, 0);
}

static void check_all(struct server_rig *rig)
{
    struct layout_rig *l = rig_of(rig);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[KEY_BYTES];
        rig_ask(rig, &(struct rig_request){.op = FRAME_GET, .key = key_of(key, i)});
    }
    rig_await(rig);
    for (unsigned i = 0; i < KEYS; i++) {
        const struct rig_answer *a = &rig->answers[i];
        bool is_absent = l->expected.is_deleted[i] || l->expected.generation[i] == 0;
        char value[VALUE_BYTES];
        struct slice wanted = value_of(value, i, l->expected.generation[i]);
        bool is_right = is_absent ? a->code == TORC_E_NOT_FOUND
                                  : a->code == 0 && slice_equal(wanted, slice_of(a->value, a->value_bytes));
        l->wrong += !is_right;
    }
    CU_ASSERT_EQUAL(l->wrong, 0);
}

static void start_with(struct layout_rig *l, unsigned cores)
{
    l->server.server.options.cores = cores;
    server_rig_start(&l->server);
}

/* A start that may be refused, or take longer than that. */
static void start_for(struct layout_rig *l, unsigned cores, uint64_t ns)
{
    l->server.server.options.cores = cores;
    server_node_start(&l->server.server);
    server_rig_sleep(&l->server, ns);
}

static void live(struct layout_rig *l, unsigned cores, void (*body)(struct server_rig *rig))
{
    start_with(l, cores);
    server_rig_run(&l->server, body);
    server_rig_stop(&l->server);
}

TEST(layout_follows_the_number_of_cores_and_loses_nothing)
{
    static const unsigned cores[] = {1, 2, 4, 3, 1, 2, 3, 3, 5, 1};
    struct layout_rig l = {.wrong = 0};
    server_rig_open(&l.server, 1);
    for (size_t i = 0; i < ARRAY_COUNT(cores) && l.wrong == 0; i++) {
        start_with(&l, cores[i]);
        server_rig_run(&l.server, check_all);
        server_rig_run(&l.server, put_generation);
        server_rig_run(&l.server, check_all);
        if (i % 3 == 1)
            sim_node_kill(l.server.server.node, SIM_END_POWER);
        else
            server_rig_stop(&l.server);
    }
    server_rig_close(&l.server);
}

TEST(layout_stays_while_the_archive_misses_a_part_of_the_log)
{
    struct layout_rig l = {.wrong = 0};
    server_rig_open(&l.server, 2);
    struct options *o = &l.server.server.options;
    snprintf(o->archive, sizeof o->archive, "/absent/archive"); /* its parent is not there */
    live(&l, 2, put_generation);
    start_for(&l, 1, REFUSAL_NS);
    CU_ASSERT_FALSE(sim_node_is_up(l.server.server.node));
    live(&l, 2, check_all);
    o->archive[0] = '\0'; /* given up */
    live(&l, 1, check_all);
    server_rig_close(&l.server);
}

/* Data of `before` cores, and a change that is cut off `after_ns` after its start. Returns: whether something
 * was wrong. */
static bool cut_off(unsigned before, unsigned cores, uint64_t after_ns, bool drops_names)
{
    struct layout_rig l = {.wrong = 0};
    server_rig_open(&l.server, before);
    start_with(&l, before);
    server_rig_run(&l.server, put_generation);
    server_rig_run(&l.server, put_generation);
    server_rig_stop(&l.server);
    if (drops_names)
        server_rig_set_fault(&l.server, SIM_DROPPED_NAME, ALWAYS);
    start_for(&l, cores, after_ns);
    sim_node_kill(l.server.server.node, SIM_END_POWER);
    bool is_again = after_ns / STEP_NS % 2;
    start_with(&l, is_again ? cores : before);
    server_rig_run(&l.server, check_all);
    server_rig_run(&l.server, put_generation);
    server_rig_stop(&l.server);
    live(&l, cores, check_all);
    server_rig_close(&l.server);
    return l.wrong > 0;
}

TEST(layout_change_may_be_cut_off_at_any_point)
{
    for (unsigned step = 0; step < STEPS_MAX; step++)
        if (cut_off(step % 3 ? 1 : 3, step % 3 ? 2 : 1, (uint64_t)step * STEP_NS, step % 4 < 2))
            break;
}

/* A start that is killed `after_ns` after its begin leaves names that are not durable. The next one builds on
 * them, and loses the power. `before`: 0 for the first start of all. */
static bool killed_start(unsigned before, unsigned cores, uint64_t after_ns)
{
    struct layout_rig l = {.wrong = 0};
    server_rig_open(&l.server, cores);
    if (before > 0) {
        live(&l, before, put_generation);
    }
    server_rig_set_fault(&l.server, SIM_DROPPED_NAME, ALWAYS);
    start_for(&l, cores, after_ns);
    sim_node_kill(l.server.server.node, SIM_END_KILL);
    start_with(&l, cores);
    server_rig_run(&l.server, put_generation);
    sim_node_kill(l.server.server.node, SIM_END_POWER);
    live(&l, cores, check_all);
    server_rig_close(&l.server);
    return l.wrong > 0;
}

TEST(start_after_a_killed_one_makes_durable_what_it_builds_on)
{
    for (unsigned step = 0; step < KILLS; step++)
        if (killed_start(0, 2, step * KILL_STEP_NS) || killed_start(1, 2, step * 4ull * KILL_STEP_NS))
            break;
}

/* What it leaves is no data directory, or one in which no shard is missing. */
TEST(first_start_that_loses_the_power_at_any_point_loses_no_shard)
{
    for (unsigned step = 0; step < KILLS; step++) {
        struct layout_rig l = {.wrong = 0};
        server_rig_open(&l.server, 2);
        server_rig_set_fault(&l.server, SIM_DROPPED_NAME, ALWAYS);
        start_for(&l, 2, step * 5ull * KILL_STEP_NS);
        sim_node_kill(l.server.server.node, SIM_END_POWER);
        live(&l, 2, check_all);
        server_rig_close(&l.server);
    }
}

/* A change of cores that stops for want of room leaves a part of the new layout, and keeps nobody from the
 * old number. */
TEST(leftover_layout_is_removed_from_a_full_disk)
{
    struct layout_rig l = {.wrong = 0};
    server_rig_open(&l.server, 1);
    live(&l, 1, put_generation);
    struct sim_disk *disk = sim_node_disk(l.server.server.node);
    unsigned refused = 0;
    for (bool is_up = false; !is_up && refused < KILLS; refused += !is_up) {
        sim_disk_set_capacity(disk, sim_disk_used_bytes(disk) + refused * PAGE_BYTES);
        start_for(&l, 2, NS_PER_S);
        is_up = sim_node_is_up(l.server.server.node);
        sim_disk_set_capacity(disk, sim_disk_used_bytes(disk));
        if (!is_up)
            start_with(&l, 1);
        server_rig_run(&l.server, check_all);
        server_rig_stop(&l.server);
    }
    CU_ASSERT(refused > 0);
    CU_ASSERT(refused < KILLS);
    server_rig_close(&l.server);
}
