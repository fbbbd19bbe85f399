/* driver.h - the tasks on a core that do a history's operations. */
#ifndef TEST_SIM_DRIVER_H
#define TEST_SIM_DRIVER_H

#include "test/sim/subject.h"

/* Waits: until the drivers of this subject have ended, because the node is to stop or the history has failed. */
void drivers_run(struct subject *s);

/* Waits. Nothing fails any more: writes must be acknowledged within bounds, tables written, the log shortened. */
void drivers_prove_liveness(struct subject *s);

#endif
