/* reshard.h - a new shard made of files of old ones, when vnodes are divided among another number of cores.
 *
 *   old shards    vnodes 0 .. 511 [T1][T2]     512 .. 1023 [T3]           engines closed, memtables flushed
 *                            |   \________        |
 *   new shards    0 .. 341 [T1]   342 .. 682 [T1][T2][T3]   683 .. 1023 [T3]     hard links, new manifests
 *
 * No record is copied: a table that holds keys of two new shards is linked into both, and each manifest says
 * for which vnodes it counts there. Merges drop the rest by and by. Old shards are only read. */
#ifndef ENGINE_RESHARD_H
#define ENGINE_RESHARD_H

#include "engine/engine.h"

/* An old shard whose engine is closed after engine_flush. */
struct reshard_source {
    const char *directory; /* borrowed */
    uint16_t vnode_first;
    uint16_t vnode_count;
    uint64_t clock_max; /* engine_version_clock_max before it was closed */
};

struct reshard_target {
    const char *directory; /* its parent exists, it does not */
    uint8_t vnode_bits;
    uint16_t vnode_first;
    uint16_t vnode_count;
    uint64_t file_counter; /* of reshard_survey: numbers of files stay unique in the data directory */
};

/* Waits. *file_counter: above those of all files of the sources. */
MUST_CHECK int reshard_survey(struct reactor *r, const struct reshard_source *sources, uint32_t count,
                              uint8_t vnode_bits, uint64_t *file_counter, char *why, size_t why_bytes);

/* Waits. Makes the directory with all that the sources have of its vnodes. Durable when it returns 0, but for
 * the name of the directory itself. What a source has lost, the target has lost too. After an error a part of
 * it may be there. Returns: 0; an error with one line in `why`. */
MUST_CHECK int reshard_make(struct reactor *r, const struct reshard_target *target,
                            const struct reshard_source *sources, uint32_t count, char *why,
                            size_t why_bytes);

#endif
