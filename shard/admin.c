/* admin.c - jobs that an operator asks for, and the part of them that each core does; see admin.h. */
#include "shard/admin.h"

#include "shard/backup_files.h"
#include "shard/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { SAID_BYTES = 64 << 10, ANSWER_BYTES = SAID_BYTES + 2 * ADMIN_WHY_BYTES };

static const struct {
    const char *name;
    int (*run)(struct admin_job *job);
} commands[] = {
    {"snapshot-create", snapshots_create},
    {"snapshot-list", snapshots_list},
    {"snapshot-delete", snapshots_delete},
    {"backup", backup_create},
};

/* ---- the parts of a core ---- */

struct listing {
    struct shard *shard;
    struct admin_part *part;
};

/* One line of the catalogue for a file of the snapshot. Waits. */
static int add_line(void *context, const char *name)
{
    struct listing *l = context;
    struct reactor *r = l->shard->reactor;
    struct catalogue_file line = {.shard = l->part->core};
    char path[DATADIR_PATH_MAX];
    struct file *f;
    int length = snprintf(path, sizeof path, "%s/%s", l->part->path, name);
    if (length < 0 || (size_t)length >= sizeof path || strlen(name) >= sizeof line.name)
        return -ENAMETOOLONG;
    memcpy(line.name, name, strlen(name) + 1);
    snprintf(line.path, sizeof line.path, "shard-%03u/%s", l->part->core, line.name);
    int rc = file_open(r, path, FILE_READ, &f);
    if (rc)
        return rc;
    rc = file_size(r, f, &line.bytes);
    file_close(r, f);
    l->part->files++;
    l->part->bytes += line.bytes;
    return rc ? rc : catalogue_add_file(r, &l->part->lines, &line);
}

static int write_snapshot(struct shard *s, struct admin_part *part)
{
    struct listing listing = {s, part};
    if (!s->admin.snapshot)
        return TORC_E_CANCELLED;
    hlc_observe(&s->clock, part->moment); /* also when the time of day has gone backwards */
    int rc = engine_snapshot_write(s->admin.snapshot, part->path, &s->admin.is_stopping, &part->facts);
    if (rc == 0)
        rc = catalogue_add_shard(s->reactor, &part->lines, s->core, &part->facts);
    if (rc == 0)
        rc = directory_list(s->reactor, part->path, add_line, &listing);
    return rc;
}

static int copy_snapshot(struct shard *s, struct admin_part *part)
{
    char sums[DATADIR_PATH_MAX];
    snprintf(sums, sizeof sums, "%s/snapshots/.sums-%03u", s->options->data, s->core);
    struct backup_files files = {
        .reactor = s->reactor,
        .sums = sums,
        .history = part->facts.log_history,
        .disk = engine_disk(s->engine),
        .from = part->path,
        .target = part->target,
        .backup = part->backup,
        .shard = s->core,
        .is_cancelled = &s->admin.is_stopping,
        .lines = &part->lines,
    };
    part->lines.bytes = 0; /* those of the snapshot */
    int rc = catalogue_add_shard(s->reactor, &part->lines, s->core, &part->facts);
    if (rc == 0)
        rc = backup_files_bring(&files);
    part->files = files.files;
    part->bytes = files.bytes;
    part->new_files = files.new_files;
    part->new_bytes = files.new_bytes;
    static_assert((int)BACKUP_FILES_WHY_BYTES == (int)ADMIN_WHY_BYTES, "a sentence is handed on as it is");
    memcpy(part->why, files.why, sizeof part->why);
    return rc;
}

static void give_back(struct shard *s, struct admin_part *part, int result)
{
    part->result = result;
    reactor_disown(s->reactor, part->lines.data);
    if (s->core == 0)
        admin_part_done(s, part);
    else
        exchange_send(s, 0, &(struct message){.kind = MESSAGE_ADMIN_DONE, .payload = part});
}

static void end_snapshot(struct shard *s)
{
    engine_snapshot_end(s->admin.snapshot);
    s->admin.snapshot = NULL;
}

/* WRITE and COPY. */
static void part_task(struct reactor *r, void *context)
{
    struct admin_part *part = context;
    struct shard *s = part->shard;
    (void)r;
    int rc = part->step == ADMIN_WRITE ? write_snapshot(s, part) : copy_snapshot(s, part);
    s->admin.task_count--;
    if (s->admin.is_stopping)
        end_snapshot(s);
    give_back(s, part, rc);
}

static int begin_snapshot(struct shard *s, struct admin_part *part)
{
    if (s->admin.is_stopping || !s->engine)
        return TORC_E_SHUTTING_DOWN;
    ASSERT(!s->admin.snapshot);
    return engine_snapshot_begin(s->engine, &s->admin.snapshot, &part->clock);
}

void admin_run_part(struct shard *s, struct admin_part *part)
{
    int rc = 0;
    part->shard = s;
    reactor_adopt(s->reactor, part->lines.data);
    switch (part->step) {
    case ADMIN_BEGIN:
        rc = begin_snapshot(s, part);
        break;
    case ADMIN_WRITE:
    case ADMIN_COPY:
        rc = s->admin.is_stopping || !s->engine ? TORC_E_SHUTTING_DOWN
                                                : task_spawn(s->reactor, part_task, part);
        if (rc == 0) {
            s->admin.task_count++;
            return;
        }
        break;
    case ADMIN_END:
        end_snapshot(s);
        break;
    }
    give_back(s, part, rc);
}

void admin_part_done(struct shard *s, struct admin_part *part)
{
    ASSERT(s->core == 0 && s->admin.parts_missing > 0);
    reactor_adopt(s->reactor, part->lines.data);
    if (--s->admin.parts_missing == 0)
        event_set(s->reactor, &s->admin.parts_back, 0);
}

int admin_ask_all(struct admin_job *job, enum admin_step step, const char *path)
{
    struct shard *s = job->shard;
    int result = 0;
    event_init(&s->admin.parts_back);
    s->admin.parts_missing = s->core_count;
    for (unsigned core = s->core_count; core-- > 0;) {
        struct admin_part *part = &s->admin.parts[core];
        part->step = step;
        part->core = core;
        snprintf(part->path, sizeof part->path, "%s/shard-%03u", path, core);
        reactor_disown(s->reactor, part->lines.data);
        if (core != 0)
            exchange_send(s, core, &(struct message){.kind = MESSAGE_ADMIN, .payload = part});
        else
            admin_run_part(s, part);
    }
    int rc = event_wait(s->reactor, &s->admin.parts_back, EVENT_FOREVER);
    ASSERT(rc == 0);
    for (unsigned core = 0; core < s->core_count && result == 0; core++)
        result = s->admin.parts[core].result;
    return result;
}

/* ---- jobs ---- */

/* Its result is kept, and short but for lists; without memory for that it stays as it is. */
static void trim_result(struct admin_job *job)
{
    struct json *said = &job->said;
    if (job->result)
        said->bytes = 0; /* of a failure only `why` is told */
    size_t bytes = said->bytes > 0 ? said->bytes : 1;
    char *text = reactor_realloc(job->shard->reactor, said->text, bytes);
    if (text) {
        said->text = text;
        said->capacity = bytes;
    }
}

static void run_job(struct reactor *r, void *context)
{
    struct admin_job *job = context;
    struct shard *s = job->shard;
    snapshots_tidy_await(s);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (strcmp(commands[i].name, job->command) == 0)
            job->result = commands[i].run(job);
    if (job->result && job->why[0] == '\0')
        snprintf(job->why, sizeof job->why, "%s", error_sentence(job->result));
    if (job->result)
        log_write(&s->log, LOG_LEVEL_WARN, "job_failed", job->why, log_text("command", job->command),
                  log_text("argument", job->argument), log_error(job->result));
    else
        log_write(&s->log, LOG_LEVEL_INFO, "job_done", NULL, log_text("command", job->command),
                  log_text("argument", job->argument));
    for (unsigned core = 0; core < s->core_count; core++)
        reactor_free(r, s->admin.parts[core].lines.data);
    reactor_free(r, s->admin.parts);
    s->admin.parts = NULL;
    trim_result(job);
    job->is_over = true;
    s->admin.task_count--;
}

static void free_job(struct shard *s, struct admin_job *job)
{
    if (job)
        reactor_free(s->reactor, job->said.text);
    reactor_free(s->reactor, job);
}

/* Under way or the last one. Returns: null when there was none. */
static struct admin_job *last_job(const struct admin *a)
{
    return a->job_count ? a->jobs[a->job_count - 1] : NULL;
}

static void forget(struct shard *s, unsigned index)
{
    struct admin *a = &s->admin;
    ASSERT(index < a->job_count && a->jobs[index]->is_over);
    free_job(s, a->jobs[index]);
    a->job_count--;
    memmove(&a->jobs[index], &a->jobs[index + 1], (a->job_count - index) * sizeof *a->jobs);
}

/* Keeps a job that begins, the one before it, and of those before that some with short results. */
static void keep(struct shard *s, struct admin_job *job)
{
    struct admin *a = &s->admin;
    for (unsigned i = a->job_count; i-- > 1;)
        if (a->jobs[i - 1]->said.capacity > ADMIN_SAID_BYTES_KEPT)
            forget(s, i - 1);
    if (a->job_count == ADMIN_JOBS_MAX)
        forget(s, 0);
    a->jobs[a->job_count++] = job;
}

static bool is_command(struct slice name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (slice_equal(name, slice_of_string(commands[i].name)))
            return true;
    return false;
}

/* Before it has begun. */
static void drop_job(struct shard *s, struct admin_job *job)
{
    reactor_free(s->reactor, s->admin.parts);
    s->admin.parts = NULL;
    free_job(s, job);
}

/* With all it needs: freed with it, or by run_job. Returns: null when memory is out. */
static struct admin_job *make_job(struct shard *s, const struct frame *frame)
{
    struct admin_job *job = reactor_alloc_zeroed(s->reactor, sizeof *job);
    if (!job)
        return NULL;
    job->shard = s;
    memcpy(job->command, frame->key.data, frame->key.bytes);
    if (frame->value.bytes)
        memcpy(job->argument, frame->value.data, frame->value.bytes);
    job->said = (struct json){.text = reactor_alloc(s->reactor, SAID_BYTES), .capacity = SAID_BYTES};
    s->admin.parts = reactor_alloc_zeroed(s->reactor, s->core_count * sizeof *s->admin.parts);
    if (job->said.text && s->admin.parts)
        return job;
    drop_job(s, job);
    return NULL;
}

/* Above those of the process before this one, too: who waits for a job of that one must not be told of
 * another. */
static uint64_t next_number(struct shard *s)
{
    uint64_t now = reactor_wall_ms(s->reactor);
    s->admin.job_number = s->admin.job_number < now ? now : s->admin.job_number + 1;
    return s->admin.job_number;
}

static int begin_job(struct shard *s, const struct frame *frame)
{
    const struct admin_job *last = last_job(&s->admin);
    if (s->admin.is_stopping)
        return TORC_E_SHUTTING_DOWN;
    if (last && !last->is_over)
        return TORC_E_OVERLOADED;
    struct admin_job *job = make_job(s, frame);
    int rc = job ? task_spawn(s->reactor, run_job, job) : TORC_E_NO_MEMORY;
    if (rc && job)
        drop_job(s, job);
    if (rc)
        return rc;
    job->number = next_number(s);
    keep(s, job);
    s->admin.task_count++;
    return 0;
}

static void answer_number(struct shard *s, const struct reply *reply)
{
    char text[64];
    int bytes = snprintf(text, sizeof text, "{\"job\":%" PRIu64 "}", s->admin.job_number);
    shard_reply(s, reply, &(struct answer){.value = slice_of(text, (size_t)bytes)});
}

/* Returns: null when there was none of that number, or too many came since. */
static const struct admin_job *find_job(const struct admin *a, struct slice wanted)
{
    for (unsigned i = 0; i < a->job_count; i++) {
        char number[32];
        snprintf(number, sizeof number, "%" PRIu64, a->jobs[i]->number);
        if (slice_equal(wanted, slice_of_string(number)))
            return a->jobs[i];
    }
    return NULL;
}

/* {"job":N,"state":"running"|"done"|"failed","error":...,"result":{...}} */
static void answer_state(struct shard *s, const struct reply *reply, struct slice wanted)
{
    const struct admin_job *job = find_job(&s->admin, wanted);
    struct json j = {.text = reactor_alloc(s->reactor, ANSWER_BYTES), .capacity = ANSWER_BYTES};
    struct answer answer = {.code = j.text ? 0 : TORC_E_NO_MEMORY};
    if (answer.code == 0 && !job)
        answer.code = TORC_E_NOT_FOUND; /* many came since, or the server was started anew */
    if (answer.code == 0) {
        json_begin_object(&j, NULL);
        json_number(&j, "job", job->number);
        json_text(&j, "state", !job->is_over ? "running" : job->result ? "failed" : "done");
        if (job->is_over && job->result)
            json_text(&j, "error", job->why);
        if (job->is_over && !job->result && job->said.bytes)
            json_raw(&j, "result", job->said.text, job->said.bytes);
        json_end(&j);
        answer.value = slice_of(j.text, j.bytes);
    }
    shard_reply(s, reply, &answer);
    reactor_free(s->reactor, j.text);
}

void admin_start(struct shard *s, const struct reply *reply, const struct frame *frame,
                 const struct arrival *arrival)
{
    int rc = 0;
    if (s->core != 0)
        rc = exchange_request(s, 0, reply, frame, arrival);
    else if (slice_equal(frame->key, slice_of_string("job")))
        answer_state(s, reply, frame->value);
    else if (!is_command(frame->key) || frame->value.bytes >= ADMIN_ARGUMENT_BYTES ||
             (frame->value.bytes && memchr(frame->value.data, 0, frame->value.bytes)))
        rc = TORC_E_MALFORMED;
    else {
        rc = begin_job(s, frame);
        if (rc == 0)
            answer_number(s, reply);
    }
    if (rc)
        shard_reply_code(s, reply, rc);
}

/* ---- the end of the node ---- */

void admin_stop(struct shard *s)
{
    s->admin.is_stopping = true;
    /* A part that is under way ends by itself; what is only held is let go of here. */
    bool has_part = s->core == 0 ? s->admin.task_count > 1 : s->admin.task_count > 0;
    if (s->admin.snapshot && !has_part)
        end_snapshot(s);
}

void admin_deinit(struct shard *s)
{
    ASSERT(admin_is_quiet(&s->admin));
    while (s->admin.job_count > 0)
        forget(s, 0);
}
