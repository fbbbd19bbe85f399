/* filter.h - a blocked Bloom filter: is a key certainly not in a table?
 *
 * Every key's bits lie in one cache line, so asking costs one cache miss. About 10 bits a key and 6 bits set
 * give 1 % false positives or less. The line is chosen by the upper half of the hash, the bits by the lower
 * half:
 *
 *   hash, 64 bits:  | upper 32: line = hash * lines >> 64 | lower 32: x |
 *   six times:      x *= golden ratio, bit = x >> 23
 *
 * Bloom filters in one cache line: Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters"
 * (2007); the stepping of the bits is that of RocksDB's FastLocalBloom. The bits are the same on disk and in
 * memory. */
#ifndef ENGINE_FILTER_H
#define ENGINE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FILTER_LINE_BYTES = 64,
    FILTER_BITS_PER_KEY = 10,
    FILTER_PROBES = 6,
};

/* The bytes of a filter for so many keys: a multiple of FILTER_LINE_BYTES, at least one line. */
uint64_t filter_bytes(uint64_t key_count);

/* Adds a key by its hash (table_key_hash). Requires: `line_count` lines at `lines`, zeroed before the first
 * key. */
void filter_add(uint8_t *lines, uint64_t line_count, uint64_t hash);

static inline const uint8_t *filter_line(const uint8_t *lines, uint64_t line_count, uint64_t hash)
{
    return lines + (uint64_t)((unsigned __int128)hash * line_count >> 64) * FILTER_LINE_BYTES;
}

/* Returns: false when the key was certainly not added. */
static inline bool filter_may_contain(const uint8_t *lines, uint64_t line_count, uint64_t hash)
{
    const uint8_t *line = filter_line(lines, line_count, hash);
    uint32_t x = (uint32_t)hash;
    unsigned missing = 0;
    for (unsigned i = 0; i < FILTER_PROBES; i++) {
        x *= UINT32_C(0x9e3779b9);
        missing |= (~(unsigned)line[x >> 26] >> ((x >> 23) & 7)) & 1;
    }
    return missing == 0;
}

#endif
