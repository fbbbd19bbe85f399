/* server_test.c - what histories of servers have found, as scripts. */
#include "reactor/core.h"
#include "test/sim/server_rig.h"

#include <stdio.h>

enum { ALWAYS = 1000000 };

static void put_one(struct server_rig *rig)
{
    struct rig_request q = {.op = FRAME_PUT, .key = "key", .value = slice_of_string("value")};
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
}

static void get_one(struct server_rig *rig)
{
    struct rig_request q = {.op = FRAME_GET, .key = "key"};
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
}

/* The name of a data directory that the server had made was not synced: all of it was gone with the power. */
TEST(server_keeps_its_new_data_directory_when_power_is_lost)
{
    struct server_rig rig;
    server_rig_open(&rig, 1);
    server_rig_set_fault(&rig, SIM_DROPPED_NAME, ALWAYS);
    server_rig_start(&rig);
    server_rig_run(&rig, put_one);
    sim_node_kill(rig.server.node, SIM_END_POWER);
    server_rig_start(&rig);
    server_rig_run(&rig, get_one);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}

enum { WRITES = 200 };

static const char *key_of(unsigned i)
{
    static char key[32];
    snprintf(key, sizeof key, "key-%u", i);
    return key;
}

/* Each waits for the one before. The keys are of both cores, the connection is of one. */
static void put_in_turn(struct server_rig *rig)
{
    for (unsigned i = 0; i < WRITES; i++) {
        struct rig_request q = {.op = FRAME_PUT, .key = key_of(i), .value = slice_of_string("value")};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

static void look_at_versions(struct server_rig *rig)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < WRITES; i++) {
        struct rig_request q = {.op = FRAME_GET, .flags = FRAME_WANT_VERSION, .key = key_of(i)};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
        CU_ASSERT(rig->answers[i].version_clock > last);
        last = rig->answers[i].version_clock;
    }
}

/* A snapshot is of one version clock: of these writes it must have a beginning. The cores read the time of
 * day at different moments, here far apart. */
TEST(a_write_that_waited_for_another_has_the_higher_version_on_any_core)
{
    struct server_rig rig;
    server_rig_open(&rig, 2);
    server_rig_start(&rig);
    server_rig_set_fault(&rig, SIM_WALL_JUMP, ALWAYS);
    server_rig_run(&rig, put_in_turn);
    server_rig_set_fault(&rig, SIM_WALL_JUMP, 0);
    server_rig_run(&rig, look_at_versions);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}

enum { TIMERS = 100 };

static void do_nothing(struct timer *t)
{
    (void)t;
}

/* The timer of each second finds no room in the heap of timers, and no memory for more of it. */
TEST(server_goes_on_with_what_it_does_each_second_after_there_was_no_memory_for_its_timer)
{
    static struct timer timers[TIMERS];
    struct server_rig rig;
    server_rig_open(&rig, 1);
    server_rig_start(&rig);
    server_rig_sleep(&rig, 100000000);
    struct reactor *r = sim_node_core(rig.server.node, 0);
    struct reactor_core *c = core_of(r);
    uint32_t before = c->timer_count, capacity = c->timer_capacity, taken = 0;
    for (; c->timer_count + c->task_count_max < capacity; taken++)
        CU_ASSERT_EQUAL_FATAL(timer_start(r, &timers[taken], UINT64_C(3600) * 1000000000, do_nothing), 0);
    c->timer_capacity--; /* of the room of the timer that fires */
    c->heap.fails_in = 1;
    server_rig_sleep(&rig, 2000000000);
    CU_ASSERT_EQUAL(c->heap.fails_in, 0);
    c->timer_capacity = capacity;
    for (uint32_t i = 0; i < taken; i++)
        timer_stop(r, &timers[i]);
    CU_ASSERT_EQUAL(c->timer_count, before);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}
