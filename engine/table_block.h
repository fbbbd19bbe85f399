/* table_block.h - one block of an SSTable: its making, its check, and the search in it. The bytes:
 * table_format.h. */
#ifndef ENGINE_TABLE_BLOCK_H
#define ENGINE_TABLE_BLOCK_H

#include "engine/table_format.h"

/* A block of one unit in the making, in memory of the writer. */
struct table_block_builder {
    uint8_t *to;
    uint32_t bytes; /* of entries so far */
    uint32_t count;
    uint16_t offsets[TABLE_UNIT_ENTRIES_MAX];
};

/* Does an entry of so many bytes still fit into a unit that holds `count` entries of `bytes`? */
static inline bool table_block_fits(uint32_t bytes, uint32_t count, size_t entry)
{
    return bytes + entry + (count + 1) * (size_t)TABLE_OFFSET_BYTES + TABLE_TRAILER_BYTES <= TABLE_UNIT_BYTES;
}

/* The units of a run that holds one entry of so many bytes. */
static inline uint32_t table_run_units(size_t entry)
{
    return (uint32_t)((entry + TABLE_OFFSET_BYTES + TABLE_TRAILER_BYTES + TABLE_UNIT_BYTES - 1) /
                      TABLE_UNIT_BYTES);
}

/* Room for one more entry of so many bytes, which the caller writes. Requires: it fits. */
uint8_t *table_block_add(struct table_block_builder *b, size_t entry);
/* Writes the rest of the unit. The builder is empty afterwards, still of the same memory. */
void table_block_finish(struct table_block_builder *b, uint64_t table, uint32_t position);

/* Makes a run of the one entry, `entry` bytes long, that is at its beginning. Requires: room for
 * table_run_units. */
void table_block_finish_run(uint8_t *to, size_t entry, uint64_t table, uint32_t position);

/* Is this the block that was written there, with entries that can be decoded without looking? */
bool table_block_is_sound(const uint8_t *data, struct cache_block block);

/* All below require a sound block of so many units. */
uint32_t table_block_count(const uint8_t *data, uint32_t units);

/* `*bytes` is the whole of the entry. Returns: false when its header is not as it was encoded: memory went
 * bad after the block was read. */
MUST_CHECK bool table_block_entry(const uint8_t *data, uint32_t units, uint32_t entry, struct record *out,
                                  struct slice *bytes);

/* The first entry whose key is not below `key`; the count of entries when there is none. */
uint32_t table_block_lower_bound(const uint8_t *data, uint32_t units, const struct record_key *key,
                                 bool *is_equal);

#endif
