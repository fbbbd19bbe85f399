/* world_test.c - what a simulated world is made of: draws, events in order, clocks. */
#include "reactor/sim/sim.h"
#include "test/test.h"

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

static void start(struct sim_node *n, reactor_main_fn *main, void *context)
{
    sim_node_start(n, &(struct reactor_options){.core_count = 1}, main, context);
}

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

/* ---- draws ---- */

TEST(draws_of_one_stream_move_no_other)
{
    struct sim_dice a, b, c;
    uint64_t first[100], hits = 0;
    sim_dice_init(&a, 1, SIM_TORN_WRITE, 2);
    for (int i = 0; i < 100; i++)
        first[i] = sim_dice_next(&a);
    sim_dice_init(&a, 1, SIM_TORN_WRITE, 2);
    sim_dice_init(&b, 1, SIM_BIT_ROT, 2);
    sim_dice_init(&c, 1, SIM_TORN_WRITE, 3);
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(sim_dice_next(&a), first[i]);
        CU_ASSERT_NOT_EQUAL(sim_dice_next(&b), first[i]);
        CU_ASSERT_NOT_EQUAL(sim_dice_next(&c), first[i]);
    }
    for (int i = 0; i < 100000; i++)
        hits += sim_dice_hits(&a, 50 * 1000);
    CU_ASSERT(hits > 4700 && hits < 5300);
}

TEST(draws_reach_both_bounds_and_stay_within_them)
{
    struct sim_dice d;
    unsigned seen[5] = {0};
    sim_dice_init(&d, 1, SIM_STREAMS, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t x = sim_dice_between(&d, 10, 14);
        CU_ASSERT_FATAL(x >= 10 && x <= 14);
        seen[x - 10]++;
    }
    for (int i = 0; i < 5; i++)
        CU_ASSERT(seen[i] > 1800 && seen[i] < 2200);
    CU_ASSERT_EQUAL(sim_dice_below(&d, 1), 0);
    CU_ASSERT_FALSE(sim_dice_hits(&d, 0));
    CU_ASSERT_TRUE(sim_dice_hits(&d, 1000 * 1000));
}

TEST(every_fault_has_words_of_its_own)
{
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        for (unsigned g = 0; g < f; g++)
            CU_ASSERT_STRING_NOT_EQUAL(sim_fault_name(f), sim_fault_name(g));
}

/* ---- events ---- */

struct calls {
    struct sim_world *world;
    uint64_t at[16];
    unsigned count;
};

static void note_call(void *context)
{
    struct calls *c = context;
    c->at[c->count++] = sim_now_ns(c->world);
}

TEST(calls_are_made_in_order_of_their_times_and_time_jumps_to_them)
{
    struct sim_world *w = new_world(1);
    struct calls calls = {.world = w};
    uint64_t now = sim_now_ns(w);
    CU_ASSERT_EQUAL(now, SECOND);
    for (unsigned i = 0; i < 10; i++)
        sim_call_at(w, now + (i * 7 % 10) * SECOND, note_call, &calls);
    sim_call_at(w, 0, note_call, &calls); /* the past is now */
    CU_ASSERT_FALSE(sim_run(w, now + 5 * SECOND, NULL, NULL));
    CU_ASSERT_EQUAL(calls.count, 7);
    CU_ASSERT_EQUAL(sim_now_ns(w), now + 5 * SECOND);
    CU_ASSERT_FALSE(sim_run(w, UINT64_MAX, NULL, NULL));
    CU_ASSERT_EQUAL(calls.count, 11);
    for (unsigned i = 1; i < calls.count; i++)
        CU_ASSERT(calls.at[i - 1] <= calls.at[i]);
    CU_ASSERT_EQUAL(calls.at[10], now + 9 * SECOND);
    CU_ASSERT_EQUAL(sim_events(w), 11);
    CU_ASSERT_FALSE(sim_step(w));
    sim_world_free(w);
}

struct order {
    char letters[5];
    unsigned count;
};

struct letter {
    struct order *order;
    char letter;
};

static void note_letter(void *context)
{
    struct letter *l = context;
    l->order->letters[l->order->count++] = l->letter;
}

TEST(the_order_of_what_is_due_at_one_time_is_the_seeds)
{
    unsigned differ = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_world *w = new_world(seed);
        struct order order = {{0}, 0};
        struct letter letters[4];
        for (unsigned i = 0; i < 4; i++) {
            letters[i] = (struct letter){&order, (char)('a' + i)};
            sim_call_at(w, 2 * SECOND, note_letter, &letters[i]);
        }
        CU_ASSERT_FALSE(sim_run(w, UINT64_MAX, NULL, NULL));
        CU_ASSERT_EQUAL(order.count, 4);
        differ += strcmp(order.letters, "abcd") != 0;
        sim_world_free(w);
    }
    CU_ASSERT(differ > 10 && differ < 20 + 1);
}

/* ---- clocks ---- */

struct clocks {
    uint64_t looks;
    uint64_t yields;
    uint64_t longest_ns;
    uint64_t walls[2];
    uint64_t nows[2];
    bool went_back;
};

static int look_main(struct reactor *r, void *context)
{
    struct clocks *c = context;
    uint64_t turns = reactor_counters(r).turns, last = reactor_clock_ns(r);
    for (int i = 0; i < 20000; i++) {
        uint64_t now = reactor_clock_ns(r);
        c->went_back |= now <= last || reactor_now_ns(r) > now;
        c->longest_ns = now - last > c->longest_ns ? now - last : c->longest_ns;
        last = now;
        task_yield_if_due(r);
    }
    c->yields = reactor_counters(r).turns - turns;
    reactor_stop(r);
    return 0;
}

TEST(looks_at_the_clock_take_time_and_long_slices_yield)
{
    struct clocks c = {0};
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    start(n, look_main, &c);
    CU_ASSERT(sim_run(w, 10 * SECOND, is_down, n));
    CU_ASSERT_FALSE(c.went_back);
    CU_ASSERT(c.yields > 50 && c.yields < 2000);
    CU_ASSERT(c.longest_ns > 50 * 1000 && c.longest_ns <= 62 * 1000 + 60 * 1000);
    CU_ASSERT(sim_now_ns(w) > SECOND + 10 * MILLISECOND); /* what the looks took is over for the world too */
    sim_world_free(w);
}

static int wall_main(struct reactor *r, void *context)
{
    struct clocks *c = context;
    c->walls[0] = reactor_wall_ms(r);
    c->nows[0] = reactor_now_ns(r);
    task_sleep(r, 100 * SECOND);
    c->walls[1] = reactor_wall_ms(r);
    c->nows[1] = reactor_now_ns(r);
    c->went_back = c->walls[1] < c->walls[0];
    reactor_stop(r);
    return 0;
}

/* Returns: how much more than the monotonic clock the wall clock moved in 100 s, in ms. */
static int64_t wall_error(uint64_t seed, enum sim_fault fault, uint32_t per_million)
{
    struct clocks c = {0};
    struct sim_world_options options = {.seed = seed};
    options.faults.per_million[fault] = per_million;
    struct sim_world *w = sim_world_new(&options);
    struct sim_node *n = new_node(w);
    start(n, wall_main, &c);
    CU_ASSERT(sim_run(w, 200 * SECOND, is_down, n));
    CU_ASSERT(c.nows[1] - c.nows[0] >= 100 * SECOND && c.nows[1] - c.nows[0] < 101 * SECOND);
    sim_world_free(w);
    return (int64_t)(c.walls[1] - c.walls[0]) - (int64_t)((c.nows[1] - c.nows[0]) / MILLISECOND);
}

static int64_t magnitude(int64_t x)
{
    return x < 0 ? -x : x;
}

TEST(the_wall_clock_keeps_time_unless_a_fault_is_on)
{
    int64_t jumped = 0, drifted = 0, froze = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        CU_ASSERT(magnitude(wall_error(seed, SIM_KILL, 0)) <= 1);
        int64_t drift = magnitude(wall_error(seed, SIM_WALL_DRIFT, 1000 * 1000));
        CU_ASSERT(drift <= 101); /* 1 in 1,000 of 100 s */
        drifted += drift > 1;
        jumped += magnitude(wall_error(seed, SIM_WALL_JUMP, 1000 * 1000)) > 1000;
        froze += wall_error(seed, SIM_WALL_FREEZE, 1000 * 1000) < -10;
    }
    CU_ASSERT(drifted > 7 && jumped > 7);
    CU_ASSERT_EQUAL(froze, 0); /* it catches up within 10 s */
}

static int frozen_main(struct reactor *r, void *context)
{
    struct clocks *c = context;
    for (int i = 0; i < 1000; i++) {
        uint64_t wall = reactor_wall_ms(r);
        task_sleep(r, 10 * MILLISECOND);
        c->looks += reactor_wall_ms(r) == wall;
        c->went_back |= reactor_wall_ms(r) < wall;
    }
    reactor_stop(r);
    return 0;
}

TEST(a_frozen_wall_clock_stands_and_catches_up)
{
    struct clocks c = {0};
    struct sim_world_options options = {.seed = 1};
    options.faults.per_million[SIM_WALL_FREEZE] = 2000;
    struct sim_world *w = sim_world_new(&options);
    struct sim_node *n = new_node(w);
    start(n, frozen_main, &c);
    CU_ASSERT(sim_run(w, 200 * SECOND, is_down, n));
    CU_ASSERT(sim_fault_hits(w, SIM_WALL_FREEZE) > 0);
    CU_ASSERT(c.looks > 10 && c.looks < 1000);
    CU_ASSERT_FALSE(c.went_back);
    sim_world_free(w);
}

TEST(faults_can_be_switched_while_the_world_runs)
{
    struct clocks c = {0};
    struct sim_faults faults = {{0}};
    struct sim_world *w = new_world(1);
    struct sim_node *n = new_node(w);
    start(n, frozen_main, &c);
    CU_ASSERT_FALSE(sim_run(w, 2 * SECOND, NULL, NULL));
    CU_ASSERT_EQUAL(sim_fault_hits(w, SIM_TURN_DELAY), 0);
    faults.per_million[SIM_TURN_DELAY] = 1000 * 1000;
    sim_world_set_faults(w, &faults);
    CU_ASSERT_FALSE(sim_run(w, 3 * SECOND, NULL, NULL));
    uint64_t hits = sim_fault_hits(w, SIM_TURN_DELAY);
    CU_ASSERT(hits > 5 && hits < 200); /* each turn is up to 100 ms late */
    faults.per_million[SIM_TURN_DELAY] = 0;
    sim_world_set_faults(w, &faults);
    CU_ASSERT(sim_run(w, 100 * SECOND, is_down, n));
    CU_ASSERT_EQUAL(sim_fault_hits(w, SIM_TURN_DELAY), hits);
    sim_world_free(w);
}
