/* node.c - a simulated process: its cores start and end together; its disk and its wall clock stay.
 *
 *             start                  all cores stopped: result, leaks
 *    down ------------> up --------------------------------------------> down
 *                        +--- killed: heaps go where they stand --------> down
 *
 * At a kill the order matters: first all that is under way for the node is forgotten (files, sockets,
 * completions, messages), then its heaps go, and only then may a loss of power strike the disk. */
#include "reactor/sim/world.h"

#include <stdio.h>
#include <string.h>

enum {
    TASKS_DEFAULT = 256,
    CHANNEL_CAPACITY_DEFAULT = 1024,
    RECEIVE_BUFFER_BYTES_DEFAULT = 16 * 1024,
    RECEIVE_BUFFER_COUNT_DEFAULT = 256,
    RECEIVE_BUFFER_COUNT_MAX = 32768,
    DRIFT_PER_MILLION_MAX = 1000,
    SIGNAL_NS = 1000, /* from a request to stop to the turn that hears of it */
};

enum { DICE_JUMP, DICE_DRIFT, DICE_FREEZE };

/* What nodes add to the trace. */
enum { TRACE_START = 0x100, TRACE_KILL, TRACE_RESULT };

static const uint64_t WALL_BEGINS_NS = 1800000000000000000;
static const uint64_t WALL_JUMP_NS_MAX = 3600ull * 1000 * 1000 * 1000;
static const uint64_t WALL_FREEZE_NS_MAX = 10ull * 1000 * 1000 * 1000;
static const uint64_t DISK_BYTES_DEFAULT = 1 << 30;
static const uint64_t PROCESS_DISK_BYTES = 64ull << 30;

/* ---- the wall clock ---- */

static int64_t drift_ns(const struct sim_node *n, uint64_t now_ns)
{
    return (int64_t)(now_ns - n->wall_drifts_since_ns) / 1000000 * n->wall_drift_per_million;
}

uint64_t node_wall_ms(const struct sim_node *n)
{
    uint64_t now = n->world->now_ns;
    if (now < n->wall_frozen_until_ns)
        now = n->wall_frozen_at_ns;
    int64_t wall = (int64_t)(WALL_BEGINS_NS + now) + n->wall_offset_ns + drift_ns(n, now);
    return (uint64_t)wall / 1000000;
}

void node_draw_wall_faults(struct sim_node *n)
{
    struct sim_world *w = n->world;
    struct sim_dice *jump = &n->wall_dice[DICE_JUMP], *freeze = &n->wall_dice[DICE_FREEZE];
    if (fault_hits(w, SIM_WALL_JUMP, jump))
        n->wall_offset_ns +=
            (int64_t)sim_dice_between(jump, 0, 2 * WALL_JUMP_NS_MAX) - (int64_t)WALL_JUMP_NS_MAX;
    if (w->now_ns >= n->wall_frozen_until_ns && fault_hits(w, SIM_WALL_FREEZE, freeze)) {
        n->wall_frozen_at_ns = w->now_ns;
        n->wall_frozen_until_ns = w->now_ns + sim_dice_between(freeze, 1, WALL_FREEZE_NS_MAX);
    }
}

void sim_node_move_wall(struct sim_node *n, int64_t by_ns)
{
    n->wall_offset_ns += by_ns;
}

/* What it has drifted so far stays; from now on it drifts as drawn. */
static void draw_drift(struct sim_node *n)
{
    struct sim_dice *d = &n->wall_dice[DICE_DRIFT];
    n->wall_offset_ns += drift_ns(n, n->world->now_ns);
    n->wall_drifts_since_ns = n->world->now_ns;
    n->wall_drift_per_million = 0;
    if (fault_hits(n->world, SIM_WALL_DRIFT, d))
        n->wall_drift_per_million =
            (int64_t)sim_dice_between(d, 0, 2 * DRIFT_PER_MILLION_MAX) - DRIFT_PER_MILLION_MAX;
}

/* ---- a node ---- */

struct sim_node *sim_node_new(struct sim_world *w, const char *host, struct sim_disk *disk)
{
    struct sim_node *n = sim_alloc(sizeof *n);
    ASSERT(strlen(host) < sizeof n->host);
    n->world = w;
    world_add_node(w, n);
    snprintf(n->host, sizeof n->host, "%s", host);
    n->disk = disk ? disk : sim_disk_new(DISK_BYTES_DEFAULT, n->number);
    fault_dice_init(w, &n->wall_dice[DICE_JUMP], SIM_WALL_JUMP, n->number);
    fault_dice_init(w, &n->wall_dice[DICE_DRIFT], SIM_WALL_DRIFT, n->number);
    fault_dice_init(w, &n->wall_dice[DICE_FREEZE], SIM_WALL_FREEZE, n->number);
    return n;
}

static void node_trace(struct sim_node *n, uint64_t what, uint64_t value)
{
    sim_trace(n->world, (what << 16) ^ n->number, value);
}

static int check_options(const struct reactor_options *o)
{
    bool is_power = (o->channel_capacity & (o->channel_capacity - 1)) == 0 &&
                    (o->receive_buffer_count & (o->receive_buffer_count - 1)) == 0;
    bool is_fine = o->core_count >= 1 && o->core_count <= REACTOR_CORES_MAX && is_power &&
                   o->receive_buffer_count <= RECEIVE_BUFFER_COUNT_MAX;
    return is_fine ? 0 : TORC_E_CONFIGURATION;
}

static struct reactor_options with_defaults(const struct reactor_options *options)
{
    struct reactor_options o = *options;
    o.task_count_max = o.task_count_max ? o.task_count_max : TASKS_DEFAULT;
    o.task_stack_bytes = o.task_stack_bytes ? o.task_stack_bytes : TASK_STACK_BYTES_DEFAULT;
    o.channel_capacity = o.channel_capacity ? o.channel_capacity : CHANNEL_CAPACITY_DEFAULT;
    o.receive_buffer_bytes = o.receive_buffer_bytes ? o.receive_buffer_bytes : RECEIVE_BUFFER_BYTES_DEFAULT;
    o.receive_buffer_count = o.receive_buffer_count ? o.receive_buffer_count : RECEIVE_BUFFER_COUNT_DEFAULT;
    return o;
}

static struct reactor *core_new(struct sim_node *n, unsigned core)
{
    struct reactor *r = sim_alloc(sizeof *r);
    r->world = n->world;
    r->node = n;
    r->core.core = core;
    return r;
}

void sim_node_start(struct sim_node *n, const struct reactor_options *options, reactor_main_fn *main,
                    void *context)
{
    ASSERT(!sim_node_is_up(n) && n->disk && main && check_options(options) == 0 && !n->world->running);
    n->options = with_defaults(options);
    n->main = main;
    n->context = context;
    n->core_count = options->core_count;
    n->cores_ended = 0;
    n->first_error = 0;
    n->stop_requests = 0;
    n->must_stop = false;
    n->leaks = (struct sim_leaks){0};
    n->run++;
    node_trace(n, TRACE_START, n->run);
    draw_drift(n);
    channels_open(n);
    n->cores = sim_alloc(n->core_count * sizeof(struct reactor *));
    for (unsigned i = 0; i < n->core_count; i++)
        n->cores[i] = core_new(n, i);
    for (unsigned i = 0; i < n->core_count; i++)
        core_start(n->cores[i]);
}

bool sim_node_is_up(const struct sim_node *n)
{
    return n->cores != NULL;
}

/* Nothing refers to what is on the heaps any more. */
static void drop_cores(struct sim_node *n)
{
    channels_close(n);
    for (unsigned i = 0; i < n->core_count; i++) {
        ASSERT(n->cores[i]->has_ended);
        core_deinit(&n->cores[i]->core);
        sim_free(n->cores[i]);
    }
    sim_free(n->cores);
    n->cores = NULL;
}

/* Arrays of the core's own that have grown are no leak: they get the size they had when it started. */
static int64_t leaked_bytes(struct reactor *r)
{
    struct reactor_core *c = &r->core;
    heap_free(&c->heap, c->timers);
    c->timer_count = 0;
    int rc = timers_init(c);
    ASSERT(rc == 0);
    return c->heap.bytes - (int64_t)r->heap_bytes_at_start;
}

void node_end_if_over(struct sim_node *n)
{
    if (++n->cores_ended < n->core_count)
        return;
    for (unsigned i = 0; i < n->core_count; i++) { /* each: what one frees too often another lacks */
        int64_t bytes = leaked_bytes(n->cores[i]);
        n->leaks.heap_bytes += (uint64_t)(bytes < 0 ? -bytes : bytes);
    }
    n->result = n->first_error;
    node_trace(n, TRACE_RESULT, (uint64_t)n->result);
    drop_cores(n);
}

void sim_node_kill(struct sim_node *n, enum sim_end how)
{
    struct sim_world *w = n->world;
    ASSERT(!w->running);
    if (!sim_node_is_up(n))
        return;
    sim_fault_count(w, how == SIM_END_POWER ? SIM_POWER_LOSS : SIM_KILL);
    node_trace(n, TRACE_KILL, n->run);
    for (unsigned i = 0; i < n->core_count; i++)
        if (!n->cores[i]->has_ended)
            core_end(n->cores[i], how);
    drop_cores(n);
    n->leaks = (struct sim_leaks){0};
    if (how == SIM_END_POWER)
        disk_on_power_loss(n->disk, w);
}

void sim_node_ask_to_stop(struct sim_node *n)
{
    ASSERT(!n->world->running);
    if (!sim_node_is_up(n))
        return;
    if (!n->cores[0]->core.stop_handler) {
        sim_node_kill(n, SIM_END_KILL);
        return;
    }
    if (n->cores[0]->has_ended)
        return;
    n->stop_requests++;
    core_wake(n->cores[0], SIGNAL_NS);
}

void node_free(struct sim_node *n)
{
    sim_node_kill(n, SIM_END_KILL);
    if (n->disk)
        sim_disk_free(n->disk);
    sim_free(n);
}

/* ---- looking at it ---- */

int sim_node_result(const struct sim_node *n)
{
    return n->result;
}

struct sim_leaks sim_node_leaks(const struct sim_node *n)
{
    return n->leaks;
}

bool sim_leaks_tell(const struct sim_leaks *l, char text[SIM_LEAKS_TEXT_BYTES])
{
    snprintf(text, SIM_LEAKS_TEXT_BYTES,
             "%llu files, %llu sockets, %llu listeners, %llu tasks, %llu timers, %llu bytes of heap",
             (unsigned long long)l->files, (unsigned long long)l->sockets, (unsigned long long)l->listeners,
             (unsigned long long)l->tasks, (unsigned long long)l->timers, (unsigned long long)l->heap_bytes);
    return l->files || l->sockets || l->listeners || l->tasks || l->timers || l->heap_bytes;
}

struct reactor *sim_node_core(struct sim_node *n, unsigned core)
{
    ASSERT(!n->cores || core < n->core_count);
    return n->cores ? n->cores[core] : NULL;
}

struct sim_world *sim_node_world(const struct sim_node *n)
{
    return n->world;
}

struct sim_disk *sim_node_disk(struct sim_node *n)
{
    return n->disk;
}

struct sim_disk *sim_node_take_disk(struct sim_node *n)
{
    struct sim_disk *disk = n->disk;
    ASSERT(!sim_node_is_up(n));
    n->disk = NULL;
    return disk;
}

void sim_node_give_disk(struct sim_node *n, struct sim_disk *disk)
{
    ASSERT(!sim_node_is_up(n) && !n->disk && disk);
    n->disk = disk;
}

/* ---- one node by itself ---- */

static void print_line(void *context, struct sim_node *n, const char *line, size_t bytes)
{
    (void)context;
    (void)n;
    fprintf(stderr, "%.*s\n", (int)bytes, line);
}

/* What one run leaves is there for the next, as on the disk of any process. */
static struct sim_disk *disk_of_process;

/* A world without faults. Returns: TORC_E_TIMEOUT when all cores wait for what never comes. */
int reactor_run(const struct reactor_options *options, reactor_main_fn *main, void *context, char *why,
                size_t why_bytes)
{
    struct sim_world_options world_options = {.seed = 1, .on_log = print_line};
    int rc = check_options(options);
    if (rc == 0) {
        struct sim_world *w = sim_world_new(&world_options);
        if (!disk_of_process)
            disk_of_process = sim_disk_new(PROCESS_DISK_BYTES, 0);
        struct sim_node *n = sim_node_new(w, "127.0.0.1", disk_of_process);
        sim_node_start(n, options, main, context);
        while (sim_node_is_up(n) && sim_step(w)) {
        }
        rc = sim_node_is_up(n) ? TORC_E_TIMEOUT : sim_node_result(n);
        sim_node_kill(n, SIM_END_KILL);
        disk_of_process = sim_node_take_disk(n);
        sim_world_free(w);
    }
    if (rc && why_bytes > 0)
        snprintf(why, why_bytes, "%s", error_sentence(rc));
    return rc;
}
