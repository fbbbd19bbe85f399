/* checksum_avx2.c - XXH3 for processors with AVX2; compiled with -mavx2, and only called where that runs. */
#include "reactor/base/checksum_long.h"

#if defined(__x86_64__)

#define XXH_INLINE_ALL
#include <xxhash.h>

static_assert(XXH_VECTOR == XXH_AVX2, "the Makefile compiles this file with -mavx2");

uint64_t checksum_long_avx2(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

#endif
