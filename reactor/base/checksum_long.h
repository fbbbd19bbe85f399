/* checksum_long.h - XXH3 of what is longer than a key: by the vectors that the processor has.
 *
 * A block of 8 KiB costs 0.7 us with the 128-bit vectors that every x86-64 has, and 0.23 us with AVX2. The
 * result is the same on all. */
#ifndef REACTOR_BASE_CHECKSUM_LONG_H
#define REACTOR_BASE_CHECKSUM_LONG_H

#include <stddef.h>
#include <stdint.h>

enum { CHECKSUM_SHORT_BYTES_MAX = 240 }; /* up to here XXH3 uses no vectors, and is inline (checksum.h) */

/* XXH3_64bits_withSeed; with seed 0 it is XXH3_64bits. */
uint64_t checksum_long(const void *data, size_t bytes, uint64_t seed);

#if defined(__x86_64__)
/* Requires: the processor has AVX2. */
uint64_t checksum_long_avx2(const void *data, size_t bytes, uint64_t seed);
#endif

#endif
