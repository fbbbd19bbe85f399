/* heap.h - the heap of one core: everything in it goes away with it.
 *
 * Allocating is for the owning thread only; freeing is for any, so memory can be handed over in a message. */
#ifndef REACTOR_HEAP_H
#define REACTOR_HEAP_H

#include "reactor/base/assert.h"

#include <stddef.h>
#include <stdint.h>

struct heap {
    void *impl;
    uint64_t allocations;
    int64_t bytes; /* allocated here less freed here; what is freed on another core is counted there before */
    /* The tests', and without effect in a release: */
    uint64_t fails_in; /* of so many more allocations the last one fails; 0: none does */
    uint8_t fill;      /* unless 0, what new memory is full of; freed memory gets its complement */
};

/* Returns: 0 or TORC_E_NO_MEMORY. Requires: called by the thread that will allocate and deinit. */
MUST_CHECK int heap_init(struct heap *h); /* fails_in and fill are 0 */
/* Frees all that was allocated from this heap. Requires: no other thread frees memory of it now or later. */
void heap_deinit(struct heap *h);

void *heap_alloc(struct heap *h, size_t bytes);
void *heap_alloc_zeroed(struct heap *h, size_t bytes);
void *heap_alloc_aligned(struct heap *h, size_t bytes, size_t alignment);
void *heap_realloc(struct heap *h, void *memory, size_t bytes);
void heap_free(struct heap *h, void *memory);

/* Memory of any heap is counted in this one no more, or from now on: for what another thread will free.
 * Null is allowed. */
void heap_disown(struct heap *h, void *memory);
void heap_adopt(struct heap *h, void *memory);

#endif
