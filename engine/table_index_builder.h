/* table_index_builder.h - the index of a table while it is written.
 *
 * Separators gather, each as what it has more than the one before. What all first keys have in common is
 * known at the end only: then they are put together once more, without it, in groups. The bytes:
 * table_format.h. */
#ifndef ENGINE_TABLE_INDEX_BUILDER_H
#define ENGINE_TABLE_INDEX_BUILDER_H

#include "engine/table_index.h"
#include "engine/table_pieces.h"
#include "engine/table_section.h"

/* A string like those of table_sort_key, kept. */
struct table_sort_copy {
    size_t bytes;
    uint8_t data[TABLE_SORT_KEY_BYTES_MAX];
};

struct table_index_builder {
    struct reactor *r;
    uint32_t block_count;
    uint32_t block_units;
    uint32_t data_units; /* of all blocks so far */
    bool has_runs;
    struct table_pieces gathered;     /* separators: u16 shared with the one before, u16 more, these bytes */
    struct table_pieces positions;    /* u32, one a group */
    struct table_pieces units;        /* u16, one a block */
    struct table_pieces separators;   /* made at the end, as are the next */
    struct table_pieces offsets;      /* u32, one a group */
    struct table_sort_copy prefix;    /* of all first keys so far, behind the namespace */
    struct table_sort_copy last;      /* key of the block before */
    struct table_sort_copy first;     /* key of this block */
    struct table_sort_copy separator; /* of the block before */
};

void table_index_builder_init(struct table_index_builder *b, struct reactor *r, uint32_t block_units);
void table_index_builder_deinit(struct table_index_builder *b);

/* The next block has so many units, and these are its first and last key: above all before. */
MUST_CHECK int table_index_builder_add(struct table_index_builder *b, uint32_t units,
                                       const struct record_key *first, const struct record_key *last);

/* About. */
static inline uint64_t table_index_builder_bytes(const struct table_index_builder *b)
{
    return b->gathered.bytes + (b->has_runs ? b->positions.bytes + b->units.bytes : 0);
}

/* Waits. Writes the section: all but its padding. */
MUST_CHECK int table_index_builder_write(struct table_index_builder *b, struct table_section *section,
                                         struct slice bounds);

#endif
