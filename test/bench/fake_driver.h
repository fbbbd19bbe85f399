/* fake_driver.h - a target in a time of its own: one server that answers in order, may stall, lose and
 * refuse.
 *
 * Nothing waits: a poll moves the clock to what comes first, the next answer or the end of its timeout. */
#ifndef TEST_BENCH_FAKE_DRIVER_H
#define TEST_BENCH_FAKE_DRIVER_H

#include "bench/driver.h"

enum { FAKE_SLOTS_MAX = 1024, FAKE_KEY_BYTES_MAX = 64, FAKE_VALUE_BYTES_MAX = 256 };

struct fake_request {
    enum operation op;
    uint8_t key[FAKE_KEY_BYTES_MAX];
    size_t key_bytes;
    uint8_t value[FAKE_VALUE_BYTES_MAX];
    size_t value_bytes;
    uint64_t done_ns;
};

struct fake_driver {
    struct driver head;
    driver_reply_fn *on_reply;
    void *owner;
    uint64_t now_ns;
    uint64_t busy_until_ns;
    uint64_t service_ns;               /* a request takes this long */
    uint64_t stall_begin_ns, stall_ns; /* nothing is served from the one for the other */
    uint64_t poll_ns;                  /* each poll takes this long: a client that is busy elsewhere */
    uint32_t refused_sends;            /* so many of the next sends are refused */
    uint32_t lost_slot;                /* never answered; FAKE_SLOTS_MAX: none */
    /* What is answered; null: 0. */
    int (*answer)(void *context, const struct fake_request *request, struct slice *value);
    void *context;
    uint32_t order[FAKE_SLOTS_MAX]; /* a ring of the slots under way */
    uint32_t first, count;
    struct fake_request requests[FAKE_SLOTS_MAX];
    uint64_t sent;
};

/* A driver whose answers go to load_on_reply of `owner`. */
void fake_driver_init(struct fake_driver *f, void *owner);

#endif
