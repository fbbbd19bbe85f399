/* task.c - tasks and the events they wait for.
 *
 * Slots come from one array, made when the core starts; a slot's stack is mapped when it is first used and
 * kept, and the slot freed last is used first, so few stacks are warm and no memory is asked for in the
 * steady state. The loop switches to a task and the task back to the loop, never task to task: one place
 * counts slices and looks at finished tasks. */
#include "reactor/core.h"

#include <limits.h>
#include <string.h>

/* Woken tasks of a turn whose input was short: as many as there are reads at the disk, which is busy
 * with them for about as long as answers take to be made. Once it has nothing to do answers go out two at
 * a time, and what is asked for then is at the disk while the next are made. */
enum { TURN_TASKS_MIN = 2, TURN_TASKS_MAX = 16 };
/* task_yield_if_due gives way before the slice would be counted as a stall. */
enum { SLICE_YIELD_NS = REACTOR_SLICE_NS / 2, LOWERED_SLICE_YIELD_NS = REACTOR_SLICE_NS / 4 };

static void task_entry(void *argument)
{
    struct task *t = argument;
    stack_context_entered(&t->core->loop_context);
    t->run(core_reactor(t->core), t->argument);
    t->run = NULL;
    stack_context_leave(&t->context, &t->core->loop_context);
}

int task_spawn(struct reactor *r, task_fn *run, void *argument)
{
    struct reactor_core *c = core_of(r);
    ASSERT(run);
    if (list_is_empty(&c->free_tasks))
        return TORC_E_OVERLOADED;
    struct task *t = CONTAINER_OF(c->free_tasks.next, struct task, link);
    if (!t->stack)
        t->stack = backend_stack_map(c->stack_bytes);
    if (!t->stack)
        return TORC_E_NO_MEMORY;
    list_remove(&t->link);
    t->run = run;
    t->argument = argument;
    t->awaited = NULL;
    t->is_lowered = false;
    stack_context_prepare(&t->context, t->stack, c->stack_bytes, task_entry, t);
    list_push_back(&c->spawned, &t->link);
    c->counters.tasks_spawned++;
    c->counters.tasks_alive++;
    return 0;
}

static void run_task(struct reactor_core *c, struct task *t)
{
    ASSERT(!c->current);
    c->current = t;
    stack_context_switch(&c->loop_context, &t->context);
    c->current = NULL;
    if (t->run)
        return;
    ASSERT(t->deadline.heap_index == 0);
    stack_context_discard(&t->context);
    list_push_back(c->free_tasks.next,
                   &t->link); /* before the first: the warmest stack is the next to be used */
    c->counters.tasks_alive--;
}

/* One slice of background work a turn: what the turn brings waits for no more than that. */
static void run_lowered_task(struct reactor_core *c)
{
    struct list *link = list_pop_front(&c->ready_lowered);
    if (!link)
        return;
    run_task(c, CONTAINER_OF(link, struct task, link));
    core_end_slice(c);
}

/* Up to the link that is `last` now: so many, and more until then. */
static void run_tasks(struct reactor_core *c, struct list *ready, const struct list *last, unsigned count,
                      uint64_t until_ns)
{
    const struct list *link = ready;
    for (unsigned i = 0; (i < count || c->slice_start_ns < until_ns) && link != last; i++) {
        struct list *first = list_pop_front(ready);
        run_task(c, CONTAINER_OF(first, struct task, link));
        core_end_slice(c);
        link = first;
    }
}

void core_run_spawned_tasks(struct reactor_core *c)
{
    c->last_ready = c->ready.previous;
    run_tasks(c, &c->spawned, c->spawned.previous, UINT_MAX, 0);
}

/* Requests that come in turns of many milliseconds may not keep tasks from running: they get as long. */
void core_run_ready_tasks(struct reactor_core *c)
{
    uint64_t input_ns = c->slice_start_ns - c->now_ns;
    uint64_t until_ns = input_ns > REACTOR_SLICE_NS ? c->slice_start_ns + input_ns : 0;
    unsigned count = c->reads_in_flight < TURN_TASKS_MAX ? c->reads_in_flight : TURN_TASKS_MAX;
    run_tasks(c, &c->ready, c->last_ready, count > TURN_TASKS_MIN ? count : TURN_TASKS_MIN, until_ns);
    run_lowered_task(c);
}

void task_suspend(struct reactor_core *c)
{
    struct task *t = c->current;
    ASSERT(t);
    stack_context_switch(&t->context, &c->loop_context);
}

void task_wake(struct reactor_core *c, struct task *t)
{
    ASSERT(t->core == c && list_is_empty(&t->link));
    list_push_back(t->is_lowered ? &c->ready_lowered : &c->ready, &t->link);
}

struct task *task_current(const struct reactor *r)
{
    return ((const struct reactor_core *)r)->current;
}

void task_yield(struct reactor *r)
{
    struct reactor_core *c = core_of(r);
    ASSERT(c->current);
    task_wake(c, c->current);
    task_suspend(c);
}

void task_yield_if_due(struct reactor *r)
{
    const struct reactor_core *c = core_of(r);
    uint64_t slice_ns = c->current && c->current->is_lowered ? LOWERED_SLICE_YIELD_NS : SLICE_YIELD_NS;
    if (reactor_clock_ns(r) - c->slice_start_ns >= slice_ns)
        task_yield(r);
}

void task_lower(struct reactor *r)
{
    ASSERT(core_of(r)->current);
    core_of(r)->current->is_lowered = true;
}

static void on_deadline(struct timer *deadline)
{
    struct task *t = CONTAINER_OF(deadline, struct task, deadline);
    if (t->awaited)
        t->awaited->waiter = NULL;
    task_wake(t->core, t);
}

void task_sleep(struct reactor *r, uint64_t ns)
{
    struct reactor_core *c = core_of(r);
    ASSERT(c->current);
    timer_start_reserved(c, &c->current->deadline, ns, on_deadline);
    task_suspend(c);
}

void event_init(struct event *e)
{
    *e = (struct event){0};
}

void event_set(struct reactor *r, struct event *e, int result)
{
    if (e->is_set)
        return;
    e->is_set = true;
    e->result = result;
    struct task *t = e->waiter;
    if (!t)
        return;
    e->waiter = NULL;
    timer_stop(r, &t->deadline);
    task_wake(core_of(r), t);
}

int event_wait(struct reactor *r, struct event *e, uint64_t timeout_ns)
{
    struct reactor_core *c = core_of(r);
    struct task *t = c->current;
    ASSERT(t && !e->waiter);
    if (!e->is_set) {
        e->waiter = t;
        t->awaited = e;
        if (timeout_ns != EVENT_FOREVER)
            timer_start_reserved(c, &t->deadline, timeout_ns, on_deadline);
        task_suspend(c);
        t->awaited = NULL;
    }
    if (!e->is_set)
        return TORC_E_TIMEOUT;
    e->is_set = false;
    return e->result;
}
