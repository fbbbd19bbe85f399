/* table_visit.h - a table as a file: block after block past the cache, for checks, scrubbing and dumps.
 *
 * A cursor ends at the first bad block, since nothing may be passed over; here each block stands for
 * itself. */
#ifndef ENGINE_TABLE_VISIT_H
#define ENGINE_TABLE_VISIT_H

#include "engine/table.h"

struct table_visit {
    struct table *table;
    uint8_t *buffer; /* of the block looked at last */
    size_t capacity;
    uint64_t offset; /* of that block in the file */
    uint64_t bytes;
};

uint32_t table_visit_blocks(const struct table *t);
/* The block that the index leads to. Requires: there is one. */
uint32_t table_visit_find(const struct table *t, const struct record_key *key);
void table_visit_init(struct table_visit *v, struct table *t);
void table_visit_deinit(struct table_visit *v);

/* Waits. Reads block `block` and verifies it; offset and bytes are set in every case. Calls `each`, when not
 * null, for its records in order, whichever vnodes they are of: `is_sound` when the record's checksum holds,
 * or its value is elsewhere (RECORD_SEPARATED) and nothing can be said yet.
 * Returns: 0; TORC_E_CORRUPT when the block, or the header of an entry in it, is not what was written;
 * TORC_E_STORAGE, TORC_E_NO_MEMORY; what `each` returned. */
MUST_CHECK int table_visit_block(struct table_visit *v, uint32_t block,
                                 int (*each)(void *owner, const struct record *record, bool is_sound),
                                 void *owner);

#endif
