/* crash_seen.h - a set of 64-bit hashes that only grows. */
#ifndef TEST_SIM_CRASH_SEEN_H
#define TEST_SIM_CRASH_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct crash_seen {
    uint64_t *slots; /* open addressing; 0: free */
    uint64_t count;
    uint64_t capacity; /* a power of two */
};

/* `*s` is zeroed before its first use. Returns: whether it was not yet there. */
bool crash_seen_add(struct crash_seen *s, uint64_t hash);
void crash_seen_deinit(struct crash_seen *s);

#endif
