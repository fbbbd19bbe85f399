/* questions.c - what a client of a history asks; see questions.h. */
#include "test/sim/questions.h"

#include <stdio.h>

enum {
    NS_PER_MS = 1000000,
    VALUE_BYTES_USUAL = 200,
    ECHO_BYTES_MAX = 128 << 10,
    LONG_LIFE_MS = 2000000000, /* longer than all clocks together jump */
};

static const uint64_t PAUSE_NS_MAX = 12000ull * NS_PER_MS;

/* ---- requests ---- */

/* Small ones, mostly: not to hide how requests are gathered. */
static uint32_t draw_value_bytes(struct talker *t)
{
    uint64_t kind = talker_below(t, 20);
    uint64_t bytes_max = kind == 0 ? SERVER_VALUE_BYTES_MAX : kind < 4 ? 4096 : VALUE_BYTES_USUAL;
    return (uint32_t)sim_dice_between(&t->dice, REGISTER_VALUE_BYTES_MIN, bytes_max);
}

static uint32_t draw_deadline_ms(struct talker *t)
{
    static const uint32_t deadlines_ms[] = {20, 100, 400, 1500};
    uint64_t draw = talker_below(t, 12);
    return draw < ARRAY_COUNT(deadlines_ms) ? deadlines_ms[draw] : 0;
}

static struct slice encode_extensions(struct ask *ask, struct talker *t, uint32_t deadline_ms, uint32_t limit,
                                      uint8_t to[FRAME_EXTENSION_BYTES_MAX])
{
    struct frame_extensions e = {.deadline_ms = deadline_ms, .limit = limit};
    bool lives_long = ask->op == FRAME_PUT && talker_below(t, 8) == 0;
    if (lives_long)
        e.expiry_ms = LONG_LIFE_MS;
    ask->deadline_ms =
        deadline_ms ? deadline_ms : (uint32_t)t->asks.server->server.options.request_timeout_ms;
    return deadline_ms || limit || lives_long ? slice_of(to, frame_extensions_encode(to, &e))
                                              : slice_of(NULL, 0);
}

/* One request for a key: its frame is handed to `take`. `bytes` is 0 for all but a put. */
struct key_request {
    uint8_t op;
    uint32_t key;
    uint32_t value_bytes;
    uint32_t deadline_ms;
};

static struct key_request draw_key_request(struct talker *t)
{
    static const uint8_t ops[] = {FRAME_PUT, FRAME_PUT, FRAME_PUT, FRAME_PUT,    FRAME_GET,
                                  FRAME_GET, FRAME_GET, FRAME_GET, FRAME_DELETE, FRAME_EXISTS};
    struct key_request q = {
        .op = ops[talker_below(t, ARRAY_COUNT(ops))],
        .key = (uint32_t)talker_below(t, t->asks.server->registers.key_count),
        .deadline_ms = draw_deadline_ms(t),
    };
    if (q.op == FRAME_PUT)
        q.value_bytes = draw_value_bytes(t);
    return q;
}

/* Remembers the request and encodes its frame behind what is in `to`. Returns: its place, or null. */
static struct ask *add_key_request(struct talker *t, const struct key_request *q, struct client_bytes *to)
{
    struct registers *g = &t->asks.server->registers;
    uint64_t now_ns = reactor_now_ns(t->reactor);
    struct ask *ask = asks_new(&t->asks, q->op, now_ns);
    char key[REGISTER_KEY_BYTES_MAX];
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    uint8_t *value = reactor_alloc(t->reactor, SERVER_VALUE_BYTES_MAX);
    if (!ask || !value) {
        reactor_free(t->reactor, value);
        return NULL;
    }
    struct frame_parts parts = {.op = q->op, .request_id = ask->id, .key = registers_key(g, q->key, key)};
    parts.extensions = encode_extensions(ask, t, q->deadline_ms, 0, extensions);
    ask->key = q->key;
    if (q->op == FRAME_PUT) {
        ask->write = registers_write(g, q->key, q->value_bytes, now_ns);
        parts.value = registers_value(g, ask->write, value);
    } else if (q->op == FRAME_DELETE) {
        ask->write = registers_delete(g, q->key, now_ns);
    } else if (q->op == FRAME_GET && talker_below(t, 2)) {
        parts.flags = ask->flags = FRAME_WANT_VERSION;
    }
    t->asks.service->tally->writes += q->op == FRAME_PUT || q->op == FRAME_DELETE;
    parts.record_checksum = checksum_record(parts.key, parts.value);
    ASSERT(to->bytes + frame_bytes(&parts) <= to->capacity);
    to->bytes += frame_encode(to->data + to->bytes, &parts);
    reactor_free(t->reactor, value);
    return ask;
}

enum { REQUEST_BYTES_MAX = SERVER_VALUE_BYTES_MAX + 1024 };

static struct client_bytes new_bytes(struct talker *t, size_t capacity)
{
    struct client_bytes b = {.data = reactor_alloc(t->reactor, capacity), .capacity = capacity};
    ASSERT(b.data);
    return b;
}

void question_get(struct talker *t, uint32_t key)
{
    struct client_bytes b = new_bytes(t, REQUEST_BYTES_MAX);
    struct key_request q = {.op = FRAME_GET, .key = key};
    if (add_key_request(t, &q, &b))
        client_send_bytes(&t->client, slice_of(b.data, b.bytes));
    reactor_free(t->reactor, b.data);
}

void question_key(struct talker *t)
{
    struct client_bytes b = new_bytes(t, REQUEST_BYTES_MAX);
    struct key_request q = draw_key_request(t);
    if (add_key_request(t, &q, &b))
        client_send_bytes(&t->client, slice_of(b.data, b.bytes));
    reactor_free(t->reactor, b.data);
}

/* Its parts end with it, so they have its deadline for what they say themselves. */
static void ask_for_batch(struct talker *t)
{
    unsigned count = (unsigned)talker_below(t, ASK_PARTS_MAX + 1);
    if (t->asks.count + count + 1 > ASKS_MAX)
        return;
    struct client_bytes b = new_bytes(t, ASK_PARTS_MAX * REQUEST_BYTES_MAX);
    struct ask *batch = asks_new(&t->asks, FRAME_BATCH, reactor_now_ns(t->reactor));
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    struct frame_parts parts = {.op = FRAME_BATCH, .request_id = batch->id};
    parts.extensions = encode_extensions(batch, t, draw_deadline_ms(t), 0, extensions);
    for (unsigned i = 0; i < count; i++) {
        struct key_request q = draw_key_request(t);
        struct ask *part = add_key_request(t, &q, &b);
        ASSERT(part);
        part->is_part = true;
        if (part->deadline_ms == 0 || (batch->deadline_ms && batch->deadline_ms < part->deadline_ms))
            part->deadline_ms = batch->deadline_ms;
        batch->parts[batch->part_count++] = (uint8_t)(part - t->asks.places);
    }
    parts.value = slice_of(b.data, b.bytes);
    client_send(&t->client, &parts);
    reactor_free(t->reactor, b.data);
}

static void send_plain(struct talker *t, struct ask *ask, struct slice key, struct slice value,
                       uint32_t limit)
{
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    struct frame_parts parts = {.op = ask->op, .flags = ask->flags, .request_id = ask->id};
    parts.key = key;
    parts.value = value;
    parts.extensions = encode_extensions(ask, t, draw_deadline_ms(t), limit, extensions);
    parts.record_checksum = checksum_record(parts.key, parts.value);
    client_send(&t->client, &parts);
}

void question_page(struct talker *t)
{
    struct ask_scan *scan = &t->asks.scan;
    struct ask *ask = asks_new(&t->asks, FRAME_SCAN, reactor_now_ns(t->reactor));
    if (!ask) {
        scan->is_active = false;
        return;
    }
    ask->flags = scan->flags;
    struct slice key = slice_of_string("key-");
    struct slice value = slice_of(scan->cursor, scan->cursor_bytes);
    uint8_t bytes[FRAME_SCAN_VALUE_BYTES_MAX];
    if (scan->flags & FRAME_RANGE) {
        struct frame_scan range = {.to = slice_of(scan->to, scan->to_bytes), .cursor = value};
        key = slice_of(scan->from, scan->from_bytes);
        value = slice_of(bytes, frame_scan_encode(bytes, &range));
    }
    uint32_t limit = (uint32_t)talker_below(t, 3) ? 1 + (uint32_t)talker_below(t, 20) : 0;
    send_plain(t, ask, key, value, limit);
}

/* The key of a register, or no end. */
static uint32_t draw_end(struct talker *t, char to[REGISTER_KEY_BYTES_MAX])
{
    const struct registers *g = &t->asks.server->registers;
    if (talker_below(t, 4) == 0)
        return 0;
    char memory[REGISTER_KEY_BYTES_MAX];
    struct slice key = registers_key(g, (uint32_t)talker_below(t, g->key_count), memory);
    memcpy(to, key.data, key.bytes);
    return (uint32_t)key.bytes;
}

void question_scan(struct talker *t)
{
    struct ask_scan *scan = &t->asks.scan;
    if (scan->is_active)
        return;
    scan->is_active = true;
    scan->begin_ns = reactor_now_ns(t->reactor);
    scan->flags = talker_below(t, 3) == 0 ? FRAME_KEYS_ONLY : 0;
    scan->flags |= talker_below(t, 2) == 0 ? FRAME_REVERSE : 0;
    scan->flags |= talker_below(t, 2) == 0 ? FRAME_ORDERED : 0;
    scan->flags |= talker_below(t, 3) == 0 ? FRAME_RANGE : 0;
    scan->flags |= t->asks.sequence % 3 == 0 ? FRAME_SNAPSHOT : 0;
    scan->view_ns = 0;
    scan->page_ns = scan->begin_ns;
    scan->run = t->asks.server->server.starts;
    scan->from_bytes = draw_end(t, scan->from);
    scan->to_bytes = draw_end(t, scan->to);
    scan->last_key = t->asks.server->registers.key_count;
    scan->cursor_bytes = 0;
    memset(scan->seen, 0, t->asks.server->registers.key_count);
    question_page(t);
}

static void ask_plainly(struct talker *t, uint8_t op)
{
    struct ask *ask = asks_new(&t->asks, op, reactor_now_ns(t->reactor));
    if (ask)
        send_plain(t, ask, slice_of(NULL, 0), slice_of(NULL, 0), 0);
}

/* Much at once: more than the server keeps for one connection or for answers not read, or its log takes. */
static void flood_with_pings(struct talker *t)
{
    t->asks.server->has_unread = true;
    uint32_t bytes = (uint32_t)talker_below(t, ECHO_BYTES_MAX);
    uint8_t *echo = reactor_alloc(t->reactor, ECHO_BYTES_MAX);
    struct ask *ask;
    ASSERT(echo);
    memset(echo, ASK_ECHO, bytes);
    for (uint64_t i = 4 + talker_below(t, 24); i > 0; i--) {
        ask = asks_new(&t->asks, FRAME_PING, reactor_now_ns(t->reactor));
        if (!ask)
            break;
        ask->echo_bytes = bytes;
        send_plain(t, ask, slice_of(NULL, 0), slice_of(echo, bytes), 0);
    }
    reactor_free(t->reactor, echo);
}

static void flood_with_puts(struct talker *t)
{
    t->asks.server->was_flooded = true;
    struct client_bytes b = new_bytes(t, REQUEST_BYTES_MAX);
    for (uint64_t i = 4 + talker_below(t, 40); i > 0; i--) {
        struct key_request q = {.op = FRAME_PUT, .deadline_ms = draw_deadline_ms(t)};
        q.key = (uint32_t)talker_below(t, t->asks.server->registers.key_count);
        q.value_bytes =
            (uint32_t)sim_dice_between(&t->dice, REGISTER_VALUE_BYTES_MIN, SERVER_VALUE_BYTES_MAX);
        b.bytes = 0;
        if (add_key_request(t, &q, &b))
            client_send_bytes(&t->client, slice_of(b.data, b.bytes));
    }
    reactor_free(t->reactor, b.data);
}

/* ---- misbehaviour ---- */

/* Requests that are understood and refused. */
static void ask_wrongly(struct talker *t)
{
    static const struct wrong {
        uint8_t op;
        uint16_t key_bytes;
        uint16_t value_bytes;
        uint8_t extension;
        int expected;
    } wrongs[] = {
        {FRAME_GET, 0, 0, 0, TORC_E_KEY_EMPTY},
        {FRAME_PUT, KEY_BYTES_MAX + 1, 4, 0, TORC_E_KEY_TOO_LONG},
        {FRAME_PUT, 4, SERVER_VALUE_BYTES_MAX + 1, 0, TORC_E_VALUE_TOO_LARGE},
        {FRAME_DELETE, 4, 4, 0, TORC_E_MALFORMED},
        {FRAME_GET, 4, 0, FRAME_EXT_NAMESPACE, TORC_E_NAMESPACE_UNKNOWN},
        {FRAME_DELETE, 4, 0, FRAME_EXT_EXPIRY_MS, TORC_E_MALFORMED},
        {FRAME_SCAN, 4, 1, 0, TORC_E_MALFORMED},
        {FRAME_INFO, 4, 0, 0, TORC_E_MALFORMED},
        {FRAME_BATCH, 0, 30, 0, TORC_E_MALFORMED},
        {77, 4, 4, 0, TORC_E_UNKNOWN_OPERATION},
    };
    const struct wrong *w = &wrongs[talker_below(t, ARRAY_COUNT(wrongs))];
    struct ask *ask = asks_new(&t->asks, w->op, reactor_now_ns(t->reactor));
    uint8_t *bytes = reactor_alloc_zeroed(t->reactor, REQUEST_BYTES_MAX);
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    struct frame_extensions e = {.expiry_ms = w->extension == FRAME_EXT_EXPIRY_MS};
    ASSERT(bytes);
    if (w->extension == FRAME_EXT_NAMESPACE)
        e.namespace_name = slice_of_string("other");
    if (ask) {
        ask->expected = w->expected;
        ask->deadline_ms = (uint32_t)t->asks.server->server.options.request_timeout_ms;
        struct frame_parts parts = {.op = w->op, .request_id = ask->id};
        parts.key = slice_of(bytes, w->key_bytes);
        parts.value = slice_of(bytes, w->value_bytes);
        parts.extensions = slice_of(extensions, w->extension ? frame_extensions_encode(extensions, &e) : 0);
        parts.record_checksum = w->op == FRAME_BATCH ? 0 : checksum_record(parts.key, parts.value);
        client_send(&t->client, &parts);
    }
    reactor_free(t->reactor, bytes);
}

/* A put whose check is wrong does nothing; bytes at random are no frame, mostly. */
static void send_garbage(struct talker *t)
{
    struct registers *g = &t->asks.server->registers;
    struct client_bytes b = new_bytes(t, REQUEST_BYTES_MAX);
    struct key_request q = {.op = FRAME_PUT, .value_bytes = 20};
    t->asks.is_poisoned = true;
    switch (talker_below(t, 3)) {
    case 0:
        for (b.bytes = 0; b.bytes < 100; b.bytes++)
            b.data[b.bytes] = (uint8_t)talker_below(t, 256);
        break;
    case 1: {
        struct ask *ask = add_key_request(t, &q, &b);
        if (ask) {
            /* of the value: with another request's id the answer would be taken for that one's */
            b.data[b.bytes - 1 - talker_below(t, q.value_bytes)] ^= (uint8_t)(1 + talker_below(t, 255));
            registers_answered(g, ask->write, TORC_E_CHECKSUM, reactor_now_ns(t->reactor), 0);
            ask->id = 0;
            t->asks.count--;
        }
        break;
    }
    default: { /* half a frame, then the end */
        struct ask *ask = add_key_request(t, &q, &b);
        if (ask) {
            b.bytes = 1 + (size_t)talker_below(t, b.bytes - 1);
            registers_answered(g, ask->write, TORC_E_CHECKSUM, reactor_now_ns(t->reactor), 0);
            ask->id = 0;
            t->asks.count--;
        }
        t->has_quit = true;
    }
    }
    client_send_bytes(&t->client, slice_of(b.data, b.bytes));
    reactor_free(t->reactor, b.data);
}

static void pause_reading(struct talker *t)
{
    uint64_t now_ns = reactor_now_ns(t->reactor);
    t->paused_until_ns = now_ns + talker_below(t, talker_below(t, 3) ? PAUSE_NS_MAX / 10 : PAUSE_NS_MAX);
    client_pause(&t->client);
    if (talker_below(t, 2))
        flood_with_pings(t);
}

/* ---- one of them ---- */

void question_any(struct talker *t)
{
    bool is_tame = t->asks.service->phase != SERVICE_LOAD;
    uint64_t draw = talker_below(t, is_tame ? 900 : 1000);
    if (draw < 780)
        question_key(t);
    else if (draw < 860)
        ask_for_batch(t);
    else if (draw < 896)
        question_scan(t);
    else if (draw < 900)
        flood_with_pings(t);
    else if (draw < 920)
        ask_plainly(t, FRAME_PING);
    else if (draw < 940)
        ask_plainly(t, FRAME_INFO);
    else if (draw < 960)
        pause_reading(t);
    else if (draw < 966)
        send_garbage(t);
    else if (draw < 980)
        ask_wrongly(t);
    else if (draw < 984)
        flood_with_pings(t);
    else if (draw < 992 && t->asks.service->may_flood)
        flood_with_puts(t);
    if (draw >= 990) /* with what was asked under way */
        t->has_quit = true;
}
