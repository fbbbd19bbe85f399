/* merge_source.h - one sorted source of a merge: a memtable, or a run of tables, forward or backward.
 *
 *   memtable:  vnode | vnode | vnode     each sorted when it is reached (memtable_run.c)
 *   run:       table | table | table     disjoint, by key
 *
 * Forward a source stands on a record and goes to larger keys, backward to smaller ones. It waits for the
 * disk, or yields. */
#ifndef ENGINE_MERGE_SOURCE_H
#define ENGINE_MERGE_SOURCE_H

#include "engine/memtable.h"
#include "engine/tables.h"

enum merge_source_state {
    SOURCE_UNREAD, /* it was never sought */
    SOURCE_STANDS, /* on `current` */
    SOURCE_ENDED,  /* nothing comes any more */
};

struct merge_source {
    struct reactor *reactor;
    enum merge_source_state state;
    bool is_backward;
    bool is_barred; /* current is where a table that cannot be read begins: no further than that */
    /* What most comparisons need, of the record it stands on. */
    uint64_t group;  /* vnode and namespace */
    uint64_t prefix; /* record_key_prefix */
    struct record
        current; /* of a memtable: only after merge_source_read, for it may be overwritten meanwhile */
    /* a memtable */
    struct memtable *memtable;  /* held; null for a run of tables */
    struct memtable_run sorted; /* one vnode of it */
    uint32_t place;             /* so many records of the vnode are before where it stands */
    uint32_t vnode;
    uint32_t vnode_first;
    uint32_t vnode_end;
    struct memtable_past past;
    /* a run of tables */
    const struct table_run *run;
    uint32_t table; /* that the cursor is in */
    enum table_cursor_mode mode;
    struct disk_share share;
    const struct record_key *end; /* as that of a table_cursor; null: all is wanted */
    struct table_cursor cursor;
};

/* `vnode_end` is behind the last vnode. Holds the memtable, and shows what is in it now. */
void merge_source_of_memtable(struct merge_source *s, struct memtable *memtable, uint32_t vnode_first,
                              uint32_t vnode_end);
/* The caller holds the set that the run is of. Both want reactor and direction set afterwards. */
void merge_source_of_run(struct merge_source *s, const struct table_run *run, enum table_cursor_mode mode);
/* Waits where a bulk cursor reads ahead. */
void merge_source_deinit(struct merge_source *s);

/* Waits. Forward: to the first record not below `to`. Backward: to the last one below it. */
MUST_CHECK int merge_source_seek(struct merge_source *s, const struct record_key *to);
/* Waits. To the next record. Requires: it stands on one. */
MUST_CHECK int merge_source_advance(struct merge_source *s);

/* Waits. What a run of tables stands on came out of the cache, maybe, and went bad there: reads it from the
 * disk. Returns: 1 when it is another now, with the same key; 0 when it is not; TORC_E_CORRUPT when it has
 * another key, for then it was given out in the wrong place; or an error. */
MUST_CHECK int merge_source_read_again(struct merge_source *s);

/* What a memtable holds at a place may have been written over since; its key is the same, but may be
 * elsewhere. Makes `current` what is there now; it stays so until a wait or a write. */
static inline void merge_source_read(struct merge_source *s)
{
    if (!s->memtable)
        return;
    uint32_t at = s->is_backward ? s->place - 1 : s->place;
    bool is_there = memtable_run_get_until(&s->sorted, s->memtable, at, s->past.clock_max, &s->current);
    ASSERT(is_there); /* it was when the source came here */
}

#endif
