/* server_history.c - the histories of servers; see server_history.h. */
#include "test/sim/server_history.h"

#include "test/sim/talker.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STREAM_PLAN = SIM_STREAMS + 201,
    STREAM_DIRECTOR = SIM_STREAMS + 202,
    STREAM_ARCHIVE = SIM_STREAMS + 203,
    CLIENT_NODES_MAX = 3,
    CORES_MAX = 4, /* of a server, another number with some starts */
    NS_PER_MS = 1000000,
    HEAP_BYTES_MAX = 48 << 20,  /* of a core */
    MEMORY_BYTES_MIN = 8 << 20, /* of a core, at the first start */
    CONNECTIONS_MANY = 64,      /* server_node_init's */
    ENDS_PER_MILLION = 60000,   /* asked to end, each opportunity */
    AUDITS = 2,                 /* each after a start without faults, but for the first */
};

static const uint64_t SECOND_NS = 1000000000ull;
static const uint64_t END_NS_MAX = 200ull * 1000000000ull; /* a disk may be stuck for a minute, twice */
/* For one operation: what hangs itself may have to wait first until the whole disk goes on. */
static const uint64_t STUCK_NS_MAX = 121ull * 1000000000ull;
static const uint64_t LIVENESS_NS_MAX = 300ull * 1000000000ull; /* connections may stall until then, too */

struct history {
    struct service service;
    struct history_outcome *outcome;
    uint64_t seed;
    struct sim_dice dice;
    uint64_t load_ns;
    uint64_t faults_ended_ns;
    uint64_t full_until_ns[SERVICE_SERVERS_MAX];
    struct talker talkers[TALKERS_MAX];
    struct talker_node talker_nodes[CLIENT_NODES_MAX];
    struct sim_node *client_nodes[CLIENT_NODES_MAX];
    unsigned client_node_count;
    unsigned talker_count;
};

static uint64_t now_ns(const struct history *h)
{
    return sim_now_ns(h->service.world);
}

#define SAY(h, ...) story_say(&(h)->outcome->story, now_ns(h), __VA_ARGS__)
#define FAIL(h, ...) story_fail(&(h)->outcome->story, now_ns(h), __VA_ARGS__)

static void on_log(void *context, struct sim_node *node, const char *line, size_t bytes)
{
    static const char ended[] = "event=view_ended ";
    struct history *h = context;
    for (unsigned i = 0; i < h->service.server_count; i++)
        if (h->service.servers[i].server.node == node && memmem(line, bytes, ended, sizeof ended - 1))
            h->service.servers[i].has_ended_views = true;
    story_detail(&h->outcome->story, now_ns(h), "| %.*s", (int)bytes, line);
}

/* ---- the plan ---- */

static void plan_server(struct history *h, unsigned i, struct sim_dice *d)
{
    struct service_server *s = &h->service.servers[i];
    char host[32];
    snprintf(host, sizeof host, "10.0.0.%u", i + 1);
    server_node_init(&s->server, h->service.world, host, 1 + (unsigned)sim_dice_below(d, 3));
    struct options *o = &s->server.options;
    static const uint64_t timeouts_ms[] = {200, 1000, 5000};
    o->request_timeout_ms = timeouts_ms[sim_dice_below(d, ARRAY_COUNT(timeouts_ms))];
    o->idle_timeout_ms = sim_dice_below(d, 4) ? 0 : 500 + sim_dice_below(d, 3000);
    if (sim_dice_below(d, 5) == 0)
        o->connections_max = 1 + (uint32_t)sim_dice_below(d, 4);
    o->write_timeout_ms = 1000 + sim_dice_below(d, 10000);
    o->shutdown_timeout_ms = sim_dice_below(d, 5) < 3 ? sim_dice_below(d, 12000) : 0;
    o->segment_bytes = (uint64_t)(128 << 10) << sim_dice_below(d, 3);
    o->log_bytes_max = 2 * o->segment_bytes + (sim_dice_below(d, 512) << 10);
    o->memtable_bytes = (uint64_t)(32 << 10) << sim_dice_below(d, 3);
    o->compression = sim_dice_below(d, 2) ? COMPRESSION_ZSTD : COMPRESSION_NONE;
    o->value_log_min = (uint64_t)64 << sim_dice_below(d, 7);
    if (sim_dice_below(d, 3) == 0) /* hardly enough */
        o->memory = ((uint64_t)MEMORY_BYTES_MIN << sim_dice_below(d, 4)) * o->cores;
    struct sim_dice archive;
    sim_dice_init(&archive, h->seed, STREAM_ARCHIVE, i);
    if (sim_dice_below(&archive, 3) == 0)
        snprintf(o->archive, sizeof o->archive, "/archive");
    s->server.reactor.channel_capacity = 2u << 3 * sim_dice_below(d, 4);
    s->server.reactor.receive_buffer_bytes = 512u << sim_dice_below(d, 6);
    s->server.sizes.log_writes_in_flight = 1 + (uint32_t)sim_dice_below(d, 4);
    registers_init(&s->registers, i, 8 + (uint32_t)sim_dice_below(d, 56));
    s->server.sizes.log_padding_parts = 1u << sim_dice_below(d, 5);
    s->server.sizes.runs_max = 2u << sim_dice_below(d, 5);
    s->server.sizes.removal_step_bytes = 4096u << sim_dice_below(d, 5);
    uint64_t doubts = FAULT_BIT(SYNC_ERROR) | FAULT_BIT(WRITE_ERROR) | FAULT_BIT(READ_ERROR);
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        if ((doubts >> f & 1) && h->service.faults.per_million[f] > 0)
            s->registers.reads_prove = false;
    if (o->request_timeout_ms > h->service.deadline_ms_max)
        h->service.deadline_ms_max = (uint32_t)o->request_timeout_ms;
}

static void plan_talker(struct history *h, struct sim_dice *d)
{
    struct talker *t = &h->talkers[h->talker_count];
    *t = (struct talker){.number = h->talker_count, .seed = h->seed};
    t->asks.service = &h->service;
    t->asks.server = &h->service.servers[sim_dice_below(d, h->service.server_count)];
    t->asks.owner = t->number;
    t->asks.scan.seen = calloc(1, t->asks.server->registers.key_count);
    ASSERT(t->asks.scan.seen);
    t->think_ns = sim_dice_between(d, 5, 80) * NS_PER_MS;
    t->depth = 1 + (unsigned)sim_dice_below(d, sim_dice_below(d, 3) ? 4 : 40);
    h->talker_count++;
}

/* How late an answer may come for reasons that are not the server's. */
static void plan_patience(struct service *s)
{
    const uint32_t *rates = s->faults.per_million;
    s->patience_ns = 2 * SECOND_NS;
    if (rates[SIM_NETWORK_DELAY] || rates[SIM_NETWORK_SEGMENT])
        s->patience_ns += 4 * SECOND_NS;
    if (rates[SIM_TURN_DELAY] || rates[SIM_CHANNEL_DELAY] || rates[SIM_CHANNEL_FULL])
        s->patience_ns += 2 * SECOND_NS;
    s->may_stall = rates[SIM_NETWORK_STALL] > 0;
    s->way_ns = (rates[SIM_NETWORK_DELAY] ? 1500ull : 300ull) * NS_PER_MS;
    for (unsigned i = 0; i < s->server_count; i++) {
        uint64_t timeout_ms = s->servers[i].server.options.shutdown_timeout_ms;
        s->servers[i].has_patience = timeout_ms > s->deadline_ms_max + 1000;
    }
}

static void plan(struct history *h, const struct history_request *request)
{
    struct sim_dice d;
    struct service *s = &h->service;
    sim_dice_init(&d, h->seed, STREAM_PLAN, 0);
    sim_dice_init(&h->dice, h->seed, STREAM_DIRECTOR, 0);
    swarm_draw(h->seed, SERVER_HISTORY_FAULTS, &request->filter, &s->faults);
    uint64_t stuck = FAULT_BIT(STUCK_DISK);
    bool is_wanted =
        !(request->filter.without & stuck) && (request->filter.only == 0 || (request->filter.only & stuck));
    uint32_t stuck_rate = (uint32_t)sim_dice_between(&d, 1000, 20000);
    if (sim_dice_below(&d, 5) == 0 && is_wanted) /* what deadlines are for */
        s->faults.per_million[SIM_STUCK_DISK] = stuck_rate;
    struct sim_world_options options = {
        .seed = h->seed,
        .faults = s->faults,
        .heap_fill = request->heap_fill,
        .context = h,
        .on_log = on_log,
    };
    s->world = sim_world_new(&options);
    s->deadline_ms_max = 1500;
    s->may_flood = sim_dice_below(&d, 2);
    s->server_count = sim_dice_below(&d, 5) ? 1 : 2;
    for (unsigned i = 0; i < s->server_count; i++)
        plan_server(h, i, &d);
    plan_patience(s);
    h->load_ns = sim_dice_between(&d, 6, 30) * SECOND_NS;
    h->client_node_count = 1 + (unsigned)sim_dice_below(&d, CLIENT_NODES_MAX);
    for (unsigned i = 0; i < h->client_node_count; i++) {
        char host[32];
        snprintf(host, sizeof host, "10.0.1.%u", i + 1);
        h->client_nodes[i] = sim_node_new(s->world, host, NULL);
        unsigned count = 1 + (unsigned)sim_dice_below(&d, TALKERS_MAX / CLIENT_NODES_MAX);
        h->talker_nodes[i] = (struct talker_node){.service = s,
                                                  .talkers = h->talkers,
                                                  .first = h->talker_count,
                                                  .count = count};
        for (unsigned j = 0; j < count; j++)
            plan_talker(h, &d);
    }
}

static void tell_plan(struct history *h)
{
    const struct service *s = &h->service;
    for (unsigned i = 0; i < s->server_count; i++) {
        const struct options *o = &s->servers[i].server.options;
        SAY(h, "server %u: %u cores, %u keys, request-timeout %llu ms, segments of %llu KiB", i, o->cores,
            s->servers[i].registers.key_count, (unsigned long long)o->request_timeout_ms,
            (unsigned long long)o->segment_bytes >> 10);
    }
    SAY(h, "%u connections from %u nodes", h->talker_count, h->client_node_count);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        if (s->faults.per_million[i])
            SAY(h, "  %s: %u in a million", sim_fault_name((enum sim_fault)i), s->faults.per_million[i]);
}

/* ---- nodes ---- */

/* More cores than before may leave each less memory than it needs. Below 100 it is a percentage. */
static bool is_starved(const struct options *o)
{
    return o->memory > 100 && o->memory / o->cores < MEMORY_BYTES_MIN;
}

static void start_server(struct history *h, unsigned i)
{
    struct service_server *s = &h->service.servers[i];
    s->is_asked_to_end = s->wants_restart = s->was_flooded = s->has_unread = false;
    if (sim_dice_below(&h->dice, 3) == 0)
        s->server.options.cores = 1 + (unsigned)sim_dice_below(&h->dice, CORES_MAX);
    s->is_starved = is_starved(&s->server.options);
    server_node_start(&s->server);
    h->outcome->tally.starts++;
    SAY(h, "server %u starts with %u cores, run %u", i, s->server.options.cores, s->server.starts);
}

static void start_clients(struct history *h, unsigned i)
{
    struct reactor_options options = {.core_count = 1, .receive_buffer_count = 16};
    sim_node_start(h->client_nodes[i], &options, talker_main, &h->talker_nodes[i]);
}

static void kill_server(struct history *h, unsigned i, enum sim_end how)
{
    struct service_server *s = &h->service.servers[i];
    if (!sim_node_is_up(s->server.node))
        return;
    SAY(h, "server %u %s", i, how == SIM_END_POWER ? "loses power" : "is killed");
    sim_node_kill(s->server.node, how);
    h->outcome->tally.kills += how == SIM_END_KILL;
    h->outcome->tally.power_losses += how == SIM_END_POWER;
    s->is_asked_to_end = false;
    s->asked_ns = 0; /* it owes no answers any more */
}

/* With the power they go silent, and the server keeps their connections until it has something to send. */
static void kill_clients(struct history *h, unsigned i, enum sim_end how)
{
    if (!sim_node_is_up(h->client_nodes[i]))
        return;
    SAY(h, "the clients of node %u %s", i, how == SIM_END_POWER ? "lose power" : "are killed");
    sim_node_kill(h->client_nodes[i], how);
    for (unsigned j = 0; j < h->talker_nodes[i].count; j++)
        talker_killed(&h->talkers[h->talker_nodes[i].first + j]);
    start_clients(h, i);
}

static void ask_to_end(struct history *h, unsigned i)
{
    struct service_server *s = &h->service.servers[i];
    SAY(h, "server %u is asked to end", i);
    s->is_asked_to_end = true;
    s->asked_run = s->server.starts;
    s->asked_ns = now_ns(h);
    sim_node_ask_to_stop(s->server.node);
    if (!sim_node_is_up(s->server.node)) /* it had not come so far as to hear of it */
        s->is_asked_to_end = false;
}

/* ---- looking after servers ---- */

static bool has_errors(const struct service *s)
{
    return service_has_seen(s, SIM_READ_ERROR) || service_has_seen(s, SIM_WRITE_ERROR) ||
           service_has_seen(s, SIM_SYNC_ERROR) || service_has_seen(s, SIM_NO_DESCRIPTORS) ||
           service_has_seen(s, SIM_NO_READ_MEMORY);
}

static void check_leaks(struct history *h, unsigned i)
{
    struct sim_leaks l = sim_node_leaks(h->service.servers[i].server.node);
    char text[SIM_LEAKS_TEXT_BYTES];
    if (sim_leaks_tell(&l, text))
        FAIL(h, "server %u left %s", i, text);
}

/* It is down and nobody killed it. */
static void judge_end(struct history *h, unsigned i)
{
    struct service_server *s = &h->service.servers[i];
    int result = sim_node_result(s->server.node);
    bool may_hang =
        service_has_seen(&h->service, SIM_STUCK_DISK) || service_has_seen(&h->service, SIM_SLOW_DISK);
    if (result == 0 && s->is_asked_to_end) {
        h->outcome->tally.tidy_stops++;
        if (!may_hang || h->service.phase == SERVICE_OVER)
            check_leaks(h, i);
    } else if (result == TORC_E_TIMEOUT && s->is_asked_to_end && may_hang &&
               h->service.phase != SERVICE_OVER) {
        SAY(h, "server %u ended without its disk", i);
        h->outcome->tally.vain_stops++;
    } else if (result != 0 && (has_errors(&h->service) || s->was_full)) {
        SAY(h, "server %u refused to start: %s", i, error_sentence(result));
        h->outcome->tally.refused_starts++;
    } else {
        FAIL(h, "server %u ended by itself: %s", i, error_sentence(result));
    }
    s->is_asked_to_end = false;
}

static void check_bounds(struct history *h, unsigned i)
{
    struct sim_node *node = h->service.servers[i].server.node;
    for (unsigned core = 0; core < h->service.servers[i].server.options.cores; core++) {
        const struct reactor *r = sim_node_core(node, core);
        struct reactor_counters c = reactor_counters(r);
        if (c.heap_bytes > HEAP_BYTES_MAX || c.sockets_open > TALKERS_MAX * 8)
            FAIL(h, "server %u, core %u has %llu bytes of heap, %llu sockets", i, core,
                 (unsigned long long)c.heap_bytes, (unsigned long long)c.sockets_open);
    }
}

static void tend_server(struct history *h, unsigned i)
{
    struct service_server *s = &h->service.servers[i];
    if (!sim_node_is_up(s->server.node))
        return;
    check_bounds(h, i);
    if (s->is_asked_to_end && now_ns(h) > s->asked_ns + END_NS_MAX) {
        FAIL(h, "server %u was asked to end and does not", i);
        kill_server(h, i, SIM_END_KILL);
    }
}

static void set_full(struct history *h, unsigned i, bool is_full)
{
    struct service_server *s = &h->service.servers[i];
    struct sim_disk *disk = sim_node_disk(s->server.node);
    uint64_t spare = is_full ? sim_dice_below(&h->dice, 512 << 10) : UINT64_C(1) << 30;
    sim_disk_set_capacity(disk, is_full ? sim_disk_used_bytes(disk) + spare : spare);
    h->full_until_ns[i] = is_full ? now_ns(h) + sim_dice_between(&h->dice, 1, 4) * SECOND_NS : 0;
    if (!is_full)
        return;
    s->was_full = true;
    sim_fault_count(h->service.world, SIM_DISK_FULL);
    SAY(h, "the disk of server %u is full but for %llu KiB", i, (unsigned long long)spare >> 10);
}

/* ---- the load ---- */

static bool hits(struct history *h, enum sim_fault fault)
{
    return sim_dice_hits(&h->dice, h->service.faults.per_million[fault] / 4);
}

static void disturb(struct history *h, unsigned i)
{
    struct service_server *s = &h->service.servers[i];
    bool is_killed = hits(h, SIM_KILL), is_unplugged = hits(h, SIM_POWER_LOSS),
         is_full = hits(h, SIM_DISK_FULL);
    bool is_to_end = sim_dice_hits(&h->dice, ENDS_PER_MILLION) || s->wants_restart;
    if (!sim_node_is_up(s->server.node)) {
        start_server(h, i);
        return;
    }
    if (h->full_until_ns[i] && now_ns(h) > h->full_until_ns[i])
        set_full(h, i, false);
    else if (is_full && !h->full_until_ns[i])
        set_full(h, i, true);
    if (is_unplugged)
        kill_server(h, i, SIM_END_POWER);
    else if (is_killed)
        kill_server(h, i, SIM_END_KILL);
    else if (is_to_end && !s->is_asked_to_end)
        ask_to_end(h, i);
}

struct watch {
    struct history *h;
    bool was_up[SERVICE_SERVERS_MAX];
};

/* Stops the run when a server has ended by itself. */
static bool has_ended_one(void *context)
{
    struct watch *w = context;
    for (unsigned i = 0; i < w->h->service.server_count; i++)
        if (w->was_up[i] && !sim_node_is_up(w->h->service.servers[i].server.node))
            return true;
    return false;
}

/* Runs for so long, and judges servers that end meanwhile. Returns early when `is_done`. */
static void run_for(struct history *h, uint64_t ns, bool (*is_done)(struct history *h))
{
    uint64_t until_ns = now_ns(h) + ns;
    while (now_ns(h) < until_ns && !(is_done && is_done(h))) {
        struct watch w = {.h = h};
        for (unsigned i = 0; i < h->service.server_count; i++)
            w.was_up[i] = sim_node_is_up(h->service.servers[i].server.node);
        uint64_t step_ns = until_ns - now_ns(h);
        if (is_done && step_ns > SECOND_NS / 10)
            step_ns = SECOND_NS / 10;
        sim_run(h->service.world, now_ns(h) + step_ns, has_ended_one, &w);
        for (unsigned i = 0; i < h->service.server_count; i++)
            if (w.was_up[i] && !sim_node_is_up(h->service.servers[i].server.node))
                judge_end(h, i);
    }
    for (unsigned i = 0; i < h->service.server_count; i++)
        tend_server(h, i);
}

static bool has_room_for_the_silent(const struct service *s)
{
    for (unsigned i = 0; i < s->server_count; i++)
        if (s->servers[i].server.options.connections_max < CONNECTIONS_MANY)
            return false;
    return true;
}

static void load(struct history *h)
{
    uint64_t until_ns = now_ns(h) + h->load_ns;
    for (unsigned i = 0; i < h->service.server_count; i++)
        start_server(h, i);
    for (unsigned i = 0; i < h->client_node_count; i++)
        start_clients(h, i);
    while (now_ns(h) < until_ns) {
        run_for(h, sim_dice_between(&h->dice, 200, 1200) * NS_PER_MS, NULL);
        for (unsigned i = 0; i < h->service.server_count; i++)
            disturb(h, i);
        unsigned i = (unsigned)sim_dice_below(&h->dice, h->client_node_count);
        if (sim_dice_hits(&h->dice, h->service.faults.per_million[SIM_KILL] / 10))
            kill_clients(h, i, SIM_END_KILL);
        bool is_unplugged = sim_dice_hits(&h->dice, h->service.faults.per_million[SIM_POWER_LOSS] / 10);
        if (is_unplugged && has_room_for_the_silent(&h->service))
            kill_clients(h, i, SIM_END_POWER);
    }
}

/* ---- afterwards ---- */

static bool is_lively(struct history *h)
{
    for (unsigned i = 0; i < h->talker_count; i++)
        if (!talker_has_proved(&h->talkers[i]))
            return false;
    return true;
}

/* One may refuse a start that was begun while there were faults. */
static void bring_up(struct history *h)
{
    for (unsigned i = 0; i < h->service.server_count; i++)
        if (!sim_node_is_up(h->service.servers[i].server.node))
            start_server(h, i);
}

static void prove_liveness(struct history *h)
{
    uint64_t begin_ns = h->faults_ended_ns = now_ns(h);
    SAY(h, "faults end");
    sim_world_set_faults(h->service.world, &(struct sim_faults){0});
    h->service.phase = SERVICE_LIVENESS;
    for (unsigned i = 0; i < h->service.server_count; i++)
        set_full(h, i, false);
    while (!is_lively(h) && now_ns(h) < begin_ns + LIVENESS_NS_MAX) {
        bring_up(h);
        for (unsigned i = 0; i < h->service.server_count; i++)
            if (h->service.servers[i].wants_restart && !h->service.servers[i].is_asked_to_end)
                ask_to_end(h, i);
        run_for(h, SECOND_NS, is_lively);
    }
    if (is_lively(h)) {
        SAY(h, "every client has got on, %llu ms after the faults",
            (unsigned long long)(now_ns(h) - begin_ns) / NS_PER_MS);
        return;
    }
    for (unsigned i = 0; i < h->talker_count; i++)
        if (!talker_has_proved(&h->talkers[i]))
            FAIL(h, "connection %u got %u answers, %u of them to writes, in %llu s without faults", i,
                 h->talkers[i].lively, h->talkers[i].lively_writes,
                 (unsigned long long)(LIVENESS_NS_MAX / SECOND_NS));
}

static bool are_clients_down(struct history *h)
{
    for (unsigned i = 0; i < h->client_node_count; i++)
        if (sim_node_is_up(h->client_nodes[i]))
            return false;
    return true;
}

static bool are_servers_down(struct history *h)
{
    for (unsigned i = 0; i < h->service.server_count; i++)
        if (sim_node_is_up(h->service.servers[i].server.node))
            return false;
    return true;
}

struct audit {
    struct history *h;
    bool is_last;
    bool is_over;
};

static int audit_main(struct reactor *r, void *context)
{
    struct audit *a = context;
    struct history *h = a->h;
    for (unsigned i = 0; i < h->service.server_count; i++) {
        struct talker t = {.number = h->talker_count, .seed = h->seed};
        t.asks.service = &h->service;
        t.asks.server = &h->service.servers[i];
        t.asks.owner = t.number;
        t.asks.scan.seen = calloc(1, t.asks.server->registers.key_count);
        /* A table that the last start with faults could not open is set aside until the next one. */
        if (!talker_audit(&t, r) && (a->is_last || !t.asks.server->wants_restart))
            FAIL(h, "server %u does not answer for all its keys though no fault is left", i);
        free(t.asks.scan.seen);
    }
    a->is_over = true;
    reactor_stop(r);
    return 0;
}

static void audit(struct history *h, struct sim_node *auditor, bool is_last)
{
    struct audit a = {.h = h, .is_last = is_last};
    struct reactor_options options = {.core_count = 1, .receive_buffer_count = 16};
    uint64_t until_ns = now_ns(h) + LIVENESS_NS_MAX;
    h->service.phase = SERVICE_LIVENESS;
    sim_node_start(auditor, &options, audit_main, &a);
    while (sim_node_is_up(auditor) && now_ns(h) < until_ns) {
        bring_up(h);
        run_for(h, SECOND_NS / 10, NULL);
    }
    if (!a.is_over)
        FAIL(h, "the keys cannot all be looked at");
    h->service.phase = SERVICE_OVER;
}

static void end_servers(struct history *h)
{
    h->service.phase = SERVICE_OVER;
    for (unsigned i = 0; i < h->service.server_count; i++) {
        struct service_server *s = &h->service.servers[i];
        if (sim_node_is_up(s->server.node) && !s->is_asked_to_end)
            ask_to_end(h, i);
    }
    run_for(h, END_NS_MAX, are_servers_down);
    if (!are_servers_down(h))
        FAIL(h, "a server was asked to end and does not");
}

/* Without faults a server is there a moment after its start; what a disk was stuck with is over in two
 * minutes. */
static void settle(struct history *h)
{
    uint64_t until_ns = now_ns(h) + SECOND_NS;
    if (service_has_seen(&h->service, SIM_STUCK_DISK) && until_ns < h->faults_ended_ns + STUCK_NS_MAX)
        until_ns = h->faults_ended_ns + STUCK_NS_MAX;
    run_for(h, until_ns - now_ns(h), NULL);
}

static bool is_none_ending(struct history *h)
{
    for (unsigned i = 0; i < h->service.server_count; i++)
        if (h->service.servers[i].is_asked_to_end)
            return false;
    return true;
}

static void prove_the_rest(struct history *h)
{
    struct sim_node *auditor = sim_node_new(h->service.world, "10.0.2.1", NULL);
    h->service.phase = SERVICE_OVER;
    run_for(h, 60 * SECOND_NS, are_clients_down);
    if (!are_clients_down(h))
        FAIL(h, "the clients do not end");
    for (unsigned round = 1; round <= AUDITS && h->outcome->story.failures == 0; round++) {
        run_for(h, END_NS_MAX, is_none_ending);
        for (unsigned i = 0; i < h->service.server_count; i++)
            if (!sim_node_is_up(h->service.servers[i].server.node))
                start_server(h, i);
        settle(h);
        audit(h, auditor, round == AUDITS);
        end_servers(h);
    }
}

void server_history_run(const struct history_request *request, struct history_outcome *outcome)
{
    struct history *h = calloc(1, sizeof *h);
    ASSERT(h);
    h->outcome = outcome;
    h->seed = request->seed;
    h->service.story = &outcome->story;
    h->service.tally = &outcome->tally;
    outcome->story.is_detailed = request->is_detailed;
    plan(h, request);
    tell_plan(h);
    load(h);
    if (outcome->story.failures == 0)
        prove_liveness(h);
    if (outcome->story.failures == 0)
        prove_the_rest(h);
    tally_take_world(&outcome->tally, h->service.world);
    outcome->trace_hash = sim_trace_hash(h->service.world);
    sim_world_free(h->service.world);
    for (unsigned i = 0; i < h->service.server_count; i++)
        registers_deinit(&h->service.servers[i].registers);
    for (unsigned i = 0; i < h->talker_count; i++)
        free(h->talkers[i].asks.scan.seen);
    free(h);
}
