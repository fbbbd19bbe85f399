/* jobs.c - requests that wait for the disk; see jobs.h. */
#include "shard/jobs.h"

#include "reactor/base/mark.h"

#include "shard/scan.h"
#include "shard/scan_query.h"
#include "shard/shard.h"

enum {
    JOBS_KEPT_MAX = 512,
    SWEEP_JOBS_MAX = 512, /* looked at in one go */
};

void jobs_init(struct shard *s)
{
    s->jobs = (struct jobs){.deadline_ns = DEADLINE_NONE};
    list_init(&s->jobs.queue);
    list_init(&s->jobs.free);
    list_init(&s->jobs.waiting);
}

void jobs_deinit(struct shard *s)
{
    ASSERT(s->jobs.task_count == 0 && s->jobs.queue_count == 0);
    for (struct list *link; (link = list_pop_front(&s->jobs.free));)
        reactor_free(s->reactor, CONTAINER_OF(link, struct job, link));
}

static struct job *acquire_job(struct shard *s)
{
    struct list *link = list_pop_front(&s->jobs.free);
    if (link) {
        s->jobs.free_count--;
        return CONTAINER_OF(link, struct job, link);
    }
    return reactor_alloc(s->reactor, sizeof(struct job) + FRAME_KEY_BYTES_MAX + FRAME_SCAN_VALUE_BYTES_MAX);
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

/* ---- answers ---- */

static void set_answered(struct shard *s, struct job *job)
{
    ASSERT(!job->is_answered);
    job->is_answered = true;
    if (job->deadline_ns) {
        list_remove(&job->waiting);
        s->jobs.waiting_count--;
    }
}

void job_reply(struct shard *s, struct job *job, const struct answer *answer)
{
    if (job->is_answered) {
        MARK(the_late_result_of_a_job_is_dropped);
        return;
    }
    set_answered(s, job);
    shard_reply(s, &job->reply, answer);
}

static void job_reply_code(struct shard *s, struct job *job, int code)
{
    job_reply(s, job, &(struct answer){.code = code});
}

/* ---- deadlines ---- */

static void wait_with_deadline(struct jobs *j, struct job *job)
{
    list_push_back(&j->waiting, &job->waiting);
    if (job->deadline_ns < j->deadline_ns)
        j->deadline_ns = job->deadline_ns;
}

static void expire(struct shard *s, struct job *job)
{
    job_reply_code(s, job, TORC_E_TIMEOUT);
    if (job->is_running) {
        MARK(a_job_that_runs_is_answered_by_its_deadline);
        return;
    }
    MARK(a_job_in_the_queue_is_answered_by_its_deadline);
    list_remove(&job->link);
    s->jobs.queue_count--;
    release_job(s, job);
}

/* Each job looked at goes to the end of the list, so that the next step goes on with the others. */
bool jobs_expire(struct shard *s, uint64_t now_ns)
{
    struct jobs *j = &s->jobs;
    if (j->sweep_left == 0 && j->deadline_ns > now_ns)
        return false;
    if (j->sweep_left == 0) {
        j->sweep_left = j->waiting_count;
        j->deadline_ns = DEADLINE_NONE;
    }
    if (j->sweep_left > j->waiting_count)
        j->sweep_left = j->waiting_count; /* some were answered since the last step */
    for (unsigned i = 0; i < SWEEP_JOBS_MAX && j->sweep_left > 0; i++, j->sweep_left--) {
        struct job *job = CONTAINER_OF(j->waiting.next, struct job, waiting);
        if (job->deadline_ns <= now_ns) {
            expire(s, job);
        } else {
            list_remove(&job->waiting);
            wait_with_deadline(j, job);
        }
    }
    return j->sweep_left > 0;
}

/* ---- running ---- */

static void run_get(struct shard *s, struct job *job)
{
    struct record record;
    struct engine_hold hold;
    int answer = engine_get_wait(s->engine, &job->key, reactor_wall_ms(s->reactor), &record, &hold);
    ASSERT(answer != ENGINE_WAITS);
    if (answer != ENGINE_FOUND) {
        job_reply_code(s, job, answer == ENGINE_ABSENT ? TORC_E_NOT_FOUND : answer);
    } else if (!job->is_answered) {
        set_answered(s, job);
        shard_reply_record(s, &job->reply, job->flags, &record);
    }
    engine_release(s->engine, &hold);
}

static void run_job(struct shard *s, struct job *job)
{
    if (s->state == SHARD_CLOSING) /* its client is gone, and the engine waits to be closed */
        job_reply_code(s, job, TORC_E_SHUTTING_DOWN);
    else if (job->deadline_ns && reactor_now_ns(s->reactor) >= job->deadline_ns)
        job_reply_code(s, job, TORC_E_TIMEOUT);
    else if (job->reply.op == FRAME_SCAN)
        scan_run(s, job);
    else
        run_get(s, job);
}

/* Whether another one may begin. When the node ends all do: they only answer that. */
static bool has_room(const struct shard *s)
{
    return s->state == SHARD_CLOSING || !(s->memory.is_short || sessions_are_over_budget(s));
}

/* Runs jobs until the queue is empty, or must wait. */
static void work(struct reactor *r, void *context)
{
    (void)r;
    struct shard *s = context;
    struct list *link;
    while (has_room(s) && (link = list_pop_front(&s->jobs.queue)) != NULL) {
        struct job *job = CONTAINER_OF(link, struct job, link);
        s->jobs.queue_count--;
        job->is_running = true;
        run_job(s, job);
        ASSERT(job->is_answered);
        release_job(s, job);
    }
    s->jobs.task_count--;
}

static void fill_job(struct shard *s, struct job *job, const struct request *q)
{
    bool is_scan = q->reply.op == FRAME_SCAN;
    list_init(&job->link);
    list_init(&job->waiting);
    job->is_running = job->is_answered = false;
    job->reply = q->reply;
    job->flags = q->frame.flags;
    job->limit = scan_limit(&q->extensions);
    job->deadline_ns = request_deadline_ns(s, q);
    job->key = q->key;
    job->key_bytes = (uint32_t)q->frame.key.bytes;
    job->value_bytes = is_scan ? (uint32_t)q->frame.value.bytes : 0;
    if (job->key_bytes)
        memcpy(job->bytes, q->frame.key.data, job->key_bytes);
    if (job->value_bytes)
        memcpy(job->bytes + job->key_bytes, q->frame.value.data, job->value_bytes);
    job->key.key.key = slice_of(job->bytes, job->key_bytes);
}

void jobs_add(struct shard *s, const struct request *q)
{
    s->memory.refusals += s->memory.is_short;
    bool is_taken = s->jobs.queue_count < JOB_QUEUE_MAX && !s->memory.is_short;
    struct job *job = is_taken ? acquire_job(s) : NULL;
    if (!job) {
        shard_reply_code(s, &q->reply, TORC_E_OVERLOADED);
        return;
    }
    fill_job(s, job, q);
    list_push_back(&s->jobs.queue, &job->link);
    s->jobs.queue_count++;
    if (job->deadline_ns) {
        wait_with_deadline(&s->jobs, job);
        s->jobs.waiting_count++;
        deadlines_note(&s->deadlines, job->deadline_ns);
    }
    if (s->jobs.task_count >= s->memory.plan.jobs_at_once_max || !has_room(s))
        return;
    if (task_spawn(s->reactor, work, s) == 0) {
        s->jobs.task_count++;
    } else if (s->jobs.task_count == 0) {
        /* No task will ever take it. */
        job_reply_code(s, job, TORC_E_OVERLOADED);
        list_remove(&job->link);
        s->jobs.queue_count--;
        release_job(s, job);
    }
}

void jobs_resume(struct shard *s)
{
    struct jobs *j = &s->jobs;
    if (__builtin_expect(j->queue_count == 0 || j->task_count >= s->memory.plan.jobs_at_once_max, 1))
        return;
    if (!has_room(s))
        return;
    MARK(queued_jobs_begin_when_memory_has_room_again);
    for (uint32_t i = j->task_count; i < s->memory.plan.jobs_at_once_max && i < j->queue_count; i++) {
        if (task_spawn(s->reactor, work, s) != 0)
            return; /* all tasks are taken: the next turn tries again */
        j->task_count++;
    }
}
