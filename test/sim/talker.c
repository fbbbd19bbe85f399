/* talker.c - a client of a history; see talker.h. */
#include "test/sim/talker.h"

#include "test/sim/questions.h"

enum {
    STREAM_TALKER = SIM_STREAMS + 200,
    NS_PER_MS = 1000000,
    POLL_NS = 50 * NS_PER_MS,
    AGAIN_NS_MAX = 200 * NS_PER_MS,
    CONNECTS_MAX = 100,
};

static const uint64_t CONNECT_NS = 2000ull * NS_PER_MS;

/* ---- the connection ---- */

static void on_frame(void *owner, const struct frame *frame)
{
    struct talker *t = owner;
    if (!asks_on_frame(&t->asks, frame, reactor_now_ns(t->reactor)))
        t->has_quit = true;
    event_set(t->reactor, &t->progress, 0);
}

/* A server that is asked to end answers what it was asked before, and closes its connections afterwards. */
static void check_drained(struct talker *t, uint64_t now_ns)
{
    const struct service *s = t->asks.service;
    const struct service_server *server = t->asks.server;
    bool is_bound = !s->may_stall && server->has_patience && !server->was_flooded &&
                    t->asks.count < ASKS_FEW && !t->asks.is_poisoned && t->excused_until_ns == 0 &&
                    t->paused_until_ns == 0 && !t->has_quit;
    for (unsigned i = 0; i < ASKS_MAX && is_bound; i++) {
        const struct ask *ask = &t->asks.places[i];
        bool was_before = ask->begin_ns + s->way_ns < server->asked_ns;
        if (ask->id && !ask->is_part && ask->run == server->asked_run && was_before)
            story_fail(s->story, now_ns,
                       "connection %u, request %llx, op %u, asked at %.3f ms: the server was asked to end at "
                       "%.3f ms and closed the connection without an answer",
                       t->number, (unsigned long long)ask->id, ask->op, (double)ask->begin_ns / NS_PER_MS,
                       (double)server->asked_ns / NS_PER_MS);
    }
}

static void on_end(void *owner, int reason)
{
    struct talker *t = owner;
    uint64_t now_ns = reactor_now_ns(t->reactor);
    story_detail(t->asks.service->story, now_ns, "connection %u ended: %s", t->number,
                 error_sentence(reason));
    if (reason == TORC_E_FRAME_LENGTH)
        story_fail(t->asks.service->story, now_ns, "connection %u: the server sent what is no frame",
                   t->number);
    if (reason == TORC_E_CLOSED)
        check_drained(t, now_ns);
    t->has_ended = true;
    event_set(t->reactor, &t->progress, 0);
}

static const struct client_handlers handlers = {.on_frame = on_frame, .on_end = on_end};

/* Waits: until something came, at most `ns`. */
static void await(struct talker *t, uint64_t ns)
{
    event_init(&t->progress);
    if (t->has_ended || t->has_quit || ns == 0)
        return;
    int rc = event_wait(t->reactor, &t->progress, ns);
    ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
}

/* ---- the tasks ---- */

static void maybe_resume(struct talker *t)
{
    uint64_t now_ns = reactor_now_ns(t->reactor);
    if (t->paused_until_ns == 0 || now_ns < t->paused_until_ns)
        return;
    t->paused_until_ns = 0;
    t->excused_until_ns = now_ns + POLL_NS;
    client_resume(&t->client);
}

static void check_overdue(struct talker *t)
{
    uint64_t now_ns = reactor_now_ns(t->reactor);
    const struct ask *late = asks_overdue(&t->asks, now_ns);
    if (!late)
        return;
    const struct service *s = t->asks.service;
    const struct service_server *server = t->asks.server;
    bool is_same_run = server->server.starts == late->run && sim_node_is_up(server->server.node);
    bool is_excused = s->may_stall || t->paused_until_ns || t->excused_until_ns > late->begin_ns ||
                      server->is_asked_to_end || !is_same_run || late->deadline_ms == 0 ||
                      t->asks.is_poisoned || server->is_starved;
    if (!is_excused)
        story_fail(s->story, now_ns,
                   "connection %u, request %llx, op %u, key %u: no answer though its deadline of %u ms has "
                   "passed; asked at %.3f ms",
                   t->number, (unsigned long long)late->id, late->op, late->key, late->deadline_ms,
                   (double)late->begin_ns / NS_PER_MS);
    t->has_quit = true;
}

static bool is_over(const struct talker *t)
{
    return t->asks.service->phase == SERVICE_OVER;
}

static void count_liveness(struct talker *t)
{
    if (t->asks.service->phase == SERVICE_LIVENESS) {
        t->lively += t->asks.done_count;
        t->lively_writes += t->asks.written_count;
    }
    t->asks.done_count = t->asks.written_count = 0;
}

static bool greet(struct talker *t, bool is_audit)
{
    struct ask *hello = asks_new(&t->asks, FRAME_HELLO, reactor_now_ns(t->reactor));
    uint16_t core = talker_below(t, 2) ? FRAME_CORE_ANY : (uint16_t)talker_below(t, 4);
    ASSERT(hello);
    uint64_t hello_id = hello->id;
    hello->deadline_ms = t->asks.service->deadline_ms_max;
    client_send_hello(&t->client, hello->id, core);
    for (uint64_t i = talker_below(t, 3) ? 0 : 1 + talker_below(t, 3); i > 0 && !is_audit; i--)
        question_key(t); /* without waiting for the answer */
    while (!t->asks.has_hello && !t->has_ended && !t->has_quit && !is_over(t)) {
        await(t, POLL_NS);
        check_overdue(t);
        t->has_quit |= hello->id != hello_id && !t->asks.has_hello; /* refused */
    }
    return t->asks.has_hello;
}

/* The next page of a scan, when the last one is there. */
static void go_on_scanning(struct talker *t)
{
    bool is_waiting = !t->asks.scan.is_active || t->asks.scan.cursor_bytes == 0;
    for (unsigned i = 0; i < ASKS_MAX; i++)
        is_waiting |= t->asks.places[i].id != 0 && t->asks.places[i].op == FRAME_SCAN;
    if (!is_waiting)
        question_page(t);
}

bool talker_has_proved(const struct talker *t)
{
    return t->lively >= TALKER_LIVENESS_ANSWERS && t->lively_writes >= TALKER_LIVENESS_WRITES;
}

static void talk(struct talker *t)
{
    uint64_t next_ns = 0;
    while (!t->has_ended && !t->has_quit && !is_over(t)) {
        uint64_t now_ns = reactor_now_ns(t->reactor);
        if (now_ns >= next_ns && t->asks.count < t->depth) {
            question_any(t);
            next_ns = now_ns + 1 + talker_below(t, 2 * t->think_ns);
        }
        await(t, next_ns > now_ns && next_ns - now_ns < POLL_NS ? next_ns - now_ns : POLL_NS);
        go_on_scanning(t);
        maybe_resume(t);
        check_overdue(t);
        count_liveness(t);
        t->has_quit |= talker_has_proved(t); /* others may wait for its place */
    }
}

static bool connect(struct talker *t)
{
    t->has_ended = t->has_quit = false;
    t->paused_until_ns = t->excused_until_ns = 0;
    int rc = client_open(&t->client, &t->asks.server->server.address, CONNECT_NS);
    story_detail(t->asks.service->story, reactor_now_ns(t->reactor), "connection %u: %s", t->number,
                 rc ? error_sentence(rc) : "open");
    return rc == 0;
}

static void disconnect(struct talker *t)
{
    client_close(&t->client);
    asks_lose_all(&t->asks);
}

static void init_run(struct talker *t, struct reactor *r)
{
    t->reactor = r;
    t->is_running = true;
    client_init(&t->client, r, &handlers, t);
    event_init(&t->progress);
}

static void end_run(struct talker *t)
{
    client_deinit(&t->client);
    t->is_running = false;
}

static void run(struct reactor *r, void *argument)
{
    struct talker *t = argument;
    init_run(t, r);
    while (!is_over(t)) {
        if (!talker_has_proved(t) && connect(t) && greet(t, false))
            talk(t);
        disconnect(t);
        if (!is_over(t))
            task_sleep(r, talker_below(t, AGAIN_NS_MAX));
    }
    end_run(t);
}

void talker_killed(struct talker *t)
{
    if (t->is_running)
        asks_lose_all(&t->asks);
    t->is_running = false;
}

int talker_main(struct reactor *r, void *context)
{
    struct talker_node *n = context;
    for (unsigned i = 0; i < n->count; i++) {
        struct talker *t = &n->talkers[n->first + i];
        sim_dice_init(&t->dice, t->seed, STREAM_TALKER, (uint64_t)t->number << 32 | t->asks.sequence);
        int rc = task_spawn(r, run, t);
        if (rc)
            return rc;
        t->is_running = true;
    }
    bool is_running = true;
    while (is_running) {
        task_sleep(r, POLL_NS);
        is_running = false;
        for (unsigned i = 0; i < n->count; i++)
            is_running |= n->talkers[n->first + i].is_running;
    }
    reactor_stop(r);
    return 0;
}

/* ---- the audit ---- */

static bool await_all(struct talker *t)
{
    while (t->asks.count > 0 && !t->has_ended && !t->has_quit) {
        await(t, POLL_NS);
        check_overdue(t);
    }
    return t->asks.count == 0 && !t->has_ended && !t->has_quit;
}

static bool audit_keys(struct talker *t)
{
    bool is_fine = true;
    for (uint32_t key = 0; key < t->asks.server->registers.key_count && is_fine; key++) {
        question_get(t, key);
        is_fine = await_all(t);
    }
    return is_fine && t->asks.done_count == t->asks.server->registers.key_count;
}

static bool audit_scan(struct talker *t)
{
    bool is_fine = true;
    t->asks.scan.is_active = false;
    question_scan(t);
    while (is_fine && t->asks.scan.is_active) {
        is_fine = await_all(t);
        if (is_fine && t->asks.scan.is_active)
            question_page(t);
    }
    return is_fine;
}

bool talker_audit(struct talker *t, struct reactor *r)
{
    sim_dice_init(&t->dice, t->seed, STREAM_TALKER, UINT32_MAX);
    init_run(t, r);
    bool is_fine = connect(t) && greet(t, true);
    for (unsigned i = 0; i < CONNECTS_MAX && !is_fine;
         i++) { /* connections that stalled may take all places */
        disconnect(t);
        task_sleep(r, POLL_NS * 10);
        is_fine = connect(t) && greet(t, true);
    }
    t->asks.done_count = 0;
    is_fine = is_fine && audit_keys(t) && audit_scan(t);
    disconnect(t);
    end_run(t);
    return is_fine;
}
