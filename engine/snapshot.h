/* snapshot.h - a copy of a shard as it is at one moment, made of hard links.
 *
 *   begin: the tables that count, the manifest that names them, the log they need    no wait: one moment
 *   write: links of the tables, the end of the log copied, the manifest last         waits
 *   end:   the shard may drop what it does not need
 *
 *   snapshot directory:  MANIFEST-A, table-*.sst, values-*.log, wal-*.log
 *
 * What is in it: every version up to the moment, and some that came while it was written. Several shards are
 * brought to one moment by a version clock that is above all that any of them had at its begin: whoever reads
 * the snapshots leaves higher versions of the log away, and none of the tables has one. */
#ifndef ENGINE_SNAPSHOT_H
#define ENGINE_SNAPSHOT_H

#include "engine/engine.h"

struct engine_snapshot;

/* Does not wait. `*clock`: the highest version clock the shard has; all that is acknowledged is at or below
 * it. Returns: 0; TORC_E_UNKNOWN and TORC_E_CORRUPT while something is lost: engine_accept_loss first;
 * TORC_E_STORAGE when the engine has failed; TORC_E_OVERLOADED: try again; TORC_E_NO_MEMORY. */
MUST_CHECK int engine_snapshot_begin(struct engine *e, struct engine_snapshot **out, uint64_t *clock);

/* What the log of a snapshot holds. */
struct engine_snapshot_facts {
    uint64_t log_history;   /* whose segments they are: see the archive */
    uint64_t start_segment; /* of the first log record that no table has */
    uint64_t start_sequence;
    uint64_t end_segment; /* where the last record stands that was acknowledged; 0: none since the start */
    uint64_t end_sequence;
    uint64_t end_checksum; /* of that log record, which the next one names; 0: not known */
    uint64_t files;
    uint64_t bytes; /* of them, linked ones too */
    uint16_t vnode_first;
    uint16_t vnode_count;
};

/* Waits: until all that was put before the call is durable, and for the files. `directory` is made; its
 * parent must be there. All of it is durable when it returns 0, but the name of the directory. Returns:
 * -EEXIST; TORC_E_CANCELLED when the engine closes or *is_cancelled comes true (may be null); TORC_E_TIMEOUT
 * when the log does not get on; -errno. */
MUST_CHECK int engine_snapshot_write(struct engine_snapshot *s, const char *directory,
                                     const bool *is_cancelled, struct engine_snapshot_facts *facts);

/* In every case, and before the engine is closed. Null is allowed. */
void engine_snapshot_end(struct engine_snapshot *s);

#endif
