/* layout.h - data that was divided among some cores is divided among others.
 *
 *   IDENTITY: layout 4, 2 cores                     IDENTITY: layout 5, 3 cores
 *   layout-4/shard-000, shard-001                   layout-5/shard-000, shard-001, shard-002
 *
 *   open, flush, close the old engines -> make layout-5 of hard links -> sync -> replace IDENTITY
 *                                                                             -> remove layout-4
 *
 * IDENTITY says which layout counts, so a crash leaves either the old one or the new one, and the other is
 * removed at the next start. No record is copied: engine/reshard.h. */
#ifndef SHARD_LAYOUT_H
#define SHARD_LAYOUT_H

#include "engine/engine.h"
#include "shard/datadir.h"

struct layout_change {
    const char *directory;
    const struct engine_options *engine; /* of the old engines, but for directory and vnodes */
    unsigned cores;                      /* from now on */
};

/* Waits. Requires: no engine is open in the directory. Sets cores and layout of *identity when it returns 0;
 * else the old layout is as good as before, and one line is in `why`. */
MUST_CHECK int layout_change(struct reactor *r, const struct layout_change *c,
                             struct datadir_identity *identity, char *why, size_t why_bytes);

/* Waits. Removes what a crash has left of layouts that do not count. Needs no room on the disk. Requires: the
 * identity is durable. Returns: TORC_E_CORRUPT when the one that counts is missing, or a
 * shard of it; -errno. */
MUST_CHECK int layout_tidy(struct reactor *r, const char *directory, const struct datadir_identity *identity,
                           char *why, size_t why_bytes);

#endif
