/* crash_record.h - runs a workload in a world of its own and keeps each state that its disk goes through.
 *
 *   change of the disk: 41           42               43
 *   states:              |---- 7 -----|------ 8 -------|---
 *   client:                 write 3 is acknowledged
 *
 * What the client had at the end of a state counts for all of it: the disk is the same, and more is asked of
 * it. */
#ifndef TEST_SIM_CRASH_RECORD_H
#define TEST_SIM_CRASH_RECORD_H

#include "reactor/sim/sim.h"
#include "test/sim/crash_workload.h"

enum { CRASH_STATES_MAX = 2048, CRASH_DISK_BYTES = 64 << 20 };

struct crash_state {
    struct sim_disk *disk; /* a clone, with what is pending */
    struct crash_history history;
    uint32_t step;        /* of the workload's, that was under way */
    bool is_full;         /* the disk has no room */
    bool has_failed_sync; /* no restart can tell what it dropped: a sync after it reports nothing */
    uint64_t at_ns;       /* the end of the state, in the world's time */
};

struct crash_recording {
    struct crash_state *states;
    uint32_t count;
    uint32_t capacity;
    char why[CRASH_WHY_BYTES]; /* what went wrong without any crash; empty: nothing */
};

struct crash_start {
    const struct sim_disk *disk; /* cloned; null: an empty one */
    struct crash_history history;
    bool is_full; /* the disk */
    uint64_t seed;
};

/* Owns: the caller frees with crash_recording_free. */
struct crash_recording *crash_record(const struct crash_workload *workload, const struct crash_start *start);
void crash_recording_free(struct crash_recording *r);

#endif
