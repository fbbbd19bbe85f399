/* buffers.c - the receive buffers that all connections of a core share.
 *
 *   kernel takes at head --> bytes arrive --> completion names the buffer --> on_data --> returned at tail
 *
 * Ten thousand idle connections hold no buffer at all: one is taken only when bytes are there. A buffer is
 * lent for one call of on_data; the tail moves before the enters of a turn. When all are lent a receive
 * ends with -ENOBUFS and is armed again in the same turn, when they are back. */
#include "reactor/uring/uring.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFER_BYTES_DEFAULT = 16 * 1024, BUFFER_COUNT_DEFAULT = 256 };

static size_t ring_bytes(const struct buffers *b)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (b->count * sizeof(struct io_uring_buf) + page - 1) / page * page;
}

static void add(struct buffers *b, uint16_t index)
{
    uint8_t *memory = b->memory + (size_t)index * b->buffer_bytes;
    POISON(memory, b->buffer_bytes);
    io_uring_buf_ring_add(b->ring, memory, b->buffer_bytes, index, io_uring_buf_ring_mask(b->count),
                          b->returned);
    b->returned++;
}

int buffers_open(struct reactor *r, char *why, size_t why_bytes)
{
    const struct reactor_options *options = reactor_options_of(r);
    struct buffers *b = &r->buffers;
    b->buffer_bytes = options->receive_buffer_bytes ? options->receive_buffer_bytes : BUFFER_BYTES_DEFAULT;
    b->count = options->receive_buffer_count ? options->receive_buffer_count : BUFFER_COUNT_DEFAULT;
    b->memory = heap_alloc_aligned(&r->core.heap, (size_t)b->buffer_bytes * b->count, CACHE_LINE);
    if (!b->memory)
        return TORC_E_NO_MEMORY;
    void *ring = mmap(NULL, ring_bytes(b), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return TORC_E_NO_MEMORY;
    b->ring = ring;
    io_uring_buf_ring_init(b->ring);
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)ring,
                                            .ring_entries = b->count,
                                            .bgid = BUFFERS_GROUP};
    int rc = io_uring_register_buf_ring(&r->uring, &registration, 0);
    if (rc) {
        snprintf(why, why_bytes,
                 "the kernel refuses shared receive buffers (%s): kernel 6.1 or newer is needed",
                 error_sentence(rc));
        return TORC_E_UNSUPPORTED;
    }
    b->is_registered = true;
    for (uint32_t i = 0; i < b->count; i++)
        add(b, (uint16_t)i);
    buffers_publish(r);
    return 0;
}

void buffers_close(struct reactor *r)
{
    struct buffers *b = &r->buffers;
    if (b->is_registered)
        io_uring_unregister_buf_ring(&r->uring, BUFFERS_GROUP);
    if (b->ring)
        munmap(b->ring, ring_bytes(b));
    if (b->memory)
        UNPOISON(b->memory, (size_t)b->buffer_bytes * b->count);
    *b = (struct buffers){0};
}

struct slice buffers_lend(struct reactor *r, uint32_t flags, int32_t bytes)
{
    struct buffers *b = &r->buffers;
    uint32_t index = flags >> IORING_CQE_BUFFER_SHIFT;
    ASSERT((flags & IORING_CQE_F_BUFFER) && index < b->count && (uint32_t)bytes <= b->buffer_bytes);
    uint8_t *memory = b->memory + (size_t)index * b->buffer_bytes;
    UNPOISON(memory, (size_t)bytes);
    return slice_of(memory, (size_t)bytes);
}

void buffers_return(struct reactor *r, uint32_t flags)
{
    add(&r->buffers, (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT));
}

void buffers_publish(struct reactor *r)
{
    struct buffers *b = &r->buffers;
    if (b->returned)
        io_uring_buf_ring_advance(b->ring, b->returned);
    b->returned = 0;
}
