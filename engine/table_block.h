/* table_block.h - one block of an SSTable: its making, its check, and the search in it. The bytes:
 * table_format.h. */
#ifndef ENGINE_TABLE_BLOCK_H
#define ENGINE_TABLE_BLOCK_H

#include "engine/table_format.h"

/* A block in the making, in memory of the writer. */
struct table_block_builder {
    uint8_t *to;
    uint32_t bytes; /* of entries so far */
    uint32_t count;
    uint16_t offsets[TABLE_BLOCK_ENTRIES_MAX];
    uint8_t tags[TABLE_BLOCK_ENTRIES_MAX];
};

/* Which block it is, and memory for it. */
struct table_block_name {
    uint64_t table;
    uint32_t position;
};
struct table_block_place {
    uint8_t *to;
    uint32_t units;
    struct table_block_name name;
};

/* Does an entry of so many bytes fit into a block of `units` that holds `count` entries of `bytes`? */
static inline bool table_block_fits(uint32_t units, uint32_t bytes, uint32_t count, size_t entry)
{
    return bytes + entry + (count + 1) * (size_t)TABLE_ENTRY_EXTRA_BYTES + TABLE_TRAILER_BYTES <=
           (size_t)units * TABLE_UNIT_BYTES;
}

/* The units of a run that holds one entry of so many bytes. */
static inline uint32_t table_run_units(size_t entry)
{
    return (uint32_t)((entry + TABLE_ENTRY_EXTRA_BYTES + TABLE_TRAILER_BYTES + TABLE_UNIT_BYTES - 1) /
                      TABLE_UNIT_BYTES);
}

/* Room for one more entry of so many bytes, which the caller writes. Requires: memory for it. */
uint8_t *table_block_add(struct table_block_builder *b, size_t entry, uint8_t tag);
/* Makes a block of the first `count` entries. Requires: they are at the place already, and fit. */
void table_block_finish(const struct table_block_builder *b, uint32_t count, struct table_block_place place);
/* Takes out the first `count` entries. */
void table_block_drop(struct table_block_builder *b, uint32_t count);

/* Makes a run of the one entry, `entry` bytes long, that is at its beginning. */
void table_block_finish_run(struct table_block_place run, size_t entry, uint8_t tag);

/* Bytes of a compressed block, and how many entries. */
struct table_packed {
    uint32_t packed;
    uint32_t plain;
    uint32_t count;
};
/* Makes a block of the zstd frame that is at its beginning. */
void table_block_finish_packed(struct table_block_place place, struct table_packed size);

/* Is this the block that was written there, of a table with that compression? Its entries were not looked at:
 * table_block_fresh_entry does. */
bool table_block_is_intact(const uint8_t *data, struct cache_block block, enum table_compression compression);
/* Do its entries follow one another, so that they can be decoded without looking? Requires: it is intact and
 * not compressed. */
bool table_block_is_whole(const uint8_t *data, uint32_t units);

/* Of an intact block. Returns: false when it is not compressed. */
bool table_block_packed(const uint8_t *data, uint32_t units, struct slice *packed, struct table_packed *size);
/* These make a block of `to_units` in memory, without a checksum, out of an intact one: a copy of one that is
 * not compressed; or with the entries, `plain` bytes, that are at `to` already. Returns: false when they are
 * not whole, or do not fit. */
MUST_CHECK bool table_block_widen(const uint8_t *data, uint32_t units, uint8_t *to, uint32_t to_units);
MUST_CHECK bool table_block_restore(const uint8_t *data, uint32_t units, uint8_t *to, uint32_t to_units,
                                    size_t plain);

/* All below require an intact block of so many units, not compressed. */
uint32_t table_block_count(const uint8_t *data, uint32_t units);

/* An entry of a block that has just been found intact: `*bytes` is the whole of it. Returns: false when it
 * does not lie between its offset and the next one. */
MUST_CHECK bool table_block_fresh_entry(const uint8_t *data, uint32_t units, uint32_t entry,
                                        struct record *out, struct slice *bytes);

/* The same of a whole block that may be in memory since long. Returns: false when the header of the entry is
 * not as it was encoded: memory went bad. */
MUST_CHECK bool table_block_entry(const uint8_t *data, uint32_t units, uint32_t entry, struct record *out,
                                  struct slice *bytes);

/* All below require a whole block. */

/* The first entry whose key is not below `key`; the count of entries when there is none. */
uint32_t table_block_lower_bound(const uint8_t *data, uint32_t units, const struct record_key *key);

/* The entry of the key, whose hash has that tag. Returns: false when it is not in the block. */
bool table_block_find(const uint8_t *data, uint32_t units, const struct record_key *key, uint8_t tag,
                      uint32_t *entry);

#endif
