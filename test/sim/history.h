/* history.h - the histories of engines: one node, its engines driven directly, against a model.
 *
 *   start -> open, look at everything -> operations, faults -> killed, or asked to stop -> start ...
 *         -> faults end -> progress within bounds -> look at everything -> tidy end -> once more
 *
 * Each core of the node has an engine of its own in a directory of the one disk. Tasks on the cores do
 * operations and tell the model what was answered; the director, outside of the node, kills, rots, fills. */
#ifndef TEST_SIM_HISTORY_H
#define TEST_SIM_HISTORY_H

#include "test/sim/kind.h"

/* What can happen to a node without a network. */
#define HISTORY_FAULTS                                                                                       \
    (FAULT_BIT(KILL) | FAULT_BIT(POWER_LOSS) | FAULT_BIT(DROPPED_WRITE) | FAULT_BIT(TORN_WRITE) |            \
     FAULT_BIT(DROPPED_NAME) | FAULT_BIT(READ_ERROR) | FAULT_BIT(WRITE_ERROR) | FAULT_BIT(SYNC_ERROR) |      \
     FAULT_BIT(DISK_FULL) | FAULT_BIT(SLOW_DISK) | FAULT_BIT(STUCK_DISK) | FAULT_BIT(NO_DESCRIPTORS) |       \
     FAULT_BIT(WALL_JUMP) | FAULT_BIT(WALL_DRIFT) | FAULT_BIT(WALL_FREEZE) | FAULT_BIT(TURN_DELAY) |         \
     FAULT_BIT(NO_READ_MEMORY) | FAULTS_THAT_DESTROY)

/* Of a struct history_kind. */
void history_run(const struct history_request *request, struct history_outcome *outcome);

#endif
