/* memtable_index.c - from a hash tag to the place of an entry, in little memory; see memtable_internal.h.
 *
 * Linear probing that keeps the slots in the order of their tags (Amble and Knuth, "Ordered hash tables",
 * 1974): a search that finds nothing ends at the first larger tag, as early as one that finds something, so a
 * segment may be 13/16 full. It grows by a quarter or less, in one sweep, because slots in order go to places
 * in order. A segment too long to be swept in a slice is split in two by the next bit of the tag (extendible
 * hashing; Fagin et al., 1979), so no insert stalls and old and new slots never stand side by side for more
 * than one segment, even when one hash tag puts all keys into one vnode. */
#include "engine/memtable_internal.h"

#include <string.h>

enum {
    LOAD_NUMERATOR = 13,
    LOAD_DENOMINATOR = 16,
    SLOTS_MIN = 16,
    SEGMENT_SLOTS_MAX = 4096, /* swept in some 10 us */
    DEPTH_MAX = 16,           /* then segments grow beyond that: after 200 million entries in one vnode */
    TAIL_MIN = 2,
    TAIL_SHARE = 64, /* one more slot of tail for so many */
    TAIL_MAX = 10,
    GROWTHS_MAX = 64, /* in a row; one is enough but for one in a thousand */
};
static_assert(SEGMENT_SLOTS_MAX >= 2 * SLOTS_MIN, "halves of a segment are segments");

/* ---- one segment ---- */

/* The next of 16, 20, 24, 28, 32, 40 ...: the sizes of blocks that the heap has. */
static uint32_t next_total(uint32_t total)
{
    uint32_t highest = UINT32_C(1) << (31 - __builtin_clz(total));
    return total + highest / 4;
}

static uint32_t total_for(uint64_t count)
{
    uint32_t total = SLOTS_MIN;
    while (total < SEGMENT_SLOTS_MAX && (uint64_t)total * LOAD_NUMERATOR / LOAD_DENOMINATOR <= count)
        total = next_total(total);
    return total;
}

static bool segment_init(struct memtable *m, struct segment *s, uint32_t total, uint32_t depth)
{
    uint32_t tail = TAIL_MIN + total / TAIL_SHARE;
    *s = (struct segment){.total = total, .depth = depth};
    s->places = total - (tail < TAIL_MAX ? tail : TAIL_MAX);
    s->count_max = (uint32_t)((uint64_t)total * LOAD_NUMERATOR / LOAD_DENOMINATOR);
    ASSERT(s->count_max < s->total);
    s->slots = reactor_alloc(m->reactor, total * sizeof *s->slots);
    if (!s->slots)
        return false;
    memset(s->slots, 0xff, total * sizeof *s->slots); /* SLOT_EMPTY */
    m->index_bytes += total * sizeof *s->slots;
    return true;
}

static void segment_deinit(struct memtable *m, struct segment *s)
{
    if (s->slots && s->slots != m->no_slots) {
        m->index_bytes -= s->total * sizeof *s->slots;
        reactor_free(m->reactor, s->slots);
    }
    s->slots = NULL;
}

/* Takes over slots in order. Returns: false when they pile up beyond the end. */
static bool segment_fill(struct segment *s, const uint64_t *from, const uint64_t *end)
{
    uint64_t *at = s->slots;
    const uint64_t *last = s->slots + s->total - 1;
    for (; from < end; from++) {
        if (*from == SLOT_EMPTY)
            continue;
        uint64_t *home = segment_home(s, (uint32_t)(*from >> 32));
        at = home > at ? home : at;
        if (at >= last)
            return false;
        *at++ = *from;
        s->count++;
    }
    return true;
}

/* A segment of `depth` with the slots from `from` to `end`, and room for more. */
static bool segment_make(struct memtable *m, struct segment *s, uint32_t total, uint32_t depth,
                         const uint64_t *from, const uint64_t *end)
{
    for (unsigned i = 0; i < GROWTHS_MAX && total < UINT32_MAX / 2; i++, total = next_total(total)) {
        if (!segment_init(m, s, total, depth))
            return false;
        if (segment_fill(s, from, end))
            return true;
        segment_deinit(m, s);
    }
    return false;
}

/* ---- growing ---- */

static bool segment_grow(struct memtable *m, struct segment *s)
{
    struct segment grown;
    bool is_first = s->total == 0;
    uint32_t total = is_first ? total_for(m->first_count) : next_total(s->total);
    if (!segment_make(m, &grown, total, s->depth, s->slots, s->slots + s->total))
        return false;
    ASSERT(grown.count == s->count);
    segment_deinit(m, s);
    *s = grown;
    return true;
}

/* Twice as many directory entries, each twice; the first ones point to the embedded segment. */
static bool directory_double(struct memtable *m, struct partition *p)
{
    size_t count = (size_t)2 << p->bits;
    struct segment **directory = reactor_alloc(m->reactor, count * sizeof(struct segment *));
    if (!directory)
        return false;
    for (size_t i = 0; i < count; i++)
        directory[i] = p->bits == 0 ? &p->first : p->directory[i / 2];
    m->index_bytes += count * sizeof(struct segment *);
    if (p->directory)
        m->index_bytes -= count / 2 * sizeof(struct segment *);
    reactor_free(m->reactor, p->directory);
    p->directory = directory;
    p->bits++;
    return true;
}

/* A segment of its own memory with a half of the slots of another. */
static struct segment *make_half(struct memtable *m, uint32_t depth, const uint64_t *from,
                                 const uint64_t *end)
{
    struct segment *half = reactor_alloc(m->reactor, sizeof *half);
    uint64_t count = 0;
    for (const uint64_t *slot = from; slot < end; slot++)
        count += *slot != SLOT_EMPTY;
    if (!half || !segment_make(m, half, total_for(count + count / 16), depth, from, end)) {
        reactor_free(m->reactor, half);
        return NULL;
    }
    m->index_bytes += sizeof *half;
    return half;
}

static void free_half(struct memtable *m, struct segment *s)
{
    segment_deinit(m, s);
    m->index_bytes -= sizeof *s;
    reactor_free(m->reactor, s);
}

/* Splits the segment of a tag by the bit behind those that its tags have in common. */
static bool segment_split(struct memtable *m, struct partition *p, uint32_t tag)
{
    struct segment *s = partition_segment(p, tag);
    if (s->depth == p->bits && !directory_double(m, p))
        return false;
    uint32_t bits = s->depth + 1;
    uint32_t high_prefix = (uint32_t)((uint64_t)tag >> (32 - bits)) | 1;
    uint32_t middle_tag = high_prefix << (32 - bits);
    const uint64_t *end = s->slots + s->total, *middle = s->slots;
    while (middle < end && (*middle == SLOT_EMPTY || *middle < (uint64_t)middle_tag << 32))
        middle++;
    struct segment *low = make_half(m, bits, s->slots, middle);
    struct segment *high = low ? make_half(m, bits, middle, end) : NULL;
    if (!high) {
        if (low)
            free_half(m, low);
        return false;
    }
    ASSERT(low->count + high->count == s->count);
    uint32_t each = UINT32_C(1) << (p->bits - bits);
    for (uint32_t i = 0; i < each; i++) {
        p->directory[(high_prefix - 1) * each + i] = low;
        p->directory[high_prefix * each + i] = high;
    }
    if (s == &p->first)
        segment_deinit(m, s);
    else
        free_half(m, s);
    return true;
}

/* ---- partitions ---- */

void partition_init(struct memtable *m, struct partition *p)
{
    *p = (struct partition){.first = {.slots = m->no_slots}};
}

void partition_deinit(struct memtable *m, struct partition *p)
{
    size_t count = p->directory ? (size_t)1 << p->bits : 0;
    for (size_t i = 0; i < count;) {
        struct segment *s = p->directory[i];
        i += (size_t)1 << (p->bits - s->depth);
        if (s != &p->first)
            free_half(m, s);
    }
    m->index_bytes -= count * sizeof(struct segment *);
    reactor_free(m->reactor, p->directory);
    segment_deinit(m, &p->first);
}

static bool partition_grow(struct memtable *m, struct partition *p, uint32_t tag)
{
    struct segment *s = partition_segment(p, tag);
    if (s->total < SEGMENT_SLOTS_MAX || s->depth == DEPTH_MAX)
        return segment_grow(m, s);
    return segment_split(m, p, tag);
}

/* Puts a slot at its place; the others up to the next empty one move on by one. Returns: false when that
 * would be the last. */
static inline bool segment_insert(struct segment *s, uint64_t *at, uint64_t slot)
{
    uint64_t *empty = at;
    while (*empty != SLOT_EMPTY)
        empty++;
    if (empty == s->slots + s->total - 1)
        return false;
    for (; empty > at; empty--)
        *empty = empty[-1];
    *at = slot;
    s->count++;
    return true;
}

static __attribute__((noinline)) bool add_to_grown(struct memtable *m, struct partition *p, uint64_t slot)
{
    uint32_t tag = (uint32_t)(slot >> 32);
    for (unsigned growths = 0; growths < GROWTHS_MAX; growths++) {
        if (!partition_grow(m, p, tag))
            return false;
        struct segment *s = partition_segment(p, tag);
        if (s->count < s->count_max && segment_insert(s, segment_end_of_tag(s, tag), slot))
            return true;
    }
    return false;
}

bool partition_add(struct memtable *m, struct partition *p, uint64_t *at, uint64_t slot)
{
    struct segment *s = partition_segment(p, (uint32_t)(slot >> 32));
    ASSERT(at >= s->slots && (uint32_t)slot != UINT32_MAX);
    if (__builtin_expect(s->count >= s->count_max || !segment_insert(s, at, slot), 0))
        if (!add_to_grown(m, p, slot))
            return false;
    p->count++;
    p->changes++;
    return true;
}

/* ---- walking ---- */

static void walk_to_next_segment(const struct partition *p, const struct segment *s, struct memtable_walk *w)
{
    uint32_t index = p->bits ? w->tag >> (32 - p->bits) : 0;
    uint32_t each = UINT32_C(1) << (p->bits - s->depth);
    uint64_t next = index / each * each + each;
    w->is_over = next >= UINT64_C(1) << p->bits;
    w->skip = 0;
    if (!w->is_over)
        w->tag = (uint32_t)(next << (32 - p->bits));
}

uint32_t memtable_walk(const struct memtable *m, struct memtable_walk *w, uint64_t *slots, uint32_t count_max)
{
    struct partition *p = memtable_partition(m, w->vnode);
    uint32_t count = 0;
    while (count < count_max && !w->is_over) {
        const struct segment *s = partition_segment(p, w->tag);
        const uint64_t *slot = segment_find(s, w->tag);
        const uint64_t *end = s->slots + (s->total ? s->total : 1);
        slot += w->skip; /* those of one tag stay together, and new ones come behind */
        for (; slot < end && count < count_max; slot++) {
            if (*slot == SLOT_EMPTY)
                continue;
            uint32_t tag = (uint32_t)(*slot >> 32);
            w->skip = tag == w->tag ? w->skip + 1 : 1;
            w->tag = tag;
            slots[count++] = *slot;
        }
        if (slot == end)
            walk_to_next_segment(p, s, w);
    }
    return count;
}
