/* tables.h - the tables that reads see: immutable sets, counted references.
 *
 *   engine --> table_set --> table_ref --> table            a change makes a new set; readers that wait keep the one
 *   reader --> table_set --> table_ref --^                  they began with, and with it its tables
 *
 * A table that no set holds any more and that was replaced is closed and its file removed, by a task. */
#ifndef ENGINE_TABLES_H
#define ENGINE_TABLES_H

#include "engine/manifest.h"
#include "engine/table.h"

struct engine;

struct table_ref {
    struct list link;     /* in the graveyard */
    struct engine *engine;
    struct table *table;
    uint64_t number;
    uint64_t clock_max;
    uint32_t level;
    uint32_t references;
    bool is_obsolete;     /* replaced: its file goes when nobody holds it */
    bool is_damaged;      /* a merge has met a bad block: it is left alone until the next start */
};

struct table_set {
    struct reactor *reactor;
    uint32_t references;
    uint32_t count;
    struct table_ref *tables[]; /* by clock_max, highest first */
};

/* Returns: a reference with no holder yet, or null when memory is out. */
struct table_ref *table_ref_new(struct engine *e, struct table *table, uint32_t level);

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

/* What the manifest keeps of a table; its keys are borrowed from the summary. */
struct manifest_table table_description(const struct table_summary *s, uint32_t level, uint64_t created_ms);

#endif
