/* merge.h - many sorted sources as one: for each key its newest version, in order or in the reverse order.
 *
 *   order:  | given out: one key | next ...... last |     sources that stand on a record, by its key
 *
 * Sources are memtables (vnode by vnode, sorted as they are reached) and runs of tables. They are kept by the
 * key that each stands on, so a step looks at the one that moved and, most often, at its neighbour; with one
 * source it looks at nothing. Of versions of one key the highest wins and the others are passed over.
 * Tombstones and expired records come out, too: what to do with them is the caller's business. */
#ifndef ENGINE_MERGE_H
#define ENGINE_MERGE_H

#include "engine/merge_source.h"

/* A table that a record came out of. */
struct merge_place {
    uint32_t source;
    uint32_t table; /* of its run */
};

struct merge {
    struct reactor *reactor;
    struct merge_source *sources;
    struct merge_source **order; /* those that stand, by key */
    uint32_t order_count;
    uint32_t passed; /* the first of them stand on what was given out: they advance before the next */
    uint32_t count;
    uint32_t capacity;
    bool is_backward;
    struct merge_source *given; /* whose record was given out last; null: none */
    struct merge_place place;   /* of that record, or whose error it is */
    int error; /* comes again until a seek: nothing is passed over, so nothing older takes its place */
};

MUST_CHECK int merge_init(struct merge *m, struct reactor *r, uint32_t source_count_max);
/* Waits where runs are read in bulk. */
void merge_deinit(struct merge *m);
/* From the largest key to the smallest. Before sources are added. */
void merge_go_backward(struct merge *m);

/* `vnode_end` is behind the last vnode. Holds the memtable. */
void merge_add_memtable(struct merge *m, struct memtable *memtable, uint16_t vnode_first, uint32_t vnode_end);
/* The same, as it was. Requires: a view has kept the memtable since before that moment. */
void merge_add_memtable_until(struct merge *m, struct memtable *memtable, uint16_t vnode_first,
                              uint32_t vnode_end, struct memtable_past past);
/* The caller holds the set that the run is of. */
void merge_add_run(struct merge *m, const struct table_run *run, enum table_cursor_mode mode);
/* Nobody goes through the memtables that are its sources now again: their lists are not kept. */
void merge_for_the_last_time(struct merge *m);
/* The runs that are its sources now are read in this share of the disk. */
void merge_use_disk(struct merge *m, struct disk_share share);
/* Of the runs that are its sources now nothing behind the key is read ahead, and of those that are scanned
 * nothing past it is read at all, so that damage there does not count: backward, below it. The key lives as
 * long as the merge. Null: all of them is wanted. */
void merge_read_until(struct merge *m, const struct record_key *end);

/* Its one source, a run of one table, passes over what cannot be read: table_cursor_give_up. */
void merge_give_up(struct merge *m, struct table_losses *losses);

/* Waits. All sources to their first record not below `to`, or backward to their last below it; sources that
 * are past it stay. After an error some sources have gone on and one has not: then all of them begin anew at
 * `to`, wherever they were. */
MUST_CHECK int merge_seek(struct merge *m, const struct record_key *to);
/* Waits. The same, and may go back. */
MUST_CHECK int merge_seek_anew(struct merge *m, const struct record_key *to);

/* Waits. Returns: 1 with the newest version of the next key in *out, valid until the caller waits, writes or
 * calls again; 0 at the end; or an error. Requires: merge_seek was called once. */
MUST_CHECK int merge_next(struct merge *m, struct record *out);

/* The encoded bytes of the record that merge_next has just given out, of a memtable or a table alike; they
 * live as long as it does. Requires: merge_next has returned 1. */
struct slice merge_entry(const struct merge *m);

/* Waits. For a record given out last that proves bad. Returns: 1 when it was of a block that may have gone
 * bad in memory, with the disk's in *out, valid as that was; 0 when nothing better is to be had; or an error,
 * which comes again. */
MUST_CHECK int merge_read_again(struct merge *m, struct record *out);

/* May the record given out last have gone bad in memory? Then merge_read_again may help. */
static inline bool merge_is_stale(const struct merge *m)
{
    return m->given && !m->given->memtable && m->given->cursor.is_stale;
}

/* The record given out last is of a memtable: a write may change it. */
static inline bool merge_is_of_memtable(const struct merge *m)
{
    return m->given && m->given->memtable;
}

#endif
