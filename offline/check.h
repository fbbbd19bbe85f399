/* check.h - what `torc check` counts and says; each part of a data directory has a file of its own.
 *
 * A problem is a line: path, offset, what is wrong and what it means. Nothing that is looked at is
 * changed. */
#ifndef OFFLINE_CHECK_H
#define OFFLINE_CHECK_H

#include "engine/manifest.h"
#include "offline/run.h"

enum { CHECK_PATH_BYTES = 4096, CHECK_TOLD_MAX = 20 }; /* problems told of one file; the rest is counted */

struct check {
    struct reactor *reactor;
    uint64_t problems;
    uint32_t told;  /* of the present file */
    bool is_silent; /* only counts */
    uint64_t tables;
    uint64_t table_bytes;
    uint64_t records;     /* in tables */
    uint64_t log_records; /* entries in logs */
    uint64_t log_bytes;
    uint64_t value_bytes; /* in value logs, that tables point to */
};

/* One shard. Its directory is borrowed. */
struct check_shard {
    struct check *check;
    const char *directory;
    struct manifest_shard shard;        /* what it should be */
    const struct manifest_state *state; /* what its manifest says */
    struct file *values;                /* the value log that was looked into last; null: none */
    uint64_t values_number;
    uint8_t *value; /* memory for one with its header, and the units that it is in */
};

/* The next problems are of another file. */
void check_begin_file(struct check *c);
/* `offset` UINT64_MAX: of the whole file. */
void check_problem(struct check *c, const char *path, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* All wait. Returns: 0, or an error that keeps from looking further (memory, descriptors, rights); problems
 * are none. */
MUST_CHECK int check_shard(struct check *c, const char *directory, const struct manifest_shard *shard);
/* The value of a record with RECORD_SEPARATED, of the table at `path`. */
MUST_CHECK int check_value(struct check_shard *s, const char *path, uint64_t offset,
                           const struct record *record);
MUST_CHECK int check_table(struct check_shard *s, const struct manifest_table *description);
MUST_CHECK int check_log(struct check_shard *s);

#endif
