/* crash.c - explores all workloads, each in a process of its own; see crash.h.
 *
 * The engine's assertions end the process that recovers. Its parent reads from shared memory where that was,
 * tells it as a failure, and starts another that goes on behind that place. */
#include "test/sim/crash.h"

#include "test/sim/child.h"
#include "test/sim/crash_explore.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    IMAGES_MAX = 500, /* of one state, at each level */
    IMAGES_MAX_AGAIN = 30,
    IMAGES_MAX_SMALL = 12,   /* of those, evenly chosen, so that their numbers are the same */
    FAILURES_MAX = 8,        /* of one workload: then it is given up */
    DISTINCT_WANTED = 20000, /* of all workloads together */
    WORKLOADS_MAX = 256,
};

/* One workload that is being explored. */
struct job {
    const struct crash_workload *workload;
    struct crash_progress *progress; /* shared with the child */
    uint64_t skip;
    pid_t pid; /* 0: none runs */
    bool is_over;
    bool has_run; /* without a crash, at least */
};

struct totals {
    struct crash_tally tally;
    unsigned workloads;
    unsigned broken; /* workloads that do not even run */
};

static struct crash_exploration exploration_of(const struct crash_options *o, const struct job *job)
{
    return (struct crash_exploration){
        .workload = job->workload,
        .progress = job->progress,
        .skip = job->skip,
        .images_max = {IMAGES_MAX, IMAGES_MAX_AGAIN},
        .images_built_max = o->is_small ? IMAGES_MAX_SMALL : 0,
        .is_once = o->is_small,
        .failures_max = o->is_until_failure ? 1 : FAILURES_MAX,
        .is_verbose = o->is_verbose,
    };
}

/* ---- children ---- */

static void job_start(const struct crash_options *o, struct job *job)
{
    fflush(stdout);
    job->pid = fork();
    ASSERT(job->pid >= 0);
    if (job->pid > 0)
        return;
    struct crash_exploration x = exploration_of(o, job);
    bool has_run = crash_explore(&x);
    fflush(stdout);
    child_exit(has_run ? 0 : 1);
}

/* The child has ended; starts the next one when an image was what ended it. */
static void job_ended(const struct crash_options *o, struct job *job, int status)
{
    struct crash_progress *p = job->progress;
    char what[128];
    job->pid = 0;
    job->is_over = true;
    job->has_run = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFEXITED(status))
        return;
    snprintf(what, sizeof what, "the process ended: %s", strsignal(WTERMSIG(status)));
    crash_explain(job->workload, &p->place, what);
    if (p->place.depth == 0)
        return;
    job->has_run = true;
    if (o->is_until_failure || p->failed_count == FAILURES_MAX) {
        p->tally.failed++;
        return;
    }
    p->failed[p->failed_count++] = p->ordinal;
    job->skip = p->ordinal;
    job->is_over = false;
    job_start(o, job);
}

static void await_any(const struct crash_options *o, struct job *jobs, unsigned count)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    ASSERT(pid > 0 || errno == EINTR);
    for (unsigned i = 0; i < count; i++)
        if (jobs[i].pid == pid && !jobs[i].is_over)
            job_ended(o, &jobs[i], status);
}

/* ---- the report ---- */

static void tell(const char *name, const struct crash_tally *t)
{
    printf("crash points: %-24s states %5llu  images %7llu  distinct %6llu  recovered %6llu  failed %llu\n",
           name, (unsigned long long)t->states, (unsigned long long)t->images,
           (unsigned long long)t->distinct, (unsigned long long)t->recovered, (unsigned long long)t->failed);
    fflush(stdout);
}

static void add(struct totals *totals, const struct job *job)
{
    const struct crash_tally *from = &job->progress->tally;
    struct crash_tally *to = &totals->tally;
    to->states += from->states;
    to->images += from->images;
    to->distinct += from->distinct;
    to->recovered += from->recovered;
    to->failed += from->failed;
    to->again += from->again;
    to->sampled += from->sampled;
    totals->workloads++;
    totals->broken += !job->has_run;
}

static double cpu_seconds(void)
{
    struct rusage children, own;
    getrusage(RUSAGE_CHILDREN, &children);
    getrusage(RUSAGE_SELF, &own);
    double seconds = (double)(children.ru_utime.tv_sec + children.ru_stime.tv_sec + own.ru_utime.tv_sec);
    return seconds + (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) / 1e6;
}

static int conclude(const struct crash_options *o, const struct totals *totals)
{
    const struct crash_tally *t = &totals->tally;
    tell("total", t);
    printf("crash points: %u workloads, %llu recoveries crashed too, %llu of %llu states sampled (more than "
           "%d, or "
           "%d, combinations), %.1f s of CPU\n",
           totals->workloads, (unsigned long long)t->again, (unsigned long long)t->sampled,
           (unsigned long long)t->states, IMAGES_MAX, IMAGES_MAX_AGAIN, cpu_seconds());
    if (totals->broken || t->failed)
        return 1;
    if (o->workload || o->is_small || t->distinct >= DISTINCT_WANTED)
        return 0;
    printf("crash points: fewer than the %d distinct images that are wanted\n", DISTINCT_WANTED);
    return 1;
}

/* ---- all ---- */

static bool has_failed(const struct job *job)
{
    return job->is_over && (!job->has_run || job->progress->tally.failed > 0);
}

/* Ends those that still run. */
static void stop_jobs(struct job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!jobs[i].is_over && kill(jobs[i].pid, SIGKILL) == 0)
            (void)waitpid(jobs[i].pid, NULL, 0);
}

/* Returns: false when it ended at a failure. */
static bool run_jobs(const struct crash_options *o, struct job *jobs, unsigned count)
{
    unsigned at_once = o->jobs ? o->jobs : 1;
    unsigned next = 0, told = 0, running = 0;
    while (told < count) {
        for (; running < at_once && next < count; running++)
            job_start(o, &jobs[next++]);
        await_any(o, jobs, next);
        running = 0;
        for (unsigned i = 0; i < next; i++) {
            running += !jobs[i].is_over;
            if (o->is_until_failure && has_failed(&jobs[i])) {
                stop_jobs(jobs, next);
                return false;
            }
        }
        for (; told < next && jobs[told].is_over; told++)
            tell(jobs[told].workload->name, &jobs[told].progress->tally);
    }
    return true;
}

static int run_all(const struct crash_options *o)
{
    struct job *jobs = calloc(WORKLOADS_MAX, sizeof *jobs);
    size_t bytes = WORKLOADS_MAX * sizeof(struct crash_progress);
    struct crash_progress *shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(jobs && shared != MAP_FAILED);
    unsigned count = 0;
    for (uint32_t i = 0; crash_workload_at(i); i++) {
        const struct crash_workload *w = crash_workload_at(i);
        if (o->workload && strcmp(o->workload, w->name) != 0)
            continue;
        ASSERT(count < WORKLOADS_MAX);
        jobs[count] = (struct job){.workload = w, .progress = &shared[count]};
        count++;
    }
    struct totals totals = {0};
    bool is_complete = run_jobs(o, jobs, count);
    for (unsigned i = 0; i < count; i++)
        add(&totals, &jobs[i]);
    int rc = count == 0 ? 2 : is_complete ? conclude(o, &totals) : 1;
    munmap(shared, bytes);
    free(jobs);
    return rc;
}

/* "12" or "12/3". Returns: how many numbers, 0 when it is neither. */
static uint32_t parse_path(const char *text, uint64_t numbers[CRASH_LEVELS])
{
    uint32_t count = 0;
    char *end;
    do {
        if (count == CRASH_LEVELS || *text < '0' || *text > '9')
            return 0;
        numbers[count++] = strtoull(text, &end, 10);
        text = end + 1;
    } while (*end == '/');
    return *end == '\0' ? count : 0;
}

static int replay(const struct crash_options *o)
{
    uint64_t states[CRASH_LEVELS] = {0}, images[CRASH_LEVELS] = {0};
    struct crash_place place = {.depth = parse_path(o->state, states)};
    struct crash_progress progress = {0};
    struct job job = {.progress = &progress};
    for (uint32_t i = 0; crash_workload_at(i); i++)
        if (strcmp(crash_workload_at(i)->name, o->workload) == 0)
            job.workload = crash_workload_at(i);
    if (!job.workload || place.depth == 0 || parse_path(o->image, images) != place.depth) {
        printf("crash points: no such workload, state or image\n");
        return 2;
    }
    for (uint32_t i = 0; i < place.depth; i++) {
        place.state[i] = (uint32_t)states[i];
        place.image[i] = images[i];
    }
    struct crash_exploration x = exploration_of(o, &job);
    int rc = crash_replay(&x, &place);
    if (rc == 2)
        printf("crash points: no such state or image\n");
    return rc;
}

int crash_points_run(const struct crash_options *options)
{
    if (options->workload && options->state && options->image)
        return replay(options);
    if (options->state || options->image) {
        printf("crash points: a workload, a state and an image belong together\n");
        return 2;
    }
    int rc = run_all(options);
    if (rc == 2)
        printf("crash points: no such workload\n");
    return rc;
}
