/* reactor_test.c - simulated cores: the same again from the same seed, kills, leaks, stops, channels. */
#include "reactor/sim/sim.h"
#include "test/test.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t SECOND = 1000 * 1000 * 1000;
static const uint64_t MILLISECOND = 1000 * 1000;

static struct sim_world *new_world(uint64_t seed)
{
    return sim_world_new(&(struct sim_world_options){.seed = seed});
}

static struct sim_node *new_node(struct sim_world *w)
{
    return sim_node_new(w, "10.0.0.1", NULL);
}

static void start(struct sim_node *n, unsigned cores, reactor_main_fn *main, void *context)
{
    sim_node_start(n, &(struct reactor_options){.core_count = cores, .channel_capacity = 64}, main, context);
}

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

/* ---- a busy node: tasks, timers, messages and clocks on several cores ---- */

enum { BUSY_CORES = 3, BUSY_ROUNDS = 200 };

struct busy_core {
    struct reactor *reactor;
    struct timer timer;
    unsigned rounds_left;
    uint64_t received;
    uint64_t sum;
};

struct busy {
    struct busy_core cores[BUSY_CORES];
};

static void busy_on_message(void *context, const struct message *m)
{
    struct busy_core *c = context;
    uint64_t *block = m->payload;
    c->received++;
    c->sum = c->sum * 31 + m->word + *block;
    reactor_free(c->reactor, block);
}

static void busy_send(struct busy_core *c)
{
    struct reactor *r = c->reactor;
    unsigned to = (reactor_core(r) + 1 + (unsigned)(reactor_random(r) % (BUSY_CORES - 1))) % BUSY_CORES;
    struct message m = {.kind = 1, .word = reactor_random(r), .payload = reactor_alloc(r, 100)};
    *(uint64_t *)m.payload = reactor_clock_ns(r);
    if (!channel_send(r, to, &m))
        reactor_free(r, m.payload);
}

static void busy_on_timer(struct timer *t)
{
    struct busy_core *c = CONTAINER_OF(t, struct busy_core, timer);
    busy_send(c);
    if (--c->rounds_left == 0)
        reactor_stop(c->reactor);
    else
        CU_ASSERT_EQUAL(timer_start(c->reactor, t, reactor_random(c->reactor) % (50 * MILLISECOND),
                                    busy_on_timer),
                        0);
}

static void busy_task(struct reactor *r, void *argument)
{
    (void)argument;
    for (int i = 0; i < 20; i++) {
        task_yield_if_due(r);
        task_sleep(r, reactor_random(r) % MILLISECOND);
    }
}

static int busy_main(struct reactor *r, void *context)
{
    struct busy_core *c = &((struct busy *)context)->cores[reactor_core(r)];
    *c = (struct busy_core){.reactor = r, .rounds_left = BUSY_ROUNDS};
    reactor_set_message_handler(r, busy_on_message, c);
    for (int i = 0; i < 5; i++)
        if (task_spawn(r, busy_task, NULL))
            return TORC_E_OVERLOADED;
    return timer_start(r, &c->timer, 1, busy_on_timer);
}

/* Returns: the trace of a run with these options to its end. */
static uint64_t trace_of_busy(const struct sim_world_options *options, struct sim_world **world)
{
    struct busy busy;
    struct sim_world *w = sim_world_new(options);
    struct sim_node *n = new_node(w);
    start(n, BUSY_CORES, busy_main, &busy);
    CU_ASSERT(sim_run(w, 60 * SECOND, is_down, n));
    for (unsigned i = 0; i < BUSY_CORES; i++)
        sim_trace(w, i, busy.cores[i].sum);
    uint64_t trace = sim_trace_hash(w);
    if (world)
        *world = w;
    else
        sim_world_free(w);
    return trace;
}

TEST(one_seed_has_one_trace_whatever_memory_holds)
{
    struct sim_world_options options = {.seed = 7};
    uint64_t trace = trace_of_busy(&options, NULL);
    void *elsewhere = malloc(1 << 20);
    CU_ASSERT_EQUAL(trace_of_busy(&options, NULL), trace);
    free(elsewhere);
    options.heap_fill = 0xa5;
    CU_ASSERT_EQUAL(trace_of_busy(&options, NULL), trace);
    options.seed = 8;
    CU_ASSERT_NOT_EQUAL(trace_of_busy(&options, NULL), trace);
}

static struct sim_faults all_faults_of_turns(void)
{
    struct sim_faults faults = {{0}};
    faults.per_million[SIM_CHANNEL_FULL] = 100 * 1000;
    faults.per_million[SIM_CHANNEL_DELAY] = 100 * 1000;
    faults.per_million[SIM_WALL_JUMP] = 10 * 1000;
    faults.per_million[SIM_WALL_FREEZE] = 10 * 1000;
    faults.per_million[SIM_TURN_DELAY] = 10 * 1000;
    return faults;
}

TEST(faults_happen_are_counted_and_can_be_repeated)
{
    struct sim_world *w;
    struct sim_world_options options = {.seed = 7, .faults = all_faults_of_turns()};
    uint64_t trace = trace_of_busy(&options, &w);
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        CU_ASSERT_EQUAL(sim_fault_hits(w, f) > 0, options.faults.per_million[f] > 0);
    sim_world_free(w);
    CU_ASSERT_EQUAL(trace_of_busy(&options, NULL), trace);
    options.faults.per_million[SIM_TURN_DELAY] = 0;
    CU_ASSERT_NOT_EQUAL(trace_of_busy(&options, NULL), trace);
}

TEST(a_fault_that_is_switched_off_leaves_the_others_where_they_were)
{
    struct sim_world *with, *without;
    struct sim_world_options options = {.seed = 7, .faults = all_faults_of_turns()};
    trace_of_busy(&options, &with);
    options.faults.per_million[SIM_WALL_JUMP] = 0; /* nobody in this node asks for that time */
    trace_of_busy(&options, &without);
    CU_ASSERT(sim_fault_hits(with, SIM_WALL_JUMP) > 0);
    CU_ASSERT_EQUAL(sim_fault_hits(without, SIM_WALL_JUMP), 0);
    CU_ASSERT_EQUAL(sim_events(with), sim_events(without));
    CU_ASSERT_EQUAL(sim_now_ns(with), sim_now_ns(without));
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        if (f != SIM_WALL_JUMP)
            CU_ASSERT_EQUAL(sim_fault_hits(with, f), sim_fault_hits(without, f));
    sim_world_free(with);
    sim_world_free(without);
}

/* ---- kills ---- */

static void never_called(void *context)
{
    (void)context;
    CU_FAIL("a world that is gone calls nobody");
}

TEST(a_world_may_end_with_calls_still_to_make_and_nodes_up)
{
    struct busy busy;
    struct sim_world *w = new_world(3);
    start(new_node(w), BUSY_CORES, busy_main, &busy);
    new_node(w);
    sim_call_at(w, 100 * SECOND, never_called, NULL);
    CU_ASSERT_FALSE(sim_run(w, SECOND + 20 * MILLISECOND, NULL, NULL));
    sim_world_free(w);
}

struct killing {
    struct sim_node *node;
    struct busy busy;
    unsigned kills;
    enum sim_end how;
};

static void kill_and_restart(void *context)
{
    struct killing *k = context;
    struct sim_world *w = sim_node_world(k->node);
    CU_ASSERT_TRUE(sim_node_is_up(k->node));
    sim_node_kill(k->node, k->how);
    CU_ASSERT_FALSE(sim_node_is_up(k->node));
    CU_ASSERT_PTR_NULL(sim_node_core(k->node, 0));
    sim_node_kill(k->node, k->how); /* no more dead than dead */
    start(k->node, BUSY_CORES, busy_main, &k->busy);
    CU_ASSERT_PTR_NOT_NULL(sim_node_core(k->node, BUSY_CORES - 1));
    if (++k->kills < 50)
        sim_call_at(w, sim_now_ns(w) + k->kills * 100 * 1000, kill_and_restart, k);
}

static void check_kills(enum sim_end how, enum sim_fault fault)
{
    struct sim_world *w = new_world(5);
    struct killing k = {.node = new_node(w), .how = how};
    start(k.node, BUSY_CORES, busy_main, &k.busy);
    sim_call_at(w, SECOND + 1, kill_and_restart, &k);
    CU_ASSERT(sim_run(w, 100 * SECOND, is_down, k.node));
    CU_ASSERT_EQUAL(k.kills, 50);
    CU_ASSERT_EQUAL(sim_fault_hits(w, fault), 50);
    CU_ASSERT_EQUAL(sim_node_result(k.node), 0);
    sim_world_free(w);
}

TEST(a_killed_process_starts_again_as_often_as_one_likes)
{
    check_kills(SIM_END_KILL, SIM_KILL);
}

TEST(a_machine_that_lost_power_starts_again)
{
    check_kills(SIM_END_POWER, SIM_POWER_LOSS);
}

static int note_random(struct reactor *r, void *context)
{
    uint64_t **next = context;
    *(*next)++ = reactor_random(r);
    reactor_stop(r);
    return 0;
}

TEST(each_run_of_each_core_has_random_numbers_of_its_own)
{
    uint64_t numbers[4], *next = numbers;
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    for (int i = 0; i < 2; i++) {
        start(n, 2, note_random, &next);
        CU_ASSERT(sim_run(w, 10 * SECOND, is_down, n));
    }
    CU_ASSERT_PTR_EQUAL(next, numbers + 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(numbers[i], numbers[j]);
    sim_world_free(w);
}

/* ---- ends ---- */

static void never_fires(struct timer *t)
{
    (void)t;
    CU_FAIL("a stopped timer fired");
}

static int tidy_main(struct reactor *r, void *context)
{
    struct timer timers[200] = {0}; /* more than there is room for at first */
    void *memory = reactor_alloc(r, 100000);
    (void)context;
    for (unsigned i = 0; i < ARRAY_COUNT(timers); i++)
        CU_ASSERT_EQUAL(timer_start(r, &timers[i], SECOND, never_fires), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(timers); i++)
        timer_stop(r, &timers[i]);
    task_sleep(r, MILLISECOND);
    reactor_free(r, memory);
    reactor_stop(r);
    return 0;
}

static void wait_forever(struct reactor *r, void *argument)
{
    struct event e;
    (void)argument;
    event_init(&e);
    CU_ASSERT_EQUAL(event_wait(r, &e, EVENT_FOREVER), 0);
}

static int untidy_main(struct reactor *r, void *context)
{
    struct timer *left = reactor_alloc_zeroed(r, sizeof *left);
    (void)context;
    if (task_spawn(r, wait_forever, NULL) || task_spawn(r, wait_forever, NULL))
        return TORC_E_OVERLOADED;
    CU_ASSERT_EQUAL(timer_start(r, left, SECOND, never_fires), 0);
    task_yield(r);
    reactor_stop(r);
    return 0;
}

static struct sim_leaks leaks_of(unsigned cores, reactor_main_fn *main)
{
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    start(n, cores, main, NULL);
    CU_ASSERT(sim_run(w, 10 * SECOND, is_down, n));
    struct sim_leaks leaks = sim_node_leaks(n);
    sim_world_free(w);
    return leaks;
}

TEST(a_tidy_end_leaves_nothing)
{
    struct sim_leaks leaks = leaks_of(4, tidy_main), none = {0};
    CU_ASSERT_EQUAL(memcmp(&leaks, &none, sizeof leaks), 0);
}

TEST(what_an_untidy_end_leaves_is_counted)
{
    struct sim_leaks leaks = leaks_of(2, untidy_main);
    CU_ASSERT_EQUAL(leaks.tasks, 2 * 2);
    CU_ASSERT_EQUAL(leaks.timers, 2 * 1);
    CU_ASSERT(leaks.heap_bytes >= 2 * sizeof(struct timer) && leaks.heap_bytes < 1000);
    CU_ASSERT_EQUAL(leaks.files + leaks.sockets + leaks.listeners, 0);
}

static int give_up_on_core_1(struct reactor *r, void *context)
{
    unsigned *gone_on = context;
    if (reactor_core(r) == 1) {
        reactor_give_up(r, TORC_E_TIMEOUT);
        return 0;
    }
    task_sleep(r, 10 * SECOND);
    ++*gone_on;
    reactor_stop(r);
    return 0;
}

TEST(a_core_that_gives_up_ends_its_node_with_an_error_when_the_others_have_stopped)
{
    unsigned gone_on = 0;
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    start(n, 3, give_up_on_core_1, &gone_on);
    CU_ASSERT(sim_run(w, 20 * SECOND, is_down, n));
    CU_ASSERT_EQUAL(sim_node_result(n), TORC_E_TIMEOUT);
    CU_ASSERT_EQUAL(gone_on, 2);
    sim_world_free(w);
}

static int fail_on_core_1(struct reactor *r, void *context)
{
    (void)context;
    if (reactor_core(r) == 1)
        return TORC_E_CORRUPT;
    task_sleep(r, 1000 * SECOND);
    CU_FAIL("a core goes on after another has failed");
    return 0;
}

TEST(a_main_that_fails_ends_all_cores_of_its_node_and_no_other)
{
    struct busy busy;
    struct sim_world *w = new_world(1);
    struct sim_node *failing = new_node(w), *other = sim_node_new(w, "10.0.0.2", NULL);
    start(other, BUSY_CORES, busy_main, &busy);
    start(failing, 3, fail_on_core_1, NULL);
    CU_ASSERT(sim_run(w, 2 * SECOND, is_down, failing));
    CU_ASSERT_EQUAL(sim_node_result(failing), TORC_E_CORRUPT);
    CU_ASSERT_TRUE(sim_node_is_up(other));
    CU_ASSERT(sim_run(w, 60 * SECOND, is_down, other));
    CU_ASSERT_EQUAL(sim_node_result(other), 0);
    sim_world_free(w);
}

static int forever_main(struct reactor *r, void *context)
{
    (void)context;
    wait_forever(r, NULL);
    return 0;
}

TEST(reactor_run_is_a_world_of_one_node)
{
    char why[256] = "";
    struct reactor_options options = {.core_count = 0};
    CU_ASSERT_EQUAL(reactor_run(&options, tidy_main, NULL, why, sizeof why), TORC_E_CONFIGURATION);
    options.core_count = 2;
    CU_ASSERT_EQUAL(reactor_run(&options, tidy_main, NULL, why, sizeof why), 0);
    CU_ASSERT_EQUAL(reactor_run(&options, forever_main, NULL, why, sizeof why), TORC_E_TIMEOUT);
}

static int write_main(struct reactor *r, void *context)
{
    struct file *f;
    bool is_first = *(int *)context == 0;
    int rc = file_open(r, "left-by-a-run", FILE_WRITE | (is_first ? FILE_CREATE | FILE_EXCLUSIVE : 0), &f);
    if (rc == 0)
        file_close(r, f);
    reactor_stop(r);
    return rc;
}

TEST(files_that_one_reactor_run_leaves_are_there_for_the_next)
{
    char why[256];
    struct reactor_options options = {.core_count = 1};
    for (int run = 0; run < 2; run++)
        CU_ASSERT_EQUAL(reactor_run(&options, write_main, &run, why, sizeof why), 0);
}

TEST(nothing_happens_in_a_world_of_nodes_that_are_down)
{
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    CU_ASSERT_FALSE(sim_node_is_up(n));
    CU_ASSERT_PTR_EQUAL(sim_node_world(n), w);
    CU_ASSERT_FALSE(sim_step(w));
    struct sim_disk *disk = sim_node_take_disk(n);
    CU_ASSERT_PTR_NULL(sim_node_disk(n));
    sim_node_give_disk(n, disk);
    CU_ASSERT_PTR_EQUAL(sim_node_disk(n), disk);
    sim_world_free(w);
}

/* ---- asking it to stop ---- */

struct stopping {
    struct reactor *reactor;
    struct event asked;
    unsigned count;
    bool has_handler;
};

static void on_stop(void *context)
{
    struct stopping *s = context;
    CU_ASSERT_PTR_NULL(task_current(s->reactor));
    s->count++;
    event_set(s->reactor, &s->asked, 0);
}

static int stopping_main(struct reactor *r, void *context)
{
    struct stopping *s = context;
    s->reactor = r;
    event_init(&s->asked);
    if (s->has_handler)
        reactor_set_stop_handler(r, on_stop, s);
    while (s->count < 3)
        if (event_wait(r, &s->asked, 100 * SECOND))
            return TORC_E_TIMEOUT;
    reactor_stop(r);
    return 0;
}

static void ask(void *context)
{
    sim_node_ask_to_stop(context);
}

TEST(each_request_to_stop_reaches_the_handler)
{
    struct stopping s = {.has_handler = true};
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    start(n, 1, stopping_main, &s);
    sim_call_at(w, 2 * SECOND, ask, n);
    sim_call_at(w, 2 * SECOND, ask, n);
    sim_call_at(w, 3 * SECOND, ask, n);
    CU_ASSERT(sim_run(w, 4 * SECOND, is_down, n));
    CU_ASSERT_EQUAL(sim_node_result(n), 0);
    CU_ASSERT_EQUAL(s.count, 3);
    CU_ASSERT(sim_now_ns(w) >= 3 * SECOND && sim_now_ns(w) < 3 * SECOND + MILLISECOND);
    sim_node_ask_to_stop(n); /* it is down: nobody hears */
    sim_world_free(w);
}

TEST(a_request_to_stop_without_a_handler_kills)
{
    struct stopping s = {.has_handler = false};
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    start(n, 1, stopping_main, &s);
    sim_call_at(w, 2 * SECOND, ask, n);
    CU_ASSERT(sim_run(w, 3 * SECOND, is_down, n));
    CU_ASSERT_EQUAL(sim_fault_hits(w, SIM_KILL), 1);
    CU_ASSERT_EQUAL(sim_now_ns(w), 2 * SECOND);
    sim_world_free(w);
}

/* ---- channels ---- */

enum { NUMBERS = 1000 };

struct stream {
    struct reactor *receiver;
    uint64_t next;
    unsigned out_of_order;
    unsigned refused;
    uint64_t sent_at;
    uint64_t slowest_ns;
};

static void stream_on_message(void *context, const struct message *m)
{
    struct stream *s = context;
    uint64_t took = reactor_now_ns(s->receiver) - (uint64_t)(uintptr_t)m->payload;
    s->out_of_order += m->word != s->next++ || m->from != 0;
    s->slowest_ns = took > s->slowest_ns ? took : s->slowest_ns;
    if (s->next == NUMBERS)
        reactor_stop(s->receiver);
}

static int stream_main(struct reactor *r, void *context)
{
    struct stream *s = context;
    if (reactor_core(r) == 1) {
        s->receiver = r;
        task_sleep(r, 10 * MILLISECOND); /* until there is a handler messages wait in the channel */
        reactor_set_message_handler(r, stream_on_message, s);
        return 0;
    }
    for (uint64_t i = 0; i < NUMBERS; i++) {
        struct message m = {.word = i, .from = 9, .payload = (void *)(uintptr_t)reactor_clock_ns(r)};
        while (!channel_send(r, 1, &m)) {
            s->refused++;
            task_sleep(r, 100 * 1000);
        }
    }
    reactor_stop(r);
    return 0;
}

static void check_stream(enum sim_fault fault, uint32_t per_million, uint64_t slowest_ns)
{
    struct stream s = {0};
    struct sim_world_options options = {.seed = 1};
    options.faults.per_million[fault] = per_million;
    struct sim_world *w = sim_world_new(&options);
    struct sim_node *n = new_node(w);
    start(n, 2, stream_main, &s);
    CU_ASSERT(sim_run(w, 60 * SECOND, is_down, n));
    CU_ASSERT_EQUAL(s.next, NUMBERS);
    CU_ASSERT_EQUAL(s.out_of_order, 0);
    CU_ASSERT(s.refused > 0);
    CU_ASSERT(s.slowest_ns < slowest_ns);
    CU_ASSERT_EQUAL(sim_fault_hits(w, fault) > 0, per_million > 0);
    sim_world_free(w);
}

TEST(messages_keep_their_order_whether_late_or_refused)
{
    check_stream(SIM_CHANNEL_DELAY, 0, 11 * MILLISECOND);
    check_stream(SIM_CHANNEL_DELAY, 300 * 1000, 21 * MILLISECOND);
    check_stream(SIM_CHANNEL_FULL, 300 * 1000, 11 * MILLISECOND);
}

static int overfill_main(struct reactor *r, void *context)
{
    unsigned *sent = context;
    struct message m = {.kind = 1};
    if (reactor_core(r) == 0)
        while (channel_send(r, 1, &m))
            ++*sent;
    reactor_stop(r);
    return 0;
}

TEST(a_channel_takes_its_capacity_and_no_more)
{
    unsigned sent = 0;
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    start(n, 2, overfill_main, &sent);
    CU_ASSERT(sim_run(w, 60 * SECOND, is_down, n));
    CU_ASSERT_EQUAL(sent, 64);
    sim_world_free(w);
}

/* ---- what it says ---- */

struct said {
    struct sim_node *node;
    char text[64];
};

static void note_line(void *context, struct sim_node *n, const char *line, size_t bytes)
{
    struct said *s = context;
    s->node = n;
    ASSERT(bytes < sizeof s->text);
    memcpy(s->text, line, bytes);
}

static int say_main(struct reactor *r, void *context)
{
    (void)context;
    reactor_log_line(r, "hello, world", 5);
    reactor_stop(r);
    return 0;
}

TEST(log_lines_come_with_their_node)
{
    struct said said = {0};
    struct sim_world *w =
        sim_world_new(&(struct sim_world_options){.seed = 1, .context = &said, .on_log = note_line});
    struct sim_node *n = new_node(w);
    start(n, 1, say_main, NULL);
    CU_ASSERT(sim_run(w, 2 * SECOND, is_down, n));
    CU_ASSERT_PTR_EQUAL(said.node, n);
    CU_ASSERT_STRING_EQUAL(said.text, "hello");
    sim_world_free(w);
}

static int read_before_write(struct reactor *r, void *context)
{
    bool *is_filled = context;
    uint8_t *memory = reactor_alloc(r, 1000), *zeroed = reactor_alloc_zeroed(r, 1000);
    *is_filled = memory[0] == 0xa5 && memory[999] == 0xa5 && zeroed[0] == 0 && zeroed[999] == 0;
    memset(memory, 1, 1000);
    memory = reactor_realloc(r, memory, 2000);
    *is_filled &= memory[0] == 1 && memory[999] == 1 && memory[1999] == 0xa5;
    reactor_free(r, memory);
    reactor_free(r, zeroed);
    reactor_stop(r);
    return 0;
}

TEST(memory_that_was_not_written_holds_the_fill)
{
    bool is_filled = false;
    struct sim_world *w = sim_world_new(&(struct sim_world_options){.seed = 1, .heap_fill = 0xa5});
    struct sim_node *n = new_node(w);
    start(n, 1, read_before_write, &is_filled);
    CU_ASSERT(sim_run(w, 2 * SECOND, is_down, n));
    CU_ASSERT_TRUE(is_filled);
    CU_ASSERT_EQUAL(sim_node_leaks(n).heap_bytes, 0);
    sim_world_free(w);
}
