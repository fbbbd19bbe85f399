/* rot.h - damage to what is at rest: which sectors may be hit without asking for the impossible. */
#ifndef TEST_SIM_ROT_H
#define TEST_SIM_ROT_H

#include "test/sim/subject.h"

/* Damages one sector somewhere on the disk, by bit rot or as a latent bad sector, if the one drawn may be. */
void rot_something(struct history *h, enum sim_fault fault);

/* Flips a bit in the first sector of both copies of the subject's manifest; doing it again undoes it.
 * Requires: the node is down. Returns: false, and nothing is done, when there are not two. */
bool rot_flip_manifests(struct subject *s);
/* Corruptions that are still there in files of the subject whose names begin so. */
uint32_t rot_damage_here(const struct subject *s, const char *beginning);
/* Of all the subject's files, names and bytes. */
uint64_t rot_hash_of_files(const struct subject *s);

/* Removes a file of a shard, or cuts it. Requires: the node is down. */
void rot_lose_file(struct history *h, bool is_cut);

#endif
