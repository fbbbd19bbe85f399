/* socket_test.c - connections over loopback: echo, slow readers, resets, closes at bad moments, many at
 * once. */
#include "test/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint64_t SECOND = 1000 * 1000 * 1000;
static const uint64_t PATIENCE = 20 * SECOND;

/* One side of a connection that gathers what it gets. */
struct peer {
    struct reactor *reactor;
    struct socket *socket;
    uint8_t *got;
    size_t got_bytes;
    size_t wanted_bytes; /* data_came is set once so much is there */
    size_t capacity;
    unsigned data_calls;
    struct event data_came;
    struct event sent;
    struct event ended;
    struct event closed;
};

static void peer_on_data(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    ASSERT(p->got_bytes + bytes.bytes <= p->capacity);
    CU_ASSERT_PTR_NULL(task_current(p->reactor));
    memcpy(p->got + p->got_bytes, bytes.data, bytes.bytes);
    p->got_bytes += bytes.bytes;
    p->data_calls++;
    if (p->got_bytes >= p->wanted_bytes)
        event_set(p->reactor, &p->data_came, 0);
}

static void peer_on_sent(void *owner, int result)
{
    struct peer *p = owner;
    event_set(p->reactor, &p->sent, result);
}

static void peer_on_end(void *owner, int reason)
{
    struct peer *p = owner;
    event_set(p->reactor, &p->ended, reason);
}

static void peer_on_closed(void *owner)
{
    struct peer *p = owner;
    event_set(p->reactor, &p->closed, 0);
}

static const struct socket_handlers peer_handlers = {peer_on_data, peer_on_sent, peer_on_end};

static struct peer *peer_new(struct reactor *r, size_t capacity)
{
    struct peer *p = reactor_alloc_zeroed(r, sizeof *p);
    p->reactor = r;
    p->got = reactor_alloc(r, capacity);
    p->capacity = p->wanted_bytes = capacity;
    return p;
}

static void close_and_wait(struct peer *p)
{
    socket_close(p->socket, peer_on_closed);
    CU_ASSERT_EQUAL(event_wait(p->reactor, &p->closed, PATIENCE), 0);
}

/* A listener that keeps the last connection it got. */
struct door {
    struct reactor *reactor;
    struct listener *listener;
    struct socket *socket;
    struct address address;
    struct event came;
};

static void door_on_accept(void *context, struct socket *s)
{
    struct door *d = context;
    d->socket = s;
    event_set(d->reactor, &d->came, 0);
}

static void door_open(struct door *d, struct reactor *r, const char *host)
{
    *d = (struct door){.reactor = r};
    snprintf(d->address.host, sizeof d->address.host, "%s", host);
    CU_ASSERT_EQUAL_FATAL(socket_listen(r, &d->address, 128, door_on_accept, d, &d->listener), 0);
    d->address.port = listener_port(d->listener);
    CU_ASSERT_NOT_EQUAL(d->address.port, 0);
}

/* A connected and started pair. */
static void connect_pair(struct door *d, struct peer *client, struct peer *server)
{
    CU_ASSERT_EQUAL_FATAL(socket_connect(d->reactor, &d->address, PATIENCE, &client->socket), 0);
    CU_ASSERT_EQUAL_FATAL(event_wait(d->reactor, &d->came, PATIENCE), 0);
    server->socket = d->socket;
    socket_start(server->socket, &peer_handlers, server);
    socket_start(client->socket, &peer_handlers, client);
}

static void send_and_wait(struct peer *p, const void *bytes, size_t count)
{
    struct slice part = slice_of(bytes, count);
    socket_send(p->socket, &part, 1);
    CU_ASSERT_EQUAL(event_wait(p->reactor, &p->sent, PATIENCE), 0);
}

static void check_greeting(struct reactor *r, const char *host)
{
    struct door door;
    door_open(&door, r, host);
    struct peer *client = peer_new(r, 5), *server = peer_new(r, 5);
    connect_pair(&door, client, server);
    send_and_wait(client, "hello", 5);
    CU_ASSERT_EQUAL(event_wait(r, &server->data_came, PATIENCE), 0);
    CU_ASSERT(memcmp(server->got, "hello", 5) == 0);
    send_and_wait(server, "world", 5);
    CU_ASSERT_EQUAL(event_wait(r, &client->data_came, PATIENCE), 0);
    CU_ASSERT(memcmp(client->got, "world", 5) == 0);
    close_and_wait(client);
    CU_ASSERT_EQUAL(event_wait(r, &server->ended, PATIENCE), TORC_E_CLOSED);
    close_and_wait(server);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 0);
    listener_close(door.listener);
    task_sleep(r, 1000 * 1000);
    CU_ASSERT_EQUAL(socket_connect(r, &door.address, PATIENCE, &client->socket), -ECONNREFUSED);
}

TEST_IN_REACTOR(bytes_go_both_ways_over_ipv4)
{
    check_greeting(r, "127.0.0.1");
}

TEST_IN_REACTOR(bytes_go_both_ways_over_ipv6)
{
    check_greeting(r, "::1");
}

TEST_IN_REACTOR(a_host_that_is_no_address_is_refused)
{
    struct address name = {.host = "localhost", .port = 1};
    struct socket *s;
    struct listener *l;
    CU_ASSERT_EQUAL(socket_connect(r, &name, SECOND, &s), -EINVAL);
    CU_ASSERT_EQUAL(socket_listen(r, &name, 1, door_on_accept, NULL, &l), -EINVAL);
    CU_ASSERT_PTR_NULL(l);
}

TEST_IN_REACTOR(the_first_core_refuses_a_port_in_use)
{
    struct door first, second = {.reactor = r};
    door_open(&first, r, "127.0.0.1");
    second.address = first.address;
    CU_ASSERT_EQUAL(socket_listen(r, &second.address, 16, door_on_accept, &second, &second.listener),
                    -EADDRINUSE);
    CU_ASSERT_PTR_NULL(second.listener);
}

static void fill(uint8_t *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)((i * 2654435761u + seed) >> 11);
}

TEST_IN_REACTOR(sends_of_many_parts_arrive_whole_and_in_order)
{
    enum { BYTES = 8 << 20 };
    struct door door;
    door_open(&door, r, "127.0.0.1");
    struct peer *client = peer_new(r, 1), *server = peer_new(r, BYTES);
    uint8_t *bytes = reactor_alloc(r, BYTES);
    struct slice parts[SOCKET_PARTS_MAX];
    size_t used = 0;
    fill(bytes, BYTES, 3);
    connect_pair(&door, client, server);
    for (unsigned i = 0; i < SOCKET_PARTS_MAX; i++) {
        size_t count = i + 1 == SOCKET_PARTS_MAX ? BYTES - used : (i % 5) * 40000 + (i % 3);
        parts[i] = slice_of(bytes + used, count);
        used += count;
    }
    socket_send(client->socket, parts, SOCKET_PARTS_MAX);
    memset(parts, 0, sizeof parts);
    CU_ASSERT_EQUAL(event_wait(r, &client->sent, PATIENCE), 0);
    CU_ASSERT_EQUAL(event_wait(r, &server->data_came, PATIENCE), 0);
    CU_ASSERT_EQUAL(server->got_bytes, BYTES);
    CU_ASSERT(memcmp(server->got, bytes, BYTES) == 0);
    CU_ASSERT(server->data_calls > 1);
}

/* ---- an echo of frames that come in pieces ---- */

enum { ECHO_FRAMES = 2000, ECHO_BYTES_MAX = 3000 };

struct echo {
    struct peer peer;
    size_t queued;
    bool is_sending;
};

static void echo_flush(struct echo *e)
{
    if (e->is_sending || e->queued == 0)
        return;
    struct slice part = slice_of(e->peer.got + (e->peer.got_bytes - e->queued), e->queued);
    e->queued = 0;
    e->is_sending = true;
    socket_send(e->peer.socket, &part, 1);
}

static void echo_on_data(void *owner, struct slice bytes)
{
    struct echo *e = owner;
    peer_on_data(&e->peer, bytes);
    e->queued += bytes.bytes;
    echo_flush(e);
}

static void echo_on_sent(void *owner, int result)
{
    struct echo *e = owner;
    CU_ASSERT_EQUAL(result, 0);
    e->is_sending = false;
    echo_flush(e);
}

static void echo_on_end(void *owner, int reason)
{
    peer_on_end(&((struct echo *)owner)->peer, reason);
}

TEST_IN_REACTOR(an_echo_gives_back_every_byte_of_many_small_writes)
{
    static const struct socket_handlers handlers = {echo_on_data, echo_on_sent, echo_on_end};
    enum { BYTES = ECHO_FRAMES * ECHO_BYTES_MAX };
    struct door door;
    struct peer *client = peer_new(r, BYTES);
    struct echo *echo = reactor_alloc_zeroed(r, sizeof *echo);
    uint8_t *bytes = reactor_alloc(r, BYTES);
    size_t used = 0;
    fill(bytes, BYTES, 7);
    echo->peer.reactor = r;
    echo->peer.got = reactor_alloc(r, BYTES);
    echo->peer.capacity = BYTES;
    door_open(&door, r, "127.0.0.1");
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &door.address, PATIENCE, &client->socket), 0);
    CU_ASSERT_EQUAL_FATAL(event_wait(r, &door.came, PATIENCE), 0);
    echo->peer.socket = door.socket;
    socket_start(echo->peer.socket, &handlers, echo);
    socket_start(client->socket, &peer_handlers, client);
    for (unsigned i = 0; i < ECHO_FRAMES; i++) {
        size_t count = 1 + i * 977 % ECHO_BYTES_MAX;
        send_and_wait(client, bytes + used, count);
        used += count;
    }
    client->wanted_bytes = used;
    if (client->got_bytes < used) {
        event_init(&client->data_came);
        CU_ASSERT_EQUAL(event_wait(r, &client->data_came, PATIENCE), 0);
    }
    CU_ASSERT_EQUAL(client->got_bytes, used);
    CU_ASSERT(memcmp(client->got, bytes, used) == 0);
}

/* ---- pause and resume ---- */

TEST_IN_REACTOR(a_paused_reader_holds_the_sender_back_until_it_resumes)
{
    enum { BYTES = 32 << 20 };
    struct door door;
    door_open(&door, r, "127.0.0.1");
    struct peer *client = peer_new(r, 1), *server = peer_new(r, BYTES);
    uint8_t *bytes = reactor_alloc(r, BYTES);
    fill(bytes, BYTES, 9);
    connect_pair(&door, client, server);
    task_yield(r);
    socket_pause(server->socket);
    struct slice part = slice_of(bytes, BYTES);
    socket_send(client->socket, &part, 1);
    CU_ASSERT_EQUAL(event_wait(r, &client->sent, SECOND / 20), TORC_E_TIMEOUT);
    size_t before = server->got_bytes;
    CU_ASSERT_EQUAL(event_wait(r, &client->sent, SECOND / 50), TORC_E_TIMEOUT);
    CU_ASSERT_EQUAL(server->got_bytes, before);
    socket_resume(server->socket);
    socket_pause(server->socket);
    socket_resume(server->socket);
    CU_ASSERT_EQUAL(event_wait(r, &client->sent, PATIENCE), 0);
    CU_ASSERT_EQUAL(event_wait(r, &server->data_came, PATIENCE), 0);
    CU_ASSERT(memcmp(server->got, bytes, BYTES) == 0);
}

static void pause_now_and_then(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    peer_on_data(p, bytes);
    if (p->data_calls % 3 == 0)
        socket_pause(p->socket);
    if (p->data_calls % 6 == 0)
        socket_resume(p->socket);
}

TEST_IN_REACTOR(pausing_inside_of_a_handler_loses_nothing)
{
    enum { BYTES = 4 << 20 };
    static const struct socket_handlers handlers = {pause_now_and_then, peer_on_sent, peer_on_end};
    struct door door;
    door_open(&door, r, "127.0.0.1");
    struct peer *client = peer_new(r, 1), *server = peer_new(r, BYTES);
    uint8_t *bytes = reactor_alloc(r, BYTES);
    fill(bytes, BYTES, 11);
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &door.address, PATIENCE, &client->socket), 0);
    CU_ASSERT_EQUAL_FATAL(event_wait(r, &door.came, PATIENCE), 0);
    server->socket = door.socket;
    socket_start(server->socket, &handlers, server);
    socket_start(client->socket, &peer_handlers, client);
    struct slice part = slice_of(bytes, BYTES);
    socket_send(client->socket, &part, 1);
    for (int i = 0; i < 10000 && server->got_bytes < BYTES; i++) {
        task_sleep(r, 100 * 1000);
        socket_resume(server->socket);
    }
    CU_ASSERT_EQUAL(server->got_bytes, BYTES);
    CU_ASSERT(memcmp(server->got, bytes, BYTES) == 0);
}

/* ---- ends ---- */

static void reset_on_close(struct peer *client, struct peer *server)
{
    /* A close with unread bytes in the socket is a reset for the other side. */
    socket_pause(client->socket);
    task_sleep(client->reactor, 1000 * 1000);
    send_and_wait(server, "unread", 6);
    task_sleep(client->reactor, 1000 * 1000);
    close_and_wait(client);
}

TEST_IN_REACTOR(a_reset_by_the_peer_is_reported_once)
{
    struct door door;
    door_open(&door, r, "127.0.0.1");
    struct peer *client = peer_new(r, 64), *server = peer_new(r, 64);
    connect_pair(&door, client, server);
    reset_on_close(client, server);
    CU_ASSERT_EQUAL(event_wait(r, &server->ended, PATIENCE), -ECONNRESET);
    struct slice part = slice_of("late", 4);
    socket_send(server->socket, &part, 1);
    CU_ASSERT(event_wait(r, &server->sent, PATIENCE) < 0);
    CU_ASSERT_EQUAL(event_wait(r, &server->ended, SECOND / 100), TORC_E_TIMEOUT);
    close_and_wait(server);
}

TEST_IN_REACTOR(close_with_a_send_under_way_gives_the_buffer_back_and_resets)
{
    enum { BYTES = 32 << 20 };
    struct door door;
    door_open(&door, r, "127.0.0.1");
    struct peer *client = peer_new(r, BYTES), *server = peer_new(r, 1);
    uint8_t *bytes = reactor_alloc_zeroed(r, BYTES);
    connect_pair(&door, client, server);
    socket_pause(client->socket);
    task_yield(r);
    struct slice parts[2] = {slice_of(bytes, BYTES / 2), slice_of(bytes + BYTES / 2, BYTES / 2)};
    socket_send(server->socket, parts, 2);
    task_sleep(r, 1000 * 1000);
    close_and_wait(server);
    reactor_free(r, bytes);
    CU_ASSERT_FALSE(server->sent.is_set);
    socket_resume(client->socket);
    CU_ASSERT_EQUAL(event_wait(r, &client->ended, PATIENCE), -ECONNRESET);
    CU_ASSERT(client->got_bytes < BYTES);
    close_and_wait(client);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 0);
}

static void close_at_once(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    peer_on_data(p, bytes);
    struct slice part = slice_of("bye", 3);
    socket_send(p->socket, &part, 1);
    socket_close(p->socket, peer_on_closed);
}

TEST_IN_REACTOR(a_handler_may_close_its_own_socket)
{
    static const struct socket_handlers handlers = {close_at_once, peer_on_sent, peer_on_end};
    struct door door;
    door_open(&door, r, "127.0.0.1");
    for (int i = 0; i < 50; i++) {
        struct peer *client = peer_new(r, 64), *server = peer_new(r, 64);
        CU_ASSERT_EQUAL_FATAL(socket_connect(r, &door.address, PATIENCE, &client->socket), 0);
        CU_ASSERT_EQUAL_FATAL(event_wait(r, &door.came, PATIENCE), 0);
        server->socket = door.socket;
        socket_start(server->socket, &handlers, server);
        socket_start(client->socket, &peer_handlers, client);
        send_and_wait(client, "12", 2);
        CU_ASSERT_EQUAL(event_wait(r, &server->closed, PATIENCE), 0);
        CU_ASSERT(event_wait(r, &client->ended, PATIENCE) < 0);
        CU_ASSERT_EQUAL(server->data_calls, 1);
        CU_ASSERT_FALSE(server->sent.is_set || server->ended.is_set);
        CU_ASSERT_EQUAL(client->got_bytes, 3);
        close_and_wait(client);
    }
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 0);
}

/* ---- many ---- */

enum { CROWD = 2000 };

struct crowd {
    struct reactor *reactor;
    struct peer *servers;
    unsigned accepted;
    unsigned answered;
    struct event done;
};

static void crowd_on_data(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    p->got_bytes += bytes.bytes;
    socket_send(p->socket, &(struct slice){(const uint8_t *)"pong", 4}, 1);
}

static void crowd_on_accept(void *context, struct socket *s)
{
    static const struct socket_handlers handlers = {crowd_on_data, peer_on_sent, peer_on_end};
    struct crowd *c = context;
    struct peer *p = &c->servers[c->accepted++];
    p->reactor = c->reactor;
    p->socket = s;
    socket_start(s, &handlers, p);
}

static struct crowd *crowd; /* one test at a time */

static void crowd_on_answer(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    p->got_bytes += bytes.bytes;
    if (p->got_bytes == 4 && ++crowd->answered == CROWD)
        event_set(crowd->reactor, &crowd->done, 0);
}

TEST_IN_REACTOR(two_thousand_connections_are_served_at_once_without_allocations)
{
    static const struct socket_handlers handlers = {crowd_on_answer, peer_on_sent, peer_on_end};
    struct address address = {.host = "127.0.0.1"};
    struct listener *listener;
    struct peer *clients = reactor_alloc_zeroed(r, CROWD * sizeof *clients);
    crowd = reactor_alloc_zeroed(r, sizeof *crowd);
    crowd->reactor = r;
    crowd->servers = reactor_alloc_zeroed(r, CROWD * sizeof *crowd->servers);
    CU_ASSERT_EQUAL_FATAL(socket_listen(r, &address, 4096, crowd_on_accept, crowd, &listener), 0);
    address.port = listener_port(listener);
    for (unsigned i = 0; i < CROWD; i++) {
        clients[i].reactor = r;
        CU_ASSERT_EQUAL_FATAL(socket_connect(r, &address, PATIENCE, &clients[i].socket), 0);
        socket_start(clients[i].socket, &handlers, &clients[i]);
    }
    for (unsigned round = 0; round < 3; round++) {
        uint64_t allocations = reactor_counters(r).allocations;
        crowd->answered = 0;
        for (unsigned i = 0; i < CROWD; i++) {
            clients[i].got_bytes = 0;
            socket_send(clients[i].socket, &(struct slice){(const uint8_t *)"ping", 4}, 1);
        }
        CU_ASSERT_EQUAL(event_wait(r, &crowd->done, PATIENCE), 0);
        CU_ASSERT_EQUAL(reactor_counters(r).allocations, allocations);
    }
    CU_ASSERT_EQUAL(crowd->accepted, CROWD);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, 2 * CROWD);
    for (unsigned i = 0; i < CROWD; i += 2)
        socket_close(clients[i].socket, NULL);
    for (unsigned i = 0; i < CROWD; i += 2)
        CU_ASSERT_EQUAL(event_wait(r, &crowd->servers[i].ended, PATIENCE), TORC_E_CLOSED);
}

/* ---- few receive buffers ---- */

/* A pair in which each side answers the other at once, so a turn takes one buffer of it. */
static void volley_on_data(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    (void)bytes;
    p->data_calls++;
    socket_send(p->socket, &(struct slice){(const uint8_t *)"ball", 4}, 1);
}

static void volley_start(struct door *door)
{
    static const struct socket_handlers handlers = {volley_on_data, NULL, NULL};
    struct reactor *r = door->reactor;
    struct peer *client = peer_new(r, 1), *server = peer_new(r, 1);
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &door->address, PATIENCE, &client->socket), 0);
    CU_ASSERT_EQUAL_FATAL(event_wait(r, &door->came, PATIENCE), 0);
    server->socket = door->socket;
    socket_start(server->socket, &handlers, server);
    socket_start(client->socket, &handlers, client);
    volley_on_data(client, slice_of("", 0));
}

enum { FEW_BUFFERS = 2, STARVED_TURNS = 2000 };

static int starve_a_third(struct reactor *r, void *context)
{
    struct door door;
    (void)context;
    door_open(&door, r, "127.0.0.1");
    struct peer *client = peer_new(r, 1), *server = peer_new(r, 4);
    connect_pair(&door, client, server);
    for (unsigned i = 0; i < FEW_BUFFERS; i++)
        volley_start(&door);
    socket_send(client->socket, &(struct slice){(const uint8_t *)"ping", 4}, 1);
    for (unsigned turn = 0; turn < STARVED_TURNS && server->data_calls == 0; turn++)
        task_yield(r); /* ready in each turn, as a flush is */
    CU_ASSERT_EQUAL(server->data_calls, 1);
    reactor_stop(r);
    return 0;
}

TEST(connections_that_take_all_buffers_each_turn_leave_some_to_the_others)
{
    char why[256];
    struct reactor_options options = {.core_count = 1, .first_cpu = -1, .receive_buffer_count = FEW_BUFFERS};
    CU_ASSERT_EQUAL(reactor_run(&options, starve_a_third, NULL, why, sizeof why), 0);
}
