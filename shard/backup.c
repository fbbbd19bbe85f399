/* backup.c - `torc backup TARGET`: a snapshot, brought to another place; see admin.h and backup_files.h.
 *
 *   snapshot .backup -> each core brings its files -> names durable -> CATALOGUE -> snapshot removed
 *
 * The backup before stays as it is, whatever becomes of this one: files are added, none is changed, and a
 * directory without a catalogue is no backup. It is removed by the next one. */
#include "shard/backup_files.h"
#include "shard/backup_place.h"
#include "shard/shard.h"

#include "engine/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    BACKUPS_FORMAT = 2,
    BACKUPS_BYTES_MAX = 256,
    NAME_BYTES = 32,
    CLOCK_COUNTER_BITS = 16,
};

struct backup {
    struct admin_job *job;
    uint64_t clock;
    char name[NAME_BYTES];
    char snapshot[DATADIR_PATH_MAX];
    char path[DATADIR_PATH_MAX];
    bool is_made; /* the directory of this backup, by this job */
};

static int say(struct admin_job *job, int code, const char *what)
{
    if (job->why[0] == '\0')
        snprintf(job->why, sizeof job->why, "%.80s %.300s: %s", what, job->argument, error_sentence(code));
    return code;
}

/* Below the target. */
static const char *path_of(struct backup *b, const char *name, const char *file)
{
    snprintf(b->path, sizeof b->path, "%s/%s%s", b->job->argument, name, file);
    return b->path;
}

static int make(struct backup *b, const char *path)
{
    int rc = directory_create(b->job->shard->reactor, path);
    return rc == -EEXIST ? 0 : rc;
}

/* ---- the target ---- */

static int note_foreign(void *context, const char *name)
{
    static const char *const ours[] = {"log", "lost+found", "BACKUPS.new"};
    char *foreign = context;
    for (size_t i = 0; i < ARRAY_COUNT(ours); i++)
        if (strcmp(name, ours[i]) == 0)
            return 0;
    snprintf(foreign, NAME_BYTES, "%s", name);
    return 1;
}

static int adopt_target(struct backup *b, const char *text)
{
    struct admin_job *job = b->job;
    struct reactor *r = job->shard->reactor;
    char foreign[NAME_BYTES] = "";
    int rc = directory_list(r, job->argument, note_foreign, foreign);
    if (rc == 1) {
        snprintf(job->why, sizeof job->why,
                 "%.300s is not empty (%s) and holds no backups of torc; name another directory",
                 job->argument, foreign);
        return -EEXIST;
    }
    if (rc == 0)
        rc = copy_bytes_to_file(r, slice_of_string(text), path_of(b, "BACKUPS", ""));
    return rc ? say(job, rc, "cannot write to") : 0;
}

/* Waits. What tells this data directory from every other, made at the first backup. */
static int data_id(struct backup *b, uint64_t *id)
{
    struct admin_job *job = b->job;
    struct reactor *r = job->shard->reactor;
    char text[32];
    uint8_t *found;
    size_t bytes;
    snprintf(b->path, sizeof b->path, "%s/snapshots", job->shard->options->data);
    int rc = make(b, b->path);
    if (rc == 0)
        rc = directory_sync_parent(r, b->path);
    if (rc)
        return rc;
    snprintf(b->path, sizeof b->path, "%s/snapshots/.id", job->shard->options->data);
    rc = copy_file_to_bytes(r, b->path, sizeof text, &found, &bytes);
    if (rc == 0) {
        rc = sscanf((const char *)found, "%16" SCNx64, id) == 1 ? 0 : TORC_E_CORRUPT;
        reactor_free(r, found);
        return rc;
    }
    if (rc != -ENOENT)
        return rc;
    *id = reactor_random(r);
    snprintf(text, sizeof text, "%016" PRIx64 "\n", *id);
    return copy_bytes_to_file(r, slice_of_string(text), b->path);
}

/* The file that says whose backups they are is there and right, or nothing else is. */
static int check_target(struct backup *b)
{
    struct admin_job *job = b->job;
    struct reactor *r = job->shard->reactor;
    char text[BACKUPS_BYTES_MAX];
    uint8_t *found;
    size_t bytes;
    uint64_t id;
    int rc = data_id(b, &id);
    if (rc)
        return say(job, rc, "cannot read or write DATA/snapshots/.id for a backup to");
    snprintf(text, sizeof text, "torc backups\nformat %d\nnode %u\nvnode-bits %u\ndata %016" PRIx64 "\n",
             BACKUPS_FORMAT, job->shard->options->node_id, job->shard->vnode_bits, id);
    rc = copy_file_to_bytes(r, path_of(b, "BACKUPS", ""), BACKUPS_BYTES_MAX, &found, &bytes);
    if (rc == -ENOENT)
        return adopt_target(b, text);
    if (rc)
        return say(job, rc, "cannot read BACKUPS in");
    bool is_ours = strcmp((const char *)found, text) == 0;
    reactor_free(r, found);
    if (is_ours)
        return 0;
    snprintf(job->why, sizeof job->why,
             "%.300s has the backups of another data directory or of another format; name another directory",
             job->argument);
    return TORC_E_CONFIGURATION;
}

static bool is_backup_name(const char *name)
{
    char again[NAME_BYTES];
    uint64_t clock;
    if (sscanf(name, "backup-%16" SCNx64, &clock) != 1)
        return false;
    snprintf(again, sizeof again, "backup-%016" PRIx64, clock);
    return strcmp(name, again) == 0;
}

/* A backup that was cut short. */
static int remove_unfinished(void *context, const char *name)
{
    struct backup *b = context;
    struct reactor *r = b->job->shard->reactor;
    if (!is_backup_name(name))
        return 0;
    if (file_probe(r, path_of(b, name, "/CATALOGUE")) != -ENOENT)
        return 0; /* one that is damaged is left for people to look at */
    return directory_remove_all(r, path_of(b, name, ""), NULL);
}

static int prepare_target(struct backup *b)
{
    struct admin_job *job = b->job;
    struct reactor *r = job->shard->reactor;
    int rc = backup_place_check(job);
    if (rc)
        return rc;
    rc = make(b, job->argument);
    if (rc == 0)
        rc = directory_sync_parent(r, job->argument);
    if (rc == -EACCES)
        rc = 0; /* a parent that may not be read was made by others */
    if (rc)
        return say(job, rc, "cannot make the directory");
    rc = check_target(b);
    if (rc)
        return rc;
    rc = make(b, path_of(b, "files", ""));
    if (rc == 0)
        rc = directory_list(r, job->argument, remove_unfinished, b);
    return rc ? say(job, rc, "cannot write to") : 0;
}

/* ---- the backup ---- */

static int make_directories(struct backup *b)
{
    struct shard *s = b->job->shard;
    int rc = directory_create(s->reactor, path_of(b, b->name, ""));
    if (rc == -EEXIST) {
        snprintf(b->job->why, sizeof b->job->why, "%.300s has a %s already; do it again", b->job->argument,
                 b->name);
        return rc;
    }
    b->is_made = rc == 0;
    for (unsigned core = 0; rc == 0 && core < s->core_count; core++) {
        char shard[NAME_BYTES];
        snprintf(shard, sizeof shard, "/shard-%03u", core);
        rc = make(b, path_of(b, b->name, shard));
    }
    if (rc == 0)
        rc = directory_sync(s->reactor, path_of(b, b->name, ""));
    return rc ? rc : directory_sync(s->reactor, b->job->argument);
}

static int bring_all(struct backup *b)
{
    struct admin_job *job = b->job;
    struct shard *s = job->shard;
    for (unsigned core = 0; core < s->core_count; core++) {
        s->admin.parts[core].target = job->argument;
        s->admin.parts[core].backup = b->name;
    }
    int rc = make_directories(b);
    if (rc == 0)
        rc = admin_ask_all(job, ADMIN_COPY, b->snapshot);
    for (unsigned core = 0; core < s->core_count && job->why[0] == '\0'; core++)
        memcpy(job->why, s->admin.parts[core].why, sizeof job->why);
    if (rc == 0)
        rc = snapshots_write_catalogue(job, path_of(b, b->name, ""), b->clock);
    if (rc && b->is_made && directory_remove_all(s->reactor, path_of(b, b->name, ""), NULL) != 0)
        return say(job, rc, "the backup was cut short and is removed by the next one, in");
    return rc ? say(job, rc, "cannot write the backup to") : 0;
}

static void tell(struct backup *b)
{
    struct json *j = &b->job->said;
    const struct shard *s = b->job->shard;
    struct admin_part sum = {.files = 0};
    for (unsigned core = 0; core < s->core_count; core++) {
        const struct admin_part *part = &s->admin.parts[core];
        sum.files += part->files;
        sum.bytes += part->bytes;
        sum.new_files += part->new_files;
        sum.new_bytes += part->new_bytes;
    }
    json_begin_object(j, NULL);
    json_text(j, "name", b->name);
    json_number(j, "time_ms", b->clock >> CLOCK_COUNTER_BITS);
    json_number(j, "files", sum.files);
    json_number(j, "bytes", sum.bytes);
    json_number(j, "new_files", sum.new_files);
    json_number(j, "new_bytes", sum.new_bytes);
    json_end(j);
}

int backup_create(struct admin_job *job)
{
    struct reactor *r = job->shard->reactor;
    struct backup *b = reactor_alloc_zeroed(r, sizeof *b);
    if (!b)
        return TORC_E_NO_MEMORY;
    b->job = job;
    snprintf(b->snapshot, sizeof b->snapshot, "%s/snapshots/.backup", job->shard->options->data);
    int rc = prepare_target(b);
    if (rc == 0)
        rc = snapshots_remove(job, b->snapshot); /* of a backup that was cut short */
    if (rc == 0)
        rc = snapshots_make(job, b->snapshot, &b->clock);
    if (rc == 0) {
        snprintf(b->name, sizeof b->name, "backup-%016" PRIx64, b->clock);
        rc = bring_all(b);
        int removed = snapshots_remove(job, b->snapshot);
        if (rc == 0 && removed)
            snprintf(job->why, sizeof job->why,
                     "%s is whole; what it was made of, DATA/snapshots/.backup, could not be removed, which "
                     "the next backup tries again: %s",
                     b->name, error_sentence(removed));
        rc = rc ? rc : removed;
    }
    if (rc == 0)
        tell(b);
    reactor_free(r, b);
    return rc;
}
