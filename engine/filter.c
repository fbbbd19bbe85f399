/* filter.c - sizes and fills the blocked Bloom filter of filter.h; asking it is inline there. */
#include "engine/filter.h"

#include "reactor/base/assert.h"

static_assert(FILTER_LINE_BYTES * 8 == 1 << 9, "nine bits of a probe choose a bit of a line");

uint64_t filter_bytes(uint64_t key_count)
{
    uint64_t bits_per_line = FILTER_LINE_BYTES * 8;
    uint64_t lines = (key_count * FILTER_BITS_PER_KEY + bits_per_line - 1) / bits_per_line;
    return (lines ? lines : 1) * FILTER_LINE_BYTES;
}

void filter_add(uint8_t *lines, uint64_t line_count, uint64_t hash)
{
    ASSERT(line_count > 0);
    uint8_t *line = lines + (filter_line(lines, line_count, hash) - lines);
    uint32_t x = (uint32_t)hash;
    for (unsigned i = 0; i < FILTER_PROBES; i++) {
        x *= UINT32_C(0x9e3779b9);
        line[x >> 26] = (uint8_t)(line[x >> 26] | 1u << ((x >> 23) & 7));
    }
}
