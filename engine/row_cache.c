/* row_cache.c - two queues of encoded entries and an index into them; see row_cache.h.
 *
 * A queue is a list of segments of memory. Entries are written one behind the other into the newest; when
 * that is full and the queue has as many as it may, the oldest is emptied: what is to be kept is copied, the
 * rest is forgotten, and the memory is used again or given back. So nothing is ever moved to fill a hole, and
 * the cache shrinks and grows segment by segment. */
#include "engine/row_cache.h"

#include "engine/entry.h"
#include "engine/memtable.h"
#include "reactor/base/mark.h"

enum {
    UNIT_BYTES = 8,
    SEGMENT_BYTES = 32 << 10, /* emptied in some 20 us */
    SEGMENT_UNITS = SEGMENT_BYTES / UNIT_BYTES,
    RECORD_BYTES_USUAL =
        128, /* the index has room for records of this size: no smaller ones are worth more */
    SLOT_BYTES = 8,
    SMALL_SHARE = 10, /* of the segments, for what was read once */
    QUEUE_SEGMENTS_MIN = 2,
    SEGMENTS_MIN = 2 * QUEUE_SEGMENTS_MIN,
    USES_TO_STAY = 2, /* hits in the small queue after which a record goes to the main one */
    KEPT_UNITS_MAX =
        SEGMENT_UNITS / 4 * 3, /* of a segment of the main queue: so that one emptied makes room */
    TRIM_SEGMENTS = 2,
};
#define USE_ONE (1ull << 30)
#define USES (3ull << 30)
#define PLACE_MASK (USE_ONE - 1)
static_assert(ROW_CACHE_BUDGET_BYTES_MAX / UNIT_BYTES <= PLACE_MASK + 1, "a slot names any place");
static_assert(ROW_CACHE_ENTRY_BYTES_MAX <= SEGMENT_BYTES / 2, "two of the largest fit into a segment");

#define NO_SEGMENT UINT32_MAX

struct segment {
    uint8_t *memory; /* null: this number is not in use */
    uint32_t units;  /* written */
    uint32_t next;   /* the next newer one of its queue, or the next unused number */
};

struct queue {
    uint32_t newest, oldest; /* NO_SEGMENT: empty */
    uint32_t count;
    uint32_t count_max;
};

struct row_cache {
    struct reactor *reactor;
    uint64_t seed;
    uint64_t *slots; /* tag << 32 | uses << 30 | unit + 1; 0 is empty */
    uint32_t *ghosts;
    uint32_t mask; /* of both */
    uint32_t count_max;
    struct segment *segments;
    uint32_t segment_count;
    uint32_t unused; /* numbers of segments without memory */
    struct queue small, main;
    uint64_t fixed_bytes;
    uint64_t budget_max;
    struct row_cache_counters counters;
};

/* ---- life ---- */

/* One segment more than these is there while the oldest is emptied. */
static void divide(struct row_cache *c, uint64_t budget)
{
    uint64_t left = budget > c->fixed_bytes ? budget - c->fixed_bytes : 0;
    uint32_t count = (uint32_t)(left / SEGMENT_BYTES);
    count = count > SEGMENTS_MIN ? count - 1 : SEGMENTS_MIN;
    count = count < c->segment_count ? count : c->segment_count - 1;
    c->small.count_max = count / SMALL_SHARE;
    if (c->small.count_max < QUEUE_SEGMENTS_MIN)
        c->small.count_max = QUEUE_SEGMENTS_MIN;
    c->main.count_max = count - c->small.count_max;
}

static bool allocate_arrays(struct row_cache *c)
{
    size_t slots = (size_t)c->mask + 1;
    c->fixed_bytes = sizeof *c + slots * (SLOT_BYTES + sizeof *c->ghosts);
    c->fixed_bytes += c->segment_count * sizeof *c->segments;
    c->counters.bytes = c->fixed_bytes;
    c->slots = reactor_alloc_zeroed(c->reactor, slots * SLOT_BYTES);
    c->ghosts = reactor_alloc_zeroed(c->reactor, slots * sizeof *c->ghosts);
    c->segments = reactor_alloc_zeroed(c->reactor, c->segment_count * sizeof *c->segments);
    return c->slots && c->ghosts && c->segments;
}

static uint64_t clamp_budget(uint64_t bytes, uint64_t max)
{
    bytes = bytes < ROW_CACHE_BUDGET_BYTES_MIN ? ROW_CACHE_BUDGET_BYTES_MIN : bytes;
    return bytes > max ? max : bytes;
}

int row_cache_open(struct reactor *r, uint64_t budget_bytes, uint64_t seed, struct row_cache **out)
{
    uint64_t budget = clamp_budget(budget_bytes, ROW_CACHE_BUDGET_BYTES_MAX);
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
    c->segment_count = (uint32_t)(budget / SEGMENT_BYTES);
    c->budget_max = budget;
    c->small.newest = c->small.oldest = c->main.newest = c->main.oldest = NO_SEGMENT;
    if (!allocate_arrays(c)) {
        row_cache_close(c);
        return TORC_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < c->segment_count; i++)
        c->segments[i].next = i + 1 < c->segment_count ? i + 1 : NO_SEGMENT;
    divide(c, budget);
    *out = c;
    return 0;
}

void row_cache_close(struct row_cache *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; c->segments && i < c->segment_count; i++)
        reactor_free(c->reactor, c->segments[i].memory);
    reactor_free(c->reactor, c->segments);
    reactor_free(c->reactor, c->slots);
    reactor_free(c->reactor, c->ghosts);
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
    return c->segments[unit / SEGMENT_UNITS].memory + (size_t)(unit % SEGMENT_UNITS) * UNIT_BYTES;
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

/* ---- queues ---- */

/* A new newest segment. Returns: false when memory is out. */
static bool queue_open(struct row_cache *c, struct queue *q)
{
    uint32_t number = c->unused;
    if (number == NO_SEGMENT)
        return false;
    struct segment *s = &c->segments[number];
    uint32_t next = s->next;
    s->memory = reactor_alloc(c->reactor, SEGMENT_BYTES);
    if (!s->memory)
        return false;
    c->unused = next;
    c->counters.bytes += SEGMENT_BYTES;
    s->units = 0;
    s->next = NO_SEGMENT;
    if (q->newest != NO_SEGMENT)
        c->segments[q->newest].next = number;
    else
        q->oldest = number;
    q->newest = number;
    q->count++;
    return true;
}

static void queue_unlink_oldest(struct row_cache *c, struct queue *q)
{
    uint32_t number = q->oldest;
    q->oldest = c->segments[number].next;
    if (q->oldest == NO_SEGMENT)
        q->newest = NO_SEGMENT;
    q->count--;
}

static void segment_free(struct row_cache *c, uint32_t number)
{
    struct segment *s = &c->segments[number];
    reactor_free(c->reactor, s->memory);
    *s = (struct segment){.next = c->unused};
    c->unused = number;
    c->counters.bytes -= SEGMENT_BYTES;
}

/* Returns: whether the newest segment has room. */
static bool queue_has_room(const struct row_cache *c, const struct queue *q, uint32_t units)
{
    return q->newest != NO_SEGMENT && c->segments[q->newest].units + units <= SEGMENT_UNITS;
}

/* Requires: room. Returns: where so many units may be written. */
static uint32_t queue_take(struct row_cache *c, struct queue *q, uint32_t units)
{
    struct segment *s = &c->segments[q->newest];
    uint32_t unit = q->newest * SEGMENT_UNITS + s->units;
    ASSERT(s->units + units <= SEGMENT_UNITS);
    s->units += units;
    return unit;
}

static void move(struct row_cache *c, uint32_t slot, struct queue *to, uint32_t units, uint64_t uses)
{
    uint32_t from = unit_of(c->slots[slot]), unit = queue_take(c, to, units);
    memcpy(entry_at(c, unit), entry_at(c, from), (size_t)units * UNIT_BYTES);
    c->slots[slot] = (c->slots[slot] >> 32 << 32) | uses | (unit + 1);
}

/* ---- emptying the oldest segment ---- */

/* Goes through the entries of a segment that the index still knows. */
static void empty_segment(struct row_cache *c, uint32_t number,
                          void (*each)(struct row_cache *c, uint32_t slot, uint32_t units))
{
    uint32_t begin = number * SEGMENT_UNITS, end = begin + c->segments[number].units;
    for (uint32_t unit = begin; unit < end;) {
        struct record record;
        entry_decode_trusted(entry_at(c, unit), &record);
        uint32_t units = units_of(entry_bytes(&record));
        int64_t slot = find_unit(c, memtable_tag(memtable_hash(c->seed, &record.key)), unit);
        if (slot >= 0) /* else it was removed or replaced before */
            each(c, (uint32_t)slot, units);
        unit += units;
    }
    segment_free(c, number);
}

static void forget(struct row_cache *c, uint32_t slot, uint32_t units)
{
    (void)units;
    erase(c, slot);
    c->counters.evictions++;
}

/* Of the main queue: what was read since it was looked at last stays, as long as room is left by it. */
static void keep_or_forget(struct row_cache *c, uint32_t slot, uint32_t units)
{
    uint64_t uses = c->slots[slot] & USES;
    bool has_room =
        queue_has_room(c, &c->main, units) && c->segments[c->main.newest].units + units <= KEPT_UNITS_MAX;
    if (uses && has_room)
        move(c, slot, &c->main, units, uses - USE_ONE);
    else
        forget(c, slot, units);
}

/* Room in the main queue; the second oldest segment is only emptied when the entries are large. */
static bool make_main_room(struct row_cache *c, uint32_t units)
{
    for (unsigned tries = 0; !queue_has_room(c, &c->main, units); tries++) {
        bool is_full = c->main.count >= c->main.count_max;
        uint32_t oldest = c->main.oldest;
        if (is_full)
            queue_unlink_oldest(c, &c->main);
        bool is_open = queue_open(c, &c->main);
        if (is_full)
            empty_segment(c, oldest, is_open && tries == 0 ? keep_or_forget : forget);
        if (!is_open)
            return false;
    }
    return true;
}

/* Of the small queue: what was read again goes to the main one; of the rest the tag is remembered. */
static void promote_or_forget(struct row_cache *c, uint32_t slot, uint32_t units)
{
    uint32_t tag = (uint32_t)(c->slots[slot] >> 32);
    uint32_t from = unit_of(c->slots[slot]);
    if ((c->slots[slot] & USES) < USES_TO_STAY * USE_ONE) {
        c->ghosts[tag & c->mask] = tag;
        forget(c, slot, units);
        return;
    }
    bool has_room = make_main_room(c, units);
    int64_t again = find_unit(c, tag, from); /* what left the main queue meanwhile has moved the index */
    ASSERT(again >= 0);
    if (has_room)
        move(c, (uint32_t)again, &c->main, units, 0);
    else
        forget(c, (uint32_t)again, units);
}

static bool make_small_room(struct row_cache *c, uint32_t units)
{
    if (queue_has_room(c, &c->small, units))
        return true;
    if (c->small.count >= c->small.count_max) {
        uint32_t oldest = c->small.oldest;
        queue_unlink_oldest(c, &c->small);
        empty_segment(c, oldest, promote_or_forget);
    }
    return queue_open(c, &c->small);
}

/* The oldest of the queue that has most more than its share goes as it is. */
static void drop_segment(struct row_cache *c)
{
    bool is_small = c->small.count > c->small.count_max || c->main.count == 0;
    struct queue *q = is_small ? &c->small : &c->main;
    uint32_t oldest = q->oldest;
    ASSERT(oldest != NO_SEGMENT);
    queue_unlink_oldest(c, q);
    empty_segment(c, oldest, forget);
}

/* ---- what the engine calls ---- */

bool row_cache_get(struct row_cache *c, const struct engine_key *k, struct record *out)
{
    int64_t slot = find(c, k, out);
    if (slot < 0) {
        c->counters.misses++;
        return false;
    }
    if ((c->slots[slot] & USES) != USES)
        c->slots[slot] += USE_ONE;
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

void row_cache_clear(struct row_cache *c)
{
    while (c->counters.entries > 0) /* ends: a segment may hold none of the index, but not all */
        drop_segment(c);
}

static bool is_remembered(const struct row_cache *c, uint32_t tag)
{
    return c->ghosts[tag & c->mask] == tag && tag != 0;
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
    uint32_t units = units_of(bytes), tag = memtable_tag(k->hash);
    bool was_seen = slot >= 0 || is_remembered(c, tag);
    while (c->counters.entries >= c->count_max) /* ends: a segment may hold none of the index, but not all */
        drop_segment(c);
    if (was_seen ? !make_main_room(c, units) : !make_small_room(c, units))
        return;
    if (was_seen)
        c->ghosts[tag & c->mask] = 0;
    uint32_t unit = queue_take(c, was_seen ? &c->main : &c->small, units);
    entry_encode(entry_at(c, unit), record);
    insert(c, tag, unit);
}

void row_cache_offer(struct row_cache *c, const struct engine_key *k, const struct record *record)
{
    struct record held;
    uint32_t tag = memtable_tag(k->hash);
    if (entry_bytes(record) <= ROW_CACHE_OFFER_BYTES_MAX || is_remembered(c, tag) || find(c, k, &held) >= 0)
        row_cache_add(c, k, record);
    else
        c->ghosts[tag & c->mask] = tag;
}

void row_cache_resize(struct row_cache *c, uint64_t budget_bytes)
{
    divide(c, clamp_budget(budget_bytes, c->budget_max));
}

bool row_cache_trim(struct row_cache *c)
{
    for (unsigned i = 0; i < TRIM_SEGMENTS; i++) {
        if (c->small.count <= c->small.count_max && c->main.count <= c->main.count_max)
            return false;
        drop_segment(c);
    }
    return true;
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
