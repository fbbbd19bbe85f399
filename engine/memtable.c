/* memtable.c - hash partitions over an arena of encoded entries; see memtable.h. */
#include "engine/memtable_internal.h"

enum {
    FIRST_CAPACITY_MIN = 16,
    FIRST_CAPACITY_MAX = 1 << 16,
    /* A partition grows when more than 13/16 of its slots are taken: about 3 probes for a hit. */
    LOAD_NUMERATOR = 13,
    LOAD_DENOMINATOR = 16,
    /* With each insert so many slots move; twice the size is reached long after all have. */
    MOVES_PER_INSERT = 8,
    CHUNK_TABLE_FIRST = 32,
};

/* ---- life ---- */

static uint32_t first_capacity(const struct memtable_options *o)
{
    uint64_t wanted = (uint64_t)o->entries_hint / o->vnode_count * LOAD_DENOMINATOR / LOAD_NUMERATOR;
    uint32_t capacity = FIRST_CAPACITY_MIN;
    while (capacity < wanted && capacity < FIRST_CAPACITY_MAX)
        capacity *= 2;
    return capacity;
}

int memtable_new(struct reactor *r, const struct memtable_options *options, struct memtable **out)
{
    ASSERT(options->vnode_count > 0 && options->chunk_bytes <= CHUNK_BYTES);
    struct memtable *m = reactor_alloc_zeroed(r, sizeof *m);
    *out = NULL;
    if (!m)
        return TORC_E_NO_MEMORY;
    m->reactor = r;
    m->options = *options;
    if (!m->options.chunk_bytes)
        m->options.chunk_bytes = CHUNK_BYTES;
    m->references = 1;
    m->first_capacity = first_capacity(options);
    m->partitions = reactor_alloc_zeroed(r, options->vnode_count * sizeof *m->partitions);
    if (!m->partitions) {
        memtable_release(m);
        return TORC_E_NO_MEMORY;
    }
    m->index_bytes = options->vnode_count * sizeof *m->partitions;
    for (uint32_t i = 0; i < options->vnode_count; i++)
        m->partitions[i].slots = m->no_slots;
    m->next_unit = 1; /* unit 0 means an empty slot */
    *out = m;
    return 0;
}

void memtable_hold(struct memtable *m)
{
    m->references++;
}

static void free_slots(struct memtable *m, uint64_t *slots, uint32_t mask)
{
    if (!slots || slots == m->no_slots)
        return;
    m->index_bytes -= ((uint64_t)mask + 1) * sizeof *slots;
    reactor_free(m->reactor, slots);
}

void memtable_release(struct memtable *m)
{
    if (!m || --m->references > 0)
        return;
    struct reactor *r = m->reactor;
    for (uint32_t i = 0; m->partitions && i < m->options.vnode_count; i++) {
        free_slots(m, m->partitions[i].slots, m->partitions[i].mask);
        free_slots(m, m->partitions[i].old_slots, m->partitions[i].old_mask);
    }
    for (uint32_t i = 0; i < m->chunk_count; i++) {
        reactor_free(r, m->chunks[i]); /* a thousand pages each */
        if (task_current(r))
            task_yield_if_due(r);
    }
    memtable_list_release(r, m->sorted);
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
    uint64_t list_bytes = m->sorted ? m->sorted->bytes : 0;
    return sizeof *m + m->arena_bytes + m->chunk_capacity * sizeof(uint8_t *) + m->index_bytes + list_bytes;
}

uint64_t memtable_clock_max(const struct memtable *m)
{
    return m->clock_max;
}

/* ---- arena ---- */

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
    uint32_t chunk_units = m->options.chunk_bytes / UNIT_BYTES;
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

/* ---- slots ---- */

static uint32_t slot_unit(uint64_t slot)
{
    return (uint32_t)slot;
}

static bool is_same_key(const struct memtable *m, uint32_t unit, const struct record_key *key,
                        struct record *out)
{
    entry_decode_trusted(memtable_entry(m, unit), out);
    return out->key.namespace_id == key->namespace_id && slice_equal(out->key.key, key->key) &&
           slice_equal(out->key.subkey, key->subkey);
}

/* Returns: the slot of the key, with the record decoded to *out; null when it is not there. */
static uint64_t *find_in(const struct memtable *m, uint64_t *slots, uint32_t mask, const struct engine_key *k,
                         struct record *out)
{
    uint32_t tag = memtable_tag(k->hash);
    for (uint32_t i = tag & mask; slots[i]; i = (i + 1) & mask) /* ends: a slot is always free */
        if (slots[i] >> 32 == tag && is_same_key(m, slot_unit(slots[i]), &k->key, out))
            return &slots[i];
    return NULL;
}

static uint64_t *find(const struct memtable *m, const struct engine_key *k, struct record *out)
{
    const struct partition *p = memtable_partition(m, k->key.vnode);
    uint64_t *slot = find_in(m, p->slots, p->mask, k, out);
    if (!slot && p->old_slots)
        slot = find_in(m, p->old_slots, p->old_mask, k, out);
    return slot;
}

static void insert(struct partition *p, uint64_t slot)
{
    uint32_t i = (uint32_t)(slot >> 32) & p->mask;
    while (p->slots[i])
        i = (i + 1) & p->mask;
    p->slots[i] = slot;
}

static void move_some(struct memtable *m, struct partition *p)
{
    for (unsigned n = 0; n < MOVES_PER_INSERT && p->old_slots; n++) {
        uint64_t slot = p->old_slots[p->moved];
        if (slot)
            insert(p, slot);
        if (p->moved++ < p->old_mask)
            continue;
        free_slots(m, p->old_slots, p->old_mask);
        p->old_slots = NULL;
    }
}

/* Slots for one more entry: the first of a partition, or the double of those it has. */
static bool make_room(struct memtable *m, struct partition *p)
{
    uint64_t capacity = (uint64_t)p->mask + 1;
    if (p->count < capacity * LOAD_NUMERATOR / LOAD_DENOMINATOR)
        return true;
    ASSERT(!p->old_slots); /* all moved long before the double is full */
    bool is_first = p->slots == m->no_slots;
    uint64_t wanted = is_first ? m->first_capacity : 2 * capacity;
    uint64_t *slots = reactor_alloc_zeroed(m->reactor, wanted * sizeof *slots);
    if (!slots)
        return false;
    m->index_bytes += wanted * sizeof *slots;
    p->old_slots = is_first ? NULL : p->slots;
    p->old_mask = p->mask;
    p->moved = 0;
    p->slots = slots;
    p->mask = (uint32_t)(wanted - 1);
    return true;
}

/* ---- put and get ---- */

static int replace(struct memtable *m, uint64_t *slot, const struct record *held, struct slice entry)
{
    uint32_t unit = slot_unit(*slot);
    if (units_of(entry.bytes) <= units_of(entry_bytes(held))) {
        memcpy(memtable_entry(m, unit), entry.data, entry.bytes);
        return 0;
    }
    unit = arena_add(m, entry);
    if (unit == 0)
        return TORC_E_NO_MEMORY;
    *slot = (*slot & ~(uint64_t)UINT32_MAX) | unit;
    memtable_partition(m, held->key.vnode)->changes++;
    return 0;
}

static int add(struct memtable *m, const struct engine_key *k, struct slice entry)
{
    struct partition *p = memtable_partition(m, k->key.vnode);
    if (!make_room(m, p))
        return TORC_E_NO_MEMORY;
    uint32_t unit = arena_add(m, entry);
    if (unit == 0)
        return TORC_E_NO_MEMORY;
    insert(p, (uint64_t)memtable_tag(k->hash) << 32 | unit);
    p->count++;
    p->changes++;
    m->entries++;
    move_some(m, p);
    return 0;
}

int memtable_put(struct memtable *m, uint64_t hash, const struct record *record, struct slice entry)
{
    struct engine_key k = {.key = record->key, .hash = hash};
    struct record held;
    uint64_t *slot = find(m, &k, &held);
    int order = slot ? version_compare(record->version, held.version) : 1;
    if (order <= 0)
        return order == 0 ? 0 : TORC_E_SUPERSEDED;
    int rc = slot ? replace(m, slot, &held, entry) : add(m, &k, entry);
    if (rc == 0 && record->version.clock > m->clock_max)
        m->clock_max = record->version.clock;
    return rc;
}

bool memtable_get(const struct memtable *m, const struct engine_key *k, struct record *out)
{
    return find(m, k, out) != NULL;
}

static void each_slot(const uint64_t *slots, uint64_t from, uint32_t mask,
                      void (*each)(void *context, uint32_t tag), void *context)
{
    for (uint64_t i = from; i <= mask; i++)
        if (slots[i])
            each(context, (uint32_t)(slots[i] >> 32));
}

void memtable_each_tag(const struct memtable *m, uint16_t vnode, void (*each)(void *context, uint32_t tag),
                       void *context)
{
    const struct partition *p = memtable_partition(m, vnode);
    each_slot(p->slots, 0, p->mask, each, context);
    if (p->old_slots)
        each_slot(p->old_slots, p->moved, p->old_mask, each, context);
}

void memtable_prefetch_slot(const struct memtable *m, uint16_t vnode, uint64_t hash)
{
    const struct partition *p = memtable_partition(m, vnode);
    __builtin_prefetch(&p->slots[memtable_tag(hash) & p->mask]);
}

void memtable_prefetch_entry(const struct memtable *m, uint16_t vnode, uint64_t hash)
{
    const struct partition *p = memtable_partition(m, vnode);
    uint32_t tag = memtable_tag(hash);
    for (uint32_t i = tag & p->mask; p->slots[i]; i = (i + 1) & p->mask)
        if (p->slots[i] >> 32 == tag) {
            entry_prefetch(memtable_entry(m, slot_unit(p->slots[i])));
            return;
        }
}
