/* plan.h - what a seed is going to do to a node of engines: faults, knobs, work, and how its lives end. */
#ifndef TEST_SIM_PLAN_H
#define TEST_SIM_PLAN_H

#include "engine/engine.h"
#include "test/sim/kind.h"

enum {
    PLAN_CORES_MAX = 3,
    PLAN_LIVES_MAX = 10,
    PLAN_DRIVERS_MAX = 6,
    PLAN_VALUE_BYTES_MAX = 16 << 10,
};

enum life_end {
    LIFE_KILL,       /* the process is killed */
    LIFE_POWER,      /* the power is lost */
    LIFE_STOP,       /* asked to stop, and ends by itself */
    LIFE_STOP_KILL,  /* asked to stop, and killed while it closes */
    LIFE_STOP_POWER, /* the same with the power */
};

struct life_plan {
    enum life_end end;
    bool is_early;       /* it ends `delay_ns` after the start, most likely in recovery */
    uint32_t operations; /* else `delay_ns` after so many operations */
    uint64_t delay_ns;
};

struct plan {
    uint64_t seed;
    struct sim_faults faults;
    bool destroys; /* it has faults by which what was acknowledged can be damaged */
    unsigned cores;
    struct engine_options knobs; /* vnode_first is that of core 0 */

    uint32_t keys; /* of each core */
    uint32_t hot_keys;
    uint32_t hot_per_cent; /* of the operations */
    uint32_t value_bytes_usual;
    uint32_t put_per_cent; /* of the operations; each of these, the rest are gets */
    uint32_t delete_per_cent;
    uint32_t expiring_per_cent;
    uint32_t scan_per_cent;

    unsigned drivers;     /* tasks that do operations, on each core */
    uint32_t pipeline;    /* writes of a driver under way at once */
    uint32_t burst;       /* operations without a pause */
    uint64_t pause_ns;    /* at most, between bursts */
    uint64_t deadline_ns; /* of some writes; 0: none has one */
    bool has_copies;      /* snapshots are taken and restored, see copies.h */

    uint32_t operations; /* of all cores and lives */
    unsigned life_count;
    struct life_plan lives[PLAN_LIVES_MAX]; /* the last one is the end: nothing fails in it */
};

void plan_draw(struct plan *p, const struct history_request *request);
void plan_tell(const struct plan *p, struct story *story);

/* One draw of the driver's own, for what is not a knob: `stream` from PLAN_STREAMS on. */
enum { PLAN_STREAMS = SIM_STREAMS + 1000 };

#endif
