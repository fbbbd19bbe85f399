/* gather.h - a page of a scan in the order of keys, put together from all cores.
 *
 *   session --> gather_start --the same frame to every core--> scan_ordered_run
 *                    open        ...        gather_reply <----- its first keys, and where it stopped
 *                    all there: merged as far as every core is known, answered; by a task when it is much
 *
 * Parked, as a batch is: nobody waits on a stack, so cores that gather from one another cannot stand in each
 * other's way. Each part has the deadline of the whole and is always answered. Where the parts of other pages
 * that wait take too much memory, one that would wait, too, makes its page OVERLOADED. */
#ifndef SHARD_GATHER_H
#define SHARD_GATHER_H

#include "shard/request.h"

struct shard;

enum { GATHERS_MAX = 256 }; /* under way on a core; more are refused */

struct gather;

struct gather_table {
    struct gather *open[GATHERS_MAX];
    uint32_t count;
    uint64_t bytes; /* of parts that wait for others */
};

void gather_table_deinit(struct shard *s); /* Requires: none is open */

/* Requires: the request is a scan whose frame and extensions were parsed. `view`: of
 * its cursor; 0: none. */
void gather_start(struct shard *s, const struct request *request, uint64_t view);

/* The answer of one core. */
void gather_reply(struct shard *s, const struct reply *reply, const struct answer *answer);

#endif
