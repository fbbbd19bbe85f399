/* table_index.h - which block of a table may hold a key: one short separator a block, pinned in memory.
 *
 * Keys are compared here as plain strings of bytes that sort as record_key_compare does:
 *
 *   vnode, u16 big-endian | namespace: one byte below 255, else 255 and u32 big-endian |
 *   key, a zero byte in it as 00 ff | 00 01 | subkey as it is
 *
 * Where the first keys of all blocks begin alike behind the namespace, these bytes are kept once, as the
 * table's prefix, and in their place a key has one byte: 1 if it begins so; else it ends with 0 if it is
 * below the prefix and with 2 if it is above. That keeps the order, and no separator repeats the prefix
 * when a vnode begins.
 *
 * A separator can be any beginning of a key's string, and the shortest that is above the block before is
 * mostly a few bytes more than what it shares with the separator before. Only these are kept: some three
 * bytes a block, in groups of 16 that can be read on their own.
 *
 *   find:  binary search among the first separators of the groups --> a walk through one group
 *
 * The index in memory is the one on disk, checked once. */
#ifndef ENGINE_TABLE_INDEX_H
#define ENGINE_TABLE_INDEX_H

#include "engine/table_format.h"

enum { TABLE_SORT_KEY_BYTES_MAX = 2 + 5 + 2 * KEY_BYTES_MAX + 2 + SUBKEY_BYTES_MAX };
static_assert((uint64_t)TABLE_UNITS_MAX * (TABLE_SORT_KEY_BYTES_MAX + 5) <= UINT32_MAX,
              "offsets of separators are u32");
static_assert(TABLE_SORT_KEY_BYTES_MAX <= UINT16_MAX, "lengths in separators are u16");

/* Writes the string of a key without regard to a prefix, at most TABLE_SORT_KEY_BYTES_MAX bytes; returns its
 * length. */
size_t table_sort_key(uint8_t *to, const struct record_key *key);

/* The bytes of vnode and namespace in such a string. Requires: more than 2 bytes of it. */
static inline size_t table_sort_head(const uint8_t *key)
{
    return key[2] < 0xff ? 3 : 7;
}

enum { TABLE_BELOW_PREFIX = 0, TABLE_WITH_PREFIX = 1, TABLE_ABOVE_PREFIX = 2 };

/* The bytes of the shortest beginning of `key` that is above `previous`. Requires: previous < key. */
size_t table_separator_bytes(struct slice previous, struct slice key);

struct table_index {
    uint8_t *section; /* as on disk; owned */
    const uint8_t *offsets;
    const uint8_t *positions; /* of groups; null: block i is at i * block_units */
    const uint8_t *units;     /* of blocks; null as well */
    const uint8_t *separators;
    uint32_t separator_bytes;
    struct slice prefix; /* empty: keys have no byte for it */
    uint32_t block_count;
    uint32_t block_units;
    uint32_t data_units;
};

/* Takes over `section`, f->index_bytes long and as its checksum says, and fills the bounds in `summary`,
 * which point into it. Waits: yields. Returns: 0, or TORC_E_CORRUPT when it contradicts itself or the footer;
 * it owns the section then too. */
MUST_CHECK int table_index_init(struct table_index *x, struct reactor *r, uint8_t *section,
                                const struct table_footer *f, struct table_summary *summary);

/* The block whose keys surround `key`: the last whose separator is not above it. Requires: at least one
 * block. */
uint32_t table_index_find(const struct table_index *x, const struct record_key *key);

/* Where block `i` is in the file. Its table is not filled. */
struct cache_block table_index_block(const struct table_index *x, uint32_t i);

/* Encodes a bound; returns its bytes. */
size_t table_bound_encode(uint8_t *to, const struct record_key *key);

#endif
