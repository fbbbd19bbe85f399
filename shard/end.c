/* end.c - how a core stops serving; see end.h. */
#include "shard/end.h"

#include "reactor/base/mark.h"

#include "shard/datadir.h"
#include "shard/shard.h"

enum { POLL_NS = 1000000 };

#define SECOND_NS UINT64_C(1000000000)
static const uint64_t QUIET_NS = 10 * SECOND_NS;   /* for reads at the disk, and connections of the kernel */
static const uint64_t CLOSE_NS = 30 * SECOND_NS;   /* for the log, and tables in the making */
static const uint64_t PARTING_NS = 30 * SECOND_NS; /* for other cores, beside the time that they have */

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

/* The archive has a time of its own, a second at least, and another one to let a copy go. */
static uint64_t close_patience_ns(const struct shard *s)
{
    bool is_archived = s->options->archive[0] != '\0';
    return CLOSE_NS + (is_archived ? s->options->shutdown_timeout_ms * 1000000 + 2 * SECOND_NS : 0);
}

static void tell_what_hangs(struct shard *s, const char *awaited)
{
    char directory[DATADIR_PATH_MAX];
    datadir_shard_path(directory, sizeof directory, s->options->data, s->layout, s->core);
    log_write(
        &s->log, LOG_LEVEL_ERROR, "stop_gives_up",
        "the disk does not answer: the process ends without it, as after a crash; nothing acknowledged is "
        "lost, the next start reads the log; look at the disk before that",
        log_text("awaited", awaited), log_text("directory", directory),
        log_number("seconds", (reactor_now_ns(s->reactor) - s->close_begun_ns) / SECOND_NS));
}

void end_on_close(struct shard *s)
{
    ASSERT(s->state == SHARD_DRAINING);
    s->state = SHARD_CLOSING;
    s->close_begun_ns = reactor_now_ns(s->reactor);
    admin_stop(s);
    int rc = task_spawn(s->reactor, close_task, s);
    if (rc == 0)
        return;
    tell_what_hangs(s, "reads"); /* which have all tasks */
    exchange_broadcast(s, MESSAGE_LAST, true);
    reactor_give_up(s->reactor, TORC_E_TIMEOUT);
}

void end_on_last(struct shard *s, bool has_given_up)
{
    s->parted_cores++;
    s->given_up_cores += has_given_up;
    ASSERT(s->parted_cores < s->core_count);
}

static bool is_quiet(const struct shard *s)
{
    return s->jobs.task_count == 0 && s->jobs.queue_count == 0 && s->sessions.open_count == 0 &&
           admin_is_quiet(&s->admin) && views_are_quiet(&s->views) && moments_are_quiet(&s->moments);
}

/* What has the engine in use; null: nothing. */
static const char *user_of_engine(const struct shard *s)
{
    if (s->jobs.task_count > 0)
        return "a read";
    if (!admin_is_quiet(&s->admin))
        return "a snapshot or a backup";
    return views_are_quiet(&s->views) ? NULL : "a scan";
}

static bool have_others_parted(const struct shard *s)
{
    return s->parted_cores + 1 == s->core_count;
}

static bool has_parted(const struct shard *s)
{
    return have_others_parted(s) && s->in_flight == 0 && exchange_is_settled(s);
}

/* What a core that has given up owes this one never comes. */
static bool can_go(const struct shard *s)
{
    return has_parted(s) || (have_others_parted(s) && s->given_up_cores > 0);
}

/* Waits. Returns: whether it came true. */
static bool await(struct shard *s, bool (*is_true)(const struct shard *s), uint64_t patience_ns)
{
    uint64_t until_ns = reactor_now_ns(s->reactor) + patience_ns;
    while (!is_true(s) && reactor_now_ns(s->reactor) < until_ns)
        task_sleep(s->reactor, POLL_NS);
    return is_true(s);
}

/* Messages to other cores go out even after the engine is closed. */
static void on_turn_without_engine(void *context)
{
    exchange_flush(context);
}

/* A task of its own: nobody knows how long it takes. */
static void close_engine(struct reactor *r, void *context)
{
    struct shard *s = context;
    views_close_all(s);
    if (engine_close(s->engine) != ENGINE_ARCHIVE_HANGING)
        s->engine = NULL;
    reactor_set_turn_hook(r, on_turn_without_engine, s);
    event_set(r, &s->engine_closed, 0);
}

/* Waits. Returns: null, or what it waited for in vain. */
static const char *end_engine(struct shard *s)
{
    const char *user = user_of_engine(s);
    if (user)
        return user;
    event_init(&s->engine_closed);
    if (task_spawn(s->reactor, close_engine, s) != 0)
        return "a free task";
    int rc = event_wait(s->reactor, &s->engine_closed, close_patience_ns(s));
    return rc && s->engine ? engine_close_awaits(s->engine) : NULL;
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

/* Waits: for the others, whatever has become of this one. Returns: null, or what it waited for in vain. */
static const char *part(struct shard *s, const char *awaited)
{
    if (awaited)
        tell_what_hangs(s, awaited);
    exchange_broadcast(s, MESSAGE_LAST, awaited != NULL);
    uint64_t patience_ns = QUIET_NS + close_patience_ns(s) + PARTING_NS;
    bool (*is_over)(const struct shard *s) = awaited ? have_others_parted : can_go;
    if (await(s, is_over, patience_ns) || awaited || have_others_parted(s))
        return awaited;
    tell_what_hangs(s, "another core");
    return "another core";
}

static void close_task(struct reactor *r, void *context)
{
    struct shard *s = context;
    deadlines_stop(s);
    memory_stop(s);
    sessions_close_all(s);
    views_stop(s);
    bool is_tidy = await(s, is_quiet, QUIET_NS);
    const char *awaited = part(s, end_engine(s));
    is_tidy = is_tidy && !awaited && !s->engine && has_parted(s);
    log_write(&s->log, LOG_LEVEL_INFO, "stopped", NULL, log_number("operations", s->counters.operations));
    if (is_tidy)
        give_all_back(s);
    else
        MARK(a_core_stops_while_the_disk_hangs);
    if (awaited)
        reactor_give_up(r, TORC_E_TIMEOUT);
    else
        reactor_stop(r);
}
