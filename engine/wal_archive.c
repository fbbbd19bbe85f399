/* wal_archive.c - files of the log that are closed are copied to the archive, oldest first, by a task.
 *
 *   closed -> <id>.log.new, synced -> <id>.log, name synced -> the file may be used again or removed
 *
 * What stands in the archive under its name is whole and never changes: a file of the log is closed when the
 * log goes on in another, and no start goes on in it. No more of the last one is copied than was
 * acknowledged. Each use of a file has an epoch of its own, so one that stands there from another past of the
 * data directory is known. While the archive cannot be written the files stay and the log grows. One that the
 * disk does not give back is passed over, since it never will: a restore stops before the gap. */
#include "engine/copy.h"
#include "engine/wal_internal.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>

enum { RETRY_NS = 1000000000, NEW_BYTES = 4, LOOKS_MAX = 2 };

static int path_of(const char *directory, uint64_t id, char path[WAL_PATH_BYTES_MAX])
{
    char name[WAL_NAME_BYTES];
    wal_segment_name(name, id);
    int length = snprintf(path, WAL_PATH_BYTES_MAX - NEW_BYTES, "%s/%s", directory, name);
    return length > 0 && length < WAL_PATH_BYTES_MAX - NEW_BYTES ? 0 : -ENAMETOOLONG;
}

/* Made or there, and its name durable: a crash may have come between. A parent that may not be read was made
 * by others, and what is in it, too. */
static int make_directory(struct wal *wal, const char *path)
{
    int rc = directory_create(wal->reactor, path);
    if (rc && rc != -EEXIST)
        return rc;
    rc = directory_sync_parent(wal->reactor, path);
    return rc == -EACCES ? 0 : rc;
}

/* DIR, DIR/log and DIR/log/<history>. Names in the last one may stem from a start that was killed before they
 * were durable, or from a sync that failed: what is found there counts as archived. */
static int make_directories(struct wal *wal)
{
    enum { LEVELS = 3 };
    char *path = wal->archive;
    char *ends[LEVELS] = {path + strlen(path)};
    int rc = 0;
    for (int i = 1; i < LEVELS; i++) {
        ends[i] = strrchr(path, '/');
        ASSERT(ends[i] && ends[i] > path);
        *ends[i] = '\0';
    }
    for (int i = LEVELS; i-- > 0;) {
        if (rc == 0)
            rc = make_directory(wal, path);
        if (i > 0)
            *ends[i] = '/';
    }
    if (rc == 0)
        rc = directory_sync(wal->reactor, path);
    wal->has_archive_directory = rc == 0;
    return rc;
}

/* Waits. */
static int store(struct wal *wal, const struct wal_extent *x, const char *path)
{
    char from[WAL_PATH_BYTES_MAX], aside[WAL_PATH_BYTES_MAX];
    struct copied copied;
    int length = snprintf(aside, sizeof aside, "%s.new", path);
    ASSERT(length > 0 && (size_t)length < sizeof aside);
    int rc = path_of(wal->directory, x->id, from);
    if (rc == 0)
        rc = file_remove(wal->reactor, aside);
    rc = rc == -ENOENT ? 0 : rc;
    struct copy_options options = {
        .from = from,
        .to = aside,
        .disk = wal->is_archive_stopping ? NULL : wal->options.disk, /* it may be stopped */
        .class = DISK_BACKUP,
        .is_cancelled = &wal->is_archive_given_up,
    };
    if (rc == 0)
        rc = wal_extent_copy(wal->reactor, x, &options, &copied);
    if (rc == 0)
        rc = file_rename(wal->reactor, aside, path);
    if (rc == 0)
        rc = directory_sync(wal->reactor, wal->archive);
    wal->counters.archived += rc == 0;
    wal->counters.archived_bytes += rc == 0 ? copied.bytes : 0;
    return rc;
}

/* Waits. *is_whole: the file begins with a whole header of the file of the log with that id. */
static int read_header(struct wal *wal, const char *path, uint64_t id, struct wal_segment_header *out,
                       bool *is_whole)
{
    struct file *f;
    uint8_t *block = reactor_alloc_zeroed(wal->reactor, WAL_BLOCK_BYTES);
    int rc = block ? file_open(wal->reactor, path, FILE_READ, &f) : TORC_E_NO_MEMORY;
    *is_whole = false;
    if (rc == 0) {
        bool is_read = file_read(wal->reactor, f, block, WAL_BLOCK_BYTES, 0) == WAL_BLOCK_BYTES;
        *is_whole = is_read && wal_segment_header_decode(block, out) == WAL_HEADER_VALID && out->id == id;
        file_close(wal->reactor, f);
    }
    reactor_free(wal->reactor, block);
    return rc == TORC_E_NO_MEMORY ? rc : 0;
}

/* Waits. Is what stands there the same use of this file of the log? A header that cannot be read says nothing
 * against it: either file may have rotted. Returns: -EEXIST when it is another. */
static int compare_stored(struct wal *wal, const struct wal_extent *x, const char *stored)
{
    struct wal_segment_header ours, theirs;
    bool has_ours = false, has_theirs = false;
    char *path = reactor_alloc(wal->reactor, WAL_PATH_BYTES_MAX);
    int rc = path ? path_of(wal->directory, x->id, path) : TORC_E_NO_MEMORY;
    if (rc == 0)
        rc = read_header(wal, path, x->id, &ours, &has_ours);
    if (rc == 0)
        rc = read_header(wal, stored, x->id, &theirs, &has_theirs);
    if (rc == 0 && has_ours && has_theirs && ours.epoch != theirs.epoch)
        rc = -EEXIST;
    reactor_free(wal->reactor, path);
    return rc;
}

/* Waits. */
static int store_or_compare(struct wal *wal, const struct wal_extent *x, const char *path)
{
    int rc = file_probe(wal->reactor, path);
    if (rc == -ENOENT)
        return store(wal, x, path);
    if (rc)
        return rc;
    MARK(log_file_was_archived_before_the_start);
    return compare_stored(wal, x, path);
}

/* Waits. One file, unless it is there from before. */
static int archive_one(struct wal *wal, const struct wal_extent *x)
{
    char *path = reactor_alloc(wal->reactor, WAL_PATH_BYTES_MAX);
    int rc = path ? 0 : TORC_E_NO_MEMORY;
    if (rc == 0 && !wal->has_archive_directory)
        rc = make_directories(wal);
    if (rc == 0)
        rc = path_of(wal->archive, x->id, path);
    if (rc == 0)
        rc = store_or_compare(wal, x, path);
    reactor_free(wal->reactor, path);
    return rc;
}

/* A write behind the last record that was acknowledged has failed, and may be there all the same. Until a
 * later file says where the log goes on, the next start may take it: it is not to be left out here. */
static bool is_end_open(const struct wal *wal)
{
    return wal->is_failing || wal->is_end_open;
}

/* The next file that is closed, and may hold what was acknowledged. A start does not look into files that no
 * memtable needs any more: those may be in no archive yet. */
static bool next_extent(const struct wal *wal, struct wal_extent *out)
{
    for (uint32_t i = 0; i < wal->info_count; i++) {
        const struct wal_segment_info *info = &wal->infos[i];
        if (info->id <= wal->archived_id)
            continue;
        *out = wal_extent_of(wal, info);
        if (info->id == wal->end.segment && is_end_open(wal))
            return false;
        return info->id <= wal->end.segment && !wal_segment_is_open(wal, info->id);
    }
    return false;
}

static void tell_failed(struct wal *wal, int rc)
{
    char text[640];
    if (rc == -EEXIST)
        snprintf(
            text, sizeof text,
            "the archive has files of another past of this log: the data directory was set back to an older "
            "copy, or another server archives the same; move %.300s away, then make a backup",
            wal->archive);
    else
        snprintf(text, sizeof text, "files of the log cannot be archived, and are kept until they can: %s",
                 error_sentence(rc));
    wal_event(wal, "archive_failed", text);
}

static void tell(struct wal *wal, int rc)
{
    if (rc == TORC_E_CANCELLED)
        return; /* the engine closes: what is left is copied at the end */
    if (rc == 0 && wal->has_told_archive)
        wal_event(wal, "archive_goes_on", "files of the log are archived again");
    else if (rc && !wal->has_told_archive) {
        MARK(archive_cannot_be_written);
        tell_failed(wal, rc);
    }
    wal->has_told_archive = rc != 0;
}

/* Waits. Is it the file of the log that fails, and not the archive? */
static bool is_unreadable(struct wal *wal, const struct wal_extent *x)
{
    char from[WAL_PATH_BYTES_MAX];
    struct copied copied;
    int rc = path_of(wal->directory, x->id, from);
    struct copy_options options = {
        .from = from,
        .is_cancelled = &wal->is_archive_given_up,
    };
    for (int i = 0; rc == 0 && i < LOOKS_MAX; i++) {
        rc = wal_extent_copy(wal->reactor, x, &options, &copied);
        if (rc != -EIO && rc != -ENOENT)
            return false;
        rc = i + 1 < LOOKS_MAX ? 0 : rc;
    }
    return rc == -EIO || rc == -ENOENT;
}

static void pass_over(struct wal *wal, const struct wal_extent *x)
{
    char text[160];
    MARK(log_file_that_cannot_be_read_is_not_archived);
    snprintf(text, sizeof text,
             "log file %016llx cannot be read and is not archived: no restore goes beyond it; make a backup",
             (unsigned long long)x->id);
    wal_event(wal, "archive_gap", text);
}

static int archive_closed(struct wal *wal)
{
    struct wal_extent next;
    int rc = 0;
    while (rc == 0 && next_extent(wal, &next)) {
        if (wal->is_archive_given_up)
            return TORC_E_CANCELLED;
        rc = archive_one(wal, &next);
        if ((rc == -EIO || rc == -ENOENT) && is_unreadable(wal, &next)) {
            pass_over(wal, &next);
            rc = 0;
        }
        if (rc == 0) {
            wal->archived_id = next.id;
            wal_segments_wake(wal);
        } else {
            wal->has_archive_directory = false; /* it may have been moved away */
        }
        tell(wal, rc);
    }
    return rc;
}

void wal_archive_run(struct reactor *r, void *argument)
{
    struct wal *wal = argument;
    while (!wal->is_archive_stopping) {
        int rc = archive_closed(wal);
        rc = event_wait(r, &wal->archive_work, rc ? RETRY_NS : EVENT_FOREVER);
        ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
    }
    wal->is_archived = archive_closed(wal) == 0 && !is_end_open(wal);
    if (!wal->is_archived)
        MARK(rest_of_the_log_is_archived_by_the_next_start);
    event_set(r, &wal->archive_ended, 0);
}

void wal_archive_wake(struct wal *wal)
{
    if (wal->archive)
        event_set(wal->reactor, &wal->archive_work, 0);
}

void wal_retire_current(struct wal *wal)
{
    bool can_go_on = wal->next != NULL; /* on a full disk deletes have what is left of this file */
    if (!wal->archive || !wal->current || wal->is_failing || !can_go_on)
        return;
    if (wal->current->id != wal->end.segment) /* the files after it would be named beside the one before it */
        return;
    wal_segment_retire(wal, wal->current);
    wal->current = NULL;
}
