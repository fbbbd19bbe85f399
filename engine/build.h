/* build.h - new tables from a merge: for flushes and compactions.
 *
 * A merge is cut into tables of table_bytes_max or less, values that they point to included, so that files,
 * filters and what a writer holds in memory stay of one size however large the shard is. Together they are
 * one run, or a part of the bottom.
 *
 * A dead record, a tombstone or one that has expired, hides older versions of its key. It is dropped when no
 * run that stays can hold one. Dead by expiry is what the time of the build says, and nothing but the record:
 * so replicas that drop it at other moments still answer the same. */
#ifndef ENGINE_BUILD_H
#define ENGINE_BUILD_H

#include "engine/engine_internal.h"
#include "engine/merge.h"
#include "engine/values_ahead.h"

struct build {
    struct merge *merge; /* not yet sought */
    uint32_t level;
    uint64_t run; /* of the tables; 0: one of their own */
    /* Of the keys: not below the one, below the other. Null: from the first, to the last. */
    const struct record_key *from;
    const struct record_key *end;
    /* Where older versions of a key may be when the merge counts, besides the new tables. */
    const struct table_run *older;
    uint32_t older_count;
    uint64_t entry_bytes; /* the usual length of an entry; 0: not known */
    uint64_t table_bytes; /* of a table; 0: table_bytes_max */
    struct pace *pace;    /* that the merge is paid from; null: it need not be */
    /* Not null: what is lost is given up. Of the one table that is merged what cannot be read is passed over
     * (merge_give_up, by who has made the merge), of values see values_build.h. Then `older` has all other
     * tables. */
    struct table_losses *losses;
    /* Filled: */
    struct table_ref **tables; /* reactor_alloc'ed; references without a holder */
    uint32_t count;
    uint32_t capacity;
    uint64_t now_ms;
    uint64_t unpaid_bytes;  /* of the merge */
    uint64_t pointed_bytes; /* of the values that those records point to */
    uint64_t paid_moves;    /* of values.moved_bytes */
    uint64_t resumed_ns;    /* when it began, or its last pause ended */
    bool is_at_end;
    bool is_made_again;         /* the merge may give out the last record of the table before once more */
    struct values_build values; /* of the table in the making */
    struct values_ahead ahead;  /* of a merge whose tables point to values */
    struct slice entry;         /* of the record that was taken last, all of it */
    bool is_input_bad;          /* the error is that of merge->place: it cannot be read */
};

/* Waits. Writes, syncs and opens the tables; their names are durable, the manifest does not know them yet.
 * One that fails is made again, under another number, some times.
 * Returns: 0, with no table when no record was left; TORC_E_CANCELLED when the engine closes meanwhile; an
 * error, and no file is left. build_deinit in every case. */
MUST_CHECK int engine_build_tables(struct engine *e, struct build *build);
/* For build.table_bytes of an upper run of so many bytes, values that it points to included: rounds merge a
 * part of it and let that part go, so it is of several tables. */
uint64_t build_table_bytes_of_run(const struct engine *e, uint64_t bytes);
/* The same for tables of a bottom of so many bytes. A fragment takes as much of it, and old and new tables
 * are both on the disk until it counts: so it is a small part, but each is a change of the manifest. */
uint64_t build_table_bytes_of_bottom(const struct engine *e, uint64_t bytes);
uint64_t build_bytes(const struct build *build); /* of all its tables */
/* The usual length of an entry in these tables; 0 when there is none. */
uint64_t build_entry_bytes(struct table_ref *const *tables, uint32_t count);
void build_deinit(struct engine *e, struct build *build);

/* A change of what counts, first in the manifest and then for readers. */
struct tables_change {
    struct table_ref *const *added; /* without a holder; let go of when the change fails */
    uint32_t added_count;
    struct table_ref *const *removed;
    uint32_t removed_count;
    void (*edit)(void *context, struct manifest_numbers *numbers); /* as in manifest_change */
    void *context;
};
/* Waits. Returns: 0; TORC_E_DISK_FULL, TORC_E_SHARD_FULL and TORC_E_NO_MEMORY: nothing was changed;
 * TORC_E_STORAGE: the engine has failed. The log that is not needed any more goes. */
MUST_CHECK int engine_change_tables(struct engine *e, const struct tables_change *change);

/* Waits. The table leaves its run and is one of its own. Returns: as engine_change_tables. */
MUST_CHECK int engine_separate_table(struct engine *e, struct table_ref *ref);

/* A flush or a compaction did not succeed: says so once while it lasts, and that it does again. */
void engine_tell_failure(struct engine *e, struct background *b, int code);
void engine_tell_recovered(struct engine *e, struct background *b);

/* Waits so long at most, or until the engine closes. */
void engine_pause(struct engine *e, struct event *wake, uint64_t ns);

#endif
