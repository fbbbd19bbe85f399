/* crash_copy.h - snapshots of the shard of a crash workload, and what can be restored of them after a crash.
 * */
#ifndef TEST_SIM_CRASH_COPY_H
#define TEST_SIM_CRASH_COPY_H

#include "test/sim/crash_shard.h"

#define CRASH_SNAPSHOT_DIRECTORY "/snapshot"

/* Waits. Makes a snapshot and then the file that makes it whole. `is_late`: one put comes after the moment,
 * and is in the copy of the log. Requires: no ticket is out. */
void crash_copy_take(struct crash_shard *s, bool is_late);

/* Waits. A snapshot that is whole restores to what the shard was when it was taken; with an archive, the
 * shard being closed, to what it is now. One that was finished is whole. Returns: false with s->why. */
bool crash_copy_check(struct crash_shard *s);

#endif
