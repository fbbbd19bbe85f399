/* batch.h - a FRAME_BATCH under way: the answers of its parts, gathered until all are there.
 *
 * The parts run like any request, on whatever core owns their key. Their answers come in any order; the
 * frame that goes out has them in the order of the requests. A batch belongs to the core of its
 * connection. */
#ifndef SHARD_BATCH_H
#define SHARD_BATCH_H

#include "shard/request.h"

struct shard;

struct batch_part {
    uint8_t *frame; /* the encoded response; null until it is there, or when memory ran out */
    uint32_t bytes;
};

struct batch {
    struct reply reply; /* of the batch frame itself */
    uint32_t generation;
    uint32_t count;
    uint32_t missing; /* parts without an answer */
    bool has_writes;
    uint64_t bytes;           /* of all answers so far */
    struct batch_part *parts; /* null: this place of the table is free */
    uint32_t next_free;
};

/* Grows by doubling up to what connections may have under way; freed places are used again. */
struct batch_table {
    struct batch *batches;
    uint32_t count;
    uint32_t first_free; /* index + 1; 0 for none */
    uint64_t bytes;      /* of all answers that wait in them */
};

/* Answers wait in them for as many bytes as connections may have: no more is read. Jobs go on: batches may
 * wait for them. */
bool batches_are_over_budget(const struct shard *s);

void batch_table_deinit(struct shard *s); /* Requires: none is open */

/* Splits a batch frame and adds its parts as requests, which end by `deadline_ns` (0: none) at the latest;
 * answers it at once when it is malformed. */
void batch_start(struct shard *s, const struct reply *reply, const struct frame *frame, uint64_t deadline_ns);

/* The answer of one part. */
void batch_reply(struct shard *s, const struct reply *reply, const struct answer *answer);

#endif
