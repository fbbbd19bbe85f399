/* peer.c - sides of connections that check what they get, and the nodes that they live on. */
#include "test/sim/peer.h"

#include <stdio.h>
#include <string.h>

static uint8_t pattern(uint64_t index, unsigned number)
{
    return (uint8_t)((index * 2654435761u + number * 40503u) >> 9);
}

/* ---- a side of a connection ---- */

static void look_at_call(struct peer *p)
{
    p->mistakes += task_current(p->reactor) != NULL || p->closed_calls > 0;
}

static void on_data(void *owner, struct slice bytes)
{
    struct peer *p = owner;
    look_at_call(p);
    p->mistakes += bytes.bytes == 0 || p->end_calls > 0;
    for (size_t i = 0; i < bytes.bytes; i++)
        p->mistakes += bytes.data[i] != pattern(p->got_bytes + i, p->other);
    p->got_bytes += bytes.bytes;
    p->data_calls++;
    if (bytes.bytes > p->largest_piece)
        p->largest_piece = bytes.bytes;
    if (p->wanted_bytes && p->got_bytes >= p->wanted_bytes)
        event_set(p->reactor, &p->data_came, 0);
}

static void on_sent(void *owner, int result)
{
    struct peer *p = owner;
    look_at_call(p);
    p->mistakes += p->out == NULL;
    reactor_free(p->reactor, p->out);
    p->out = NULL;
    p->sent_calls++;
    p->sent_result = result;
    event_set(p->reactor, &p->sent, result);
}

static void on_end(void *owner, int reason)
{
    struct peer *p = owner;
    look_at_call(p);
    p->end_calls++;
    p->end_reason = reason;
    event_set(p->reactor, &p->ended, reason);
}

static void on_closed(void *owner)
{
    struct peer *p = owner;
    look_at_call(p);
    p->closed_calls++;
    reactor_free(p->reactor, p->out);
    p->out = NULL;
    event_set(p->reactor, &p->closed, 0);
}

void peer_start(struct peer *p, struct reactor *r, struct socket *s, unsigned number, unsigned other)
{
    static const struct socket_handlers handlers = {on_data, on_sent, on_end};
    *p = (struct peer){.reactor = r, .socket = s, .number = number, .other = other};
    socket_start(s, &handlers, p);
}

void peer_send(struct peer *p, size_t bytes)
{
    struct slice parts[3];
    size_t third = bytes / 3;
    ASSERT(!p->out);
    p->out = reactor_alloc(p->reactor, bytes + 1);
    ASSERT(p->out);
    for (size_t i = 0; i < bytes; i++)
        p->out[i] = pattern(p->out_bytes + i, p->number);
    parts[0] = slice_of(p->out, third);
    parts[1] = slice_of(p->out + third, third);
    parts[2] = slice_of(p->out + 2 * third, bytes - 2 * third);
    p->out_bytes += bytes;
    event_init(&p->sent);
    socket_send(p->socket, parts, ARRAY_COUNT(parts));
    memset(parts, 0, sizeof parts); /* the array is copied */
}

int peer_send_and_wait(struct peer *p, size_t bytes, uint64_t timeout_ns)
{
    peer_send(p, bytes);
    return event_wait(p->reactor, &p->sent, timeout_ns);
}

int peer_wait_for(struct peer *p, uint64_t bytes, uint64_t timeout_ns)
{
    if (p->got_bytes >= bytes)
        return 0;
    p->wanted_bytes = bytes;
    event_init(&p->data_came);
    return event_wait(p->reactor, &p->data_came, timeout_ns);
}

int peer_wait_for_end(struct peer *p, uint64_t timeout_ns)
{
    return event_wait(p->reactor, &p->ended, timeout_ns);
}

void peer_close(struct peer *p)
{
    unsigned calls = p->closed_calls;
    socket_close(p->socket, on_closed);
    p->mistakes += p->closed_calls != calls; /* never from within */
    p->socket = NULL;
}

void peer_close_and_wait(struct peer *p)
{
    peer_close(p);
    CU_ASSERT_EQUAL(event_wait(p->reactor, &p->closed, SECOND_NS), 0);
    task_sleep(p->reactor, 2 * MILLISECOND_NS);
    CU_ASSERT_EQUAL(p->closed_calls, 1);
    CU_ASSERT_EQUAL(p->mistakes, 0);
}

/* ---- a listener ---- */

static void on_accept(void *context, struct socket *s)
{
    struct door *d = context;
    ASSERT(d->count < DOOR_SOCKETS_MAX);
    d->sockets[d->count++] = s;
    d->mistakes += task_current(d->reactor) != NULL;
    event_set(d->reactor, &d->came, 0);
}

int door_open(struct door *d, struct reactor *r, const char *host, uint16_t port)
{
    *d = (struct door){.reactor = r, .address.port = port};
    snprintf(d->address.host, sizeof d->address.host, "%s", host);
    int rc = socket_listen(r, &d->address, 128, on_accept, d, &d->listener);
    if (rc == 0)
        d->address.port = listener_port(d->listener);
    return rc;
}

struct socket *door_wait(struct door *d)
{
    if (d->count == 0)
        CU_ASSERT_EQUAL_FATAL(event_wait(d->reactor, &d->came, 60 * SECOND_NS), 0);
    event_init(&d->came);
    ASSERT(d->count > 0);
    return d->sockets[--d->count];
}

/* ---- a world ---- */

static int run_body(struct reactor *r, void *context)
{
    struct town_start s = *(struct town_start *)context;
    s.body(r, s.town);
    return 0;
}

struct address town_address(unsigned node, uint16_t port)
{
    struct address a = {.port = port};
    snprintf(a.host, sizeof a.host, "10.0.0.%u", node + 1);
    return a;
}

void town_open(struct town *t, const struct sim_world_options *options, void *context)
{
    *t = (struct town){.world = sim_world_new(options), .context = context};
    for (unsigned i = 0; i < TOWN_NODES; i++)
        t->nodes[i] = sim_node_new(t->world, town_address(i, 0).host, NULL);
}

void town_close(struct town *t)
{
    sim_world_free(t->world);
}

void town_start(struct town *t, unsigned node, unsigned cores, town_body *body)
{
    struct reactor_options options = {.core_count = cores, .first_cpu = -1};
    t->starts[node] = (struct town_start){t, body};
    sim_node_start(t->nodes[node], &options, run_body, &t->starts[node]);
}

static bool is_done(void *context)
{
    return ((struct town *)context)->is_done;
}

bool town_run(struct town *t, unsigned seconds)
{
    t->is_done = false;
    return sim_run(t->world, sim_now_ns(t->world) + seconds * SECOND_NS, is_done, t);
}
