/* moment.h - one moment of all cores, as a version clock: no stamp from before is above it, all after are.
 *
 *   the core that asks                            every core, its own too
 *        S = above the clocks of all, and the time of day; when that comes near, waits until it is past S.
 *        Else, since the time of day was ahead once:
 *        PASS S at T -------------------------->  whatever is stamped from T on is above S
 *        the moment is over  <------------------  at T
 *
 * All cores have one time of day and one monotonic clock, so they pass S together: who waited for a write on
 * one core before he asked another core for the next has no stamp above S for the first and one below for the
 * second. Were each core to pass it when it hears of it, he could. */
#ifndef SHARD_MOMENT_H
#define SHARD_MOMENT_H

#include "reactor/reactor.h"

struct shard;
struct moment_order;

struct moments {
    struct list pending; /* orders whose time has not come */
};

void moments_init(struct moments *m);
static inline bool moments_are_quiet(const struct moments *m)
{
    return list_is_empty(&m->pending);
}

/* Above `clock_max`, which no core's clock was above when it was asked. Waits: until all cores are above it.
 * Returns: 0; TORC_E_OVERLOADED when a core was too slow each time; TORC_E_SHUTTING_DOWN when *is_cancelled
 * comes true; TORC_E_NO_MEMORY. */
MUST_CHECK int moment_choose(struct shard *s, uint64_t clock_max, const bool *is_cancelled, uint64_t *clock);

/* Before each stamp, while one is pending. */
void moments_pass(struct shard *s);

/* ---- messages ---- */

void moments_take_order(struct shard *s, struct moment_order *order);
void moments_order_done(struct shard *s, struct moment_order *order);

#endif
