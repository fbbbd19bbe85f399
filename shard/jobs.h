/* jobs.h - requests that must wait for the disk, each run by a task.
 *
 * A get whose block is not in memory and a page of a scan are written down as a job, with a copy of what
 * they need of their frame, and run by one of a bounded number of tasks; the others queue. A queue that is
 * full refuses, and a job whose deadline has passed before its turn is answered TIMEOUT instead of run. */
#ifndef SHARD_JOBS_H
#define SHARD_JOBS_H

#include "reactor/base/list.h"
#include "shard/request.h"

struct shard;

enum {
    JOB_TASKS_MAX = 128, /* the depth of reads that one core keeps at the disk */
    JOB_QUEUE_MAX = 16384,
};

struct job {
    struct list link;
    struct reply reply;
    uint8_t flags;         /* of the frame */
    uint32_t limit;        /* SCAN: entries */
    uint64_t deadline_ns;  /* 0: none */
    struct engine_key key; /* its key points to bytes[] */
    uint32_t key_bytes;
    uint32_t cursor_bytes;
    uint8_t bytes
        []; /* key (SCAN: prefix), then cursor; room for FRAME_KEY_BYTES_MAX and FRAME_CURSOR_BYTES_MAX */
};

struct jobs {
    struct list queue;
    struct list free;
    uint32_t queue_count;
    uint32_t free_count;
    uint32_t task_count;
};

void jobs_init(struct shard *s);
/* Takes a request; answers it with an error when there is no room. */
void jobs_add(struct shard *s, const struct request *request);

#endif
