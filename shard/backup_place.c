/* backup_place.c - which directories a client may have backups made in; see backup_place.h.
 *
 * A backup makes directories and files and removes unfinished ones, with the rights of the server. So the
 * operator says in the server's configuration where that may be. */
#include "shard/backup_place.h"

#include "shard/shard.h"

#include <errno.h>
#include <stdio.h>

bool backup_place_is_plain(const char *path)
{
    while (path[0] == '/') {
        const char *name = path + 1;
        size_t bytes = strcspn(name, "/");
        bool is_dots = (bytes == 1 && name[0] == '.') || (bytes == 2 && name[0] == '.' && name[1] == '.');
        if (bytes == 0 || is_dots)
            return false;
        path = name + bytes;
        if (path[0] == '\0')
            return true;
    }
    return false;
}

bool backup_place_is_below(const char *path, const char *above)
{
    size_t bytes = strlen(above);
    return strncmp(path, above, bytes) == 0 && (path[bytes] == '/' || path[bytes] == '\0');
}

static int refuse(struct admin_job *job, int code, const char *text)
{
    snprintf(job->why, sizeof job->why, "%.200s: %s", job->argument, text);
    return code;
}

static int check_names(struct admin_job *job)
{
    const struct options *o = job->shard->options;
    if (o->backup_root[0] == '\0')
        return refuse(
            job, TORC_E_CONFIGURATION,
            "no place for backups is configured; start the server with --backup-root DIR, and name DIR "
            "or a directory below it");
    if (!backup_place_is_plain(o->backup_root))
        return refuse(
            job, TORC_E_CONFIGURATION,
            "the server's backup-root has to be named from the root, without '.', '..' and a '/' too many");
    if (!backup_place_is_plain(job->argument))
        return refuse(
            job, TORC_E_MALFORMED,
            "a backup goes to a directory of the server's machine, named from the root, without '.', "
            "'..' and '//'");
    if (!backup_place_is_below(job->argument, o->backup_root)) {
        snprintf(job->why, sizeof job->why,
                 "%.200s does not lie below %.200s, the server's backup-root; name a directory that does",
                 job->argument, o->backup_root);
        return TORC_E_CONFIGURATION;
    }
    return 0;
}

/* Waits. Whatever leads there: each directory on the way is looked into. */
static int check_ways(struct admin_job *job, char path[DATADIR_PATH_MAX])
{
    struct reactor *r = job->shard->reactor;
    const char *at = job->argument;
    while (at[0]) {
        at += 1 + strcspn(at + 1, "/");
        snprintf(path, DATADIR_PATH_MAX, "%.*s/IDENTITY", (int)(at - job->argument), job->argument);
        int rc = file_probe(r, path);
        if (rc == 0)
            return refuse(job, TORC_E_CONFIGURATION,
                          "backups cannot be made in a data directory; name another directory");
        if (rc != -ENOENT && rc != -EACCES)
            return refuse(job, rc, error_sentence(rc));
    }
    return 0;
}

int backup_place_check(struct admin_job *job)
{
    struct shard *s = job->shard;
    size_t bytes = strlen(job->argument);
    if (bytes > 1 && job->argument[bytes - 1] == '/')
        job->argument[bytes - 1] = '\0';
    int rc = check_names(job);
    if (rc)
        return rc;
    if (backup_place_is_plain(s->options->data) && backup_place_is_below(s->options->data, job->argument))
        return refuse(job, TORC_E_CONFIGURATION,
                      "the data directory lies in it; backups want a directory of their own");
    char *path = reactor_alloc(s->reactor, DATADIR_PATH_MAX);
    if (!path)
        return TORC_E_NO_MEMORY;
    rc = check_ways(job, path);
    reactor_free(s->reactor, path);
    return rc;
}
