/* manifest.h - what counts on the disk of a shard: which tables, where the log begins, what was lost.
 *
 * Two files, MANIFEST-A and MANIFEST-B. A change writes the whole new generation durably to the older copy,
 * then to the other one; only after that may files that it dropped be removed. So there is always one whole
 * copy, and after a change two. Loading takes the newer valid one; with none valid the shard does not start:
 * it never starts empty over data. docs/formats-engine.md has the bytes.
 *
 * A shard's files: MANIFEST-A, MANIFEST-B, wal-<16 hex>.log, table-<16 hex>.sst,
 * values-<16 hex>.log.
 *
 * Numbers of files are never alike in a data directory, whichever shard gave them out and when: so a file can
 * be linked into the directory of another shard. Where that was done a table holds keys of other shards, too;
 * it counts for the vnodes that its entry names. */
#ifndef ENGINE_MANIFEST_H
#define ENGINE_MANIFEST_H

#include "engine/record.h"
#include "engine/wal.h"
#include "reactor/reactor.h"

enum {
    MANIFEST_FORMAT_VERSION = 4,
    MANIFEST_VALUES_BYTES_MAX = 4096,
    MANIFEST_TABLES_MAX = 1 << 16,
};

/* One table. When given to manifest_commit its slices are borrowed; in struct manifest_state they are the
 * manifest's and live until a commit removes the table. */
struct manifest_table {
    uint64_t number;      /* of the file's name; never used twice */
    uint64_t origin;      /* the number inside of the file; another one when it was linked more than once */
    uint16_t vnode_first; /* it counts for these vnodes: what it holds of others is not of this shard */
    uint16_t vnode_last;
    uint32_t level; /* tier or level: the compaction's own meaning */
    uint64_t order; /* among tables of a level: the compaction's own meaning */
    uint64_t bytes;
    uint64_t entries;
    uint64_t tombstones;
    uint64_t expiring;  /* entries with an expiry */
    uint64_t clock_min; /* version clocks of its entries */
    uint64_t clock_max;
    uint64_t expiry_min_ms; /* of its expiring entries; UINT64_MAX and 0 when none expires */
    uint64_t expiry_max_ms;
    struct record_key smallest; /* of its entries */
    struct record_key largest;
    struct slice values; /* what it points into: a row as in values_format.h, by file */
};

/* The small numbers of a shard. */
struct manifest_numbers {
    uint8_t vnode_bits;
    uint16_t vnode_first;
    uint16_t vnode_count;
    struct wal_start log_start;
    uint64_t file_counter;     /* of the next number; above those of all tables */
    uint64_t clock_max;        /* no version on disk outside of the log is higher */
    uint64_t quarantine_clock; /* lost writes have version clocks up to this; 0: nothing is missing */
    uint64_t quarantine_count; /* damaged stretches of the log behind it */
    struct wal_named log_files;
    uint64_t log_history; /* random; another one wherever ids and sequences of the log begin anew */
};

struct manifest_state {
    uint64_t generation; /* 0: a new shard, nothing on disk yet */
    struct manifest_numbers numbers;
    const struct manifest_table *tables; /* by number, ascending; moves at each commit */
    uint32_t table_count;
};

struct manifest;

/* Whose manifest it is. */
struct manifest_shard {
    uint8_t vnode_bits;
    uint16_t vnode_first;
    uint16_t vnode_count;
};

/* Waits. Loads the manifest of `directory` (copied) and changes nothing on disk, unless the newest copy
 * cannot be made durable as it is. A directory without
 * manifest, log and tables is a new shard: generation 0, numbers zero but log_start {0, 1} and
 * file_counter 1. Returns: 0; TORC_E_STORAGE when the only whole copy cannot be made durable;
 * TORC_E_CORRUPT when no copy is whole or when there are tables or logs
 * without a manifest; TORC_E_DATA_FORMAT; -errno; one line in `why`.
 *
 * `shard` may be null. A shard that knows itself passes it: of two whole copies one of another shard, put
 * there by a write that went astray, counts as damaged. When both are of another one they are loaded. */
MUST_CHECK int manifest_open(struct reactor *r, const char *directory, const struct manifest_shard *shard,
                             struct manifest **out, char *why, size_t why_bytes);
void manifest_close(struct manifest *m); /* Requires: no commit under way. Null is allowed. */

/* What counts now. Valid until the next commit ends. */
const struct manifest_state *manifest_state(const struct manifest *m);

/* A number has a counter above the first vnode of the shard that gave it out. */
enum { MANIFEST_NUMBER_VNODE_BITS = 14 };
static inline uint64_t manifest_counter_of(uint64_t number)
{
    return number >> MANIFEST_NUMBER_VNODE_BITS;
}

/* Gives out a number for a new file. It is durable with the next commit; a number given out and not committed
 * may be given out again after a restart, so a file of that name may be there and is overwritten. */
uint64_t manifest_next_number(struct manifest *m);

struct manifest_change {
    const struct manifest_table *added;
    uint32_t added_count;
    const uint64_t *removed; /* numbers of tables that are there */
    uint32_t removed_count;
    /* Called, when not null, with the current numbers just before this change is written: sets those that
     * change. So commits that wait for one another do not undo each other's. */
    void (*edit)(void *context, struct manifest_numbers *numbers);
    void *context;
};

/* Waits; one at a time, others wait their turn. When it returns 0, one copy at least is durable
 * (manifest_copies tells) and the state is the new one. Returns: TORC_E_DISK_FULL, TORC_E_SHARD_FULL (more
 * tables or bytes than a start takes): nothing was changed. TORC_E_STORAGE: the disk may hold the old or the
 * new generation, so files of neither may be removed; every later commit fails too. TORC_E_NO_MEMORY, or
 * another error_is_shortage: nothing was changed. */
MUST_CHECK int manifest_commit(struct manifest *m, const struct manifest_change *change);

unsigned manifest_copies(const struct manifest *m); /* whole ones on disk, 0 to 2 */

#endif
