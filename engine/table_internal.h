/* table_internal.h - what point reads (table.c) and cursors (table_cursor.c) of an open table share. */
#ifndef ENGINE_TABLE_INTERNAL_H
#define ENGINE_TABLE_INTERNAL_H

#include "engine/table_block.h"
#include "engine/table_index.h"
#include "engine/table_pack.h"

struct table {
    struct reactor *r;
    struct cache *cache;
    struct file *file;
    struct table_summary summary;
    struct table_index index;
    struct filter filter; /* its lines are owned */
    enum table_compression compression;
    uint32_t memory_units; /* of a block that is not a run */
    uint8_t *bounds;       /* of a stand-in: the bytes of smallest and largest key; owned */
    uint64_t pinned_bytes;
    struct table_counters counters;
    uint16_t vnode_first; /* table_limit; else all */
    uint16_t vnode_last;
    bool is_unreadable; /* a stand-in: no file, no index, no filter */
};

/* Does what the table holds of this vnode count? */
static inline bool table_counts(const struct table *t, uint16_t vnode)
{
    return vnode >= t->vnode_first && vnode <= t->vnode_last;
}

/* A block: `block` is what it is in the cache, `units` how many it has in the file. */
struct table_place {
    struct cache_block block;
    uint32_t units;
};

/* Of a compressed table, and not a run: it has more units in memory and has to be unpacked. */
static inline bool table_is_packed(const struct table *t, struct table_place place)
{
    return t->compression != TABLE_COMPRESSION_NONE && place.units == t->index.block_units;
}

static inline struct table_place table_place_at(const struct table *t, uint32_t i)
{
    struct table_place place = {.block = table_index_block(&t->index, i)};
    place.block.table = t->summary.number;
    place.units = place.block.units;
    if (table_is_packed(t, place))
        place.block.units = t->memory_units;
    return place;
}

/* Waits. Reads exactly so many units. Returns: 0, TORC_E_CORRUPT when the file ends before, TORC_E_STORAGE.
 * */
MUST_CHECK int table_read_units(struct table *t, uint8_t *to, uint32_t position, uint32_t units);

/* Waits. Reads a block, verifies it and makes it what it is in memory: place.block.units at `to`. */
MUST_CHECK int table_read_block(struct table *t, struct table_place place, uint8_t *to);

/* Verifies a block as it is in the file: intact, and with whole entries unless it `is_fresh` to be looked at
 * entry by entry. Returns: 0, or TORC_E_CORRUPT, counted. */
MUST_CHECK int table_check_block(struct table *t, const uint8_t *data, struct table_place place,
                                 bool is_fresh);

/* Makes a packed block, as it is in the file, what it is in memory. Returns: 0, or TORC_E_CORRUPT, counted.
 * */
MUST_CHECK int table_unpack_block(struct table *t, struct table_unpacker *u, const uint8_t *data,
                                  struct table_place place, uint8_t *to);

/* Waits. Pins a block, read by table_read_block if it is not there. On error it is a pin of nothing. */
MUST_CHECK int table_pin_block(struct table *t, struct table_place place, struct cache_pin *pin);

#endif
