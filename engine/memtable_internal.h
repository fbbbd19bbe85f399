/* memtable_internal.h - what memtable.c, memtable_index.c, memtable_list.c and memtable_run.c share. */
#ifndef ENGINE_MEMTABLE_INTERNAL_H
#define ENGINE_MEMTABLE_INTERNAL_H

#include "engine/memtable.h"
#include "reactor/base/list.h"

enum {
    UNIT_BYTES = 2,
    CHUNK_UNIT_BITS = 21,
    CHUNK_BYTES_MIN = 16 << 10,
    CHUNK_BYTES_MAX = UNIT_BYTES << CHUNK_UNIT_BITS, /* 4 MiB */
    CHUNK_SHARE = 128,                               /* a new chunk is at most so much of the arena */
    CHUNKS_MAX = (1 << (32 - CHUNK_UNIT_BITS)) - 1,  /* more than 4 GiB; no unit is UINT32_MAX */
};
static_assert((int)CHUNK_BYTES_MAX >= 2 * (int)ENTRY_BYTES_MAX, "any entry fits into a chunk");

/* Above all slots: sorts behind them, so that a search ends there without asking whether it is one. */
#define SLOT_EMPTY UINT64_MAX

/* A slot is tag << 32 | unit. A slot's home is the place that its tag has in proportion: so the slots of a
 * segment are in the order of their tags, from the first to the last, with empty ones between.
 *
 *   tags:   0                                                    2^32 >> depth
 *           | 12 | 40 |    | 77 | 78 | 81 |    | ... |    |    | ends with an empty one |
 *           |<----------------- places --------------------->|<------ tail ------->|
 */
struct segment {
    uint64_t *slots;
    uint32_t places; /* homes: what is behind them is for those that find theirs taken */
    uint32_t total;  /* slots, the tail and the last empty one included */
    uint32_t count;
    uint32_t count_max; /* then it grows */
    uint32_t depth;     /* so many of the highest bits of all its tags are alike */
};

struct partition {
    struct segment first;       /* while there is but one */
    struct segment **directory; /* 2^bits of them by the highest bits of the tag; null while bits is 0 */
    uint32_t bits;
    uint32_t count;             /* of entries */
    uint64_t changes;           /* so often an entry came or moved to another place */
    struct memtable_list *kept; /* the last long list of it; null: none */
};
static_assert(sizeof(struct partition) == 64, "as large as a line");

/* Versions that were overwritten: pairs of units, newer << 32 | older (memtable_kept.c). */
struct memtable_kept {
    uint64_t *pairs; /* null: none */
    uint64_t *older; /* the table before this one, while its pairs come over; else null */
    uint32_t bits;   /* 2^bits places in pairs, half as many in older */
    uint32_t moved;  /* so many places of older have come over */
    uint32_t count;
    uint32_t keepers; /* views */
};

/* Sorted lists of vnodes (memtable_run.c). */
struct memtable_lists {
    struct list kept;    /* in the order in which they were made */
    struct list makings; /* long ones, at most one a vnode */
    uint64_t begun;      /* so many long ones were: the number of the last */
    uint64_t sorted;     /* items, in all: what lists have cost */
    uint64_t bytes;      /* of memory, of all there are, and of what they are sorted with */
    uint64_t kept_bytes; /* of them, and the next, too */
    uint64_t idle_bytes; /* of kept lists that nobody else has */
};

struct memtable {
    struct reactor *reactor;
    struct memtable_options options;
    uint32_t references;
    uint32_t first_count; /* entries that the first slots of a partition have room for */
    struct partition *partitions;
    uint64_t no_slots[1]; /* of partitions without an entry: one empty slot */
    uint8_t **chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    uint32_t next_unit;   /* in the last chunk */
    uint32_t chunk_units; /* that the last chunk has room for */
    uint64_t arena_bytes; /* of all chunks */
    uint64_t used_bytes;
    uint64_t index_bytes;
    uint64_t entries;
    uint64_t clock_max;
    struct memtable_kept kept;
    struct memtable_lists lists;
};

struct memtable_item {
    uint64_t prefix; /* record_key_prefix of the key without the bytes that all keys of its list begin with */
    uint32_t namespace_id;
    uint32_t unit;
};

struct memtable_items {
    struct memtable_item *items;
    uint32_t count;
    uint32_t capacity;
};

/* Shared by those who hold it. */
struct memtable_list {
    struct memtable *memtable;
    struct list link; /* in lists.kept */
    uint32_t references;
    bool is_kept;
    uint32_t common_bytes;  /* that all keys begin with ... */
    uint64_t common_prefix; /* ... and their record_key_prefix */
    struct memtable_items all;
    /* What it lacks: */
    uint16_t vnode;
    uint32_t unit_end; /* of the arena when it was begun: entries from there on may be missing, no others */
    uint64_t changes;  /* of the partition when it was begun */
    uint64_t number;   /* so many were begun with it; 0: a short one */
};
/* Room for one more. */
MUST_CHECK bool memtable_kept_reserve(struct memtable *m);
void memtable_kept_add(struct memtable *m, uint32_t unit, uint32_t older);
uint64_t memtable_kept_bytes(const struct memtable *m); /* of memory */
void memtable_kept_deinit(struct memtable *m);

/* Waits: yields. Lists and sorts a vnode; `older` is another list of it, which saves most of the work, or
 * null. Returns: 0 with one reference held by the caller, or TORC_E_NO_MEMORY. */
MUST_CHECK int memtable_list_make(struct memtable *m, uint16_t vnode, const struct memtable_list *older,
                                  struct memtable_list **out);
void memtable_list_free(struct memtable_list *list);           /* whatever holds it */
uint64_t memtable_list_size(const struct memtable_list *list); /* bytes of memory */

/* ---- kept lists (memtable_run.c) ---- */

void memtable_lists_init(struct memtable *m);
void memtable_lists_deinit(struct memtable *m); /* Requires: nobody has one. Yields in a task. */

static inline uint8_t *memtable_entry(const struct memtable *m, uint32_t unit)
{
    return m->chunks[unit >> CHUNK_UNIT_BITS] + (size_t)(unit & ((1u << CHUNK_UNIT_BITS) - 1)) * UNIT_BYTES;
}

/* All entries to come are at this unit or behind it. */
static inline uint32_t memtable_unit_end(const struct memtable *m)
{
    return m->chunk_count ? ((m->chunk_count - 1) << CHUNK_UNIT_BITS) + m->next_unit : 0;
}

static inline struct partition *memtable_partition(const struct memtable *m, uint16_t vnode)
{
    ASSERT((uint16_t)(vnode - m->options.vnode_first) < m->options.vnode_count);
    return &m->partitions[vnode - m->options.vnode_first];
}

/* ---- slots (memtable_index.c) ---- */

static inline struct segment *partition_segment(struct partition *p, uint32_t tag)
{
    if (__builtin_expect(p->bits == 0, 1))
        return &p->first;
    return p->directory[tag >> (32 - p->bits)];
}

static inline uint64_t *segment_home(const struct segment *s, uint32_t tag)
{
    return s->slots + ((uint64_t)(tag << s->depth) * s->places >> 32);
}

/* Returns: the first slot of this tag, or, when there is none, where it would be. */
static inline uint64_t *segment_find(const struct segment *s, uint32_t tag)
{
    uint64_t from = (uint64_t)tag << 32;
    uint64_t *slot = segment_home(s, tag);
    while (*slot < from) /* ends: the last slot is empty */
        slot++;
    return slot;
}

static inline bool slot_has_tag(uint64_t slot, uint32_t tag)
{
    return slot - ((uint64_t)tag << 32) < UINT32_MAX; /* not the empty one either */
}

static inline uint64_t *segment_end_of_tag(const struct segment *s, uint32_t tag)
{
    uint64_t *slot = segment_find(s, tag);
    while (slot_has_tag(*slot, tag))
        slot++;
    return slot;
}

static inline uint32_t slot_unit(uint64_t slot)
{
    return (uint32_t)slot;
}

void partition_init(struct memtable *m, struct partition *p);
void partition_deinit(struct memtable *m, struct partition *p);
/* Adds the slot of a key that is not there, behind all slots of its tag: that is where `at` points. Returns:
 * false when memory is out, and nothing has changed. */
MUST_CHECK bool partition_add(struct memtable *m, struct partition *p, uint64_t *at, uint64_t slot);

/* Goes through the slots of a vnode in the order of their tags, a few at a time; entries may be put between.
 * Each key that was there at the beginning is given once; one that came later once or not. Begins as all
 * zeros but for the vnode. */
struct memtable_walk {
    uint16_t vnode;
    uint32_t tag;  /* it goes on with this one, */
    uint32_t skip; /* behind so many slots of it */
    bool is_over;
};
/* Returns: how many slots it has written to `slots`, at most `count_max`; 0 at the end. */
uint32_t memtable_walk(const struct memtable *m, struct memtable_walk *w, uint64_t *slots,
                       uint32_t count_max);

#endif
