/* session.h - a connection of a client, from accept to close.
 *
 *   accept --> HELLO --hello--> OPEN ----------------------------> CLOSING --> (gone)
 *                |                     end, error, untrusted bytes,    ^
 *                | asks for another core      does not read            |
 *                +--> HANDING_OVER --- the core it asked for attaches it, answers the hello, OPEN there
 *
 *   HELLO         nothing but a hello is answered
 *   OPEN          frames become requests; answers gather in `output`, one send under way at a time
 *   HANDING_OVER  the receive is being cancelled; bytes that still come go along in the message
 *   CLOSING       no more bytes are taken; what was asked is answered and sent, then the connection is closed
 *
 * A client that asks for more than it reads is not read from until its answers have gone: frames already
 * received wait in the carry buffer. Their time runs; those whose time is over are answered TIMEOUT there.
 *
 * Who does not read its answers, or leaves a request half sent, is closed when nothing moved for
 * `write-timeout`. Who reads them slowly is not, unless others wait for the memory that its answers hold:
 * reader.h.
 *
 * An idle session holds no buffer: a partial frame is carried in a pooled buffer until it is whole,
 * answers live in pooled chunks until they are sent. */
#ifndef SHARD_SERVE_SESSION_H
#define SHARD_SERVE_SESSION_H

#include "reactor/reactor.h"
#include "shard/request.h"
#include "shard/serve/output.h"
#include "shard/serve/reader.h"

struct shard;

enum session_state { SESSION_HELLO, SESSION_OPEN, SESSION_HANDING_OVER, SESSION_CLOSING };

enum {
    CARRY_POOLED_BYTES = 16384,
    CARRY_KEPT_MAX = 1024,
    /* A connection with more than this unsent is not read until it has taken its answers. */
    SESSION_OUTPUT_BYTES_MAX = 1 << 20,
    SESSION_IN_FLIGHT_MAX = 65536,
    /* Reads that wait for a disk or another core: each may come back with a value of 1 MiB. */
    SESSION_READS_MAX = 128,
    /* With more unsent in all connections of a core (or memory_plan.output_bytes_max, which is less where
     * memory is little) none is read; those that do not move for a second are closed, and the largest of
     * those that move slowly (reader.h). */
    OUTPUT_BYTES_MAX = 256 << 20,
};

struct session {
    struct shard *shard;
    struct socket *socket;
    struct list dirty_link;  /* has output and no send under way */
    struct list paused_link; /* is not being read */
    struct output output;
    uint8_t *carry; /* a frame that is not whole yet; null when there is none */
    uint32_t carry_bytes;
    uint32_t carry_capacity;
    uint32_t index;
    uint32_t generation;
    uint32_t in_flight;   /* requests without an answer */
    uint32_t reads;       /* of them, the weight of those that are answered with values */
    uint16_t wanted_core; /* while HANDING_OVER */
    uint8_t state;        /* enum session_state */
    bool is_sending;
    bool is_paused;
    bool is_ended;           /* the peer has closed its side; what it asked for before may still wait */
    bool is_broken;          /* half an answer was written, or bytes were dropped: it can only be closed */
    uint64_t hello_id;       /* request id, while HANDING_OVER */
    uint64_t progress_ns;    /* bytes last moved either way */
    uint64_t taken_bytes;    /* of its answers by the peer, as of the last look */
    struct reader_pace pace; /* with which it takes them */
    uint32_t first_bytes;    /* of the carried bytes, those that came first, at first_ns */
    uint64_t first_ns;
    uint64_t carried_ns;       /* the last of the carried bytes came */
    uint64_t deadline_ns;      /* no carried frame ends before it; DEADLINE_NONE: none of them does */
    uint64_t arrived_ns;       /* the frames that are being handled had come by then */
    uint64_t answered_ns;      /* stamp of a sampled answer that waits to be sent, else 0 */
    uint64_t sending_since_ns; /* that stamp, once its send is under way */
};

struct session_slot {
    struct session *session; /* null: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
};

struct session_table {
    struct session_slot *slots;
    uint32_t capacity;
    uint32_t open_count;
    uint32_t used_count;       /* no connection was ever at this place, nor behind it */
    uint32_t swept;            /* the present sweep has come so far */
    struct reader_crowd crowd; /* what it and the last one have seen */
    uint32_t handing_over_count;
    uint32_t first_free; /* index + 1; 0 when the table is full */
    struct list dirty;
    struct list paused;
    struct output_pool outputs;
    struct buffer_pool carries; /* of CARRY_POOLED_BYTES */
    uint64_t carry_bytes;       /* of the buffers that connections hold */
};

/* A connection on its way to the core that its client asked for. Made by one core, freed by the other. */
struct handover {
    int64_t handle;
    uint64_t hello_id;
    uint64_t clock; /* hlc_seen of the core that it was accepted on */
    uint32_t bytes; /* that came after the hello */
    uint8_t data[];
};

MUST_CHECK int session_table_init(struct shard *s);
void session_table_deinit(struct shard *s); /* Requires: none is open */

void session_accept(void *shard, struct socket *socket); /* socket_listen's on_accept */
void session_attach(struct shard *s, struct handover *h);

/* Writes an answer to the connection, if it is still there. */
void session_reply(struct shard *s, const struct reply *reply, const struct answer *answer);

/* The answer just written is a sampled one: how long it takes to be sent is measured. */
void session_sample(struct shard *s, const struct reply *reply, uint64_t answered_ns);

void sessions_flush(struct shard *s);  /* one send for each connection with answers; in the turn hook */
void sessions_resume(struct shard *s); /* reads again where there is room; in the turn hook */
/* Answers carried frames of some connections whose time is over, or all when the core ends. Returns: it has
 * not looked at all. */
MUST_CHECK bool sessions_expire(struct shard *s, uint64_t now_ns);
/* No carried frame ends before it; DEADLINE_NONE: none does. */
uint64_t sessions_deadline_ns(const struct shard *s);
/* Closes the stuck and the idle, frees buffers; once a second. Returns: it has not looked at all, and goes on
 * where it was. */
MUST_CHECK bool sessions_sweep(struct shard *s);
void sessions_close_all(struct shard *s);
bool sessions_are_paused(const struct shard *s); /* at least one */
/* More than memory_plan.output_bytes_max is unsent. */
bool sessions_are_over_budget(const struct shard *s);
/* No connection has answers to send, frames that wait on a core that ends, or is on its way to another. */
bool sessions_are_settled(const struct shard *s);

#endif
