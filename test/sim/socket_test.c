/* socket_test.c - what reactor.h says about connections, sentence by sentence, on one simulated core. */
#include "test/sim/peer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t PATIENCE = 60 * SECOND_NS;

/* Waits: two started ends of a connection. */
static void connect_pair(struct reactor *r, struct door *d, struct peer *client, struct peer *server)
{
    struct socket *s;
    if (!d->listener)
        CU_ASSERT_EQUAL_FATAL(door_open(d, r, "127.0.0.1", 0), 0);
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &d->address, PATIENCE, &s), 0);
    peer_start(client, r, s, 1, 2);
    peer_start(server, r, door_wait(d), 2, 1);
}

/* Waits. Those that are not closed yet. */
static void close_both(struct peer *a, struct peer *b)
{
    if (a->socket)
        peer_close_and_wait(a);
    if (b->socket)
        peer_close_and_wait(b);
    CU_ASSERT_EQUAL(reactor_counters(a->reactor).sockets_open, 0);
}

/* ---- start, pause, resume ---- */

TEST_IN_REACTOR(no_byte_comes_before_the_start_and_none_is_lost)
{
    struct door d = {0};
    struct peer client, server;
    struct socket *s;
    CU_ASSERT_EQUAL_FATAL(door_open(&d, r, "127.0.0.1", 0), 0);
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &d.address, PATIENCE, &s), 0);
    peer_start(&client, r, s, 1, 2);
    struct socket *accepted = door_wait(&d);
    CU_ASSERT_EQUAL(peer_send_and_wait(&client, 5000, PATIENCE), 0);
    task_sleep(r, SECOND_NS);
    peer_start(&server, r, accepted, 2, 1);
    CU_ASSERT_EQUAL(server.got_bytes, 0);
    CU_ASSERT_EQUAL(peer_wait_for(&server, 5000, PATIENCE), 0);
    close_both(&client, &server);
}

TEST_IN_REACTOR(a_paused_connection_takes_a_bounded_amount_and_no_more)
{
    enum { BYTES = 4 << 20 };
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    peer_send(&client, BYTES);
    CU_ASSERT_EQUAL(peer_wait_for(&server, 1, PATIENCE), 0);
    socket_pause(server.socket);
    uint64_t at_pause = server.got_bytes;
    task_sleep(r, SECOND_NS);
    uint64_t before = server.got_bytes;
    CU_ASSERT(before - at_pause <= 64 * 1024);
    task_sleep(r, 10 * SECOND_NS);
    CU_ASSERT_EQUAL(server.got_bytes, before);
    CU_ASSERT_EQUAL(client.sent_calls, 0);
    socket_resume(server.socket);
    CU_ASSERT_EQUAL(event_wait(r, &client.sent, PATIENCE), 0);
    CU_ASSERT_EQUAL(peer_wait_for(&server, BYTES, PATIENCE), 0);
    CU_ASSERT(server.largest_piece <= 16 * 1024);
    close_both(&client, &server);
}

TEST_IN_REACTOR(an_end_is_not_told_while_paused_and_after_all_bytes)
{
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    socket_pause(server.socket);
    task_sleep(r, MILLISECOND_NS);
    CU_ASSERT_EQUAL(peer_send_and_wait(&client, 40000, PATIENCE), 0);
    peer_close_and_wait(&client);
    task_sleep(r, SECOND_NS);
    CU_ASSERT_EQUAL(server.got_bytes, 0);
    CU_ASSERT_EQUAL(server.end_calls, 0);
    socket_resume(server.socket);
    CU_ASSERT_EQUAL(peer_wait_for_end(&server, PATIENCE), TORC_E_CLOSED);
    CU_ASSERT_EQUAL(server.got_bytes, 40000);
    close_both(&server, &client);
}

/* ---- sending ---- */

TEST_IN_REACTOR(on_sent_comes_when_the_bytes_are_in_the_buffers_not_when_they_are_read)
{
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    socket_pause(server.socket);
    task_sleep(r, MILLISECOND_NS);
    CU_ASSERT_EQUAL(peer_send_and_wait(&client, 64 * 1024, PATIENCE), 0);
    CU_ASSERT_EQUAL(server.got_bytes, 0);
    uint64_t in_buffers = 64 * 1024;
    while (peer_send_and_wait(&client, 16 * 1024, SECOND_NS) == 0)
        in_buffers += 16 * 1024;
    CU_ASSERT(in_buffers <= 1024 * 1024);
    socket_resume(server.socket);
    CU_ASSERT_EQUAL(event_wait(r, &client.sent, PATIENCE), 0);
    CU_ASSERT_EQUAL(peer_wait_for(&server, in_buffers + 16 * 1024, PATIENCE), 0);
    close_both(&client, &server);
}

TEST_IN_REACTOR(a_send_to_a_peer_that_is_gone_fails_and_so_do_all_later_ones)
{
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    peer_close_and_wait(&client);
    CU_ASSERT_EQUAL(peer_wait_for_end(&server, PATIENCE), TORC_E_CLOSED);
    CU_ASSERT_EQUAL(peer_send_and_wait(&server, 10, PATIENCE), 0); /* what came closed its side: who knows */
    task_sleep(r, 10 * MILLISECOND_NS);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(peer_send_and_wait(&server, 10, PATIENCE), -EPIPE);
    CU_ASSERT_EQUAL(server.end_calls, 1);
    close_both(&server, &client);
}

TEST_IN_REACTOR(a_send_that_waits_fails_when_the_peer_resets)
{
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    socket_pause(client.socket);
    peer_send(&server, 2 << 20);
    task_sleep(r, SECOND_NS);
    CU_ASSERT_EQUAL(server.sent_calls, 0);
    peer_close_and_wait(&client); /* with bytes that nobody has read */
    CU_ASSERT_EQUAL(event_wait(r, &server.sent, PATIENCE), -ECONNRESET);
    CU_ASSERT_EQUAL(peer_wait_for_end(&server, PATIENCE), -ECONNRESET);
    task_sleep(r, SECOND_NS);
    CU_ASSERT_EQUAL(server.end_calls, 1);
    close_both(&server, &client);
}

static void change_bytes_under_way(struct reactor *r)
{
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    peer_send(&client, 1000);
    client.out[700] ^= 1;
    (void)!event_wait(r, &client.sent, PATIENCE);
}

static void send_twice(struct reactor *r)
{
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    struct slice part = slice_of_string("x");
    peer_send(&client, 1000);
    socket_send(client.socket, &part, 1);
}

/* Returns: whether the process ended by a failed assertion. */
static bool is_caught(void (*body)(struct reactor *r))
{
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        test_run_in_reactor(body);
        _exit(0);
    }
    int status = 0;
    ASSERT(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST(bytes_of_a_send_that_are_changed_under_way_are_noticed)
{
    CU_ASSERT(is_caught(change_bytes_under_way));
}

TEST(two_sends_at_once_are_a_mistake)
{
    CU_ASSERT(is_caught(send_twice));
}

/* ---- handlers that close ---- */

enum closing_moment { CLOSE_IN_DATA, CLOSE_IN_SENT, CLOSE_IN_END };

struct closer {
    struct reactor *reactor;
    struct socket *socket;
    enum closing_moment moment;
    unsigned calls_after;
    bool is_closed;
    struct event closed;
};

static void closer_on_closed(void *owner)
{
    struct closer *c = owner;
    event_set(c->reactor, &c->closed, 0);
}

static void closer_at(struct closer *c, enum closing_moment moment)
{
    c->calls_after += c->is_closed;
    if (c->is_closed || c->moment != moment)
        return;
    c->is_closed = true;
    socket_close(c->socket, closer_on_closed);
    c->calls_after += c->closed.is_set;
}

static void closer_on_data(void *owner, struct slice bytes)
{
    (void)bytes;
    closer_at(owner, CLOSE_IN_DATA);
}

static void closer_on_sent(void *owner, int result)
{
    (void)result;
    closer_at(owner, CLOSE_IN_SENT);
}

static void closer_on_end(void *owner, int reason)
{
    (void)reason;
    closer_at(owner, CLOSE_IN_END);
}

TEST_IN_REACTOR(after_a_close_from_within_any_handler_no_handler_is_called)
{
    static const struct socket_handlers handlers = {closer_on_data, closer_on_sent, closer_on_end};
    struct door d = {0};
    CU_ASSERT_EQUAL_FATAL(door_open(&d, r, "127.0.0.1", 0), 0);
    for (unsigned i = 0; i < 60; i++) {
        struct peer client;
        struct closer c = {.reactor = r, .moment = (enum closing_moment)(i % 3)};
        struct socket *s;
        CU_ASSERT_EQUAL_FATAL(socket_connect(r, &d.address, PATIENCE, &s), 0);
        peer_start(&client, r, s, 1, 2);
        c.socket = door_wait(&d);
        peer_send(&client, 30000);
        socket_start(c.socket, &handlers, &c);
        struct slice part = slice_of_string("");
        socket_send(c.socket, &part, 1);
        task_sleep(r, i % 2 ? 10 * MILLISECOND_NS : 0);
        peer_close_and_wait(&client);
        CU_ASSERT_EQUAL(event_wait(r, &c.closed, PATIENCE), 0);
        task_sleep(r, MILLISECOND_NS);
        CU_ASSERT_EQUAL(c.calls_after, 0);
    }
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 0);
}

TEST_IN_REACTOR(on_closed_comes_once_and_later_with_a_send_under_way)
{
    struct door d = {0};
    struct peer client, server;
    for (unsigned i = 0; i < 40; i++) {
        connect_pair(r, &d, &client, &server);
        socket_pause(client.socket);
        peer_send(&server, i % 2 ? 3 << 20 : 10);
        task_sleep(r, i * 50 * MICROSECOND_NS);
        peer_close_and_wait(&server);
        CU_ASSERT(server.sent_calls <= 1);
        socket_resume(client.socket);
        CU_ASSERT(peer_wait_for_end(&client, PATIENCE) < 0);
        CU_ASSERT_EQUAL(client.end_calls, 1);
        close_both(&client, &server);
    }
}

TEST_IN_REACTOR(what_was_sent_before_an_orderly_close_all_arrives)
{
    struct door d = {0};
    struct peer client, server;
    for (unsigned i = 0; i < 20; i++) {
        connect_pair(r, &d, &client, &server);
        CU_ASSERT_EQUAL(peer_send_and_wait(&server, 1 + i * 3001, PATIENCE), 0);
        peer_close(&server);
        CU_ASSERT_EQUAL(peer_wait_for_end(&client, PATIENCE), TORC_E_CLOSED);
        CU_ASSERT_EQUAL(client.got_bytes, 1 + i * 3001);
        peer_close_and_wait(&client);
        CU_ASSERT_EQUAL(server.closed_calls, 1);
    }
}

/* ---- detach and attach ---- */

struct handover {
    struct peer peer;
    int64_t answer;
    unsigned calls;
    struct event over;
};

static void on_detached(void *owner, int64_t handle_or_error)
{
    struct handover *h = owner;
    h->answer = handle_or_error;
    h->calls++;
    CU_ASSERT_PTR_NULL(task_current(h->peer.reactor));
    event_set(h->peer.reactor, &h->over, 0);
}

static void detach(struct handover *h)
{
    event_init(&h->over);
    h->calls = 0;
    socket_detach(h->peer.socket, on_detached);
    CU_ASSERT_EQUAL(h->calls, 0); /* never from within */
    CU_ASSERT_EQUAL(event_wait(h->peer.reactor, &h->over, PATIENCE), 0);
    CU_ASSERT_EQUAL(h->calls, 1);
}

/* Waits: starts it again after an attach, with what it has got so far. */
static void attach(struct handover *h)
{
    uint64_t got = h->peer.got_bytes;
    struct peer before = h->peer;
    struct socket *s;
    CU_ASSERT_EQUAL_FATAL(socket_attach(before.reactor, h->answer, &s), 0);
    peer_start(&h->peer, before.reactor, s, before.number, before.other);
    h->peer.got_bytes = got;
    h->peer.out_bytes = before.out_bytes;
}

TEST_IN_REACTOR(what_comes_while_detached_is_there_after_the_attach)
{
    struct door d = {0};
    struct peer client;
    struct handover h = {0};
    connect_pair(r, &d, &client, &h.peer);
    for (unsigned i = 1; i <= 20; i++) {
        peer_send(&client, 20000);
        task_sleep(r, (i % 4) * 100 * MICROSECOND_NS);
        detach(&h);
        CU_ASSERT_FATAL(h.answer > 0);
        CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 1);
        if (i % 2)
            task_sleep(r, 10 * MILLISECOND_NS);
        attach(&h);
        CU_ASSERT_EQUAL(peer_wait_for(&h.peer, i * 20000, PATIENCE), 0);
        CU_ASSERT_EQUAL(peer_send_and_wait(&h.peer, 100, PATIENCE), 0);
        CU_ASSERT_EQUAL(peer_wait_for(&client, i * 100, PATIENCE), 0);
    }
    close_both(&client, &h.peer);
}

TEST_IN_REACTOR(a_detach_reports_a_connection_that_has_ended)
{
    struct door d = {0};
    struct peer client;
    struct handover h = {0};
    connect_pair(r, &d, &client, &h.peer);
    peer_close_and_wait(&client);
    CU_ASSERT_EQUAL(peer_wait_for_end(&h.peer, PATIENCE), TORC_E_CLOSED);
    detach(&h);
    CU_ASSERT_EQUAL(h.answer, TORC_E_CLOSED);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 0);
}

TEST_IN_REACTOR(an_end_that_comes_while_detached_is_told_after_the_attach)
{
    struct door d = {0};
    struct peer client;
    struct handover h = {0};
    connect_pair(r, &d, &client, &h.peer);
    detach(&h);
    CU_ASSERT_EQUAL(peer_send_and_wait(&client, 3000, PATIENCE), 0);
    peer_close_and_wait(&client);
    task_sleep(r, 10 * MILLISECOND_NS);
    attach(&h);
    CU_ASSERT_EQUAL(peer_wait_for_end(&h.peer, PATIENCE), TORC_E_CLOSED);
    CU_ASSERT_EQUAL(h.peer.got_bytes, 3000);
    peer_close_and_wait(&h.peer);
}

TEST_IN_REACTOR(a_discarded_handle_ends_its_connection)
{
    struct door d = {0};
    struct peer client;
    struct handover h = {0};
    connect_pair(r, &d, &client, &h.peer);
    detach(&h);
    socket_discard_handle(r, h.answer);
    CU_ASSERT_EQUAL(peer_wait_for_end(&client, PATIENCE), TORC_E_CLOSED);
    peer_close_and_wait(&client);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 0);
}

TEST_IN_REACTOR(counters_count_what_was_sent_and_received)
{
    struct door d = {0};
    struct peer client, server;
    connect_pair(r, &d, &client, &server);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 2);
    for (unsigned i = 1; i <= 10; i++) {
        CU_ASSERT_EQUAL(peer_send_and_wait(&client, 100, PATIENCE), 0);
        CU_ASSERT_EQUAL(peer_wait_for(&server, i * 100, PATIENCE), 0);
    }
    CU_ASSERT_EQUAL(reactor_counters(r).sends, 10);
    CU_ASSERT_EQUAL(reactor_counters(r).receives, server.data_calls);
    CU_ASSERT_EQUAL(reactor_counters(r).accept_errors, 0);
    close_both(&client, &server);
}
