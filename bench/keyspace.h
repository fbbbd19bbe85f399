/* keyspace.h - the keys and the values of a run, both computed from a number, so nothing is stored and all is
 * checkable.
 *
 * Key number i is "user" and a zero-padded decimal number that is a bijective hash of i, as with YCSB's
 * hashed insert order: keys are distinct and arrive in no order. When key lengths are a range, the length is
 * another hash of i.
 *
 * A value belongs to (key number, version): 8 bytes of version, then words made of both, then the length,
 * which when it is a range also follows from both. So a read knows whether what came back was ever written
 * under that key. Of a value that is to be compressible only a first part is such words, and the rest repeats
 * them. */
#ifndef BENCH_KEYSPACE_H
#define BENCH_KEYSPACE_H

#include "reactor/base/assert.h"
#include "reactor/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    KEYSPACE_KEY_BYTES_MIN = 8,
    KEYSPACE_KEY_BYTES_MAX = 1024,
    KEYSPACE_VALUE_BYTES_MAX = 1 << 20,
    KEYSPACE_VERIFIABLE_BYTES_MIN = 16,
};

struct keyspace {
    uint32_t key_bytes_min, key_bytes_max;
    uint32_t value_bytes_min, value_bytes_max;
    uint32_t value_novel_256; /* how much of a value no compressor makes smaller, in 256ths: 1 to 256 */
    /* 0: none; else the first digits stand in braces, so that keys which share them share a vnode */
    uint32_t tag_digits;
    unsigned number_bits; /* the hash is a permutation of 0 .. 2^bits - 1, which fit the shortest key */
    uint64_t number_mask;
};

struct byte_range {
    uint32_t min, max;
};

/* Requires: both ranges within the limits above. Returns: false when `key_count` keys and as many inserted
 * ones again do not fit the shortest key. */
MUST_CHECK bool keyspace_init(struct keyspace *k, struct byte_range key_bytes, struct byte_range value_bytes,
                              uint64_t key_count);

/* Gives keys a tag, "user{012}3456789", such that about `keys_per_tag` of the `key_count` share one: what a
 * short scan asks for is then in order on one vnode. Requires: keys of one length. Returns: false when they
 * are too short. */
MUST_CHECK bool keyspace_use_tags(struct keyspace *k, uint64_t key_count, uint64_t keys_per_tag);

/* How many distinct keys there can be. */
uint64_t keyspace_capacity(const struct keyspace *k);

/* Writes key `index` to `to`, at least key_bytes_max bytes. Returns: its length. */
uint32_t keyspace_key(const struct keyspace *k, uint64_t index, uint8_t *to);

/* Returns: the length of the prefix that a key shares with the others of its tag. */
uint32_t keyspace_prefix_bytes(const struct keyspace *k);

/* Writes the value to `to`, at least value_bytes_max + 8 bytes. Returns: its length. */
uint32_t keyspace_value(const struct keyspace *k, uint64_t index, uint64_t version, uint8_t *to);

/* Requires: value_bytes_min >= KEYSPACE_VERIFIABLE_BYTES_MIN. Returns: the value is one of key `index`, in
 * any version. */
bool keyspace_value_belongs(const struct keyspace *k, uint64_t index, struct slice value);

#endif
