/* shard.c - the life of one core: start, turns, and the end as it is asked for; see end.h for the rest.
 *
 *   core 0                                    core i
 *   data directory: lock, identity
 *   START ----------------------------------> engine_open
 *   engine_open          <------------ READY
 *   all ready: listen
 *   SERVE(port) ----------------------------> listen
 *   ... requests ...
 *   asked to end: STOP ---------------------> stop accepting, answer what is in flight
 *   same                 <---------- DRAINED
 *   all drained: CLOSE ---------------------> connections closed, engine closed
 *   same                 <------LAST--------> loop stopped */
#include "shard/shard.h"

#include "reactor/base/mark.h"

#include "shard/datadir.h"
#include "shard/end.h"
#include "shard/layout.h"
#include "shard/scan.h"
#include "shard/scan_page.h"
#include "shard/serve/info.h"

#include <stdio.h>

enum { SECOND_NS = 1000000000, LISTEN_BACKLOG = 4096, WHY_BYTES = 512 };

/* Messages to other cores go out even before the engine is open. */
static void on_turn_without_engine(void *context)
{
    exchange_flush(context);
}

/* ---- messages ---- */

/* The word of READY: how long the log was read, in ms up to 17 minutes, above how many bytes it had. */
enum { REPLAYED_BYTES_BITS = 44 };

static uint64_t ready_word(const struct shard *s)
{
    struct engine_counters c = engine_counters(s->engine);
    uint64_t ms = c.log_replay_ns / 1000000, ms_max = UINT64_MAX >> REPLAYED_BYTES_BITS;
    ASSERT(c.log_replayed_bytes >> REPLAYED_BYTES_BITS == 0);
    return (ms < ms_max ? ms : ms_max) << REPLAYED_BYTES_BITS | c.log_replayed_bytes;
}

static void on_ready(struct shard *s, uint64_t word)
{
    ASSERT(s->core == 0);
    uint64_t ms = word >> REPLAYED_BYTES_BITS;
    s->replayed_bytes += word & ((UINT64_C(1) << REPLAYED_BYTES_BITS) - 1);
    s->replay_ms = ms > s->replay_ms ? ms : s->replay_ms;
    if (++s->ready_cores == s->core_count)
        event_set(s->reactor, &s->step, 0);
}

void shard_dispatch(struct shard *s, const struct reply *reply, const struct frame *frame,
                    const struct arrival *arrival)
{
    if (s->state == SHARD_CLOSING) { /* late, from a core that has given up: the engine may be half closed */
        shard_reply_code(s, reply, TORC_E_SHUTTING_DOWN);
    } else if (frame->op == FRAME_SCAN)
        scan_start(s, reply, frame, arrival);
    else if (frame->op == FRAME_ADMIN)
        admin_start(s, reply, frame, arrival);
    else
        requests_add(s, reply, frame, arrival);
}

static void on_message(void *context, const struct message *m)
{
    struct shard *s = context;
    switch ((enum exchange_message)m->kind) {
    case MESSAGE_REQUESTS:
    case MESSAGE_ANSWERS:
    case MESSAGE_RETURN:
        exchange_receive(s, m);
        return;
    case MESSAGE_START:
    case MESSAGE_SERVE:
        event_set(s->reactor, &s->step, (int)m->word);
        return;
    case MESSAGE_READY:
        on_ready(s, m->word);
        return;
    case MESSAGE_CONNECTION:
        session_attach(s, m->payload);
        return;
    case MESSAGE_STOP:
        end_drain(s, m->word);
        return;
    case MESSAGE_DRAINED:
        end_on_drained(s);
        return;
    case MESSAGE_CLOSE:
        end_on_close(s);
        return;
    case MESSAGE_LAST:
        end_on_last(s, m->word);
        return;
    case MESSAGE_INFO:
        info_fill(s, m->payload);
        exchange_send(s, m->from, &(struct message){.kind = MESSAGE_INFO_DONE, .payload = m->payload});
        return;
    case MESSAGE_INFO_DONE:
        info_done(s, m->payload);
        return;
    case MESSAGE_VIEW:
        views_take_order(s, m->payload);
        return;
    case MESSAGE_VIEW_DONE:
        views_order_done(s, m->payload);
        return;
    case MESSAGE_VIEW_END:
        views_end_here(s, m->word);
        return;
    case MESSAGE_VIEW_USED:
        views_touch(s, m->word);
        return;
    case MESSAGE_MOMENT:
        moments_take_order(s, m->payload);
        return;
    case MESSAGE_MOMENT_DONE:
        moments_order_done(s, m->payload);
        return;
    case MESSAGE_ADMIN:
        admin_run_part(s, m->payload);
        return;
    case MESSAGE_ADMIN_DONE:
        admin_part_done(s, m->payload);
        return;
    }
    ASSERT(!"a message of a known kind");
}

/* Asked to end: by the system, on core 0. */
static void on_stop(void *context)
{
    struct shard *s = context;
    if (!s->is_serving) {
        MARK(a_core_is_asked_to_end_before_it_serves);
        if (!s->is_stop_wanted)
            log_write(&s->log, LOG_LEVEL_INFO, "stop_waits",
                      "the start goes on until the node can end; SIGKILL ends it at once and loses nothing");
        s->is_stop_wanted = true;
        return;
    }
    if (s->state != SHARD_RUNNING)
        return;
    log_write(&s->log, LOG_LEVEL_INFO, "stopping", NULL, log_number("in_flight", s->in_flight));
    exchange_broadcast(s, MESSAGE_STOP, s->options->shutdown_timeout_ms);
    end_drain(s, s->options->shutdown_timeout_ms);
}

/* ---- turns ---- */

bool shard_is_congested(const struct shard *s)
{
    return engine_is_congested(s->engine) || exchange_is_congested(s) || sessions_are_over_budget(s) ||
           batches_are_over_budget(s) || s->memory.is_short;
}

static void on_second(struct timer *t);

/* There was no memory for its timer, or it runs. */
static void keep_second(struct shard *s)
{
    int rc = s->second.heap_index ? 0 : timer_start(s->reactor, &s->second, 0, on_second);
    (void)rc; /* else with the next turn */
}

static void on_turn(void *context)
{
    struct shard *s = context;
    engine_submit(s->engine);
    memory_turn(s);
    jobs_resume(s);
    if (sessions_are_paused(s)) {
        sessions_resume(s);
        engine_submit(s->engine); /* their writes, too: no other turn may come for a while */
    }
    exchange_flush(s);
    sessions_flush(s);
    deadlines_turn(s);
    keep_second(s);
    end_watch_drain(s);
}

static void on_second(struct timer *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, second);
    uint64_t now_ns = reactor_now_ns(s->reactor);
    if (now_ns >= s->second_ns) {
        s->second_ns = now_ns + SECOND_NS;
        buffer_pool_trim(&s->exchange.blocks);
        buffer_pool_trim(&s->jobs.free);
        views_sweep(s);
    }
    bool has_more = sessions_sweep(s); /* a part of many connections, the next one in the next turn */
    uint64_t delay_ns = has_more || now_ns >= s->second_ns ? 0 : s->second_ns - now_ns;
    int rc = timer_start(s->reactor, t, delay_ns, on_second);
    if (rc)
        log_write(&s->log, LOG_LEVEL_WARN, "timer", "no memory; stuck connections are closed later",
                  log_error(rc));
}

/* ---- the start ---- */

static void on_engine_event(void *context, const char *event, const char *text)
{
    struct shard *s = context;
    log_write(&s->log, LOG_LEVEL_WARN, event, text);
}

/* What the operator has given up with --accept-loss; does nothing where nothing was lost. */
static int accept_loss(struct shard *s, const char *directory)
{
    int rc = engine_accept_loss(s->engine);
    if (rc)
        log_write(&s->log, LOG_LEVEL_ERROR, "accept_loss_failed", "what was lost is as it was",
                  log_text("directory", directory), log_error(rc));
    return rc;
}

/* At the end: as long as requests have, and in every case as long as a disk that works needs. */
static uint64_t archive_patience_ns(const struct options *o)
{
    uint64_t ns = o->shutdown_timeout_ms * 1000000;
    return ns > SECOND_NS ? ns : SECOND_NS;
}

/* But for directory and vnodes. */
static struct engine_options engine_options_of(struct shard *s)
{
    const struct options *o = s->options;
    return (struct engine_options){
        .vnode_bits = s->vnode_bits,
        .memtable_bytes = s->memory.plan.memtable_bytes,
        .log_bytes_max = o->log_bytes_max,
        .segment_bytes = o->segment_bytes,
        .cache_bytes = s->memory.plan.cache_bytes,
        .table_bytes_max = s->sizes.table_bytes_max,
        .value_bytes_max = s->sizes.value_bytes_max,
        .value_log_bytes_min = (uint32_t)o->value_log_min,
        .compresses_merges = o->compression == COMPRESSION_ZSTD,
        .scrub_interval_ms = o->scrub_interval_ms,
        .log_writes_in_flight = s->sizes.log_writes_in_flight,
        .log_padding_parts = s->sizes.log_padding_parts,
        .runs_max = s->sizes.runs_max,
        .removal_step_bytes = s->sizes.removal_step_bytes,
        .list_shared_min = s->sizes.list_shared_min,
        .archive = o->archive,
        .archive_patience_ns = archive_patience_ns(o),
        .on_durable = shard_on_durable,
        .owner = s,
        .on_event = on_engine_event,
    };
}

static int open_engine(struct shard *s)
{
    const struct options *o = s->options;
    char directory[DATADIR_PATH_MAX], why[WHY_BYTES] = "";
    datadir_shard_path(directory, sizeof directory, o->data, s->layout, s->core);
    uint32_t first = datadir_first_vnode(s->core_count, s->vnode_bits, s->core);
    uint32_t end = datadir_first_vnode(s->core_count, s->vnode_bits, s->core + 1);
    struct engine_options options = engine_options_of(s);
    options.directory = directory;
    options.vnode_first = (uint16_t)first;
    options.vnode_count = (uint16_t)(end - first);
    int rc = engine_open(s->reactor, &options, &s->engine, why, sizeof why);
    if (rc) {
        log_write(&s->log, LOG_LEVEL_ERROR, "open_failed", why, log_text("directory", directory),
                  log_error(rc));
        return rc;
    }
    hlc_observe(&s->clock, engine_version_clock_max(s->engine));
    return o->accepts_loss ? accept_loss(s, directory) : 0;
}

/* The data was divided among another number of cores. Waits. */
static int change_layout(struct shard *s, struct datadir_identity *identity, char why[WHY_BYTES])
{
    struct engine_options engine = engine_options_of(s);
    struct layout_change change = {
        .directory = s->options->data,
        .engine = &engine,
        .cores = s->core_count,
    };
    uint64_t begin_ns = reactor_clock_ns(s->reactor);
    unsigned before = identity->cores;
    int rc = layout_change(s->reactor, &change, identity, why, WHY_BYTES);
    if (rc == 0)
        rc = layout_tidy(s->reactor, s->options->data, identity, why, WHY_BYTES);
    if (rc == 0)
        log_write(&s->log, LOG_LEVEL_INFO, "layout_changed", NULL, log_number("cores_before", before),
                  log_number("cores", identity->cores),
                  log_number("ms", (reactor_clock_ns(s->reactor) - begin_ns) / 1000000));
    return rc;
}

static int prepare_directory(struct shard *s)
{
    char why[WHY_BYTES] = "";
    struct datadir_identity identity = {
        .node = s->options->node_id,
        .cores = s->core_count,
        .vnode_bits = s->vnode_bits,
    };
    int rc = datadir_open(s->reactor, s->options->data, &identity, why, sizeof why);
    if (rc == 0)
        rc = layout_tidy(s->reactor, s->options->data, &identity, why, sizeof why);
    if (rc == 0 && identity.cores != s->core_count)
        rc = change_layout(s, &identity, why);
    s->layout = identity.layout;
    if (rc)
        log_write(&s->log, LOG_LEVEL_ERROR, "data_directory", why);
    return rc;
}

static int listen_on(struct shard *s, const struct address *address)
{
    int rc = socket_listen(s->reactor, address, LISTEN_BACKLOG, session_accept, s, &s->listener);
    if (rc)
        log_write(&s->log, LOG_LEVEL_ERROR, "listen_failed",
                  "the address cannot be listened on; is it in use?", log_text("host", address->host),
                  log_number("port", address->port), log_error(rc));
    return rc;
}

static void log_serving(struct shard *s, const struct address *address)
{
    log_write(&s->log, LOG_LEVEL_INFO, "serving", NULL, log_text("host", address->host),
              log_number("port", address->port), log_number("cores", s->core_count),
              log_text("data", s->options->data), log_number("log_replayed_bytes", s->replayed_bytes),
              log_number("log_replay_ms", s->replay_ms));
}

/* The steps of core 0 and of the others, in the picture above. Waits. */
static int start_first(struct shard *s, const struct address *wanted)
{
    struct address address = *wanted;
    int rc = prepare_directory(s);
    if (rc)
        return rc;
    exchange_broadcast(s, MESSAGE_START, s->layout);
    rc = open_engine(s);
    if (rc)
        return rc;
    on_ready(s, ready_word(s));
    rc = event_wait(s->reactor, &s->step, EVENT_FOREVER);
    if (rc == 0)
        rc = listen_on(s, &address);
    if (rc)
        return rc;
    address.port = listener_port(s->listener);
    exchange_broadcast(s, MESSAGE_SERVE, address.port);
    log_serving(s, &address);
    snapshots_tidy_start(s);
    return 0;
}

static int start_other(struct shard *s, const struct address *wanted)
{
    int rc = event_wait(s->reactor, &s->step, EVENT_FOREVER);
    event_init(&s->step);
    s->layout = rc > 0 ? (unsigned)rc : 0;
    if (rc > 0)
        rc = open_engine(s);
    if (rc)
        return rc;
    exchange_send(s, 0, &(struct message){.kind = MESSAGE_READY, .word = ready_word(s)});
    int port = event_wait(s->reactor, &s->step, EVENT_FOREVER);
    if (port < 0 || s->state != SHARD_RUNNING) /* asked to end meanwhile */
        return port < 0 ? port : 0;
    struct address address = *wanted;
    address.port = (uint16_t)port;
    return listen_on(s, &address);
}

static int init(struct shard *s, struct reactor *r, const struct options *o)
{
    s->reactor = r;
    s->options = o;
    s->core = reactor_core(r);
    s->core_count = reactor_core_count(r);
    s->vnode_bits = o->vnode_bits;
    s->clock.node = o->node_id;
    s->started_ns = reactor_now_ns(r);
    log_init(&s->log, r, o->log_level, o->log_format);
    event_init(&s->step);
    s->request_timeout_ns = o->request_timeout_ms * 1000000;
    jobs_init(s);
    deadlines_init(&s->deadlines);
    moments_init(&s->moments);
    int rc = session_table_init(s);
    if (rc == 0)
        rc = exchange_init(s);
    if (rc == 0)
        rc = stages_init(&s->stages, r, o->stage_sample);
    return rc;
}

/* A core that has no memory for its shard. What core 0 is refused, torcd says itself. */
static void log_refusal(struct reactor *r, const struct options *o, int rc)
{
    struct log log;
    if (reactor_core(r) == 0)
        return;
    log_init(&log, r, o->log_level, o->log_format);
    log_write(&log, LOG_LEVEL_ERROR, "start_failed", NULL, log_error(rc));
}

int shard_main(struct reactor *r, void *context)
{
    struct shard_context *c = context;
    struct shard *s = reactor_alloc_zeroed(r, sizeof *s);
    int rc = s ? init(s, r, c->options) : TORC_E_NO_MEMORY;
    if (rc) {
        log_refusal(r, c->options, rc);
        return rc;
    }
    if (c->sizes)
        s->sizes = *c->sizes;
    s->scan_looked_max = c->scan_looked_max ? c->scan_looked_max : SCAN_LOOKED_MAX;
    if (s->sizes.value_bytes_max == 0)
        s->sizes.value_bytes_max = VALUE_BYTES_MAX;
    memory_init(s);
    if (s->core == 0)
        c->has_started = true;
    reactor_set_message_handler(r, on_message, s);
    reactor_set_turn_hook(r, on_turn_without_engine, s);
    if (s->core == 0)
        reactor_set_stop_handler(r, on_stop, s);
    rc = s->core == 0 ? start_first(s, &c->options->listen) : start_other(s, &c->options->listen);
    if (rc)
        return rc;
    s->is_serving = true;
    if (s->core == 0 && c->files_allowed)
        log_write(&s->log, LOG_LEVEL_WARN, "few_files",
                  "the system allows too few open files for connections-max (ulimit -n, LimitNOFILE=)",
                  log_number("files", c->files_allowed),
                  log_number("connections_of_a_core", c->options->connections_max));
    reactor_set_turn_hook(r, on_turn, s);
    rc = timer_start(r, &s->second, SECOND_NS, on_second);
    if (s->is_stop_wanted)
        on_stop(s);
    return rc;
}
