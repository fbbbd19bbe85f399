/* jobs.c - requests that wait for the disk; see jobs.h. */
#include "shard/jobs.h"

#include "reactor/base/mark.h"

#include "shard/scan.h"
#include "shard/scan_query.h"
#include "shard/shard.h"

enum {
    JOBS_KEPT_MAX = 512,
    JOB_BYTES_KEPT = 256, /* of key and value: most have room in it, and others are not kept */
    SWEEP_JOBS_MAX = 512, /* looked at in one go */
};

void jobs_init(struct shard *s)
{
    s->jobs = (struct jobs){.deadline_ns = DEADLINE_NONE};
    list_init(&s->jobs.queue);
    list_init(&s->jobs.parts);
    buffer_pool_init(&s->jobs.free, s->reactor, sizeof(struct job) + JOB_BYTES_KEPT, JOBS_KEPT_MAX);
    list_init(&s->jobs.waiting);
}

void jobs_deinit(struct shard *s)
{
    ASSERT(s->jobs.task_count == 0 && s->jobs.queue_count == 0 && s->jobs.bytes == 0);
    buffer_pool_deinit(&s->jobs.free);
}

static struct job *acquire_job(struct shard *s, uint32_t bytes)
{
    uint32_t capacity = bytes > JOB_BYTES_KEPT ? bytes : JOB_BYTES_KEPT;
    struct job *job = capacity == JOB_BYTES_KEPT ? buffer_pool_take(&s->jobs.free)
                                                 : reactor_alloc(s->reactor, sizeof *job + capacity);
    if (!job)
        return NULL;
    s->jobs.bytes += sizeof *job + capacity;
    job->capacity = capacity;
    return job;
}

static void release_job(struct shard *s, struct job *job)
{
    s->jobs.bytes -= sizeof *job + job->capacity;
    if (job->capacity == JOB_BYTES_KEPT)
        buffer_pool_give(&s->jobs.free, job);
    else
        reactor_free(s->reactor, job);
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

/* Where the next one is that may begin beside so many that run; null: none may. When the node ends all do:
 * they only answer that. While memory is short a few parts do: what waits for them holds some until then. */
static struct list *next_queue(struct shard *s, uint32_t running)
{
    struct jobs *j = &s->jobs;
    bool is_ending = s->state == SHARD_CLOSING, is_short = s->memory.is_short && !is_ending;
    if (!is_ending && sessions_are_over_budget(s))
        return NULL;
    bool has_parts = !list_is_empty(&j->parts) && (!is_short || running < JOBS_AT_ONCE_MIN);
    bool has_others = !list_is_empty(&j->queue) && !is_short;
    if (has_parts && (!has_others || j->is_part_next))
        return &j->parts;
    return has_others ? &j->queue : NULL;
}

/* Runs jobs until none is left, or they must wait. */
static void work(struct reactor *r, void *context)
{
    struct shard *s = context;
    struct list *queue;
    while ((queue = next_queue(s, s->jobs.task_count - 1)) != NULL) {
        struct job *job = CONTAINER_OF(list_pop_front(queue), struct job, link);
        s->jobs.is_part_next = queue == &s->jobs.queue;
        s->jobs.queue_count--;
        job->is_running = true;
        run_job(s, job);
        ASSERT(job->is_answered);
        release_job(s, job);
        task_yield_if_due(r); /* one block that is there now may have answered thousands */
    }
    s->jobs.task_count--;
}

static uint32_t value_bytes_of(const struct request *q)
{
    return q->reply.op == FRAME_SCAN ? (uint32_t)q->frame.value.bytes : 0;
}

/* Is there room to write one more down? */
static bool has_room(const struct shard *s)
{
    return s->jobs.queue_count < JOB_QUEUE_MAX && s->jobs.bytes < s->memory.plan.job_bytes_max &&
           !s->memory.is_short;
}

static void fill_job(struct shard *s, struct job *job, const struct request *q)
{
    list_init(&job->link);
    list_init(&job->waiting);
    job->is_running = job->is_answered = false;
    job->reply = q->reply;
    job->flags = q->frame.flags;
    job->limit = scan_limit(&q->extensions);
    job->deadline_ns = request_deadline_ns(s, q);
    job->key = q->key;
    job->key_bytes = (uint32_t)q->frame.key.bytes;
    job->value_bytes = value_bytes_of(q);
    if (job->key_bytes)
        memcpy(job->bytes, q->frame.key.data, job->key_bytes);
    if (job->value_bytes)
        memcpy(job->bytes + job->key_bytes, q->frame.value.data, job->value_bytes);
    job->key.key.key = slice_of(job->bytes, job->key_bytes);
}

void jobs_add(struct shard *s, const struct request *q)
{
    s->memory.refusals += s->memory.is_short;
    struct job *job = has_room(s) ? acquire_job(s, (uint32_t)q->frame.key.bytes + value_bytes_of(q)) : NULL;
    if (!job) {
        shard_reply_code(s, &q->reply, TORC_E_OVERLOADED);
        return;
    }
    fill_job(s, job, q);
    bool is_part = job->reply.owner_kind != REPLY_TO_SESSION;
    list_push_back(is_part ? &s->jobs.parts : &s->jobs.queue, &job->link);
    s->jobs.queue_count++;
    if (job->deadline_ns) {
        wait_with_deadline(&s->jobs, job);
        s->jobs.waiting_count++;
        deadlines_note(&s->deadlines, job->deadline_ns);
    }
    if (s->jobs.task_count >= s->memory.plan.jobs_at_once_max || !next_queue(s, s->jobs.task_count))
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
    if (!next_queue(s, j->task_count))
        return;
    MARK(queued_jobs_begin_when_memory_has_room_again);
    for (uint32_t i = j->task_count;
         i < s->memory.plan.jobs_at_once_max && i < j->queue_count && next_queue(s, i); i++) {
        if (task_spawn(s->reactor, work, s) != 0)
            return; /* all tasks are taken: the next turn tries again */
        j->task_count++;
    }
}
