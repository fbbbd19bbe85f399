/* random.h - the load generator's random numbers: PCG-like speed, one word of state, the same run from the
 * same seed.
 *
 * SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): a counter
 * and a mixing function. Each thread has its own; numbers of two threads with different seeds do not overlap
 * in practice. */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

#define RANDOM_GOLDEN 0x9e3779b97f4a7c15ull

/* A bijection of 64-bit words in which each bit of the argument changes about half of the result. */
static inline uint64_t random_mix(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebull;
    return word ^ (word >> 31);
}

static inline struct random random_of_seed(uint64_t seed)
{
    return (struct random){random_mix(seed + RANDOM_GOLDEN)};
}

static inline uint64_t random_next(struct random *r)
{
    return random_mix(r->state += RANDOM_GOLDEN);
}

/* Maps a word to 0 .. bound - 1 by a multiplication; the bias is below bound / 2^64. Requires: bound > 0. */
static inline uint64_t random_scale(uint64_t word, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)word * bound) >> 64);
}

static inline uint64_t random_below(struct random *r, uint64_t bound)
{
    return random_scale(random_next(r), bound);
}

/* Returns: 0 <= u < 1, all 53 bits of a double random. */
static inline double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

#endif
