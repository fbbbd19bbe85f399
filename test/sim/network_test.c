/* network_test.c - connections between simulated nodes that are killed or lose power, and over a network that
 * delays, stalls, cuts and resets. */
#include "test/sim/peer.h"

#include <errno.h>
#include <string.h>

static const uint64_t PATIENCE = 60 * SECOND_NS;
enum { PORT = 7070, ALWAYS = 1000 * 1000, LINES = 20 };

static struct sim_world_options with_fault(enum sim_fault fault, uint32_t per_million)
{
    struct sim_world_options options = {.seed = 5};
    if (per_million)
        options.faults.per_million[fault] = per_million;
    return options;
}

/* ---- many connections to node 0, seen from node 1 ---- */

struct lines {
    struct door door;
    struct peer servers[LINES];
    struct peer clients[LINES];
    unsigned connected;
    unsigned told; /* clients that heard of an end */
    uint64_t told_ns;
    bool is_paused;     /* the servers read nothing */
    size_t first_bytes; /* that each client sends */
};

static void serve_lines(struct reactor *r, struct town *t)
{
    struct lines *l = t->context;
    CU_ASSERT_EQUAL(door_open(&l->door, r, "0.0.0.0", PORT), 0);
    for (unsigned i = 0; i < LINES; i++) {
        struct socket *s = door_wait(&l->door);
        if (l->is_paused)
            socket_pause(s);
        peer_start(&l->servers[i], r, s, 2, 1);
    }
}

/* Waits. */
static void open_lines(struct reactor *r, struct town *t)
{
    struct lines *l = t->context;
    struct address a = town_address(0, PORT);
    struct socket *s;
    task_sleep(r, MILLISECOND_NS);
    for (unsigned i = 0; i < LINES; i++) {
        CU_ASSERT_EQUAL_FATAL(socket_connect(r, &a, PATIENCE, &s), 0);
        peer_start(&l->clients[i], r, s, 1, 2);
        if (l->first_bytes)
            CU_ASSERT_EQUAL(peer_send_and_wait(&l->clients[i], l->first_bytes, PATIENCE), 0);
    }
    task_sleep(r, 10 * MILLISECOND_NS);
    t->is_done = true;
}

/* Waits: until every client was told of an end. */
static void open_lines_and_watch(struct reactor *r, struct town *t)
{
    struct lines *l = t->context;
    open_lines(r, t);
    for (unsigned i = 0; i < LINES; i++) {
        CU_ASSERT(peer_wait_for_end(&l->clients[i], EVENT_FOREVER) < 0);
        l->told++;
    }
    l->told_ns = reactor_now_ns(r);
    t->is_done = true;
}

static void town_of_lines(struct town *t, struct lines *l, town_body *client)
{
    struct sim_world_options options = {.seed = 3};
    town_open(t, &options, l);
    town_start(t, 0, 1, serve_lines);
    town_start(t, 1, 1, client);
    CU_ASSERT(town_run(t, 60));
}

static unsigned count_ends(const struct lines *l, int reason)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LINES; i++)
        count += l->clients[i].end_reason == reason;
    return count;
}

/* ---- kills ---- */

TEST(a_killed_process_ends_its_connections_orderly_or_with_a_reset)
{
    struct town t;
    struct lines l = {0};
    town_of_lines(&t, &l, open_lines_and_watch);
    sim_node_kill(t.nodes[0], SIM_END_KILL);
    CU_ASSERT(town_run(&t, 1));
    CU_ASSERT(count_ends(&l, TORC_E_CLOSED) > 0);
    CU_ASSERT(count_ends(&l, -ECONNRESET) > 0);
    CU_ASSERT_EQUAL(count_ends(&l, TORC_E_CLOSED) + count_ends(&l, -ECONNRESET), LINES);
    town_close(&t);
}

TEST(a_killed_process_with_unread_bytes_resets_its_connections)
{
    struct town t;
    struct lines l = {.is_paused = true, .first_bytes = 100};
    town_of_lines(&t, &l, open_lines_and_watch);
    sim_node_kill(t.nodes[0], SIM_END_KILL);
    CU_ASSERT(town_run(&t, 1));
    CU_ASSERT_EQUAL(count_ends(&l, -ECONNRESET), LINES);
    town_close(&t);
}

static void expect_no_end(struct town *t, struct lines *l, unsigned seconds)
{
    CU_ASSERT_FALSE(town_run(t, seconds));
    for (unsigned i = 0; i < LINES; i++)
        CU_ASSERT_EQUAL(l->clients[i].end_calls, 0);
}

TEST(a_loss_of_power_is_not_heard_of_by_who_sends_nothing)
{
    struct town t;
    struct lines l = {0};
    town_of_lines(&t, &l, open_lines_and_watch);
    sim_node_kill(t.nodes[0], SIM_END_POWER);
    expect_no_end(&t, &l, 3600);
    town_start(&t, 0, 1, serve_lines);
    expect_no_end(&t, &l, 60);
    town_close(&t);
}

/* Waits: sends to a machine that is gone. */
static void send_on_all_lines(struct reactor *r, struct town *t)
{
    struct lines *l = t->context;
    open_lines(r, t);
    task_sleep(r, SECOND_NS); /* in which the power is lost */
    uint64_t begin_ns = reactor_now_ns(r);
    for (unsigned i = 0; i < LINES; i++) {
        if (i % 2)
            peer_send(&l->clients[i], 2 << 20);
        else
            CU_ASSERT_EQUAL(peer_send_and_wait(&l->clients[i], 10, PATIENCE), 0);
    }
    for (unsigned i = 0; i < LINES; i++) {
        int reason = peer_wait_for_end(&l->clients[i], EVENT_FOREVER);
        CU_ASSERT_EQUAL(l->clients[i].sent_result, i % 2 ? reason : 0);
    }
    l->told_ns = reactor_now_ns(r) - begin_ns;
    t->is_done = true;
}

TEST(sends_to_a_machine_without_power_time_out)
{
    struct town t;
    struct lines l = {0};
    town_of_lines(&t, &l, send_on_all_lines);
    sim_node_kill(t.nodes[0], SIM_END_POWER);
    CU_ASSERT(town_run(&t, 100));
    CU_ASSERT_EQUAL(count_ends(&l, -ETIMEDOUT), LINES);
    CU_ASSERT(l.told_ns > 30 * SECOND_NS && l.told_ns < 62 * SECOND_NS);
    town_close(&t);
}

TEST(a_machine_that_is_up_again_resets_connections_it_does_not_know)
{
    struct town t;
    struct lines l = {0};
    town_of_lines(&t, &l, send_on_all_lines);
    sim_node_kill(t.nodes[0], SIM_END_POWER);
    town_start(&t, 0, 1, serve_lines);
    CU_ASSERT(town_run(&t, 100));
    CU_ASSERT_EQUAL(count_ends(&l, -ECONNRESET), LINES);
    CU_ASSERT(l.told_ns < SECOND_NS);
    town_close(&t);
}

TEST(a_machine_that_comes_up_while_somebody_sends_resets_before_the_timeout)
{
    struct town t;
    struct lines l = {0};
    town_of_lines(&t, &l, send_on_all_lines);
    sim_node_kill(t.nodes[0], SIM_END_POWER);
    CU_ASSERT_FALSE(town_run(&t, 5));
    CU_ASSERT_EQUAL(count_ends(&l, 0), LINES);
    town_start(&t, 0, 1, serve_lines);
    CU_ASSERT(town_run(&t, 3));
    CU_ASSERT_EQUAL(count_ends(&l, -ECONNRESET), LINES);
    town_close(&t);
}

/* ---- what a run leaves behind ---- */

static void keep_handle(void *owner, int64_t handle_or_error)
{
    struct peer *p = owner;
    CU_ASSERT(handle_or_error > 0);
    event_set(p->reactor, &p->closed, 0);
}

/* Ends with a listener, a detached connection, one that is open, one that closes. */
static void leave_sockets(struct reactor *r, struct town *t)
{
    struct lines *l = t->context;
    struct socket *s;
    CU_ASSERT_EQUAL(door_open(&l->door, r, "0.0.0.0", PORT), 0);
    struct address a = town_address(0, PORT);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(socket_connect(r, &a, PATIENCE, &s), 0);
        peer_start(&l->clients[i], r, s, 1, 2);
        peer_start(&l->servers[i], r, door_wait(&l->door), 2, 1);
    }
    socket_detach(l->servers[0].socket, keep_handle);
    CU_ASSERT_EQUAL(event_wait(r, &l->servers[0].closed, PATIENCE), 0);
    socket_close(l->clients[0].socket, NULL);
    socket_close(l->clients[1].socket, NULL);
    task_sleep(r, MILLISECOND_NS);
    socket_close(l->servers[1].socket, NULL);
    CU_ASSERT_EQUAL(socket_connect(r, &a, PATIENCE, &s), 0);
    reactor_stop(r);
}

TEST(what_is_left_open_when_a_node_ends_is_counted)
{
    struct town t;
    struct lines l = {0};
    struct sim_world_options options = {.seed = 1};
    town_open(&t, &options, &l);
    town_start(&t, 0, 1, leave_sockets);
    CU_ASSERT_FALSE(town_run(&t, 10));
    CU_ASSERT_FALSE(sim_node_is_up(t.nodes[0]));
    CU_ASSERT_EQUAL(sim_node_leaks(t.nodes[0]).listeners, 1);
    CU_ASSERT_EQUAL(sim_node_leaks(t.nodes[0]).sockets, 3); /* detached, connected, accepted */
    town_close(&t);
}

/* ---- faults, one by one ---- */

struct talk {
    size_t bytes;   /* of each send */
    unsigned count; /* of sends */
    struct door door;
    struct peer server;
    struct peer client;
    uint64_t took_ns; /* from the first send until all has come */
    int sent_result;
    uint64_t hits[64]; /* of NETWORK_DELAY, after each send */
};

static void listen_to_talk(struct reactor *r, struct town *t)
{
    struct talk *k = t->context;
    CU_ASSERT_EQUAL(door_open(&k->door, r, "0.0.0.0", PORT), 0);
    peer_start(&k->server, r, door_wait(&k->door), 2, 1);
    if (peer_wait_for(&k->server, k->bytes * k->count, 600 * SECOND_NS) == 0)
        k->took_ns = reactor_now_ns(r) - k->took_ns;
    t->is_done = true;
}

static void do_talk(struct reactor *r, struct town *t)
{
    struct talk *k = t->context;
    struct address a = town_address(0, PORT);
    struct socket *s;
    task_sleep(r, MILLISECOND_NS);
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &a, PATIENCE, &s), 0);
    peer_start(&k->client, r, s, 1, 2);
    k->took_ns = reactor_now_ns(r);
    for (unsigned i = 0; i < k->count && k->sent_result == 0; i++) {
        k->sent_result = peer_send_and_wait(&k->client, k->bytes, 600 * SECOND_NS);
        k->hits[i] = sim_fault_hits(t->world, SIM_NETWORK_DELAY);
    }
}

static void run_talk(struct talk *k, const struct sim_world_options *options)
{
    struct town t;
    town_open(&t, options, k);
    town_start(&t, 0, 1, listen_to_talk);
    town_start(&t, 1, 1, do_talk);
    CU_ASSERT(town_run(&t, 1000));
    CU_ASSERT_EQUAL(k->server.mistakes, 0);
    CU_ASSERT_EQUAL(k->client.mistakes, 0);
    town_close(&t);
}

TEST(a_calm_network_is_quick_and_whole)
{
    struct talk k = {.bytes = 60000, .count = 8};
    struct sim_world_options options = {.seed = 2};
    run_talk(&k, &options);
    CU_ASSERT_EQUAL(k.server.got_bytes, 8 * 60000);
    CU_ASSERT(k.took_ns < 20 * MILLISECOND_NS);
    CU_ASSERT_EQUAL(k.server.largest_piece, 16 * 1024);
}

TEST(short_segments_lose_nothing_and_go_down_to_a_byte)
{
    struct talk calm = {.bytes = 3000, .count = 50}, k = calm;
    struct sim_world_options options = with_fault(SIM_NETWORK_SEGMENT, 0);
    run_talk(&calm, &options);
    options = with_fault(SIM_NETWORK_SEGMENT, ALWAYS);
    run_talk(&k, &options);
    CU_ASSERT_EQUAL(k.server.got_bytes, 50 * 3000);
    CU_ASSERT(k.server.data_calls > 4 * calm.server.data_calls);
}

TEST(delayed_segments_come_in_order)
{
    struct talk k = {.bytes = 100, .count = 50};
    struct sim_world_options options = with_fault(SIM_NETWORK_DELAY, ALWAYS);
    run_talk(&k, &options);
    CU_ASSERT_EQUAL(k.server.got_bytes, 50 * 100);
    CU_ASSERT(k.took_ns > 300 * MILLISECOND_NS && k.took_ns < 600 * MILLISECOND_NS);
}

TEST(a_stalled_connection_moves_nothing_for_a_while_and_then_all)
{
    struct talk k = {.bytes = 3 << 20, .count = 1};
    struct sim_world_options options = with_fault(SIM_NETWORK_STALL, ALWAYS / 20);
    run_talk(&k, &options);
    CU_ASSERT_EQUAL(k.server.got_bytes, 3 << 20);
    CU_ASSERT(k.took_ns > SECOND_NS);
}

TEST(a_reset_by_the_network_is_told_to_both)
{
    struct talk k = {.bytes = 3 << 20, .count = 3};
    struct sim_world_options options = with_fault(SIM_NETWORK_RESET, ALWAYS / 30);
    run_talk(&k, &options);
    CU_ASSERT_EQUAL(k.sent_result, -ECONNRESET);
    CU_ASSERT_EQUAL(k.server.end_reason, -ECONNRESET);
    CU_ASSERT_EQUAL(k.client.end_reason, -ECONNRESET);
    CU_ASSERT_EQUAL(k.server.end_calls + k.client.end_calls, 2);
    CU_ASSERT(k.server.got_bytes < k.client.out_bytes);
}

TEST(a_fault_that_is_switched_off_moves_no_other)
{
    struct talk one = {.bytes = 100, .count = 64}, other = one;
    struct sim_world_options options = with_fault(SIM_NETWORK_DELAY, ALWAYS / 3);
    run_talk(&one, &options);
    options.faults.per_million[SIM_NETWORK_STALL] = ALWAYS / 20;
    run_talk(&other, &options);
    CU_ASSERT(one.hits[63] > 5 && one.hits[63] < 60);
    CU_ASSERT(memcmp(one.hits, other.hits, sizeof one.hits) == 0);
    CU_ASSERT(other.took_ns > one.took_ns);
}
