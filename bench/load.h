/* load.h - the loop of one thread: which request when, and how long it took.
 *
 * Closed loop (rate 0): every slot sends its next request when the last is answered, so connections * depth
 * are always under way and throughput is what is measured. Open loop: request n is due at start + n / rate,
 * whatever the server does; its latency counts from then, not from when it could be sent. A server that
 * stalls for a second thus shows a second in its percentiles, and not one slow request: that mistake is named
 * coordinated omission by Gil Tene ("How NOT to measure latency", 2013), whose wrk2
 * (https://github.com/giltene/wrk2) this follows.
 *
 *   due --+-- slot free --> sent ----> answered        latency = answered - due
 *         +-- none free --> waits, still due --> sent
 *
 * In the closed loop a request's time of sending is that of the reply which made room for it, as read from
 * the clock when that batch of replies had been received; its time of answer is read the same way. Both
 * therefore err by the time that a batch takes to handle, some microseconds at depth 64, and never hide what
 * the server does. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "bench/driver.h"
#include "bench/insert_window.h"
#include "bench/keyspace.h"
#include "bench/recorder.h"

enum {
    LOAD_DRAIN_MS = 10000,   /* how long after the end answers are waited for */
    LOAD_WALK_MS = 3600000,  /* the same for a walk over all keys, which begins once and takes its time */
    LOAD_POLL_MAX_MS = 10,   /* no poll sleeps longer, so seconds end on time */
    LOAD_RETRIES_MAX = 1000, /* of one put of the load phase that was refused for want of room */
    /* A request that was sent this much after it was due, though a slot was free, is the client's fault. */
    LOAD_LATE_NS = 1000000,
};

/* The same for all threads, but the index. */
struct load_plan {
    struct keyspace keys;
    uint64_t key_count;
    struct workload workload;
    struct distribution distribution;
    bool is_loading; /* writes this thread's part of the keys once; the workload does not matter */
    bool is_verifying;
    uint32_t thread_index;
    uint32_t thread_count;
    uint32_t connections; /* of this thread */
    uint32_t depth;
    uint64_t operation_limit; /* of this thread; 0: none */
    uint64_t duration_ns;     /* 0: until the operations are done */
    double rate;              /* of this thread, in requests per second; 0: closed loop */
    uint64_t seed;
};

struct load;

/* Called about once a second, with the recorder's second full. */
typedef void load_second_fn(void *owner, struct load *l, uint64_t second_index);

struct load_slot {
    uint64_t start_ns; /* open loop: when it was due */
    uint64_t index;    /* of the key */
    uint64_t insert_number;
    uint16_t retries;
    uint8_t op;       /* enum operation */
    bool is_modified; /* MODIFY: the get is done, the put under way */
};

struct load {
    struct load_plan plan;
    struct driver *driver;
    struct recorder recorder;
    struct workload_mix mix;
    struct random random;
    struct insert_window *inserts;

    struct load_slot *slots;
    uint32_t *free_slots; /* a ring: connections take turns */
    uint32_t slot_count, free_first, free_count;

    uint64_t start_ns, end_ns, last_reply_ns;
    uint64_t second_ns, second_index;
    load_second_fn *on_second;
    void *owner;

    uint64_t next_due_ns; /* open loop */
    double interval_ns;
    bool was_waiting_for_slot; /* a request is due and has none */
    bool had_free_slot;        /* when the poll began */

    uint64_t started, begin_index, limit;
    uint64_t version; /* of the values this thread writes */
    bool is_over;

    uint64_t late_count, late_max_ns; /* sent late by the client's own doing */
    uint64_t blocked_count;           /* due when no slot was free */
    uint64_t unsent_count;            /* due before the end and never sent */
    uint64_t unanswered_count;
    volatile const bool *is_interrupted; /* may be null */

    uint8_t key[KEYSPACE_KEY_BYTES_MAX];
    uint8_t *value;
};

/* Returns: 0 or TORC_E_NO_MEMORY. The caller then opens a driver whose on_reply is load_on_reply and owner
 * this load. */
MUST_CHECK int load_init(struct load *l, const struct load_plan *plan);
void load_deinit(struct load *l);

/* Runs the phase to its end. Requires: l->driver. Returns: 0, or what the driver failed with. */
MUST_CHECK int load_run(struct load *l);

/* How long after the end of a phase of this workload answers are waited for. */
uint32_t load_drain_ms(const struct workload *w);

driver_reply_fn load_on_reply;

#endif
