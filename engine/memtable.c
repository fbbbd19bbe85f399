/* memtable.c - an arena of encoded entries, and puts and gets; see memtable.h. */
#include "engine/memtable_internal.h"

enum {
    CHUNK_TABLE_FIRST = 32,
    PARTITIONS_PER_YIELD = 64,
    LIST_SHARED_MIN_DEFAULT = 128, /* fewer are sorted in some 10 us */
};

/* ---- life ---- */

int memtable_new(struct reactor *r, const struct memtable_options *options, struct memtable **out)
{
    ASSERT(options->vnode_count > 0);
    struct memtable *m = reactor_alloc_zeroed(r, sizeof *m);
    *out = NULL;
    if (!m)
        return TORC_E_NO_MEMORY;
    m->reactor = r;
    m->options = *options;
    m->references = 1;
    memtable_lists_init(m);
    if (!m->options.list_shared_min)
        m->options.list_shared_min = LIST_SHARED_MIN_DEFAULT;
    m->no_slots[0] = SLOT_EMPTY;
    m->first_count = options->entries_hint / options->vnode_count;
    m->partitions = reactor_alloc_zeroed(r, options->vnode_count * sizeof *m->partitions);
    if (!m->partitions) {
        memtable_release(m);
        return TORC_E_NO_MEMORY;
    }
    m->index_bytes = options->vnode_count * sizeof *m->partitions;
    for (uint32_t i = 0; i < options->vnode_count; i++)
        partition_init(m, &m->partitions[i]);
    m->next_unit = 1; /* unit 0 means that memory is out */
    *out = m;
    return 0;
}

void memtable_hold(struct memtable *m)
{
    m->references++;
}

void memtable_release(struct memtable *m)
{
    if (!m || --m->references > 0)
        return;
    struct reactor *r = m->reactor;
    memtable_lists_deinit(m); /* who had one held the memtable */
    for (uint32_t i = 0; m->partitions && i < m->options.vnode_count; i++) {
        partition_deinit(m, &m->partitions[i]);
        if (i % PARTITIONS_PER_YIELD == 0 && task_current(r))
            task_yield_if_due(r);
    }
    for (uint32_t i = 0; i < m->chunk_count; i++) {
        reactor_free(r, m->chunks[i]); /* a thousand pages each */
        if (task_current(r))
            task_yield_if_due(r);
    }
    memtable_kept_deinit(m);
    reactor_free(r, m->chunks);
    reactor_free(r, m->partitions);
    reactor_free(r, m);
}

uint64_t memtable_entries(const struct memtable *m)
{
    return m->entries;
}

uint64_t memtable_used_bytes(const struct memtable *m)
{
    return m->used_bytes;
}

uint64_t memtable_index_bytes(const struct memtable *m)
{
    return m->index_bytes;
}

uint64_t memtable_bytes(const struct memtable *m)
{
    uint64_t beside = memtable_kept_bytes(m) + m->lists.bytes;
    return sizeof *m + m->arena_bytes + m->chunk_capacity * sizeof(uint8_t *) + m->index_bytes + beside;
}

uint64_t memtable_clock_max(const struct memtable *m)
{
    return m->clock_max;
}

/* ---- arena ---- */

/* The last chunk is only partly used: the larger the arena, the larger it may be. */
static uint32_t next_chunk_units(const struct memtable *m)
{
    uint64_t bytes = CHUNK_BYTES_MIN;
    while (bytes * 2 <= m->arena_bytes / CHUNK_SHARE && bytes < CHUNK_BYTES_MAX)
        bytes *= 2;
    return (uint32_t)(bytes / UNIT_BYTES);
}

/* With room for `units` and the unit that no entry begins at. */
static bool add_chunk(struct memtable *m, uint32_t units)
{
    if (m->chunk_count == CHUNKS_MAX)
        return false;
    if (m->chunk_count == m->chunk_capacity) {
        uint32_t capacity = m->chunk_capacity ? m->chunk_capacity * 2 : CHUNK_TABLE_FIRST;
        uint8_t **chunks = reactor_realloc(m->reactor, m->chunks, capacity * sizeof(uint8_t *));
        if (!chunks)
            return false;
        m->chunks = chunks;
        m->chunk_capacity = capacity;
    }
    uint32_t chunk_units = next_chunk_units(m);
    chunk_units = chunk_units > units ? chunk_units : units + 1;
    uint8_t *chunk = reactor_alloc(m->reactor, (size_t)chunk_units * UNIT_BYTES);
    if (!chunk)
        return false;
    m->chunks[m->chunk_count++] = chunk;
    m->chunk_units = chunk_units;
    m->arena_bytes += (uint64_t)chunk_units * UNIT_BYTES;
    if (m->chunk_count > 1)
        m->next_unit = 0;
    return true;
}

static uint32_t units_of(size_t bytes)
{
    return (uint32_t)((bytes + UNIT_BYTES - 1) / UNIT_BYTES);
}

/* Returns: the unit where the entry now is; 0 when memory is out. */
static uint32_t arena_add(struct memtable *m, struct slice entry)
{
    uint32_t units = units_of(entry.bytes);
    if (m->chunk_count == 0 || m->next_unit + units > m->chunk_units)
        if (!add_chunk(m, units))
            return 0;
    uint32_t unit = (m->chunk_count - 1) << CHUNK_UNIT_BITS | m->next_unit;
    m->next_unit += units;
    m->used_bytes += (uint64_t)units * UNIT_BYTES;
    memcpy(memtable_entry(m, unit), entry.data, entry.bytes);
    return unit;
}

/* ---- put and get ---- */

static bool is_same_key(const struct memtable *m, uint32_t unit, const struct record_key *key,
                        struct record *out)
{
    entry_decode_trusted(memtable_entry(m, unit), out);
    return out->key.namespace_id == key->namespace_id && slice_equal(out->key.key, key->key) &&
           slice_equal(out->key.subkey, key->subkey);
}

/* Returns: whether the key is there, its record decoded to *out; *at is its slot, or the place for it. */
static inline __attribute__((always_inline)) bool find(const struct memtable *m, const struct engine_key *k,
                                                       struct record *out, uint64_t **at)
{
    uint32_t tag = memtable_tag(k->hash);
    const struct segment *s = partition_segment(memtable_partition(m, k->key.vnode), tag);
    uint64_t *slot = segment_find(s, tag);
    bool is_found = false;
    for (; slot_has_tag(*slot, tag); slot++)
        if (is_same_key(m, slot_unit(*slot), &k->key, out)) {
            is_found = true;
            break;
        }
    *at = slot;
    return is_found;
}

static int replace(struct memtable *m, uint64_t *slot, const struct record *held, struct slice entry)
{
    uint32_t unit = slot_unit(*slot);
    bool is_kept = m->kept.keepers > 0;
    if (!is_kept && units_of(entry.bytes) <= units_of(entry_bytes(held))) {
        memcpy(memtable_entry(m, unit), entry.data, entry.bytes);
        return 0;
    }
    if (is_kept && !memtable_kept_reserve(m))
        return TORC_E_NO_MEMORY;
    unit = arena_add(m, entry);
    if (unit == 0)
        return TORC_E_NO_MEMORY;
    if (is_kept)
        memtable_kept_add(m, unit, slot_unit(*slot));
    *slot = (*slot & ~(uint64_t)UINT32_MAX) | unit;
    memtable_partition(m, held->key.vnode)->changes++;
    return 0;
}

/* What partition_add cannot take stays in the arena, unused. */
static int add(struct memtable *m, const struct engine_key *k, uint64_t *at, struct slice entry)
{
    uint32_t unit = arena_add(m, entry);
    uint64_t slot = (uint64_t)memtable_tag(k->hash) << 32 | unit;
    if (unit == 0 || !partition_add(m, memtable_partition(m, k->key.vnode), at, slot))
        return TORC_E_NO_MEMORY;
    m->entries++;
    return 0;
}

int memtable_put(struct memtable *m, uint64_t hash, const struct record *record, struct slice entry)
{
    struct engine_key k = {.key = record->key, .hash = hash};
    struct record held;
    uint64_t *slot;
    bool is_held = find(m, &k, &held, &slot);
    int order = is_held ? version_compare(record->version, held.version) : 1;
    if (order <= 0)
        return order == 0 ? 0 : TORC_E_SUPERSEDED;
    int rc = is_held ? replace(m, slot, &held, entry) : add(m, &k, slot, entry);
    if (rc == 0 && record->version.clock > m->clock_max)
        m->clock_max = record->version.clock;
    return rc;
}

bool memtable_get(const struct memtable *m, const struct engine_key *k, struct record *out)
{
    uint64_t *slot;
    return find(m, k, out, &slot);
}

enum { TAGS_AT_ONCE = 64 };

void memtable_each_tag(const struct memtable *m, uint16_t vnode, void (*each)(void *context, uint32_t tag),
                       void *context)
{
    uint64_t slots[TAGS_AT_ONCE];
    struct memtable_walk walk = {.vnode = vnode};
    for (uint32_t count; (count = memtable_walk(m, &walk, slots, TAGS_AT_ONCE)) > 0;)
        for (uint32_t i = 0; i < count; i++)
            each(context, (uint32_t)(slots[i] >> 32));
}

void memtable_prefetch_slot(const struct memtable *m, uint16_t vnode, uint64_t hash)
{
    uint32_t tag = memtable_tag(hash);
    __builtin_prefetch(segment_home(partition_segment(memtable_partition(m, vnode), tag), tag));
}

void memtable_prefetch_entry(const struct memtable *m, uint16_t vnode, uint64_t hash)
{
    uint32_t tag = memtable_tag(hash);
    uint64_t slot = *segment_find(partition_segment(memtable_partition(m, vnode), tag), tag);
    if (slot_has_tag(slot, tag))
        entry_prefetch(memtable_entry(m, slot_unit(slot)));
}
