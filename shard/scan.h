/* scan.h - pages of a scan by prefix.
 *
 * A scan walks the vnodes in their order, and the keys of each in theirs, so keys of one tag come in order
 * and others vnode by vnode. A page is made by the core that owns the vnode the cursor stands in; where
 * that core's vnodes end, the cursor goes to the first vnode of the next core. The cursor is {u16 vnode,
 * key to begin with}, so it survives everything: a flush, a restart, another connection. */
#ifndef SHARD_SCAN_H
#define SHARD_SCAN_H

#include "shard/jobs.h"

/* A request of a connection, or of another core. */
void scan_start(struct shard *s, const struct reply *reply, const struct frame *frame,
                const struct arrival *arrival);

/* One page, answered. Waits. */
void scan_run(struct shard *s, struct job *job);

#endif
