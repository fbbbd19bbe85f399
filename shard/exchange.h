/* exchange.h - requests and answers between the cores of a node, in blocks.
 *
 *   core A                                   core B
 *   requests of one turn -> block --REQUESTS--> runs them, each as its own
 *                           block <--RETURN---- when it has read them (values are copied by the engine)
 *   answers to sessions <----------ANSWERS--- block of B, filled in B's turn
 *                           block ---RETURN-->
 *
 * A block is filled by its owner, read by the other core, and given back: memory never changes heaps. One
 * descriptor goes through the channel for a block of many requests, not one for each key. The clock of its
 * core rides on it (hlc.h), so that a write has a higher stamp than what was seen before it was sent. */
#ifndef SHARD_EXCHANGE_H
#define SHARD_EXCHANGE_H

#include "shard/buffer_pool.h"
#include "shard/request.h"

struct shard;

enum exchange_message {
    MESSAGE_REQUESTS,   /* payload: block */
    MESSAGE_ANSWERS,    /* payload: block */
    MESSAGE_RETURN,     /* payload: block, back with its owner */
    MESSAGE_START,      /* core 0 has made the data directory ready */
    MESSAGE_READY,      /* to core 0: this core's engine is open; word: what it took, see shard.c */
    MESSAGE_SERVE,      /* all are; word: the port to listen on */
    MESSAGE_CONNECTION, /* payload: struct handover of session.h, owned by the receiver */
    MESSAGE_STOP,       /* drain; word: the time it may take in ms */
    MESSAGE_DRAINED,    /* to core 0 */
    MESSAGE_CLOSE,      /* all have drained */
    MESSAGE_LAST,       /* this core asks for nothing any more; word: nor does it answer, it has given up */
    MESSAGE_INFO,       /* payload: struct info_report, to be filled and sent back as MESSAGE_INFO_DONE */
    MESSAGE_INFO_DONE,
    MESSAGE_VIEW, /* payload: struct view_order, to be sent back as MESSAGE_VIEW_DONE */
    MESSAGE_VIEW_DONE,
    MESSAGE_VIEW_END,  /* word: the view */
    MESSAGE_VIEW_USED, /* word: the view */
    MESSAGE_MOMENT,    /* payload: struct moment_order, to be sent back as MESSAGE_MOMENT_DONE */
    MESSAGE_MOMENT_DONE,
    MESSAGE_ADMIN, /* payload: struct admin_part, to be done and sent back as MESSAGE_ADMIN_DONE */
    MESSAGE_ADMIN_DONE,
};

enum { EXCHANGE_BLOCK_BYTES = 64 * 1024 };

struct exchange_block {
    struct exchange_block *next; /* in the owner's list of free blocks, or in a backlog */
    uint32_t kind;               /* MESSAGE_REQUESTS or MESSAGE_ANSWERS, while it is filled and read */
    uint32_t count;
    uint32_t bytes;
    uint32_t capacity;
    uint64_t clock; /* hlc_seen of the core that filled it */
    uint8_t data[];
};

/* Towards one other core. */
struct exchange_lane {
    struct exchange_block *requests; /* gathering; null when empty */
    struct exchange_block *answers;
    struct message *backlog; /* that the full channel did not take, oldest first */
    uint32_t backlog_first;
    uint32_t backlog_count;
    uint32_t backlog_capacity;
};

struct exchange {
    struct exchange_lane *lanes; /* one a core */
    struct buffer_pool blocks;   /* of EXCHANGE_BLOCK_BYTES */
    uint64_t bytes_out;          /* of blocks that other cores hold */
};

MUST_CHECK int exchange_init(struct shard *s);
/* Requires: it is settled. */
void exchange_deinit(struct shard *s);
/* Nothing waits to be sent, and no other core has a block of this one. */
bool exchange_is_settled(const struct shard *s);

/* Hands a parsed request to `core`, where its time goes on; it is not sampled there. Returns: 0 or
 * TORC_E_NO_MEMORY. */
MUST_CHECK int exchange_request(struct shard *s, unsigned core, const struct reply *reply,
                                const struct frame *frame, const struct arrival *arrival);
/* Hands an answer to the core of its owner. */
void exchange_answer(struct shard *s, const struct reply *reply, const struct answer *answer);

/* Sends a message, or keeps it until the channel has room again. */
void exchange_send(struct shard *s, unsigned core, const struct message *m);
/* Sends a value to all other cores, after all that gathers for them. */
void exchange_broadcast(struct shard *s, uint32_t kind, uint64_t word);
/* Takes REQUESTS, ANSWERS and RETURN. */
void exchange_receive(struct shard *s, const struct message *m);
/* Sends the blocks that this turn has filled; in the turn hook. */
void exchange_flush(struct shard *s);
bool exchange_is_congested(const struct shard *s);

#endif
