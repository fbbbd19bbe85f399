/* filter.h - a blocked Bloom filter: is a key certainly not in a table?
 *
 * Every key's bits lie in one cache line, so asking costs one cache miss. The line is chosen by the upper
 * half of the hash, the bits by the lower half:
 *
 *   hash, 64 bits:  | upper 32: line = hash * lines >> 64 | lower 32: x |
 *   `probes` times: x *= golden ratio, bit = x >> 23
 *
 * How many bits a key gets is chosen for each table (filter_bytes) and the number of probes follows from it.
 * Bits are best spent where they save most reads: tables of the upper tiers are few and small, so many bits
 * a key cost little there and nearly all gets that pass through are refused (Dayan, Athanassoulis, Idreos,
 * "Monkey", SIGMOD 2017). False positives, measured by filter_test: 10 bits 0.9 %, 10.5 bits 0.75 %, 16 bits
 * 0.1 %.
 *
 * Bloom filters in one cache line: Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters"
 * (2007); the stepping of the bits and the probes for a number of bits are those of RocksDB's FastLocalBloom.
 * The bits are the same on disk and in memory. */
#ifndef ENGINE_FILTER_H
#define ENGINE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FILTER_LINE_BYTES = 64,
    FILTER_BITS_X2_DEFAULT = 21, /* half bits a key: 10.5 */
    FILTER_BITS_X2_UPPER = 32,   /* 16, for tables above all others */
    FILTER_BITS_X2_MIN = 2,
    FILTER_BITS_X2_MAX = 48,
    FILTER_PROBES_MAX = 12,
};

/* The bytes of a filter for so many keys at so many half bits each: a multiple of FILTER_LINE_BYTES, at least
 * one line. */
uint64_t filter_bytes(uint64_t key_count, uint32_t bits_x2);

/* How many bits are set and asked for a key, 1 to FILTER_PROBES_MAX. */
uint32_t filter_probes(uint32_t bits_x2);

struct filter {
    uint8_t *lines; /* not owned */
    uint64_t line_count;
    uint32_t probes;
};

/* Adds a key by its hash (table_key_hash). Requires: lines zeroed before the first key. */
void filter_add(const struct filter *f, uint64_t hash);

static inline uint8_t *filter_line(const struct filter *f, uint64_t hash)
{
    return f->lines + (uint64_t)((unsigned __int128)hash * f->line_count >> 64) * FILTER_LINE_BYTES;
}

/* Returns: false when the key was certainly not added. */
static inline bool filter_may_contain(const struct filter *f, uint64_t hash)
{
    const uint8_t *line = filter_line(f, hash);
    uint32_t x = (uint32_t)hash;
    unsigned missing = 0;
    for (uint32_t i = 0; i < f->probes; i++) {
        x *= UINT32_C(0x9e3779b9);
        missing |= (~(unsigned)line[x >> 26] >> ((x >> 23) & 7)) & 1;
    }
    return missing == 0;
}

#endif
