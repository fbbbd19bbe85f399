/* session.c - connections: their table, their answers, their end. What they read is in session_input.c. */
#include "shard/serve/session.h"

#include "reactor/base/mark.h"

#include "shard/serve/session_internal.h"
#include "shard/shard.h"

enum {
    EXPIRE_AT_ONCE = 16,  /* connections whose carried frames are looked at in one go */
    SWEEP_AT_ONCE = 128,  /* connections that a piece of the sweep looks at: each is a cache miss */
    SLOTS_AT_ONCE = 4096, /* and places in the table, most of them free */
};

/* ---- the table ---- */

int session_table_init(struct shard *s)
{
    struct session_table *t = &s->sessions;
    *t = (struct session_table){.capacity = s->options->connections_max};
    ASSERT(t->capacity > 0);
    list_init(&t->dirty);
    list_init(&t->paused);
    output_pool_init(&t->outputs, s->reactor);
    buffer_pool_init(&t->carries, s->reactor, CARRY_POOLED_BYTES, CARRY_KEPT_MAX);
    t->slots = reactor_alloc_zeroed(s->reactor, t->capacity * sizeof *t->slots);
    if (!t->slots)
        return TORC_E_NO_MEMORY;
    for (uint32_t i = 0; i < t->capacity; i++)
        t->slots[i].next_free = i + 1 < t->capacity ? i + 2 : 0;
    t->first_free = 1;
    return 0;
}

void session_table_deinit(struct shard *s)
{
    struct session_table *t = &s->sessions;
    ASSERT(t->open_count == 0);
    buffer_pool_deinit(&t->carries);
    output_pool_deinit(&t->outputs);
    reactor_free(s->reactor, t->slots);
}

static struct session *session_of(const struct shard *s, const struct reply *reply)
{
    ASSERT(reply->owner < s->sessions.capacity);
    const struct session_slot *slot = &s->sessions.slots[reply->owner];
    return slot->generation == reply->generation ? slot->session : NULL;
}

struct session *session_open(struct shard *s, struct socket *socket)
{
    struct session_table *t = &s->sessions;
    if (t->first_free == 0)
        return NULL;
    struct session *session = reactor_alloc_zeroed(s->reactor, sizeof *session);
    if (!session)
        return NULL;
    uint32_t index = t->first_free - 1;
    t->first_free = t->slots[index].next_free;
    t->slots[index].session = session;
    t->open_count++;
    if (index >= t->used_count)
        t->used_count = index + 1;
    session->shard = s;
    session->socket = socket;
    session->index = index;
    session->generation = t->slots[index].generation;
    session->progress_ns = reactor_now_ns(s->reactor);
    session->deadline_ns = DEADLINE_NONE;
    list_init(&session->dirty_link);
    list_init(&session->paused_link);
    return session;
}

/* ---- the end of a session ---- */

static void session_free(void *owner)
{
    struct session *session = owner;
    struct shard *s = session->shard;
    if (session->is_sending)
        output_end_send(&session->output, &s->sessions.outputs);
    output_clear(&session->output, &s->sessions.outputs);
    if (session->carry)
        carry_release(session);
    ASSERT(s->sessions.open_count > 0);
    s->sessions.open_count--;
    reactor_free(s->reactor, session);
}

/* Its place in the table is free at once: answers that still come find no one. Its buffers live until the
 * kernel has let go of them. */
static void session_leave_table(struct session *session)
{
    struct session_table *t = &session->shard->sessions;
    struct session_slot *slot = &t->slots[session->index];
    ASSERT(slot->session == session);
    slot->session = NULL;
    slot->generation++;
    slot->next_free = t->first_free;
    t->first_free = session->index + 1;
    list_remove(&session->dirty_link);
    list_remove(&session->paused_link);
}

void session_release(struct session *session)
{
    ASSERT(!session->is_sending);
    session_leave_table(session);
    session_free(session);
}

void session_close(struct session *session)
{
    struct socket *socket = session->socket;
    session_leave_table(session);
    session->socket = NULL;
    if (session->is_sending) {
        MARK(a_connection_is_closed_in_the_middle_of_a_send);
        socket_close(socket, session_free);
    } else {
        socket_close(socket, NULL);
        session_free(session);
    }
}

/* ---- output ---- */

static void session_mark_dirty(struct session *session)
{
    if (session->is_sending || !list_is_empty(&session->dirty_link))
        return;
    session->progress_ns = reactor_now_ns(session->shard->reactor); /* from now on it can be slow to read */
    list_push_back(&session->shard->sessions.dirty, &session->dirty_link);
}

/* Takes no more bytes; what is in the output still goes out. */
void session_begin_close(struct session *session)
{
    session->state = SESSION_CLOSING;
    session_mark_dirty(session);
}

void session_on_sent(void *owner, int result)
{
    struct session *session = owner;
    struct shard *s = session->shard;
    session->is_sending = false;
    output_end_send(&session->output, &s->sessions.outputs);
    session->progress_ns = reactor_now_ns(s->reactor);
    if (session->sending_since_ns) {
        stages_record(&s->stages, STAGE_SENT, session->sending_since_ns, reactor_clock_ns(s->reactor));
        session->sending_since_ns = 0;
    }
    if (result < 0)
        session_close(session);
    else if (session->output.bytes > 0 || session->state == SESSION_CLOSING)
        session_mark_dirty(session);
}

static bool session_is_over(const struct session *session)
{
    bool is_answered = session->output.bytes == 0 && session->in_flight == 0;
    return session->state == SESSION_CLOSING && (is_answered || session->is_broken);
}

void sessions_flush(struct shard *s)
{
    struct slice parts[SOCKET_PARTS_MAX];
    struct list *link;
    while ((link = list_pop_front(&s->sessions.dirty)) != NULL) {
        struct session *session = CONTAINER_OF(link, struct session, dirty_link);
        ASSERT(!session->is_sending);
        if (session_is_over(session)) {
            session_close(session);
            continue;
        }
        if (session->output.bytes == 0)
            continue;
        unsigned count = output_begin_send(&session->output, parts, SOCKET_PARTS_MAX);
        session->is_sending = true;
        session->sending_since_ns = session->answered_ns;
        session->answered_ns = 0;
        socket_send(session->socket, parts, count);
    }
}

/* After these the bytes that follow cannot be told from garbage. */
static bool ends_trust(int code)
{
    return code == TORC_E_CHECKSUM || code == TORC_E_FRAME_LENGTH || code == TORC_E_FRAME_TOO_LARGE ||
           code == TORC_E_HELLO_REQUIRED || code == TORC_E_PROTOCOL_VERSION;
}

static int session_write(struct session *session, const struct frame_parts *parts)
{
    struct output_pool *pool = &session->shard->sessions.outputs;
    size_t bytes = frame_bytes(parts);
    uint8_t *to = output_reserve(&session->output, pool, bytes);
    if (to) {
        frame_encode(to, parts);
        output_commit(&session->output, bytes);
        return 0;
    }
    uint8_t header[FRAME_HEADER_BYTES];
    frame_encode_header(header, parts);
    int rc = output_append(&session->output, pool, slice_of(header, sizeof header));
    if (rc == 0)
        rc = output_append(&session->output, pool, parts->value);
    if (rc == 0)
        rc = output_append(&session->output, pool, parts->extensions);
    return rc;
}

void session_reply(struct shard *s, const struct reply *reply, const struct answer *answer)
{
    ASSERT(s->in_flight > 0);
    s->in_flight--;
    struct session *session = session_of(s, reply);
    if (!session) {
        MARK(an_answer_finds_its_connection_gone);
        return;
    }
    ASSERT(session->in_flight > 0 && session->reads >= session_read_weight(reply->op));
    session->in_flight--;
    session->reads -= session_read_weight(reply->op);
    struct frame_parts parts = shard_answer_parts(reply, answer);
    int rc = session_write(session, &parts);
    session_mark_dirty(session);
    session->is_broken |= rc != 0; /* half an answer: nothing more can be sent */
    if (rc || ends_trust(answer->code))
        session_begin_close(session);
}

void session_sample(struct shard *s, const struct reply *reply, uint64_t answered_ns)
{
    bool is_of_session = reply->core == s->core && reply->owner_kind == REPLY_TO_SESSION;
    struct session *session = is_of_session ? session_of(s, reply) : NULL;
    if (session)
        session->answered_ns = answered_ns;
}

bool sessions_are_over_budget(const struct shard *s)
{
    return s->sessions.outputs.bytes_in_use > s->memory.plan.output_bytes_max;
}

bool sessions_are_settled(const struct shard *s)
{
    bool has_refused = s->state == SHARD_RUNNING || !sessions_are_paused(s);
    return has_refused && s->sessions.outputs.bytes_in_use == 0 && s->sessions.handing_over_count == 0;
}

/* ---- reading less, and closing what is stuck ---- */

void session_pause(struct session *session)
{
    if (session->is_paused || session->state == SESSION_HANDING_OVER)
        return;
    MARK(a_connection_is_not_read_for_a_while);
    session->is_paused = true;
    session->shard->counters.pauses++;
    socket_pause(session->socket);
    if (session->shard->state == SHARD_RUNNING) /* else nobody reads it again */
        list_push_back(&session->shard->sessions.paused, &session->paused_link);
}

bool session_is_full(const struct session *session)
{
    return session->output.bytes > SESSION_OUTPUT_BYTES_MAX || session->in_flight > SESSION_IN_FLIGHT_MAX ||
           session->reads > SESSION_READS_MAX;
}

uint32_t session_read_weight(uint8_t op)
{
    if (op == FRAME_BATCH)
        return FRAME_RESPONSE_BYTES_MAX / FRAME_VALUE_BYTES_MAX;
    return op == FRAME_GET || op == FRAME_SCAN || op == FRAME_INFO || op == FRAME_ADMIN;
}

bool sessions_are_paused(const struct shard *s)
{
    return !list_is_empty(&s->sessions.paused);
}

void sessions_resume(struct shard *s)
{
    if (!sessions_are_paused(s) || shard_is_congested(s) || s->state != SHARD_RUNNING)
        return;
    struct list waiting = s->sessions.paused;
    waiting.next->previous = &waiting;
    waiting.previous->next = &waiting;
    list_init(&s->sessions.paused);
    struct list *link;
    while ((link = list_pop_front(&waiting)) != NULL) {
        struct session *session = CONTAINER_OF(link, struct session, paused_link);
        if (!shard_is_congested(s)) /* those before it may have filled the log */
            session_continue(session);
        if (session_is_full(session) || shard_is_congested(s)) {
            list_push_back(&s->sessions.paused, link);
            continue;
        }
        session->is_paused = false;
        session->progress_ns = reactor_now_ns(s->reactor); /* only now could it ask for something */
        if (session->is_ended && session->state != SESSION_HANDING_OVER)
            session_begin_close(session);
        else
            socket_resume(session->socket);
    }
}

/* They are read no more: what waits there is refused, and they stay paused, in no list. */
static bool refuse_waiting(struct shard *s, uint64_t now_ns)
{
    struct list *link;
    for (unsigned i = 0; i < EXPIRE_AT_ONCE && (link = list_pop_front(&s->sessions.paused)) != NULL; i++) {
        struct session *session = CONTAINER_OF(link, struct session, paused_link);
        session_expire(session, now_ns);
        if (session->is_ended && session->state != SESSION_HANDING_OVER)
            session_begin_close(session);
    }
    return sessions_are_paused(s);
}

bool sessions_expire(struct shard *s, uint64_t now_ns)
{
    if (s->state != SHARD_RUNNING)
        return refuse_waiting(s, now_ns);
    struct list *paused = &s->sessions.paused;
    unsigned count = 0;
    for (struct list *link = paused->next; link != paused; link = link->next) {
        struct session *session = CONTAINER_OF(link, struct session, paused_link);
        if (session->deadline_ns > now_ns)
            continue;
        if (++count > EXPIRE_AT_ONCE)
            return true;
        session_expire(session, now_ns);
    }
    return false;
}

uint64_t sessions_deadline_ns(const struct shard *s)
{
    const struct list *paused = &s->sessions.paused;
    uint64_t earliest_ns = DEADLINE_NONE;
    for (const struct list *link = paused->next; link != paused; link = link->next) {
        const struct session *session = CONTAINER_OF(link, const struct session, paused_link);
        if (session->deadline_ns < earliest_ns)
            earliest_ns = session->deadline_ns;
    }
    return earliest_ns;
}

/* One send has up to 1 MiB: a slow peer takes long for it, and moves all the same. */
static void look_for_progress(struct session *session, uint64_t now_ns)
{
    uint32_t held_bytes = session->output.bytes;
    uint64_t taken = held_bytes > 0 ? socket_bytes_taken(session->socket) : session->taken_bytes;
    reader_look(&session->pace,
                &(struct reader_look){.now_ns = now_ns, .taken_bytes = taken, .held_bytes = held_bytes},
                session->shard->options->write_timeout_ms);
    if (taken == session->taken_bytes)
        return;
    session->taken_bytes = taken;
    session->progress_ns = now_ns;
}

/* The next step is the peer's: to read its answers, or to send the rest of a request. Both have the same
 * time: `request-timeout` is for what the server does, and a link may stand still for longer. While the
 * connection is not read nobody knows what the peer has sent. */
static bool peer_is_awaited(const struct session *session)
{
    bool is_half_asked = session->carry_bytes > 0 && session->in_flight == 0 && !session->is_paused;
    return session->output.bytes > 0 || is_half_asked;
}

static bool session_is_stuck(const struct session *session, uint64_t now_ns)
{
    const struct options *o = session->shard->options;
    uint64_t still_ms = (now_ns - session->progress_ns) / 1000000;
    if (session->output.bytes > 0 && sessions_are_over_budget(session->shard) && still_ms >= 1000)
        return true;
    if (peer_is_awaited(session) && o->write_timeout_ms > 0 && still_ms > o->write_timeout_ms)
        return true;
    bool is_idle = session->output.bytes == 0 && session->in_flight == 0 && !session->is_paused;
    return o->idle_timeout_ms > 0 && is_idle && still_ms > o->idle_timeout_ms;
}

/* How much more is unsent than there is room for; 0: nobody waits for it. */
static uint64_t excess_bytes(const struct shard *s)
{
    uint64_t unsent = s->sessions.outputs.bytes_in_use, room = memory_output_bytes(s);
    return unsent > room ? unsent - room : 0;
}

/* With a reset, as one that is stuck: it is in the middle of a send. */
static void close_slow(struct session *session)
{
    struct shard *s = session->shard;
    struct reader_crowd *crowd = &s->sessions.crowd;
    if (crowd->closed_bytes == 0) /* a line for each sweep is enough */
        log_write(&s->log, LOG_LEVEL_WARN, "slow_reader",
                  "a connection that takes its answers slowly is closed: others wait for their memory",
                  log_number("held_bytes", session->output.bytes),
                  log_number("unsent_bytes", s->sessions.outputs.bytes_in_use));
    crowd->closed_bytes += session->output.bytes;
    s->counters.closed_slow++;
    session_close(session);
}

static void close_stuck(struct session *session)
{
    if (session->output.bytes > 0)
        MARK(a_connection_that_does_not_read_is_closed);
    else if (session->carry_bytes > 0)
        MARK(a_connection_with_half_a_request_is_closed);
    else
        MARK(an_idle_connection_is_closed);
    session->shard->counters.closed_stuck += session->output.bytes > 0 || session->carry_bytes > 0;
    session_close(session);
}

static void close_if_stuck_or_slow(struct session *session, uint64_t now_ns)
{
    struct shard *s = session->shard;
    if (session->state == SESSION_HANDING_OVER)
        return;
    look_for_progress(session, now_ns);
    reader_see(&s->sessions.crowd, session->output.bytes);
    if (session_is_stuck(session, now_ns))
        close_stuck(session);
    else if (reader_is_in_the_way(&s->sessions.crowd, &session->pace, session->output.bytes, excess_bytes(s)))
        close_slow(session);
}

bool sessions_sweep(struct shard *s)
{
    struct session_table *t = &s->sessions;
    uint64_t now_ns = reactor_now_ns(s->reactor);
    unsigned slots = 0, seen = 0;
    if (t->swept == 0) {
        output_pool_trim(&t->outputs);
        buffer_pool_trim(&t->carries);
        reader_begin_sweep(&t->crowd, excess_bytes(s) > 0);
    }
    for (; t->swept < t->used_count && slots < SLOTS_AT_ONCE && seen < SWEEP_AT_ONCE; t->swept++, slots++) {
        struct session *session = t->slots[t->swept].session;
        if (session)
            close_if_stuck_or_slow(session, now_ns);
        seen += session != NULL;
    }
    if (t->swept < t->used_count)
        return true;
    t->swept = 0;
    return false;
}

void sessions_close_all(struct shard *s)
{
    for (uint32_t i = 0; i < s->sessions.used_count; i++)
        if (s->sessions.slots[i].session && s->sessions.slots[i].session->state != SESSION_HANDING_OVER)
            session_close(s->sessions.slots[i].session);
}
