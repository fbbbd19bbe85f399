/* swarm.h - which faults a seed has, and how often.
 *
 * Swarm testing (Groce et al., ISSTA 2012): each seed switches each class of faults on or off, so that many
 * seeds have few faults, which a history survives long enough to show what they do, and some have many. Each
 * class draws from a stream of its own: leaving one out changes no other. */
#ifndef TEST_SIM_SWARM_H
#define TEST_SIM_SWARM_H

#include "reactor/sim/sim.h"

/* Sets of fault classes: bit i is enum sim_fault i. */
#define FAULT_BIT(name) (UINT64_C(1) << SIM_##name)

struct fault_filter {
    uint64_t only; /* 0: all */
    uint64_t without;
};

/* Faults by which a disk lies or destroys: what was acknowledged can be gone. */
#define FAULTS_THAT_DESTROY                                                                                  \
    (FAULT_BIT(BIT_ROT) | FAULT_BIT(LOST_WRITE) | FAULT_BIT(MISDIRECTED_WRITE) | FAULT_BIT(BAD_SECTOR) |     \
     FAULT_BIT(DISK_ROLLBACK) | FAULT_BIT(DISK_WIPE))

/* Draws the rates of the classes in `possible`; all others are 0. For classes that the driver itself decides
 * about, the rate is per opportunity as the kind of history defines it. */
void swarm_draw(uint64_t seed, uint64_t possible, const struct fault_filter *filter, struct sim_faults *out);

/* "power-loss": how a class is called on the command line. Returns: the length, as snprintf. */
int fault_option_name(enum sim_fault fault, char *to, size_t bytes);
/* Returns: SIM_FAULT_COUNT when no class is called so. */
unsigned fault_of_option_name(const char *name);

#endif
