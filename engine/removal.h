/* removal.h - files go a little at a time.
 *
 *   | step | step | step | ... | step | step |
 *                        <--- pause --- gone, from the end on; then the name
 *
 * A file system that is mounted with `discard` tells the disk of every block that is given back, and all
 * blocks of a large file at once are some tens of milliseconds in which the disk does nothing else: the log's
 * writes wait for them. RocksDB's SstFileManager does the same for that reason (rate_bytes_per_sec and
 * bytes_max_delete_chunk). */
#ifndef ENGINE_REMOVAL_H
#define ENGINE_REMOVAL_H

#include "engine/engine_internal.h"

/* Waits: longer the larger the file is, unless the engine closes or the disk has no room. A file with another
 * name, as of a snapshot, loses this name and nothing else. Returns: 0, or -errno of the removal; the end of
 * the file may then be gone. */
MUST_CHECK int engine_remove_file(struct engine *e, const char *path, uint64_t bytes);

#endif
