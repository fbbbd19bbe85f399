/* rerun.h - the same history in another process: other addresses, other garbage in memory. */
#ifndef TEST_SIM_RERUN_H
#define TEST_SIM_RERUN_H

#include "test/sim/kind.h"

/* Runs this program anew for one history, with memory filled otherwise, and reads its trace hash. Returns:
 * 0, or -1 when that process did not get so far. */
int rerun_trace(const struct history_kind *kind, const struct history_request *request, uint64_t *hash);

/* How that process says it. */
#define RERUN_LINE "trace %llx\n"

#endif
