/* table.c - an open SSTable and point reads from it.
 *
 *   get:  filter -> index -> block cache -> (a read of one block, verified) -> binary search in the block
 *
 * Opening verifies footer, index and filter as a whole and keeps the last two; data blocks are verified each
 * time they come from the disk. So nothing that was not written by the writer of this very table is ever
 * looked into. */
#include "engine/filter.h"
#include "engine/table_internal.h"
#include "engine/table_output.h"
#include "reactor/base/mark.h"

enum { SECTION_PIECE_BYTES = 256 * 1024 };

/* ---- reading ---- */

static int read_exactly(struct table *t, uint8_t *to, uint64_t bytes, uint64_t offset)
{
    int64_t got = file_read(t->r, t->file, to, bytes, offset);
    if (got >= 0 && (uint64_t)got == bytes)
        return 0;
    if (got < 0) {
        MARK(table_read_failed);
        t->counters.read_errors++;
        return table_storage_error((int)got);
    }
    t->counters.corruptions++;
    return TORC_E_CORRUPT;
}

int table_read_units(struct table *t, uint8_t *to, uint32_t position, uint32_t units)
{
    return read_exactly(t, to, (uint64_t)units * TABLE_UNIT_BYTES, (uint64_t)position * TABLE_UNIT_BYTES);
}

int table_check_block(struct table *t, const uint8_t *data, struct cache_block block)
{
    if (table_block_is_sound(data, block))
        return 0;
    MARK(bad_block_of_a_table_is_found);
    t->counters.corruptions++;
    return TORC_E_CORRUPT;
}

int table_load_block(void *context, struct cache_block block, uint8_t *to)
{
    struct table *t = context;
    t->counters.block_reads++;
    int rc = table_read_units(t, to, block.position, block.units);
    return rc ? rc : table_check_block(t, to, block);
}

/* ---- open ---- */

/* Reads and verifies a padded section; yields between its pieces. `*out` is the caller's, also on error. */
static int read_section(struct table *t, uint64_t bytes, uint64_t offset, uint64_t checksum, uint8_t **out)
{
    XXH3_state_t hash;
    uint8_t *section = reactor_alloc_aligned(t->r, bytes, FILE_ALIGNMENT);
    *out = section;
    if (!section)
        return TORC_E_NO_MEMORY;
    t->pinned_bytes += bytes;
    XXH3_64bits_reset(&hash);
    for (uint64_t at = 0; at < bytes; at += SECTION_PIECE_BYTES) {
        uint64_t part = bytes - at < SECTION_PIECE_BYTES ? bytes - at : SECTION_PIECE_BYTES;
        int rc = read_exactly(t, section + at, part, offset + at);
        if (rc)
            return rc;
        XXH3_64bits_update(&hash, section + at, part);
        task_yield_if_due(t->r);
    }
    if (XXH3_64bits_digest(&hash) == checksum)
        return 0;
    t->counters.corruptions++;
    return TORC_E_CORRUPT;
}

static int read_footer(struct table *t, uint64_t number, struct table_footer *f)
{
    uint64_t bytes = 0;
    int rc = file_size(t->r, t->file, &bytes);
    if (rc)
        return table_storage_error(rc);
    if (bytes < TABLE_UNIT_BYTES || bytes % TABLE_UNIT_BYTES != 0)
        return TORC_E_CORRUPT;
    uint8_t *unit = reactor_alloc_aligned(t->r, TABLE_UNIT_BYTES, FILE_ALIGNMENT);
    if (!unit)
        return TORC_E_NO_MEMORY;
    rc = read_exactly(t, unit, TABLE_UNIT_BYTES, bytes - TABLE_UNIT_BYTES);
    if (rc == 0)
        rc = table_footer_decode(unit, f);
    if (rc == 0 && (f->summary.bytes != bytes || f->summary.number != number))
        rc = TORC_E_CORRUPT;
    reactor_free(t->r, unit);
    return rc;
}

static int load(struct table *t, uint64_t number)
{
    struct table_footer f;
    int rc = read_footer(t, number, &f);
    if (rc)
        return rc;
    t->summary = f.summary;
    uint64_t index_at = (uint64_t)f.data_units * TABLE_UNIT_BYTES;
    rc = read_section(t, f.index_bytes, index_at, f.index_checksum, &t->index.section);
    if (rc == 0)
        rc = table_index_init(&t->index, t->r, t->index.section, &f, &t->summary);
    if (rc == 0)
        rc = read_section(t, f.filter_bytes, index_at + f.index_bytes, f.filter_checksum, &t->filter_section);
    t->filter_lines = t->filter_section;
    t->filter_line_count = f.filter_lines;
    return rc;
}

int table_open(struct reactor *r, struct cache *cache, const char *path, uint64_t number, struct table **out)
{
    struct table *t = reactor_alloc_zeroed(r, sizeof *t);
    if (!t)
        return TORC_E_NO_MEMORY;
    t->r = r;
    t->cache = cache;
    t->pinned_bytes = sizeof *t;
    t->vnode_last = UINT16_MAX;
    int rc = file_open(r, path, FILE_READ | FILE_DIRECT, &t->file);
    if (rc == 0)
        rc = load(t, number);
    if (rc) {
        table_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

/* ---- a stand-in ---- */

static uint8_t *copy_key(uint8_t *to, struct record_key *key)
{
    memcpy(to, key->key.data, key->key.bytes);
    key->key.data = to;
    to += key->key.bytes;
    if (key->subkey.bytes)
        memcpy(to, key->subkey.data, key->subkey.bytes);
    key->subkey.data = to;
    return to + key->subkey.bytes;
}

int table_stand_in(struct reactor *r, const struct table_summary *known, struct table **out)
{
    struct table *t = reactor_alloc_zeroed(r, sizeof *t);
    size_t bytes = known->smallest.key.bytes + known->smallest.subkey.bytes + known->largest.key.bytes +
                   known->largest.subkey.bytes;
    uint8_t *bounds = reactor_alloc(r, bytes + 1);
    if (!t || !bounds) {
        reactor_free(r, t);
        reactor_free(r, bounds);
        return TORC_E_NO_MEMORY;
    }
    t->r = r;
    t->summary = *known;
    t->vnode_last = UINT16_MAX;
    t->bounds = bounds;
    t->pinned_bytes = sizeof *t + bytes;
    t->is_unreadable = true;
    t->counters.corruptions = 1;
    copy_key(copy_key(bounds, &t->summary.smallest), &t->summary.largest);
    *out = t;
    return 0;
}

/* No key is between the end of a vnode and the empty key of the next. */
void table_limit(struct table *t, uint16_t vnode_first, uint16_t vnode_last)
{
    ASSERT(vnode_first <= vnode_last && vnode_first >= t->vnode_first && vnode_last <= t->vnode_last);
    t->vnode_first = vnode_first;
    t->vnode_last = vnode_last;
    if (t->summary.entries == 0)
        return;
    if (t->summary.smallest.vnode < vnode_first)
        t->summary.smallest = (struct record_key){.vnode = vnode_first};
    if (t->summary.largest.vnode > vnode_last)
        t->summary.largest = (struct record_key){.vnode = (uint16_t)(vnode_last + 1)};
}

bool table_is_unreadable(const struct table *t)
{
    return t->is_unreadable;
}

static int get_unreadable(const struct table *t, const struct record_key *key)
{
    if (record_key_compare(key, &t->summary.smallest) < 0 || record_key_compare(key, &t->summary.largest) > 0)
        return TABLE_ABSENT;
    MARK(get_asks_an_unreadable_table);
    return TORC_E_CORRUPT;
}

void table_close(struct table *t)
{
    if (!t)
        return;
    file_close(t->r, t->file);
    reactor_free(t->r, t->bounds);
    reactor_free(t->r, t->index.section);
    reactor_free(t->r, t->filter_section);
    reactor_free(t->r, t);
}

const struct table_summary *table_summary(const struct table *t)
{
    return &t->summary;
}

uint64_t table_pinned_bytes(const struct table *t)
{
    return t->pinned_bytes;
}

struct table_counters table_counters(const struct table *t)
{
    return t->counters;
}

/* ---- point reads ---- */

bool table_may_contain(const struct table *t, uint64_t hash)
{
    if (__builtin_expect(t->is_unreadable, 0))
        return true;
    return filter_may_contain(t->filter_lines, t->filter_line_count, hash);
}

bool table_find_block(const struct table *t, const struct record_key *key, struct cache_block *out)
{
    if (t->index.block_count == 0)
        return false;
    *out = table_block_at(t, table_index_find(&t->index, key));
    return true;
}

/* Filter and index. Returns: whether the block must be looked into. */
static bool find_candidate(struct table *t, const struct record_key *key, uint64_t hash,
                           struct cache_block *out)
{
    if (table_counts(t, key->vnode) && table_may_contain(t, hash) && table_find_block(t, key, out))
        return true;
    t->counters.filter_refusals++;
    return false;
}

static int search_block(struct table *t, const uint8_t *data, uint32_t units, const struct record_key *key,
                        struct record *out)
{
    bool is_equal = false;
    struct slice bytes;
    uint32_t entry = table_block_lower_bound(data, units, key, &is_equal);
    t->counters.gets++;
    if (!is_equal) {
        t->counters.false_positives++;
        return TABLE_ABSENT;
    }
    if (table_block_entry(data, units, entry, out, &bytes))
        return TABLE_FOUND;
    t->counters.corruptions++;
    return TORC_E_CORRUPT;
}

int table_get_cached(struct table *t, const struct record_key *key, uint64_t hash, struct record *out)
{
    struct cache_block block;
    if (__builtin_expect(t->is_unreadable, 0))
        return get_unreadable(t, key);
    if (!find_candidate(t, key, hash, &block))
        return TABLE_ABSENT;
    const uint8_t *data = cache_get(t->cache, block);
    return data ? search_block(t, data, block.units, key, out) : TABLE_WAITS;
}

int table_get(struct table *t, const struct record_key *key, uint64_t hash, struct record *out,
              struct cache_pin *pin)
{
    struct cache_block block;
    *pin = (struct cache_pin){0};
    if (__builtin_expect(t->is_unreadable, 0))
        return get_unreadable(t, key);
    if (!find_candidate(t, key, hash, &block))
        return TABLE_ABSENT;
    int rc = cache_read(t->cache, block, table_load_block, t, pin);
    if (rc)
        return rc;
    rc = search_block(t, pin->data, block.units, key, out);
    if (rc != TABLE_FOUND)
        cache_unpin(pin);
    return rc;
}
