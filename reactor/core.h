/* core.h - what both backends share of a core: heap, tasks, timers, hooks, counters.
 *
 * A backend's `struct reactor` begins with a `struct reactor_core`, so the shared calls of reactor.h work on
 * either. The backend provides reactor_clock_ns and the two stack calls below, keeps now_ns, and calls
 * core_* from its loop. Internal to reactor/. */
#ifndef REACTOR_CORE_H
#define REACTOR_CORE_H

#include "reactor/heap.h"
#include "reactor/reactor.h"
#include "reactor/task_switch.h"

enum { TASK_COUNT_DEFAULT = 256, TASK_STACK_BYTES_DEFAULT = 64 * 1024 };

struct task {
    struct list link; /* in ready or in free_tasks; alone while suspended or running */
    struct stack_context context;
    void *stack; /* lowest usable byte; null until first used; kept for the next task of this slot */
    struct event *awaited; /* null, or what event_wait is in */
    struct timer deadline;
    struct reactor_core *core;
    task_fn *run;
    void *argument;
    bool is_lowered; /* task_lower */
};

struct reactor_core {
    unsigned core;
    unsigned core_count;
    bool is_stopping;
    uint64_t now_ns;

    struct heap heap;

    struct task *tasks; /* task_count_max slots */
    unsigned task_count_max;
    size_t stack_bytes;
    struct list spawned; /* ready, and not begun yet */
    struct list ready;
    const struct list *last_ready; /* of those that may run in this turn; the list itself when none */
    struct list ready_lowered;
    struct list free_tasks;
    struct task *current;
    struct stack_context loop_context;
    uint64_t slice_start_ns;
    unsigned reads_in_flight; /* of files; the backend counts them */

    struct timer **timers; /* a binary heap by (due_ns, sequence) */
    uint32_t timer_count;
    uint32_t timer_capacity; /* always room for one more of each task */
    uint64_t timer_sequence;

    void (*turn_hook)(void *context);
    void *turn_context;
    void (*stop_handler)(void *context);
    void *stop_context;
    void (*message_handler)(void *context, const struct message *m);
    void *message_context;

    uint64_t random_state[4];
    struct reactor_counters counters; /* without those of the heap, which reactor_counters() adds */
};

static inline struct reactor_core *core_of(struct reactor *r)
{
    return (struct reactor_core *)r;
}

static inline struct reactor *core_reactor(struct reactor_core *c)
{
    return (struct reactor *)c;
}

struct core_options {
    unsigned core;
    unsigned core_count;
    unsigned task_count_max;   /* 0 means TASK_COUNT_DEFAULT */
    unsigned task_stack_bytes; /* 0 means TASK_STACK_BYTES_DEFAULT */
    uint64_t seed;             /* of reactor_random */
    uint8_t heap_fill;         /* struct heap */
};

/* Returns: 0 or TORC_E_NO_MEMORY, then core_deinit is still due. `*c` need not be zeroed. */
MUST_CHECK int core_init(struct reactor_core *c, const struct core_options *options);
/* Drops suspended tasks where they stand, unmaps their stacks and destroys the heap. */
void core_deinit(struct reactor_core *c);

/* Runs what is due at now_ns; a timer that starts another with no delay has it run the next time. */
void core_run_due_timers(struct reactor_core *c);
/* Returns: when the next timer is due, UINT64_MAX if none runs. */
static inline uint64_t core_next_due_ns(const struct reactor_core *c)
{
    return c->timer_count ? c->timers[0]->due_ns : UINT64_MAX;
}

/* A turn's first half: runs the tasks that have not begun yet. */
void core_run_spawned_tasks(struct reactor_core *c);
/* Its second: runs those that were ready before the first once, up to a bound, and one of those that are
 * lowered. */
void core_run_ready_tasks(struct reactor_core *c);
static inline bool core_has_ready_tasks(const struct reactor_core *c)
{
    return !list_is_empty(&c->spawned) || !list_is_empty(&c->ready) || !list_is_empty(&c->ready_lowered);
}

/* One slice begins, or ends and the next begins: longer ones than REACTOR_SLICE_NS are counted. */
void core_begin_slice(struct reactor_core *c);
void core_end_slice(struct reactor_core *c);

/* Suspends the current task until task_wake. Waits. */
void task_suspend(struct reactor_core *c);
void task_wake(struct reactor_core *c, struct task *t);

/* timer.c's own: an entry whose room is reserved, so it cannot fail. */
void timer_start_reserved(struct reactor_core *c, struct timer *t, uint64_t delay_ns,
                          void (*fire)(struct timer *t));
MUST_CHECK int timers_init(struct reactor_core *c);

/* stack.c's: a new stack with an inaccessible page below it. Returns: its lowest usable byte, or null. */
void *stack_map(size_t bytes);
void stack_unmap(void *stack, size_t bytes);

/* Of the backend: the same, or stacks that it has kept. */
void *backend_stack_map(size_t bytes);
void backend_stack_unmap(void *stack, size_t bytes);

#endif
