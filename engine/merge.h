/* merge.h - many sorted sources as one: for each key its newest version, in order.
 *
 * Sources are memtables (vnode by vnode, sorted as they are reached) and runs of tables. There are few, so
 * the smallest key is found by looking at all. Of versions of one key the highest wins and the others are
 * passed over. Tombstones and expired records come out, too: what to do with them is the caller's
 * business. */
#ifndef ENGINE_MERGE_H
#define ENGINE_MERGE_H

#include "engine/memtable.h"
#include "engine/tables.h"

struct merge_source {
    struct record
        current;   /* of a memtable: only its key is looked at, for the rest may be overwritten meanwhile */
    bool is_valid; /* current is set */
    bool is_consumed; /* current was given out or passed over: advance before looking at it again */
    bool is_ended;    /* nothing comes any more */
    bool is_barred;   /* current is where a table that cannot be read begins: no further than that */
    /* a memtable */
    struct memtable *memtable;  /* held; null for a run of tables */
    struct memtable_run sorted; /* one vnode of it */
    uint32_t place;             /* in there */
    uint32_t vnode;
    uint32_t vnode_first;
    uint32_t vnode_end;
    /* a run of tables */
    const struct table_run *run;
    uint32_t table; /* that the cursor is in */
    enum table_cursor_mode mode;
    struct table_cursor cursor;
};

struct merge {
    struct reactor *reactor;
    struct merge_source *sources;
    uint32_t count;
    uint32_t capacity;
    const struct merge_source *given; /* whose record was given out last; null: none */
    uint32_t bad_source;              /* whose error it is */
    int error; /* comes again until a seek: nothing is passed over, so nothing older takes its place */
};

MUST_CHECK int merge_init(struct merge *m, struct reactor *r, uint32_t source_count_max);
void merge_deinit(struct merge *m);

/* `vnode_end` is behind the last vnode. Holds the memtable. */
void merge_add_memtable(struct merge *m, struct memtable *memtable, uint16_t vnode_first, uint32_t vnode_end);
/* The caller holds the set that the run is of. */
void merge_add_run(struct merge *m, const struct table_run *run, enum table_cursor_mode mode);

/* Waits. All sources to their first record not below `to`; sources that are behind it stay. After an error
 * some sources have gone on and one has not: then all of them begin anew at `to`, wherever they were. */
MUST_CHECK int merge_seek(struct merge *m, const struct record_key *to);
/* Waits. The same, and may go back. */
MUST_CHECK int merge_seek_anew(struct merge *m, const struct record_key *to);

/* Waits. Returns: 1 with the newest version of the next key in *out, valid until the caller waits, writes or
 * calls again; 0 at the end; or an error. Requires: merge_seek was called once. */
MUST_CHECK int merge_next(struct merge *m, struct record *out);

/* The encoded bytes of the record that merge_next has just given out, of a memtable or a table alike; they
 * live as long as it does. Requires: merge_next has returned 1. */
struct slice merge_entry(const struct merge *m);

#endif
