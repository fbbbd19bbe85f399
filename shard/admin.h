/* admin.h - work that an operator asks a node for: snapshots and backups, over all its cores.
 *
 *   torc ----ADMIN "snapshot-create" NAME----> core 0: a job, its number is the answer
 *                                                |      BEGIN, WRITE, COPY, END of each core's part
 *                                                +----------------------------------> cores
 *   torc ----ADMIN "job" N-------------------> what has become of it
 *
 * One job at a time; what became of the last few is kept, for others may start jobs before who started one
 * looks again. A job that a crash or the end of the node cuts short leaves nothing that counts: each of its
 * outcomes is made whole by a file that is written last. */
#ifndef SHARD_ADMIN_H
#define SHARD_ADMIN_H

#include "engine/snapshot.h"
#include "shard/catalogue.h"
#include "shard/request.h"
#include "shard/serve/json.h"

struct shard;

enum {
    ADMIN_ARGUMENT_BYTES = 1024,
    ADMIN_WHY_BYTES = 512,
    ADMIN_JOBS_MAX = 9, /* the one under way, and what became of eight before it */
    ADMIN_SAID_BYTES_KEPT =
        4 << 10, /* a longer result, of a list, is kept while its job is the last but one */
};

enum admin_step {
    ADMIN_BEGIN, /* hold what is there now; answers the highest version clock */
    ADMIN_WRITE, /* into `path`; answers the lines of the catalogue */
    ADMIN_COPY,  /* the snapshot at `path` into a backup; answers the lines of the catalogue */
    ADMIN_END,   /* let go of what BEGIN held */
};

/* What core 0 asks of a core, its own too. */
struct admin_part {
    struct shard *shard; /* of the core that does it */
    enum admin_step step;
    unsigned core;
    int result;
    uint64_t clock;              /* BEGIN answers it */
    uint64_t moment;             /* WRITE: new versions of the core are above it from then on */
    char path[DATADIR_PATH_MAX]; /* of the snapshot */
    struct catalogue_text lines; /* of the heap that made it; core 0 frees it */
    uint64_t files;
    uint64_t bytes;
    struct engine_snapshot_facts facts; /* WRITE answers, COPY wants them */
    const char *target;                 /* COPY: where the backups are; lives until the job ends */
    const char *backup;                 /* its name below that */
    uint64_t new_files;                 /* COPY: that were not there before */
    uint64_t new_bytes;
    char why[ADMIN_WHY_BYTES]; /* COPY, after an error; empty: nothing to add to it */
};

struct admin {
    /* of every core */
    struct engine_snapshot *snapshot;
    unsigned task_count;
    bool is_stopping; /* the node ends */
    /* of core 0 */
    struct admin_job *jobs[ADMIN_JOBS_MAX]; /* the oldest first; of the last one a task may be under way */
    unsigned job_count;
    uint64_t job_number; /* of the last one */
    unsigned parts_missing;
    struct event parts_back;
    struct admin_part *parts; /* one a core, while a job runs */
    bool is_tidying;          /* what a crash has left of snapshots is being removed; jobs wait */
    struct event tidied;
};

/* Takes a request of FRAME_ADMIN, on any core. */
void admin_start(struct shard *s, const struct reply *reply, const struct frame *frame,
                 const struct arrival *arrival);

/* MESSAGE_ADMIN and MESSAGE_ADMIN_DONE */
void admin_run_part(struct shard *s, struct admin_part *part);
void admin_part_done(struct shard *s, struct admin_part *part);

/* snapshots_tidy.c: removes what a crash has left of snapshots and backups, in a task, once, on core 0.
 * Errors are told, and the next start tries again. */
void snapshots_tidy_start(struct shard *s);
void snapshots_tidy_await(struct shard *s); /* Waits: a job begins when that is over */

void admin_stop(struct shard *s); /* the node ends: jobs are cut short */
static inline bool admin_is_quiet(const struct admin *a)
{
    return a->task_count == 0 && !a->snapshot;
}
void admin_deinit(struct shard *s); /* Requires: quiet */

/* ---- for the jobs themselves: snapshots.c ---- */

struct admin_job {
    struct shard *shard;
    uint64_t number;
    int result; /* when it is over */
    bool is_over;
    char command[32];
    char argument[ADMIN_ARGUMENT_BYTES];
    char why[ADMIN_WHY_BYTES]; /* of a failure: what, and what to do */
    struct json said;          /* one object: what it found or made */
};

/* Waits: until every core has done its part. Returns: 0 or the first error. */
MUST_CHECK int admin_ask_all(struct admin_job *job, enum admin_step step, const char *path);

/* Waits. Makes a snapshot in `directory`, below the data directory's snapshots; *clock is its moment. After
 * an error nothing is left of it. */
MUST_CHECK int snapshots_make(struct admin_job *job, const char *directory, uint64_t *clock);
/* Can a snapshot have that name? */
bool snapshots_is_name(const char *name);
/* Waits. Is it a snapshot's directory, and no snapshot? What cannot be looked into is none of that. */
bool snapshots_is_leftover(struct shard *s, const char *directory, const char *name);
/* Waits: in steps, so that the disk has time for others (struct removal_pace), at once when the server stops.
 * Returns: as directory_remove_all. */
MUST_CHECK int snapshots_remove_files(struct shard *s, const char *directory);
/* Waits. Removes one, also one that was cut short. */
MUST_CHECK int snapshots_remove(struct admin_job *job, const char *directory);

/* Waits. Makes what is in `directory` whole: the parts' lines become its catalogue. */
MUST_CHECK int snapshots_write_catalogue(struct admin_job *job, const char *directory, uint64_t clock);

/* Each runs as a task on core 0 and sets job->why when it fails. */
int snapshots_create(struct admin_job *job);
int snapshots_list(struct admin_job *job);
int snapshots_delete(struct admin_job *job);
int backup_create(struct admin_job *job); /* backup.c */

#endif
