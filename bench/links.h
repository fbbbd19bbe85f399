/* links.h - many TCP connections run from one epoll by one thread.
 *
 * Output gathers per link and goes out in one send each: after the bytes that were received on it have been
 * handled, or at the next poll. Input of all links is received into one buffer; only an incomplete message is
 * kept per link. A link that is lost is told to the owner, who is rid of what was under way, and is connected
 * again after a pause; what is queued meanwhile waits for that.
 *
 *   WAITING --pause over--> CONNECTING --writable--> READY
 *      ^                        |failed                | lost
 *      +------ on_lost ---------+------ on_lost -------+ */
#ifndef BENCH_LINKS_H
#define BENCH_LINKS_H

#include "reactor/base/assert.h"
#include "reactor/base/slice.h"

enum { LINKS_RETRY_MS = 100 };

struct links;

/* Handles what it can of `bytes`. Returns: bytes it is done with, or an error, after which the link is
 * lost. */
typedef int64_t links_bytes_fn(void *owner, uint32_t link, struct slice bytes, uint64_t now_ns);
/* Whatever was queued or under way on the link is gone; `code`: TORC_E_DISCONNECTED or
 * TORC_E_CANNOT_CONNECT. */
typedef void links_lost_fn(void *owner, uint32_t link, int code, uint64_t now_ns);

struct links_options {
    const char *host;
    const char *port;
    uint32_t count;
    uint32_t timeout_ms; /* until all are connected */
    links_bytes_fn *on_bytes;
    links_lost_fn *on_lost;
    void *owner;
};

/* Waits: until all are connected. Returns: 0; TORC_E_CANNOT_CONNECT or -errno, with a sentence in `why`. */
MUST_CHECK int links_open(const struct links_options *options, struct links **out, char *why,
                          size_t why_bytes);
void links_close(struct links *l);

/* Room for `bytes` at the end of a link's output, of which links_commit takes what was used. Returns: null
 * when there is no memory. */
uint8_t *links_reserve(struct links *l, uint32_t link, size_t bytes);
void links_commit(struct links *l, uint32_t link, size_t bytes);

/* Sends, waits at most timeout_ns for input, receives and hands out. Returns: 0 or -errno. */
MUST_CHECK int links_poll(struct links *l, uint64_t timeout_ns);

#endif
