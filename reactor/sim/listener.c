/* listener.c - how connections come about in a simulated world: found by host and port, accepted, or not.
 *
 *   socket_connect --latency--> on_request at the node asked for: a listener there? --latency--> on_answer
 *                                    | nobody answers: asked again after 1, 2, 4 ... s, at last -ETIMEDOUT
 *
 * A node is reached by its own address, and from within by 127.0.0.1 and ::1. Of several cores that listen
 * on one port one is drawn for each connection. What has come waits in the listener until the turn of its
 * core. */
#include "reactor/sim/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static const uint64_t RETRY_NS_FIRST = 1000 * 1000 * 1000;
enum { ATTEMPTS_MAX = 7, PORT_FIRST = 32768, PORT_LAST = 60999 }; /* as Linux has them */

struct listener {
    struct list link;         /* in reactor.listeners */
    struct list network_link; /* in network.listeners */
    struct reactor *reactor;
    struct sim_completion accept;
    void (*on_accept)(void *context, struct socket *s);
    void *context;
    struct list pending; /* sides that nobody has accepted yet */
    unsigned pending_count;
    unsigned backlog;
    struct host host;
    uint16_t port;
    bool is_in_handler;
    bool is_closing;
};

/* ---- addresses ---- */

bool host_parse(const char *text, struct host *out)
{
    *out = (struct host){0};
    if (inet_pton(AF_INET, text, out->bytes) == 1)
        out->family = 4;
    else if (inet_pton(AF_INET6, text, out->bytes) == 1)
        out->family = 6;
    return out->family != 0;
}

static bool host_equal(const struct host *a, const struct host *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool host_is(const struct host *h, const char *text)
{
    struct host other;
    return host_parse(text, &other) && host_equal(h, &other);
}

static bool host_is_any(const struct host *h)
{
    return host_is(h, "0.0.0.0") || host_is(h, "::");
}

static bool host_is_loopback(const struct host *h)
{
    return (h->family == 4 && h->bytes[0] == 127) || host_is(h, "::1");
}

static bool is_of_node(const struct host *h, const struct sim_node *n)
{
    return host_is(h, n->host);
}

/* Whether a listener on `bound` hears what comes to `asked`; an IPv6 wildcard hears IPv4 too. */
static bool host_hears(const struct host *bound, const struct host *asked)
{
    if (host_is_any(bound))
        return bound->family == 6 || asked->family == 4;
    return host_equal(bound, asked);
}

/* ---- listening ---- */

static struct listener *listener_of(struct list *network_link)
{
    return CONTAINER_OF(network_link, struct listener, network_link);
}

static bool is_in_use(const struct reactor *r, const struct host *host, uint16_t port)
{
    struct list *all = &r->world->network->listeners;
    for (struct list *link = all->next; link != all; link = link->next) {
        struct listener *l = listener_of(link);
        if (l->reactor->node == r->node && l->port == port &&
            (host_hears(&l->host, host) || host_hears(host, &l->host)))
            return true;
    }
    return false;
}

/* Returns: a port nobody has on this node. */
static uint16_t choose_port(struct reactor *r)
{
    static const struct host any = {.family = 6};
    const uint32_t count = PORT_LAST - PORT_FIRST + 1;
    uint32_t begin = (uint32_t)sim_dice_below(&r->world->network->port_dice, count);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + (begin + i) % count);
        if (!is_in_use(r, &any, port))
            return port;
    }
    return 0;
}

static void on_accept_turn(struct sim_completion *c);

static struct listener *listener_new(struct reactor *r, const struct host *host, uint16_t port)
{
    struct listener *l = sim_alloc(sizeof *l);
    l->reactor = r;
    l->host = *host;
    l->port = port;
    l->accept.done = on_accept_turn;
    list_init(&l->accept.link);
    list_init(&l->pending);
    list_push_back(&r->listeners, &l->link);
    list_push_back(&r->world->network->listeners, &l->network_link);
    return l;
}

int socket_listen(struct reactor *r, const struct address *address, unsigned backlog,
                  void (*on_accept)(void *context, struct socket *s), void *context, struct listener **out)
{
    struct host host;
    *out = NULL;
    ASSERT(on_accept);
    if (!host_parse(address->host, &host))
        return -EINVAL;
    if (!host_is_any(&host) && !host_is_loopback(&host) && !is_of_node(&host, r->node))
        return -EADDRNOTAVAIL;
    if (address->port && reactor_core(r) == 0 && is_in_use(r, &host, address->port))
        return -EADDRINUSE;
    uint16_t port = address->port ? address->port : choose_port(r);
    if (!port)
        return -EADDRINUSE;
    *out = listener_new(r, &host, port);
    (*out)->backlog = backlog;
    (*out)->on_accept = on_accept;
    (*out)->context = context;
    return 0;
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}

static void listener_free(struct listener *l)
{
    core_unpost(&l->accept);
    list_remove(&l->link);
    sim_free(l);
}

/* Nobody hears of what waits here: it is ended. */
static void end_pending(struct listener *l, enum sim_end how)
{
    list_remove(&l->network_link);
    for (struct list *link; (link = list_pop_front(&l->pending));) {
        struct side *side = CONTAINER_OF(link, struct side, link);
        if (how == SIM_END_POWER)
            side_vanish(side);
        else
            side_close(side, ENDING_RESET);
    }
}

void listener_close(struct listener *l)
{
    ASSERT(!l->is_closing);
    l->is_closing = true;
    end_pending(l, SIM_END_KILL);
    if (!l->is_in_handler)
        listener_free(l);
}

uint64_t listeners_on_end(struct reactor *r, enum sim_end how)
{
    uint64_t count = 0;
    while (!list_is_empty(&r->listeners)) {
        struct listener *l = CONTAINER_OF(r->listeners.next, struct listener, link);
        count += !l->is_closing;
        end_pending(l, how);
        listener_free(l);
    }
    return count;
}

/* ---- accepting ---- */

static void trace(struct reactor *r, enum network_trace what, const struct connection *c, uint64_t value)
{
    core_trace(r, ((uint64_t)what << 32) + c->number, value);
}

static void on_accept_turn(struct sim_completion *c)
{
    struct listener *l = CONTAINER_OF(c, struct listener, accept);
    l->is_in_handler = true;
    for (struct list *link; !l->is_closing && (link = list_pop_front(&l->pending));) {
        struct side *side = CONTAINER_OF(link, struct side, link);
        l->pending_count--;
        trace(l->reactor, TRACE_ACCEPTED, side->connection, l->port);
        l->on_accept(l->context, socket_new(l->reactor, side));
    }
    l->is_in_handler = false;
    if (l->is_closing)
        listener_free(l);
}

/* Returns: how many listen there; `*chosen` becomes the one with that index. */
static unsigned find_listeners(struct connection *c, const struct sim_node *node, unsigned index,
                               struct listener **chosen)
{
    struct list *all = &c->network->listeners;
    unsigned count = 0;
    for (struct list *link = all->next; link != all; link = link->next) {
        struct listener *l = listener_of(link);
        if (l->reactor->node != node || l->port != c->port || !host_hears(&l->host, &c->host))
            continue;
        if (count++ == index)
            *chosen = l;
    }
    return count;
}

static struct listener *draw_listener(struct connection *c, const struct sim_node *node)
{
    struct listener *chosen = NULL;
    unsigned count = find_listeners(c, node, 0, &chosen);
    if (count > 1)
        find_listeners(c, node, (unsigned)sim_dice_below(&c->dice, count), &chosen);
    return chosen;
}

static void take_connection(struct listener *l, struct connection *c)
{
    struct side *side = &c->sides[1];
    side->state = SIDE_OPEN;
    side->node = l->reactor->node;
    side->reactor = l->reactor;
    list_push_back(&l->pending, &side->link);
    l->pending_count++;
    if (list_is_empty(&l->accept.link))
        core_post(l->reactor, &l->accept);
}

/* ---- connecting ---- */

static void on_answer(struct sim_event *e)
{
    struct connection *c = CONTAINER_OF(e, struct connection, handshake);
    c->is_answered = true;
    if (c->sides[0].socket) /* who asked may have given up */
        socket_notice(c->sides[0].socket);
}

static void answer(struct connection *c, int result)
{
    struct sim_world *w = c->network->world;
    uint64_t delay_ns = connection_latency_ns(c);
    c->connect_result = result;
    c->sides[1].out.last_due_ns = w->now_ns + delay_ns; /* nothing overtakes the answer */
    event_schedule(w, &c->handshake, delay_ns, on_answer);
}

static void on_request(struct sim_event *e);

static void ask_again(struct connection *c)
{
    if (++c->attempts == ATTEMPTS_MAX)
        answer(c, -ETIMEDOUT);
    else
        event_schedule(c->network->world, &c->handshake, RETRY_NS_FIRST << (c->attempts - 1), on_request);
}

/* Returns: whom the connect is for; null when there is no such machine. */
static struct sim_node *find_node(struct connection *c)
{
    struct sim_world *w = c->network->world;
    if (host_is_any(&c->host) || host_is_loopback(&c->host))
        return c->sides[0].node;
    for (uint32_t i = 0; i < w->node_count; i++)
        if (is_of_node(&c->host, w->nodes[i]))
            return w->nodes[i];
    return NULL;
}

static void on_request(struct sim_event *e)
{
    struct connection *c = CONTAINER_OF(e, struct connection, handshake);
    struct sim_node *node = find_node(c);
    if (!node || c->is_unheard || network_is_dark(c->network, node)) {
        ask_again(c);
        return;
    }
    struct listener *l = draw_listener(c, node);
    bool is_full = l && l->pending_count > l->backlog; /* as Linux counts */
    if (is_full && sim_dice_below(&c->dice, 2)) {
        ask_again(c); /* one system drops it, the other refuses */
    } else if (!l || is_full) {
        answer(c, -ECONNREFUSED);
    } else {
        answer(c, 0);
        take_connection(l, c);
    }
}

static void request(struct connection *c, const struct host *host, uint16_t port)
{
    struct sim_world *w = c->network->world;
    c->port = port;
    c->host = *host;
    if (host_is(host, "0.0.0.0"))
        (void)!host_parse("127.0.0.1", &c->host);
    if (host_is(host, "::"))
        (void)!host_parse("::1", &c->host);
    bool is_refused = fault_hits(w, SIM_NETWORK_REFUSE, &c->refuse_dice);
    c->is_unheard = is_refused && sim_dice_below(&c->refuse_dice, 2);
    if (is_refused && !c->is_unheard)
        answer(c, -ECONNREFUSED);
    else
        event_schedule(w, &c->handshake, connection_latency_ns(c), on_request);
}

int socket_connect(struct reactor *r, const struct address *address, uint64_t timeout_ns, struct socket **out)
{
    struct host host;
    *out = NULL;
    if (!host_parse(address->host, &host))
        return -EINVAL;
    struct connection *c = connection_new(r);
    struct socket *s = socket_new(r, &c->sides[0]);
    request(c, &host, address->port);
    int rc = socket_await_connect(s, timeout_ns);
    trace(r, TRACE_CONNECTED, c, (uint64_t)rc);
    if (rc)
        socket_drop(s);
    else
        *out = s;
    return rc;
}
