/* table.c - an open SSTable and point reads from it.
 *
 *   get:  filter -> index -> block cache -> (a read of one block, verified) -> tags of the block -> entry
 *
 * Opening verifies footer, index and filter as a whole and keeps the last two; data blocks are verified each
 * time they come from the disk. So nothing that was not written by the writer of this very table is ever
 * looked into. A block that is bad in the cache went bad in memory: it is read once more, and says nothing of
 * the table. */
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

static int judge_block(struct table *t, bool is_good)
{
    if (is_good)
        return 0;
    MARK(bad_block_of_a_table_is_found);
    t->counters.corruptions++;
    return TORC_E_CORRUPT;
}

int table_check_block(struct table *t, const uint8_t *data, struct table_place place, bool is_fresh)
{
    struct cache_block in_file = place.block;
    in_file.units = place.units;
    bool is_good = table_block_is_intact(data, in_file, t->compression);
    if (!is_fresh && !table_is_packed(t, place))
        is_good = is_good && table_block_is_whole(data, place.units);
    return judge_block(t, is_good);
}

int table_unpack_block(struct table *t, struct table_unpacker *u, const uint8_t *data,
                       struct table_place place, uint8_t *to)
{
    return judge_block(t, table_unpack(u, data, place.units, to, place.block.units));
}

static int read_packed(struct table *t, struct table_place place, uint8_t *to)
{
    struct table_unpacker *u = NULL;
    int rc = table_unpacker_open(t->r, place.units, &u);
    uint8_t *data = u ? table_unpacker_memory(u) : NULL;
    if (rc == 0)
        rc = table_read_units(t, data, place.block.position, place.units);
    if (rc == 0)
        rc = table_check_block(t, data, place, false);
    if (rc == 0)
        rc = table_unpack_block(t, u, data, place, to);
    table_unpacker_close(t->r, u);
    return rc;
}

int table_read_block(struct table *t, struct table_place place, uint8_t *to)
{
    if (table_is_packed(t, place))
        return read_packed(t, place, to);
    int rc = table_read_units(t, to, place.block.position, place.units);
    return rc ? rc : table_check_block(t, to, place, false);
}

/* For the cache: what it does not know of a block. */
struct missing {
    struct table *table;
    struct table_place place;
};

static int load_missing(void *context, struct cache_block block, uint8_t *to)
{
    struct missing *m = context;
    ASSERT(block.position == m->place.block.position && block.units == m->place.block.units);
    m->table->counters.block_reads++;
    return table_read_block(m->table, m->place, to);
}

int table_pin_block(struct table *t, struct table_place place, struct cache_pin *pin)
{
    return cache_read(t->cache, place.block, load_missing, &(struct missing){t, place}, pin);
}

/* ---- open ---- */

/* `bytes` of a section: they are padded in the file, and the padding is not kept. */
struct section {
    uint64_t bytes;
    uint64_t offset;
    uint64_t checksum;
};

/* By way of `piece`, memory for SECTION_PIECE_BYTES. */
static int copy_section(struct table *t, const struct section *s, uint8_t *piece, uint8_t *to)
{
    XXH3_state_t hash;
    uint64_t padded = table_padded(s->bytes);
    XXH3_64bits_reset(&hash);
    for (uint64_t at = 0; at < padded; at += SECTION_PIECE_BYTES) {
        uint64_t part = padded - at < SECTION_PIECE_BYTES ? padded - at : SECTION_PIECE_BYTES;
        uint64_t kept = s->bytes - at < part ? s->bytes - at : part;
        int rc = read_exactly(t, piece, part, s->offset + at);
        if (rc)
            return rc;
        XXH3_64bits_update(&hash, piece, part);
        memcpy(to + at, piece, kept);
        task_yield_if_due(t->r);
    }
    if (XXH3_64bits_digest(&hash) == s->checksum)
        return 0;
    t->counters.corruptions++;
    return TORC_E_CORRUPT;
}

/* Reads and verifies a section; yields between its pieces. `*out` is the caller's, also on error. */
static int read_section(struct table *t, const struct section *s, uint8_t **out)
{
    uint64_t padded = table_padded(s->bytes);
    uint8_t *piece = reactor_alloc_aligned(t->r, padded < SECTION_PIECE_BYTES ? padded : SECTION_PIECE_BYTES,
                                           FILE_ALIGNMENT);
    *out = reactor_alloc_aligned(t->r, s->bytes, FILTER_LINE_BYTES);
    int rc = piece && *out ? copy_section(t, s, piece, *out) : TORC_E_NO_MEMORY;
    t->pinned_bytes += *out ? s->bytes : 0;
    reactor_free(t->r, piece);
    return rc;
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
    struct section index = {f.index_bytes, (uint64_t)f.data_units * TABLE_UNIT_BYTES, f.index_checksum};
    struct section filter = {f.filter_lines * FILTER_LINE_BYTES, index.offset + table_padded(f.index_bytes),
                             f.filter_checksum};
    rc = read_section(t, &index, &t->index.section);
    if (rc == 0)
        rc = table_index_init(&t->index, t->r, t->index.section, &f, &t->summary);
    t->compression = f.compression;
    t->memory_units = f.memory_units;
    t->filter = (struct filter){.line_count = f.filter_lines, .probes = f.filter_probes};
    return rc ? rc : read_section(t, &filter, &t->filter.lines);
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
    reactor_free(t->r, t->filter.lines);
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

struct table_counters table_take_counters(struct table *t)
{
    struct table_counters taken = t->counters;
    t->counters = (struct table_counters){0};
    return taken;
}

/* ---- point reads ---- */

bool table_may_contain(const struct table *t, uint64_t hash)
{
    if (__builtin_expect(t->is_unreadable, 0))
        return true;
    return filter_may_contain(&t->filter, hash);
}

/* Filter and index. Returns: whether the block must be looked into. */
static bool find_candidate(struct table *t, struct table_wanted wanted, uint32_t *block)
{
    if (table_counts(t, wanted.key->vnode) && table_may_contain(t, wanted.hash) && t->index.block_count > 0) {
        *block = table_index_find(&t->index, wanted.key);
        return true;
    }
    t->counters.filter_refusals++;
    return false;
}

static int search_block(struct table *t, const uint8_t *data, uint32_t units, struct table_wanted wanted,
                        struct record *out)
{
    uint32_t entry;
    struct slice bytes;
    t->counters.gets++;
    if (!table_block_find(data, units, wanted.key, table_tag(wanted.hash), &entry)) {
        t->counters.false_positives++;
        return TABLE_ABSENT;
    }
    return table_block_entry(data, units, entry, out, &bytes) ? TABLE_FOUND : TORC_E_CORRUPT;
}

int table_get_cached(struct table *t, struct table_wanted wanted, struct record *out, uint32_t *block)
{
    if (__builtin_expect(t->is_unreadable, 0))
        return get_unreadable(t, wanted.key);
    if (!find_candidate(t, wanted, block))
        return TABLE_ABSENT;
    struct table_place place = table_place_at(t, *block);
    const uint8_t *data = cache_get(t->cache, place.block);
    int answer = data ? search_block(t, data, place.block.units, wanted, out) : TABLE_WAITS;
    if (__builtin_expect(answer != TORC_E_CORRUPT, 1))
        return answer;
    cache_forget(t->cache, place.block);
    return TABLE_WAITS;
}

int table_get_block(struct table *t, struct table_wanted wanted, uint32_t block, struct record *out,
                    struct cache_pin *pin)
{
    struct table_place place = table_place_at(t, block);
    int rc = table_pin_block(t, place, pin);
    if (rc)
        return rc;
    rc = search_block(t, pin->data, place.block.units, wanted, out);
    if (rc == TORC_E_CORRUPT && !pin->is_fresh) {
        cache_forget(t->cache, place.block);
        cache_unpin(pin);
        rc = table_pin_block(t, place, pin);
        if (rc)
            return rc;
        rc = search_block(t, pin->data, place.block.units, wanted, out);
    }
    t->counters.corruptions += rc == TORC_E_CORRUPT;
    if (rc != TABLE_FOUND)
        cache_unpin(pin);
    return rc;
}

void table_forget(struct table *t, const struct record *record)
{
    if (t->is_unreadable || t->index.block_count == 0)
        return;
    struct table_place place = table_place_at(t, table_index_find(&t->index, &record->key));
    const uint8_t *data = cache_get(t->cache, place.block);
    size_t at = (uintptr_t)record->key.key.data - (uintptr_t)data;
    if (data && at < (size_t)place.block.units * TABLE_UNIT_BYTES)
        cache_forget(t->cache, place.block);
}

int table_get(struct table *t, const struct record_key *key, uint64_t hash, struct record *out,
              struct cache_pin *pin)
{
    uint32_t block;
    struct table_wanted wanted = {key, hash};
    *pin = (struct cache_pin){0};
    if (__builtin_expect(t->is_unreadable, 0))
        return get_unreadable(t, key);
    return find_candidate(t, wanted, &block) ? table_get_block(t, wanted, block, out, pin) : TABLE_ABSENT;
}
