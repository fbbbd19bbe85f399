/* request.h - the requests in flight: a slab of fixed size, found by request id, listed by age.
 *
 *   request id = generation (32 bits) | index in the slab (32 bits)
 *
 * The generation of a slot grows each time it is given out, so an answer that comes after its request was
 * given up names a generation that is gone and is dropped. All requests have the same timeout: the list in
 * the order of their beginning is the list of deadlines. A request gets its time at the first poll after
 * its start, not before: the clock is read once a poll. */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include "client/torc.h"
#include "reactor/base/assert.h"

#include <stddef.h>

#define REQUEST_NONE UINT32_MAX

enum request_state {
    REQUEST_FREE,
    REQUEST_LIVE,   /* its frame waits in an output or was sent */
    REQUEST_DOOMED, /* its connection broke; its callback is about to run */
};

struct request {
    uint64_t key_hash; /* of the requested key: what the check of the response is made with */
    torc_done *done;
    void *user;
    uint32_t generation;
    uint32_t previous; /* in the list by age */
    uint32_t next;     /* in the list by age, or the next free one */
    uint32_t started_ms;
    uint32_t connection;
    uint8_t op;
    uint8_t state;
};

struct requests {
    struct request *all;
    uint32_t capacity;
    uint32_t in_flight;
    uint32_t first_free;
    uint32_t oldest;
    uint32_t newest;
    uint32_t first_unstamped; /* it and all that follow it in the list have no time yet */
};

/* Returns: 0 or TORC_NO_MEMORY. */
MUST_CHECK int client_requests_init(struct requests *requests, uint32_t capacity);
void client_requests_deinit(struct requests *requests);

static inline uint32_t request_index(const struct requests *requests, const struct request *r)
{
    return (uint32_t)(r - requests->all);
}

static inline uint64_t request_id(const struct requests *requests, const struct request *r)
{
    return (uint64_t)r->generation << 32 | request_index(requests, r);
}

/* Returns: a live request at the end of the list, its other fields not yet set; null when all are taken. */
static inline struct request *client_requests_begin(struct requests *requests)
{
    uint32_t index = requests->first_free;
    if (index == REQUEST_NONE)
        return NULL;
    struct request *r = &requests->all[index];
    ASSERT(r->state == REQUEST_FREE);
    requests->first_free = r->next;
    requests->in_flight++;
    r->generation++;
    r->state = REQUEST_LIVE;
    r->next = REQUEST_NONE;
    r->previous = requests->newest;
    if (requests->newest == REQUEST_NONE)
        requests->oldest = index;
    else
        requests->all[requests->newest].next = index;
    requests->newest = index;
    if (requests->first_unstamped == REQUEST_NONE)
        requests->first_unstamped = index;
    return r;
}

/* The request is over: its id means nothing from now on. */
static inline void client_requests_end(struct requests *requests, struct request *r)
{
    ASSERT(r->state != REQUEST_FREE);
    uint32_t index = request_index(requests, r);
    if (requests->first_unstamped == index)
        requests->first_unstamped = r->next;
    if (r->previous == REQUEST_NONE)
        requests->oldest = r->next;
    else
        requests->all[r->previous].next = r->next;
    if (r->next == REQUEST_NONE)
        requests->newest = r->previous;
    else
        requests->all[r->next].previous = r->previous;
    r->state = REQUEST_FREE;
    r->next = requests->first_free;
    requests->first_free = index;
    requests->in_flight--;
}

/* Returns: the live request with that id; null when it is over. */
static inline struct request *client_requests_find(struct requests *requests, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    if (index >= requests->capacity)
        return NULL;
    struct request *r = &requests->all[index];
    return r->state == REQUEST_LIVE && r->generation == (uint32_t)(id >> 32) ? r : NULL;
}

/* Gives their time to those that have none yet. */
static inline void client_requests_stamp(struct requests *requests, uint32_t now_ms)
{
    uint32_t index = requests->first_unstamped;
    while (index != REQUEST_NONE) { /* at most in_flight times */
        requests->all[index].started_ms = now_ms;
        index = requests->all[index].next;
    }
    requests->first_unstamped = REQUEST_NONE;
}

#endif
