/* table_pack.h - blocks of a table compressed by zstd.
 *
 *   entries gather in memory --> as many as are likely to fit --> zstd --> a block of the usual size on disk
 *                                           ^                        |
 *                                           +-- too large: cut ------+
 *
 * Blocks of a compressed table have the same size on disk as those of any other, so the index needs no
 * lengths, and each holds as many entries as fit once they are compressed; in memory they are larger, at most
 * TABLE_MEMORY_UNITS_MAX. How many fit is guessed from the blocks before and is mostly right, so a block is
 * compressed once. What does not become smaller is stored as it is. No dictionary: see
 * docs/decisions/006-compressed-blocks.md. */
#ifndef ENGINE_TABLE_PACK_H
#define ENGINE_TABLE_PACK_H

#include "engine/table_block.h"

struct table_packer;

/* Returns: 0 or TORC_E_NO_MEMORY. `block_units` is the size on disk. */
MUST_CHECK int table_packer_open(struct reactor *r, uint32_t block_units, struct table_packer **out);
void table_packer_close(struct table_packer *p); /* Null is allowed. */

/* Where the entries of a block gather: TABLE_MEMORY_UNITS_MAX units. */
uint8_t *table_packer_memory(struct table_packer *p);

/* Would the block of `b` be full with one more entry of so many bytes, by what is known so far? */
bool table_packer_is_full(const struct table_packer *p, const struct table_block_builder *b, size_t entry);

/* Makes a block on disk, at `to`, of as many of the entries of `b` as fit, from the first one on. Returns:
 * how many, at least 1. Requires: at least one, each of them small enough for a block as it is. */
uint32_t table_packer_pack(struct table_packer *p, const struct table_block_builder *b, uint8_t *to,
                           struct table_block_name name);

/* Reads blocks again. Memory for one read of `units` besides. */
struct table_unpacker;
MUST_CHECK int table_unpacker_open(struct reactor *r, uint32_t units, struct table_unpacker **out);
void table_unpacker_close(struct reactor *r, struct table_unpacker *u); /* Null is allowed. */
uint8_t *table_unpacker_memory(struct table_unpacker *u); /* for a direct read of so many units */

/* Makes the block of `units` at `data` one of `to_units` in memory, not compressed, without a checksum.
 * Requires: it is intact. Returns: false when it is not what a packer made. */
MUST_CHECK bool table_unpack(struct table_unpacker *u, const uint8_t *data, uint32_t units, uint8_t *to,
                             uint32_t to_units);

#endif
