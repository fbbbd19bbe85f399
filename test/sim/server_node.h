/* server_node.h - a torcd on a simulated node: the real shard_main with the options of a real start.
 *
 * The data directory is /data on the node's disk, so it outlives kills and losses of power. Sizes are small:
 * a history of a few hundred writes has flushes, compactions and new log files in it. */
#ifndef TEST_SIM_SERVER_NODE_H
#define TEST_SIM_SERVER_NODE_H

#include "reactor/sim/sim.h"
#include "shard/shard.h"

enum { SERVER_PORT = 7070, SERVER_VALUE_BYTES_MAX = 16 << 10 };

struct server_node {
    struct sim_node *node;
    struct options options;
    struct shard_context context;
    struct engine_options sizes;
    struct reactor_options reactor;
    struct address address;
    unsigned starts;
};

/* A node that is down; its options may be changed before each start. */
void server_node_init(struct server_node *s, struct sim_world *w, const char *host, unsigned cores);
void server_node_start(struct server_node *s);

#endif
