/* runner.h - runs many histories in worker processes, and one in this.
 *
 * A worker runs its share of the histories, one after the other, and counts in memory that it shares with the
 * runner. One that dies (a failed assertion, a signal, more CPU time than a history may take) has named its
 * history before: that one has failed, and a new worker goes on after it. */
#ifndef TEST_SIM_RUNNER_H
#define TEST_SIM_RUNNER_H

#include "test/sim/options.h"

/* Returns: the status for the process to end with. */
int runner_run_one(const struct sim_options *o);
int runner_run_many(const struct sim_options *o);

#endif
