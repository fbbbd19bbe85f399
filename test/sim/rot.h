/* rot.h - damage to what is at rest: which sectors may be hit without asking for the impossible. */
#ifndef TEST_SIM_ROT_H
#define TEST_SIM_ROT_H

#include "test/sim/subject.h"

/* Damages one sector somewhere on the disk, by bit rot or as a latent bad sector, if the one drawn may be. */
void rot_something(struct history *h, enum sim_fault fault);

/* Removes a file of a shard, or cuts it. Requires: the node is down. */
void rot_lose_file(struct history *h, bool is_cut);

#endif
