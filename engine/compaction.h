/* compaction.h - few tiers of runs above one bottom that is merged in fragments.
 *
 *   flush -> run   run   run   run   run  ... tier 1     beside more than forty runs four to eight of a tier
 *            \______________________________/            become one of the next, as long as that is less than
 *                  run      run               tier 2     half of what rounds leave
 *
 *   rounds: all upper runs that there are, and the bottom, fragment by fragment, again and again
 *
 *            run A   .................|[.....][......]   tables wholly passed are gone
 *            run B   [......][......][|.....][.......]   came when the round was there
 *            bottom  [new][new][new][n|][old][old][old]
 *                                     ^ position
 *
 * While the upper runs hold more than four memtables or 17 % of the bottom (less where values are in value
 * logs and merging costs little), whichever is more, a round goes on through the keys, and begins anew at
 * their end. Before the position lies what was written in a whole round, behind it nothing yet: so a fragment
 * takes in almost twice the share that upper runs have over all, and a byte is written once by its flush and
 * about three times into the bottom; and upper runs, which may be newer versions of what the bottom has, cost
 * 17 % of space, somewhat more while writers are slowed (lazy leveling, Dayan and Idreos, "Dostoevsky",
 * SIGMOD 2018, with the whole of the upper tiers as the source of one merge that does not wait until they are
 * full). docs/architecture.md has the arithmetic.
 *
 * A fragment merges one stretch of keys of all upper runs with the bottom tables in it and counts at once. An
 * upper table goes when it has been passed as a whole. What it holds of passed keys until then is a duplicate
 * of what the bottom has, or older, or dead. So a dead record is dropped only when no upper table that stays,
 * other than its own, can hold an older version: else that one would come to light when the table with the
 * dead record goes first. Nothing of a round is kept on disk: after a start one begins at the first key.
 *
 * A table with a bad block is taken out of its run and is one of its own; it is not merged until the next
 * start, or until an operator gives up what is lost in it, and everything else goes on. */
#ifndef ENGINE_COMPACTION_H
#define ENGINE_COMPACTION_H

#include "engine/build.h"

/* What one merge takes, and what it leaves. */
struct merging {
    struct table_set *set;    /* held */
    struct table_run *inputs; /* runs of it, or parts of them */
    uint32_t input_count;
    struct table_run *older; /* what stays where older versions may be; room for two parts of each run */
    uint32_t older_count;
    struct table_ref **removed; /* tables that go when it counts */
    uint32_t removed_count;
    uint64_t bytes; /* that it writes at most, about: tables, and the values that leave logs with them */
    uint64_t work;  /* that it spends at most, about: entries that it reads, and those values */
};

/* Holds the set; room for all its runs and tables. In every case merging_deinit. */
MUST_CHECK int merging_init(struct engine *e, struct merging *m);
void merging_deinit(struct engine *e, struct merging *m);
/* The tables of the run from `first` to before `end` as a run; `count` 0 when there are none. */
struct table_run merging_part(const struct table_run *run, uint32_t first, uint32_t end);

/* Adds to what the merge writes and spends: this share of a table, or all of a run, is its input. */
void merging_count(const struct engine *e, struct merging *m, const struct table_ref *ref, double share);
void merging_count_run(const struct engine *e, struct merging *m, const struct table_run *run);
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
/* Waits. Merges it by itself, where it stands. With `losses`, which may be null, without what cannot be read:
 * what that was. Returns: as compaction_merge. */
MUST_CHECK int compaction_merge_table(struct engine *e, const struct compaction_place *p,
                                      struct table_losses *losses);

bool compaction_is_damaged(const struct table_run *run);
/* Is it neither the bottom nor damaged? */
bool compaction_is_upper(const struct table_run *run);
/* The bytes of upper runs at which they are merged into the bottom, and those that there are; what tables
 * point to in value logs counts, too. */
uint64_t compaction_trigger_bytes(const struct engine *e);
uint64_t compaction_upper_bytes(const struct engine *e);

/* compaction_round.c */
bool round_is_due(const struct engine *e); /* shall a fragment be merged? */
/* The next fragment begins there. The key is copied. */
void round_set_position(struct engine *e, const struct record_key *key);
/* A round of idleness is over with the last upper run, wherever it stands: what comes next begins its own. */
void round_end_when_nothing_is_left(struct engine *e);
/* Waits. One fragment. Returns: as compaction_merge. */
MUST_CHECK int round_merge_fragment(struct engine *e);

/* compaction_expired.c. Tables of nothing but expired records that hide nothing: dropped without a read.
 * `now_ms` is the wall clock. Returns: 1 when there were some, 0, or an error of engine_change_tables. */
MUST_CHECK int compaction_drop_expired(struct engine *e, uint64_t now_ms);

/* Waits. Merges the bottom table that has been due for it longest (table_summary.expiry_due_ms) by itself, so
 * that what has expired goes without any writes. Returns: 1 when there was one, 0, or an error of
 * compaction_merge. */
MUST_CHECK int compaction_merge_expired(struct engine *e, uint64_t now_ms);

/* compaction_lost.c. Waits. While e->giving_up.is_on: reads tables until one is not whole, or points into a
 * lost value log, and merges that one; in the task of compaction only. Returns: 1 when there was one; 0 with
 * giving_up.is_done when there is none left; TORC_E_CANCELLED when one was left as it is; an error of
 * compaction_merge, or of reading, and it is to be tried again. */
MUST_CHECK int compaction_give_up(struct engine *e);

#endif
