/* driver.h - what the load loop asks of a target: torc, redis or none.
 *
 * A driver belongs to one thread and runs all its connections from one poll. The loop numbers its requests in
 * flight: slot 0 .. connections * depth - 1; slot s travels on connection s / depth, where the target's
 * library leaves that choice, and carries at most one request at a time. Every request that was taken is
 * answered exactly once, by on_reply from within driver_poll (a lost connection answers its requests with an
 * error); from there the loop may send the next one in the same slot at once.
 *
 *   loop: driver_send* -> driver_poll: flush, wait, receive, {on_reply -> driver_send}*, flush -> loop
 *
 * The clock is the driver's too, so that a test can drive the loop in a time of its own. */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include "bench/workload.h"
#include "reactor/base/assert.h"
#include "reactor/base/error.h"
#include "reactor/base/slice.h"

/* Outcomes beside torc's own codes; see outcome.h for their names. */
enum {
    DRIVER_E_REPLY = -901, /* the server answered with an error of its own */
    DRIVER_E_VALUE = -902, /* the value does not belong to the key (--verify) */
};

struct driver_request {
    enum operation op; /* GET, PUT (INSERT is the same), DELETE or SCAN */
    struct slice key;  /* SCAN: the prefix. Borrowed until driver_send returns. */
    struct slice value;
    uint64_t limit; /* SCAN: entries at most */
};

struct driver_reply {
    uint32_t slot;
    int code;           /* 0, TORC_E_NOT_FOUND, or another error */
    uint64_t now_ns;    /* when its bytes had been received: read once per batch */
    struct slice value; /* GET; borrowed until on_reply returns */
    uint64_t entries;   /* SCAN: that came */
};

typedef void driver_reply_fn(void *owner, const struct driver_reply *reply);

struct driver_options {
    const char *host;
    const char *port;
    uint32_t connections; /* of this driver */
    uint32_t depth;       /* requests in flight per connection */
    uint32_t timeout_ms;  /* to connect */
    driver_reply_fn *on_reply;
    void *owner;
};

struct driver;

/* The functions of a target. */
struct driver_class {
    const char *name;
    bool has_scan;
    int (*open)(const struct driver_options *options, struct driver **out, char *why, size_t why_bytes);
    void (*close)(struct driver *d);
    int (*send)(struct driver *d, uint32_t slot, const struct driver_request *request);
    int (*poll)(struct driver *d, uint64_t timeout_ns);
    uint64_t (*clock)(struct driver *d);
    int (*info)(struct driver *d, const char *section, char **text);
};

/* The head of every driver. */
struct driver {
    const struct driver_class *class;
};

extern const struct driver_class driver_null;
extern const struct driver_class driver_redis;
extern const struct driver_class driver_torc;

/* Returns: 0 and a connected driver; an error and a sentence in `why`. */
MUST_CHECK static inline int driver_open(const struct driver_class *class,
                                         const struct driver_options *options, struct driver **out, char *why,
                                         size_t why_bytes)
{
    return class->open(options, out, why, why_bytes);
}

/* Requests in flight are not answered any more. */
static inline void driver_close(struct driver *d)
{
    d->class->close(d);
}

/* Queues a request; key and value are copied. Requires: the slot is free. Returns: 0, or an error, and then
 * the slot is still free and no reply comes. */
MUST_CHECK static inline int driver_send(struct driver *d, uint32_t slot,
                                         const struct driver_request *request)
{
    return d->class->send(d, slot, request);
}

/* Sends what is queued, waits at most timeout_ns for replies and hands them out. Returns: 0; an error when
 * the driver is beyond repair. */
MUST_CHECK static inline int driver_poll(struct driver *d, uint64_t timeout_ns)
{
    return d->class->poll(d, timeout_ns);
}

/* Monotonic nanoseconds. */
static inline uint64_t driver_clock(struct driver *d)
{
    return d->class->clock(d);
}

/* Asks the server about itself. Requires: nothing in flight. Returns: 0 and text to free();
 * TORC_E_UNSUPPORTED. */
MUST_CHECK static inline int driver_info(struct driver *d, const char *section, char **text)
{
    return d->class->info(d, section, text);
}

#endif
