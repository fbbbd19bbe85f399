/* scrub.h - reads all tables again and again, so that damage is found before someone needs what it took.
 *
 *   number:  1  2  5  9  12  13 | 14 ...     one pass: by number, then again from the first
 *                  ^ where it is               new tables have higher numbers: they come at the end
 *
 * A pass takes most of scrub_interval_ms, evenly: after each piece the task rests as long as its share of all
 * bytes is of the interval. Where a start begins follows from the wall clock, so that a server that is often
 * started anew does not always read the same tables. Each table is opened as by a start, which reads its
 * footer, index and filter, and then every block and record is verified. Damage is counted and told; the
 * table is served as far as it is whole and not merged until the next start. A pass that could not look at
 * everything, as for want of descriptors, is not counted. */
#ifndef ENGINE_SCRUB_H
#define ENGINE_SCRUB_H

#include "reactor/reactor.h"

struct engine;

struct scrub {
    struct event wake; /* the engine closes */
    bool is_running;   /* the task is alive */
    bool has_begun;
    bool has_missed;      /* in this pass: there were no memory, descriptors or rights to look at something */
    uint64_t next_number; /* tables below were read in this pass */
    uint64_t next_values; /* the same of value logs, which come after the tables */
};

struct manifest_table;
/* Where a pass is when it has read so many bytes of tables, which come by their numbers, ascending. *bytes
 * becomes what is left of them behind the last table. Returns: a number that all tables it has read are
 * below; 0: it begins. */
uint64_t scrub_skip_tables(const struct manifest_table *tables, uint32_t count, uint64_t *bytes);

/* Starts the task if there is an interval and it does not run. */
void engine_wake_scrub(struct engine *e);

#endif
