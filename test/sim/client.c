/* client.c - one connection to a server; see client.h. */
#include "test/sim/client.h"

enum { BYTES_FIRST = 4096 };

/* ---- bytes ---- */

static void append(struct client *c, struct client_bytes *b, struct slice bytes)
{
    if (b->bytes + bytes.bytes > b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : BYTES_FIRST;
        while (capacity < b->bytes + bytes.bytes)
            capacity *= 2;
        uint8_t *grown = reactor_realloc(c->reactor, b->data, capacity);
        ASSERT(grown);
        b->data = grown;
        b->capacity = capacity;
    }
    if (bytes.bytes)
        memcpy(b->data + b->bytes, bytes.data, bytes.bytes);
    b->bytes += bytes.bytes;
}

static void drop_front(struct client_bytes *b, size_t bytes)
{
    ASSERT(bytes <= b->bytes);
    b->bytes -= bytes;
    memmove(b->data, b->data + bytes, b->bytes);
}

static void flush(struct client *c)
{
    if (c->is_sending || c->has_ended || !c->socket || c->gathering.bytes == 0)
        return;
    struct client_bytes sent = c->sending;
    c->sending = c->gathering;
    c->gathering = sent;
    c->gathering.bytes = 0;
    c->is_sending = true;
    struct slice part = slice_of(c->sending.data, c->sending.bytes);
    socket_send(c->socket, &part, 1);
}

/* ---- what the socket says ---- */

static void end(struct client *c, int reason)
{
    if (c->has_ended)
        return;
    c->has_ended = true;
    c->handlers->on_end(c->owner, reason);
}

static void on_data(void *owner, struct slice bytes)
{
    struct client *c = owner;
    struct frame frame;
    size_t used = 0, needed;
    int rc = 1;
    if (c->has_ended)
        return;
    if (c->is_sipping)
        client_pause(c);
    append(c, &c->in, bytes);
    while (rc == 1 && !c->has_ended) {
        rc = frame_parse(slice_of(c->in.data + used, c->in.bytes - used), FRAME_RESPONSE_BYTES_MAX, &frame,
                         &needed);
        if (rc == 1) {
            used += frame.length;
            c->handlers->on_frame(c->owner, &frame);
        }
    }
    drop_front(&c->in, used);
    if (rc < 0)
        end(c, TORC_E_FRAME_LENGTH);
}

static void on_sent(void *owner, int result)
{
    struct client *c = owner;
    c->is_sending = false;
    if (result < 0)
        end(c, result);
    flush(c);
}

static void on_end(void *owner, int reason)
{
    end(owner, reason);
}

static const struct socket_handlers socket_calls = {
    .on_data = on_data,
    .on_sent = on_sent,
    .on_end = on_end,
};

/* ---- life ---- */

void client_init(struct client *c, struct reactor *r, const struct client_handlers *handlers, void *owner)
{
    *c = (struct client){.reactor = r, .handlers = handlers, .owner = owner};
}

void client_deinit(struct client *c)
{
    ASSERT(!c->socket);
    reactor_free(c->reactor, c->in.data);
    reactor_free(c->reactor, c->gathering.data);
    reactor_free(c->reactor, c->sending.data);
}

int client_open(struct client *c, const struct address *address, uint64_t timeout_ns)
{
    ASSERT(!c->socket);
    int rc = socket_connect(c->reactor, address, timeout_ns, &c->socket);
    if (rc) {
        c->socket = NULL;
        return rc;
    }
    c->in.bytes = c->gathering.bytes = c->sending.bytes = 0;
    c->is_sending = c->has_ended = c->is_paused = c->is_sipping = false;
    socket_start(c->socket, &socket_calls, c);
    return 0;
}

static void on_closed(void *owner)
{
    struct client *c = owner;
    event_set(c->reactor, &c->closed, 0);
}

void client_close(struct client *c)
{
    if (!c->socket)
        return;
    c->has_ended = true;
    event_init(&c->closed);
    socket_close(c->socket, on_closed);
    int rc = event_wait(c->reactor, &c->closed, EVENT_FOREVER);
    ASSERT(rc == 0);
    c->socket = NULL;
}

/* ---- sending ---- */

void client_send_bytes(struct client *c, struct slice bytes)
{
    if (c->has_ended || !c->socket)
        return;
    append(c, &c->gathering, bytes);
    flush(c);
}

void client_send(struct client *c, const struct frame_parts *parts)
{
    size_t bytes = frame_bytes(parts);
    uint8_t *frame = reactor_alloc(c->reactor, bytes);
    ASSERT(frame);
    frame_encode(frame, parts);
    client_send_bytes(c, slice_of(frame, bytes));
    reactor_free(c->reactor, frame);
}

void client_send_hello(struct client *c, uint64_t request_id, uint16_t core)
{
    uint8_t value[FRAME_HELLO_BYTES];
    frame_hello_encode(value, &(struct frame_hello){.version_min = FRAME_PROTOCOL_VERSION,
                                                    .version_max = FRAME_PROTOCOL_VERSION,
                                                    .core = core});
    struct frame_parts parts = {.op = FRAME_HELLO, .request_id = request_id};
    parts.value = slice_of(value, sizeof value);
    parts.record_checksum = checksum_record(parts.key, parts.value);
    client_send(c, &parts);
}

void client_pause(struct client *c)
{
    if (c->socket && !c->has_ended && !c->is_paused)
        socket_pause(c->socket);
    c->is_paused = true;
    c->is_sipping = false;
}

void client_resume(struct client *c)
{
    if (c->socket && !c->has_ended && c->is_paused)
        socket_resume(c->socket);
    c->is_paused = c->is_sipping = false;
}

void client_sip(struct client *c)
{
    ASSERT(c->is_paused || c->is_sipping);
    client_resume(c);
    c->is_sipping = true;
}

bool client_is_intact(const struct frame *frame, struct slice key)
{
    bool is_record = frame->op == FRAME_GET && frame->flags == 0;
    uint64_t checksum = checksum_record(is_record ? key : slice_of(NULL, 0), frame->value);
    return frame_is_intact(frame, frame->op == FRAME_BATCH ? 0 : checksum);
}
