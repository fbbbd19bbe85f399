/* null_driver.c - a target that answers at once: what is left is the cost of the load generator itself.
 *
 * What was sent since the last poll is answered in the next one, in order. Gets are answered with an empty
 * value. */
#include "bench/clock.h"
#include "bench/driver.h"

#include <stdlib.h>

struct null_driver {
    struct driver head;
    driver_reply_fn *on_reply;
    void *owner;
    uint32_t capacity;
    uint32_t sent; /* in `slots` */
    uint32_t *slots;
    uint32_t *answering;
};

static void null_close(struct driver *d)
{
    struct null_driver *n = CONTAINER_OF(d, struct null_driver, head);
    free(n->slots);
    free(n->answering);
    free(n);
}

static int null_open(const struct driver_options *options, struct driver **out, char *why, size_t why_bytes)
{
    (void)why, (void)why_bytes;
    struct null_driver *n = calloc(1, sizeof *n);
    if (!n)
        return TORC_E_NO_MEMORY;
    n->head.class = &driver_null;
    n->on_reply = options->on_reply;
    n->owner = options->owner;
    n->capacity = options->connections * options->depth;
    n->slots = calloc(n->capacity, sizeof n->slots[0]);
    n->answering = calloc(n->capacity, sizeof n->answering[0]);
    if (!n->slots || !n->answering) {
        null_close(&n->head);
        return TORC_E_NO_MEMORY;
    }
    *out = &n->head;
    return 0;
}

static int null_send(struct driver *d, uint32_t slot, const struct driver_request *request)
{
    (void)request;
    struct null_driver *n = CONTAINER_OF(d, struct null_driver, head);
    ASSERT(n->sent < n->capacity);
    n->slots[n->sent++] = slot;
    return 0;
}

static uint64_t null_clock(struct driver *d)
{
    (void)d;
    return clock_now_ns();
}

static int null_poll(struct driver *d, uint64_t timeout_ns)
{
    struct null_driver *n = CONTAINER_OF(d, struct null_driver, head);
    uint32_t count = n->sent;
    if (count == 0 && timeout_ns > 0) {
        struct timespec t = {.tv_nsec = (long)(timeout_ns % 1000000000u)};
        nanosleep(&t, NULL);
    }
    uint32_t *answering = n->slots;
    n->slots = n->answering;
    n->answering = answering;
    n->sent = 0;
    uint64_t now_ns = clock_now_ns();
    for (uint32_t i = 0; i < count; i++)
        n->on_reply(n->owner, &(struct driver_reply){.slot = answering[i], .now_ns = now_ns});
    return 0;
}

static int null_info(struct driver *d, const char *section, char **text)
{
    (void)d, (void)section, (void)text;
    return TORC_E_UNSUPPORTED;
}

const struct driver_class driver_null = {
    .name = "null",
    .has_scan = true,
    .open = null_open,
    .close = null_close,
    .send = null_send,
    .poll = null_poll,
    .clock = null_clock,
    .info = null_info,
};
