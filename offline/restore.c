/* restore.c - `torc restore`: a data directory made of a backup and of the archive of the log, up to a
 * moment.
 *
 *   NEWDIR.restoring: identity -> files, compared with the catalogue -> each shard's logs -> renamed to
 * NEWDIR
 *
 * So NEWDIR is there when all of it is. Nothing that was there before is changed. */
#include "offline/restore.h"

#include "offline/offline.h"
#include "offline/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- a shard ---- */

struct engine_options restore_engine_options(const struct catalogue *c, const char *data, unsigned shard,
                                             char directory[DATADIR_PATH_MAX])
{
    datadir_shard_path(directory, DATADIR_PATH_MAX, data, RESTORE_LAYOUT, shard);
    return (struct engine_options){
        .directory = directory,
        .vnode_bits = (uint8_t)c->identity.vnode_bits,
        .vnode_first = c->shards[shard].vnode_first,
        .vnode_count = c->shards[shard].vnode_count,
    };
}

static bool is_of_log(const struct catalogue_file *f)
{
    return strncmp(f->name, "wal-", 4) == 0;
}

/* Tables and value logs are copied; manifest and log are read where they are, and compared first. */
static int take_files(struct reactor *r, const struct restore *restore, unsigned shard, const char *directory)
{
    const struct catalogue *c = &restore->source->catalogue;
    char to[DATADIR_PATH_MAX];
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < c->file_count; i++) {
        const struct catalogue_file *f = &c->files[i];
        if (f->shard != shard)
            continue;
        bool is_read_there = is_of_log(f) || strcmp(f->name, "MANIFEST-A") == 0;
        int length = snprintf(to, sizeof to, "%s/%s", directory, f->name);
        if (length < 0 || (size_t)length >= sizeof to)
            return offline_complain("%s: the path is too long", directory);
        rc = source_copy(r, restore->source, f, is_read_there ? NULL : to);
    }
    return rc;
}

static int tell_no_archive(const struct restore *restore, const char *directory, int code)
{
    char moment[SOURCE_TIME_BYTES];
    const char *of = source_time(restore->source->catalogue.clock, moment);
    return offline_complain("%s: %s: the archive of the log is not there, and the backup is of %s; name the "
                            "archive with --archive, or restore the backup alone, without --to and --archive",
                            directory, error_sentence(code), of);
}

/* The archive of this shard, when it has to go on from the backup: it has to be there, and a file of it that
 * is missing is found when it is read. A shard to which nothing was ever written has none. */
static int find_archive(struct reactor *r, const struct restore *restore, unsigned shard,
                        char directory[DATADIR_PATH_MAX])
{
    const struct catalogue_shard *s = &restore->source->catalogue.shards[shard];
    directory[0] = '\0';
    if (!restore->archive || restore->clock <= restore->source->catalogue.clock)
        return 0;
    int length = snprintf(directory, DATADIR_PATH_MAX, "%s/log", restore->archive);
    if (length < 0 || length >= DATADIR_PATH_MAX - 32)
        return offline_complain("%s: the path is too long", restore->archive);
    int rc = directory_has_names(r, directory);
    if (rc < 0)
        return tell_no_archive(restore, directory, rc);
    snprintf(directory + length, (size_t)(DATADIR_PATH_MAX - length), "/%016" PRIx64, s->log_history);
    rc = directory_has_names(r, directory);
    if (rc >= 0)
        return 0;
    if (rc != -ENOENT || s->end_segment != 0)
        return tell_no_archive(restore, directory, rc);
    directory[0] = '\0';
    return 0;
}

static int restore_shard(struct reactor *r, struct restore *restore, unsigned shard)
{
    const struct catalogue_shard *s = &restore->source->catalogue.shards[shard];
    enum { PATHS = 4 };
    char *paths = reactor_alloc(r, (size_t)PATHS * DATADIR_PATH_MAX);
    if (!paths)
        return offline_complain("%s", error_sentence(TORC_E_NO_MEMORY));
    char *directory = paths, *manifest = paths + DATADIR_PATH_MAX, *log = manifest + DATADIR_PATH_MAX;
    char *archive = log + DATADIR_PATH_MAX;
    struct engine_options options =
        restore_engine_options(&restore->source->catalogue, restore->data, shard, directory);
    snprintf(log, DATADIR_PATH_MAX, "%.4000s/shard-%03u", restore->source->directory, shard);
    snprintf(manifest, DATADIR_PATH_MAX, "%.4000s/shard-%03u/MANIFEST-A", restore->source->directory, shard);
    struct engine_restore one = {
        .options = &options,
        .manifest = manifest,
        .log = log,
        .start_segment = s->start_segment,
        .start_sequence = s->start_sequence,
        .end_segment = s->end_segment,
        .end_sequence = s->end_sequence,
        .end_checksum = s->end_checksum,
        .clock_max = restore->clock,
    };
    int rc = find_archive(r, restore, shard, archive);
    one.archive = rc == 0 && archive[0] ? archive : NULL;
    if (rc == 0)
        rc = take_files(r, restore, shard, directory);
    if (rc == 0) {
        rc = engine_restore(r, &one);
        bool is_damage = rc == TORC_E_CORRUPT || rc == -ENOENT; /* of the source: what is made is new */
        if (rc) {
            offline_complain("shard %u: %s", shard, one.why);
            rc = is_damage ? OFFLINE_DAMAGED : OFFLINE_FAILED;
        }
    }
    restore->records += one.records;
    restore->unreached += !one.is_reached;
    if (one.clock_reached > restore->clock_reached)
        restore->clock_reached = one.clock_reached;
    reactor_free(r, paths);
    return rc;
}

int restore_run(struct reactor *r, struct restore *restore)
{
    const struct catalogue *c = &restore->source->catalogue;
    struct datadir_identity identity = c->identity;
    char why[RESTORE_WHY_BYTES] = "";
    int rc = datadir_open(r, restore->data, &identity, why, sizeof why);
    if (rc)
        return offline_complain("%s", why);
    ASSERT(identity.layout == RESTORE_LAYOUT);
    for (unsigned shard = 0; rc == 0 && shard < c->identity.cores; shard++)
        rc = restore_shard(r, restore, shard);
    return rc;
}

/* ---- the command ---- */

static void remove_work(struct reactor *r, const char *work)
{
    int rc = directory_remove_all(r, work, NULL);
    if (rc)
        offline_complain("%s could not be removed: %s", work, error_sentence(rc));
}

/* What is made can get its name: known before hours of copying. Not so when that is a mount point or a link.
 * An empty directory of that name is replaced by another. */
static int try_name(struct reactor *r, const char *data, const char *work, bool is_there)
{
    char probe[DATADIR_PATH_MAX + 8];
    snprintf(probe, sizeof probe, "%s/probe", work);
    int rc = directory_create(r, probe);
    if (rc == 0)
        rc = file_rename(r, probe, data);
    if (rc == 0 && !is_there)
        rc = directory_remove(r, data);
    return rc;
}

/* Makes `work`, which is ours alone then. Nothing may be there: an empty directory `data` at most. */
static int claim(struct reactor *r, const char *data, const char *work)
{
    int rc = directory_has_names(r, data);
    bool is_there = rc == 0;
    if (rc == 1)
        return offline_complain("%s is there already, and a restore changes nothing that is there; name a "
                                "directory that is not",
                                data);
    if (rc == 0 || rc == -ENOENT)
        rc = directory_create(r, work);
    if (rc == -EEXIST)
        return offline_complain(
            "%s is there: a restore is under way, or was cut short; remove it when none is", work);
    if (rc)
        return offline_complain("%s: %s", data, error_sentence(rc));
    rc = try_name(r, data, work, is_there);
    if (rc == 0)
        return 0;
    offline_complain("%s: %s; name a directory that is not there, below a mount point and not itself one",
                     data, error_sentence(rc));
    remove_work(r, work);
    return OFFLINE_FAILED;
}

static void tell(const struct restore *restore, const char *data)
{
    char moment[SOURCE_TIME_BYTES], backup[SOURCE_TIME_BYTES], last[SOURCE_TIME_BYTES];
    const struct catalogue *c = &restore->source->catalogue;
    bool is_to_a_moment = restore->clock != c->clock && restore->clock != UINT64_MAX;
    uint64_t reached = restore->clock_reached > c->clock ? restore->clock_reached : c->clock;
    printf("%s is as of %s: the backup of %s and %" PRIu64 " records of the log\n", data,
           source_time(restore->clock == UINT64_MAX ? reached : restore->clock, moment),
           source_time(c->clock, backup), restore->records);
    if (is_to_a_moment && restore->unreached)
        printf("of %u of %u shards the archive ends before that time; the last record of all is of %s\n",
               restore->unreached, c->identity.cores, source_time(reached, last));
    printf("start it with: torcd --data %s --node-id %u --cores %u --vnode-bits %u\n", data, c->identity.node,
           c->identity.cores, c->identity.vnode_bits);
}

static int restore_from(struct reactor *r, const struct offline_restore *o, const struct source *source,
                        const char *work)
{
    struct restore restore = {
        .source = source,
        .archive = o->archive ? o->archive : o->backup,
        .clock = o->clock == UINT64_MAX && !o->archive ? source->catalogue.clock : o->clock,
        .data = work,
    };
    int rc = restore_run(r, &restore);
    if (rc)
        return rc;
    rc = file_rename(r, work, o->data);
    if (rc == 0)
        rc = directory_sync_parent(r, o->data);
    if (rc)
        return offline_complain("%s: %s", o->data, error_sentence(rc));
    tell(&restore, o->data);
    return OFFLINE_GOOD;
}

static int run(struct reactor *r, void *context)
{
    const struct offline_restore *o = context;
    struct source source;
    char work[DATADIR_PATH_MAX];
    size_t bytes = strlen(o->data);
    while (bytes > 1 && o->data[bytes - 1] == '/')
        bytes--;
    int length = snprintf(work, sizeof work, "%.*s.restoring", (int)bytes, o->data);
    if (length < 0 || (size_t)length >= sizeof work)
        return offline_complain("%s: the path is too long", o->data);
    int rc = claim(r, o->data, work);
    if (rc)
        return rc;
    rc = source_open(r, o->backup, o->clock, &source);
    if (rc == 0) {
        rc = restore_from(r, o, &source, work);
        source_deinit(r, &source);
    }
    if (rc)
        remove_work(r, work);
    return rc;
}

int offline_restore(const struct offline_restore *o)
{
    struct offline_restore copy = *o;
    return offline_run(run, &copy);
}
