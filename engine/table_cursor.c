/* table_cursor.c - the records of an SSTable in order.
 *
 *   file:    ... | block | block | block | block | block | ...
 *                |<----------- window ---------->|              one read, past the cache
 *                          ^ current block, verified when it is stepped on
 *
 * The window is the cursor's own memory, so nothing stays pinned in the cache while a user's scan idles. A
 * scan begins with one block through the cache, because many scans are short and come again; then it reads
 * ahead twice as much each time, but takes a copy of a block from the cache when it is there. Going
 * backward, the window ends with the block that is wanted instead of beginning with it. Blocks of a
 * compressed table are unpacked one at a time. When a block of the cache proves bad, it is read from the
 * file: once, and where the cursor stands is not changed by it.
 *
 * A cursor stands between two records: c->entry of c->block is the one after it. Before the first block is
 * loaded, and behind the last one, entry and entry_count are 0. */
#include "engine/entry.h"
#include "engine/table_ahead.h"

#include "reactor/base/mark.h"

enum {
    AHEAD_UNITS_FIRST = 4,
    AHEAD_UNITS_MAX = 64, /* 256 KiB */
    READ_TRIES = 3,       /* before a block is given up */
    READ_PAUSE_NS = 10 * 1000 * 1000,
};

/* Of a small table a quarter, so that it is read ahead, too. */
static uint32_t bulk_units(const struct table *t)
{
    uint32_t units = t->index.data_units / 4;
    units = units > AHEAD_UNITS_FIRST ? units : AHEAD_UNITS_FIRST;
    return units < AHEAD_UNITS_MAX ? units : AHEAD_UNITS_MAX;
}

void table_cursor_init(struct table_cursor *c, struct table *t, enum table_cursor_mode mode)
{
    *c = (struct table_cursor){.table = t, .mode = mode};
    c->ahead_units = mode == TABLE_CURSOR_BULK ? bulk_units(t) : AHEAD_UNITS_FIRST;
}

void table_cursor_deinit(struct table_cursor *c)
{
    struct reactor *r = c->table->r;
    table_ahead_deinit(&c->ahead, r);
    reactor_free(r, c->window.memory);
    reactor_free(r, c->copy.memory);
    table_unpacker_close(r, c->unpacker);
    c->window = c->copy = (struct table_window){0};
    c->unpacker = NULL;
}

static bool is_in_window(const struct table_cursor *c, struct table_place place)
{
    return place.block.position >= c->window.position &&
           place.block.position + place.units <= c->window.position + c->window.units;
}

enum { LOAD_FORWARD = 0, LOAD_SEEK = 1, LOAD_BACKWARD = 2 }; /* flags of a load */

static int copy_from_cache(struct table_cursor *c, struct table_place place)
{
    struct cache_pin pin;
    int rc = table_window_reserve(&c->copy, c->table->r, place.block.units);
    if (rc == 0)
        rc = table_pin_block(c->table, place, &pin);
    if (rc)
        return rc;
    memcpy(c->copy.memory, pin.data, (size_t)place.block.units * TABLE_UNIT_BYTES);
    c->is_stale = !pin.is_fresh;
    cache_unpin(&pin);
    c->data = c->copy.memory;
    c->is_fresh = false;
    return 0;
}

/* Where reading ahead stops: behind the block with the end, or all blocks. */
static uint32_t units_wanted(struct table_cursor *c)
{
    const struct table *t = c->table;
    if (c->end_units == 0) {
        c->end_units = t->index.data_units;
        if (c->end && t->index.block_count > 0) {
            struct table_place last = table_place_at(t, table_index_find(&t->index, c->end));
            c->end_units = last.block.position + last.units;
        }
    }
    return c->end_units;
}

/* Do all blocks have one length, so that one begins where a window of some of them ends? */
static bool has_even_blocks(const struct table *t)
{
    return !t->index.units;
}

static void start_ahead(struct table_cursor *c)
{
    struct table *t = c->table;
    uint32_t position = c->window.position + c->window.units, end = units_wanted(c);
    uint32_t rest = position < end ? end - position : 0;
    uint32_t units = c->ahead_units - c->ahead_units % t->index.block_units;
    units = units < rest ? units : rest;
    if (units > 0 && has_even_blocks(t))
        table_ahead_start(&c->ahead, t, c->share, position, units);
}

static int read_window(struct table_cursor *c, uint32_t position, uint32_t units)
{
    struct table *t = c->table;
    int rc = table_window_reserve(&c->window, t->r, units);
    uint32_t bytes = units * TABLE_UNIT_BYTES;
    if (rc == 0)
        rc = disk_acquire(c->share.disk, c->share.class, bytes);
    if (rc)
        return rc;
    rc = table_read_units(t, c->window.memory, position, units);
    disk_release(c->share.disk, c->share.class, bytes);
    if (rc)
        return rc;
    t->counters.cursor_reads++;
    t->counters.cursor_read_bytes += bytes;
    c->window.position = position;
    c->window.units = units;
    return 0;
}

/* Waits. What is around the block must not make its read fail: then it is read by itself, and what follows in
 * small windows again. */
static int read_block_and_more(struct table_cursor *c, struct table_place place, uint32_t position,
                               uint32_t units)
{
    int rc = read_window(c, position, units);
    if ((rc != TORC_E_STORAGE && rc != TORC_E_CORRUPT) || units == place.units)
        return rc;
    MARK(a_block_is_read_by_itself_beside_a_bad_sector);
    c->ahead_units = AHEAD_UNITS_FIRST / 2;
    return read_window(c, place.block.position, place.units);
}

/* Waits. Makes the window one with the block, and what lies in the direction of the load. */
static int read_ahead(struct table_cursor *c, struct table_place place, unsigned load)
{
    uint32_t begin = place.block.position, wanted = units_wanted(c);
    bool is_backward = load & LOAD_BACKWARD;
    uint32_t rest = is_backward ? begin + place.units : wanted > begin ? wanted - begin : 0;
    uint32_t units = c->ahead_units < rest ? c->ahead_units : rest;
    units = units > place.units ? units : place.units;
    if (has_even_blocks(c->table))
        units -= units % c->table->index.block_units;
    uint32_t position = is_backward ? begin + place.units - units : begin;
    int rc = 0;
    if (!table_ahead_take(&c->ahead, c->table, begin, &c->window))
        rc = read_block_and_more(c, place, position, units);
    if (rc)
        return rc;
    c->ahead_units = c->ahead_units * 2 < AHEAD_UNITS_MAX ? c->ahead_units * 2 : AHEAD_UNITS_MAX;
    if (c->mode == TABLE_CURSOR_BULK && !is_backward)
        start_ahead(c);
    return 0;
}

static int unpack(struct table_cursor *c, const uint8_t *data, struct table_place place)
{
    struct table *t = c->table;
    int rc = table_window_reserve(&c->copy, t->r, place.block.units);
    if (rc == 0 && !c->unpacker)
        rc = table_unpacker_open(t->r, 0, &c->unpacker);
    if (rc == 0)
        rc = table_unpack_block(t, c->unpacker, data, place, c->copy.memory);
    c->data = c->copy.memory;
    return rc;
}

/* The block is in the window. It is verified as a whole now, each entry when it is given out; but a seek
 * looks at the keys of some before that, so at all of them now. */
static int take_from_window(struct table_cursor *c, struct table_place place, unsigned load)
{
    const uint8_t *data =
        c->window.memory + (size_t)(place.block.position - c->window.position) * TABLE_UNIT_BYTES;
    int rc = table_check_block(c->table, data, place, !(load & LOAD_SEEK));
    c->data = data;
    c->is_fresh = true;
    c->is_stale = false;
    return rc == 0 && table_is_packed(c->table, place) ? unpack(c, data, place) : rc;
}

/* Waits. Makes the current block the one that records come from. */
static int load_block(struct table_cursor *c, unsigned load)
{
    struct table *t = c->table;
    struct table_place place = table_place_at(t, c->block);
    bool is_here = is_in_window(c, place);
    bool is_cached =
        !is_here && c->mode == TABLE_CURSOR_SCAN && ((load & LOAD_SEEK) || cache_get(t->cache, place.block));
    int rc = 0;
    if (is_cached)
        rc = copy_from_cache(c, place);
    else if (!is_here)
        rc = read_ahead(c, place, load);
    if (rc == 0 && !is_cached)
        rc = take_from_window(c, place, load);
    if (rc)
        return rc;
    c->data_units = place.block.units;
    c->entry_count = table_block_count(c->data, c->data_units);
    c->entry = (load & LOAD_BACKWARD) ? c->entry_count : 0;
    task_yield_if_due(t->r);
    return 0;
}

/* ---- what is given up ---- */

void table_cursor_give_up(struct table_cursor *c, struct table_losses *losses)
{
    ASSERT(c->mode == TABLE_CURSOR_BULK && !c->table->is_unreadable);
    *losses = (struct table_losses){.vnode_before = c->table->summary.smallest.vnode};
    c->losses = losses;
}

static bool is_lost(int rc)
{
    return rc == TORC_E_CORRUPT || rc == TORC_E_STORAGE;
}

/* Something of the current block is lost that ends before `end`. Returns: whether that is new. */
static bool begin_loss(struct table_cursor *c, uint64_t end)
{
    struct table_losses *l = c->losses;
    if (end <= l->counted)
        return false;
    if (l->blocks + l->records == 0)
        l->vnode_first = l->vnode_before;
    uint16_t vnode_last = c->table->summary.largest.vnode;
    l->vnode_last = vnode_last < c->table->vnode_last ? vnode_last : c->table->vnode_last;
    l->counted = end;
    l->is_open = true;
    return true;
}

static void lose_block(struct table_cursor *c)
{
    MARK(block_that_cannot_be_read_is_given_up);
    if (begin_loss(c, (c->block + UINT64_C(1)) << 16)) {
        c->losses->blocks++;
        c->losses->bytes += (uint64_t)table_place_at(c->table, c->block).units * TABLE_UNIT_BYTES;
    }
    c->block++;
    c->entry = c->entry_count = 0;
}

static void lose_entry(struct table_cursor *c)
{
    if (begin_loss(c, (uint64_t)c->block << 16 | (c->entry + 1)))
        c->losses->records++;
    c->entry++;
}

static void end_loss(struct table_losses *l, uint16_t vnode)
{
    if (l->is_open)
        l->vnode_last = vnode;
    l->is_open = false;
    l->vnode_before = vnode;
}

/* Waits. As load_block; where it cannot be read and is given up, the next one is the current one, and of no
 * entries so far. */
static int load_or_give_up(struct table_cursor *c, unsigned load)
{
    int rc = load_block(c, load);
    if (!c->losses)
        return rc;
    ASSERT(!(load & LOAD_BACKWARD));
    for (unsigned i = 1; i < READ_TRIES && is_lost(rc); i++) {
        task_sleep(c->table->r, READ_PAUSE_NS);
        c->window.units = 0; /* the same bytes would be the same */
        rc = load_block(c, load);
    }
    if (!is_lost(rc))
        return rc;
    lose_block(c);
    return 0;
}

/* ---- seeking ---- */

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
    int rc = load_or_give_up(c, LOAD_SEEK | direction);
    if (rc || c->entry_count == 0)
        return rc;
    c->entry = table_block_lower_bound(c->data, c->data_units, key);
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

/* Of a scan: are all keys of the current block behind the end? */
static bool is_past_end(struct table_cursor *c)
{
    return c->end && c->mode == TABLE_CURSOR_SCAN &&
           table_place_at(c->table, c->block).block.position >= units_wanted(c);
}

/* Of a backward scan: are all keys of the blocks before the current one below the end? */
static bool is_last_of_scan(struct table_cursor *c)
{
    return c->end && c->mode == TABLE_CURSOR_SCAN && c->block < c->table->index.block_count &&
           table_place_at(c->table, c->block).block.position < units_wanted(c);
}

/* Waits. Returns: 1 when the current block has an entry to give out, 0 at the end, or an error. */
static int advance(struct table_cursor *c)
{
    if (c->table->is_unreadable)
        return TORC_E_CORRUPT;
    if (!c->data && c->block == 0 && c->table->vnode_first > 0) {
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
        if (c->block >= c->table->index.block_count || is_past_end(c))
            return 0;
        int rc = load_or_give_up(c, LOAD_FORWARD);
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
        if (c->block == 0 || is_last_of_scan(c))
            return 0;
        c->block--;
        c->entry_count = 0;
        int rc = load_block(c, LOAD_BACKWARD);
        if (rc)
            return rc;
    }
    return 1;
}

static bool decode_entry(struct table_cursor *c, uint32_t entry, struct record *out)
{
    return c->is_fresh ? table_block_fresh_entry(c->data, c->data_units, entry, out, &c->latest)
                       : table_block_entry(c->data, c->data_units, entry, out, &c->latest);
}

/* Waits. Takes the current block from the file instead of from the cache. Where the cursor stands was found
 * in the other one: with another count of entries it would be elsewhere, and only a seek knows where. */
static __attribute__((noinline)) int reload_block(struct table_cursor *c)
{
    struct table_place place = table_place_at(c->table, c->block);
    cache_forget(c->table->cache, place.block);
    int rc = copy_from_cache(c, place);
    if (rc)
        return rc;
    return table_block_count(c->data, c->data_units) == c->entry_count ? 0 : TORC_E_CORRUPT;
}

/* Waits when the entry is bad. Inline in both directions: a call is 2 % of a record. */
static inline __attribute__((always_inline)) int give_out(struct table_cursor *c, uint32_t entry,
                                                          struct record *out)
{
    c->given = entry;
    while (!decode_entry(c, entry, out)) { /* twice at most: what was read again is not stale */
        if (!c->is_stale) {
            c->table->counters.corruptions++;
            return TORC_E_CORRUPT;
        }
        int rc = reload_block(c);
        if (rc)
            return rc;
    }
    return 1;
}

int table_cursor_read_again(struct table_cursor *c, struct record *out)
{
    if (!c->is_stale)
        return 0;
    uint32_t entry = c->entry;
    c->error = reload_block(c);
    c->entry = c->given;
    int rc = table_cursor_next(c, out);
    c->entry = entry;
    return rc;
}

/* What came of giving out an entry, when what cannot be read is given up. Yields. Returns: whether this one
 * is, and the next one is to be tried. */
static bool is_given_up(struct table_cursor *c, int rc, const struct record *out)
{
    if (rc == 1 && ((out->flags & RECORD_SEPARATED) || entry_verify(out))) {
        end_loss(c->losses, out->key.vnode);
        return false;
    }
    if (rc != 1 && rc != TORC_E_CORRUPT) /* at the end; CORRUPT can only be the entry: of blocks, see above */
        return false;
    lose_entry(c);
    task_yield_if_due(c->table->r);
    return true;
}

int table_cursor_next(struct table_cursor *c, struct record *out)
{
    int rc;
    if (c->error)
        return c->error;
    do {
        rc = advance(c);
        if (rc == 1)
            rc = give_out(c, c->entry, out);
    } while (__builtin_expect(c->losses != NULL, 0) && is_given_up(c, rc, out));
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
