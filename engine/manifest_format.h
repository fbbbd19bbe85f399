/* manifest_format.h - the bytes of one copy of the manifest; docs/formats-engine.md has them field by field.
 *
 *   0        48        144                                        padded to 4 KiB
 *   +--------+---------+---------+---------+-----+---------------+
 *   | header | numbers | table   | table   | ... | zeros         |
 *   +--------+---------+---------+---------+-----+---------------+
 *
 * The header has the generation, the length of what follows and checksums of that and of itself. A decoded
 * state points into the bytes it came from. */
#ifndef ENGINE_MANIFEST_FORMAT_H
#define ENGINE_MANIFEST_FORMAT_H

#include "engine/manifest.h"

enum {
    MANIFEST_MAGIC = 0x464d4f54, /* "TOMF" */
    MANIFEST_BLOCK_BYTES = 4096,
    MANIFEST_HEADER_BYTES = 48,
    MANIFEST_NUMBERS_BYTES = 96,
    MANIFEST_TABLE_BYTES = 104, /* the fixed part */
    MANIFEST_KEY_BYTES = 12,    /* the fixed part */
    MANIFEST_BYTES_MAX = 256 << 20,
};

struct manifest_header {
    uint64_t generation;
    uint64_t content_bytes;
    uint64_t content_checksum;
};

/* Returns: 0; TORC_E_CORRUPT; TORC_E_DATA_FORMAT when it is whole and of another version. */
MUST_CHECK int manifest_header_decode(const uint8_t *from, struct manifest_header *out);

/* The length of the encoded state, header included, padding not. */
uint64_t manifest_encoded_bytes(const struct manifest_state *state);
/* Writes manifest_encoded_bytes(state) bytes. */
void manifest_encode(uint8_t *to, const struct manifest_state *state);

/* Decodes header and content. `tables` has room for manifest_table_count(bytes). Returns: 0, or
 * TORC_E_CORRUPT. */
MUST_CHECK int manifest_decode(struct slice bytes, struct manifest_table *tables, struct manifest_state *out);
/* Both require: the header decodes and the content is as long as it says and has its checksum. */
bool manifest_is_of(struct slice bytes, const struct manifest_shard *shard);
uint32_t manifest_table_count(struct slice bytes);

#endif
