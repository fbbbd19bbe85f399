/* output.h - what a connection has to send: whole frames in a buffer that grows.
 *
 *   data   frame_begin   sent            end        capacity
 *    |  done   |  frame 1  | frame 2 | ... |  free     |
 *              +-- first frame of which not every byte was taken by the kernel
 *
 * When a connection breaks, the frames that begin at or after `sent` are certain never to have left and
 * may be sent on another connection; the outcome of the others is unknown. */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include "client/torc.h"
#include "reactor/base/assert.h"
#include "reactor/base/slice.h"

struct output {
    uint8_t *data;
    size_t capacity;
    size_t frame_begin;
    size_t sent;
    size_t end;
};

void client_output_deinit(struct output *output);

static inline size_t client_output_unsent_bytes(const struct output *output)
{
    return output->end - output->sent;
}

int client_output_grow(struct output *output, size_t bytes);

/* Makes room for `bytes` behind the end. Returns: 0 or TORC_NO_MEMORY. */
MUST_CHECK static inline int client_output_reserve(struct output *output, size_t bytes)
{
    return __builtin_expect(output->capacity - output->end >= bytes, 1) ? 0
                                                                        : client_output_grow(output, bytes);
}

/* The kernel took `bytes` more. */
void client_output_take(struct output *output, size_t bytes);

/* Forgets what was sent, also in part: what stays is whole frames of which no byte was sent. */
void client_output_drop_sent(struct output *output);

/* Takes one whole frame off a run of frames. Returns: false at the end. */
bool client_output_next_frame(struct slice *frames, struct slice *frame);

#endif
