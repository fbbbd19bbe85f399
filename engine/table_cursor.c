/* table_cursor.c - the records of an SSTable in order.
 *
 *   file:    ... | block | block | block | block | block | ...
 *                |<----------- window ---------->|              one read, past the cache
 *                          ^ current block, verified when it is stepped on
 *
 * The window is the cursor's own memory, so nothing stays pinned in the cache while a user's scan idles. A
 * scan begins with one block through the cache, because many scans are short and come again; then it reads
 * ahead twice as much each time, but takes a block from the cache when it is there. Going backward, the
 * window ends with the block that is wanted instead of beginning with it.
 *
 * A cursor stands between two records: c->entry of c->block is the one after it. Before the first block is
 * loaded, and behind the last one, entry and entry_count are 0. */
#include "engine/table_internal.h"

enum {
    AHEAD_UNITS_FIRST = 4,
    AHEAD_UNITS_MAX = 64, /* 256 KiB */
};

void table_cursor_init(struct table_cursor *c, struct table *t, enum table_cursor_mode mode)
{
    *c = (struct table_cursor){.table = t, .mode = mode};
    c->ahead_units = mode == TABLE_CURSOR_BULK ? AHEAD_UNITS_MAX : AHEAD_UNITS_FIRST;
}

void table_cursor_deinit(struct table_cursor *c)
{
    reactor_free(c->table->r, c->window);
    c->window = NULL;
}

static int reserve_window(struct table_cursor *c, uint32_t units)
{
    c->window_units = 0; /* whatever was in it */
    if (units <= c->window_capacity)
        return 0;
    struct reactor *r = c->table->r;
    reactor_free(r, c->window);
    c->window_capacity = 0;
    c->window = reactor_alloc_aligned(r, (size_t)units * TABLE_UNIT_BYTES, FILE_ALIGNMENT);
    if (!c->window)
        return TORC_E_NO_MEMORY;
    c->window_capacity = units;
    return 0;
}

static bool is_in_window(const struct table_cursor *c, struct cache_block block)
{
    return block.position >= c->window_position &&
           block.position + block.units <= c->window_position + c->window_units;
}

/* A verified block becomes the whole window. */
static int copy_block(struct table_cursor *c, struct cache_block block, const uint8_t *from)
{
    ASSERT(block.units <= c->window_capacity);
    memcpy(c->window, from, (size_t)block.units * TABLE_UNIT_BYTES);
    c->window_position = block.position;
    c->window_units = block.units;
    return 0;
}

static int read_through_cache(struct table_cursor *c, struct cache_block block)
{
    struct cache_pin pin;
    int rc = reserve_window(c, block.units);
    if (rc == 0)
        rc = cache_read(c->table->cache, block, table_load_block, c->table, &pin);
    if (rc)
        return rc;
    rc = copy_block(c, block, pin.data);
    cache_unpin(&pin);
    return rc;
}

enum { LOAD_FORWARD = 0, LOAD_SEEK = 1, LOAD_BACKWARD = 2 }; /* flags of a load */

static int read_ahead(struct table_cursor *c, struct cache_block block, unsigned load)
{
    struct table *t = c->table;
    bool is_backward = load & LOAD_BACKWARD;
    uint32_t rest = is_backward ? block.position + block.units : t->index.data_units - block.position;
    uint32_t units = c->ahead_units < rest ? c->ahead_units : rest;
    units = units > block.units ? units : block.units;
    uint32_t position = is_backward ? block.position + block.units - units : block.position;
    int rc = reserve_window(c, units);
    if (rc == 0)
        rc = table_read_units(t, c->window, position, units);
    if (rc)
        return rc;
    t->counters.cursor_reads++;
    t->counters.cursor_read_bytes += (uint64_t)units * TABLE_UNIT_BYTES;
    c->window_position = position;
    c->window_units = units;
    c->ahead_units = c->ahead_units * 2 < AHEAD_UNITS_MAX ? c->ahead_units * 2 : AHEAD_UNITS_MAX;
    return 0;
}

/* Of a block from the disk: its checksum now, each entry when it is given out. A seek looks at the keys of
 * some before that, so at all of them. */
static int verify(struct table_cursor *c, const uint8_t *data, struct cache_block block, unsigned load)
{
    return (load & LOAD_SEEK) ? table_check_block(c->table, data, block)
                              : table_check_frame(c->table, data, block);
}

/* Waits. Makes the current block the one that records come from. */
static int load_block(struct table_cursor *c, unsigned load)
{
    struct table *t = c->table;
    struct cache_block block = table_block_at(t, c->block);
    bool is_verified = false;
    int rc = 0;
    if (!is_in_window(c, block)) {
        bool is_scan = c->mode == TABLE_CURSOR_SCAN;
        is_verified = is_scan && ((load & LOAD_SEEK) || cache_get(t->cache, block));
        rc = is_verified ? read_through_cache(c, block) : read_ahead(c, block, load);
    }
    if (rc)
        return rc;
    const uint8_t *data = c->window + (size_t)(block.position - c->window_position) * TABLE_UNIT_BYTES;
    if (!is_verified)
        rc = verify(c, data, block, load);
    if (rc)
        return rc;
    c->is_fresh = !is_verified;
    c->data = data;
    c->data_bytes = block.units * TABLE_UNIT_BYTES;
    c->entry_count = table_block_count(data, block.units);
    c->entry = (load & LOAD_BACKWARD) ? c->entry_count : 0;
    task_yield_if_due(t->r);
    return 0;
}

/* The key, or where the vnodes begin or end that the table counts for. Null: behind the last record. */
static const struct record_key *within_limits(const struct table *t, const struct record_key *key,
                                              struct record_key *limit)
{
    *limit = (struct record_key){.vnode = t->vnode_first};
    if (key && key->vnode < t->vnode_first)
        return limit;
    limit->vnode = (uint16_t)(t->vnode_last + 1);
    return t->vnode_last != UINT16_MAX && (!key || key->vnode > t->vnode_last) ? limit : key;
}

/* Null: behind the last record. */
static int seek(struct table_cursor *c, const struct record_key *wanted, unsigned direction)
{
    struct table *t = c->table;
    struct record_key limit;
    const struct record_key *key = within_limits(t, wanted, &limit);
    c->block = 0;
    c->entry = 0;
    c->entry_count = 0;
    c->data = NULL;
    if (t->is_unreadable)
        return TORC_E_CORRUPT;
    if (!key)
        c->block = t->index.block_count;
    if (!key || t->index.block_count == 0)
        return 0;
    c->block = table_index_find(&t->index, key);
    int rc = load_block(c, LOAD_SEEK | direction);
    if (rc)
        return rc;
    c->entry = table_block_lower_bound(c->data, c->data_bytes / TABLE_UNIT_BYTES, key);
    return 0;
}

int table_cursor_seek(struct table_cursor *c, const struct record_key *key)
{
    ASSERT(key);
    c->error = seek(c, key, LOAD_FORWARD);
    return c->error;
}

int table_cursor_seek_before(struct table_cursor *c, const struct record_key *key)
{
    c->error = seek(c, key, LOAD_BACKWARD);
    return c->error;
}

/* Waits. Returns: 1 when the current block has an entry to give out, 0 at the end, or an error. */
static int advance(struct table_cursor *c)
{
    if (c->table->is_unreadable)
        return TORC_E_CORRUPT;
    if (!c->data && c->table->vnode_first > 0) {
        int rc = seek(c, &(struct record_key){.vnode = c->table->vnode_first}, LOAD_FORWARD);
        if (rc)
            return rc;
    }
    while (c->entry == c->entry_count) {
        if (c->entry_count > 0) {
            c->block++;
            c->entry = 0;
            c->entry_count = 0;
        }
        if (c->block >= c->table->index.block_count)
            return 0;
        int rc = load_block(c, LOAD_FORWARD);
        if (rc)
            return rc;
    }
    return 1;
}

/* Waits. As advance in the other direction: the entry before the cursor's place. */
static int retreat(struct table_cursor *c)
{
    if (c->table->is_unreadable)
        return TORC_E_CORRUPT;
    while (c->entry == 0) {
        if (c->block == 0)
            return 0;
        c->block--;
        c->entry_count = 0;
        int rc = load_block(c, LOAD_BACKWARD);
        if (rc)
            return rc;
    }
    return 1;
}

static int give_out(struct table_cursor *c, uint32_t entry, struct record *out)
{
    uint32_t units = c->data_bytes / TABLE_UNIT_BYTES;
    if (c->is_fresh ? table_block_fresh_entry(c->data, units, entry, out, &c->latest)
                    : table_block_entry(c->data, units, entry, out, &c->latest))
        return 1;
    c->table->counters.corruptions++;
    c->error = TORC_E_CORRUPT;
    return c->error;
}

int table_cursor_next(struct table_cursor *c, struct record *out)
{
    if (c->error)
        return c->error;
    int rc = advance(c);
    if (rc == 1)
        rc = give_out(c, c->entry, out);
    if (rc == 1 && out->key.vnode > c->table->vnode_last)
        return 0;
    c->entry += rc == 1;
    c->error = rc < 0 ? rc : 0;
    return rc;
}

int table_cursor_previous(struct table_cursor *c, struct record *out)
{
    if (c->error)
        return c->error;
    int rc = retreat(c);
    if (rc == 1)
        rc = give_out(c, c->entry - 1, out);
    if (rc == 1 && out->key.vnode < c->table->vnode_first)
        return 0;
    c->entry -= rc == 1;
    c->error = rc < 0 ? rc : 0;
    return rc;
}
