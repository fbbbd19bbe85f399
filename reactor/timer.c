/* timer.c - the timers of a core: a binary heap of borrowed timers, earliest on top.
 *
 * Timers of one due time fire in the order in which they were started, so a simulated run is repeatable.
 * Each task owns one entry's room for its deadline: a wait never fails for want of memory. */
#include "reactor/core.h"

enum { TIMERS_SPARE = 64 };

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void place(struct reactor_core *c, uint32_t index, struct timer *t)
{
    c->timers[index] = t;
    t->heap_index = index + 1;
}

static void sift_up(struct reactor_core *c, uint32_t index, struct timer *t)
{
    while (index > 0 && is_before(t, c->timers[(index - 1) / 2])) {
        place(c, index, c->timers[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(c, index, t);
}

static void sift_down(struct reactor_core *c, uint32_t index, struct timer *t)
{
    for (uint32_t child; (child = 2 * index + 1) < c->timer_count; index = child) {
        if (child + 1 < c->timer_count && is_before(c->timers[child + 1], c->timers[child]))
            child++;
        if (!is_before(c->timers[child], t))
            break;
        place(c, index, c->timers[child]);
    }
    place(c, index, t);
}

static void remove_timer(struct reactor_core *c, struct timer *t)
{
    uint32_t index = t->heap_index - 1;
    ASSERT(index < c->timer_count && c->timers[index] == t);
    struct timer *last = c->timers[--c->timer_count];
    t->heap_index = 0;
    if (last == t)
        return;
    if (index > 0 && is_before(last, c->timers[(index - 1) / 2]))
        sift_up(c, index, last);
    else
        sift_down(c, index, last);
}

int timers_init(struct reactor_core *c)
{
    c->timer_capacity = c->task_count_max + TIMERS_SPARE;
    c->timers = heap_alloc(&c->heap, c->timer_capacity * sizeof *c->timers);
    return c->timers ? 0 : TORC_E_NO_MEMORY;
}

static int reserve_one(struct reactor_core *c)
{
    if (c->timer_count + c->task_count_max < c->timer_capacity)
        return 0;
    uint32_t capacity = c->timer_capacity * 2;
    struct timer **timers = heap_realloc(&c->heap, c->timers, capacity * sizeof *timers);
    if (!timers)
        return TORC_E_NO_MEMORY;
    c->timers = timers;
    c->timer_capacity = capacity;
    return 0;
}

void timer_start_reserved(struct reactor_core *c, struct timer *t, uint64_t delay_ns,
                          void (*fire)(struct timer *t))
{
    ASSERT(fire);
    if (t->heap_index)
        remove_timer(c, t);
    ASSERT(c->timer_count < c->timer_capacity);
    t->fire = fire;
    t->due_ns = delay_ns > UINT64_MAX - 1 - c->now_ns ? UINT64_MAX - 1 : c->now_ns + delay_ns;
    t->sequence = c->timer_sequence++;
    sift_up(c, c->timer_count++, t);
}

int timer_start(struct reactor *r, struct timer *t, uint64_t delay_ns, void (*fire)(struct timer *t))
{
    struct reactor_core *c = core_of(r);
    int rc = t->heap_index ? 0 : reserve_one(c);
    if (rc == 0)
        timer_start_reserved(c, t, delay_ns, fire);
    return rc;
}

void timer_stop(struct reactor *r, struct timer *t)
{
    if (t->heap_index)
        remove_timer(core_of(r), t);
}

void core_run_due_timers(struct reactor_core *c)
{
    uint64_t sequence_end = c->timer_sequence;
    while (c->timer_count && c->timers[0]->due_ns <= c->now_ns && c->timers[0]->sequence < sequence_end) {
        struct timer *t = c->timers[0];
        remove_timer(c, t);
        t->fire(t);
    }
}
