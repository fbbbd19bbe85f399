/* phase.c - a load or a run by all threads. */
#include "bench/phase.h"

#include "bench/clock.h"
#include "bench/format.h"
#include "bench/process.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

/* A thread that is this much of the time on its processor has none left for more load. */
#define BUSY_SHARE 0.95

/* Waiting for a processor that another has, beyond which results are marked. Kernel threads that write the
 * disk for a server count as others, too, so a few per cent are usual. */
#define DISTURBED_SHARE 0.10

/* Share of requests sent late, beyond which an open loop's schedule counts as missed. */
#define LATE_SHARE 0.001

/* What is left over at the end and shorter than this says nothing about the rate. */
#define SECOND_LENGTH_MIN 0.1

enum { PENDING_MAX = 8, CONNECT_TIMEOUT_MS = 10000 };

static volatile bool is_interrupted;

void phase_interrupt(void)
{
    is_interrupted = true;
}

/* A second that not all threads have handed in. */
struct pending {
    struct histogram latency;
    uint64_t done, errors;
    double length_s;
    uint32_t reports;
};

struct collector {
    pthread_mutex_t lock; /* over all below */
    struct phase *phase;
    FILE *progress;  /* null: none */
    uint32_t active; /* threads still running */
    uint64_t first;  /* the oldest pending second */
    struct pending pending[PENDING_MAX];
};

struct worker {
    struct load load;
    struct collector *collector;
    pthread_t thread;
    pthread_barrier_t *start;
    struct process_times used;
    uint64_t wall_ns;
    int rc;
};

/* ---- seconds ---- */

static void add_second(struct phase *p, const struct phase_second *second)
{
    if (p->second_count == p->second_capacity) {
        uint32_t capacity = p->second_capacity ? 2 * p->second_capacity : 64;
        struct phase_second *grown = realloc(p->seconds, capacity * sizeof *grown);
        if (!grown)
            return; /* the report lacks a second; the totals do not */
        p->seconds = grown;
        p->second_capacity = capacity;
    }
    p->seconds[p->second_count++] = *second;
}

static void print_second(FILE *to, const char *name, const struct phase_second *s)
{
    char rate[FORMAT_BYTES], p50[FORMAT_BYTES], p99[FORMAT_BYTES], max[FORMAT_BYTES];
    fprintf(to, "%-4s %6.1f s %12s ops/s %6lu errors   p50 %9s  p99 %9s  max %9s\n", name, s->at_s,
            format_count(rate, (double)s->done / s->length_s), s->errors, format_duration(p50, s->p50_ns),
            format_duration(p99, s->p99_ns), format_duration(max, s->max_ns));
    fflush(to);
}

/* Ends the oldest pending second. */
static void complete_second(struct collector *c)
{
    struct pending *oldest = &c->pending[c->first % PENDING_MAX];
    bool is_telling =
        oldest->length_s >= SECOND_LENGTH_MIN || (c->phase->second_count == 0 && oldest->length_s > 0.0);
    if (oldest->reports > 0 && is_telling) {
        struct phase_second s = {
            .at_s = (double)c->first + oldest->length_s,
            .length_s = oldest->length_s,
            .done = oldest->done,
            .errors = oldest->errors,
            .p50_ns = histogram_percentile(&oldest->latency, 50.0),
            .p99_ns = histogram_percentile(&oldest->latency, 99.0),
            .max_ns = histogram_max(&oldest->latency),
        };
        add_second(c->phase, &s);
        if (c->progress)
            print_second(c->progress, c->phase->name, &s);
    }
    memset(oldest, 0, sizeof *oldest);
    c->first++;
}

static void complete_seconds(struct collector *c)
{
    for (int i = 0; i < PENDING_MAX; i++) {
        const struct pending *oldest = &c->pending[c->first % PENDING_MAX];
        if (oldest->reports == 0 || oldest->reports < c->active)
            return;
        complete_second(c);
    }
}

static void on_second(void *owner, struct load *l, uint64_t second_index)
{
    struct worker *w = owner;
    struct collector *c = w->collector;
    struct histogram latency;
    recorder_latency(&l->recorder.second, &latency);
    double length_s =
        l->is_over && l->last_reply_ns > l->second_ns ? (double)(l->last_reply_ns - l->second_ns) / 1e9 : 1.0;
    pthread_mutex_lock(&c->lock);
    while (second_index >= c->first + PENDING_MAX)
        complete_second(c);
    if (second_index >= c->first) {
        struct pending *p = &c->pending[second_index % PENDING_MAX];
        histogram_merge(&p->latency, &latency);
        p->done += recorder_done_count(&l->recorder.second);
        p->errors += recorder_error_count(&l->recorder.second);
        p->length_s = length_s > p->length_s ? length_s : p->length_s;
        p->length_s = p->length_s > 1.0 ? 1.0 : p->length_s;
        p->reports++;
    }
    complete_seconds(c);
    pthread_mutex_unlock(&c->lock);
}

/* ---- threads ---- */

static void *work(void *context)
{
    struct worker *w = context;
    pthread_barrier_wait(w->start);
    struct process_times before;
    process_times_of_thread(&before);
    uint64_t began_ns = clock_now_ns();
    w->rc = load_run(&w->load);
    w->wall_ns = clock_now_ns() - began_ns;
    process_times_of_thread(&w->used);
    w->used.cpu_ns -= before.cpu_ns;
    w->used.wait_ns -= before.wait_ns;
    pthread_mutex_lock(&w->collector->lock);
    w->collector->active--;
    complete_seconds(w->collector);
    pthread_mutex_unlock(&w->collector->lock);
    return NULL;
}

/* Share number `index` of `total`, as equal as can be. */
static uint64_t share_of(uint64_t total, uint32_t index, uint32_t count)
{
    return total * (index + 1) / count - total * index / count;
}

static int open_worker(struct worker *w, const struct options *o, bool is_loading, char *why,
                       size_t why_bytes)
{
    uint32_t index = w->load.plan.thread_index;
    struct load_plan plan = {
        .keys = o->keyspace,
        .key_count = o->keys,
        .workload = o->workload,
        .distribution = w->load.plan.distribution,
        .is_loading = is_loading,
        .is_verifying = o->is_verifying,
        .thread_index = index,
        .thread_count = o->threads,
        .connections = (uint32_t)share_of(o->connections, index, o->threads),
        .depth = o->depth,
        .operation_limit = is_loading ? 0 : share_of(o->operations, index, o->threads),
        .duration_ns = is_loading ? 0 : (uint64_t)(o->duration_s * 1e9),
        .rate = is_loading ? 0.0 : o->rate / o->threads,
        .seed = o->seed + (is_loading ? 0 : 1),
    };
    struct driver_options driver = {
        .host = o->host,
        .port = o->port,
        .connections = plan.connections,
        .depth = plan.depth,
        .timeout_ms = CONNECT_TIMEOUT_MS,
        .on_reply = load_on_reply,
        .owner = &w->load,
    };
    int rc = load_init(&w->load, &plan);
    w->load.on_second = on_second;
    w->load.owner = w;
    w->load.is_interrupted = &is_interrupted;
    return rc ? rc : driver_open(o->class, &driver, &w->load.driver, why, why_bytes);
}

static void close_workers(struct worker *workers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (workers[i].load.driver)
            driver_close(workers[i].load.driver);
        load_deinit(&workers[i].load);
    }
    free(workers);
}

static int open_workers(struct worker *workers, const struct options *o, bool is_loading, char *why,
                        size_t why_bytes)
{
    struct distribution distribution;
    distribution_init(&distribution, o->workload.distribution, o->keys, o->theta);
    for (uint32_t i = 0; i < o->threads; i++) {
        workers[i].load.plan.thread_index = i;
        workers[i].load.plan.distribution = distribution;
        int rc = open_worker(&workers[i], o, is_loading, why, why_bytes);
        if (rc)
            return rc;
    }
    return 0;
}

/* Returns: 0 when all threads ran; -errno when one could not be made, and then none ran. */
static int run_workers(struct worker *workers, uint32_t count, struct collector *c)
{
    pthread_barrier_t start;
    int rc = -pthread_barrier_init(&start, NULL, count);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        workers[i].collector = c;
        workers[i].start = &start;
        rc = -pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        if (rc && i > 0) {
            fprintf(stderr, "kvbench: cannot start thread %u: %s\n", i, error_sentence(rc));
            abort(); /* the others wait at the barrier for good */
        }
    }
    for (uint32_t i = 0; i < count && rc == 0; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&start);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = workers[i].rc;
    return rc;
}

/* ---- what came of it ---- */

static void sum_up(struct phase *p, const struct worker *workers, uint32_t count)
{
    uint64_t first_ns = UINT64_MAX, last_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct load *l = &workers[i].load;
        recorder_merge(&p->tally, &l->recorder.total);
        p->late_count += l->late_count;
        p->late_max_ns = l->late_max_ns > p->late_max_ns ? l->late_max_ns : p->late_max_ns;
        p->blocked_count += l->blocked_count;
        p->unsent_count += l->unsent_count;
        p->unanswered_count += l->unanswered_count;
        first_ns = l->start_ns < first_ns ? l->start_ns : first_ns;
        last_ns = l->last_reply_ns > last_ns ? l->last_reply_ns : last_ns;
        const struct worker *w = &workers[i];
        double cpu = (double)w->used.cpu_ns / (double)w->wall_ns,
               wait = (double)w->used.wait_ns / (double)w->wall_ns;
        if (cpu + wait > p->client_cpu_share + p->client_wait_share) {
            p->client_cpu_share = cpu;
            p->client_wait_share = wait;
        }
    }
    p->wall_s = last_ns > first_ns ? (double)(last_ns - first_ns) / 1e9 : 1e-9;
}

enum phase_limit phase_judge(double client_share, double server_share)
{
    bool is_client_busy = client_share >= BUSY_SHARE;
    if (server_share < 0.0)
        return is_client_busy ? PHASE_LIMIT_CLIENT : PHASE_LIMIT_UNKNOWN;
    bool is_server_busy = server_share >= BUSY_SHARE;
    if (is_client_busy)
        return is_server_busy ? PHASE_LIMIT_BOTH : PHASE_LIMIT_CLIENT;
    return is_server_busy ? PHASE_LIMIT_SERVER : PHASE_LIMIT_NEITHER;
}

/* An open loop spins between requests, so its processor time says nothing; its lateness does. */
static enum phase_limit judge(const struct phase *p)
{
    if (!p->is_open_loop)
        return phase_judge(p->client_cpu_share + p->client_wait_share,
                           p->server_cpu_share < 0.0 ? -1.0 : p->server_cpu_share + p->server_wait_share);
    if ((double)p->late_count > LATE_SHARE * (double)recorder_done_count(&p->tally))
        return PHASE_LIMIT_LATE;
    return p->blocked_count + p->unsent_count > 0 ? PHASE_LIMIT_SERVER : PHASE_LIMIT_RATE;
}

bool phase_is_disturbed(const struct phase *p)
{
    /* Threads of a server also wait for each other: where it has its core nearly to itself, that is all. */
    bool is_server_disturbed = p->server_wait_share > DISTURBED_SHARE && p->server_cpu_share < BUSY_SHARE;
    return p->client_wait_share > DISTURBED_SHARE || is_server_disturbed;
}

const char *phase_limit_name(enum phase_limit limit)
{
    switch (limit) {
    case PHASE_LIMIT_UNKNOWN:
        return "not_client";
    case PHASE_LIMIT_CLIENT:
        return "client";
    case PHASE_LIMIT_SERVER:
        return "server";
    case PHASE_LIMIT_BOTH:
        return "both";
    case PHASE_LIMIT_NEITHER:
        return "neither";
    case PHASE_LIMIT_LATE:
        return "late";
    case PHASE_LIMIT_RATE:
        return "rate";
    }
    return "?";
}

const char *phase_limit_sentence(enum phase_limit limit)
{
    switch (limit) {
    case PHASE_LIMIT_UNKNOWN:
        return "the client had processor time left (give --server-pid to learn about the server)";
    case PHASE_LIMIT_CLIENT:
        return "THE CLIENT WAS THE LIMIT: the server can do more than these numbers say (more --threads?)";
    case PHASE_LIMIT_SERVER:
        return "the server was the limit";
    case PHASE_LIMIT_BOTH:
        return "client and server were both busy: neither can be called the limit";
    case PHASE_LIMIT_NEITHER:
        return "both had processor time left: they waited for the disk, the network or more requests in "
               "flight";
    case PHASE_LIMIT_LATE:
        return "THE CLIENT FELL BEHIND ITS SCHEDULE: part of the latencies is its own (more --threads, an "
               "idle core?)";
    case PHASE_LIMIT_RATE:
        return "the client kept its schedule and the server kept up with it";
    }
    return "?";
}

int phase_parse_stages(struct phase *p, const char *json)
{
    json_error_t error;
    json_t *root = json_loads(json, 0, &error);
    const json_t *stages = json_object_get(root, "stages");
    p->stage_count = 0;
    for (size_t i = 0; i < json_array_size(stages) && p->stage_count < PHASE_STAGES_MAX; i++) {
        const json_t *from = json_array_get(stages, i);
        const char *name = json_string_value(json_object_get(from, "name"));
        if (!name)
            continue;
        struct phase_stage *s = &p->stages[p->stage_count++];
        snprintf(s->name, sizeof s->name, "%s", name);
        s->count = (uint64_t)json_integer_value(json_object_get(from, "count"));
        s->p50_us = json_number_value(json_object_get(from, "p50_us"));
        s->p90_us = json_number_value(json_object_get(from, "p90_us"));
        s->p99_us = json_number_value(json_object_get(from, "p99_us"));
        s->max_us = json_number_value(json_object_get(from, "max_us"));
    }
    bool is_sound = json_is_array(stages);
    json_decref(root);
    return is_sound ? 0 : TORC_E_MALFORMED;
}

static void ask_stages(struct phase *p, struct driver *d)
{
    char *json = NULL;
    int rc = driver_info(d, "stages", &json);
    if (rc == 0)
        rc = phase_parse_stages(p, json);
    free(json);
    if (rc)
        snprintf(p->stages_problem, sizeof p->stages_problem, "no stages from the server: %s",
                 error_sentence(rc));
}

static int run_and_measure(struct phase *p, const struct options *o, struct worker *workers,
                           struct collector *c)
{
    struct process_times before, after;
    bool is_known = o->server_pid && process_times_of(o->server_pid, &before);
    uint64_t began_ns = clock_now_ns();
    int rc = run_workers(workers, o->threads, c);
    if (is_known && process_times_of(o->server_pid, &after) && after.cpu_ns >= before.cpu_ns) {
        double wall_ns = (double)(clock_now_ns() - began_ns);
        p->server_cpu_share = (double)(after.cpu_ns - before.cpu_ns) / wall_ns;
        /* The waiting of a thread that has ended is gone from the sum. */
        p->server_wait_share =
            after.wait_ns > before.wait_ns ? (double)(after.wait_ns - before.wait_ns) / wall_ns : 0.0;
    }
    for (int i = 0; i < PENDING_MAX; i++)
        complete_second(c);
    sum_up(p, workers, o->threads);
    p->limit = judge(p);
    return rc;
}

int phase_run(struct phase *p, const struct options *o, bool is_loading, FILE *to, char *why,
              size_t why_bytes)
{
    *p = (struct phase){
        .name = is_loading ? "load" : "run",
        .is_open_loop = !is_loading && o->rate > 0.0,
        .drain_ms = load_drain_ms(&o->workload),
        .server_cpu_share = -1.0,
        .server_wait_share = -1.0,
    };
    struct collector *c = calloc(1, sizeof *c);
    struct worker *workers = calloc(o->threads, sizeof *workers);
    if (!c || !workers) {
        free(c);
        free(workers);
        return TORC_E_NO_MEMORY;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->phase = p;
    c->progress = o->wants_progress ? to : NULL;
    c->active = o->threads;
    int rc = open_workers(workers, o, is_loading, why, why_bytes);
    if (rc == 0)
        rc = run_and_measure(p, o, workers, c);
    if (rc == 0 && o->wants_stages && !is_loading && p->unanswered_count == 0)
        ask_stages(p, workers[0].load.driver);
    close_workers(workers, o->threads);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return rc;
}

void phase_deinit(struct phase *p)
{
    free(p->seconds);
    p->seconds = NULL;
}
