/* network.c - the connections of a simulated world: streams of segments that take their time, and go wrong.
 *
 *   side_send: bytes that fit the window -> cut into segments -> under way, each due after the one before it
 *   on_arrival: what is due -> received, and the socket hears of it; where nobody is: a reset comes back
 *   side_receive: bytes leave the window -> the sender hears of the room a moment later
 *
 * A side that lost its power answers nothing until its node is up again; whoever sends to it gets ETIMEDOUT
 * after 10 to 60 s, or a reset by the node that knows the connection no more. A connection is freed when both
 * sides are gone. Nothing here calls a handler: sockets are told that something changed and look in a turn of
 * their core. */
#include "reactor/sim/network.h"

#include <errno.h>
#include <string.h>

static const uint64_t MICROSECOND = 1000;
static const uint64_t MILLISECOND = 1000 * 1000;
static const uint64_t SECOND = 1000 * 1000 * 1000;
static const uint64_t RETRY_NS = 1000 * 1000 * 1000; /* of segments that nobody answers */
static const uint64_t GAP_NS_MAX = 50 * 1000;        /* between segments that are cut short */

enum { CUTS_MAX = 64, CUT_SHIFT_MAX = 12 };

static void on_arrival(struct sim_event *e);

static struct sim_world *world_of(const struct side *s)
{
    return s->connection->network->world;
}

static void notice(struct side *s)
{
    if (s->socket)
        socket_notice(s->socket);
}

/* ---- segments ---- */

static void drop_segments(struct list *segments)
{
    for (struct list *link; (link = list_pop_front(segments));)
        sim_free(CONTAINER_OF(link, struct segment, link));
}

static void drop_under_way(struct stream *t)
{
    drop_segments(&t->under_way);
}

static void drop_received(struct stream *t)
{
    drop_segments(&t->received);
    t->received_bytes = 0;
}

static struct segment *segment_new(enum segment_kind kind, const uint8_t *data, size_t bytes)
{
    struct segment *g = sim_realloc(NULL, sizeof *g + bytes);
    *g = (struct segment){.kind = kind, .bytes = (uint32_t)bytes};
    list_init(&g->link);
    if (bytes)
        memcpy(g->data, data, bytes);
    return g;
}

uint64_t connection_latency_ns(struct connection *c)
{
    struct reactor *running = c->network->world->running;
    uint64_t elapsed_ns =
        running ? running->elapsed_ns : 0; /* the clock of the world stands still in a turn */
    return elapsed_ns + sim_dice_between(&c->dice, 50 * MICROSECOND, 500 * MICROSECOND);
}

static void schedule_arrival(struct side *from)
{
    struct stream *t = &from->out;
    if (t->arrival.heap_index || list_is_empty(&t->under_way))
        return;
    struct segment *first = CONTAINER_OF(t->under_way.next, struct segment, link);
    uint64_t now_ns = world_of(from)->now_ns;
    event_schedule(world_of(from), &t->arrival, first->due_ns > now_ns ? first->due_ns - now_ns : 0,
                   on_arrival);
}

static void push(struct side *from, struct segment *g, uint64_t extra_ns)
{
    struct stream *t = &from->out;
    g->due_ns = world_of(from)->now_ns + connection_latency_ns(from->connection) + extra_ns;
    if (g->due_ns < t->last_due_ns)
        g->due_ns = t->last_due_ns;
    t->last_due_ns = g->due_ns;
    list_push_back(&t->under_way, &g->link);
    schedule_arrival(from);
}

/* Of what is under way some is lost: what is not lost is what was sent first. */
static void lose_some_under_way(struct side *from)
{
    struct list *segments = &from->out.under_way;
    uint64_t count = 0;
    for (struct list *link = segments->next; link != segments; link = link->next)
        count++;
    uint64_t lost = sim_dice_below(&from->connection->dice, count + 1);
    for (; lost > 0; lost--) {
        struct list *last = segments->previous;
        list_remove(last);
        sim_free(CONTAINER_OF(last, struct segment, link));
    }
}

/* ---- making and freeing ---- */

static void stream_init(struct stream *t, struct sim_dice *dice)
{
    list_init(&t->under_way);
    list_init(&t->received);
    t->window_bytes = (size_t)sim_dice_between(dice, WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
}

static void init_dice(struct connection *c)
{
    struct sim_world *w = c->network->world;
    stream_dice_init(w, &c->dice, SIM_STREAM_NETWORK, c->number);
    fault_dice_init(w, &c->segment_dice, SIM_NETWORK_SEGMENT, 2 * c->number);
    fault_dice_init(w, &c->piece_dice, SIM_NETWORK_SEGMENT, 2 * c->number + 1);
    fault_dice_init(w, &c->delay_dice, SIM_NETWORK_DELAY, c->number);
    fault_dice_init(w, &c->stall_dice, SIM_NETWORK_STALL, c->number);
    fault_dice_init(w, &c->reset_dice, SIM_NETWORK_RESET, c->number);
    fault_dice_init(w, &c->refuse_dice, SIM_NETWORK_REFUSE, c->number);
}

struct connection *connection_new(struct reactor *r)
{
    struct sim_network *n = r->world->network;
    struct connection *c = sim_alloc(sizeof *c);
    c->network = n;
    c->number = ++n->connections_made;
    init_dice(c);
    for (unsigned i = 0; i < 2; i++) {
        c->sides[i].connection = c;
        list_init(&c->sides[i].link);
        stream_init(&c->sides[i].out, &c->dice);
    }
    c->sides[0].state = SIDE_OPEN;
    c->sides[0].node = r->node;
    c->sides[0].reactor = r;
    list_push_back(&n->connections, &c->link);
    return c;
}

static void connection_free(struct connection *c)
{
    struct sim_world *w = c->network->world;
    event_cancel(w, &c->handshake);
    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &c->sides[i];
        event_cancel(w, &s->out.arrival);
        event_cancel(w, &s->out.opened);
        event_cancel(w, &s->timeout);
        drop_under_way(&s->out);
        drop_received(&s->out);
        list_remove(&s->link);
    }
    list_remove(&c->link);
    sim_free(c);
}

/* Returns: whether both sides are gone, and the connection with them. */
static bool free_if_gone(struct connection *c)
{
    if (c->sides[0].state == SIDE_OPEN || c->sides[1].state == SIDE_OPEN)
        return false;
    connection_free(c);
    return true;
}

struct sim_network *network_new(struct sim_world *w)
{
    struct sim_network *n = sim_alloc(sizeof *n);
    n->world = w;
    list_init(&n->connections);
    list_init(&n->listeners);
    list_init(&n->detached);
    stream_dice_init(w, &n->port_dice, SIM_STREAM_NETWORK, 0);
    return n;
}

void network_free(struct sim_network *n)
{
    ASSERT(list_is_empty(&n->listeners) && list_is_empty(&n->connections)); /* they go with the nodes */
    sim_free(n->is_dark);
    sim_free(n);
}

void network_set_dark(struct sim_network *n, const struct sim_node *node, bool is_dark)
{
    if (node->number >= n->is_dark_count) {
        uint32_t count = node->number + 1;
        n->is_dark = sim_realloc(n->is_dark, count * sizeof *n->is_dark);
        memset(n->is_dark + n->is_dark_count, 0, (count - n->is_dark_count) * sizeof *n->is_dark);
        n->is_dark_count = count;
    }
    n->is_dark[node->number] = is_dark;
}

bool network_is_dark(const struct sim_network *n, const struct sim_node *node)
{
    return !node->cores && node->number < n->is_dark_count && n->is_dark[node->number];
}

/* ---- what arrives ---- */

/* The connection has failed for this side: what is under way, either way, is lost. */
static void fail(struct side *s, int reason)
{
    if (s->state != SIDE_OPEN)
        return;
    struct stream *in = side_in(s);
    if (!s->send_error)
        s->send_error = s->end_reason == TORC_E_CLOSED ? -EPIPE : reason;
    if (!s->end_reason) {
        s->end_reason = reason;
        if (sim_dice_below(&s->connection->dice, 2))
            drop_received(in); /* what was received may be lost or not */
    }
    drop_under_way(in);
    drop_under_way(&s->out);
    event_cancel(world_of(s), &s->timeout);
    notice(s);
}

static void on_timeout(struct sim_event *e)
{
    fail(CONTAINER_OF(e, struct side, timeout), -ETIMEDOUT);
}

/* Something came to a side that is gone: its node knows of no such connection. */
static void answer_with_reset(struct side *gone)
{
    if (!gone->has_answered)
        push(gone, segment_new(SEGMENT_RESET, NULL, 0), 0);
    gone->has_answered = true;
}

static void arrive(struct side *to, struct segment *g)
{
    struct side *from = side_peer(to);
    if (g->kind == SEGMENT_DATA && to->state == SIDE_OPEN) {
        list_push_back(&from->out.received, &g->link);
        from->out.received_bytes += g->bytes;
        notice(to);
        return;
    }
    if (g->kind == SEGMENT_BREAK) {
        fail(to, -ECONNRESET);
        fail(from, -ECONNRESET);
    } else if (g->kind == SEGMENT_RESET) {
        fail(to, -ECONNRESET);
    } else if (to->state != SIDE_OPEN) {
        answer_with_reset(to);
    } else if (!to->end_reason) {
        to->end_reason = TORC_E_CLOSED;
        notice(to);
    }
    sim_free(g);
}

/* Nobody hears what arrives: it is sent again until the sender gives up. */
static void retry(struct side *from)
{
    struct sim_world *w = world_of(from);
    if (!from->timeout.heap_index && from->state == SIDE_OPEN)
        event_schedule(w, &from->timeout, sim_dice_between(&from->connection->dice, 10 * SECOND, 60 * SECOND),
                       on_timeout);
    event_schedule(w, &from->out.arrival, RETRY_NS, on_arrival);
}

static void on_arrival(struct sim_event *e)
{
    struct side *from = CONTAINER_OF(e, struct side, out.arrival);
    struct side *to = side_peer(from);
    struct sim_world *w = world_of(from);
    uint64_t stalled_until_ns = from->connection->stalled_until_ns;
    if (stalled_until_ns > w->now_ns) {
        event_schedule(w, e, stalled_until_ns - w->now_ns, on_arrival);
        return;
    }
    bool is_heard = to->state == SIDE_OPEN || !network_is_dark(from->connection->network, to->node);
    if (!is_heard && !list_is_empty(&from->out.under_way)) {
        retry(from);
        return;
    }
    while (!list_is_empty(&from->out.under_way)) {
        struct segment *g = CONTAINER_OF(from->out.under_way.next, struct segment, link);
        if (g->due_ns > w->now_ns)
            break;
        list_remove(&g->link);
        arrive(to, g);
    }
    schedule_arrival(from);
}

/* ---- sending and receiving ---- */

void side_begin_send(struct side *s)
{
    struct connection *c = s->connection;
    s->out.cuts_left = 0;
    if (!fault_hits(world_of(s), SIM_NETWORK_SEGMENT, &c->segment_dice))
        return;
    s->out.cuts_left = (uint32_t)sim_dice_between(&c->segment_dice, 1, CUTS_MAX);
    s->out.cut_bytes_max = 1u << sim_dice_below(&c->segment_dice, CUT_SHIFT_MAX + 1);
}

static size_t cut(struct side *s, size_t bytes)
{
    struct stream *t = &s->out;
    size_t whole = bytes < SEGMENT_BYTES_MAX ? bytes : SEGMENT_BYTES_MAX;
    if (t->cuts_left == 0)
        return whole;
    t->cuts_left--;
    t->last_due_ns += sim_dice_between(&s->connection->segment_dice, 0, GAP_NS_MAX); /* one by one */
    size_t piece = (size_t)sim_dice_between(&s->connection->segment_dice, 1, t->cut_bytes_max);
    return piece < whole ? piece : whole;
}

static void send_segment(struct side *s, const uint8_t *data, size_t bytes)
{
    struct connection *c = s->connection;
    struct sim_world *w = world_of(s);
    uint64_t extra_ns = 0;
    bool breaks = fault_hits(w, SIM_NETWORK_RESET, &c->reset_dice);
    if (fault_hits(w, SIM_NETWORK_DELAY, &c->delay_dice))
        extra_ns = sim_dice_between(&c->delay_dice, MICROSECOND, 500 * MILLISECOND);
    if (fault_hits(w, SIM_NETWORK_STALL, &c->stall_dice))
        c->stalled_until_ns = w->now_ns + sim_dice_between(&c->stall_dice, SECOND, 30 * SECOND);
    push(s, breaks ? segment_new(SEGMENT_BREAK, NULL, 0) : segment_new(SEGMENT_DATA, data, bytes), extra_ns);
}

int64_t side_send(struct side *s, const uint8_t *data, size_t bytes)
{
    struct stream *t = &s->out;
    ASSERT(s->state == SIDE_OPEN && t->used_bytes <= t->window_bytes);
    if (s->send_error)
        return s->send_error;
    size_t room = t->window_bytes - t->used_bytes;
    size_t taken = bytes < room ? bytes : room;
    for (size_t sent = 0; sent < taken;) {
        size_t piece = cut(s, taken - sent);
        send_segment(s, data + sent, piece);
        sent += piece;
    }
    t->used_bytes += taken;
    t->is_blocked = taken < bytes;
    return (int64_t)taken;
}

static void on_opened(struct sim_event *e)
{
    struct side *s = CONTAINER_OF(e, struct side, out.opened);
    struct sim_world *w = world_of(s);
    uint64_t stalled_until_ns = s->connection->stalled_until_ns;
    if (stalled_until_ns > w->now_ns)
        event_schedule(w, e, stalled_until_ns - w->now_ns, on_opened);
    else
        notice(s);
}

/* The receiver has taken bytes: the sender hears of it if it waits for that. */
static void open_window(struct side *receiver, size_t bytes)
{
    struct side *sender = side_peer(receiver);
    struct stream *t = &sender->out;
    ASSERT(t->used_bytes >= bytes);
    t->used_bytes -= bytes;
    t->taken_bytes += bytes;
    if (t->is_blocked && sender->state == SIDE_OPEN && !t->opened.heap_index)
        event_schedule(world_of(sender), &t->opened, connection_latency_ns(sender->connection), on_opened);
}

void side_receive(struct side *s, uint8_t *to, size_t bytes)
{
    struct stream *in = side_in(s);
    ASSERT(bytes <= in->received_bytes);
    for (size_t done = 0; done < bytes;) {
        struct segment *g = CONTAINER_OF(in->received.next, struct segment, link);
        size_t piece = g->bytes - g->taken < bytes - done ? g->bytes - g->taken : bytes - done;
        memcpy(to + done, g->data + g->taken, piece);
        g->taken += (uint32_t)piece;
        done += piece;
        if (g->taken == g->bytes) {
            list_remove(&g->link);
            sim_free(g);
        }
    }
    in->received_bytes -= bytes;
    open_window(s, bytes);
}

/* ---- leaving ---- */

/* What a side that is gone leaves: nobody receives, nobody waits. */
static size_t leave(struct side *s, enum side_state state)
{
    ASSERT(s->state == SIDE_OPEN);
    struct stream *in = side_in(s);
    size_t unread_bytes = in->received_bytes;
    s->state = state;
    s->socket = NULL;
    s->reactor = NULL;
    list_remove(&s->link);
    drop_received(in);
    event_cancel(world_of(s), &s->timeout);
    event_cancel(world_of(s), &s->out.opened);
    return unread_bytes;
}

void side_close(struct side *s, enum side_ending ending)
{
    size_t unread_bytes = leave(s, SIDE_CLOSED);
    if (free_if_gone(s->connection) || s->send_error)
        return;
    if (ending == ENDING_ORDERLY || (ending == ENDING_IF_READ && unread_bytes == 0)) {
        push(s, segment_new(SEGMENT_END, NULL, 0), 0);
        return;
    }
    lose_some_under_way(s);
    answer_with_reset(s);
}

void side_vanish(struct side *s)
{
    leave(s, SIDE_VANISHED);
    if (!free_if_gone(s->connection))
        lose_some_under_way(s);
}
