/* checksum_long.c - chooses by what the processor has; see checksum_long.h. */
#include "reactor/base/checksum_long.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t checksum_long(const void *data, size_t bytes, uint64_t seed)
{
#if defined(__x86_64__)
    if (__builtin_expect(__builtin_cpu_supports("avx2") != 0, 1))
        return checksum_long_avx2(data, bytes, seed);
#endif
    return XXH3_64bits_withSeed(data, bytes, seed);
}
