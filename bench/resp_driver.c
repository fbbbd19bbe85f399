/* resp_driver.c - redis as a target: pipelined GET, SET and DEL over RESP2.
 *
 * Replies of a connection come in the order of its requests, so each connection has a queue of the slots it
 * has asked for, of at most `depth`. */
#include "bench/clock.h"
#include "bench/driver.h"
#include "bench/links.h"
#include "bench/resp.h"

#include <stdlib.h>

struct slot_queue {
    uint32_t first;
    uint32_t count;
};

struct resp_driver {
    struct driver head;
    struct driver_options options;
    struct links *links;
    struct slot_queue *queues; /* one a connection */
    uint32_t *slots;           /* `depth` for each queue */
};

static uint32_t *queue_at(struct resp_driver *r, uint32_t link, uint32_t position)
{
    uint32_t depth = r->options.depth;
    uint32_t at = r->queues[link].first + position;
    return &r->slots[(size_t)link * depth + (at >= depth ? at - depth : at)];
}

static uint32_t queue_take(struct resp_driver *r, uint32_t link)
{
    struct slot_queue *q = &r->queues[link];
    ASSERT(q->count > 0);
    uint32_t slot = *queue_at(r, link, 0);
    q->first = q->first + 1 == r->options.depth ? 0 : q->first + 1;
    q->count--;
    return slot;
}

static struct driver_reply reply_of(const struct resp_reply *from)
{
    switch (from->kind) {
    case RESP_STRING:
    case RESP_INTEGER:
        return (struct driver_reply){.code = 0};
    case RESP_BULK:
        return (struct driver_reply){.code = 0, .value = from->text};
    case RESP_NULL:
        return (struct driver_reply){.code = TORC_E_NOT_FOUND};
    case RESP_ERROR:
        break;
    }
    return (struct driver_reply){.code = DRIVER_E_REPLY};
}

static int64_t on_bytes(void *owner, uint32_t link, struct slice bytes, uint64_t now_ns)
{
    struct resp_driver *r = owner;
    size_t used = 0;
    while (used < bytes.bytes) {
        struct resp_reply parsed;
        int64_t took = resp_parse(slice_of(bytes.data + used, bytes.bytes - used), &parsed);
        if (took < 0)
            return took;
        if (took == 0)
            break;
        if (r->queues[link].count == 0)
            return TORC_E_MALFORMED; /* an answer that nobody asked for */
        used += (size_t)took;
        struct driver_reply reply = reply_of(&parsed);
        reply.slot = queue_take(r, link);
        reply.now_ns = now_ns;
        r->options.on_reply(r->options.owner, &reply);
    }
    return (int64_t)used;
}

static void on_lost(void *owner, uint32_t link, int code, uint64_t now_ns)
{
    struct resp_driver *r = owner;
    for (uint32_t left = r->queues[link].count; left > 0; left--) {
        struct driver_reply reply = {.slot = queue_take(r, link), .code = code, .now_ns = now_ns};
        r->options.on_reply(r->options.owner, &reply);
    }
}

static void resp_close(struct driver *d)
{
    struct resp_driver *r = CONTAINER_OF(d, struct resp_driver, head);
    if (r->links)
        links_close(r->links);
    free(r->queues);
    free(r->slots);
    free(r);
}

static int resp_open(const struct driver_options *options, struct driver **out, char *why, size_t why_bytes)
{
    struct resp_driver *r = calloc(1, sizeof *r);
    if (!r)
        return TORC_E_NO_MEMORY;
    r->head.class = &driver_redis;
    r->options = *options;
    r->queues = calloc(options->connections, sizeof r->queues[0]);
    r->slots = calloc((size_t)options->connections * options->depth, sizeof r->slots[0]);
    struct links_options links = {
        .host = options->host,
        .port = options->port,
        .count = options->connections,
        .timeout_ms = options->timeout_ms,
        .on_bytes = on_bytes,
        .on_lost = on_lost,
        .owner = r,
    };
    int rc = r->queues && r->slots ? links_open(&links, &r->links, why, why_bytes) : TORC_E_NO_MEMORY;
    if (rc)
        resp_close(&r->head);
    else
        *out = &r->head;
    return rc;
}

static size_t put_text(uint8_t *to, const char *text, size_t bytes)
{
    memcpy(to, text, bytes);
    return bytes;
}

#define PUT_LITERAL(to, text) put_text(to, text, sizeof(text) - 1)

static size_t encode(uint8_t *to, const struct driver_request *q)
{
    size_t at = 0;
    switch (q->op) {
    case OPERATION_GET:
        at = PUT_LITERAL(to, "*2\r\n$3\r\nGET\r\n");
        break;
    case OPERATION_DELETE:
        at = PUT_LITERAL(to, "*2\r\n$3\r\nDEL\r\n");
        break;
    case OPERATION_PUT:
    case OPERATION_INSERT:
        at = PUT_LITERAL(to, "*3\r\n$3\r\nSET\r\n");
        break;
    case OPERATION_SCAN:
    case OPERATION_MODIFY:
    case OPERATION_COUNT:
        ASSERT(q->op == OPERATION_GET); /* the others were refused with the options */
    }
    at += resp_put_bulk(to + at, q->key);
    if (q->op == OPERATION_PUT || q->op == OPERATION_INSERT)
        at += resp_put_bulk(to + at, q->value);
    return at;
}

enum { HEAD_BYTES = 16 };

static int resp_send(struct driver *d, uint32_t slot, const struct driver_request *q)
{
    struct resp_driver *r = CONTAINER_OF(d, struct resp_driver, head);
    uint32_t link = slot / r->options.depth;
    ASSERT(link < r->options.connections && r->queues[link].count < r->options.depth);
    uint8_t *to =
        links_reserve(r->links, link, HEAD_BYTES + 2 * RESP_BULK_OVERHEAD + q->key.bytes + q->value.bytes);
    if (!to)
        return TORC_E_NO_MEMORY;
    *queue_at(r, link, r->queues[link].count) = slot;
    r->queues[link].count++;
    links_commit(r->links, link, encode(to, q));
    return 0;
}

static int resp_poll(struct driver *d, uint64_t timeout_ns)
{
    return links_poll(CONTAINER_OF(d, struct resp_driver, head)->links, timeout_ns);
}

static uint64_t resp_clock(struct driver *d)
{
    (void)d;
    return clock_now_ns();
}

static int resp_info(struct driver *d, const char *section, char **text)
{
    (void)d, (void)section, (void)text;
    return TORC_E_UNSUPPORTED;
}

const struct driver_class driver_redis = {
    .name = "redis",
    .has_scan = false,
    .open = resp_open,
    .close = resp_close,
    .send = resp_send,
    .poll = resp_poll,
    .clock = resp_clock,
    .info = resp_info,
};
