/* restore.h - a shard made anew of a snapshot's files and its log, up to a moment.
 *
 *   tables, value logs: copied by the caller --+
 *   manifest of the snapshot -> without a log -+-> an engine <-- put -- records of the logs, in order,
 *                                                                       none above the moment's clock
 *
 * The records of the logs are put as they were, with their versions; so what comes out is a shard like any
 * other, whose log begins anew. */
#ifndef ENGINE_RESTORE_H
#define ENGINE_RESTORE_H

#include "engine/engine.h"

enum { RESTORE_WHY_BYTES = 512 };

struct engine_restore {
    /* Asked: */
    const struct engine_options *options; /* of the shard; its directory is there, with tables and value logs.
                                             on_durable, on_event, on_room and owner are not used */
    const char *manifest;                 /* path of the snapshot's */
    const char *log;                      /* directory of the snapshot's log: only read */
    const char *archive;                  /* directory of the log's history: only read. Null: none */
    uint64_t start_segment;               /* all five as in engine_snapshot_facts */
    uint64_t start_sequence;
    uint64_t end_segment;
    uint64_t end_sequence;
    uint64_t end_checksum;
    uint64_t clock_max; /* the moment: no record of a log with a higher version clock is put */
    /* Answered: */
    uint64_t records;       /* put */
    uint64_t clock_reached; /* the highest version clock put; 0: none was */
    bool is_reached;        /* a record after the moment was seen: all before it was, too */
    char why[RESTORE_WHY_BYTES];
};

/* Waits. Returns: 0, and the shard is closed, whole and durable but for the name of its directory;
 * TORC_E_CORRUPT when the manifest or a log is damaged, a table, a value log or a file of the log is missing
 * or cannot be opened, or the archive does not go on where the snapshot ends; an error of engine_open or of a
 * put; with `why`. */
MUST_CHECK int engine_restore(struct reactor *r, struct engine_restore *restore);

#endif
