/* heap.c - a core's heap as a first-class heap of mimalloc.
 *
 * Destroying such a heap gives back every block without visiting one, which is how a core ends. A free on
 * another thread goes onto the owning page's own list, which mimalloc collects.
 *
 * Builds for tests have another: under ASan and TSan, which must see every block, and in the simulator
 * (TORC_MARKS), which must count the same bytes in every run (how many mimalloc has for an aligned block
 * depends on where it lies), it is malloc with a list of all that lives, and a lock for the frees of others.
 * Only that one can fill memory and fail as told. */
#include "reactor/heap.h"

#include "reactor/base/error.h"
#include "reactor/sanitizer.h"

#if REACTOR_HAS_ASAN || REACTOR_HAS_TSAN || defined(TORC_MARKS)

#include "reactor/base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct arena {
    pthread_mutex_t lock;
    struct list blocks;
};

struct block {
    struct list link;
    struct arena *arena;
    void *base; /* what malloc returned */
    size_t bytes;
    uint64_t canary;
};

enum { BLOCK_ALIGNMENT = 16 };
static const uint64_t BLOCK_CANARY = 0x746f72632d686561;
static_assert(sizeof(struct block) % BLOCK_ALIGNMENT == 0, "user memory follows the header");

int heap_init(struct heap *h)
{
    struct arena *arena = malloc(sizeof *arena);
    if (!arena)
        return TORC_E_NO_MEMORY;
    pthread_mutex_init(&arena->lock, NULL);
    list_init(&arena->blocks);
    *h = (struct heap){.impl = arena};
    return 0;
}

void heap_deinit(struct heap *h)
{
    struct arena *arena = h->impl;
    if (!arena)
        return;
    for (struct list *link; (link = list_pop_front(&arena->blocks));)
        free(CONTAINER_OF(link, struct block, link)->base);
    pthread_mutex_destroy(&arena->lock);
    free(arena);
    h->impl = NULL;
}

static struct block *block_of(void *memory)
{
    struct block *b = (struct block *)memory - 1;
    ASSERT(b->canary == BLOCK_CANARY);
    return b;
}

static bool must_fail(struct heap *h)
{
    return h->fails_in > 0 && --h->fails_in == 0;
}

void *heap_alloc_aligned(struct heap *h, size_t bytes, size_t alignment)
{
    struct arena *arena = h->impl;
    size_t aligned = alignment < BLOCK_ALIGNMENT ? BLOCK_ALIGNMENT : alignment;
    size_t ahead = (sizeof(struct block) + aligned - 1) / aligned * aligned;
    ASSERT((aligned & (aligned - 1)) == 0);
    void *base = NULL;
    if (must_fail(h) || bytes > SIZE_MAX / 2 || posix_memalign(&base, aligned, ahead + bytes))
        return NULL;
    struct block *b = (struct block *)(void *)((char *)base + ahead) - 1;
    *b = (struct block){.arena = arena, .base = base, .bytes = bytes, .canary = BLOCK_CANARY};
    pthread_mutex_lock(&arena->lock);
    list_push_back(&arena->blocks, &b->link);
    pthread_mutex_unlock(&arena->lock);
    h->allocations++;
    h->bytes += (int64_t)bytes;
    if (h->fill)
        memset(b + 1, h->fill, bytes);
    return b + 1;
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    return heap_alloc_aligned(h, bytes, BLOCK_ALIGNMENT);
}

void *heap_alloc_zeroed(struct heap *h, size_t bytes)
{
    void *memory = heap_alloc(h, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *heap_realloc(struct heap *h, void *memory, size_t bytes)
{
    if (!memory)
        return heap_alloc(h, bytes);
    struct block *old = block_of(memory);
    void *fresh = heap_alloc(h, bytes);
    if (!fresh)
        return NULL;
    memcpy(fresh, memory, old->bytes < bytes ? old->bytes : bytes);
    heap_free(h, memory);
    return fresh;
}

void heap_free(struct heap *h, void *memory)
{
    if (!memory)
        return;
    struct block *b = block_of(memory);
    h->bytes -= (int64_t)b->bytes;
    pthread_mutex_lock(&b->arena->lock);
    list_remove(&b->link);
    pthread_mutex_unlock(&b->arena->lock);
    if (h->fill)
        memset(memory, ~h->fill, b->bytes);
    free(b->base);
}

static int64_t usable_bytes(void *memory)
{
    return memory ? (int64_t)block_of(memory)->bytes : 0;
}

#else

#include <mimalloc.h>

int heap_init(struct heap *h)
{
    *h = (struct heap){.impl = mi_heap_new()};
    return h->impl ? 0 : TORC_E_NO_MEMORY;
}

void heap_deinit(struct heap *h)
{
    if (h->impl)
        mi_heap_destroy(h->impl);
    h->impl = NULL;
}

static void *count_allocation(struct heap *h, void *memory)
{
    if (memory) {
        h->allocations++;
        h->bytes += (int64_t)mi_usable_size(memory);
    }
    return memory;
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    return count_allocation(h, mi_heap_malloc(h->impl, bytes));
}

void *heap_alloc_zeroed(struct heap *h, size_t bytes)
{
    return count_allocation(h, mi_heap_zalloc(h->impl, bytes));
}

void *heap_alloc_aligned(struct heap *h, size_t bytes, size_t alignment)
{
    ASSERT((alignment & (alignment - 1)) == 0);
    return count_allocation(h, mi_heap_malloc_aligned(h->impl, bytes, alignment));
}

void *heap_realloc(struct heap *h, void *memory, size_t bytes)
{
    int64_t before = memory ? (int64_t)mi_usable_size(memory) : 0;
    void *fresh = mi_heap_realloc(h->impl, memory, bytes);
    if (!fresh)
        return NULL;
    int64_t after = (int64_t)mi_usable_size(fresh);
    h->bytes += after - before;
    h->allocations += after > before;
    return fresh;
}

void heap_free(struct heap *h, void *memory)
{
    if (!memory)
        return;
    h->bytes -= (int64_t)mi_usable_size(memory);
    mi_free(memory);
}

static int64_t usable_bytes(void *memory)
{
    return memory ? (int64_t)mi_usable_size(memory) : 0;
}

#endif

void heap_disown(struct heap *h, void *memory)
{
    h->bytes -= usable_bytes(memory);
}

void heap_adopt(struct heap *h, void *memory)
{
    h->bytes += usable_bytes(memory);
}
