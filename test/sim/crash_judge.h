/* crash_judge.h - recovers one image and says what is wrong with it, if anything.
 *
 * The first life opens the shard, compares all that reads show with what the history allows, lets background
 * work come to rest, looks again, puts a record and closes. Then the power is lost once more, with nothing
 * kept that was not durable. The second life must show exactly what the first did, and the disk then holds
 * the files it names and no others. */
#ifndef TEST_SIM_CRASH_JUDGE_H
#define TEST_SIM_CRASH_JUDGE_H

#include "test/sim/crash_record.h"

struct crash_verdict {
    char why[CRASH_WHY_BYTES];        /* empty: all is as it must be */
    char last_event[CRASH_WHY_BYTES]; /* what the engine told last */
};

/* Owns: takes `disk`, an image of the state. Returns: whether all is as it must be. */
bool crash_judge(const struct crash_workload *workload, const struct crash_state *state,
                 struct sim_disk *disk, struct crash_verdict *out);

#endif
