/* buffer_pool.c - buffers kept for reuse; see buffer_pool.h. */
#include "shard/buffer_pool.h"

#include <string.h>

void buffer_pool_init(struct buffer_pool *p, struct reactor *r, size_t bytes, uint32_t kept_max)
{
    ASSERT(bytes >= sizeof(void *));
    *p = (struct buffer_pool){.reactor = r, .bytes = bytes, .kept_max = kept_max};
}

static void *pop(struct buffer_pool *p)
{
    void *buffer = p->first;
    memcpy(&p->first, buffer, sizeof p->first);
    p->count--;
    return buffer;
}

void buffer_pool_deinit(struct buffer_pool *p)
{
    while (p->count > 0)
        reactor_free(p->reactor, pop(p));
}

void *buffer_pool_take(struct buffer_pool *p)
{
    if (p->count == 0)
        return reactor_alloc(p->reactor, p->bytes);
    void *buffer = pop(p);
    if (p->unused > p->count)
        p->unused = p->count;
    return buffer;
}

void buffer_pool_give(struct buffer_pool *p, void *buffer)
{
    if (p->count >= p->kept_max) {
        reactor_free(p->reactor, buffer);
        return;
    }
    memcpy(buffer, &p->first, sizeof p->first);
    p->first = buffer;
    p->count++;
}

void buffer_pool_trim(struct buffer_pool *p)
{
    for (; p->unused > 0; p->unused--)
        reactor_free(p->reactor, pop(p));
    p->unused = p->count;
}
