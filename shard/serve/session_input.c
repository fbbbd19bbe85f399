/* session_input.c - bytes of a connection to requests.
 *
 * Frames are parsed where they were received; only one that is not whole yet is copied, into a buffer that
 * the connection holds until the rest has come. What a call brought is run before it returns, in batches,
 * because the bytes are borrowed. */
#include "shard/scan.h"

#include "reactor/base/mark.h"
#include "shard/serve/info.h"
#include "shard/serve/session_internal.h"
#include "shard/shard.h"

/* ---- carried bytes: a frame that is not whole yet ---- */

void carry_release(struct session *session)
{
    struct session_table *t = &session->shard->sessions;
    t->carry_bytes -= session->carry_capacity;
    if (session->carry_capacity == CARRY_POOLED_BYTES)
        buffer_pool_give(&t->carries, session->carry);
    else
        reactor_free(session->shard->reactor, session->carry);
    session->carry = NULL;
    session->carry_bytes = session->carry_capacity = session->first_bytes = 0;
}

/* Room for at least `bytes`, keeping what is carried. */
static int carry_reserve(struct session *session, size_t bytes)
{
    struct session_table *t = &session->shard->sessions;
    if (session->carry_capacity >= bytes)
        return 0;
    size_t capacity = bytes <= CARRY_POOLED_BYTES ? CARRY_POOLED_BYTES : bytes;
    if (t->carry_bytes + capacity > session->shard->memory.plan.carry_bytes_max) {
        session->shard->memory.refusals++;
        return TORC_E_OVERLOADED;
    }
    uint8_t *memory = capacity == CARRY_POOLED_BYTES ? buffer_pool_take(&t->carries)
                                                     : reactor_alloc(session->shard->reactor, capacity);
    if (!memory)
        return TORC_E_NO_MEMORY;
    uint32_t kept = session->carry_bytes, first = session->first_bytes;
    if (session->carry) {
        memcpy(memory, session->carry, kept);
        carry_release(session);
    }
    session->carry = memory;
    session->carry_bytes = kept;
    session->first_bytes = first;
    session->carry_capacity = (uint32_t)capacity;
    t->carry_bytes += capacity;
    return 0;
}

static int carry_append(struct session *session, struct slice bytes, size_t needed)
{
    size_t total = session->carry_bytes + bytes.bytes;
    int rc = carry_reserve(session, needed > total ? needed : total);
    if (rc)
        return rc;
    memcpy(session->carry + session->carry_bytes, bytes.data, bytes.bytes);
    session->carried_ns = reactor_now_ns(session->shard->reactor);
    if (session->carry_bytes == 0) {
        session->first_bytes = (uint32_t)bytes.bytes;
        session->first_ns = session->carried_ns;
    }
    session->carry_bytes += (uint32_t)bytes.bytes;
    return 0;
}

/* ---- what a frame asks for ---- */

static struct reply reply_of(const struct session *session, const struct frame *frame)
{
    return (struct reply){
        .owner = session->index,
        .generation = session->generation,
        .request_id = frame->request_id,
        .core = (uint16_t)session->shard->core,
        .op = frame->op,
    };
}

static void count_in(struct session *session, uint8_t op)
{
    session->in_flight++;
    session->reads += session_read_weight(op);
    session->shard->in_flight++;
}

static void refuse(struct session *session, const struct frame *frame, int code)
{
    struct reply reply = reply_of(session, frame);
    count_in(session, frame->op);
    shard_reply_code(session->shard, &reply, code);
}

static void answer_hello(struct session *session, uint64_t request_id)
{
    struct shard *s = session->shard;
    uint8_t value[FRAME_HELLO_BYTES];
    frame_hello_encode(value, &(struct frame_hello){
                                  .version_min = FRAME_PROTOCOL_VERSION,
                                  .version_max = FRAME_PROTOCOL_VERSION,
                                  .core = (uint16_t)s->core,
                                  .core_count = (uint16_t)s->core_count,
                                  .vnode_bits = s->vnode_bits,
                              });
    struct frame frame = {.op = FRAME_HELLO, .request_id = request_id};
    struct reply reply = reply_of(session, &frame);
    struct slice body = slice_of(value, sizeof value);
    session->state = SESSION_OPEN;
    count_in(session, FRAME_HELLO);
    shard_reply(s, &reply, &(struct answer){.value = body});
}

static void on_detached(void *owner, int64_t handle_or_error)
{
    struct session *session = owner;
    struct shard *s = session->shard;
    bool is_lost = handle_or_error < 0 || session->is_broken;
    struct handover *h = is_lost ? NULL : reactor_alloc(s->reactor, sizeof *h + session->carry_bytes);
    if (h) {
        *h = (struct handover){.handle = handle_or_error,
                               .hello_id = session->hello_id,
                               .clock = hlc_seen(&s->clock, reactor_wall_ms(s->reactor)),
                               .bytes = session->carry_bytes};
        if (h->bytes)
            memcpy(h->data, session->carry, h->bytes);
        reactor_disown(s->reactor, h);
        exchange_send(s, session->wanted_core, &(struct message){.kind = MESSAGE_CONNECTION, .payload = h});
        s->counters.handed_over++;
    } else if (handle_or_error >= 0) {
        socket_discard_handle(s->reactor, handle_or_error);
    }
    s->sessions.handing_over_count--;
    session_release(session);
}

static void handle_hello(struct session *session, const struct frame *frame)
{
    struct shard *s = session->shard;
    struct frame_hello hello;
    int rc = frame_hello_parse(frame->value, &hello);
    if (rc == 0 && (hello.version_min > FRAME_PROTOCOL_VERSION || hello.version_max < FRAME_PROTOCOL_VERSION))
        rc = TORC_E_PROTOCOL_VERSION;
    if (rc) {
        refuse(session, frame, rc);
        if (rc == TORC_E_MALFORMED)
            session_begin_close(session);
        return;
    }
    bool is_here = hello.core == FRAME_CORE_ANY || hello.core == s->core || hello.core >= s->core_count;
    if (is_here || s->state != SHARD_RUNNING) {
        answer_hello(session, frame->request_id);
        return;
    }
    /* Whatever was refused before a hello has ended the connection: nothing is to be sent from here. */
    ASSERT(session->output.bytes == 0 && session->in_flight == 0);
    session->state = SESSION_HANDING_OVER;
    s->sessions.handing_over_count++;
    session->wanted_core = hello.core;
    session->hello_id = frame->request_id;
    socket_detach(session->socket, on_detached);
}

static void handle_ping(struct session *session, const struct frame *frame)
{
    struct reply reply = reply_of(session, frame);
    count_in(session, frame->op);
    shard_reply(session->shard, &reply,
                &(struct answer){.code = frame->key.bytes ? TORC_E_MALFORMED : 0, .value = frame->value});
}

static void handle_scan(struct session *session, const struct frame *frame)
{
    struct reply reply = reply_of(session, frame);
    struct arrival arrival = {.at_ns = session->arrived_ns};
    count_in(session, frame->op);
    scan_start(session->shard, &reply, frame, &arrival);
}

/* A sampled request was received when this turn began. */
static void handle_data(struct session *session, const struct frame *frame)
{
    struct shard *s = session->shard;
    struct reply reply = reply_of(session, frame);
    struct arrival arrival = {.at_ns = session->arrived_ns};
    arrival.sampled_ns = stages_is_due(&s->stages) ? reactor_now_ns(s->reactor) : 0;
    count_in(session, frame->op);
    requests_add(s, &reply, frame, &arrival);
}

/* HELLO, PING, SCAN, INFO and BATCH are checked here; requests for a key where they are run. */
static bool is_intact(const struct frame *frame)
{
    uint64_t checksum = frame->op == FRAME_BATCH ? 0 : checksum_record(frame->key, frame->value);
    return frame_is_intact(frame, checksum);
}

static void handle_frame(struct session *session, const struct frame *frame)
{
    struct shard *s = session->shard;
    bool is_data = frame->op == FRAME_GET || frame->op == FRAME_PUT || frame->op == FRAME_DELETE ||
                   frame->op == FRAME_EXISTS;
    struct frame_extensions extensions = {.deadline_ms = 0};
    int rc;
    if (session->state == SESSION_OPEN && is_data && !frame->is_response && s->state == SHARD_RUNNING) {
        handle_data(session, frame);
        return;
    }
    if (!is_intact(frame))
        refuse(session, frame, TORC_E_CHECKSUM);
    else if (s->state != SHARD_RUNNING) /* to a hello and to what was sent behind it */
        refuse(session, frame, TORC_E_SHUTTING_DOWN);
    else if (session->state == SESSION_HELLO && (frame->op != FRAME_HELLO || frame->is_response))
        refuse(session, frame, TORC_E_HELLO_REQUIRED);
    else if (frame->is_response || (session->state != SESSION_HELLO && frame->op == FRAME_HELLO))
        refuse(session, frame, TORC_E_MALFORMED);
    else if (frame->op == FRAME_HELLO)
        handle_hello(session, frame);
    else if (frame->extensions.bytes > 0 && (rc = shard_parse_extensions(frame->extensions, &extensions)))
        refuse(session, frame, rc);
    else if (frame->op == FRAME_PING)
        handle_ping(session, frame);
    else if (frame->op == FRAME_SCAN)
        handle_scan(session, frame);
    else if (frame->op == FRAME_INFO) {
        struct reply reply = reply_of(session, frame);
        count_in(session, frame->op);
        info_start(s, &reply, frame->key);
    } else if (frame->op == FRAME_ADMIN) {
        struct reply reply = reply_of(session, frame);
        struct arrival arrival = {.at_ns = session->arrived_ns};
        count_in(session, frame->op);
        admin_start(s, &reply, frame, &arrival);
    } else if (frame->op == FRAME_BATCH) {
        struct reply reply = reply_of(session, frame);
        count_in(session, frame->op);
        batch_start(s, &reply, frame, shard_deadline_ns(s, session->arrived_ns, extensions.deadline_ms));
    } else
        refuse(session, frame, TORC_E_UNKNOWN_OPERATION);
}

/* ---- bytes ---- */

static bool takes_frames(const struct session *session)
{
    return (session->state == SESSION_HELLO || session->state == SESSION_OPEN) && !session_is_full(session);
}

/* Handles the whole frames at the front of `bytes`. Returns: the bytes used, or an error code when the
 * lengths lie; *needed is how many bytes the frame that is not whole wants. What is left is less than a
 * frame, or the session takes no frames now. */
static int64_t consume(struct session *session, struct slice bytes, size_t *needed)
{
    size_t used = 0;
    int rc = 1;
    *needed = 0;
    while (rc == 1 && takes_frames(session)) {
        struct frame frame;
        while (takes_frames(session)) {
            rc =
                frame_parse(slice_of(bytes.data + used, bytes.bytes - used), FRAME_BYTES_MAX, &frame, needed);
            if (rc <= 0)
                break;
            used += frame.length;
            handle_frame(session, &frame);
        }
        requests_run(session->shard); /* may answer so much that there is room for more */
    }
    return rc < 0 ? rc : (int64_t)used;
}

/* The stream cannot be trusted any more: says why and takes no more of it. The request id is not known. */
static void refuse_stream(struct session *session, int code)
{
    struct frame frame = {0};
    MARK(a_stream_of_bytes_is_refused);
    refuse(session, &frame, code);
    session_begin_close(session);
}

/* Completes the carried frame from the front of *bytes and handles it. */
static int continue_carried(struct session *session, struct slice *bytes)
{
    struct frame frame;
    size_t needed;
    while (session->carry_bytes > 0 && bytes->bytes > 0 && takes_frames(session)) {
        int rc =
            frame_parse(slice_of(session->carry, session->carry_bytes), FRAME_BYTES_MAX, &frame, &needed);
        ASSERT(rc <= 0); /* whole frames wait there only while the session is full */
        if (rc < 0)
            return rc;
        size_t missing = needed - session->carry_bytes;
        size_t piece = bytes->bytes < missing ? bytes->bytes : missing;
        rc = carry_append(session, slice_of(bytes->data, piece), needed);
        if (rc)
            return rc;
        *bytes = slice_of(bytes->data + piece, bytes->bytes - piece);
        int64_t used = consume(session, slice_of(session->carry, session->carry_bytes), &needed);
        if (used < 0)
            return (int)used;
        if (used > 0) {
            ASSERT((size_t)used == session->carry_bytes);
            carry_release(session);
        }
    }
    return 0;
}

/* Requests wait behind frames that wait already; and while there is no memory for answers, as long as there
 * is some for them: one turn may bring those of thousands of connections. */
static bool must_wait(const struct session *session, size_t bytes)
{
    const struct shard *s = session->shard;
    bool has_frames = session->is_paused && session->carry_bytes > 0;
    bool is_over = sessions_are_over_budget(s) || batches_are_over_budget(s);
    bool is_short = session->is_paused || is_over || s->memory.is_short;
    bool has_room = s->sessions.carry_bytes + bytes + CARRY_POOLED_BYTES <= s->memory.plan.carry_bytes_max;
    bool may_wait = s->state == SHARD_RUNNING && has_room;
    return session->state == SESSION_OPEN && (has_frames || (is_short && may_wait));
}

static void take_bytes(struct session *session, struct slice bytes)
{
    size_t needed = 0;
    bool waits = must_wait(session, bytes.bytes);
    session->arrived_ns = reactor_now_ns(session->shard->reactor);
    int64_t rc = session->carry_bytes > 0 && !waits ? continue_carried(session, &bytes) : 0;
    if (rc == 0 && bytes.bytes > 0 && session->carry_bytes == 0 && !waits) {
        rc = consume(session, bytes, &needed);
        if (rc >= 0)
            bytes = slice_of(bytes.data + rc, bytes.bytes - (size_t)rc);
    }
    if (rc >= 0 && bytes.bytes > 0 && session->state != SESSION_CLOSING)
        rc = carry_append(session, bytes, needed);
    if (rc < 0)
        refuse_stream(session, (int)rc);
    if (session_is_full(session) || shard_is_congested(session->shard))
        session_pause(session);
    if (session->is_paused)
        session_expire(session, session->arrived_ns);
}

/* ---- frames that have waited in the carry buffer ---- */

/* The first `used` bytes have been handled. */
static void carry_drop(struct session *session, size_t used)
{
    if (used == session->carry_bytes) {
        carry_release(session);
        return;
    }
    memmove(session->carry, session->carry + used, session->carry_bytes - used);
    session->carry_bytes -= (uint32_t)used;
    session->first_bytes -= used < session->first_bytes ? (uint32_t)used : session->first_bytes;
}

void session_continue(struct session *session)
{
    size_t needed;
    if (session->carry_bytes == 0 || session->state == SESSION_CLOSING || session_is_full(session))
        return;
    session->arrived_ns = session->first_ns; /* they have waited since, and their time ran */
    int64_t used = consume(session, slice_of(session->carry, session->first_bytes), &needed);
    session->arrived_ns = session->carried_ns;
    int64_t more =
        used < 0
            ? used
            : consume(session, slice_of(session->carry + used, session->carry_bytes - (size_t)used), &needed);
    if (more < 0)
        refuse_stream(session, (int)more);
    else
        carry_drop(session, (size_t)(used + more));
    session_expire(session, reactor_now_ns(session->shard->reactor));
}

/* DEADLINE_NONE for what is no request, too. */
static uint64_t carried_deadline_ns(const struct session *session, const struct frame *frame, size_t end)
{
    struct frame_extensions extensions = {.deadline_ms = 0};
    uint64_t at_ns = end <= session->first_bytes ? session->first_ns : session->carried_ns;
    if (frame->is_response ||
        (frame->extensions.bytes > 0 && frame_extensions_parse(frame->extensions, &extensions) != 0))
        return DEADLINE_NONE;
    uint64_t deadline_ns = shard_deadline_ns(session->shard, at_ns, extensions.deadline_ms);
    return deadline_ns ? deadline_ns : DEADLINE_NONE;
}

/* How much of the bytes from `begin` to `end` is before `limit`. */
static size_t bytes_before(size_t limit, size_t begin, size_t end)
{
    if (begin >= limit)
        return 0;
    return (end < limit ? end : limit) - begin;
}

/* What is kept moves to the front. Nothing behind a frame that is not intact can be trusted. */
void session_expire(struct session *session, uint64_t now_ns)
{
    struct frame frame;
    size_t needed, at = 0, kept = 0;
    uint32_t first_bytes = session->first_bytes;
    bool ends = session->shard->state != SHARD_RUNNING;
    session->deadline_ns = DEADLINE_NONE;
    while (session->state == SESSION_OPEN && at < session->carry_bytes &&
           frame_parse(slice_of(session->carry + at, session->carry_bytes - at), FRAME_BYTES_MAX, &frame,
                       &needed) == 1) {
        uint64_t deadline_ns = carried_deadline_ns(session, &frame, at + frame.length);
        bool is_over = ends || deadline_ns <= now_ns;
        if (is_over && !is_intact(&frame))
            break;
        if (is_over) {
            if (ends)
                MARK(a_frame_that_waits_in_a_full_connection_is_refused_at_the_end);
            else
                MARK(a_frame_that_waits_in_a_full_connection_is_answered_by_its_deadline);
            refuse(session, &frame, ends ? TORC_E_SHUTTING_DOWN : TORC_E_TIMEOUT);
            first_bytes -= (uint32_t)bytes_before(session->first_bytes, at, at + frame.length);
        } else {
            if (deadline_ns < session->deadline_ns)
                session->deadline_ns = deadline_ns;
            memmove(session->carry + kept, session->carry + at, frame.length);
            kept += frame.length;
        }
        at += frame.length;
    }
    if (at > kept)
        memmove(session->carry + kept, session->carry + at, session->carry_bytes - at);
    session->carry_bytes -= (uint32_t)(at - kept);
    session->first_bytes = first_bytes;
    ASSERT(first_bytes <= session->carry_bytes);
    if (session->carry && session->carry_bytes == 0)
        carry_release(session);
    deadlines_note(&session->shard->deadlines, session->deadline_ns);
}

static void on_data(void *owner, struct slice bytes)
{
    struct session *session = owner;
    struct shard *s = session->shard;
    if (session->state == SESSION_CLOSING)
        return; /* nor is it a sign that the client reads its answers */
    session->progress_ns = reactor_now_ns(s->reactor);
    if (session->state == SESSION_HANDING_OVER) {
        /* It was told to wait for the answer. What it sent all the same goes along; too much of it ends
         * the connection: a stream with a hole in it must not reach the other side. */
        if (session->carry_bytes + bytes.bytes > FRAME_BYTES_MAX || carry_append(session, bytes, 0) != 0)
            session->is_broken = true;
        return;
    }
    take_bytes(session, bytes);
}

/* The peer has closed its side, and still gets what it asked for; or the connection failed, and answers
 * that are on their way find no one. */
static void on_end(void *owner, int reason)
{
    struct session *session = owner;
    if (session->state == SESSION_HANDING_OVER)
        return; /* on_detached hears of it, too */
    session->is_ended = reason == TORC_E_CLOSED;
    if (session->is_ended && session->is_paused && session->carry_bytes > 0)
        return; /* closed when it is resumed, with its last frames handled */
    if (session->is_ended && (session->in_flight > 0 || session->output.bytes > 0))
        session_begin_close(session);
    else
        session_close(session);
}

static const struct socket_handlers session_handlers = {
    .on_data = on_data,
    .on_sent = session_on_sent,
    .on_end = on_end,
};

void session_accept(void *context, struct socket *socket)
{
    struct shard *s = context;
    struct session *session = s->state == SHARD_RUNNING ? session_open(s, socket) : NULL;
    if (!session) {
        MARK(a_connection_is_refused);
        s->counters.refused++;
        socket_close(socket, NULL);
        return;
    }
    s->counters.accepted++;
    socket_start(socket, &session_handlers, session);
}

void session_attach(struct shard *s, struct handover *h)
{
    struct socket *socket;
    reactor_adopt(s->reactor, h);
    hlc_observe(&s->clock, h->clock);
    int rc = socket_attach(s->reactor, h->handle, &socket); /* takes the handle even when it fails */
    if (rc == 0) {
        struct session *session = s->state == SHARD_CLOSING ? NULL : session_open(s, socket);
        if (session) {
            socket_start(socket, &session_handlers, session);
            answer_hello(session, h->hello_id);
            if (h->bytes)
                MARK(bytes_come_with_a_connection_that_is_handed_over);
            if (h->bytes)
                take_bytes(session, slice_of(h->data, h->bytes));
        } else {
            MARK(a_connection_is_refused_by_the_core_it_asked_for);
            s->counters.refused++;
            socket_close(socket, NULL);
        }
    }
    reactor_free(s->reactor, h);
}
