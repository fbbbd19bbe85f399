/* compaction.h - few tiers of runs above one bottom that is merged in fragments.
 *
 *   flush -> run   run   run   run   run  ... tier 0     eight runs of a tier become one of the next
 *            \______________________________/            as long as that is less than half of what
 *                  run      run               tier 1     begins a round
 *
 *   a round: all upper runs that there are, and the bottom, fragment by fragment
 *
 *            run A   [.....passed.....|............]
 *            run B   [....passed....][|][..........]       tables wholly passed are gone
 *            bottom  [new][new][new][n|][old][old][old]
 *                                     ^ position
 *
 * A round begins when the upper runs hold as much as four memtables or 15 % of the bottom, whichever is more.
 * So a byte is written once by its flush, once by a tier now and then, and about 1 + 1 / 0.15 times into the
 * bottom; and upper runs, which may be newer versions of what the bottom has, cost 15 % of space and not more
 * (Dostoevsky's lazy leveling, Dayan and Idreos, 2018, with the whole of the upper tiers as the source of one
 * merge). docs/architecture.md has the arithmetic.
 *
 * A fragment merges one stretch of keys of all runs of the round with the bottom tables in it and counts at
 * once. What an upper table holds of passed keys is then a duplicate of what the bottom has, or older. So a
 * dead record is dropped only when no upper table that stays can hold an older version: else that one would
 * come to light when the table with the dead record goes first. Nothing of a round is kept on disk: after a
 * start the next one begins anew.
 *
 * A table with a bad block is taken out of its run and is one of its own; it is not merged until the next
 * start, and everything else goes on. */
#ifndef ENGINE_COMPACTION_H
#define ENGINE_COMPACTION_H

#include "engine/build.h"

/* What one merge takes, and what it leaves. */
struct merging {
    struct table_set *set;    /* held */
    struct table_run *inputs; /* runs of it, or parts of them */
    uint32_t input_count;
    struct table_run *older; /* what stays where older versions may be */
    uint32_t older_count;
    struct table_ref **removed; /* tables that go when it counts */
    uint32_t removed_count;
    uint64_t bytes; /* that it writes, about */
};

/* Holds the set; room for all its runs and tables. In every case merging_deinit. */
MUST_CHECK int merging_init(struct engine *e, struct merging *m);
void merging_deinit(struct engine *e, struct merging *m);
/* The tables of the run from `first` to before `end` as a run; `count` 0 when there are none. */
struct table_run merging_part(const struct table_run *run, uint32_t first, uint32_t end);

/* What a merge of the run writes at most, about: its tables, and the values that leave logs with them. */
uint64_t compaction_bytes_of(const struct engine *e, const struct table_run *run);
/* Waits. Is there room on the disk for what the merge writes, and for the log while that waits for some? */
bool compaction_fits(struct engine *e, const struct merging *m);
/* Waits. Merges into b's tables and changes what counts. With no input only tables are removed. Returns: 0;
 * TORC_E_CANCELLED also for an input that cannot be read, when it was set aside; TORC_E_OVERLOADED while the
 * disk has no room for it, or the log or a flush waits for that room; an error of the disk. */
MUST_CHECK int compaction_merge(struct engine *e, struct merging *m, struct build *b);
/* The table that the merge stands at cannot be read whole: it is told of, and not merged any more. */
void compaction_set_aside(struct engine *e, const struct merge *merge, int code);

/* One table of a run of the present set. */
struct compaction_place {
    const struct table_run *run;
    uint32_t table;
};
/* Waits. Merges it by itself, where it stands; `gives_up` as in a build. Returns: as compaction_merge. */
MUST_CHECK int compaction_merge_table(struct engine *e, const struct compaction_place *p, bool gives_up);

bool compaction_is_damaged(const struct table_run *run);
/* Can the run be merged in a tier, or taken into a round: is it neither the bottom, damaged, nor of the round
 * that goes on? */
bool compaction_is_fresh(const struct engine *e, const struct table_run *run);
/* The bytes of upper runs that begin a round, and those of the runs that wait for one; what tables point to
 * in value logs counts, too. */
uint64_t compaction_trigger_bytes(const struct engine *e);
uint64_t compaction_fresh_bytes(const struct engine *e);

/* compaction_round.c */
bool round_is_due(const struct engine *e);
void round_begin(struct engine *e);
/* Waits. One fragment; the round is over after the last one. Returns: as compaction_merge. */
MUST_CHECK int round_merge_fragment(struct engine *e);
/* Of the upper runs of the round and the bottom, what has not been passed. */
uint64_t round_bytes_left(const struct engine *e);

/* compaction_expired.c. Tables of nothing but expired records that hide nothing: dropped without a read.
 * `now_ms` is the wall clock. Returns: 1 when there were some, 0, or an error of engine_change_tables. */
MUST_CHECK int compaction_drop_expired(struct engine *e, uint64_t now_ms);

/* compaction_lost.c. Is there a table that can be read and points into a lost value log? */
bool compaction_has_values_to_give_up(const struct engine *e);
/* Waits. Merges one such table; in the task of compaction only. Returns: 1 when there was one, 0, or an error
 * of compaction_merge. */
MUST_CHECK int compaction_give_up_values(struct engine *e);

#endif
