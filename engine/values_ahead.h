/* values_ahead.h - the records of a merge, with the values that are going to move read ahead.
 *
 *   merge --> | r | p | r | p | p | ...  then: pieces of files, many reads at once
 *             | r | p | ...              now:  given out --> build
 *                     \____ piece: pointers near each other in one file
 *
 * Records are taken from the merge a batch at a time. What a build will move by what is known then is read as
 * pieces of files, in the order of keys and in the merge's share of the disk, while the batch before is given
 * out. Only a guess: a value that is to move and was not read, or not as it was written, is read by itself
 * (values_read.h), and one that was read in vain is dropped. */
#ifndef ENGINE_VALUES_AHEAD_H
#define ENGINE_VALUES_AHEAD_H

#include "engine/merge.h"
#include "engine/values_build.h"

struct value_batch;

struct values_ahead {
    struct engine *engine;
    struct merge *merge;
    const struct values_build *build; /* asked what it would move */
    const struct record_key *end;     /* nothing behind it is wanted; null: all is */
    uint64_t bytes_max;               /* of the pieces of a batch */
    struct value_batch *now;          /* given out */
    struct value_batch *then;         /* read */
    struct value_piece *piece;        /* with the value of the record given out last; null: none */
};

/* Do tables of the merge point to values? Else it is not worth the while. */
bool values_ahead_pays(const struct merge *merge);

/* Requires: the merge, the build and `end` live until deinit, and so do the sets of the merge's runs. It
 * holds a quarter of a memtable twice, 256 KiB at least and 8 MiB at most each, and one value of the
 * largest. */
MUST_CHECK int values_ahead_init(struct values_ahead *a, struct engine *e, struct merge *merge,
                                 const struct values_build *build);
void values_ahead_deinit(struct values_ahead *a); /* Waits for what is being read. */

/* Waits. The merge was sought anew: what was taken from it is dropped. */
void values_ahead_restart(struct values_ahead *a);

/* Waits. As merge_next, with `end` as the end; *entry is what merge_entry would give. Both live until the
 * next call. Also returns TORC_E_CANCELLED when the engine closes. */
MUST_CHECK int values_ahead_next(struct values_ahead *a, struct record *out, struct slice *entry);

/* Waits. The stored bytes of the value that the record given out last points to, header included; null: they
 * are not at hand. Requires: `p` is its pointer. They live until the next call of values_ahead_next. */
const uint8_t *values_ahead_find(struct values_ahead *a, const struct value_pointer *p);

#endif
