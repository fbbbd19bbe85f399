/* crash_explore.h - one workload: its states, their images, each distinct one recovered.
 *
 * The images of a workload have one order, so the place of an image names it for ever:
 *
 *   level 1: the workload   state 12, image 40   --recovered: is it as it must be?
 *   level 2: its recovery   state 3, image 7     --the same, of what a crash during that recovery leaves
 *
 * What goes on is written to a struct crash_progress, which another process may see: when this one dies of an
 * assertion of the engine, it tells where. */
#ifndef TEST_SIM_CRASH_EXPLORE_H
#define TEST_SIM_CRASH_EXPLORE_H

#include "test/sim/crash_workload.h"

enum { CRASH_LEVELS = 2, CRASH_FAILURES_MAX = 64 };

/* depth 0: nowhere. */
struct crash_place {
    uint32_t depth;
    uint32_t state[CRASH_LEVELS];
    uint64_t image[CRASH_LEVELS];
};

struct crash_tally {
    uint64_t states;
    uint64_t images;    /* built */
    uint64_t distinct;  /* of them */
    uint64_t recovered; /* as they must be */
    uint64_t failed;
    uint64_t again;   /* recoveries that were crashed too */
    uint64_t sampled; /* states with more combinations than were built */
};

struct crash_progress {
    struct crash_tally tally;
    struct crash_place place; /* under way */
    uint64_t ordinal;         /* of the distinct image, or recording of its recovery, under way; from 1 */
    /* Stays when the exploration begins again behind what ended the process. */
    uint32_t failed_count;
    uint64_t failed[CRASH_FAILURES_MAX]; /* ordinals */
};

struct crash_exploration {
    const struct crash_workload *workload;
    struct crash_progress *progress;
    uint64_t skip;                     /* ordinals up to this one are counted, and not recovered again */
    uint32_t images_max[CRASH_LEVELS]; /* of one state, at each level */
    uint32_t images_built_max;         /* of one state, evenly among those; 0: all of them */
    bool is_once;                      /* no recovery is crashed */
    uint32_t failures_max;             /* it ends after so many; at most CRASH_FAILURES_MAX */
    bool is_verbose;
};

/* Prints each failure. Returns: false when the workload cannot even run without a crash. */
bool crash_explore(const struct crash_exploration *x);

/* Builds and recovers one image, and prints all there is to say. Returns: 0, 1 when it is not as it must be,
 * 2 when there is no such place. */
int crash_replay(const struct crash_exploration *x, const struct crash_place *place);

/* Prints what went wrong at a place and how to see it again. */
void crash_explain(const struct crash_workload *workload, const struct crash_place *place, const char *what);

#endif
