/* output.h - the bytes a connection still has to send, in pooled chunks.
 *
 *   output:  first -> [ 2 KiB chunk ] -> [ 16 KiB chunk ] -> ... <- last
 *            |-- being sent --|------- gathering -------|
 *
 * An idle connection holds no chunk. The first chunk is small, since most answers of one turn are; what
 * comes behind it is large. One send takes the chunks that are there; what is answered meanwhile goes into
 * later chunks, so bytes that the kernel reads are never touched. The pool keeps chunks for reuse and
 * belongs to one shard. */
#ifndef SHARD_SERVE_OUTPUT_H
#define SHARD_SERVE_OUTPUT_H

#include "shard/buffer_pool.h"

enum {
    OUTPUT_SMALL_BYTES = 2048,
    OUTPUT_LARGE_BYTES = 16384,
};

struct output_chunk {
    struct output_chunk *next;
    uint32_t end; /* bytes written */
    uint32_t capacity;
    bool is_sealed; /* the kernel reads it: no more is written */
    uint8_t data[];
};

struct output_pool {
    struct buffer_pool small; /* whole chunks */
    struct buffer_pool large;
    uint64_t bytes_in_use; /* of chunks that connections hold */
};

struct output {
    struct output_chunk *first;
    struct output_chunk *last;
    uint32_t bytes;         /* waiting or being sent */
    uint32_t sending_count; /* chunks, from the first, that the send under way reads */
};

void output_pool_init(struct output_pool *pool, struct reactor *r);
void output_pool_deinit(struct output_pool *pool); /* Requires: no connection holds a chunk */
/* Gives back the kept chunks that nobody has needed since the last call. */
void output_pool_trim(struct output_pool *pool);

/* Room for `bytes` in one piece at the end of the output, or null when they do not fit into one chunk or
 * memory is out: then output_append does it in pieces. What is written is counted with output_commit. */
uint8_t *output_reserve(struct output *out, struct output_pool *pool, size_t bytes);

static inline void output_commit(struct output *out, size_t bytes)
{
    out->last->end += (uint32_t)bytes;
    out->bytes += (uint32_t)bytes;
}

/* Returns: 0, or TORC_E_NO_MEMORY: part of it may be there, the connection is of no use any more. */
MUST_CHECK int output_append(struct output *out, struct output_pool *pool, struct slice bytes);

/* The chunks of the next send, at most `count_max`. Returns: how many parts. Requires: no send under way. */
unsigned output_begin_send(struct output *out, struct slice *parts, unsigned count_max);
/* The send is over: its chunks go back to the pool. */
void output_end_send(struct output *out, struct output_pool *pool);
/* All chunks go back to the pool. Requires: no send under way. */
void output_clear(struct output *out, struct output_pool *pool);

#endif
