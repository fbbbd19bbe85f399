/* table_section.h - a part of a table behind its blocks: bytes, padded with zeros to whole units, and one
 * checksum over all of them. */
#ifndef ENGINE_TABLE_SECTION_H
#define ENGINE_TABLE_SECTION_H

#include "engine/table_output.h"
#include "engine/table_pieces.h"

struct table_section {
    struct table_output *output;
    XXH3_state_t hash;
    uint64_t bytes;
};

/* Requires: the output stands at a whole unit. */
void table_section_begin(struct table_section *s, struct table_output *output);

/* These wait when a buffer of the output is full. */
MUST_CHECK int table_section_append(struct table_section *s, const void *from, size_t bytes);
MUST_CHECK int table_section_append_u32(struct table_section *s, uint64_t value);
MUST_CHECK int table_section_append_pieces(struct table_section *s, const struct table_pieces *pieces);

/* Writes the padding. `*bytes` are without it. */
MUST_CHECK int table_section_end(struct table_section *s, uint64_t *bytes, uint64_t *checksum);

#endif
