/* values_build.h - the values of one table in the making: separated, copied as pointers, or moved.
 *
 *   record of a memtable, large value      -> value to the table's own file, pointer to the table
 *   pointer into a file that is collected  -> value read, then as above
 *   any other pointer                      -> as it is
 *   with gives_up, into a lost file        -> value read, then as above; a tombstone where it cannot be
 *
 * One table points into VALUE_REFERENCES_MAX files at most: when it does, values of further files are moved,
 * too. So what the manifest keeps of a table is bounded, and values come together again by key. */
#ifndef ENGINE_VALUES_BUILD_H
#define ENGINE_VALUES_BUILD_H

#include "engine/table_output.h"
#include "engine/values_read.h"

struct values_ahead;

struct values_build {
    struct engine *engine;
    uint64_t number;             /* of the table, and of its own file */
    struct value_reference *row; /* what the table points into so far, its own file not counted */
    uint32_t count;
    uint32_t latest; /* in the row: most pointers follow one into the same file */
    bool gives_up;   /* what is lost: no pointer into a lost file gets into the table */
    bool has_file;
    bool has_output;         /* it is being written */
    uint64_t bytes;          /* of the own file in use */
    uint64_t pointed_bytes;  /* that the table points to, the own file's among them */
    uint64_t moved_bytes;    /* of values, ever */
    struct disk_share share; /* that the own file is written in */
    struct table_output output;
    struct values_ahead *ahead;           /* that has read values that are moved; null: none was */
    struct value_reader reader;           /* of the others */
    uint8_t pointer[VALUE_POINTER_BYTES]; /* of the record taken last */
};

void values_build_init(struct values_build *b, struct engine *e, struct disk_share share);
void values_build_deinit(struct values_build *b); /* Waits. Removes a file that no table came to own. */

/* Waits. For a new table; what the one before has left is dropped. */
void values_build_begin(struct values_build *b, uint64_t number);

/* Would a value of the file be moved, by what is known now? */
bool values_build_moves(const struct values_build *b, const struct value_file *f);

/* Waits. Takes a record on its way into the table: its value may become a pointer, which lives until the next
 * call; then *is_changed, and its entry, where it has one, is not what goes into the table. A value that
 * cannot be read stays where it is; with gives_up its record becomes a tombstone of the same version.
 * Returns: 0; TORC_E_CORRUPT when the table cannot hold any more of those; an error of the own file. */
MUST_CHECK int values_build_take(struct values_build *b, struct record *record, bool *is_changed);

/* Waits. When it returns 0 the own file, if any, is whole and durable; its name is not. */
MUST_CHECK int values_build_finish(struct values_build *b);
/* Waits. The files that the finished table points into, held; the own one is the table's now. Returns: as
 * values_hold: TORC_E_STORAGE when the own one is not there and whole. */
MUST_CHECK int values_build_attach(struct values_build *b, struct value_refs *out);

#endif
