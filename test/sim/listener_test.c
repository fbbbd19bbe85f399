/* listener_test.c - who is reached under which address, and what a connect hears when nobody is there. */
#include "test/sim/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint64_t PATIENCE = 5 * SECOND_NS;
enum { PORT = 7070 };

static struct sim_world_options calm(void)
{
    return (struct sim_world_options){.seed = 11};
}

/* Waits. Returns: what a connect says; a connection is closed again. */
static int try_connect(struct reactor *r, const char *host, uint16_t port, uint64_t timeout_ns)
{
    struct address a = {.port = port};
    struct socket *s;
    snprintf(a.host, sizeof a.host, "%s", host);
    int rc = socket_connect(r, &a, timeout_ns, &s);
    CU_ASSERT_EQUAL(s != NULL, rc == 0);
    if (s)
        socket_close(s, NULL);
    return rc;
}

/* Closes what it accepts. */
static void close_accepted(void *context, struct socket *s)
{
    ++*(unsigned *)context;
    socket_close(s, NULL);
}

static struct listener *listen_on(struct reactor *r, const char *host, uint16_t port, unsigned *count)
{
    struct address a = {.port = port};
    struct listener *l;
    snprintf(a.host, sizeof a.host, "%s", host);
    CU_ASSERT_EQUAL_FATAL(socket_listen(r, &a, 16, close_accepted, count, &l), 0);
    return l;
}

/* ---- addresses ---- */

static void listen_everywhere(struct reactor *r, struct town *t)
{
    static const char *const hosts[] = {"127.0.0.1", "10.0.0.1", "0.0.0.0", "::", "::1"};
    for (unsigned i = 0; i < ARRAY_COUNT(hosts); i++)
        listen_on(r, hosts[i], (uint16_t)(PORT + i), t->context);
    CU_ASSERT_EQUAL(try_connect(r, "127.0.0.1", PORT, PATIENCE), 0);
    CU_ASSERT_EQUAL(try_connect(r, "10.0.0.1", PORT, PATIENCE), -ECONNREFUSED);
    CU_ASSERT_EQUAL(try_connect(r, "127.0.0.1", PORT + 1, PATIENCE), -ECONNREFUSED);
    CU_ASSERT_EQUAL(try_connect(r, "10.0.0.1", PORT + 1, PATIENCE), 0);
    CU_ASSERT_EQUAL(try_connect(r, "127.0.0.1", PORT + 2, PATIENCE), 0);
    CU_ASSERT_EQUAL(try_connect(r, "0.0.0.0", PORT + 2, PATIENCE), 0);
    CU_ASSERT_EQUAL(try_connect(r, "::1", PORT + 2, PATIENCE), -ECONNREFUSED);
    CU_ASSERT_EQUAL(try_connect(r, "127.0.0.1", PORT + 3, PATIENCE), 0);
    CU_ASSERT_EQUAL(try_connect(r, "0:0:0:0:0:0:0:1", PORT + 3, PATIENCE), 0);
    CU_ASSERT_EQUAL(try_connect(r, "::1", PORT + 4, PATIENCE), 0);
    t->is_done = true;
}

static void reach_from_elsewhere(struct reactor *r, struct town *t)
{
    static const int expected[] = {-ECONNREFUSED, 0, 0, 0, -ECONNREFUSED};
    for (unsigned i = 0; i < ARRAY_COUNT(expected); i++)
        CU_ASSERT_EQUAL(try_connect(r, "10.0.0.1", (uint16_t)(PORT + i), PATIENCE), expected[i]);
    CU_ASSERT_EQUAL(try_connect(r, "127.0.0.1", PORT + 2, PATIENCE), -ECONNREFUSED); /* of its own */
    t->is_done = true;
}

TEST(a_listener_is_reached_under_its_addresses_and_no_other)
{
    struct town t;
    unsigned accepted = 0;
    struct sim_world_options options = calm();
    town_open(&t, &options, &accepted);
    town_start(&t, 0, 1, listen_everywhere);
    CU_ASSERT(town_run(&t, 60));
    CU_ASSERT_EQUAL(accepted, 7);
    town_start(&t, 1, 1, reach_from_elsewhere);
    CU_ASSERT(town_run(&t, 60));
    CU_ASSERT_EQUAL(accepted, 10);
    town_close(&t);
}

TEST_IN_REACTOR(an_address_that_is_none_or_not_of_the_node_cannot_be_listened_on)
{
    struct address name = {.host = "localhost", .port = 1}, foreign = {.host = "10.9.9.9"};
    struct listener *l;
    unsigned count = 0;
    CU_ASSERT_EQUAL(socket_listen(r, &name, 1, close_accepted, &count, &l), -EINVAL);
    CU_ASSERT_EQUAL(socket_listen(r, &foreign, 1, close_accepted, &count, &l), -EADDRNOTAVAIL);
    CU_ASSERT_PTR_NULL(l);
    CU_ASSERT_EQUAL(try_connect(r, "localhost", 1, PATIENCE), -EINVAL);
}

static int listen_again(struct reactor *r, const char *host, uint16_t port)
{
    unsigned count = 0;
    struct address a = {.port = port};
    struct listener *l;
    snprintf(a.host, sizeof a.host, "%s", host);
    int rc = socket_listen(r, &a, 16, close_accepted, &count, &l);
    if (rc == 0)
        listener_close(l);
    return rc;
}

TEST_IN_REACTOR(the_first_core_refuses_what_overlaps_with_a_port_in_use)
{
    unsigned count = 0;
    struct listener *one = listen_on(r, "127.0.0.1", 0, &count);
    struct listener *all = listen_on(r, "0.0.0.0", 0, &count);
    uint16_t port = listener_port(one), other = listener_port(all);
    CU_ASSERT(port && other && port != other);
    CU_ASSERT_EQUAL(listen_again(r, "127.0.0.1", port), -EADDRINUSE);
    CU_ASSERT_EQUAL(listen_again(r, "0.0.0.0", port), -EADDRINUSE);
    CU_ASSERT_EQUAL(listen_again(r, "::", port), -EADDRINUSE);
    CU_ASSERT_EQUAL(listen_again(r, "::1", port), 0);
    CU_ASSERT_EQUAL(listen_again(r, "127.0.0.1", other), -EADDRINUSE);
    listener_close(one);
    CU_ASSERT_EQUAL(listen_again(r, "127.0.0.1", port), 0);
}

/* ---- several cores ---- */

enum { CORES = 4, CONNECTS = 100 };

static void listen_on_each_core(struct reactor *r, struct town *t)
{
    unsigned *accepted = t->context;
    if (reactor_core(r) > 0)
        task_sleep(r, MILLISECOND_NS);
    listen_on(r, "0.0.0.0", PORT, &accepted[reactor_core(r)]);
}

static void connect_often(struct reactor *r, struct town *t)
{
    task_sleep(r, 10 * MILLISECOND_NS);
    for (unsigned i = 0; i < CONNECTS; i++)
        CU_ASSERT_EQUAL(try_connect(r, "10.0.0.1", PORT, PATIENCE), 0);
    task_sleep(r, 10 * MILLISECOND_NS);
    t->is_done = true;
}

TEST(cores_share_a_port_and_connections_are_spread_over_them)
{
    struct town t;
    unsigned accepted[CORES] = {0}, sum = 0;
    struct sim_world_options options = calm();
    town_open(&t, &options, accepted);
    town_start(&t, 0, CORES, listen_on_each_core);
    town_start(&t, 1, 1, connect_often);
    CU_ASSERT(town_run(&t, 60));
    for (unsigned i = 0; i < CORES; i++) {
        sum += accepted[i];
        CU_ASSERT(accepted[i] > CONNECTS / CORES / 3);
    }
    CU_ASSERT_EQUAL(sum, CONNECTS);
    town_close(&t);
}

/* ---- a queue that is full, and one that nobody will look at ---- */

enum { BACKLOG = 4, CROWD = 24 };

struct crowd {
    unsigned accepted;
    unsigned connected;
    unsigned refused;
    unsigned late;
    unsigned running;
};

/* Does not let its core take a turn for so long. */
static void block_core(struct reactor *r, uint64_t ns)
{
    uint64_t until_ns = reactor_clock_ns(r) + ns;
    while (reactor_clock_ns(r) < until_ns) {
    }
}

static void listen_and_block(struct reactor *r, struct town *t)
{
    struct address a = {.host = "0.0.0.0", .port = PORT};
    struct listener *l;
    CU_ASSERT_EQUAL_FATAL(socket_listen(r, &a, BACKLOG, close_accepted, t->context, &l), 0);
    block_core(r, 200 * MILLISECOND_NS);
}

static void connect_once(struct reactor *r, void *argument)
{
    struct town *t = argument;
    struct crowd *c = t->context;
    uint64_t begin_ns = reactor_now_ns(r);
    int rc = try_connect(r, "10.0.0.1", PORT, 30 * SECOND_NS);
    c->refused += rc == -ECONNREFUSED;
    c->connected += rc == 0;
    c->late += rc == 0 && reactor_now_ns(r) - begin_ns >= SECOND_NS;
    t->is_done = --c->running == 0;
}

static void connect_all_at_once(struct reactor *r, struct town *t)
{
    struct crowd *c = t->context;
    task_sleep(r, MILLISECOND_NS);
    for (c->running = 0; c->running < CROWD; c->running++)
        CU_ASSERT_EQUAL(task_spawn(r, connect_once, t), 0);
}

TEST(beyond_the_backlog_a_connect_is_refused_or_asked_again)
{
    struct town t;
    struct crowd c = {0};
    struct sim_world_options options = calm();
    town_open(&t, &options, &c);
    town_start(&t, 0, 1, listen_and_block);
    town_start(&t, 1, 1, connect_all_at_once);
    CU_ASSERT(town_run(&t, 60));
    CU_ASSERT_EQUAL(c.connected + c.refused, CROWD);
    CU_ASSERT(c.refused > 0 && c.late > 0);
    CU_ASSERT_EQUAL(c.connected - c.late, BACKLOG + 1); /* as Linux counts */
    CU_ASSERT_EQUAL(c.accepted, c.connected);
    town_close(&t);
}

struct once {
    struct listener *listener;
    unsigned accepted;
    int end_reasons[3];
    unsigned ended;
};

static void accept_once(void *context, struct socket *s)
{
    struct once *o = context;
    o->accepted++;
    socket_close(s, NULL);
    listener_close(o->listener);
}

static void listen_once(struct reactor *r, struct town *t)
{
    struct address a = {.host = "0.0.0.0", .port = PORT};
    struct once *o = t->context;
    CU_ASSERT_EQUAL(socket_listen(r, &a, 16, accept_once, o, &o->listener), 0);
    block_core(r, 100 * MILLISECOND_NS);
}

static void connect_and_wait_for_end(struct reactor *r, void *argument)
{
    struct town *t = argument;
    struct once *o = t->context;
    struct address a = town_address(0, PORT);
    struct socket *s = NULL;
    struct peer p;
    CU_ASSERT_EQUAL(socket_connect(r, &a, PATIENCE, &s), 0);
    if (!s)
        return;
    peer_start(&p, r, s, 1, 2);
    int reason = peer_wait_for_end(&p, PATIENCE);
    peer_close_and_wait(&p);
    o->end_reasons[o->ended++] = reason;
    t->is_done = o->ended == 3;
}

static void connect_three(struct reactor *r, struct town *t)
{
    task_sleep(r, MILLISECOND_NS);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(task_spawn(r, connect_and_wait_for_end, t), 0);
}

TEST(a_listener_may_be_closed_in_its_own_handler_and_resets_what_waits)
{
    struct town t;
    struct once o = {0};
    unsigned reset = 0, closed = 0;
    struct sim_world_options options = calm();
    town_open(&t, &options, &o);
    town_start(&t, 0, 1, listen_once);
    town_start(&t, 1, 1, connect_three);
    CU_ASSERT(town_run(&t, 60));
    for (unsigned i = 0; i < 3; i++) {
        reset += o.end_reasons[i] == -ECONNRESET;
        closed += o.end_reasons[i] == TORC_E_CLOSED;
    }
    CU_ASSERT_EQUAL(o.accepted, 1);
    CU_ASSERT_EQUAL(reset, 2);
    CU_ASSERT_EQUAL(closed, 1);
    town_close(&t);
}

/* ---- nobody there ---- */

TEST_IN_REACTOR(a_connect_to_no_machine_ends_at_its_timeout_or_at_the_systems)
{
    uint64_t begin_ns = reactor_now_ns(r);
    CU_ASSERT_EQUAL(try_connect(r, "10.0.0.77", PORT, 2 * SECOND_NS), TORC_E_TIMEOUT);
    CU_ASSERT(reactor_now_ns(r) - begin_ns >= 2 * SECOND_NS);
    CU_ASSERT(reactor_now_ns(r) - begin_ns < 3 * SECOND_NS);
    begin_ns = reactor_now_ns(r);
    CU_ASSERT_EQUAL(try_connect(r, "10.0.0.77", PORT, EVENT_FOREVER), -ETIMEDOUT);
    CU_ASSERT(reactor_now_ns(r) - begin_ns > 30 * SECOND_NS);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 0);
}

static void listen_calmly(struct reactor *r, struct town *t)
{
    listen_on(r, "0.0.0.0", PORT, t->context);
}

static void expect_refused(struct reactor *r, struct town *t)
{
    CU_ASSERT_EQUAL(try_connect(r, "10.0.0.1", PORT, PATIENCE), -ECONNREFUSED);
    t->is_done = true;
}

static void expect_silence(struct reactor *r, struct town *t)
{
    CU_ASSERT_EQUAL(try_connect(r, "10.0.0.1", PORT, PATIENCE), TORC_E_TIMEOUT);
    t->is_done = true;
}

static void expect_an_answer_late(struct reactor *r, struct town *t)
{
    CU_ASSERT_EQUAL(try_connect(r, "10.0.0.1", PORT, 30 * SECOND_NS), 0);
    t->is_done = true;
}

/* On a node that is started for it. */
static void run_once(struct town *t, town_body *body)
{
    sim_node_kill(t->nodes[1], SIM_END_KILL);
    town_start(t, 1, 1, body);
    CU_ASSERT(town_run(t, 60));
}

TEST(a_killed_process_refuses_and_a_machine_without_power_is_silent)
{
    struct town t;
    unsigned accepted = 0;
    struct sim_world_options options = calm();
    town_open(&t, &options, &accepted);
    run_once(&t, expect_refused); /* never started: the machine is there */
    town_start(&t, 0, 1, listen_calmly);
    run_once(&t, expect_an_answer_late);
    sim_node_kill(t.nodes[0], SIM_END_KILL);
    run_once(&t, expect_refused);
    town_start(&t, 0, 1, listen_calmly);
    run_once(&t, expect_an_answer_late);
    sim_node_kill(t.nodes[0], SIM_END_POWER);
    run_once(&t, expect_silence);
    sim_node_kill(t.nodes[1], SIM_END_KILL);
    town_start(&t, 1, 1, expect_an_answer_late);
    CU_ASSERT_FALSE(town_run(&t, 2));
    town_start(&t, 0, 1, listen_calmly);
    CU_ASSERT(town_run(&t, 30));
    town_close(&t);
}

static void count_refusals(struct reactor *r, struct town *t)
{
    unsigned *refused = t->context, accepted = 0, silent = 0;
    struct listener *l = listen_on(r, "127.0.0.1", PORT, &accepted);
    for (unsigned i = 0; i < 40; i++) {
        int rc = try_connect(r, "127.0.0.1", PORT, SECOND_NS);
        *refused += rc == -ECONNREFUSED;
        silent += rc == TORC_E_TIMEOUT;
    }
    CU_ASSERT(*refused > 0 && silent > 0);
    CU_ASSERT_EQUAL(*refused + silent, 40);
    CU_ASSERT_EQUAL(accepted, 0);
    listener_close(l);
    t->is_done = true;
}

TEST(the_network_refuses_when_it_is_told_to)
{
    struct town t;
    unsigned refused = 0;
    struct sim_world_options options = calm();
    options.faults.per_million[SIM_NETWORK_REFUSE] = 1000 * 1000;
    town_open(&t, &options, &refused);
    town_start(&t, 0, 1, count_refusals);
    CU_ASSERT(town_run(&t, 600));
    CU_ASSERT_EQUAL(sim_fault_hits(t.world, SIM_NETWORK_REFUSE), 40);
    town_close(&t);
}
