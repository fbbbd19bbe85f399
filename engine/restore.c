/* restore.c - a shard made anew of a snapshot's files and its log; see restore.h. */
#include "engine/restore.h"

#include "engine/copy.h"
#include "engine/manifest_format.h"
#include "engine/wal.h"

#include <stdio.h>

enum {
    LOOK_NS = 200000,
    LOOKS_MAX = 5 * 60 * 1000 * 5, /* five minutes without getting on */
    PUTS_PER_SUBMIT = 64,
};

struct restoring {
    struct reactor *reactor;
    struct engine_restore *asked;
    struct engine *engine;
    uint64_t put_count;
    uint64_t answered;
    int error;                    /* of a put */
    bool is_of_archive;           /* what is replayed now */
    char loss[RESTORE_WHY_BYTES]; /* a file that was taken over and cannot be opened; empty: none */
};

/* ---- the manifest ---- */

/* The tables of the snapshot, and no log. */
static int convert_manifest(struct restoring *s, uint8_t *data, size_t bytes)
{
    struct slice image = slice_of(data, bytes);
    uint32_t count = manifest_table_count(image);
    struct manifest_table *tables = reactor_alloc_zeroed(s->reactor, (count + 1) * sizeof tables[0]);
    struct manifest_state state;
    uint8_t *out = NULL;
    char path[COPY_PATH_MAX];
    int rc = tables ? manifest_decode(image, tables, &state) : TORC_E_NO_MEMORY;
    if (rc == 0) {
        state.numbers.log_start = (struct wal_start){.segment = 0, .sequence = 1};
        state.numbers.log_files = (struct wal_named){{0}};
        state.numbers.log_history = 0; /* the engine begins another */
        out = reactor_alloc(s->reactor, manifest_encoded_bytes(&state));
        rc = out ? 0 : TORC_E_NO_MEMORY;
    }
    if (rc == 0) {
        manifest_encode(out, &state);
        int length = snprintf(path, sizeof path, "%s/MANIFEST-A", s->asked->options->directory);
        ASSERT(length > 0 && (size_t)length < sizeof path);
        rc = copy_bytes_to_file(s->reactor, slice_of(out, manifest_encoded_bytes(&state)), path);
    }
    reactor_free(s->reactor, out);
    reactor_free(s->reactor, tables);
    return rc;
}

/* The header and the content are as they say. */
static int check_manifest(const uint8_t *data, size_t bytes)
{
    struct manifest_header h;
    if (bytes < MANIFEST_HEADER_BYTES)
        return TORC_E_CORRUPT;
    int rc = manifest_header_decode(data, &h);
    if (rc)
        return rc;
    if (h.content_bytes != bytes - MANIFEST_HEADER_BYTES ||
        checksum_bytes(data + MANIFEST_HEADER_BYTES, h.content_bytes) != h.content_checksum)
        return TORC_E_CORRUPT;
    return 0;
}

static int make_manifest(struct restoring *s)
{
    uint8_t *data;
    size_t bytes;
    int rc = copy_file_to_bytes(s->reactor, s->asked->manifest, MANIFEST_BYTES_MAX, &data, &bytes);
    if (rc == 0)
        rc = check_manifest(data, bytes);
    if (rc == 0)
        rc = convert_manifest(s, data, bytes);
    reactor_free(s->reactor, data);
    if (rc)
        snprintf(s->asked->why, RESTORE_WHY_BYTES, "%.400s: %s", s->asked->manifest, error_sentence(rc));
    return rc;
}

/* An engine serves what is left of a shard. Here that is no shard as it was at a moment. */
static void on_event(void *owner, const char *event, const char *text)
{
    struct restoring *s = owner;
    bool is_loss = strcmp(event, "table_unreadable") == 0 || strcmp(event, "values_unreadable") == 0;
    if (is_loss && s->loss[0] == '\0')
        snprintf(s->loss, sizeof s->loss, "%.480s", text);
}

/* ---- puts ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct restoring *s = owner;
    (void)ticket;
    (void)times;
    s->answered++;
    if (result && result != TORC_E_SUPERSEDED && s->error == 0)
        s->error = result;
}

/* Waits for the log to get on. */
static void look_later(struct restoring *s)
{
    engine_submit(s->engine);
    task_sleep(s->reactor, LOOK_NS);
}

static int put(struct restoring *s, const struct record *record)
{
    struct engine_ticket ticket = {.words = {0}};
    int rc = engine_put(s->engine, record, &ticket);
    for (unsigned i = 0; rc == TORC_E_OVERLOADED && i < LOOKS_MAX; i++) {
        look_later(s);
        rc = engine_put(s->engine, record, &ticket);
    }
    if (rc) {
        s->error = rc;
        return rc;
    }
    if (++s->put_count % PUTS_PER_SUBMIT == 0)
        engine_submit(s->engine);
    s->asked->records++;
    if (record->version.clock > s->asked->clock_reached)
        s->asked->clock_reached = record->version.clock;
    return s->error;
}

static int replay(void *owner, const struct record *record, uint64_t sequence)
{
    struct restoring *s = owner;
    const struct engine_options *o = s->asked->options;
    (void)sequence;
    if ((uint16_t)(record->key.vnode - o->vnode_first) >= o->vnode_count)
        return TORC_E_CORRUPT;
    if (record->version.clock > s->asked->clock_max) {
        s->asked->is_reached = true;
        return s->is_of_archive ? WAL_REPLAY_ENOUGH : 0; /* versions ascend: damage behind it is no matter */
    }
    return put(s, record);
}

static int await_puts(struct restoring *s)
{
    for (unsigned i = 0; s->answered < s->put_count && i < LOOKS_MAX; i++)
        look_later(s);
    return s->answered < s->put_count ? TORC_E_TIMEOUT : s->error;
}

/* ---- logs ---- */

static int tell_gap(struct restoring *s, const char *directory, const struct wal_recovery *found)
{
    snprintf(
        s->asked->why, RESTORE_WHY_BYTES,
        "%.350s: the log is damaged or a file of it is missing, at file %016llx; restore to a time before, "
        "or bring the file back",
        directory, (unsigned long long)found->damaged_segment);
    return TORC_E_CORRUPT;
}

static int tell_another_past(struct restoring *s, const char *directory)
{
    snprintf(
        s->asked->why, RESTORE_WHY_BYTES,
        "%.250s: the log does not go on where this backup ends: the data directory was set back to an older "
        "copy, or two servers archived the same; restore a later backup, or this one alone, without --to and "
        "--archive",
        directory);
    return TORC_E_CORRUPT;
}

/* Of what is made, and not of what is read. */
static int tell_unwritten(struct restoring *s, int rc)
{
    const char *what = error_is_disk_full(rc)
                           ? "there is no room for its log; make some, or name another directory"
                           : error_sentence(rc);
    snprintf(s->asked->why, RESTORE_WHY_BYTES, "%.400s: %s", s->asked->options->directory, what);
    return rc;
}

/* `previous`: the checksum of the record before the start; 0: not known. */
static int replay_log(struct restoring *s, const char *directory, struct wal_start start, uint64_t previous)
{
    uint64_t until = s->asked->end_sequence;
    struct wal_recovery_options options = {
        .directory = directory,
        .start = start,
        .previous_checksum = previous,
        .replay = replay,
        .owner = s,
        .is_read_only = true,
    };
    struct wal_recovery found;
    int rc = wal_recover(s->reactor, &options, &found, s->asked->why, RESTORE_WHY_BYTES);
    if (rc && s->error)
        return tell_unwritten(s, s->error);
    if (rc)
        return found.is_of_another_past ? tell_another_past(s, directory) : rc;
    if (found.damaged_count || found.last_sequence < until)
        rc = tell_gap(s, directory, &found);
    wal_recovery_deinit(s->reactor, &found);
    return rc;
}

static int replay_logs(struct restoring *s)
{
    const struct engine_restore *a = s->asked;
    struct wal_start start = {.segment = a->start_segment, .sequence = a->start_sequence};
    int rc = 0;
    if (a->end_sequence >= a->start_sequence)
        rc = replay_log(s, a->log, start, 0);
    start = (struct wal_start){.segment = a->end_segment, .sequence = a->end_sequence + 1};
    s->is_of_archive = true;
    if (rc == 0 && a->archive)
        rc = replay_log(s, a->archive, start, a->end_checksum);
    if (rc)
        return rc;
    rc = await_puts(s);
    return rc ? tell_unwritten(s, rc) : 0;
}

static int open_engine(struct restoring *s, const struct engine_options *options)
{
    int rc = engine_open(s->reactor, options, &s->engine, s->asked->why, RESTORE_WHY_BYTES);
    if (rc || s->loss[0] == '\0')
        return rc;
    engine_close(s->engine);
    memcpy(s->asked->why, s->loss, sizeof s->loss);
    return TORC_E_CORRUPT;
}

int engine_restore(struct reactor *r, struct engine_restore *restore)
{
    struct restoring s = {.reactor = r, .asked = restore};
    struct engine_options options = *restore->options;
    options.on_durable = on_durable;
    options.owner = &s;
    options.on_room = NULL;
    options.on_event = on_event;
    restore->why[0] = '\0';
    restore->records = restore->clock_reached = 0;
    restore->is_reached = false;
    int rc = make_manifest(&s);
    if (rc == 0)
        rc = open_engine(&s, &options);
    if (rc)
        return rc;
    rc = replay_logs(&s);
    engine_close(s.engine);
    if (rc == 0)
        rc = s.error;
    return rc && restore->why[0] == '\0' ? tell_unwritten(&s, rc) : rc;
}
