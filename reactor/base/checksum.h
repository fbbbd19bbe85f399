/* checksum.h - the one checksum of torc: XXH3, 64 bits.
 *
 * A record's checksum covers its key and its value and is made where the bytes enter the cluster: by the
 * client. It is the hash of the value seeded with the hash of the key, so each side computes it from two
 * pieces that need not be adjacent, and a value can never pass as that of another key. It is stored with
 * the record and checked at every read. XXH3: https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md */
#ifndef REACTOR_BASE_CHECKSUM_H
#define REACTOR_BASE_CHECKSUM_H

#include "reactor/base/checksum_long.h"
#include "reactor/base/slice.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t checksum_bytes(const void *data, size_t bytes)
{
    return bytes <= CHECKSUM_SHORT_BYTES_MAX ? XXH3_64bits(data, bytes) : checksum_long(data, bytes, 0);
}

/* The checksum of the value of a key whose checksum_bytes is `key_hash`. */
static inline uint64_t checksum_record_of_hash(uint64_t key_hash, struct slice value)
{
    return value.bytes <= CHECKSUM_SHORT_BYTES_MAX ? XXH3_64bits_withSeed(value.data, value.bytes, key_hash)
                                                   : checksum_long(value.data, value.bytes, key_hash);
}

static inline uint64_t checksum_record(struct slice key, struct slice value)
{
    return checksum_record_of_hash(checksum_bytes(key.data, key.bytes), value);
}

/* 64 bits to 32, both halves counting: what a frame's check carries of a checksum. */
static inline uint32_t checksum_fold(uint64_t checksum)
{
    return (uint32_t)(checksum ^ (checksum >> 32));
}

#endif
