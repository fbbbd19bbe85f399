/* table_format.h - the bytes of an SSTable, shared by writer and reader. All integers are little-endian.
 *
 *   file, in units of 4 KiB:
 *   +---------+---------+--------------------+-----+---------------+---------------+--------+
 *   | block   | block   | block: a run of    | ... | index,        | filter,       | footer |
 *   | 1 unit  | 1 unit  | units, one entry   |     | padded        | padded        | 1 unit |
 *   +---------+---------+--------------------+-----+---------------+---------------+--------+
 *
 *   block, `bytes` long:
 *   0                                        bytes-24-2n     bytes-24
 *   +---------+---------+-----+---------+-------+---------------+---------------------------------------+
 *   | entry 0 | entry 1 | ... | n - 1   | zeros | u16 offset[n] | u64 table | u32 position | u16 n      |
 *   |         |         |     |         |       | of entries    | u8 kind | u8 compression | u64 checksum |
 *   +---------+---------+-----+---------+-------+---------------+---------------------------------------+
 *
 * Entries are those of entry.h. An entry that does not fit into one unit has a run of units of its own.
 * `position` is where the block stands in the file, in units: with the table's number it names the block, so
 * that one which was written elsewhere or not at all is found. The checksum is XXH3 of all bytes before it.
 *
 *   index:
 *   u32 separator bytes | u32 bounds bytes | u32 offset[blocks + 1] |
 *   u32 position[blocks + 1], only if the table has runs | separators | bounds
 *
 * Bounds: the smallest and the largest key, each u16 vnode, u32 namespace, u16 key bytes, u16 subkey bytes,
 * key, subkey; none when the table is empty.
 *
 * Separator i is the shortest string above all keys of block i - 1 and not above the first of block i, in the
 * encoding of table_index.h. Padding is zeros and is part of the sections' checksums. */
#ifndef ENGINE_TABLE_FORMAT_H
#define ENGINE_TABLE_FORMAT_H

#include "engine/entry.h"
#include "engine/filter.h"
#include "engine/table.h"

enum {
    TABLE_FORMAT_VERSION = 1,
    TABLE_UNIT_BYTES = 4096,
    TABLE_TRAILER_BYTES = 24,
    TABLE_OFFSET_BYTES = 2,
    TABLE_UNIT_ENTRIES_MAX =
        (TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES) / (ENTRY_BYTES_MIN + TABLE_OFFSET_BYTES),
    TABLE_BLOCK_UNITS_MAX =
        (ENTRY_BYTES_MAX + TABLE_OFFSET_BYTES + TABLE_TRAILER_BYTES + TABLE_UNIT_BYTES - 1) /
        TABLE_UNIT_BYTES,
    TABLE_UNITS_MAX = 1 << 20, /* of blocks in one table: 4 GiB */
    TABLE_INDEX_HEADER_BYTES = 8,
    TABLE_BOUND_HEADER_BYTES = 10,
    TABLE_BOUNDS_BYTES_MAX = 2 * (TABLE_BOUND_HEADER_BYTES + KEY_BYTES_MAX + SUBKEY_BYTES_MAX),
};
static_assert((int)TABLE_UNIT_BYTES == (int)FILE_ALIGNMENT, "a unit can be read directly");
static_assert((int)TABLE_UNIT_BYTES == (int)CACHE_UNIT_BYTES, "a unit of the file is one of the cache");

#define TABLE_MAGIC UINT64_C(0x3154535363726f74) /* "torcSST1" */

enum table_block_kind {
    TABLE_BLOCK_SORTED = 1, /* one unit of entries, found by binary search */
    TABLE_BLOCK_RUN = 2,    /* one entry in a run of units */
};

enum table_compression { TABLE_COMPRESSION_NONE = 0 }; /* other values are reserved */

static inline uint64_t table_padded(uint64_t bytes)
{
    return (bytes + TABLE_UNIT_BYTES - 1) & ~(uint64_t)(TABLE_UNIT_BYTES - 1);
}

/* What the last unit of the file says. The smallest and largest key of `summary` are in the index instead. */
struct table_footer {
    struct table_summary summary;
    uint32_t block_count;
    uint32_t data_units;
    bool has_runs;
    uint64_t index_bytes; /* padded, as are filter_bytes */
    uint64_t index_checksum;
    uint64_t filter_lines;
    uint64_t filter_bytes;
    uint64_t filter_checksum;
};

/* Writes one unit. */
void table_footer_encode(uint8_t *to, const struct table_footer *f);
/* Takes one unit. Returns: 0; TORC_E_CORRUPT when it is no footer or one that contradicts itself;
 * TORC_E_DATA_FORMAT when it is whole and of another version. */
MUST_CHECK int table_footer_decode(const uint8_t *from, struct table_footer *out);

#endif
