/* crash_workload.h - the short workloads: what is done to a shard before and while its disk is recorded.
 *
 * A workload is a script of words, "open rest record put:0:100 await": acts with up to two numbers. */
#ifndef TEST_SIM_CRASH_WORKLOAD_H
#define TEST_SIM_CRASH_WORKLOAD_H

#include "test/sim/crash_shard.h"

enum crash_act {
    CRASH_END,             /* not in scripts: closes what is open; the core stops */
    CRASH_OPEN,            /* the engine */
    CRASH_CLOSE,           /* tidily */
    CRASH_RECORD,          /* from here on states are taken */
    CRASH_PUT,             /* key, bytes of the value */
    CRASH_DELETE,          /* key */
    CRASH_AWAIT,           /* until every ticket is back */
    CRASH_TURN,            /* the core has a turn: what was put is in flight */
    CRASH_REST,            /* virtual milliseconds, or as long as background work takes: that goes on */
    CRASH_OBSERVE,         /* reads all; from here on what was shown must stay */
    CRASH_FAIL_WRITES,     /* so many writes to the disk fail, from so many virtual microseconds on */
    CRASH_FAIL_SYNCS,      /* the same of syncs and durable writes */
    CRASH_FILL_DISK,       /* all but so many KiB of it */
    CRASH_FREE_DISK,       /* it has room again */
    CRASH_KILL,            /* the process, after so many microseconds; it starts again with the next step */
    CRASH_ROT,             /* that block of the first file of the log, while the engine is closed */
    CRASH_TAKE_SNAPSHOT,   /* of the engine that is open, with no ticket out; 1: a put comes meanwhile */
    CRASH_CHANGE_MANIFEST, /* one commit of the same tables; the engine is closed */
};

enum { CRASH_STEPS_MAX = 128 };

struct crash_step {
    enum crash_act act;
    uint32_t a;
    uint32_t b;
};

struct crash_workload {
    const char *name;
    const char *script;
    struct crash_knobs knobs;
    uint32_t again_every; /* the recovery of every so many-th image is crashed too; 0: of none */
};

/* Returns: null behind the last one. */
const struct crash_workload *crash_workload_at(uint32_t index);
/* What is done at the second level: recovers, reads, puts, closes. */
struct crash_workload crash_workload_recovery(const struct crash_workload *of);

/* The script as steps, CRASH_END behind them. Returns: how many. */
uint32_t crash_workload_steps(const struct crash_workload *workload,
                              struct crash_step steps[CRASH_STEPS_MAX]);
/* Its word in scripts. */
const char *crash_act_text(enum crash_act act);

#endif
