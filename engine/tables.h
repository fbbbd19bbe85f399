/* tables.h - the tables that reads see: immutable sets, counted references.
 *
 *   engine --> table_set --> table_ref --> table            a change makes a new set; readers that wait keep
 * the one
 *   reader --> table_set --> table_ref --^                  they began with, and with it its tables
 *
 * The tables that one flush or one merge has made are a run: their ranges of keys are disjoint, so a get
 * looks into one table a run. The lowest run is the bottom, all others are upper runs. The bottom is replaced
 * in fragments and upper runs lose tables from the front while that goes on (compaction.h); the ranges stay
 * disjoint.
 *
 *   run 12  [ b ................. y ]                 of a flush
 *   run 7   [ a ..... f ][ g .. m ][ n ..... z ]      of a merge
 *   bottom  [a.b][c..d][e.h][i..m][n.q][r.t][u.z]     of many
 *
 * A table that no set holds any more and that was replaced is closed and its file removed, by a task. */
#ifndef ENGINE_TABLES_H
#define ENGINE_TABLES_H

#include "engine/manifest.h"
#include "engine/table.h"
#include "engine/values.h"

struct engine;

/* manifest_table.level and .order of the bottom's tables. */
enum { TABLE_LEVEL_BOTTOM = 255 };
#define TABLE_RUN_BOTTOM UINT64_MAX

struct table_ref {
    struct list link; /* in the graveyard */
    struct engine *engine;
    struct table *table;
    uint64_t number;
    uint64_t run; /* its name: the number of its first table, or TABLE_RUN_BOTTOM; manifest_table.order */
    uint64_t bytes;
    uint64_t clock_min;
    uint64_t clock_max;
    uint32_t level;
    uint32_t references;
    struct value_refs values; /* what it points into; held */
    bool is_obsolete;         /* replaced: its file goes when nobody holds it */
    bool is_unnamed;          /* obsolete, and no copy of the manifest has ever named it */
    bool is_awaited;          /* the round was once at or before its first key; compaction_round.c */
    bool is_damaged; /* it cannot be read, or a merge has met a bad block: left alone until the next start */
    bool is_suspect; /* scrubbing has met a bad block: damaged as soon as no merge counts on its run */
};

static inline uint64_t table_ref_full_bytes(const struct table_ref *ref)
{
    return ref->bytes + value_refs_bytes(&ref->values);
}

struct table_run {
    struct table_ref **tables; /* by key */
    uint32_t count;
    uint64_t clock_max;
    uint64_t bytes;       /* of the tables */
    uint64_t value_bytes; /* that they point to in value logs */
};

static inline uint64_t table_run_full_bytes(const struct table_run *run)
{
    return run->bytes + run->value_bytes;
}

static inline bool table_run_is_bottom(const struct table_run *run)
{
    return run->tables[0]->run == TABLE_RUN_BOTTOM;
}

struct table_set {
    struct reactor *reactor;
    uint64_t number; /* from 1; no two sets that an engine shows have the same */
    uint32_t references;
    uint32_t count;
    uint32_t run_count;
    struct table_run *runs;     /* by clock_max, highest first */
    struct table_ref *tables[]; /* those of one run side by side */
};

/* Returns: a reference with no holder yet, or null when memory is out. */
struct table_ref *table_ref_new(struct engine *e, struct table *table, uint64_t run, uint32_t level);

/* The first table of the run that does not end before `key`. Returns: its place; run->count when there is
 * none. */
uint32_t table_run_seek(const struct table_run *run, const struct record_key *key);
/* The one table of the run that may hold the key. Returns: null when none does. */
struct table_ref *table_run_find(const struct table_run *run, const struct record_key *key);

/* The bottom; null: there is none. */
const struct table_run *table_set_bottom(const struct table_set *set);

void table_set_hold(struct table_set *set);
void table_set_release(struct table_set *set); /* null is allowed */

struct table_set_change {
    struct table_ref *const *added;
    uint32_t added_count;
    struct table_ref *const *removed;
    uint32_t removed_count;
};
/* The set that comes of `from` (null: empty) by a change. Returns: null when memory is out. */
struct table_set *table_set_make(struct reactor *r, const struct table_set *from,
                                 const struct table_set_change *change);

/* Moves the counters of a table that has left the present set to those of the engine, which never go back:
 * holders of older sets may keep it for long. What they add comes at its end. */
void table_ref_keep_counters(struct table_ref *ref);

/* What the manifest keeps of a table, but for its values (value_refs_encode); its keys are borrowed from the
 * table. */
struct manifest_table table_description(const struct table_ref *ref);

#endif
