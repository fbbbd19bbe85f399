/* run.c - starts the cores, turns their loops, and takes them down again.
 *
 *   thread of a core:  pin, heap, ring | gate | loop until stopped | close all, ring quiet | gate | ring,
 * heap gone
 *
 * At the first gate all know whether all could start. After the second no core can any more free memory of
 * another's heap, wake another's ring or read another's channel, so rings and heaps may go. Core 0 is the
 * calling thread. */
#include "reactor/uring/process.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- clock, log, stacks ---- */

static uint64_t clock_of(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t reactor_clock_ns(struct reactor *r)
{
    (void)r;
    return clock_of(CLOCK_MONOTONIC);
}

uint64_t reactor_wall_ms(struct reactor *r)
{
    if (r->wall_turn != r->core.counters.turns || r->wall_ms == 0) {
        r->wall_ms = clock_of(CLOCK_REALTIME) / 1000000;
        r->wall_turn = r->core.counters.turns;
    }
    return r->wall_ms;
}

void reactor_log_line(struct reactor *r, const char *line, size_t bytes)
{
    struct process *p = r->process;
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
    struct iovec parts[2] = {{(void *)(uintptr_t)line, bytes}, {(void *)(uintptr_t) "\n", 1}};
    pthread_mutex_lock(&p->log_lock); /* two could both see the last room of a pipe */
    bool is_taken = poll(&log, 1, 0) == 1 && (log.revents & POLLOUT) && writev(STDERR_FILENO, parts, 2) > 0;
    pthread_mutex_unlock(&p->log_lock);
    r->core.counters.log_lines_lost += !is_taken;
}

void *backend_stack_map(size_t bytes)
{
    return stack_map(bytes);
}

void backend_stack_unmap(void *stack, size_t bytes)
{
    stack_unmap(stack, bytes);
}

/* ---- the gate ---- */

static void gate_record(struct process *p, int error, const char *why)
{
    pthread_mutex_lock(&p->gate.lock);
    if (error && !p->first_error) {
        p->first_error = error;
        snprintf(p->why, sizeof p->why, "%s", why);
    }
    pthread_mutex_unlock(&p->gate.lock);
}

/* Returns: the first error of any core before all were there. One that fails or gives up right behind it says
 * so by itself. */
static int gate_pass(struct process *p)
{
    struct gate *g = &p->gate;
    pthread_mutex_lock(&g->lock);
    unsigned generation = g->generation;
    if (++g->waiting == g->expected) {
        g->waiting = 0;
        g->generation++;
        g->error = p->first_error;
        pthread_cond_broadcast(&g->opened);
    }
    while (generation == g->generation)
        pthread_cond_wait(&g->opened, &g->lock);
    int error = g->error;
    pthread_mutex_unlock(&g->lock);
    return error;
}

/* ---- one core ---- */

const struct reactor_options *reactor_options_of(const struct reactor *r)
{
    return &r->process->options;
}

void process_fail(struct reactor *r, int error)
{
    struct process *p = r->process;
    gate_record(p, error, error_sentence(error));
    atomic_store(&p->must_stop, true);
    reactor_stop(r);
    for (unsigned i = 0; i < p->options.core_count; i++)
        if (i != r->core.core)
            channel_wake(r, i);
}

void reactor_give_up(struct reactor *r, int error)
{
    ASSERT(error);
    gate_record(r->process, error, error_sentence(error));
    r->gives_up = true;
    atomic_store(&r->process->is_given_up, true);
    reactor_stop(r);
}

static void run_main(struct reactor *r, void *argument)
{
    struct process *p = argument;
    int rc = p->main(r, p->context);
    if (rc)
        process_fail(r, rc);
}

static int pin(struct reactor *r, char *why, size_t why_bytes)
{
    cpu_set_t set;
    int cpu = r->process->options.first_cpu + (int)r->core.core;
    if (r->process->options.first_cpu < 0)
        return 0;
    CPU_ZERO(&set);
    if (cpu < CPU_SETSIZE)
        CPU_SET((size_t)cpu, &set);
    int rc = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (rc)
        snprintf(why, why_bytes, "core %u cannot be pinned to cpu %d: use fewer cores or another first cpu",
                 r->core.core, cpu);
    return rc ? -rc : 0;
}

static int core_start(struct reactor *r, char *why, size_t why_bytes)
{
    struct process *p = r->process;
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return -errno;
    int rc = core_init(&r->core, &(struct core_options){
                                     .core = r->core.core,
                                     .core_count = p->options.core_count,
                                     .task_count_max = p->options.task_count_max,
                                     .task_stack_bytes = p->options.task_stack_bytes,
                                     .seed = seed,
                                 });
    if (rc == 0)
        rc = pin(r, why, why_bytes);
    if (rc == 0)
        rc = ring_open(r, why, why_bytes);
    if (rc == 0)
        rc = buffers_open(r, why, why_bytes);
    if (rc == 0)
        rc = channels_open(r);
    if (rc == 0 && r->core.core == 0)
        rc = signals_open(r);
    r->core.now_ns = reactor_clock_ns(r);
    if (rc == 0)
        rc = task_spawn(r, run_main, p);
    return rc;
}

static uint64_t next_due_ns(const struct reactor *r)
{
    uint64_t due = core_next_due_ns(&r->core);
    return r->channels.due_count > 0 && r->channels.again_ns < due ? r->channels.again_ns : due;
}

static void rest(struct reactor *r)
{
    struct reactor_core *c = &r->core;
    bool is_idle = !c->is_stopping && !core_has_ready_tasks(c) && !ring_has_completions(r);
    uint64_t due = next_due_ns(r), now = c->slice_start_ns;
    if (is_idle && due > now && channels_may_sleep(r)) {
        ring_turn(r, true, due == UINT64_MAX ? UINT64_MAX : due - now);
        channels_awake(r);
    } else {
        ring_turn(r, false, 0);
    }
}

static void turn(struct reactor *r)
{
    struct reactor_core *c = &r->core;
    c->counters.turns++;
    core_begin_slice(c);
    c->now_ns = c->slice_start_ns;
    if (ring_reap(r) + channels_receive(r) > 0)
        core_end_slice(c);
    core_run_due_timers(c);
    core_run_spawned_tasks(c);
    if (!list_is_empty(&c->ready)) { /* the disk works while they run */
        buffers_publish(r);          /* else the receives that are armed again find none */
        ring_submit(r);
    }
    core_run_ready_tasks(c);
    if (c->turn_hook)
        c->turn_hook(c->turn_context);
    core_end_slice(c);
    channels_publish(r);
    buffers_publish(r);
    rest(r);
}

static void loop(struct reactor *r)
{
    while (!r->core.is_stopping && !atomic_load_explicit(&r->process->must_stop, memory_order_relaxed))
        turn(r);
}

static void *core_thread(void *argument)
{
    struct reactor *r = argument;
    struct process *p = r->process;
    char why[WHY_BYTES] = "";
    int rc = core_start(r, why, sizeof why);
    gate_record(p, rc, why[0] ? why : error_sentence(rc));
    if (gate_pass(p) == 0)
        loop(r);
    ring_quiesce(r);
    if (r->is_abandoned)
        atomic_store(&p->is_abandoned, true);
    listeners_close_all(r);
    sockets_close_all(r);
    files_close_all(r);
    listings_drop_all(r);
    gate_pass(p);
    if (!atomic_load(&p->is_abandoned)) /* else with the process: a write may still come to its end */
        locks_close_all(r);
    signals_close(r);
    channels_close(r);
    buffers_close(r);
    ring_close(r);
    if (!r->is_abandoned)
        core_deinit(&r->core);
    return NULL;
}

/* ---- the process ---- */

static struct reactor *reactor_new(struct process *p, unsigned core)
{
    struct reactor *r = aligned_alloc(CACHE_LINE, (sizeof *r + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!r)
        return NULL;
    memset(r, 0, sizeof *r);
    r->process = p;
    r->core.core = core;
    r->signal_fd = -1;
    list_init(&r->files);
    list_init(&r->locks);
    list_init(&r->listings);
    sockets_init(r);
    return r;
}

static void process_deinit(struct process *p)
{
    for (unsigned i = 0; p->cores && i < p->options.core_count; i++)
        free(p->cores[i]);
    free(p->cores);
    channels_unmap(p);
    pthread_mutex_destroy(&p->gate.lock);
    pthread_mutex_destroy(&p->log_lock);
    pthread_cond_destroy(&p->gate.opened);
}

static int process_init(struct process *p)
{
    pthread_mutex_init(&p->gate.lock, NULL);
    pthread_mutex_init(&p->log_lock, NULL);
    pthread_cond_init(&p->gate.opened, NULL);
    p->gate.expected = p->options.core_count;
    p->cores = calloc(p->options.core_count, sizeof(struct reactor *));
    for (unsigned i = 0; p->cores && i < p->options.core_count; i++)
        if (!(p->cores[i] = reactor_new(p, i)))
            return TORC_E_NO_MEMORY;
    return p->cores ? channels_map(p) : TORC_E_NO_MEMORY;
}

/* Core 0 is the caller; the others are threads of their own. Returns when all have ended. */
static void run_cores(struct process *p)
{
    pthread_t threads[REACTOR_CORES_MAX];
    unsigned started = 1;
    for (int rc = 0; rc == 0 && started < p->options.core_count;) {
        rc = pthread_create(&threads[started], NULL, core_thread, p->cores[started]);
        if (rc)
            gate_record(p, -rc, "a thread could not be started: raise the limit of processes (ulimit -u)");
        else
            started++;
    }
    pthread_mutex_lock(&p->gate.lock);
    p->gate.expected = started; /* nobody has passed: core 0 is not there yet */
    pthread_mutex_unlock(&p->gate.lock);
    core_thread(p->cores[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(threads[i], NULL);
}

/* What the process had before and gets back. */
struct settings {
    sigset_t mask;
    struct sigaction pipe;
};

static void settings_take(struct process *p, struct settings *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    pthread_sigmask(SIG_BLOCK, &set, &s->mask);
    sigaction(SIGPIPE, &ignore, &s->pipe);
    pthread_getaffinity_np(pthread_self(), sizeof p->cpus, &p->cpus);
}

static void settings_restore(const struct process *p, const struct settings *s)
{
    pthread_setaffinity_np(pthread_self(), sizeof p->cpus, &p->cpus);
    sigaction(SIGPIPE, &s->pipe, NULL);
    pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

/* Asked to end once more while it ended: it has, and the process says so with its exit code. */
static void drop_repeated_requests(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    while (sigtimedwait(&set, NULL, &(struct timespec){0}) > 0) {
    }
}

static int check_options(const struct reactor_options *o, char *why, size_t why_bytes)
{
    bool is_power = (o->channel_capacity & (o->channel_capacity - 1)) == 0 &&
                    (o->receive_buffer_count & (o->receive_buffer_count - 1)) == 0;
    if (o->core_count >= 1 && o->core_count <= REACTOR_CORES_MAX && is_power &&
        o->receive_buffer_count <= 32768)
        return 0;
    snprintf(why, why_bytes,
             "1 to %d cores; channel capacity and receive buffer count are powers of two, the latter "
             "at most 32,768",
             REACTOR_CORES_MAX);
    return TORC_E_CONFIGURATION;
}

int reactor_run(const struct reactor_options *options, reactor_main_fn *main, void *context, char *why,
                size_t why_bytes)
{
    int rc = check_options(options, why, why_bytes);
    if (rc)
        return rc;
    struct process p = {.options = *options, .main = main, .context = context};
    struct settings before;
    rc = process_init(&p);
    if (rc == 0) {
        settings_take(&p, &before);
        run_cores(&p);
        if (p.first_error == 0 || atomic_load(&p.is_given_up))
            drop_repeated_requests();
        settings_restore(&p, &before);
        rc = p.first_error;
    }
    if (rc && why_bytes > 0)
        snprintf(why, why_bytes, "%s", p.why[0] ? p.why : error_sentence(rc));
    process_deinit(&p);
    return rc;
}
