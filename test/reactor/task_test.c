/* task_test.c - tasks, events, timers, the heap and the end of a core. */
#include "test/test.h"

#include <stdio.h>
#include <string.h>

struct trail {
    char steps[64];
    size_t count;
    unsigned left;
    struct event done;
};

static void step(struct trail *t, char name)
{
    ASSERT(t->count + 1 < sizeof t->steps);
    t->steps[t->count++] = name;
}

struct walker {
    struct trail *trail;
    char name;
};

static void walk_twice(struct reactor *r, void *argument)
{
    struct walker *w = argument;
    step(w->trail, w->name);
    task_yield(r);
    step(w->trail, (char)(w->name + 'a' - 'A'));
    if (--w->trail->left == 0)
        event_set(r, &w->trail->done, 7);
}

TEST_IN_REACTOR(tasks_take_turns_in_the_order_they_became_ready)
{
    struct trail trail = {.left = 3};
    struct walker walkers[3] = {{&trail, 'A'}, {&trail, 'B'}, {&trail, 'C'}};
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(task_spawn(r, walk_twice, &walkers[i]), 0);
    CU_ASSERT_EQUAL(event_wait(r, &trail.done, EVENT_FOREVER), 7);
    CU_ASSERT_STRING_EQUAL(trail.steps, "ABCabc");
    CU_ASSERT_PTR_NOT_NULL(task_current(r));
}

static void count_and_end(struct reactor *r, void *argument)
{
    (void)r;
    ++*(unsigned *)argument;
}

TEST_IN_REACTOR(slots_of_ended_tasks_are_used_again)
{
    unsigned ended = 0;
    for (unsigned i = 0; i < 10000; i++) {
        if (task_spawn(r, count_and_end, &ended))
            CU_FAIL("spawn");
        task_yield(r);
    }
    CU_ASSERT_EQUAL(ended, 10000);
    CU_ASSERT_EQUAL(reactor_counters(r).tasks_alive, 1);
    CU_ASSERT_EQUAL(reactor_counters(r).tasks_spawned, 10001);
}

TEST_IN_REACTOR(spawn_beyond_the_bound_is_refused_and_harms_nobody)
{
    unsigned ended = 0, spawned = 0;
    int rc;
    while ((rc = task_spawn(r, count_and_end, &ended)) == 0)
        spawned++;
    CU_ASSERT_EQUAL(rc, TORC_E_OVERLOADED);
    CU_ASSERT_EQUAL(spawned, 255);
    task_yield(r);
    CU_ASSERT_EQUAL(ended, spawned);
}

/* ---- turns ---- */

struct sleeper {
    unsigned *ended;
    struct event wake;
};

static void wait_and_end(struct reactor *r, void *argument)
{
    struct sleeper *s = argument;
    CU_ASSERT_EQUAL(event_wait(r, &s->wake, EVENT_FOREVER), 0);
    ++*s->ended;
}

/* What the turns of a test have done. */
struct turns {
    unsigned woken;
    unsigned fresh;
    unsigned woken_before;
    unsigned woken_most; /* in one turn */
    unsigned fresh_in_first;
};

static void note_turn(void *context)
{
    struct turns *t = context;
    unsigned woken = t->woken - t->woken_before;
    if (t->woken_before == 0 && woken > 0)
        t->fresh_in_first = t->fresh;
    t->woken_most = woken > t->woken_most ? woken : t->woken_most;
    t->woken_before = t->woken;
}

static void read_nothing(struct reactor *r)
{
    struct file *f;
    char path[256];
    uint8_t byte;
    snprintf(path, sizeof path, "%s/empty", test_directory());
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ | FILE_WRITE | FILE_CREATE, &f), 0);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(file_read(r, f, &byte, 1, 0), 0);
    file_close(r, f);
}

/* So that what new tasks ask of the disk is under way, and answers go out, before all have run. No read is
 * under way any more. */
TEST_IN_REACTOR(a_turn_runs_all_new_tasks_and_two_woken_ones)
{
    enum { COUNT = 100 };
    read_nothing(r);
    struct turns t = {0};
    struct sleeper sleepers[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        sleepers[i] = (struct sleeper){.ended = &t.woken};
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, wait_and_end, &sleepers[i]), 0);
    }
    task_yield(r);
    reactor_set_turn_hook(r, note_turn, &t);
    for (unsigned i = 0; i < COUNT; i++) {
        event_set(r, &sleepers[i].wake, 0);
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, count_and_end, &t.fresh), 0);
    }
    for (unsigned turn = 0; turn < COUNT && t.woken < COUNT; turn++)
        task_yield(r);
    task_yield(r);
    reactor_set_turn_hook(r, NULL, NULL);
    CU_ASSERT_EQUAL(t.woken, COUNT);
    CU_ASSERT_EQUAL(t.fresh_in_first, COUNT);
    CU_ASSERT_EQUAL(t.woken_most, 2);
}

/* What a turn brings: in each one a new task that takes five slices. */
struct burden {
    uint64_t turns;
    bool is_over;
};

static void take_long_each_turn(struct reactor *r, void *argument)
{
    struct burden *b = argument;
    uint64_t begin_ns = reactor_clock_ns(r);
    while (reactor_clock_ns(r) < begin_ns + UINT64_C(5) * REACTOR_SLICE_NS) {
    }
    b->turns++;
    if (!b->is_over)
        CU_ASSERT_EQUAL(task_spawn(r, take_long_each_turn, b), 0);
}

TEST_IN_REACTOR(woken_tasks_run_as_long_as_what_the_turn_has_brought)
{
    enum { COUNT = 64 };
    unsigned woken = 0;
    struct sleeper sleepers[COUNT];
    struct burden burden = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        sleepers[i] = (struct sleeper){.ended = &woken};
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, wait_and_end, &sleepers[i]), 0);
    }
    task_yield(r);
    CU_ASSERT_EQUAL(task_spawn(r, take_long_each_turn, &burden), 0);
    for (unsigned i = 0; i < COUNT; i++)
        event_set(r, &sleepers[i].wake, 0);
    task_yield(r); /* behind all of them */
    CU_ASSERT_EQUAL(woken, COUNT);
    CU_ASSERT(burden.turns <= COUNT / 8);
    burden.is_over = true;
    task_yield(r);
    task_yield(r);
}

static void use_stack_and_numbers(struct reactor *r, void *argument)
{
    volatile char deep[16 * 1024];
    double x = 1.5;
    memset((void *)(uintptr_t)deep, 0x5a, sizeof deep);
    for (int i = 0; i < 4; i++) {
        x = x * 2 + (double)deep[i * 4096];
        task_yield(r);
    }
    *(double *)argument = x;
}

TEST_IN_REACTOR(stacks_and_registers_survive_switches)
{
    double results[8] = {0};
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(task_spawn(r, use_stack_and_numbers, &results[i]), 0);
    for (int i = 0; i < 8; i++)
        task_yield(r);
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(results[i], 1.5 * 16 + 90 * 15);
}

TEST_IN_REACTOR(event_wait_times_out_and_takes_the_next_set)
{
    struct event e;
    event_init(&e);
    uint64_t before = reactor_now_ns(r);
    CU_ASSERT_EQUAL(event_wait(r, &e, 3 * 1000 * 1000), TORC_E_TIMEOUT);
    CU_ASSERT(reactor_now_ns(r) >= before + 3 * 1000 * 1000);
    event_set(r, &e, -5);
    event_set(r, &e, -6);
    CU_ASSERT_EQUAL(event_wait(r, &e, 0), -5);
    CU_ASSERT_EQUAL(event_wait(r, &e, 0), TORC_E_TIMEOUT);
}

static void set_event(struct reactor *r, void *argument)
{
    event_set(r, argument, 42);
}

TEST_IN_REACTOR(event_set_by_another_task_ends_the_wait_and_its_deadline)
{
    struct event e;
    event_init(&e);
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(task_spawn(r, set_event, &e), 0);
        CU_ASSERT_EQUAL(event_wait(r, &e, 1000 * 1000 * 1000), 42);
    }
    CU_ASSERT_EQUAL(event_wait(r, &e, 1000 * 1000), TORC_E_TIMEOUT);
}

/* ---- timers ---- */

enum { TIMERS = 500 };

struct alarm {
    struct timer timer;
    struct alarms *all;
};

struct alarms {
    struct reactor *reactor;
    struct alarm list[TIMERS];
    unsigned fired;
    uint64_t last_due;
    uint64_t last_sequence;
    bool is_ordered;
    struct event done;
    unsigned awaited;
};

static void on_alarm(struct timer *t)
{
    struct alarms *all = CONTAINER_OF(t, struct alarm, timer)->all;
    if (t->due_ns < all->last_due || (t->due_ns == all->last_due && t->sequence <= all->last_sequence))
        all->is_ordered = false;
    all->last_due = t->due_ns;
    all->last_sequence = t->sequence;
    if (++all->fired == all->awaited)
        event_set(all->reactor, &all->done, 0);
}

TEST_IN_REACTOR(timers_fire_in_the_order_of_due_time_and_start)
{
    struct alarms *all = reactor_alloc_zeroed(r, sizeof *all);
    all->reactor = r;
    all->is_ordered = true;
    all->awaited = TIMERS - TIMERS / 5;
    for (unsigned i = 0; i < TIMERS; i++) {
        all->list[i].all = all;
        CU_ASSERT_EQUAL(timer_start(r, &all->list[i].timer, (i * 7919 % 50) * 100 * 1000 + 1, on_alarm), 0);
    }
    for (unsigned i = 0; i < TIMERS; i += 5) {
        timer_stop(r, &all->list[i].timer);
        timer_stop(r, &all->list[i].timer);
    }
    for (unsigned i = 1; i < TIMERS; i += 50)
        CU_ASSERT_EQUAL(timer_start(r, &all->list[i].timer, 100 * 1000, on_alarm), 0);
    CU_ASSERT_EQUAL(event_wait(r, &all->done, EVENT_FOREVER), 0);
    CU_ASSERT(all->is_ordered);
    task_sleep(r, 1000 * 1000);
    CU_ASSERT_EQUAL(all->fired, all->awaited);
}

static void on_again(struct timer *t)
{
    struct alarms *all = CONTAINER_OF(t, struct alarm, timer)->all;
    if (++all->fired == 10)
        event_set(all->reactor, &all->done, 0);
    else
        CU_ASSERT_EQUAL(timer_start(all->reactor, t, 0, on_again), 0);
}

TEST_IN_REACTOR(a_timer_that_restarts_itself_does_not_hold_the_turn)
{
    struct alarms *all = reactor_alloc_zeroed(r, sizeof *all);
    all->reactor = r;
    all->list[0].all = all;
    uint64_t turns = reactor_counters(r).turns;
    CU_ASSERT_EQUAL(timer_start(r, &all->list[0].timer, 0, on_again), 0);
    CU_ASSERT_EQUAL(event_wait(r, &all->done, EVENT_FOREVER), 0);
    CU_ASSERT(reactor_counters(r).turns - turns >= 9);
}

/* ---- heap, clock, hooks ---- */

TEST_IN_REACTOR(heap_counts_what_is_allocated)
{
    struct reactor_counters before = reactor_counters(r);
    char *a = reactor_alloc(r, 1000), *b = reactor_alloc_zeroed(r, 5000);
    char *c = reactor_alloc_aligned(r, 8192, FILE_ALIGNMENT);
    CU_ASSERT(a && b && c && (uintptr_t)c % FILE_ALIGNMENT == 0);
    for (int i = 0; i < 5000; i++)
        CU_ASSERT_EQUAL_FATAL(b[i], 0);
    memset(a, 1, 1000);
    a = reactor_realloc(r, a, 100000);
    CU_ASSERT_EQUAL(a[999], 1);
    struct reactor_counters during = reactor_counters(r);
    CU_ASSERT_EQUAL(during.allocations, before.allocations + 4);
    CU_ASSERT(during.heap_bytes >= before.heap_bytes + 113192);
    reactor_free(r, a);
    reactor_free(r, b);
    reactor_free(r, c);
    reactor_free(r, NULL);
    CU_ASSERT_EQUAL(reactor_counters(r).heap_bytes, before.heap_bytes);
}

TEST_IN_REACTOR(clock_and_random_numbers_move_on)
{
    uint64_t first = reactor_random(r), turn = reactor_now_ns(r);
    CU_ASSERT_NOT_EQUAL(first, reactor_random(r));
    CU_ASSERT(reactor_clock_ns(r) >= turn);
    CU_ASSERT_EQUAL(reactor_now_ns(r), turn);
    CU_ASSERT(reactor_wall_ms(r) > 1700000000000);
    task_sleep(r, 2 * 1000 * 1000);
    CU_ASSERT(reactor_now_ns(r) >= turn + 2 * 1000 * 1000);
    uint64_t sleeps = reactor_counters(r).sleeps;
    CU_ASSERT(sleeps >= 1);
}

static void count_turn(void *context)
{
    ++*(unsigned *)context;
}

TEST_IN_REACTOR(turn_hook_runs_once_a_turn)
{
    unsigned hooked = 0;
    reactor_set_turn_hook(r, count_turn, &hooked);
    uint64_t turns = reactor_counters(r).turns;
    for (int i = 0; i < 10; i++)
        task_yield(r);
    CU_ASSERT_EQUAL(hooked, reactor_counters(r).turns - turns);
    CU_ASSERT_EQUAL(hooked, 10);
    reactor_set_turn_hook(r, NULL, NULL);
}

TEST_IN_REACTOR(a_slice_that_takes_too_long_is_counted_once)
{
    task_yield(r);
    struct reactor_counters before = reactor_counters(r);
    uint64_t start = reactor_clock_ns(r);
    while (reactor_clock_ns(r) - start < 2 * REACTOR_SLICE_NS)
        ;
    task_yield(r);
    task_yield(r);
    CU_ASSERT(reactor_counters(r).stalls > before.stalls);
    CU_ASSERT(reactor_counters(r).stall_longest_ns >= 2 * REACTOR_SLICE_NS);
}

/* ---- start and stop ---- */

static void wait_forever(struct reactor *r, void *argument)
{
    struct event e;
    (void)argument;
    event_init(&e);
    CU_ASSERT_EQUAL(event_wait(r, &e, EVENT_FOREVER), 0);
    CU_FAIL("a dropped task must not run");
}

static int drop_tasks(struct reactor *r, void *context)
{
    (void)context;
    for (int i = 0; i < 20; i++)
        if (task_spawn(r, wait_forever, NULL) || !reactor_alloc(r, 1 << 20))
            return -1;
    task_yield(r);
    reactor_stop(r);
    return 0;
}

TEST(suspended_tasks_and_memory_go_with_the_core)
{
    char why[256];
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    for (int i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(reactor_run(&options, drop_tasks, NULL, why, sizeof why), 0);
}

static int fail_at_once(struct reactor *r, void *context)
{
    (void)r;
    return *(int *)context;
}

TEST(a_main_that_fails_ends_the_run_with_its_error)
{
    char why[256] = "";
    int error = TORC_E_DATA_FORMAT;
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    CU_ASSERT_EQUAL(reactor_run(&options, fail_at_once, &error, why, sizeof why), TORC_E_DATA_FORMAT);
    CU_ASSERT_STRING_EQUAL(why, error_sentence(TORC_E_DATA_FORMAT));
    options.core_count = 0;
    CU_ASSERT_EQUAL(reactor_run(&options, fail_at_once, &error, why, sizeof why), TORC_E_CONFIGURATION);
}

/* ---- background work ---- */

struct runner {
    uint32_t runs;
    bool is_lowered;
    bool is_over;
    uint32_t *alive;
};

static void run_on(struct reactor *r, void *context)
{
    struct runner *runner = context;
    if (runner->is_lowered)
        task_lower(r);
    while (!runner->is_over) {
        runner->runs++;
        task_yield(r);
    }
    --*runner->alive;
}

TEST_IN_REACTOR(of_all_lowered_tasks_one_runs_a_turn)
{
    uint32_t alive = 3;
    struct runner runners[3] = {{.alive = &alive},
                                {.alive = &alive, .is_lowered = true},
                                {.alive = &alive, .is_lowered = true}};
    for (unsigned i = 0; i < ARRAY_COUNT(runners); i++)
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, run_on, &runners[i]), 0);
    for (unsigned i = 0; i < 100; i++)
        task_yield(r);
    CU_ASSERT(runners[0].runs >= 99);
    CU_ASSERT(runners[1].runs >= 45 && runners[1].runs <= 55);
    CU_ASSERT(runners[2].runs >= 45 && runners[2].runs <= 55);
    for (unsigned i = 0; i < ARRAY_COUNT(runners); i++)
        runners[i].is_over = true;
    for (unsigned i = 0; i < 100 && alive > 0; i++)
        task_yield(r);
    CU_ASSERT_EQUAL(alive, 0);
}
