/* jobs.c - requests that wait for the disk; see jobs.h. */
#include "shard/jobs.h"

#include "shard/scan.h"
#include "shard/shard.h"

enum {
    JOBS_KEPT_MAX = 512,
    SCAN_LIMIT_DEFAULT = 1000,
};

void jobs_init(struct shard *s)
{
    s->jobs = (struct jobs){0};
    list_init(&s->jobs.queue);
    list_init(&s->jobs.free);
}

static struct job *acquire_job(struct shard *s)
{
    struct list *link = list_pop_front(&s->jobs.free);
    if (link) {
        s->jobs.free_count--;
        return CONTAINER_OF(link, struct job, link);
    }
    return reactor_alloc(s->reactor, sizeof(struct job) + FRAME_KEY_BYTES_MAX + FRAME_CURSOR_BYTES_MAX);
}

static void release_job(struct shard *s, struct job *job)
{
    if (s->jobs.free_count >= JOBS_KEPT_MAX) {
        reactor_free(s->reactor, job);
        return;
    }
    list_push_back(&s->jobs.free, &job->link);
    s->jobs.free_count++;
}

static void run_get(struct shard *s, struct job *job)
{
    struct record record;
    void *buffer = NULL;
    int answer = engine_get_wait(s->engine, &job->key, reactor_wall_ms(s->reactor), &record, &buffer);
    ASSERT(answer != ENGINE_WAITS);
    if (answer == ENGINE_FOUND)
        shard_reply_record(s, &job->reply, job->flags, &record);
    else
        shard_reply_code(s, &job->reply, answer == ENGINE_ABSENT ? TORC_E_NOT_FOUND : answer);
    reactor_free(s->reactor, buffer);
}

static void run_job(struct shard *s, struct job *job)
{
    if (s->state == SHARD_CLOSING) /* its client is gone, and the engine waits to be closed */
        shard_reply_code(s, &job->reply, TORC_E_SHUTTING_DOWN);
    else if (job->deadline_ns && reactor_now_ns(s->reactor) > job->deadline_ns)
        shard_reply_code(s, &job->reply, TORC_E_TIMEOUT);
    else if (job->reply.op == FRAME_SCAN)
        scan_run(s, job);
    else
        run_get(s, job);
}

/* Runs jobs until the queue is empty. */
static void work(struct reactor *r, void *context)
{
    (void)r;
    struct shard *s = context;
    struct list *link;
    while ((link = list_pop_front(&s->jobs.queue)) != NULL) {
        struct job *job = CONTAINER_OF(link, struct job, link);
        s->jobs.queue_count--;
        run_job(s, job);
        release_job(s, job);
    }
    s->jobs.task_count--;
}

static void fill_job(struct shard *s, struct job *job, const struct request *q)
{
    bool is_scan = q->reply.op == FRAME_SCAN;
    list_init(&job->link);
    job->reply = q->reply;
    job->flags = q->frame.flags;
    job->limit = is_scan && q->extensions.limit ? q->extensions.limit : SCAN_LIMIT_DEFAULT;
    job->deadline_ns = 0;
    if (q->frame.extensions.bytes > 0 && q->extensions.deadline_ms)
        job->deadline_ns = reactor_now_ns(s->reactor) + (uint64_t)q->extensions.deadline_ms * 1000000;
    job->key = q->key;
    job->key_bytes = (uint32_t)q->frame.key.bytes;
    job->cursor_bytes = is_scan ? (uint32_t)q->frame.value.bytes : 0;
    if (job->key_bytes)
        memcpy(job->bytes, q->frame.key.data, job->key_bytes);
    if (job->cursor_bytes)
        memcpy(job->bytes + job->key_bytes, q->frame.value.data, job->cursor_bytes);
    job->key.key.key = slice_of(job->bytes, job->key_bytes);
}

void jobs_add(struct shard *s, const struct request *q)
{
    struct job *job = s->jobs.queue_count < JOB_QUEUE_MAX ? acquire_job(s) : NULL;
    if (!job) {
        shard_reply_code(s, &q->reply, TORC_E_OVERLOADED);
        return;
    }
    fill_job(s, job, q);
    list_push_back(&s->jobs.queue, &job->link);
    s->jobs.queue_count++;
    if (s->jobs.task_count >= JOB_TASKS_MAX)
        return;
    if (task_spawn(s->reactor, work, s) == 0) {
        s->jobs.task_count++;
    } else if (s->jobs.task_count == 0) {
        /* No task will ever take it. */
        list_remove(&job->link);
        s->jobs.queue_count--;
        release_job(s, job);
        shard_reply_code(s, &q->reply, TORC_E_OVERLOADED);
    }
}
