/* jobs.h - requests that must wait for the disk, each run by a task.
 *
 * A get whose block is not in memory and a page of a scan are written down as a job, with a copy of what
 * they need of their frame, and run by one of a bounded number of tasks; the others queue. A queue that is
 * full refuses. A job whose deadline passes is answered TIMEOUT: one in the queue goes, one that runs stays
 * with its task until the disk has answered, and what it says then is dropped.
 *
 * Each may come back with the largest value, so no more run at once than memory has room for, and none
 * begins while the answers of those before have not been sent (shard/memory.h). Parts of batches and of
 * ordered pages have a queue of their own: a few go on where others wait, for what waits for them holds
 * memory.
 *
 *   jobs_add --> queue --a task is free--> running --answered--> (gone)
 *                  |                          |                    ^
 *                  |  deadline: answered      |  deadline: answered, waits for the disk
 *                  +-----> (gone)             +--------------------+ */
#ifndef SHARD_JOBS_H
#define SHARD_JOBS_H

#include "reactor/base/list.h"
#include "shard/buffer_pool.h"
#include "shard/request.h"

struct shard;

enum {
    JOB_TASKS_MAX = 128, /* the depth of reads that one core keeps at the disk */
    JOB_QUEUE_MAX = 16384,
};

struct job {
    struct list link;    /* in jobs.queue or jobs.parts */
    struct list waiting; /* in jobs.waiting */
    struct reply reply;
    uint8_t flags; /* of the frame */
    bool is_running;
    bool is_answered;
    uint32_t limit;        /* SCAN: entries */
    uint64_t deadline_ns;  /* 0: none */
    struct engine_key key; /* its key points to bytes[] */
    uint32_t key_bytes;
    uint32_t value_bytes; /* SCAN */
    uint32_t capacity;
    uint8_t bytes[]; /* key, then value */
};

struct jobs {
    struct list queue;
    struct list parts;       /* the same, of those that a batch or an ordered page waits for */
    struct buffer_pool free; /* with room for JOB_BYTES_KEPT */
    struct list waiting;     /* those with a deadline and without an answer */
    uint64_t deadline_ns;    /* none of theirs is before it; DEADLINE_NONE: none */
    uint32_t waiting_count;
    uint32_t sweep_left;  /* of the sweep under way: those of `waiting` it has still to look at */
    uint32_t queue_count; /* of both */
    uint32_t task_count;
    uint64_t bytes;    /* of those that are written down, and run */
    bool is_part_next; /* they take turns */
};

void jobs_init(struct shard *s);
void jobs_deinit(struct shard *s); /* Requires: none is left */
/* Takes a request; answers it with an error when there is no room. */
void jobs_add(struct shard *s, const struct request *request);

/* Begins queued ones where memory has room for their answers again; in the turn hook. */
void jobs_resume(struct shard *s);

/* The answer of a job, unless it has one. Nothing of it is to be waited for afterwards. */
void job_reply(struct shard *s, struct job *job, const struct answer *answer);

/* Answers some of those whose deadline has passed. Returns: it has not looked at all of them. */
MUST_CHECK bool jobs_expire(struct shard *s, uint64_t now_ns);

#endif
