/* world.c - the one loop of a simulated world: what is due next runs, and time jumps to it.
 *
 * Events lie in a binary heap by (due, tie, sequence). The tie is drawn when an event is scheduled, so what
 * is due at one time runs in an order that the seed decides, and another seed tries another. Each event that
 * runs goes into the trace: two runs with one trace did the same things at the same times. */
#include "reactor/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVENTS_AT_FIRST = 256, NODES_MAX = 1024 };

static const uint64_t WORLD_BEGINS_NS = 1000 * 1000 * 1000;

/* ---- memory ---- */

_Noreturn static void end_without_memory(size_t bytes)
{
    fprintf(stderr, "simulator: out of memory: %zu bytes\n", bytes);
    abort();
}

void *sim_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        end_without_memory(bytes);
    return memory;
}

void *sim_realloc(void *memory, size_t bytes)
{
    void *fresh = realloc(memory, bytes ? bytes : 1);
    if (!fresh)
        end_without_memory(bytes);
    return fresh;
}

void sim_free(void *memory)
{
    free(memory);
}

/* ---- trace ---- */

static inline uint64_t rolled(uint64_t trace, uint64_t value)
{
    trace = (trace ^ value) * 0x9fb21c651e98df25;
    return trace ^ (trace >> 32);
}

void sim_trace(struct sim_world *w, uint64_t what, uint64_t value)
{
    w->trace = rolled(rolled(w->trace, what), value);
}

uint64_t sim_trace_hash(const struct sim_world *w)
{
    return w->trace;
}

/* ---- the heap of events ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->due_ns != b->due_ns)
        return a->due_ns < b->due_ns;
    return a->tie != b->tie ? a->tie < b->tie : a->sequence < b->sequence;
}

static void place(struct sim_world *w, uint32_t index, struct sim_event *e)
{
    w->events[index] = e;
    e->heap_index = index + 1;
}

static void sift_up(struct sim_world *w, uint32_t index, struct sim_event *e)
{
    while (index > 0 && is_before(e, w->events[(index - 1) / 2])) {
        place(w, index, w->events[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(w, index, e);
}

static void sift_down(struct sim_world *w, uint32_t index, struct sim_event *e)
{
    for (uint32_t child; (child = 2 * index + 1) < w->event_count; index = child) {
        if (child + 1 < w->event_count && is_before(w->events[child + 1], w->events[child]))
            child++;
        if (!is_before(w->events[child], e))
            break;
        place(w, index, w->events[child]);
    }
    place(w, index, e);
}

void event_cancel(struct sim_world *w, struct sim_event *e)
{
    if (e->heap_index == 0)
        return;
    uint32_t index = e->heap_index - 1;
    ASSERT(index < w->event_count && w->events[index] == e);
    struct sim_event *last = w->events[--w->event_count];
    e->heap_index = 0;
    if (last == e)
        return;
    if (index > 0 && is_before(last, w->events[(index - 1) / 2]))
        sift_up(w, index, last);
    else
        sift_down(w, index, last);
}

void event_schedule(struct sim_world *w, struct sim_event *e, uint64_t delay_ns,
                    void (*run)(struct sim_event *e))
{
    ASSERT(run);
    event_cancel(w, e);
    if (w->event_count == w->event_capacity) {
        w->event_capacity = w->event_capacity ? w->event_capacity * 2 : EVENTS_AT_FIRST;
        w->events = sim_realloc(w->events, w->event_capacity * sizeof *w->events);
    }
    e->run = run;
    e->due_ns = delay_ns > UINT64_MAX - 1 - w->now_ns ? UINT64_MAX - 1 : w->now_ns + delay_ns;
    e->tie = sim_dice_next(&w->tie_dice);
    e->sequence = w->event_sequence++;
    sift_up(w, w->event_count++, e);
}

/* ---- running ---- */

bool sim_step(struct sim_world *w)
{
    ASSERT(!w->running);
    if (w->event_count == 0)
        return false;
    struct sim_event *e = w->events[0];
    event_cancel(w, e);
    ASSERT(e->due_ns >= w->now_ns);
    w->now_ns = e->due_ns;
    w->events_run++;
    sim_trace(w, e->due_ns, e->sequence);
    e->run(e); /* may free it */
    return true;
}

bool sim_run(struct sim_world *w, uint64_t until_ns, bool (*is_done)(void *context), void *context)
{
    while (!is_done || !is_done(context)) {
        if (w->event_count == 0)
            return false;
        if (w->events[0]->due_ns > until_ns) {
            if (until_ns > w->now_ns)
                w->now_ns = until_ns;
            return false;
        }
        if (!sim_step(w))
            return false;
    }
    return true;
}

struct call {
    struct sim_event event;
    struct list link;
    struct sim_world *world;
    void (*call)(void *context);
    void *context;
};

static void make_call(struct sim_event *e)
{
    struct call *c = CONTAINER_OF(e, struct call, event);
    struct call made = *c;
    list_remove(&c->link);
    sim_free(c);
    made.call(made.context);
}

void sim_call_at(struct sim_world *w, uint64_t at_ns, void (*call)(void *context), void *context)
{
    struct call *c = sim_alloc(sizeof *c);
    c->world = w;
    c->call = call;
    c->context = context;
    list_push_back(&w->calls, &c->link);
    event_schedule(w, &c->event, at_ns > w->now_ns ? at_ns - w->now_ns : 0, make_call);
}

/* ---- faults ---- */

void sim_world_set_faults(struct sim_world *w, const struct sim_faults *faults)
{
    w->options.faults = *faults;
}

void sim_fault_count(struct sim_world *w, enum sim_fault fault)
{
    ASSERT(fault < SIM_FAULT_COUNT);
    w->fault_hits[fault]++;
    sim_trace(w, fault, w->fault_hits[fault]);
}

uint64_t sim_fault_hits(const struct sim_world *w, enum sim_fault fault)
{
    ASSERT(fault < SIM_FAULT_COUNT);
    return w->fault_hits[fault];
}

uint64_t sim_events(const struct sim_world *w)
{
    return w->events_run;
}

uint64_t sim_now_ns(const struct sim_world *w)
{
    return w->now_ns;
}

/* ---- begin and end ---- */

struct sim_world *sim_world_new(const struct sim_world_options *options)
{
    struct sim_world *w = sim_alloc(sizeof *w);
    w->options = *options;
    w->now_ns = WORLD_BEGINS_NS;
    w->nodes = sim_alloc(NODES_MAX * sizeof(struct sim_node *));
    list_init(&w->calls);
    stream_dice_init(w, &w->tie_dice, SIM_STREAM_TIE, 0);
    w->network = network_new(w);
    return w;
}

void world_add_node(struct sim_world *w, struct sim_node *n)
{
    ASSERT(w->node_count < NODES_MAX);
    n->number = w->node_count;
    w->nodes[w->node_count++] = n;
}

void sim_world_free(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++)
        node_free(w->nodes[i]);
    network_free(w->network);
    for (struct list *link; (link = list_pop_front(&w->calls));) {
        struct call *c = CONTAINER_OF(link, struct call, link);
        event_cancel(w, &c->event);
        sim_free(c);
    }
    sim_free(w->events);
    sim_free(w->nodes);
    sim_free(w);
}
