/* backup_place.h - which directories a client may have backups made in. */
#ifndef SHARD_BACKUP_PLACE_H
#define SHARD_BACKUP_PLACE_H

#include "shard/admin.h"

/* Is `path` named from the root, without `.`, `..` and empty names? */
bool backup_place_is_plain(const char *path);

/* Is `path` the directory `above`, or below it? Requires: both are plain. */
bool backup_place_is_below(const char *path, const char *above);

/* Waits. Takes a '/' at the end of the job's argument away. It is `backup-root` or below it, and
 * neither in a data directory nor above this node's. Links are followed: nobody else may write below
 * `backup-root`. Returns: 0, TORC_E_MALFORMED, TORC_E_CONFIGURATION, -errno, with job->why. */
MUST_CHECK int backup_place_check(struct admin_job *job);

#endif
