/* director.h - what happens to the node from outside: lives, crashes, damage, full and replaced disks. */
#ifndef TEST_SIM_DIRECTOR_H
#define TEST_SIM_DIRECTOR_H

#include "test/sim/subject.h"

/* Lives one life of the node as the plan has it, and what happens to the disk after it. */
void director_live(struct history *h, unsigned life);
/* The last lives, in which nothing fails: progress, a tidy end, and once more from the disk. */
void director_end(struct history *h);
void director_deinit(struct history *h);

#endif
