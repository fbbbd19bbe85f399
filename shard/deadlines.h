/* deadlines.h - no request waits longer than it may, whatever the disk does.
 *
 * A request's time is what its frame says (FRAME_EXT_DEADLINE_MS) or else `request-timeout`; the parts of a
 * batch end with their batch. Its time begins when the core has received it. Only what waits for the disk can
 * be late: a write in the log, a read or a page of a scan in a job, and what was received by a connection or
 * a core that is full of them and has not looked at it. One sweep finds those whose time is over and answers
 * TIMEOUT; what the disk says later is dropped, and what was not looked at has done nothing. The write itself
 * goes on and is applied when it is durable, the task of a read stays until the disk lets go of it.
 *
 *   execute, jobs, sessions --deadlines_note--> earliest_ns --turn hook--> timer
 *       --> sweep: jobs_expire, engine_expire, sessions_expire
 *
 * A request costs one comparison. The sweep runs when the earliest deadline has passed, and then not again
 * for SWEEP_PAUSE_NS: so late may an answer be. */
#ifndef SHARD_DEADLINES_H
#define SHARD_DEADLINES_H

#include "reactor/reactor.h"

struct shard;

enum { SWEEP_PAUSE_NS = 50 * 1000 * 1000 };

#define DEADLINE_NONE UINT64_MAX

struct deadlines {
    struct timer timer;
    uint64_t earliest_ns; /* no deadline is before it; DEADLINE_NONE: none */
    uint64_t rested_ns;   /* no sweep before it */
};

static inline void deadlines_init(struct deadlines *d)
{
    *d = (struct deadlines){.earliest_ns = DEADLINE_NONE};
}

/* Something waits that has this deadline; 0: none. */
static inline void deadlines_note(struct deadlines *d, uint64_t deadline_ns)
{
    if (__builtin_expect(deadline_ns < d->earliest_ns, 0) && deadline_ns != 0)
        d->earliest_ns = deadline_ns;
}

/* Sees to it that the sweep comes in time; in the turn hook. */
void deadlines_turn(struct shard *s);
/* The next sweep comes with the turn's end. */
void deadlines_sweep_now(struct shard *s);
/* No sweep any more: the engine is about to be closed. */
void deadlines_stop(struct shard *s);

#endif
