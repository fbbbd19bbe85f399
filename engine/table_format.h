/* table_format.h - the bytes of an SSTable, shared by writer and reader. All integers are little-endian.
 *
 *   file, in units of 4 KiB:
 *   +---------+---------+--------------------+-----+---------------+---------------+--------+
 *   | block   | block   | block: a run of    | ... | index,        | filter,       | footer |
 *   | k units | k units | units, one entry   |     | padded        | padded        | 1 unit |
 *   +---------+---------+--------------------+-----+---------------+---------------+--------+
 *
 *   block, `bytes` long:
 *   0                             bytes-24-3n     bytes-24-n   bytes-24
 *   +---------+-----+-----+-------+---------------+------------+---------------------------------------+
 *   | entry 0 | ... | n-1 | zeros | u16 offset[n] | u8 tag[n]  | u64 table | u32 position | u16 n      |
 *   |         |     |     |       | of entries    | of keys    | u8 kind | u8 compression | u64 checksum |
 *   +---------+-----+-----+-------+---------------+------------+---------------------------------------+
 *
 * All blocks of a table have the same k units, 1 to 4, so that one whose entries would waste a quarter of a
 * unit takes larger blocks. Entries are those of entry.h. One that does not fit into a block has a run of
 * units of its own, more than k. A tag is 8 bits of the hash of its key: a get looks only at the entries that
 * have the tag of its key, one of 256 besides its own. `position` is where the block stands in the file, in
 * units: with the table's number it names the block, so that one which was written elsewhere or not at all is
 * found. The checksum is XXH3 of all bytes before it.
 *
 *   compressed block, as long as any other on disk:
 *   | zstd frame of entries | zeros | u32 bytes of the frame | u32 bytes of entries | the last 24, as above |
 *
 * In memory it is a block of more units, with offsets and tags made anew, the same number for all blocks of
 * the table.
 *
 *   index:
 *   u32 separator bytes | u32 prefix bytes | u32 bounds bytes | u32 offset[groups] of separators |
 *   u32 position[groups], u16 units[blocks]: only if the table has runs | separators | prefix | bounds
 *
 *   separators, each:
 *   u8 dropped << 4 | added, 15: u16 follows | u16 dropped | u16 added | added bytes
 *
 * Separator i is the shortest string above all keys of block i - 1 and not above the first of block i, in the
 * encoding of table_index.h; it is the one before without its last `dropped` bytes, and then the added ones.
 * Groups of 16 begin anew, as if the one before were empty.
 *
 * Bounds: the smallest and the largest key, each u16 vnode, u32 namespace, u16 key bytes, u16 subkey bytes,
 * key, subkey; none when the table is empty. Padding is zeros and is part of the sections' checksums. */
#ifndef ENGINE_TABLE_FORMAT_H
#define ENGINE_TABLE_FORMAT_H

#include "engine/entry.h"
#include "engine/filter.h"
#include "engine/table.h"

enum {
    TABLE_FORMAT_VERSION = 2,
    TABLE_UNIT_BYTES = 4096,
    TABLE_TRAILER_BYTES = 24,
    TABLE_OFFSET_BYTES = 2,
    TABLE_TAG_BYTES = 1,
    TABLE_ENTRY_EXTRA_BYTES = TABLE_OFFSET_BYTES + TABLE_TAG_BYTES, /* in a block, besides the entry */
    TABLE_PACKED_BYTES = 8,     /* of a compressed block, before the trailer */
    TABLE_MEMORY_UNITS_MAX = 8, /* of a block, in memory: what zstd does at a time takes some 100 us */
    TABLE_BLOCK_ENTRIES_MAX = (TABLE_MEMORY_UNITS_MAX * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES) /
                              (ENTRY_BYTES_MIN + TABLE_ENTRY_EXTRA_BYTES),
    TABLE_RUN_UNITS_MAX =
        (ENTRY_BYTES_MAX + TABLE_ENTRY_EXTRA_BYTES + TABLE_TRAILER_BYTES + TABLE_UNIT_BYTES - 1) /
        TABLE_UNIT_BYTES,
    TABLE_UNITS_MAX = 1 << 20, /* of blocks in one table: 4 GiB */
    TABLE_INDEX_HEADER_BYTES = 12,
    TABLE_INDEX_GROUP = 16, /* separators */
    TABLE_BOUND_HEADER_BYTES = 10,
    TABLE_BOUNDS_BYTES_MAX = 2 * (TABLE_BOUND_HEADER_BYTES + KEY_BYTES_MAX + SUBKEY_BYTES_MAX),
};
static_assert((int)TABLE_UNIT_BYTES == (int)FILE_ALIGNMENT, "a unit can be read directly");
static_assert((int)TABLE_UNIT_BYTES == (int)CACHE_UNIT_BYTES, "a unit of the file is one of the cache");
static_assert((int)TABLE_MEMORY_UNITS_MAX >= (int)TABLE_BLOCK_UNITS_MAX, "a block is no smaller in memory");
static_assert(TABLE_MEMORY_UNITS_MAX * TABLE_UNIT_BYTES <= UINT16_MAX + 1, "offsets in a block are u16");
static_assert(TABLE_BLOCK_ENTRIES_MAX <= UINT16_MAX, "entries of a block are counted in u16");

#define TABLE_MAGIC UINT64_C(0x3154535363726f74) /* "torcSST1" */

enum table_block_kind {
    TABLE_BLOCK_SORTED = 1, /* block_units units of entries */
    TABLE_BLOCK_RUN = 2,    /* one entry in a run of units */
};

static inline uint64_t table_padded(uint64_t bytes)
{
    return (bytes + TABLE_UNIT_BYTES - 1) & ~(uint64_t)(TABLE_UNIT_BYTES - 1);
}

static inline uint32_t table_index_groups(uint32_t block_count)
{
    return (block_count + TABLE_INDEX_GROUP - 1) / TABLE_INDEX_GROUP;
}

/* The tag of a key in its block. Other bits than the filter's: those that come past it would agree there. */
static inline uint8_t table_tag(uint64_t hash)
{
    return (uint8_t)(hash >> 32);
}

/* What the last unit of the file says. The smallest and largest key of `summary` are in the index instead. */
struct table_footer {
    struct table_summary summary;
    uint32_t block_count;
    uint32_t data_units;
    uint32_t block_units;
    uint32_t memory_units; /* of a block, in memory */
    enum table_compression compression;
    bool has_runs;
    uint64_t index_bytes;    /* without padding */
    uint64_t index_checksum; /* with it */
    uint64_t filter_lines;
    uint64_t filter_checksum; /* with padding */
    uint32_t filter_probes;
};

/* Writes one unit. */
void table_footer_encode(uint8_t *to, const struct table_footer *f);
/* Takes one unit. Returns: 0; TORC_E_CORRUPT when it is no footer or one that contradicts itself;
 * TORC_E_DATA_FORMAT when it is whole and of another version. */
MUST_CHECK int table_footer_decode(const uint8_t *from, struct table_footer *out);

#endif
