/* end.c - how a core stops serving; see end.h. */
#include "shard/end.h"

#include "reactor/base/mark.h"

#include "shard/shard.h"

enum {
    POLL_NS = 1000000,
    READS_POLLS_MAX = 10000,   /* for reads that hang at the disk, and connections that the kernel holds */
    PARTING_POLLS_MAX = 60000, /* for other cores whose disk hangs */
};

static void close_task(struct reactor *r, void *context);

/* ---- draining ---- */

void end_drain(struct shard *s, uint64_t timeout_ms)
{
    if (s->state != SHARD_RUNNING)
        return;
    s->state = SHARD_DRAINING;
    s->drain_deadline_ns = reactor_now_ns(s->reactor) + timeout_ms * 1000000;
    if (s->listener)
        listener_close(s->listener);
    s->listener = NULL;
    deadlines_sweep_now(s); /* refuses what waits */
}

static bool is_drained(const struct shard *s)
{
    bool is_answered = s->in_flight == 0 && sessions_are_settled(s);
    return is_answered || reactor_now_ns(s->reactor) > s->drain_deadline_ns;
}

void end_watch_drain(struct shard *s)
{
    if (s->state != SHARD_DRAINING || s->has_told_drained || !is_drained(s))
        return;
    s->has_told_drained = true;
    if (s->in_flight > 0) {
        MARK(a_drain_ends_with_requests_in_flight);
        log_write(&s->log, LOG_LEVEL_WARN, "drain_timeout",
                  "requests were still in flight; their outcome is unknown",
                  log_number("in_flight", s->in_flight));
    }
    if (s->core == 0)
        end_on_drained(s);
    else
        exchange_send(s, 0, &(struct message){.kind = MESSAGE_DRAINED});
}

void end_on_drained(struct shard *s)
{
    ASSERT(s->core == 0);
    if (++s->drained_cores < s->core_count)
        return;
    exchange_broadcast(s, MESSAGE_CLOSE, 0);
    end_on_close(s);
}

/* ---- closing ---- */

void end_on_close(struct shard *s)
{
    ASSERT(s->state == SHARD_DRAINING);
    s->state = SHARD_CLOSING;
    admin_stop(s);
    int rc = task_spawn(s->reactor, close_task, s);
    if (rc == 0)
        return;
    /* All tasks are taken, so reads hang at the disk: what was acknowledged is durable without a tidy end. */
    exchange_broadcast(s, MESSAGE_LAST, 0);
    reactor_stop(s->reactor);
}

void end_on_last(struct shard *s)
{
    s->parted_cores++;
    ASSERT(s->parted_cores < s->core_count);
}

static bool is_quiet(const struct shard *s)
{
    return s->jobs.task_count == 0 && s->jobs.queue_count == 0 && s->sessions.open_count == 0 &&
           admin_is_quiet(&s->admin) && views_are_quiet(&s->views) && moments_are_quiet(&s->moments);
}

static bool has_parted(const struct shard *s)
{
    return s->parted_cores + 1 == s->core_count && s->in_flight == 0 && exchange_is_settled(s);
}

/* Waits. Returns: whether it came true. */
static bool await(struct shard *s, bool (*is_true)(const struct shard *s), unsigned polls_max)
{
    for (unsigned i = 0; i < polls_max && !is_true(s); i++)
        task_sleep(s->reactor, POLL_NS);
    return is_true(s);
}

/* Messages to other cores go out even after the engine is closed. */
static void on_turn_without_engine(void *context)
{
    exchange_flush(context);
}

static void give_all_back(struct shard *s)
{
    struct reactor *r = s->reactor;
    reactor_set_turn_hook(r, NULL, NULL);
    reactor_set_message_handler(r, NULL, NULL);
    if (s->core == 0)
        reactor_set_stop_handler(r, NULL, NULL);
    timer_stop(r, &s->second);
    jobs_deinit(s);
    admin_deinit(s);
    batch_table_deinit(s);
    gather_table_deinit(s);
    exchange_deinit(s);
    session_table_deinit(s);
    stages_deinit(&s->stages, r);
    reactor_free(r, s);
}

static void close_task(struct reactor *r, void *context)
{
    struct shard *s = context;
    deadlines_stop(s);
    memory_stop(s);
    sessions_close_all(s);
    views_stop(s);
    bool is_tidy = await(s, is_quiet, READS_POLLS_MAX);
    /* A read that still hangs at the disk has the engine in use. */
    if (s->jobs.task_count == 0 && admin_is_quiet(&s->admin) && views_are_quiet(&s->views)) {
        views_close_all(s);
        if (engine_close(s->engine) != ENGINE_ARCHIVE_HANGING)
            s->engine = NULL;
        reactor_set_turn_hook(r, on_turn_without_engine, s);
    }
    exchange_broadcast(s, MESSAGE_LAST, 0);
    is_tidy = await(s, has_parted, PARTING_POLLS_MAX) && is_tidy && !s->engine;
    log_write(&s->log, LOG_LEVEL_INFO, "stopped", NULL, log_number("operations", s->counters.operations));
    if (is_tidy)
        give_all_back(s);
    else
        MARK(a_core_stops_while_the_disk_hangs);
    reactor_stop(r);
}
