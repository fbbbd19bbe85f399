/* kind.h - the kinds of histories that the simulator runs, and what each is given and gives back.
 *
 * A kind draws a plan from the seed, lives it through in a world of its own, checks it, and says how it went.
 * All that happens follows from the request. A new kind is a row in kind.c. */
#ifndef TEST_SIM_KIND_H
#define TEST_SIM_KIND_H

#include "test/sim/story.h"
#include "test/sim/swarm.h"
#include "test/sim/tally.h"

struct history_request {
    uint64_t seed;
    uint8_t heap_fill; /* as in sim_world_options: the outcome must not depend on it */
    bool is_detailed;  /* the story is to have details */
    struct fault_filter filter;
};

/* Zeroed by the caller, who calls story_deinit. */
struct history_outcome {
    struct story story; /* story.failures > 0: the history has failed */
    struct tally tally; /* with tally_take_world; marks are the runner's */
    uint64_t trace_hash;
};

struct history_kind {
    const char *name;
    const char *words;
    const char *folder; /* whose marks its histories are to reach, besides those of the kinds before it */
    uint64_t faults;    /* the classes its histories can have: a set of FAULT_BIT */
    void (*run)(const struct history_request *request, struct history_outcome *outcome);
};

unsigned history_kind_count(void);
const struct history_kind *history_kind_at(unsigned index);
const struct history_kind *history_kind_find(const char *name); /* null when there is none */

#endif
