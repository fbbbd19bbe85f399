/* wal_segments.c - the files of the log, ahead of use and after it: one background task per log.
 *
 * The next segment is ready before the current one is full, so that rotation never waits: its blocks are
 * allocated and written with zeros, which leaves the later durable writes no metadata to journal, and its
 * name is durable and the manifest has it, so that its loss is noticed. A segment that truncation freed is
 * renamed instead; what it still holds has another id and epoch and is not mistaken for new records. */
#include "engine/wal_internal.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>

enum {
    ZEROS_BYTES = 1 << 20,
    INFOS_FIRST = 16,
    INFOS_AHEAD = 2,
    PREPARE_TRIES = 2, /* each with a file of its own */
};

struct path {
    char text[WAL_PATH_BYTES_MAX];
};

static void path_of(const struct wal *wal, struct path *path, uint64_t id)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name(name, id);
    int length = snprintf(path->text, sizeof path->text, "%s/%s", wal->directory, name);
    ASSERT(length > 0 && (size_t)length < sizeof path->text);
}

static void event_about(struct wal *wal, const char *event, uint64_t id, int error)
{
    char text[160];
    snprintf(text, sizeof text, "log segment %016llx: %s", (unsigned long long)id, error_sentence(error));
    wal_event(wal, event, text);
}

void wal_segments_wake(struct wal *wal)
{
    event_set(wal->reactor, &wal->work, 0);
}

/* ---- what recovery found ---- */

static void keep_spare(struct wal *wal, struct wal_segment_info info)
{
    ASSERT(wal->spare_count < WAL_SPARES_MAX);
    info.first_sequence = 0;
    wal->spares[wal->spare_count++] = info;
}

/* Files after the last used one were prepared and not used: they are spare. Those before the start are
 * dropped as soon as the background task runs. */
static void take_infos(struct wal *wal, const struct wal_recovery *recovery)
{
    uint32_t used_count = recovery->segment_count;
    while (!recovery->keeps_unused && used_count > 0 && recovery->damaged_count == 0 &&
           recovery->segments[used_count - 1].first_sequence == 0 &&
           recovery->segments[used_count - 1].id > recovery->start.segment)
        used_count--;
    for (uint32_t i = 0; i < recovery->segment_count; i++) {
        if (i >= used_count && wal->spare_count < wal->options.spare_segments_max) {
            MARK(log_file_prepared_before_the_crash_is_a_spare);
            keep_spare(wal, recovery->segments[i]);
        } else {
            wal->infos[wal->info_count++] = recovery->segments[i];
        }
    }
}

int wal_segments_init(struct wal *wal, struct wal_recovery *recovery)
{
    wal->info_capacity = recovery->segment_count + INFOS_FIRST;
    wal->infos = reactor_alloc(wal->reactor, wal->info_capacity * sizeof wal->infos[0]);
    if (!wal->infos)
        return TORC_E_NO_MEMORY;
    take_infos(wal, recovery);
    wal->segment_id_max = recovery->segment_id_max;
    if (wal->segment_id_max < recovery->start.segment)
        wal->segment_id_max = recovery->start.segment;
    /* While a copy of the manifest names an older start, what is before this one stays. */
    wal->truncate_below = recovery->keeps_unused ? 0 : recovery->start.segment;
    return 0;
}

/* ---- after use ---- */

void wal_segment_retire(struct wal *wal, struct wal_segment *s)
{
    list_push_back(&wal->retired, &s->link);
    wal_segments_wake(wal);
}

static void close_retired(struct wal *wal)
{
    struct list *link = wal->retired.next;
    while (link != &wal->retired) {
        struct wal_segment *s = CONTAINER_OF(link, struct wal_segment, link);
        link = link->next;
        if (s->in_flight > 0)
            continue;
        list_remove(&s->link);
        file_close(wal->reactor, s->file); /* waits: the list may have changed */
        reactor_free(wal->reactor, s);
        link = wal->retired.next;
        wal_archive_wake(wal);
    }
}

static void remove_file(struct wal *wal, uint64_t id)
{
    struct path *path = reactor_alloc(wal->reactor, sizeof *path);
    if (!path)
        return; /* the next start finds it before the start of the log and tries again */
    path_of(wal, path, id);
    int rc = file_remove(wal->reactor, path->text);
    if (rc && rc != -ENOENT)
        event_about(wal, "log_remove_failed", id, rc);
    reactor_free(wal->reactor, path);
}

bool wal_segment_is_open(const struct wal *wal, uint64_t id)
{
    if (wal->current && wal->current->id == id)
        return true;
    for (struct list *link = wal->retired.next; link != &wal->retired; link = link->next)
        if (CONTAINER_OF(link, struct wal_segment, link)->id == id)
            return true;
    return false;
}

struct wal_start wal_start_at(const struct wal *wal, uint64_t sequence)
{
    ASSERT(sequence >= 1);
    struct wal_start start = {.segment = 0, .sequence = sequence};
    for (uint32_t i = 0; i < wal->info_count; i++)
        if (wal->infos[i].first_sequence != 0 && wal->infos[i].first_sequence <= sequence)
            start.segment = wal->infos[i].id;
    return start;
}

void wal_truncate(struct wal *wal, struct wal_start start)
{
    if (start.segment <= wal->truncate_below)
        return;
    ASSERT(start.segment <= wal->segment_id_max);
    wal->truncate_below = start.segment;
    wal_segments_wake(wal);
}

/* Oldest first, so that whatever a crash leaves is the end of the log without a gap. */
static void drop_truncated(struct wal *wal)
{
    while (wal->info_count > 0 && wal->infos[0].id < wal_droppable_below(wal) &&
           !wal_segment_is_open(wal, wal->infos[0].id)) {
        struct wal_segment_info info = wal->infos[0];
        wal->info_count--;
        memmove(wal->infos, wal->infos + 1, wal->info_count * sizeof wal->infos[0]);
        if (wal->spare_count < wal->options.spare_segments_max && info.bytes == wal->options.segment_bytes) {
            MARK(truncated_log_file_becomes_a_spare);
            keep_spare(wal, info);
        } else {
            MARK(truncated_log_file_is_removed);
            remove_file(wal, info.id);
        }
    }
}

/* ---- ahead of use ---- */

/* With one more there would be files that no start takes: an archive that cannot be written keeps them. */
static bool has_too_many(const struct wal *wal)
{
    return wal->info_count + wal->spare_count >= wal->options.segments_max;
}

static int write_zeros(struct wal *wal, struct file *file)
{
    uint64_t segment_bytes = wal->options.segment_bytes;
    size_t zeros_bytes = segment_bytes < ZEROS_BYTES ? (size_t)segment_bytes : ZEROS_BYTES;
    void *zeros = reactor_alloc_aligned(wal->reactor, zeros_bytes, FILE_ALIGNMENT);
    if (!zeros)
        return TORC_E_NO_MEMORY;
    memset(zeros, 0, zeros_bytes);
    int rc = 0;
    for (uint64_t offset = 0; rc == 0 && offset < segment_bytes; offset += zeros_bytes) {
        uint64_t left = segment_bytes - offset;
        size_t piece = left < zeros_bytes ? (size_t)left : zeros_bytes;
        rc =
            wal->is_stopping ? TORC_E_CANCELLED : file_write(wal->reactor, file, zeros, piece, offset, false);
    }
    reactor_free(wal->reactor, zeros);
    return rc ? rc : file_sync(wal->reactor, file);
}

static void discard_file(struct wal *wal, struct file *f, const char *path)
{
    file_close(wal->reactor, f);
    if (file_remove(wal->reactor, path) != 0)
        wal_event(wal, "log_remove_failed", path);
}

static int make_file(struct wal *wal, const char *path, struct file **out)
{
    int rc = file_open(wal->reactor, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE | FILE_DIRECT, out);
    if (rc)
        return rc;
    rc = file_allocate(wal->reactor, *out, 0, wal->options.segment_bytes);
    if (rc == -EOPNOTSUPP)
        rc = 0; /* the zeros will show whether there is room */
    if (rc == 0)
        rc = write_zeros(wal, *out);
    if (rc) {
        MARK(new_log_file_cannot_be_written);
        discard_file(wal, *out, path);
    }
    return rc;
}

/* Opened first: what it lacks then is no reason to lose the spare. */
static int open_spare(struct wal *wal, const char *spare, const char *path, struct file **out)
{
    int rc = file_open(wal->reactor, spare, FILE_WRITE | FILE_DIRECT, out);
    if (rc)
        return rc;
    rc = file_rename(wal->reactor, spare, path);
    if (rc)
        file_close(wal->reactor, *out);
    return rc;
}

/* A spare file of the right size under its new name. Returns: -ENOENT when there is none. */
static int reuse_file(struct wal *wal, const char *path, struct file **out)
{
    struct path *old = reactor_alloc(wal->reactor, sizeof *old);
    if (!old)
        return TORC_E_NO_MEMORY;
    int rc = -ENOENT;
    while (rc && wal->spare_count > 0) {
        struct wal_segment_info spare = wal->spares[--wal->spare_count];
        path_of(wal, old, spare.id);
        if (spare.bytes == wal->options.segment_bytes)
            rc = open_spare(wal, old->text, path, out);
        if (error_is_shortage(rc)) {
            MARK(spare_log_file_is_kept_for_later);
            wal->spare_count++;
            break;
        }
        if (rc)
            remove_file(wal, spare.id);
    }
    reactor_free(wal->reactor, old);
    if (rc)
        return error_is_shortage(rc) ? rc : -ENOENT;
    MARK(spare_log_file_is_used_again);
    wal->counters.recycled++;
    return 0;
}

static int prepare_file(struct wal *wal, const char *path, struct file **out)
{
    int rc = reuse_file(wal, path, out);
    if (rc == -ENOENT)
        rc = has_too_many(wal) ? TORC_E_DISK_FULL : make_file(wal, path, out);
    if (rc)
        return rc;
    rc = directory_sync(wal->reactor, wal->directory);
    if (rc) {
        MARK(new_log_file_has_no_durable_name);
        discard_file(wal, *out, path);
    }
    return rc;
}

static int infos_reserve(struct wal *wal)
{
    if (wal->info_count + INFOS_AHEAD <= wal->info_capacity)
        return 0;
    uint32_t capacity = wal->info_capacity * 2;
    struct wal_segment_info *infos = reactor_realloc(wal->reactor, wal->infos, capacity * sizeof infos[0]);
    if (!infos)
        return TORC_E_NO_MEMORY;
    wal->infos = infos;
    wal->info_capacity = capacity;
    return 0;
}

/* Before a file is used the manifest names it. Whether it is named is not known after TORC_E_STORAGE: then it
 * stays. */
static int name_file(struct wal *wal, uint64_t id)
{
    if (!wal->options.on_prepared)
        return 0;
    uint64_t durable = wal->durable_sequence ? wal->durable_sequence : 1;
    struct wal_named named = {{wal_start_at(wal, durable).segment, wal->current ? wal->current->id : 0, id}};
    return wal->options.on_prepared(wal->options.owner, &named);
}

static int prepare_named(struct wal *wal, const char *path, struct wal_segment *s)
{
    int rc = prepare_file(wal, path, &s->file);
    if (rc)
        return rc;
    rc = name_file(wal, s->id);
    if (rc == 0)
        return 0;
    MARK(new_log_file_cannot_be_named);
    file_close(wal->reactor, s->file);
    if (rc != TORC_E_STORAGE)
        remove_file(wal, s->id);
    return rc;
}

static int prepare_segment(struct wal *wal)
{
    struct path *path = reactor_alloc(wal->reactor, sizeof *path);
    struct wal_segment *s = reactor_alloc_zeroed(wal->reactor, sizeof *s);
    int rc = path && s ? infos_reserve(wal) : TORC_E_NO_MEMORY;
    if (rc == 0) {
        s->id = ++wal->segment_id_max;
        path_of(wal, path, s->id);
        rc = prepare_named(wal, path->text, s);
    }
    reactor_free(wal->reactor, path);
    if (rc) {
        reactor_free(wal->reactor, s);
        return rc;
    }
    list_init(&s->link);
    s->epoch = wal_epoch_of(reactor_random(wal->reactor), wal->options.shard);
    s->bytes = wal->options.segment_bytes;
    wal->next = s;
    return 0;
}

static void retry_later(struct wal *wal)
{
    if (wal->retry_at_ns == 0)
        wal->retry_at_ns = reactor_now_ns(wal->reactor) + wal->options.retry_ns;
}

static bool retry_is_due(const struct wal *wal)
{
    return wal->retry_at_ns > 0 && wal->retry_at_ns <= reactor_now_ns(wal->reactor);
}

/* Errors that an operator can mend while the shard runs. EFBIG is the limit on the size of files. */
static bool is_want_of_room(int rc)
{
    return error_is_disk_full(rc) || rc == -EFBIG || error_is_shortage(rc);
}

static void prepare_failed(struct wal *wal, int rc)
{
    bool is_full = is_want_of_room(rc);
    int error = is_full ? TORC_E_DISK_FULL : TORC_E_STORAGE;
    if (error != wal->next_error && rc == TORC_E_DISK_FULL && has_too_many(wal)) {
        wal_event(wal, "log_segment_failed",
                  "the log has as many files as a start takes, since they cannot be archived or a copy holds "
                  "them: no more are made until some of them can go");
    } else if (error != wal->next_error) {
        event_about(wal, "log_segment_failed", wal->segment_id_max, rc);
    }
    wal->next_error = error;
    if (is_full) {
        MARK(log_finds_no_room_for_a_file);
        retry_later(wal);
    } else {
        MARK(log_can_make_no_file);
    }
}

static void next_is_there(struct wal *wal)
{
    bool had_room = wal->next_error != TORC_E_DISK_FULL;
    wal->next_error = 0;
    if (had_room || wal->refusal)
        return;
    MARK(log_finds_room_before_it_is_full);
    wal_event(wal, "log_room", "the disk has room again; writes are taken");
    wal_room(wal);
}

static void prepare_next(struct wal *wal)
{
    int rc = -EIO;
    for (int i = 0; rc && i < PREPARE_TRIES && !wal->is_stopping; i++) {
        rc = prepare_segment(wal);
        if (is_want_of_room(rc) || rc == TORC_E_STORAGE)
            break;
    }
    if (rc == 0)
        next_is_there(wal);
    else if (!wal->is_stopping)
        prepare_failed(wal, rc);
    event_set(wal->reactor, &wal->progress, 0);
}

/* Leaves the state of a full disk when there is a segment to write to. Its room is set aside. Only where a
 * write found none all the same there must be more. */
static void leave_disk_full(struct wal *wal)
{
    uint64_t free_bytes = UINT64_MAX;
    int rc = wal->failures_in_row ? directory_free_bytes(wal->reactor, wal->directory, &free_bytes) : 0;
    if (rc || free_bytes < wal->options.segment_bytes) {
        retry_later(wal);
        return;
    }
    MARK(log_leaves_the_full_disk);
    wal->refusal = 0;
    wal->failures_in_row = 0;
    wal_event(wal, "log_room", "the disk has room again; writes are taken");
    wal_look_when_idle(wal);
    wal_room(wal);
}

static bool next_is_wanted(const struct wal *wal, bool is_retry)
{
    return !wal->next && !wal->is_stopping && wal->refusal != TORC_E_STORAGE &&
           (wal->next_error == 0 || is_retry);
}

/* One look at all there may be to do. */
static void work_through(struct wal *wal)
{
    bool is_retry = retry_is_due(wal);
    if (is_retry)
        wal->retry_at_ns = 0;
    close_retired(wal);
    drop_truncated(wal);
    if (next_is_wanted(wal, is_retry))
        prepare_next(wal);
    if (wal->refusal != TORC_E_DISK_FULL || wal->is_stopping)
        return;
    if (is_retry && wal->next && wal->in_flight_count == 0)
        leave_disk_full(wal);
    else
        retry_later(wal);
}

/* Waits: nobody finds it meanwhile, the archive least of all. */
static void close_segment(struct wal *wal, struct wal_segment **place)
{
    struct wal_segment *s = *place;
    if (!s)
        return;
    *place = NULL;
    ASSERT(s->in_flight == 0);
    file_close(wal->reactor, s->file);
    reactor_free(wal->reactor, s);
}

/* Not by a timer of its own: there might be no memory for one. */
static uint64_t until_retry_ns(const struct wal *wal)
{
    if (wal->retry_at_ns == 0)
        return EVENT_FOREVER;
    return retry_is_due(wal) ? 0 : wal->retry_at_ns - reactor_now_ns(wal->reactor);
}

void wal_segments_run(struct reactor *r, void *argument)
{
    struct wal *wal = argument;
    while (!wal->is_stopping) {
        work_through(wal);
        int rc = event_wait(r, &wal->work, until_retry_ns(wal));
        ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
    }
    close_retired(wal);
    drop_truncated(wal);
    close_segment(wal, &wal->current);
    close_segment(wal, &wal->next);
    event_set(r, &wal->ended, 0);
}

const char *wal_close_awaits(const struct wal *wal)
{
    if (wal->in_flight_count > 0)
        return "a write of the log";
    return wal->is_archive_stopping ? "the archive" : "a file of the log";
}
