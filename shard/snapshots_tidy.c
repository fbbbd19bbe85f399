/* snapshots_tidy.c - removes what a crash has left of snapshots and backups; see admin.h.
 *
 *   start -> (task) DIR/snapshots: .backup, and directories without a CATALOGUE -> jobs may begin
 *
 * Such a directory is one that was being made or deleted; it counts for nothing and keeps tables and value
 * logs from giving their space back. One that holds anything but what a snapshot is made of is left alone:
 * it is somebody else's. */
#include "shard/admin.h"
#include "shard/shard.h"

#include <errno.h>
#include <stdio.h>

enum { PAUSE_NS_PER_MIB = 2 * 1000 * 1000 };

static int is_foreign(void *context, const char *name)
{
    (void)context;
    return strncmp(name, "shard-", 6) != 0 && strcmp(name, "CATALOGUE.new") != 0;
}

bool snapshots_is_leftover(struct shard *s, const char *directory, const char *name)
{
    char catalogue[DATADIR_PATH_MAX];
    if (strcmp(name, ".backup") == 0)
        return true;
    int length = snprintf(catalogue, sizeof catalogue, "%s/CATALOGUE", directory);
    if (!snapshots_is_name(name) || length < 0 || (size_t)length >= sizeof catalogue)
        return false;
    int rc = file_probe(s->reactor, catalogue);
    return rc == -ENOENT && directory_list(s->reactor, directory, is_foreign, NULL) == 0;
}

/* What only a snapshot still holds is as much as was merged since: it goes at 512 MiB a second. */
static bool pause_after(void *context, uint64_t gone, uint64_t left)
{
    struct shard *s = context;
    (void)left;
    if (gone > 0 && !s->admin.is_stopping)
        task_sleep(s->reactor, gone * PAUSE_NS_PER_MIB >> 20);
    return !s->admin.is_stopping;
}

int snapshots_remove_files(struct shard *s, const char *directory)
{
    const struct removal_pace pace = {s->sizes.removal_step_bytes, pause_after, s};
    return directory_remove_all(s->reactor, directory, &pace);
}

static int look_at(void *context, const char *name)
{
    struct shard *s = context;
    char directory[DATADIR_PATH_MAX];
    if (s->admin.is_stopping)
        return TORC_E_CANCELLED; /* the next start goes on */
    int length = snprintf(directory, sizeof directory, "%s/snapshots/%s", s->options->data, name);
    if (length < 0 || (size_t)length >= sizeof directory || !snapshots_is_leftover(s, directory, name))
        return 0;
    int rc = snapshots_remove_files(s, directory);
    if (rc)
        log_write(&s->log, LOG_LEVEL_WARN, "snapshot_leftover",
                  "what a crash has left of a snapshot could not be removed; the next start tries again",
                  log_text("directory", directory), log_error(rc));
    else
        log_write(&s->log, LOG_LEVEL_INFO, "snapshot_leftover_removed", NULL,
                  log_text("directory", directory));
    return 0;
}

static void tidy_task(struct reactor *r, void *context)
{
    struct shard *s = context;
    char directory[DATADIR_PATH_MAX];
    task_lower(r);
    snprintf(directory, sizeof directory, "%s/snapshots", s->options->data);
    int rc = directory_list(r, directory, look_at, s);
    if (rc && rc != -ENOENT && rc != TORC_E_CANCELLED)
        log_write(&s->log, LOG_LEVEL_WARN, "snapshot_leftover",
                  "the snapshots cannot be listed; what a crash has left of them stays",
                  log_text("directory", directory), log_error(rc));
    s->admin.is_tidying = false;
    s->admin.task_count--;
    event_set(r, &s->admin.tidied, 0);
}

void snapshots_tidy_start(struct shard *s)
{
    ASSERT(s->core == 0 && !s->admin.is_tidying);
    event_init(&s->admin.tidied);
    int rc = task_spawn(s->reactor, tidy_task, s);
    if (rc) {
        log_write(&s->log, LOG_LEVEL_WARN, "snapshot_leftover",
                  "what a crash has left of snapshots is not looked for", log_error(rc));
        return;
    }
    s->admin.is_tidying = true;
    s->admin.task_count++;
}

void snapshots_tidy_await(struct shard *s)
{
    if (!s->admin.is_tidying)
        return;
    int rc = event_wait(s->reactor, &s->admin.tidied, EVENT_FOREVER);
    ASSERT(rc == 0 && !s->admin.is_tidying);
}
