/* deadlines.c - the sweep that answers what has waited too long; see deadlines.h. */
#include "shard/deadlines.h"

#include "shard/shard.h"

/* Each step is bounded; what is left is done in the next turn. */
static void sweep(struct timer *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, deadlines.timer);
    struct deadlines *d = &s->deadlines;
    uint64_t now_ns = reactor_now_ns(s->reactor);
    bool has_more_jobs = jobs_expire(s, now_ns);
    bool has_more_writes = engine_expire(s->engine, now_ns);
    bool has_more_frames = sessions_expire(s, now_ns);
    bool has_more = has_more_jobs || has_more_writes || has_more_frames;
    uint64_t writes_ns = engine_deadline_ns(s->engine), frames_ns = sessions_deadline_ns(s);
    d->earliest_ns = writes_ns < s->jobs.deadline_ns ? writes_ns : s->jobs.deadline_ns;
    if (frames_ns < d->earliest_ns)
        d->earliest_ns = frames_ns;
    if (has_more)
        d->earliest_ns = now_ns;
    d->rested_ns = has_more ? now_ns : now_ns + SWEEP_PAUSE_NS;
}

void deadlines_sweep_now(struct shard *s)
{
    s->deadlines.earliest_ns = s->deadlines.rested_ns = reactor_now_ns(s->reactor);
}

void deadlines_turn(struct shard *s)
{
    struct deadlines *d = &s->deadlines;
    if (__builtin_expect(d->earliest_ns == DEADLINE_NONE, 0) || s->state == SHARD_CLOSING)
        return;
    uint64_t due_ns = d->earliest_ns > d->rested_ns ? d->earliest_ns : d->rested_ns;
    if (d->timer.heap_index != 0 && d->timer.due_ns <= due_ns)
        return;
    uint64_t now_ns = reactor_now_ns(s->reactor);
    int rc = timer_start(s->reactor, &d->timer, due_ns > now_ns ? due_ns - now_ns : 0, sweep);
    if (rc) /* the next turn tries again */
        log_write(&s->log, LOG_LEVEL_ERROR, "timer", "no memory; late requests wait on", log_error(rc));
}

void deadlines_stop(struct shard *s)
{
    timer_stop(s->reactor, &s->deadlines.timer);
}
