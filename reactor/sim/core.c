/* core.c - the turns of a simulated core, and its clocks.
 *
 *   asleep --- timer, completion, message ---> a turn is scheduled ---> turn --- nothing is ready ---> asleep
 *                                                    ^                   |
 *                                                    +--- something is --+
 *
 * A turn takes no time of the world, but each look at the clock takes some of the core: a drawn moment, now
 * and then a long one, as on a machine that has other things to do. The next turn comes no earlier than that,
 * and so cores interleave in another way with every seed. */
#include "reactor/sim/world.h"

#include <xxhash.h>

#define MEMORY_BYTES (UINT64_C(2) << 30)

enum {
    LOOK_NS_MIN = 20,
    LOOK_NS_MAX = 200,
    LONG_LOOK_EVERY = 64,
    LONG_LOOK_NS_MIN = 1000,
    LONG_LOOK_NS_MAX = 60 * 1000,
    WAKE_NS_MIN = 200,
    WAKE_NS_USUAL = 3 * 1000,
    WAKE_NS_MAX = 20 * 1000,
    LONG_WAKE_EVERY = 8,
    NEXT_TURN_NS = 50, /* from a turn to the next when something is ready */
    LATE_NS_MAX = 100 * 1000 * 1000,
};

/* What a core adds to the trace. */
enum { TRACE_TURN = 1, TRACE_LOG, TRACE_END };

static void turn(struct sim_event *e);

uint64_t core_entity(const struct sim_node *n, unsigned core)
{
    return ((uint64_t)n->number << 40) | ((uint64_t)n->run << 8) | core;
}

/* ---- clocks ---- */

uint64_t core_clock_ns(struct reactor *r)
{
    return r->world->now_ns + r->elapsed_ns;
}

/* A moment between low and high, from the upper bits of a draw. */
static uint64_t moment(uint64_t draw, uint64_t low, uint64_t high)
{
    return low + (uint64_t)(((unsigned __int128)draw * (high - low + 1)) >> 64);
}

uint64_t reactor_clock_ns(struct reactor *r)
{
    uint64_t draw = sim_dice_next(&r->clock_dice);
    if (draw % LONG_LOOK_EVERY == 0)
        r->elapsed_ns += moment(draw, LONG_LOOK_NS_MIN, LONG_LOOK_NS_MAX);
    else
        r->elapsed_ns += moment(draw, LOOK_NS_MIN, LOOK_NS_MAX);
    return core_clock_ns(r);
}

uint64_t reactor_wall_ms(struct reactor *r)
{
    if (r->wall_turn != r->core.counters.turns || r->wall_ms == 0) {
        r->wall_ms = node_wall_ms(r->node);
        r->wall_turn = r->core.counters.turns;
    }
    return r->wall_ms;
}

uint64_t reactor_raise_descriptors(void)
{
    return UINT64_MAX;
}

/* Of any machine here. What a history limits, it limits by the server's options. */
uint64_t reactor_memory_bytes(struct reactor *r)
{
    (void)r;
    return MEMORY_BYTES;
}

/* ---- waking ---- */

static uint64_t draw_wake_ns(struct reactor *r)
{
    uint64_t draw = sim_dice_next(&r->wake_dice);
    return moment(draw, WAKE_NS_MIN, draw % LONG_WAKE_EVERY == 0 ? WAKE_NS_MAX : WAKE_NS_USUAL);
}

void core_wake(struct reactor *r, uint64_t delay_ns)
{
    struct sim_world *w = r->world;
    if (r->has_ended)
        return;
    uint64_t due = w->now_ns + delay_ns;
    if (due < r->busy_until_ns)
        due = r->busy_until_ns;
    if (r->turn.heap_index == 0 || r->turn.due_ns > due)
        event_schedule(w, &r->turn, due - w->now_ns, turn);
}

/* Something has come: a sleeping core takes a moment to notice. */
static void rouse(struct reactor *r)
{
    bool is_soon = r->turn.heap_index && r->turn.due_ns <= r->world->now_ns + WAKE_NS_MIN;
    r->is_asleep = false;
    if (r->world->running != r && !is_soon && !r->has_ended)
        core_wake(r, draw_wake_ns(r));
}

void core_post(struct reactor *r, struct sim_completion *c)
{
    ASSERT(!r->has_ended && list_is_empty(&c->link) && c->done);
    list_push_back(&r->completions, &c->link);
    rouse(r);
}

void core_unpost(struct sim_completion *c)
{
    list_remove(&c->link);
}

void core_trace(struct reactor *r, uint64_t what, uint64_t value)
{
    sim_trace(r->world, (what << 16) ^ ((uint64_t)r->node->number << 8) ^ r->core.core, value);
}

void reactor_log_line(struct reactor *r, const char *line, size_t bytes)
{
    const struct sim_world_options *o = &r->world->options;
    core_trace(r, TRACE_LOG, XXH3_64bits(line, bytes));
    if (o->on_log)
        o->on_log(o->context, r->node, line, bytes);
}

/* ---- one turn ---- */

static unsigned take_completions(struct reactor *r)
{
    unsigned count = 0;
    struct list round;
    if (list_is_empty(&r->completions))
        return 0;
    list_push_back(&r->completions, &round); /* the sentinel takes over the whole list */
    list_remove(&r->completions);
    for (struct list *link; (link = list_pop_front(&round)); count++) {
        struct sim_completion *c = CONTAINER_OF(link, struct sim_completion, link);
        c->done(c);
    }
    r->core.counters.completions += count;
    return count;
}

static unsigned take_stop_requests(struct reactor *r)
{
    struct sim_node *n = r->node;
    unsigned count = 0;
    for (; r->core.core == 0 && n->stop_requests > 0; count++) {
        n->stop_requests--;
        if (r->core.stop_handler)
            r->core.stop_handler(r->core.stop_context);
    }
    return count;
}

/* Schedules the next turn, if there is a reason for one. */
static void rest(struct reactor *r)
{
    struct reactor_core *c = &r->core;
    struct sim_world *w = r->world;
    uint64_t next = UINT64_MAX;
    r->busy_until_ns = core_clock_ns(r);
    r->elapsed_ns = 0;
    if (fault_hits(w, SIM_TURN_DELAY, &r->turn_dice))
        r->busy_until_ns += sim_dice_below(&r->turn_dice, LATE_NS_MAX);
    r->is_asleep = !core_has_ready_tasks(c) && list_is_empty(&r->completions);
    if (r->is_asleep) {
        uint64_t due = core_next_due_ns(c), message_due = channels_next_due_ns(r);
        c->counters.sleeps++;
        due = due < message_due ? due : message_due;
        if (due < UINT64_MAX / 2)
            next = due + draw_wake_ns(r);
    } else {
        next = r->busy_until_ns + NEXT_TURN_NS;
    }
    if (r->turn.heap_index && r->turn.due_ns < next)
        next = r->turn.due_ns; /* somebody asked for it during the turn */
    if (next == UINT64_MAX)
        return;
    next = next < r->busy_until_ns ? r->busy_until_ns : next;
    if (r->turn.heap_index == 0 || r->turn.due_ns != next)
        event_schedule(w, &r->turn, next - w->now_ns, turn);
}

static void take_turn(struct reactor *r)
{
    struct reactor_core *c = &r->core;
    c->counters.turns++;
    node_draw_wall_faults(r->node);
    core_begin_slice(c);
    c->now_ns = c->slice_start_ns;
    if (take_completions(r) + take_stop_requests(r) + channels_receive(r) > 0)
        core_end_slice(c);
    core_run_due_timers(c);
    core_run_spawned_tasks(c);
    core_run_ready_tasks(c);
    if (c->turn_hook)
        c->turn_hook(c->turn_context);
    core_end_slice(c);
    channels_publish(r);
}

static void turn(struct sim_event *e)
{
    struct reactor *r = CONTAINER_OF(e, struct reactor, turn);
    struct sim_node *n = r->node;
    struct sim_world *w = r->world;
    ASSERT(!w->running && !r->has_ended);
    if (!n->must_stop) {
        w->running = r;
        r->is_asleep = false;
        take_turn(r);
        core_trace(r, TRACE_TURN, r->elapsed_ns);
        w->running = NULL;
    }
    if (!n->must_stop && !r->core.is_stopping) {
        rest(r);
        return;
    }
    core_end(r, SIM_END_KILL);
    node_end_if_over(n);
}

/* ---- begin and end ---- */

void reactor_give_up(struct reactor *r, int error)
{
    struct sim_node *n = r->node;
    ASSERT(error);
    n->first_error = n->first_error ? n->first_error : error;
    reactor_stop(r);
}

static void run_main(struct reactor *r, void *argument)
{
    struct sim_node *n = argument;
    r->heap_bytes_at_start = (uint64_t)r->core.heap.bytes;
    int rc = n->main(r, n->context);
    if (rc == 0)
        return;
    n->first_error = n->first_error ? n->first_error : rc;
    n->must_stop = true;
    for (unsigned i = 0; i < n->core_count; i++)
        rouse(n->cores[i]);
}

static void init_dice(struct reactor *r)
{
    uint64_t entity = core_entity(r->node, r->core.core);
    stream_dice_init(r->world, &r->clock_dice, SIM_STREAM_CLOCK, entity);
    stream_dice_init(r->world, &r->wake_dice, SIM_STREAM_WAKE, entity);
    fault_dice_init(r->world, &r->turn_dice, SIM_TURN_DELAY, entity);
}

void core_start(struct reactor *r)
{
    struct sim_node *n = r->node;
    struct sim_dice seed;
    struct core_options options = {
        .core = r->core.core,
        .core_count = n->core_count,
        .task_count_max = n->options.task_count_max,
        .task_stack_bytes = n->options.task_stack_bytes,
        .heap_fill = r->world->options.heap_fill,
    };
    stream_dice_init(r->world, &seed, SIM_STREAM_SEED, core_entity(n, r->core.core));
    options.seed = sim_dice_next(&seed);
    int rc = core_init(&r->core, &options);
    if (rc == 0)
        rc = task_spawn(r, run_main, n);
    ASSERT(rc == 0); /* only memory can be missing */
    /* The core's own arrays are larger in a sanitized build: no count may tell. */
    r->core.heap.bytes = 0;
    r->core.now_ns = r->world->now_ns;
    list_init(&r->completions);
    init_dice(r);
    files_init(r);
    sockets_init(r);
    rouse(r);
}

void core_end(struct reactor *r, enum sim_end how)
{
    struct sim_leaks *leaks = &r->node->leaks;
    uint64_t sockets = 0, listeners = 0;
    ASSERT(!r->has_ended && !r->world->running);
    core_trace(r, TRACE_END, r->core.counters.turns);
    leaks->tasks += r->core.counters.tasks_alive;
    leaks->timers += r->core.timer_count;
    leaks->files += files_on_end(r);
    sockets_on_end(r, how, &sockets, &listeners);
    leaks->sockets += sockets;
    leaks->listeners += listeners;
    while (list_pop_front(&r->completions)) {
    }
    event_cancel(r->world, &r->turn);
    r->has_ended = true;
}
