/* output.c - pooled chunks of answers; see output.h. */
#include "shard/serve/output.h"

enum {
    /* Chunks kept for reuse: enough for a turn that answers as many connections as there are. */
    SMALL_KEPT_MAX = 4096,
    LARGE_KEPT_MAX = 1024,
};

void output_pool_init(struct output_pool *pool, struct reactor *r)
{
    *pool = (struct output_pool){.bytes_in_use = 0};
    buffer_pool_init(&pool->small, r, sizeof(struct output_chunk) + OUTPUT_SMALL_BYTES, SMALL_KEPT_MAX);
    buffer_pool_init(&pool->large, r, sizeof(struct output_chunk) + OUTPUT_LARGE_BYTES, LARGE_KEPT_MAX);
}

void output_pool_trim(struct output_pool *pool)
{
    buffer_pool_trim(&pool->small);
    buffer_pool_trim(&pool->large);
}

void output_pool_deinit(struct output_pool *pool)
{
    ASSERT(pool->bytes_in_use == 0);
    buffer_pool_deinit(&pool->small);
    buffer_pool_deinit(&pool->large);
}

static struct buffer_pool *pool_of(struct output_pool *pool, uint32_t capacity)
{
    return capacity == OUTPUT_SMALL_BYTES ? &pool->small : &pool->large;
}

static struct output_chunk *acquire_chunk(struct output_pool *pool, uint32_t capacity)
{
    struct output_chunk *chunk = buffer_pool_take(pool_of(pool, capacity));
    if (!chunk)
        return NULL;
    pool->bytes_in_use += capacity;
    chunk->next = NULL;
    chunk->end = 0;
    chunk->capacity = capacity;
    chunk->is_sealed = false;
    return chunk;
}

static void release_chunk(struct output_pool *pool, struct output_chunk *chunk)
{
    ASSERT(pool->bytes_in_use >= chunk->capacity);
    pool->bytes_in_use -= chunk->capacity;
    buffer_pool_give(pool_of(pool, chunk->capacity), chunk);
}

/* A new last chunk; what is being sent is never extended. */
static struct output_chunk *add_chunk(struct output *out, struct output_pool *pool, size_t bytes)
{
    bool is_small = !out->first && bytes <= OUTPUT_SMALL_BYTES;
    struct output_chunk *chunk = acquire_chunk(pool, is_small ? OUTPUT_SMALL_BYTES : OUTPUT_LARGE_BYTES);
    if (!chunk)
        return NULL;
    if (out->last)
        out->last->next = chunk;
    else
        out->first = chunk;
    out->last = chunk;
    return chunk;
}

/* The chunk that may still be written to; null when there is none. */
static struct output_chunk *open_chunk(const struct output *out)
{
    return out->last && !out->last->is_sealed ? out->last : NULL;
}

uint8_t *output_reserve(struct output *out, struct output_pool *pool, size_t bytes)
{
    struct output_chunk *chunk = open_chunk(out);
    if (!chunk || chunk->capacity - chunk->end < bytes) {
        if (bytes > OUTPUT_LARGE_BYTES)
            return NULL;
        chunk = add_chunk(out, pool, bytes);
        if (!chunk)
            return NULL;
    }
    return chunk->data + chunk->end;
}

int output_append(struct output *out, struct output_pool *pool, struct slice bytes)
{
    while (bytes.bytes > 0) {
        struct output_chunk *chunk = open_chunk(out);
        if (!chunk || chunk->end == chunk->capacity)
            chunk = add_chunk(out, pool, bytes.bytes);
        if (!chunk)
            return TORC_E_NO_MEMORY;
        size_t room = chunk->capacity - chunk->end;
        size_t piece = bytes.bytes < room ? bytes.bytes : room;
        memcpy(chunk->data + chunk->end, bytes.data, piece);
        output_commit(out, piece);
        bytes = slice_of(bytes.data + piece, bytes.bytes - piece);
    }
    return 0;
}

unsigned output_begin_send(struct output *out, struct slice *parts, unsigned count_max)
{
    ASSERT(out->sending_count == 0);
    unsigned count = 0;
    for (struct output_chunk *chunk = out->first; chunk && count < count_max; chunk = chunk->next) {
        chunk->is_sealed = true;
        parts[count++] = slice_of(chunk->data, chunk->end);
    }
    out->sending_count = count;
    return count;
}

void output_end_send(struct output *out, struct output_pool *pool)
{
    for (; out->sending_count > 0; out->sending_count--) {
        struct output_chunk *chunk = out->first;
        out->first = chunk->next;
        out->bytes -= chunk->end;
        release_chunk(pool, chunk);
    }
    if (!out->first)
        out->last = NULL;
}

void output_clear(struct output *out, struct output_pool *pool)
{
    ASSERT(out->sending_count == 0);
    while (out->first) {
        struct output_chunk *chunk = out->first;
        out->first = chunk->next;
        release_chunk(pool, chunk);
    }
    *out = (struct output){0};
}
