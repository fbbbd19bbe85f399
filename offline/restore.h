/* restore.h - what restore.c and verify.c share. */
#ifndef OFFLINE_RESTORE_H
#define OFFLINE_RESTORE_H

#include "engine/restore.h"
#include "offline/source.h"

enum { RESTORE_LAYOUT = 1 }; /* of a new data directory */

struct restore {
    const struct source *source;
    const char *archive; /* directory with log/; null: none */
    uint64_t clock;      /* the moment */
    const char *data;    /* the directory to be made, with its identity */
    /* Answered: */
    uint64_t records;
    uint64_t clock_reached;
    unsigned unreached; /* shards whose logs end before the moment */
};

/* Waits. Makes the data directory, which is not there. Returns: 0, or an enum offline_exit after saying why.
 * */
MUST_CHECK int restore_run(struct reactor *r, struct restore *restore);

/* What a shard's engine is opened with; `directory` is where its path is put. */
struct engine_options restore_engine_options(const struct catalogue *c, const char *data, unsigned shard,
                                             char directory[DATADIR_PATH_MAX]);

#endif
