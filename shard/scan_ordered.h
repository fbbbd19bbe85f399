/* scan_ordered.h - one core's part of a scan in the order of keys: the smallest keys of all its vnodes. */
#ifndef SHARD_SCAN_ORDERED_H
#define SHARD_SCAN_ORDERED_H

#include "shard/jobs.h"
#include "shard/scan_query.h"

/* One page, answered: alone, or as a part that a gather merges with those of other cores. Waits.
 * `view`: of that moment; null: of now. */
void scan_ordered_run(struct shard *s, struct job *job, const struct scan_query *query,
                      const struct engine_view *view);

#endif
