/* snapshots.c - snapshots of a whole node, each under a name; see admin.h.
 *
 *   DIR/snapshots/NAME/shard-000 ... shard-NNN    what each core has written
 *   DIR/snapshots/NAME/CATALOGUE                  makes it whole: written last, removed first
 *
 * The moment: BEGIN makes every core hold what it has, and tells how far its clock is. The version clock of
 * the moment is above them all, and above the time of day; when all cores stamp above it (moment.h), every
 * core writes what is durable by then. So who waited for a write before he asked for another finds both, or
 * the first alone. */
#include "shard/admin.h"
#include "shard/shard.h"

#include <errno.h>
#include <stdio.h>

enum {
    BEGIN_TRIES = 100,
    BEGIN_PAUSE_NS = 10000000,
    NAME_BYTES_MAX = 64,
    FILES_A_LOOK = 256, /* at the clock */
};

static int fail(struct admin_job *job, int code, const char *what)
{
    if (job->why[0] == '\0')
        snprintf(job->why, sizeof job->why, "%.300s: %s", what, error_sentence(code));
    return code;
}

static int say(struct admin_job *job, int code, const char *text)
{
    snprintf(job->why, sizeof job->why, "%s", text);
    return code;
}

/* ---- names ---- */

bool snapshots_is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t bytes = strlen(name);
    return bytes > 0 && bytes <= NAME_BYTES_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, allowed) == bytes;
}

static int check_name(struct admin_job *job)
{
    if (snapshots_is_name(job->argument))
        return 0;
    return say(
        job, TORC_E_MALFORMED,
        "the name of a snapshot has 1 to 64 letters, digits, '.', '_' and '-', and begins with a letter "
        "or a digit");
}

static void path_of(const struct admin_job *job, const char *name, const char *file,
                    char path[DATADIR_PATH_MAX])
{
    snprintf(path, DATADIR_PATH_MAX, "%s/snapshots/%s%s", job->shard->options->data, name, file);
}

/* ---- make ---- */

static int begin_all(struct admin_job *job, const char *directory)
{
    int rc = TORC_E_OVERLOADED;
    for (unsigned i = 0; i < BEGIN_TRIES && rc == TORC_E_OVERLOADED; i++) {
        rc = admin_ask_all(job, ADMIN_BEGIN, directory);
        if (rc == 0)
            return 0;
        int ended = admin_ask_all(job, ADMIN_END, directory); /* of those that have begun */
        ASSERT(ended == 0);
        if (rc == TORC_E_OVERLOADED)
            task_sleep(job->shard->reactor, BEGIN_PAUSE_NS);
    }
    if (rc == TORC_E_UNKNOWN)
        return say(job, rc,
                   "acknowledged writes were lost to damage: restore an older backup, or start once with "
                   "--accept-loss, and try again");
    if (rc == TORC_E_CORRUPT)
        return say(job, rc,
                   "a table or a value log is damaged, which torc check names: restore an older backup, or "
                   "start once with --accept-loss, and try again");
    return rc;
}

/* The highest version of all cores, when each began. */
static uint64_t highest_clock(const struct shard *s)
{
    uint64_t highest = 0;
    for (unsigned core = 0; core < s->core_count; core++)
        highest = s->admin.parts[core].clock > highest ? s->admin.parts[core].clock : highest;
    return highest;
}

static int gather_lines(struct admin_job *job, struct catalogue_text *all)
{
    struct shard *s = job->shard;
    for (unsigned core = 0; core < s->core_count; core++) {
        const struct catalogue_text *part = &s->admin.parts[core].lines;
        int rc = catalogue_text_append(s->reactor, all, slice_of(part->data, part->bytes));
        if (rc)
            return rc;
    }
    return 0;
}

int snapshots_write_catalogue(struct admin_job *job, const char *directory, uint64_t clock)
{
    struct shard *s = job->shard;
    struct catalogue_text lines = {0};
    char path[DATADIR_PATH_MAX];
    struct datadir_identity identity = {s->options->node_id, s->core_count, s->vnode_bits, s->layout};
    snprintf(path, sizeof path, "%s/CATALOGUE", directory);
    int rc = gather_lines(job, &lines);
    if (rc == 0)
        rc = directory_sync(s->reactor,
                            directory); /* the shards' names before what says that they are there */
    if (rc == 0)
        rc = catalogue_write(s->reactor, path, &identity, clock, slice_of(lines.data, lines.bytes));
    reactor_free(s->reactor, lines.data);
    return rc;
}

static int make_directory(struct shard *s, const char *path)
{
    int rc = directory_create(s->reactor, path);
    return rc && rc != -EEXIST ? rc : directory_sync_parent(s->reactor, path);
}

int snapshots_make(struct admin_job *job, const char *directory, uint64_t *clock)
{
    struct shard *s = job->shard;
    char parent[DATADIR_PATH_MAX];
    snprintf(parent, sizeof parent, "%s/snapshots", s->options->data);
    int rc = begin_all(job, directory);
    if (rc)
        return rc;
    rc = moment_choose(s, highest_clock(s), &s->admin.is_stopping, clock);
    for (unsigned core = 0; core < s->core_count; core++)
        s->admin.parts[core].moment = *clock;
    if (rc == 0)
        rc = make_directory(s, parent);
    if (rc == 0)
        rc = make_directory(s, directory);
    if (rc == 0)
        rc = admin_ask_all(job, ADMIN_WRITE, directory);
    int ended = admin_ask_all(job, ADMIN_END, directory);
    ASSERT(ended == 0);
    if (rc == 0)
        rc = snapshots_write_catalogue(job, directory, *clock);
    if (rc && snapshots_remove_files(s, directory) != 0)
        return fail(job, rc, "the snapshot was cut short, and what is left of it could not be removed");
    return rc ? fail(job, rc, "the snapshot could not be written") : 0;
}

static void tell_made(struct admin_job *job, const char *name, uint64_t clock)
{
    struct shard *s = job->shard;
    uint64_t files = 0, bytes = 0;
    for (unsigned core = 0; core < s->core_count; core++) {
        files += s->admin.parts[core].files;
        bytes += s->admin.parts[core].bytes;
    }
    json_begin_object(&job->said, NULL);
    json_text(&job->said, "name", name);
    json_number(&job->said, "time_ms", clock >> HLC_COUNTER_BITS);
    json_number(&job->said, "files", files);
    json_number(&job->said, "bytes", bytes);
    json_end(&job->said);
}

/* Of one that was cut short. What is something else is left alone. */
static int remove_leftover(struct admin_job *job, const char *directory)
{
    struct shard *s = job->shard;
    int rc = directory_has_names(s->reactor, directory);
    if (rc == -ENOENT)
        return 0;
    if (rc == 1 && !snapshots_is_leftover(s, directory, job->argument))
        return say(job, -EEXIST,
                   "there is something of that name in DATA/snapshots that is no snapshot; move it away or "
                   "choose another name");
    if (rc >= 0)
        rc = snapshots_remove_files(s, directory);
    return rc ? fail(job, rc, directory) : 0;
}

int snapshots_create(struct admin_job *job)
{
    char directory[DATADIR_PATH_MAX], catalogue[DATADIR_PATH_MAX];
    struct catalogue found;
    uint64_t clock;
    int rc = check_name(job);
    if (rc)
        return rc;
    path_of(job, job->argument, "", directory);
    path_of(job, job->argument, "/CATALOGUE", catalogue);
    rc = catalogue_read(job->shard->reactor, catalogue, &found);
    if (rc == 0) {
        catalogue_deinit(job->shard->reactor, &found);
        return say(job, -EEXIST, "there is a snapshot of that name; delete it first or choose another name");
    }
    if (rc != -ENOENT)
        return fail(job, rc,
                    "there is a snapshot of that name whose CATALOGUE cannot be read; delete it first "
                    "or choose another name");
    rc = remove_leftover(job, directory);
    if (rc)
        return rc;
    rc = snapshots_make(job, directory, &clock);
    if (rc == 0)
        tell_made(job, job->argument, clock);
    return rc;
}

/* ---- list and delete ---- */

/* Waits. */
static void tell_listed(struct admin_job *job, const char *name, const struct catalogue *c)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < c->file_count; i++) {
        bytes += c->files[i].bytes;
        if (i % FILES_A_LOOK == 0)
            task_yield_if_due(job->shard->reactor);
    }
    json_begin_object(&job->said, NULL);
    json_text(&job->said, "name", name);
    json_number(&job->said, "time_ms", c->clock >> HLC_COUNTER_BITS);
    json_number(&job->said, "files", c->file_count);
    json_number(&job->said, "bytes", bytes);
    json_end(&job->said);
}

/* One without a catalogue, or with one that cannot be read: it can only be deleted. */
static void tell_useless(struct admin_job *job, const char *name, const char *what)
{
    json_begin_object(&job->said, NULL);
    json_text(&job->said, "name", name);
    json_text(&job->said, "useless", what);
    json_end(&job->said);
}

/* Returns: 1 when the page is full. */
static int list_one(void *context, const char *name)
{
    enum { ROOM_BYTES = 512 };
    struct admin_job *job = context;
    char path[DATADIR_PATH_MAX];
    struct catalogue c;
    if (!snapshots_is_name(name) || strcmp(name, job->argument) <= 0)
        return 0;
    if (job->said.capacity - job->said.bytes < ROOM_BYTES)
        return 1;
    path_of(job, name, "/CATALOGUE", path);
    int rc = catalogue_read(job->shard->reactor, path, &c);
    if (rc == TORC_E_NO_MEMORY)
        return rc;
    if (rc == 0) {
        tell_listed(job, name, &c);
        catalogue_deinit(job->shard->reactor, &c);
    } else if (rc != -ENOTDIR) {
        tell_useless(job, name, rc == -ENOENT ? "unfinished" : "damaged");
    }
    return 0;
}

/* A page: those after the one that is the argument, in byte order. */
int snapshots_list(struct admin_job *job)
{
    char path[DATADIR_PATH_MAX];
    snprintf(path, sizeof path, "%s/snapshots", job->shard->options->data);
    json_begin_object(&job->said, NULL);
    json_begin_array(&job->said, "snapshots");
    int rc = directory_list(job->shard->reactor, path, list_one, job);
    json_end(&job->said);
    json_number(&job->said, "more", rc == 1);
    json_end(&job->said);
    ASSERT(!job->said.is_truncated);
    return rc == -ENOENT || rc == 1 ? 0 : rc;
}

int snapshots_remove(struct admin_job *job, const char *directory)
{
    struct reactor *r = job->shard->reactor;
    char path[DATADIR_PATH_MAX];
    snprintf(path, sizeof path, "%s/CATALOGUE", directory);
    int rc = file_remove(r, path);
    rc = rc == -ENOENT ? 0 : rc;
    if (rc == 0)
        rc = directory_sync(r, directory); /* from here on it is none, whatever is left of it */
    rc = rc == -ENOENT ? 0 : rc;
    return rc ? rc : snapshots_remove_files(job->shard, directory);
}

/* Waits. A snapshot, or what is left of one whose making or deletion was cut short. */
static int find_any(struct admin_job *job, const char *directory)
{
    int rc = directory_has_names(job->shard->reactor, directory);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return say(job, -ENOENT,
                   "there is no snapshot of that name; `torc snapshot list` names those there are");
    return rc == 1 ? 0 : rc;
}

int snapshots_delete(struct admin_job *job)
{
    char directory[DATADIR_PATH_MAX];
    int rc = check_name(job);
    if (rc)
        return rc;
    path_of(job, job->argument, "", directory);
    rc = find_any(job, directory);
    if (rc == 0)
        rc = snapshots_remove(job, directory);
    if (rc == 0) {
        json_begin_object(&job->said, NULL);
        json_text(&job->said, "name", job->argument);
        json_end(&job->said);
    }
    return rc ? fail(job, rc, "the snapshot could not be deleted whole; delete it again") : 0;
}
