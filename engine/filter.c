/* filter.c - sizes and fills the blocked Bloom filter of filter.h; asking it is inline there. */
#include "engine/filter.h"

#include "reactor/base/assert.h"

static_assert(FILTER_LINE_BYTES * 8 == 1 << 9, "nine bits of a probe choose a bit of a line");

uint64_t filter_bytes(uint64_t key_count, uint32_t bits_x2)
{
    ASSERT(bits_x2 >= FILTER_BITS_X2_MIN && bits_x2 <= FILTER_BITS_X2_MAX);
    uint64_t half_bits_per_line = FILTER_LINE_BYTES * 8 * 2;
    uint64_t lines = (key_count * bits_x2 + half_bits_per_line - 1) / half_bits_per_line;
    return (lines ? lines : 1) * FILTER_LINE_BYTES;
}

uint32_t filter_probes(uint32_t bits_x2)
{
    /* Up to so many half bits a key i + 1 probes are best in lines of 512 bits, where keys are spread less
     * evenly than over a whole filter (RocksDB, FastLocalBloomImpl::ChooseNumProbes). */
    static const uint8_t bits_x2_max[] = {4, 7, 10, 13, 16, 20, 23, 28, 32, 36, 44};
    uint32_t probes = 1;
    for (unsigned i = 0; i < sizeof bits_x2_max && bits_x2 > bits_x2_max[i]; i++)
        probes++;
    ASSERT(probes <= FILTER_PROBES_MAX);
    return probes;
}

void filter_add(const struct filter *f, uint64_t hash)
{
    ASSERT(f->line_count > 0);
    uint8_t *line = filter_line(f, hash);
    uint32_t x = (uint32_t)hash;
    for (uint32_t i = 0; i < f->probes; i++) {
        x *= UINT32_C(0x9e3779b9);
        line[x >> 26] = (uint8_t)(line[x >> 26] | 1u << ((x >> 23) & 7));
    }
}
