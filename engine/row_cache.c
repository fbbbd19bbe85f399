/* row_cache.c - a ring of entries and an index into it; see row_cache.h. */
#include "engine/row_cache.h"

#include "engine/entry.h"
#include "engine/memtable.h"
#include "reactor/base/mark.h"

enum {
    UNIT_BYTES = 8,
    RECORD_BYTES_USUAL =
        128, /* the index has room for records of this size: no smaller ones are worth more */
    SLOT_BYTES = 8,
    REINSERTIONS_MAX = 32, /* for one add; then the oldest goes whatever it did */
};
#define VISITED (1ull << 31)
#define PLACE_MASK (VISITED - 1)

/* Not wrapped: entries are in [tail, head). Wrapped: in [tail, wrap) and then [0, head). */
struct row_cache {
    struct reactor *reactor;
    uint64_t seed;
    uint64_t *slots; /* tag << 32 | visited | unit + 1; 0 is empty */
    uint32_t mask;
    uint32_t count_max;
    uint8_t *ring;
    uint32_t units;
    uint32_t head;
    uint32_t tail;
    uint32_t wrap;
    bool is_wrapped;
    struct row_cache_counters counters;
};

/* ---- life ---- */

int row_cache_open(struct reactor *r, uint64_t budget_bytes, uint64_t seed, struct row_cache **out)
{
    uint64_t budget = budget_bytes < ROW_CACHE_BUDGET_BYTES_MIN ? ROW_CACHE_BUDGET_BYTES_MIN : budget_bytes;
    budget = budget > ROW_CACHE_BUDGET_BYTES_MAX ? ROW_CACHE_BUDGET_BYTES_MAX : budget;
    uint32_t slots = 1024;
    while ((uint64_t)slots * 2 * RECORD_BYTES_USUAL <= budget)
        slots *= 2;
    struct row_cache *c = reactor_alloc_zeroed(r, sizeof *c);
    *out = NULL;
    if (!c)
        return TORC_E_NO_MEMORY;
    c->reactor = r;
    c->seed = seed;
    c->mask = slots - 1;
    c->count_max = slots / 4 * 3;
    c->units = (uint32_t)((budget - (uint64_t)slots * SLOT_BYTES) / UNIT_BYTES);
    c->slots = reactor_alloc_zeroed(r, (size_t)slots * SLOT_BYTES);
    c->ring = reactor_alloc(r, (size_t)c->units * UNIT_BYTES);
    c->counters.bytes = (uint64_t)slots * SLOT_BYTES + (uint64_t)c->units * UNIT_BYTES;
    if (!c->slots || !c->ring) {
        row_cache_close(c);
        return TORC_E_NO_MEMORY;
    }
    *out = c;
    return 0;
}

void row_cache_close(struct row_cache *c)
{
    if (!c)
        return;
    reactor_free(c->reactor, c->slots);
    reactor_free(c->reactor, c->ring);
    reactor_free(c->reactor, c);
}

struct row_cache_counters row_cache_counters(const struct row_cache *c)
{
    return c->counters;
}

/* ---- slots ---- */

static uint32_t unit_of(uint64_t slot)
{
    return (uint32_t)(slot & PLACE_MASK) - 1;
}

static uint8_t *entry_at(const struct row_cache *c, uint32_t unit)
{
    return c->ring + (size_t)unit * UNIT_BYTES;
}

static uint32_t units_of(size_t bytes)
{
    return (uint32_t)((bytes + UNIT_BYTES - 1) / UNIT_BYTES);
}

/* Returns: the place in the index of the key, or -1; its record is decoded to *out. */
static int64_t find(const struct row_cache *c, const struct engine_key *k, struct record *out)
{
    uint32_t tag = memtable_tag(k->hash);
    for (uint32_t i = tag & c->mask; c->slots[i]; i = (i + 1) & c->mask) {
        if (c->slots[i] >> 32 != tag)
            continue;
        entry_decode_trusted(entry_at(c, unit_of(c->slots[i])), out);
        if (record_key_compare(&out->key, &k->key) == 0)
            return i;
    }
    return -1;
}

/* Returns: the place in the index of the entry that begins at a unit, or -1. */
static int64_t find_unit(const struct row_cache *c, uint32_t tag, uint32_t unit)
{
    for (uint32_t i = tag & c->mask; c->slots[i]; i = (i + 1) & c->mask)
        if (c->slots[i] >> 32 == tag && unit_of(c->slots[i]) == unit)
            return i;
    return -1;
}

/* Empties a slot and moves those behind it up, so that no probe meets a hole (Knuth, TAOCP 3, 6.4 R). */
static void erase(struct row_cache *c, uint32_t hole)
{
    for (uint32_t i = (hole + 1) & c->mask; c->slots[i]; i = (i + 1) & c->mask) {
        uint32_t home = (uint32_t)(c->slots[i] >> 32) & c->mask;
        if (((i - home) & c->mask) < ((i - hole) & c->mask))
            continue;
        c->slots[hole] = c->slots[i];
        hole = i;
    }
    c->slots[hole] = 0;
    c->counters.entries--;
}

static void insert(struct row_cache *c, uint32_t tag, uint32_t unit)
{
    uint32_t i = tag & c->mask;
    while (c->slots[i])
        i = (i + 1) & c->mask;
    c->slots[i] = (uint64_t)tag << 32 | (unit + 1);
    c->counters.entries++;
}

/* ---- the ring ---- */

/* The oldest entry leaves: for good, or back to the head, where what it frees makes room for it. */
static void retire_oldest(struct row_cache *c, bool may_return)
{
    struct record record;
    uint32_t unit = c->tail;
    entry_decode_trusted(entry_at(c, unit), &record);
    uint32_t units = units_of(entry_bytes(&record));
    uint32_t tag = memtable_tag(memtable_hash(c->seed, &record.key));
    int64_t slot = find_unit(c, tag, unit);
    c->tail += units;
    if (c->is_wrapped && c->tail == c->wrap) {
        c->tail = 0;
        c->is_wrapped = false;
    }
    if (slot < 0)
        return; /* removed or replaced before */
    uint32_t room = (c->is_wrapped ? c->tail : c->units) - c->head;
    if (!may_return || !(c->slots[slot] & VISITED) || units > room) {
        erase(c, (uint32_t)slot);
        c->counters.evictions++;
        return;
    }
    memmove(entry_at(c, c->head), entry_at(c, unit), (size_t)units * UNIT_BYTES);
    c->slots[slot] = (uint64_t)tag << 32 | (c->head + 1);
    c->head += units;
}

/* Makes room for `units` in one piece at the head. */
static void make_room(struct row_cache *c, uint32_t units)
{
    unsigned returned = 0;
    ASSERT(units < c->units / 2);
    if (!c->is_wrapped && c->tail == c->head)
        c->tail = c->head = 0;
    for (;;) {
        if (!c->is_wrapped && c->head + units <= c->units && c->counters.entries < c->count_max)
            return;
        if (c->is_wrapped && c->head + units <= c->tail && c->counters.entries < c->count_max)
            return;
        if (!c->is_wrapped && c->head + units > c->units) {
            c->wrap = c->head;
            c->head = 0;
            c->is_wrapped = true;
        } else {
            retire_oldest(c, returned++ < REINSERTIONS_MAX);
        }
    }
}

/* ---- what the engine calls ---- */

bool row_cache_get(struct row_cache *c, const struct engine_key *k, struct record *out)
{
    int64_t slot = find(c, k, out);
    if (slot < 0) {
        c->counters.misses++;
        return false;
    }
    c->slots[slot] |= VISITED;
    c->counters.hits++;
    return true;
}

void row_cache_remove(struct row_cache *c, uint32_t tag)
{
    for (uint32_t i = tag & c->mask; c->slots[i];)
        if (c->slots[i] >> 32 == tag) {
            MARK(cached_row_goes_when_its_key_is_flushed);
            erase(c, i); /* what stood behind may be here now */
        } else {
            i = (i + 1) & c->mask;
        }
}

void row_cache_add(struct row_cache *c, const struct engine_key *k, const struct record *record)
{
    struct record held;
    size_t bytes = entry_bytes(record);
    int64_t slot = find(c, k, &held);
    if (slot >= 0)
        erase(c, (uint32_t)slot);
    if (bytes > ROW_CACHE_ENTRY_BYTES_MAX)
        return;
    uint32_t units = units_of(bytes);
    make_room(c, units);
    entry_encode(entry_at(c, c->head), record);
    insert(c, memtable_tag(k->hash), c->head);
    c->head += units;
}

void row_cache_prefetch_slot(const struct row_cache *c, uint64_t hash)
{
    __builtin_prefetch(&c->slots[memtable_tag(hash) & c->mask]);
}

void row_cache_prefetch_entry(const struct row_cache *c, uint64_t hash)
{
    uint32_t tag = memtable_tag(hash);
    for (uint32_t i = tag & c->mask; c->slots[i]; i = (i + 1) & c->mask)
        if (c->slots[i] >> 32 == tag) {
            entry_prefetch(entry_at(c, unit_of(c->slots[i])));
            return;
        }
}
