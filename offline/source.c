/* source.c - the backup or snapshot that a restore takes; see source.h. */
#include "offline/source.h"

#include "engine/copy.h"
#include "offline/offline.h"
#include "offline/run.h"
#include "shard/hlc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *source_time(uint64_t clock, char to[SOURCE_TIME_BYTES])
{
    struct tm parts;
    uint64_t ms = clock >> HLC_COUNTER_BITS;
    time_t seconds = (time_t)(ms / 1000);
    char date[32] = "?";
    if (gmtime_r(&seconds, &parts))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(to, SOURCE_TIME_BYTES, "%s.%03uZ", date, (unsigned)(ms % 1000));
    return to;
}

int source_complain(const char *what, int error)
{
    bool is_damage = error_is_loss(error);
    offline_complain(is_damage ? "%s: %s; take another backup" : "%s: %s", what, error_sentence(error));
    return is_damage ? OFFLINE_DAMAGED : OFFLINE_FAILED;
}

/* ---- choosing ---- */

struct choice {
    struct reactor *reactor;
    const char *path;
    uint64_t clock;
    char newest[64]; /* that is whole and not after the clock; empty: none */
    uint64_t oldest; /* of all; 0: there is none */
};

static int join(char to[DATADIR_PATH_MAX], const char *directory, const char *name, const char *file)
{
    int length = snprintf(to, DATADIR_PATH_MAX, "%s/%s%s", directory, name, file);
    return length > 0 && length < DATADIR_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Returns: an error that leaves open whether it is. */
static int is_there(struct reactor *r, const char *path, bool *out)
{
    int rc = file_probe(r, path);
    *out = rc == 0;
    return rc == -ENOENT || rc == -ENOTDIR ? 0 : rc;
}

/* Names come in byte order, which is that of their clocks. */
static int look_at(void *context, const char *name)
{
    struct choice *c = context;
    char path[DATADIR_PATH_MAX];
    uint64_t clock;
    bool is_whole;
    if (strlen(name) != 7 + 16 || sscanf(name, "backup-%16" SCNx64, &clock) != 1 ||
        join(path, c->path, name, "/CATALOGUE") != 0)
        return 0;
    int rc = is_there(c->reactor, path, &is_whole);
    if (rc && clock <= c->clock) /* not passed over in silence for an older one */
        return source_complain(path, rc);
    if (is_whole && c->oldest == 0)
        c->oldest = clock;
    if (is_whole && clock <= c->clock)
        snprintf(c->newest, sizeof c->newest, "%s", name);
    return 0;
}

static int choose(struct reactor *r, const char *path, uint64_t clock, char to[DATADIR_PATH_MAX])
{
    struct choice c = {.reactor = r, .path = path, .clock = clock};
    char text[SOURCE_TIME_BYTES];
    bool is_one = false;
    int rc = join(to, path, "CATALOGUE", "");
    if (rc == 0)
        rc = is_there(r, to, &is_one);
    if (rc)
        return source_complain(to, rc);
    if (is_one)
        return snprintf(to, DATADIR_PATH_MAX, "%s", path) < DATADIR_PATH_MAX ? 0 : OFFLINE_FAILED;
    rc = directory_list(r, path, look_at, &c);
    if (rc > 0)
        return rc;
    if (rc)
        return offline_complain("%s: %s", path, error_sentence(rc));
    if (c.newest[0])
        return join(to, path, c.newest, "") == 0 ? 0 : offline_complain("%s: the path is too long", path);
    if (c.oldest)
        return offline_complain("%s has no backup that is not after the time asked for; the oldest is of %s",
                                path, source_time(c.oldest, text));
    return offline_complain("%s holds no whole backup or snapshot; name the directory that `torc backup` was "
                            "given, or a snapshot's",
                            path);
}

int source_open(struct reactor *r, const char *path, uint64_t clock, struct source *out)
{
    char file[DATADIR_PATH_MAX], text[SOURCE_TIME_BYTES];
    int rc = choose(r, path, clock, out->directory);
    if (rc)
        return rc;
    rc = join(file, out->directory, "CATALOGUE", "");
    if (rc == 0)
        rc = catalogue_read(r, file, &out->catalogue);
    if (rc)
        return source_complain(file, rc);
    if (out->catalogue.clock <= clock)
        return 0;
    offline_complain("%s is of %s, after the time asked for", path, source_time(out->catalogue.clock, text));
    source_deinit(r, out);
    return OFFLINE_FAILED;
}

void source_deinit(struct reactor *r, struct source *s)
{
    catalogue_deinit(r, &s->catalogue);
}

/* ---- files ---- */

int source_path(const struct source *s, const struct catalogue_file *file, char to[DATADIR_PATH_MAX])
{
    return join(to, s->directory, file->path, "");
}

int source_copy(struct reactor *r, const struct source *s, const struct catalogue_file *file, const char *to)
{
    char from[DATADIR_PATH_MAX];
    struct copied copied = {0};
    struct copy_options options = {.from = from, .to = to, .class = DISK_BACKUP};
    int rc = source_path(s, file, from);
    if (rc == 0)
        rc = copy_file(r, &options, &copied);
    if (rc && copied.is_of_target)
        return offline_complain("%s: %s; make room there, or name another directory", to, error_sentence(rc));
    if (rc)
        return source_complain(from, rc);
    bool is_known = file->checksum != 0;
    if (copied.bytes == file->bytes && (!is_known || copied.checksum == file->checksum))
        return 0;
    offline_complain("%s is not what was written: %" PRIu64 " bytes with checksum %016" PRIx64
                     ", not %" PRIu64 " with %016" PRIx64 "; take another backup",
                     from, copied.bytes, copied.checksum, file->bytes, file->checksum);
    return OFFLINE_DAMAGED;
}
