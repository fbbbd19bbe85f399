/* backup_files.h - the files of a snapshot into a backup: each one once, whichever backups have it.
 *
 *   TARGET/BACKUPS                                   whose backups these are
 *   TARGET/files/NAME-<identity>-<content checksum>  tables and value logs: they never change
 *   TARGET/backup-<clock>/shard-NNN/                 manifest and log of a shard
 *   TARGET/backup-<clock>/CATALOGUE                  makes it whole: written last
 *
 * The identity of a file is the hash of its length, its first and its last 4 KiB. Two files may have the same
 * and differ between, so it is the content checksum that tells that a file is there already. That of a file
 * that was read once is kept in the data directory, where the file is:
 *
 *   DATA/snapshots/.sums-NNN: history, then a line a file: name, identity, content checksum
 *
 * A number is given out once in a history of a shard, and who sets the data directory back to an older copy
 * sets that text back, too: so a line is of the very file that has its name now. What has no line is read. */
#ifndef SHARD_BACKUP_FILES_H
#define SHARD_BACKUP_FILES_H

#include "shard/catalogue.h"

enum { BACKUP_FILES_WHY_BYTES = 512 };

struct backup_files {
    struct reactor *reactor;
    struct disk *disk; /* its share for backups; null: without limits */
    const char *from;  /* the shard's directory of the snapshot */
    const char *target;
    const char *backup; /* name below the target */
    const char *sums;   /* path of the text of content checksums; null: none is kept */
    uint64_t history;   /* of the shard's log: numbers of files begin anew with another */
    unsigned shard;
    bool prefers_copies; /* no links, even where they can be made */
    const bool *is_cancelled;
    struct catalogue_text *lines; /* grows by one a file */
    /* Counted: */
    uint64_t files;
    uint64_t bytes;
    uint64_t new_files; /* of them: not there before */
    uint64_t new_bytes;
    char why[BACKUP_FILES_WHY_BYTES]; /* after an error: of which file; empty when it is of none */
};

/* Waits. Brings all files of the snapshot, durable with their names; the directories of the target are there.
 * Returns: 0; TORC_E_CANCELLED; -errno. What was brought and is in no catalogue serves the next try. */
MUST_CHECK int backup_files_bring(struct backup_files *b);

#endif
