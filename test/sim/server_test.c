/* server_test.c - what histories of servers have found, as scripts. */
#include "test/sim/server_rig.h"

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
