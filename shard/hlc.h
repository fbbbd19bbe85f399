/* hlc.h - the hybrid logical clock of one core.
 *
 * A stamp is 48 bits of Unix milliseconds above 16 bits of counter (Kulkarni et al., "Logical Physical
 * Clocks", 2014). Each is above all that this core has issued or seen, so no two are alike even when the
 * wall clock stands still or jumps back. The counter may run over into the milliseconds: the clock then
 * leads the wall by a little. */
#ifndef SHARD_HLC_H
#define SHARD_HLC_H

#include "engine/record.h"

enum { HLC_COUNTER_BITS = 16 };

struct hlc {
    uint64_t last; /* the highest issued or seen */
    uint16_t node;
};

static inline struct version hlc_stamp(struct hlc *h, uint64_t wall_ms)
{
    uint64_t wall = wall_ms << HLC_COUNTER_BITS;
    h->last = wall > h->last ? wall : h->last + 1;
    return (struct version){.clock = h->last, .node = h->node};
}

static inline void hlc_observe(struct hlc *h, uint64_t clock)
{
    if (clock > h->last)
        h->last = clock;
}

/* Rides on a message to another core, which observes it: what it stamps from then on is above all that was
 * seen here, though it read the time of day before. */
static inline uint64_t hlc_seen(const struct hlc *h, uint64_t wall_ms)
{
    uint64_t wall = wall_ms << HLC_COUNTER_BITS;
    return wall > h->last ? wall : h->last;
}

#endif
