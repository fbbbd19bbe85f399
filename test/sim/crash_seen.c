/* crash_seen.c - a set of hashes, by linear probing; see crash_seen.h. */
#include "test/sim/crash_seen.h"

#include "reactor/base/assert.h"

#include <stdlib.h>

enum { CAPACITY_FIRST = 1024 };

/* Returns: the slot of the hash, or the free one where it belongs. */
static uint64_t *find(const struct crash_seen *s, uint64_t hash)
{
    uint64_t at = hash & (s->capacity - 1);
    while (s->slots[at] != 0 && s->slots[at] != hash)
        at = (at + 1) & (s->capacity - 1);
    return &s->slots[at];
}

static void grow(struct crash_seen *s)
{
    struct crash_seen old = *s;
    s->capacity = old.capacity ? old.capacity * 2 : CAPACITY_FIRST;
    s->slots = calloc(s->capacity, sizeof s->slots[0]);
    ASSERT(s->slots);
    for (uint64_t i = 0; i < old.capacity; i++)
        if (old.slots[i] != 0)
            *find(s, old.slots[i]) = old.slots[i];
    free(old.slots);
}

bool crash_seen_add(struct crash_seen *s, uint64_t hash)
{
    if (s->count * 2 >= s->capacity)
        grow(s);
    uint64_t *slot = find(s, hash ? hash : 1);
    if (*slot != 0)
        return false;
    *slot = hash ? hash : 1;
    s->count++;
    return true;
}

void crash_seen_deinit(struct crash_seen *s)
{
    free(s->slots);
    *s = (struct crash_seen){0};
}
