/* server_history.h - the histories of servers: torcd on nodes of its own, clients on others, a network.
 *
 *   servers start -> clients ask, faults -> killed, unplugged, asked to end, started again ...
 *     -> faults end -> every client gets on, within bounds -> clients end -> every key is looked at
 *     -> servers end in order, with nothing left -> they start once more, every key is looked at -> end
 *
 * Whatever is answered must be allowed by the registers and have a reason; every request gets its answer by
 * its deadline, or its connection ends. */
#ifndef TEST_SIM_SERVER_HISTORY_H
#define TEST_SIM_SERVER_HISTORY_H

#include "test/sim/kind.h"

/* Disks fail here, but they do not lie: that is for the histories of engines. */
#define SERVER_HISTORY_FAULTS                                                                                \
    (FAULT_BIT(KILL) | FAULT_BIT(POWER_LOSS) | FAULT_BIT(DROPPED_WRITE) | FAULT_BIT(TORN_WRITE) |            \
     FAULT_BIT(DROPPED_NAME) | FAULT_BIT(READ_ERROR) | FAULT_BIT(WRITE_ERROR) | FAULT_BIT(SYNC_ERROR) |      \
     FAULT_BIT(DISK_FULL) | FAULT_BIT(SLOW_DISK) | FAULT_BIT(STUCK_DISK) | FAULT_BIT(NO_DESCRIPTORS) |       \
     FAULT_BIT(CHANNEL_FULL) | FAULT_BIT(CHANNEL_DELAY) | FAULT_BIT(NETWORK_SEGMENT) |                       \
     FAULT_BIT(NETWORK_DELAY) | FAULT_BIT(NETWORK_STALL) | FAULT_BIT(NETWORK_RESET) |                        \
     FAULT_BIT(NETWORK_REFUSE) | FAULT_BIT(WALL_JUMP) | FAULT_BIT(WALL_DRIFT) | FAULT_BIT(WALL_FREEZE) |     \
     FAULT_BIT(TURN_DELAY) | FAULT_BIT(NO_READ_MEMORY))

/* Of a struct history_kind. */
void server_history_run(const struct history_request *request, struct history_outcome *outcome);

#endif
