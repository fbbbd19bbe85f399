/* cache.c - the block cache of a shard; see cache.h for the picture.
 *
 *   frame:   free --cache_read--> loading --load ok--> ready --hand takes it, unpinned---------> free
 *                                    |                   |                                     ^ ^
 *                                    |                   +--cache_forget--> forgotten, unpinned+ |
 *                                    +---------------------- load failed ------------------------+
 *
 * Only ready frames are in the queue and can be evicted; loading ones are in the index, so that others find
 * them and wait. Forgotten ones are in neither: they last as long as their pins. Memory of one-unit blocks
 * comes in slabs of 32; a larger block has an allocation of its own. When a larger block needs room and the
 * hand finds a small one, the whole slab of that one is emptied and given back: so the budget moves between
 * small and large blocks as the load does, and memory stays within it to the byte of the sums kept here. A
 * large block that goes for one of its size leaves it its memory. */
#include "engine/cache.h"

#include <string.h>

enum {
    SLAB_UNITS = 32,
    SLAB_BYTES = SLAB_UNITS * CACHE_UNIT_BYTES,
    NONE = 0, /* of a frame or slab number: what is zeroed is empty, so a large cache is made at no cost */
    FRAMES_MAX = UINT32_MAX >> 3,
    SLOTS_PER_FRAME = 2,   /* at least: the index is at most half full */
    LARGE_SHARE = 8,       /* a block above 1/8 of the budget is not kept: it would push out too much */
    TRIM_SLABS = 8,        /* or large blocks, given back in one go */
    SWEEP_STEPS_MAX = 512, /* then the hand takes a visited one too, so that no sweep stalls the core */
    TRIM_STEPS_MAX = 1024, /* of the hand, in one go: each may be a miss of the processor's cache */
};
static_assert((int)CACHE_UNIT_BYTES == (int)FILE_ALIGNMENT, "a read goes straight into its frame");
#define SLAB_ALL_FREE UINT32_MAX
static_assert(SLAB_UNITS == 32, "one bit of a u32 a unit");

enum frame_state { FRAME_FREE, FRAME_LOADING, FRAME_READY, FRAME_FORGOTTEN };

/* One task that waits for another's read. On that task's stack. */
struct waiter {
    struct waiter *next;
    struct event event;
};

struct frame {
    uint64_t table;
    uint8_t *data;
    struct waiter *waiters;
    uint32_t position;
    uint32_t units;
    uint32_t newer; /* in the queue; of a free frame: the next free one */
    uint32_t older;
    uint32_t pins;
    uint32_t slab; /* NONE: memory of its own */
    uint8_t state;
    bool is_visited;
};

struct slab {
    uint8_t *memory; /* null: this number is not in use */
    uint32_t free_mask;
    uint32_t next_with_room; /* in the list of slabs with room, while is_listed; or of unused numbers */
    bool is_listed;
    uint32_t frames[SLAB_UNITS];
};

/* Of the index. Equal when both names are; frame NONE: empty. */
struct slot {
    uint64_t table;
    uint32_t position;
    uint32_t frame;
};

struct cache {
    struct reactor *r;
    uint64_t budget;
    uint64_t budget_max;  /* the arrays are for so much */
    uint64_t fixed_bytes; /* this struct and its arrays */
    uint64_t block_bytes; /* slabs and large blocks */
    struct frame *frames;
    uint32_t frame_count;
    uint32_t frame_free;  /* the first of those that were used before */
    uint32_t frame_fresh; /* from here on none was ever used */
    struct slot *slots;
    uint32_t slot_mask;
    struct slab *slabs;
    uint32_t slab_count;
    uint32_t slab_unused; /* as frame_free */
    uint32_t slab_fresh;
    uint32_t slab_with_room;
    uint32_t newest;
    uint32_t oldest;
    uint32_t hand;
    uint32_t queue_count;
    uint8_t *spare;       /* memory of a large block that was evicted for one of the same size */
    uint32_t spare_units; /* of which such memory is kept: not 0 only while frame_acquire makes room */
    struct cache_counters counters;
};

/* ---- index ---- */

static inline uint32_t slot_of(const struct cache *c, uint64_t table, uint32_t position)
{
    uint64_t x = (table * UINT64_C(0x9e3779b97f4a7c15) + position) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(x >> 32) & c->slot_mask;
}

/* Returns: the slot of the block, or the empty one where it would go. */
static inline uint32_t index_find(const struct cache *c, uint64_t table, uint32_t position)
{
    uint32_t i = slot_of(c, table, position);
    while (c->slots[i].frame != NONE && (c->slots[i].table != table || c->slots[i].position != position))
        i = (i + 1) & c->slot_mask;
    return i;
}

static void index_add(struct cache *c, uint32_t frame)
{
    const struct frame *f = &c->frames[frame];
    uint32_t i = index_find(c, f->table, f->position);
    ASSERT(c->slots[i].frame == NONE);
    c->slots[i] = (struct slot){f->table, f->position, frame};
}

/* Takes one out and moves back those that had to step over it (Knuth, TAOCP 6.4, algorithm R). */
static void index_remove(struct cache *c, uint32_t frame)
{
    uint32_t hole = index_find(c, c->frames[frame].table, c->frames[frame].position);
    ASSERT(c->slots[hole].frame == frame);
    for (uint32_t i = (hole + 1) & c->slot_mask; c->slots[i].frame != NONE; i = (i + 1) & c->slot_mask) {
        uint32_t home = slot_of(c, c->slots[i].table, c->slots[i].position);
        if (((i - home) & c->slot_mask) < ((i - hole) & c->slot_mask))
            continue;
        c->slots[hole] = c->slots[i];
        hole = i;
    }
    c->slots[hole].frame = NONE;
}

/* ---- slabs ---- */

static void slab_list(struct cache *c, uint32_t slab)
{
    struct slab *s = &c->slabs[slab];
    if (s->is_listed)
        return;
    s->is_listed = true;
    s->next_with_room = c->slab_with_room;
    c->slab_with_room = slab;
}

static void slab_unlist(struct cache *c, uint32_t slab)
{
    uint32_t *link = &c->slab_with_room;
    while (*link != slab)
        link = &c->slabs[*link].next_with_room;
    *link = c->slabs[slab].next_with_room;
    c->slabs[slab].is_listed = false;
}

static bool slab_open(struct cache *c)
{
    uint32_t slab = c->slab_unused != NONE ? c->slab_unused : c->slab_fresh;
    if (slab == c->slab_count || c->fixed_bytes + c->block_bytes + SLAB_BYTES > c->budget)
        return false;
    struct slab *s = &c->slabs[slab];
    uint32_t next = s->next_with_room;
    s->memory = reactor_alloc_aligned(c->r, SLAB_BYTES, FILE_ALIGNMENT);
    if (!s->memory)
        return false;
    if (slab == c->slab_fresh)
        c->slab_fresh++;
    else
        c->slab_unused = next;
    s->free_mask = SLAB_ALL_FREE;
    c->block_bytes += SLAB_BYTES;
    slab_list(c, slab);
    return true;
}

/* Requires: all free. */
static void slab_close(struct cache *c, uint32_t slab)
{
    struct slab *s = &c->slabs[slab];
    ASSERT(s->free_mask == SLAB_ALL_FREE);
    if (s->is_listed)
        slab_unlist(c, slab);
    reactor_free(c->r, s->memory);
    s->memory = NULL;
    s->next_with_room = c->slab_unused;
    c->slab_unused = slab;
    c->block_bytes -= SLAB_BYTES;
}

/* ---- frames ---- */

/* Requires: a slab with room. */
static void frame_take_unit(struct cache *c, uint32_t frame)
{
    uint32_t slab = c->slab_with_room;
    struct slab *s = &c->slabs[slab];
    unsigned unit = (unsigned)__builtin_ctz(s->free_mask);
    s->free_mask &= ~(UINT32_C(1) << unit);
    s->frames[unit] = frame;
    if (s->free_mask == 0)
        slab_unlist(c, slab);
    c->frames[frame].slab = slab;
    c->frames[frame].data = s->memory + (size_t)unit * CACHE_UNIT_BYTES;
}

static void give_large_back(struct cache *c, const struct frame *f)
{
    if (f->units == c->spare_units && !c->spare)
        c->spare = f->data;
    else
        reactor_free(c->r, f->data);
    c->block_bytes -= (uint64_t)f->units * CACHE_UNIT_BYTES;
}

/* Requires: the index does not have it. */
static void frame_give_back(struct cache *c, uint32_t frame)
{
    struct frame *f = &c->frames[frame];
    ASSERT(f->pins == 0 && !f->waiters);
    if (f->slab != NONE) {
        struct slab *s = &c->slabs[f->slab];
        s->free_mask |= UINT32_C(1) << ((size_t)(f->data - s->memory) / CACHE_UNIT_BYTES);
        slab_list(c, f->slab);
        if (s->free_mask == SLAB_ALL_FREE)
            slab_close(c, f->slab);
    } else {
        give_large_back(c, f);
    }
    *f = (struct frame){.newer = c->frame_free};
    c->frame_free = frame;
    c->counters.blocks--;
}

static void frame_release(struct cache *c, uint32_t frame)
{
    index_remove(c, frame);
    frame_give_back(c, frame);
}

/* ---- queue ---- */

static void queue_add(struct cache *c, uint32_t frame)
{
    struct frame *f = &c->frames[frame];
    f->newer = NONE;
    f->older = c->newest;
    if (c->newest != NONE)
        c->frames[c->newest].newer = frame;
    else
        c->oldest = frame;
    c->newest = frame;
    c->queue_count++;
}

static void queue_remove(struct cache *c, uint32_t frame)
{
    struct frame *f = &c->frames[frame];
    if (c->hand == frame)
        c->hand = f->newer; /* NONE: begins again at the oldest */
    if (f->newer != NONE)
        c->frames[f->newer].older = f->older;
    else
        c->newest = f->older;
    if (f->older != NONE)
        c->frames[f->older].newer = f->newer;
    else
        c->oldest = f->newer;
    c->queue_count--;
}

static void evict(struct cache *c, uint32_t frame)
{
    ASSERT(c->frames[frame].state == FRAME_READY && c->frames[frame].pins == 0);
    queue_remove(c, frame);
    frame_release(c, frame);
    c->counters.evictions++;
}

/* Moves the hand to the next frame that may go. Two rounds clear every visited bit, so what is left then is
 * pinned. */
static uint32_t find_victim(struct cache *c)
{
    uint64_t steps_max = 2 * (uint64_t)c->queue_count + 1;
    for (uint64_t step = 0; step < steps_max; step++) {
        if (c->hand == NONE)
            c->hand = c->oldest;
        if (c->hand == NONE)
            return NONE;
        struct frame *f = &c->frames[c->hand];
        if (f->pins == 0 && (!f->is_visited || step >= SWEEP_STEPS_MAX))
            return c->hand;
        if (f->pins == 0)
            f->is_visited = false;
        c->hand = f->newer;
        c->counters.hand_steps++;
    }
    return NONE;
}

/* ---- room ---- */

/* Empties a slab and gives its memory back, unless something in it is pinned or being read. */
static bool empty_slab(struct cache *c, uint32_t slab)
{
    struct slab *s = &c->slabs[slab];
    for (unsigned unit = 0; unit < SLAB_UNITS; unit++) {
        const struct frame *f = &c->frames[s->frames[unit]];
        bool is_used = !(s->free_mask >> unit & 1);
        if (is_used && (f->state != FRAME_READY || f->pins > 0))
            return false;
    }
    for (unsigned unit = 0; unit < SLAB_UNITS; unit++)
        if (!(s->free_mask >> unit & 1))
            evict(c, s->frames[unit]); /* the last one closes the slab */
    ASSERT(!s->memory);
    return true;
}

/* Makes room for one unit: a slab has some in the end. */
static bool make_unit_room(struct cache *c)
{
    while (c->slab_with_room == NONE && !slab_open(c)) {
        uint32_t victim = find_victim(c);
        if (victim == NONE)
            return false;
        evict(c, victim);
    }
    return true;
}

/* Gives the memory of the block under the hand back, with all of its slab. Returns: false when that is pinned
 * or being read; the hand has moved on. */
static bool give_back_some(struct cache *c)
{
    uint32_t victim = find_victim(c);
    if (victim == NONE)
        return false;
    uint32_t slab = c->frames[victim].slab;
    if (slab == NONE) {
        evict(c, victim);
        return true;
    }
    if (empty_slab(c, slab))
        return true;
    c->hand = c->frames[victim].newer;
    return false;
}

/* Makes room for a large block in the sum of bytes. Ends: each step evicts something or counts as one of the
 * tries. */
static bool make_large_room(struct cache *c, uint64_t bytes)
{
    uint32_t tries = c->slab_count;
    if (bytes > c->budget / LARGE_SHARE ||
        c->block_bytes > c->budget) /* the budget was lowered: it is trimmed */
        return false;
    while (c->fixed_bytes + c->block_bytes + bytes > c->budget)
        if (!give_back_some(c) && tries-- == 0)
            return false;
    return true;
}

void cache_resize(struct cache *c, uint64_t budget_bytes)
{
    uint64_t budget = budget_bytes < CACHE_BUDGET_BYTES_MIN ? CACHE_BUDGET_BYTES_MIN : budget_bytes;
    budget = budget < c->fixed_bytes + SLAB_BYTES ? c->fixed_bytes + SLAB_BYTES : budget;
    c->budget = budget < c->budget_max ? budget : c->budget_max;
}

bool cache_trim(struct cache *c)
{
    uint64_t steps_end = c->counters.hand_steps + TRIM_STEPS_MAX;
    for (unsigned i = 0; i < TRIM_SLABS && c->counters.hand_steps < steps_end; i++) {
        if (c->fixed_bytes + c->block_bytes <= c->budget)
            return false;
        if (!give_back_some(c) && c->queue_count == 0)
            return false; /* all that is left is being read */
    }
    return true;
}

/* Returns: memory for a large block, counted; null when there is no room. */
static uint8_t *take_large(struct cache *c, uint32_t units)
{
    uint64_t bytes = (uint64_t)units * CACHE_UNIT_BYTES;
    c->spare_units = units;
    bool has_room = make_large_room(c, bytes);
    uint8_t *memory = c->spare;
    c->spare = NULL;
    c->spare_units = 0;
    if (!has_room) {
        reactor_free(c->r, memory);
        return NULL;
    }
    memory = memory ? memory : reactor_alloc_aligned(c->r, bytes, FILE_ALIGNMENT);
    c->block_bytes += memory ? bytes : 0;
    return memory;
}

/* Returns: a frame with memory for the block, in the index as being read; NONE when there is no room. */
static uint32_t frame_acquire(struct cache *c, struct cache_block block)
{
    uint8_t *large = block.units == 1 ? NULL : take_large(c, block.units);
    if (block.units == 1 ? !make_unit_room(c) : !large)
        return NONE;
    uint32_t frame = c->frame_free != NONE ? c->frame_free : c->frame_fresh;
    ASSERT(frame < c->frame_count); /* there is one for each unit that the budget holds */
    struct frame *f = &c->frames[frame];
    uint32_t next = f->newer;
    if (block.units == 1) {
        frame_take_unit(c, frame);
    } else {
        f->slab = NONE;
        f->data = large;
    }
    if (frame == c->frame_fresh)
        c->frame_fresh++;
    else
        c->frame_free = next;
    f->table = block.table;
    f->position = block.position;
    f->units = block.units;
    f->state = FRAME_LOADING;
    index_add(c, frame);
    c->counters.blocks++;
    return frame;
}

/* ---- open and close ---- */

static bool allocate_arrays(struct cache *c)
{
    uint64_t frame_bytes = (uint64_t)c->frame_count * sizeof(struct frame);
    uint64_t slot_bytes = ((uint64_t)c->slot_mask + 1) * sizeof(struct slot);
    uint64_t slab_bytes = (uint64_t)c->slab_count * sizeof(struct slab);
    c->fixed_bytes = sizeof *c + frame_bytes + slot_bytes + slab_bytes;
    c->frames = reactor_alloc_zeroed(c->r, frame_bytes);
    c->slots = reactor_alloc_zeroed(c->r, slot_bytes);
    c->slabs = reactor_alloc_zeroed(c->r, slab_bytes);
    return c->frames && c->slots && c->slabs;
}

int cache_open(struct reactor *r, uint64_t budget_bytes, struct cache **out)
{
    uint64_t budget = budget_bytes < CACHE_BUDGET_BYTES_MIN ? CACHE_BUDGET_BYTES_MIN : budget_bytes;
    uint64_t frame_bytes = CACHE_UNIT_BYTES + sizeof(struct frame) + SLOTS_PER_FRAME * sizeof(struct slot);
    struct cache *c = reactor_alloc_zeroed(r, sizeof *c);
    if (!c)
        return TORC_E_NO_MEMORY;
    c->r = r;
    c->budget = c->budget_max = budget;
    c->frame_count = (uint32_t)(budget / frame_bytes < FRAMES_MAX ? budget / frame_bytes : FRAMES_MAX);
    c->slab_count = c->frame_count / SLAB_UNITS + 1;
    uint32_t slots = 16;
    while (slots < c->frame_count * SLOTS_PER_FRAME)
        slots *= 2;
    c->slot_mask = slots - 1;
    c->frame_count++; /* number 0 is none */
    c->slab_count++;
    c->frame_fresh = c->slab_fresh = 1;
    if (!allocate_arrays(c)) {
        cache_close(c);
        return TORC_E_NO_MEMORY;
    }
    *out = c;
    return 0;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    for (uint32_t i = 1; c->frames && i < c->frame_fresh; i++) {
        ASSERT(c->frames[i].pins == 0 && c->frames[i].state != FRAME_LOADING);
        if (c->frames[i].state == FRAME_READY && c->frames[i].slab == NONE)
            reactor_free(c->r, c->frames[i].data);
    }
    for (uint32_t i = 1; c->slabs && i < c->slab_fresh; i++)
        reactor_free(c->r, c->slabs[i].memory);
    reactor_free(c->r, c->slabs);
    reactor_free(c->r, c->slots);
    reactor_free(c->r, c->frames);
    reactor_free(c->r, c);
}

/* ---- use ---- */

static void pin_frame(struct cache *c, uint32_t frame, struct cache_pin *pin)
{
    c->frames[frame].pins++;
    *pin = (struct cache_pin){.cache = c, .data = c->frames[frame].data, .frame = frame};
}

const uint8_t *cache_get(struct cache *c, struct cache_block block)
{
    uint32_t frame = c->slots[index_find(c, block.table, block.position)].frame;
    if (frame == NONE)
        return NULL;
    struct frame *f = &c->frames[frame];
    if (f->state != FRAME_READY)
        return NULL;
    f->is_visited = true;
    c->counters.hits++;
    return f->data;
}

/* Waits: until the read under way is over. The reader leaves a pin for each who waited. */
static int share_read(struct cache *c, uint32_t frame, struct cache_pin *pin)
{
    struct waiter w = {.next = c->frames[frame].waiters};
    event_init(&w.event);
    c->frames[frame].waiters = &w;
    c->counters.shared++;
    int rc = event_wait(c->r, &w.event, EVENT_FOREVER);
    if (rc == 0)
        *pin =
            (struct cache_pin){.cache = c, .data = c->frames[frame].data, .frame = frame, .is_fresh = true};
    return rc;
}

static void end_load(struct cache *c, uint32_t frame, int result)
{
    struct frame *f = &c->frames[frame];
    ASSERT(f->state == FRAME_LOADING && f->pins == 0);
    struct waiter *next = f->waiters;
    f->waiters = NULL;
    while (next) {
        struct waiter *w = next;
        next = w->next; /* before it is woken: it is on that task's stack */
        f->pins += result == 0;
        event_set(c->r, &w->event, result);
    }
    if (result) {
        frame_release(c, frame);
        return;
    }
    f->state = FRAME_READY;
    queue_add(c, frame);
}

static int read_past(struct cache *c, struct cache_block block, cache_load_fn *load, void *context,
                     struct cache_pin *pin)
{
    uint8_t *memory = reactor_alloc_aligned(c->r, (size_t)block.units * CACHE_UNIT_BYTES, FILE_ALIGNMENT);
    if (!memory)
        return TORC_E_NO_MEMORY;
    c->counters.bypasses++;
    int rc = load(context, block, memory);
    if (rc) {
        reactor_free(c->r, memory);
        return rc;
    }
    *pin = (struct cache_pin){.cache = c, .data = memory, .private_memory = memory, .is_fresh = true};
    return 0;
}

int cache_read(struct cache *c, struct cache_block block, cache_load_fn *load, void *context,
               struct cache_pin *pin)
{
    ASSERT(block.units > 0);
    *pin = (struct cache_pin){0};
    uint32_t frame = c->slots[index_find(c, block.table, block.position)].frame;
    if (frame != NONE && c->frames[frame].state == FRAME_LOADING)
        return share_read(c, frame, pin);
    if (frame != NONE) {
        c->frames[frame].is_visited = true;
        c->counters.hits++;
        pin_frame(c, frame, pin);
        return 0;
    }
    c->counters.misses++;
    frame = frame_acquire(c, block);
    if (frame == NONE)
        return read_past(c, block, load, context, pin);
    int rc = load(context, block, c->frames[frame].data);
    end_load(c, frame, rc);
    if (rc == 0)
        pin_frame(c, frame, pin);
    pin->is_fresh = rc == 0;
    return rc;
}

void cache_unpin(struct cache_pin *pin)
{
    if (pin->private_memory) {
        reactor_free(pin->cache->r, pin->private_memory);
    } else if (pin->cache) {
        struct frame *f = &pin->cache->frames[pin->frame];
        ASSERT(f->pins > 0);
        if (--f->pins == 0 && f->state == FRAME_FORGOTTEN)
            frame_give_back(pin->cache, pin->frame);
    }
    *pin = (struct cache_pin){0};
}

void cache_forget(struct cache *c, struct cache_block block)
{
    uint32_t frame = c->slots[index_find(c, block.table, block.position)].frame;
    if (frame == NONE || c->frames[frame].state != FRAME_READY)
        return; /* what is being read comes from the disk */
    queue_remove(c, frame);
    index_remove(c, frame);
    c->frames[frame].state = FRAME_FORGOTTEN;
    c->counters.forgotten++;
    if (c->frames[frame].pins == 0)
        frame_give_back(c, frame);
}

struct cache_counters cache_counters(const struct cache *c)
{
    struct cache_counters counters = c->counters;
    counters.bytes = c->fixed_bytes + c->block_bytes;
    return counters;
}
