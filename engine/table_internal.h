/* table_internal.h - what point reads (table.c) and cursors (table_cursor.c) of an open table share. */
#ifndef ENGINE_TABLE_INTERNAL_H
#define ENGINE_TABLE_INTERNAL_H

#include "engine/table_block.h"
#include "engine/table_index.h"

struct table {
    struct reactor *r;
    struct cache *cache;
    struct file *file;
    struct table_summary summary;
    struct table_index index;
    struct filter filter; /* its lines are owned */
    uint8_t *bounds;      /* of a stand-in: the bytes of smallest and largest key; owned */
    uint64_t pinned_bytes;
    struct table_counters counters;
    uint16_t vnode_first; /* table_limit; else all */
    uint16_t vnode_last;
    bool is_unreadable; /* a stand-in: no file, no index, no filter */
};

/* Waits. Reads exactly so many units. Returns: 0, TORC_E_CORRUPT when the file ends before, TORC_E_STORAGE.
 * */
MUST_CHECK int table_read_units(struct table *t, uint8_t *to, uint32_t position, uint32_t units);

/* A cache_load_fn: `context` is the table. Waits. */
MUST_CHECK int table_load_block(void *context, struct cache_block block, uint8_t *to);

/* Is the block sound, or only intact: its entries are looked at one by one then? Returns: 0, or
 * TORC_E_CORRUPT, counted. */
MUST_CHECK int table_check_block(struct table *t, const uint8_t *data, struct cache_block block);
MUST_CHECK int table_check_frame(struct table *t, const uint8_t *data, struct cache_block block);

/* Does what the table holds of this vnode count? */
static inline bool table_counts(const struct table *t, uint16_t vnode)
{
    return vnode >= t->vnode_first && vnode <= t->vnode_last;
}

static inline struct cache_block table_block_at(const struct table *t, uint32_t i)
{
    struct cache_block block = table_index_block(&t->index, i);
    block.table = t->summary.number;
    return block;
}

#endif
