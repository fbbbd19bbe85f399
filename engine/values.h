/* values.h - the value logs of a shard: which files there are and who points into them.
 *
 *   table_ref --> value_refs --> value_file <-- value_refs <-- table_ref        counted references
 *
 * Large values leave the table when a memtable is flushed: the table keeps a pointer, merges copy the
 * pointer, and the value stays where it is (Lu et al., "WiscKey", FAST 2016). Every table knows how many
 * bytes it points to in each file. What no table that counts points to is garbage. While garbage is more than
 * a share of all, files with the most of it are *collected*: a merge that meets a pointer into one writes the
 * value to a file of its own. A file that no table points into is removed together with the last of them, so
 * under the same rule: when both copies of the manifest are of a later generation and no reader holds it.
 *
 * A file is written once, by the build of one table, and has that table's number. One that is missing or
 * damaged keeps its place: keys with values in it answer CORRUPT, merges carry their pointers on, until an
 * operator gives up what is lost (loss.c): then the tables that point into it are merged one by one, values
 * that can be read are moved, and a record whose value cannot becomes a tombstone of the same version. */
#ifndef ENGINE_VALUES_H
#define ENGINE_VALUES_H

#include "engine/values_format.h"
#include "reactor/reactor.h"

struct engine;
struct table_ref;
struct values;

struct value_file {
    uint64_t number;
    uint64_t bytes;       /* in use */
    uint64_t share_bytes; /* of them, this shard's */
    uint64_t live_bytes;  /* that tables of the present set point to; one value may count twice for a while */
    struct file *file;    /* null: it cannot be opened, and stays so until the next start */
    uint32_t references;  /* of table_refs */
    bool is_damaged; /* it is short, or a value of it bad or not to be read by a merge: it is left alone */
    bool is_kept;    /* the manifest may name it, though nobody here does */
};

/* What a table points into, by number; and how many bytes of it. */
struct value_use {
    struct value_file *file;
    uint64_t bytes;
};
struct value_refs {
    struct value_use *uses;
    uint32_t count;
};

/* It cannot be opened, or was found damaged: keys with values in it may answer CORRUPT. */
static inline bool value_file_is_lost(const struct value_file *f)
{
    return !f->file || f->is_damaged;
}

/* Of what the table points to, the bytes in such files. */
static inline uint64_t value_refs_lost_bytes(const struct value_refs *refs)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < refs->count; i++)
        bytes += value_file_is_lost(refs->uses[i].file) ? refs->uses[i].bytes : 0;
    return bytes;
}

static inline uint64_t value_refs_bytes(const struct value_refs *refs)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < refs->count; i++)
        bytes += refs->uses[i].bytes;
    return bytes;
}

MUST_CHECK int values_open(struct reactor *r, struct values **out);
void values_close(struct values *v); /* Requires: nobody holds a file. Null is allowed. */

/* Waits. Makes the files of a row of value_references (checked) known, opening those that are new, and holds
 * them. A file that cannot be opened is told as an event and stands in for itself; but not `made`, the one of
 * the table in the making (0: the manifest has them all): nothing that it was made from may go before it is
 * there and whole. Returns: 0; TORC_E_CORRUPT when the bytes are no such row; TORC_E_STORAGE when `made` is
 * not whole; TORC_E_NO_MEMORY; -errno where another start may help. */
MUST_CHECK int values_hold(struct engine *e, struct slice references, uint64_t made, struct value_refs *out);
/* Waits. Lets go; a file that nobody holds any more is closed and, with `is_obsolete`, removed. */
void values_release(struct engine *e, struct value_refs *refs, bool is_obsolete);

/* The row for the manifest. `to` has room for refs->count * VALUE_REFERENCE_BYTES. */
void value_refs_encode(uint8_t *to, const struct value_refs *refs);

/* A table counts from now on, or does not any more. */
void values_count(struct engine *e, const struct value_refs *refs, bool is_added);

/* Shall a merge that meets a pointer into this file move the value? */
bool values_is_collected(const struct engine *e, const struct value_file *f);
/* Bytes that a merge of the table would move because their files are collected: such a table is worth a merge
 * of its own when it has nothing else to do. */
uint64_t values_collectable_bytes(const struct engine *e, const struct value_refs *refs);

struct values_totals {
    uint64_t files;
    uint64_t bytes;
    uint64_t live_bytes;
    uint64_t files_damaged; /* of them: cannot be opened, or a value of it could not be read */
};
struct values_totals values_totals(const struct values *v);

/* The file with the lowest number not below `number`; null: none. */
struct value_file *values_find_next(const struct values *v, uint64_t number);
/* A file by its number; null when it is not known. */
struct value_file *values_find(const struct values *v, uint64_t number);
/* The file that a record with RECORD_SEPARATED points into, and the pointer; null when that is not sound or
 * the file not known. */
struct value_file *values_find_pointed(const struct values *v, const struct record *record,
                                       struct value_pointer *p);
/* `path` has room for ENGINE_PATH_MAX bytes. */
void values_path(const struct engine *e, uint64_t number, char *path);
/* Takes a number out of a file's name. Returns: false when it is not the name of a value log. */
bool values_name_parse(const char *name, uint64_t *number);

#endif
