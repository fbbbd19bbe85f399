/* scan.h - scans: pages of the keys with a prefix or of a range, forward or backward.
 *
 *   session --> scan_start --vnode by vnode-----> a job of the core that owns the vnode of the cursor
 *                     \----in the order of keys--> gather: a job of every core, merged (gather.c)
 *
 * A scan walks the vnodes in their order, and the keys of each in theirs, so keys of one tag come in order
 * and others vnode by vnode. A page is made by the core that owns the vnode the cursor stands in; where
 * that core's vnodes end, the cursor goes to the next core. With FRAME_ORDERED each core merges its vnodes
 * (scan_ordered.c) and the core of the connection merges the cores. The cursor says where the next page
 * begins and nothing else, so it survives everything: a flush, a restart, another connection. */
#ifndef SHARD_SCAN_H
#define SHARD_SCAN_H

#include "shard/jobs.h"

/* A request of a connection, or of another core. */
void scan_start(struct shard *s, const struct reply *reply, const struct frame *frame,
                const struct arrival *arrival);

/* One page, answered. Waits. */
void scan_run(struct shard *s, struct job *job);

#endif
