/* output.c - the frames a connection has to send; the picture is in output.h. */
#include "client/output.h"

#include "reactor/base/endian.h"
#include "wire/wire.h"

#include <stdlib.h>

enum {
    OUTPUT_BYTES_MIN = 16 << 10,
    OUTPUT_MOVE_BYTES_MIN = 256 << 10, /* so much must have been sent before the rest is moved to the front */
};

void client_output_deinit(struct output *output)
{
    free(output->data);
    *output = (struct output){0};
}

static void move_to_front(struct output *output)
{
    size_t begin = output->frame_begin;
    if (begin == 0)
        return;
    memmove(output->data, output->data + begin, output->end - begin);
    output->frame_begin = 0;
    output->sent -= begin;
    output->end -= begin;
}

int client_output_grow(struct output *output, size_t bytes)
{
    size_t needed = output->end + bytes;
    size_t capacity = output->capacity ? output->capacity : OUTPUT_BYTES_MIN;
    while (capacity < needed)
        capacity *= 2;
    uint8_t *data = realloc(output->data, capacity);
    if (!data)
        return TORC_NO_MEMORY;
    output->data = data;
    output->capacity = capacity;
    return 0;
}

void client_output_take(struct output *output, size_t bytes)
{
    ASSERT(bytes <= client_output_unsent_bytes(output));
    output->sent += bytes;
    if (output->sent == output->end) {
        output->frame_begin = output->sent = output->end = 0;
        return;
    }
    while (output->frame_begin < output->sent) { /* at most the frames just sent, and one */
        size_t frame_end = output->frame_begin + load_u32le(output->data + output->frame_begin);
        if (frame_end > output->sent)
            break;
        output->frame_begin = frame_end;
    }
    if (output->frame_begin >= OUTPUT_MOVE_BYTES_MIN && output->frame_begin >= output->end / 2)
        move_to_front(output);
}

void client_output_drop_sent(struct output *output)
{
    if (output->frame_begin < output->sent)
        output->frame_begin += load_u32le(output->data + output->frame_begin);
    ASSERT(output->frame_begin >= output->sent && output->frame_begin <= output->end);
    output->sent = output->frame_begin;
    move_to_front(output);
}

bool client_output_next_frame(struct slice *frames, struct slice *frame)
{
    if (frames->bytes == 0)
        return false;
    ASSERT(frames->bytes >= FRAME_HEADER_BYTES);
    uint32_t length = load_u32le(frames->data);
    ASSERT(length >= FRAME_HEADER_BYTES && length <= frames->bytes);
    *frame = slice_of(frames->data, length);
    *frames = slice_of(frames->data + length, frames->bytes - length);
    return true;
}
