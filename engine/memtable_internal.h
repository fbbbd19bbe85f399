/* memtable_internal.h - what memtable.c and memtable_run.c share. */
#ifndef ENGINE_MEMTABLE_INTERNAL_H
#define ENGINE_MEMTABLE_INTERNAL_H

#include "engine/memtable.h"

enum {
    UNIT_BYTES = 8,
    CHUNK_UNIT_BITS = 19,
    CHUNK_BYTES = UNIT_BYTES << CHUNK_UNIT_BITS, /* 4 MiB at most */
    CHUNKS_MAX = 1 << (32 - CHUNK_UNIT_BITS),    /* 32 GiB */
};
static_assert((int)CHUNK_BYTES >= 2 * (int)ENTRY_BYTES_MAX, "any entry fits into a chunk");

/* A slot is tag << 32 | unit; 0 is empty, since no entry begins at unit 0. The low bits of the tag choose the
 * place, so a slot can be moved without its key. */
struct partition {
    uint64_t *slots;
    uint64_t *old_slots; /* being moved into `slots`; null when not growing */
    uint32_t mask;       /* of slots; 0 until the first entry comes */
    uint32_t old_mask;
    uint32_t moved;   /* slots of old_slots before this are in `slots`, too */
    uint32_t count;   /* of entries, in both */
    uint64_t changes; /* so often an entry came or moved to another place */
};

struct memtable {
    struct reactor *reactor;
    struct memtable_options options;
    uint32_t references;
    uint32_t first_capacity; /* slots of a partition at first */
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
    struct memtable_list *sorted; /* the last long list that was made; null: none */
};

/* Shared by those who hold it. */
struct memtable_list {
    uint32_t references;
    uint32_t count;
    uint16_t vnode;
    uint64_t changes;       /* of the partition when it was made */
    uint64_t bytes;         /* of memory */
    uint32_t common_bytes;  /* that all keys begin with ... */
    uint64_t common_prefix; /* ... and their record_key_prefix */
    struct memtable_run_item {
        uint64_t prefix; /* record_key_prefix of the key without these */
        uint32_t namespace_id;
        uint32_t unit;
    } items[];
};
void memtable_list_release(struct reactor *r, struct memtable_list *list); /* null is allowed */

static inline uint8_t *memtable_entry(const struct memtable *m, uint32_t unit)
{
    return m->chunks[unit >> CHUNK_UNIT_BITS] + (size_t)(unit & ((1u << CHUNK_UNIT_BITS) - 1)) * UNIT_BYTES;
}

static inline struct partition *memtable_partition(const struct memtable *m, uint16_t vnode)
{
    ASSERT((uint16_t)(vnode - m->options.vnode_first) < m->options.vnode_count);
    return &m->partitions[vnode - m->options.vnode_first];
}

#endif
