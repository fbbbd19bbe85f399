/* talker.h - a client of a history: tasks that each hold one connection and ask what their dice say.
 *
 * Pipelining, batches, scans, requests for a core of their own, pauses in reading, bytes that are no frames;
 * after each end a new connection. While the service is in its liveness phase only plain requests, until
 * enough of them were answered. */
#ifndef TEST_SIM_TALKER_H
#define TEST_SIM_TALKER_H

#include "test/sim/asks.h"

enum { TALKERS_MAX = 12, TALKER_LIVENESS_ANSWERS = 12, TALKER_LIVENESS_WRITES = 2 };

struct talker {
    struct asks asks; /* first what outlives the node */
    unsigned number;
    uint64_t seed;
    uint64_t think_ns; /* between requests, on average */
    unsigned depth;    /* requests under way at once */
    uint32_t lively;   /* answers of the liveness phase */
    uint32_t lively_writes;
    bool is_running;
    /* Of the run. */
    struct reactor *reactor;
    struct sim_dice dice;
    struct client client;
    struct event progress;
    uint64_t paused_until_ns;  /* it reads nothing until then */
    uint64_t excused_until_ns; /* it did not read: what comes late is its own fault */
    bool has_ended;
    bool has_quit; /* it ends the connection itself */
};

struct talker_node {
    struct service *service;
    struct talker *talkers;
    unsigned first;
    unsigned count;
    unsigned running;
};

static inline uint64_t talker_below(struct talker *t, uint64_t bound)
{
    return sim_dice_below(&t->dice, bound);
}

/* The reactor's main of a client node; `context` is its struct talker_node. Returns when all is over. */
MUST_CHECK int talker_main(struct reactor *r, void *context);
/* It has got on without faults, as it was to. */
bool talker_has_proved(const struct talker *t);
/* Its node was killed: what it asked is lost. */
void talker_killed(struct talker *t);

/* Waits. Looks at every key and scans them all, over one connection. Returns: whether all was answered. */
bool talker_audit(struct talker *t, struct reactor *r);

#endif
