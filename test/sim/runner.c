/* runner.c - workers and what becomes of them; see runner.h. */
#include "test/sim/runner.h"

#include "test/sim/child.h"
#include "test/sim/report.h"
#include "test/sim/rerun.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CPU_SECONDS_MAX = 60, /* of one history */
    AGAIN_EVERY = 16,     /* of many seeds, one in so many is run again */
    FILL_EVERY = 4,       /* one in so many has its memory filled */
    FIRST_FILL = 0xa5,
    TEXT_BYTES = 4096,
};

/* What a worker shares with the runner. */
struct slot {
    pid_t worker;  /* 0: none runs */
    bool is_over;  /* there is nothing left to do for it */
    uint64_t next; /* the history it is at, or will be at next */
    uint64_t passed;
    struct tally tally;
};

/* Histories are numbered: all kinds of the first seed, all kinds of the second, ... */
static unsigned kinds_of(const struct sim_options *o)
{
    return o->kind ? 1 : history_kind_count();
}

static uint64_t histories_of(const struct sim_options *o)
{
    return (o->last_seed - o->first_seed + 1) * kinds_of(o);
}

static const struct history_kind *kind_of(const struct sim_options *o, uint64_t number)
{
    return o->kind ? o->kind : history_kind_at((unsigned)(number % history_kind_count()));
}

static uint64_t seed_of(const struct sim_options *o, uint64_t number)
{
    return o->first_seed + number / kinds_of(o);
}

static struct history_request request_of(const struct sim_options *o, uint64_t number)
{
    struct history_request request = {
        .seed = seed_of(o, number),
        .heap_fill = o->heap_fill,
        .is_detailed = o->is_verbose,
        .filter = o->filter,
    };
    /* Half of those that are run again, with memory filled otherwise, have zeros the first time: a branch on
     * what was never written may go the same way for any two bytes that are none. */
    bool has_zeros = request.seed % (2 * AGAIN_EVERY) == 0;
    if (!o->heap_fill && request.seed % FILL_EVERY == 0 && !has_zeros)
        request.heap_fill = FIRST_FILL;
    return request;
}

/* `needs_again`: what failed is that it is not the same when run again. */
static void print_replay(const struct sim_options *o, uint64_t number, bool needs_again)
{
    char filter[TEXT_BYTES];
    printf("replay: build/sim --seed %llu --kind %s%s%s\n", (unsigned long long)seed_of(o, number),
           kind_of(o, number)->name, options_filter_text(&o->filter, filter, sizeof filter),
           needs_again ? " --again" : "");
}

/* Bounds the CPU time from now on: a history without end dies of it, and is named. */
static void bound_cpu_time(void)
{
    struct itimerval limit = {.it_value = {.tv_sec = CPU_SECONDS_MAX}};
    ASSERT(setitimer(ITIMER_PROF, &limit, NULL) == 0);
}

/* ---- one history ---- */

static void compare_traces(const struct history_kind *kind, const struct history_request *request,
                           struct history_outcome *out)
{
    uint64_t hash = 0;
    if (rerun_trace(kind, request, &hash) != 0)
        story_fail(&out->story, 0, "run again, in another process, it does not come to its end");
    else if (hash != out->trace_hash)
        story_fail(&out->story, 0,
                   "run again, in another process, its trace is %016llx, not %016llx: it is not "
                   "determined by its seed",
                   (unsigned long long)hash, (unsigned long long)out->trace_hash);
    else
        out->tally.determined++;
}

/* Returns: whether it failed only in being another one when run again. */
static bool run_history(const struct sim_options *o, uint64_t number, bool is_again,
                        struct history_outcome *out)
{
    const struct history_kind *kind = kind_of(o, number);
    struct history_request request = request_of(o, number);
    *out = (struct history_outcome){.story.is_detailed = o->is_verbose};
    bound_cpu_time();
    kind->run(&request, out);
    out->tally.histories = 1;
    tally_take_marks(&out->tally);
    bool has_passed = out->story.failures == 0;
    if (is_again)
        compare_traces(kind, &request, out);
    out->tally.failures = out->story.failures > 0;
    return has_passed && out->tally.failures;
}

static void print_failure(const struct sim_options *o, uint64_t number, const struct history_outcome *out,
                          bool needs_again)
{
    printf("\n%s history of seed %llu\n%s", kind_of(o, number)->name, (unsigned long long)seed_of(o, number),
           out->story.text ? out->story.text : "");
    print_replay(o, number, needs_again);
    fflush(stdout);
}

int runner_run_one(const struct sim_options *o)
{
    unsigned failures = 0;
    struct tally total = {0};
    for (unsigned i = 0; i < kinds_of(o); i++) {
        struct history_outcome out;
        if (!o->is_trace_only) {
            printf("%s history of seed %llu\n", kind_of(o, i)->name, (unsigned long long)o->first_seed);
            fflush(stdout);
        }
        bool needs_again = run_history(o, i, o->wants_again, &out);
        if (o->is_trace_only) {
            printf(RERUN_LINE, (unsigned long long)out.trace_hash);
        } else {
            printf("%strace %016llx%s\n\n", out.story.text ? out.story.text : "",
                   (unsigned long long)out.trace_hash,
                   out.tally.determined ? ", the same when run again" : "");
            if (out.story.failures)
                print_replay(o, i, needs_again);
        }
        failures += out.story.failures > 0;
        tally_add(&total, &out.tally);
        story_deinit(&out.story);
    }
    if (o->is_trace_only)
        return 0;
    report_totals(o, &total);
    printf("sim: %u passed, %u failed\n", kinds_of(o) - failures, failures);
    return failures > 0;
}

/* ---- a worker ---- */

static bool is_time_over(const struct sim_options *o, time_t began)
{
    return o->seconds && (uint64_t)(time(NULL) - began) >= o->seconds;
}

static void work(const struct sim_options *o, struct slot *slot, time_t began)
{
    uint64_t count = histories_of(o);
    while (slot->next < count && !is_time_over(o, began)) {
        struct history_outcome out;
        bool is_again = o->wants_again || seed_of(o, slot->next) % AGAIN_EVERY == 0;
        bool needs_again = run_history(o, slot->next, is_again, &out);
        tally_add(&slot->tally, &out.tally);
        slot->passed += out.story.failures == 0;
        if (out.story.failures)
            print_failure(o, slot->next, &out, needs_again);
        story_deinit(&out.story);
        slot->next += o->jobs;
        if (out.tally.failures && o->ends_at_failure)
            break;
    }
    slot->is_over = true;
    fflush(stdout);
    child_exit(0);
}

/* ---- the runner ---- */

static void start_worker(const struct sim_options *o, struct slot *slot, time_t began)
{
    fflush(stdout);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0)
        work(o, slot, began);
    slot->worker = pid;
}

static void bury_worker(const struct sim_options *o, struct slot *slot, int status)
{
    slot->worker = 0;
    if (slot->is_over)
        return;
    const char *why = "it ended the process";
    if (WIFSIGNALED(status))
        why = WTERMSIG(status) == SIGPROF ? "it took too much CPU time" : strsignal(WTERMSIG(status));
    printf("\n%s history of seed %llu\n  WRONG: %s\n", kind_of(o, slot->next)->name,
           (unsigned long long)seed_of(o, slot->next), why);
    print_replay(o, slot->next, false);
    slot->tally.histories++;
    slot->tally.failures++;
    slot->next += o->jobs;
    slot->is_over = o->ends_at_failure;
}

static void end_all(const struct sim_options *o, struct slot *slots)
{
    for (unsigned i = 0; i < o->jobs; i++) {
        slots[i].is_over = true;
        if (slots[i].worker)
            kill(slots[i].worker, SIGKILL);
    }
}

static void run_workers(const struct sim_options *o, struct slot *slots)
{
    time_t began = time(NULL);
    for (unsigned i = 0; i < o->jobs; i++) {
        slots[i].next = i;
        start_worker(o, &slots[i], began);
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, 0)) > 0)
        for (unsigned i = 0; i < o->jobs; i++) {
            if (slots[i].worker != pid)
                continue;
            bury_worker(o, &slots[i], status);
            if (slots[i].tally.failures && o->ends_at_failure)
                end_all(o, slots);
            else if (!slots[i].is_over)
                start_worker(o, &slots[i], began);
        }
}

int runner_run_many(const struct sim_options *o)
{
    size_t bytes = o->jobs * sizeof(struct slot);
    struct slot *slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(slots != MAP_FAILED);
    run_workers(o, slots);
    struct tally total = {0};
    uint64_t passed = 0;
    for (unsigned i = 0; i < o->jobs; i++) {
        tally_add(&total, &slots[i].tally);
        passed += slots[i].passed;
    }
    munmap(slots, bytes);
    report_totals(o, &total);
    bool is_whole = !o->seconds && !(o->ends_at_failure && total.failures);
    uint64_t failed = total.failures + report_shortfall(o, &total, is_whole ? histories_of(o) : UINT64_MAX);
    if (o->requires_all)
        failed += report_missing(o, &total);
    printf("sim: %llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed > 0 || passed == 0;
}
