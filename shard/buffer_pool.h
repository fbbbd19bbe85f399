/* buffer_pool.h - buffers of one size, kept for reuse.
 *
 * What was in use in a burst is kept until nobody has needed it between two trims. A kept buffer holds the
 * link to the next in its first bytes. Belongs to one core. */
#ifndef SHARD_BUFFER_POOL_H
#define SHARD_BUFFER_POOL_H

#include "reactor/reactor.h"

struct buffer_pool {
    struct reactor *reactor;
    void *first;  /* of those that are kept */
    size_t bytes; /* of each, at least those of a pointer */
    uint32_t kept_max;
    uint32_t count;  /* kept */
    uint32_t unused; /* the fewest that were kept since the last trim: so many nobody needed */
};

void buffer_pool_init(struct buffer_pool *p, struct reactor *r, size_t bytes, uint32_t kept_max);
/* Those that were taken must be given back before. */
void buffer_pool_deinit(struct buffer_pool *p);
void *buffer_pool_take(struct buffer_pool *p); /* Returns: null when memory is out */
void buffer_pool_give(struct buffer_pool *p, void *buffer);
/* Frees the kept ones that nobody has needed since the last call. */
void buffer_pool_trim(struct buffer_pool *p);

#endif
