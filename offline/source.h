/* source.h - the backup or snapshot that a restore takes, chosen by time. */
#ifndef OFFLINE_SOURCE_H
#define OFFLINE_SOURCE_H

#include "shard/catalogue.h"

enum { SOURCE_TIME_BYTES = 48 };

struct source {
    char directory[DATADIR_PATH_MAX]; /* of its catalogue: paths in it begin there */
    struct catalogue catalogue;
};

/* Waits. `path` is a snapshot, one backup, or the directory of all backups: then the newest that is not after
 * `clock`. Returns: 0, and source_deinit is due; else an enum offline_exit after saying why. */
MUST_CHECK int source_open(struct reactor *r, const char *path, uint64_t clock, struct source *out);
void source_deinit(struct reactor *r, struct source *s);

/* Says what keeps from reading `what`, of the source. Returns: OFFLINE_DAMAGED when that is lost or damaged,
 * OFFLINE_FAILED when it may well be good: no memory, no rights. */
int source_complain(const char *what, int error);

/* Returns: 0 or -ENAMETOOLONG. */
MUST_CHECK int source_path(const struct source *s, const struct catalogue_file *file,
                           char to[DATADIR_PATH_MAX]);

/* Waits. Copies a file of the source and compares it with the catalogue; `to` null: only compares. Returns:
 * 0, or an enum offline_exit after saying why. */
MUST_CHECK int source_copy(struct reactor *r, const struct source *s, const struct catalogue_file *file,
                           const char *to);

/* "2026-11-21T17:20:30.308Z" of a version clock. */
const char *source_time(uint64_t clock, char to[SOURCE_TIME_BYTES]);

#endif
