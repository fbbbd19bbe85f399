/* socket.c - the connections of a core, as reactor.h shows them, over the sides of network.c.
 *
 * Whatever changes on its side or by its owner's will posts the socket's one completion, so every handler is
 * called from a turn of the core, never from within a call of the owner. on_turn then does what is due:
 *
 *   owner closed    -> on_closed, and the socket is freed (the side has been closed at once)
 *   owner detached  -> the side waits for another core, the socket is freed, on_detached
 *   otherwise       -> on_data while there are bytes, on_sent once all is in the window, on_end after them
 *
 * It is strict where a kernel need not be: a send is copied when it begins and compared with the owner's
 * bytes when it is over, and what on_data gets is memory of its own that is overwritten and freed after the
 * call. */
#include "reactor/sim/network.h"

#include "reactor/base/checksum.h"

#include <errno.h>
#include <string.h>

static const uint64_t CLOSE_DELAY_NS_MAX = 1000 * 1000;
static const uint8_t RETURNED_FILL = 0xdb; /* of bytes that were lent to on_data */

enum {
    PIECES_AFTER_PAUSE_MAX = 2,
    LATE_CLOSE_ONE_IN = 8,
};

/* A send under way: the bytes of all parts, and where the owner has them. */
struct outgoing {
    struct slice parts[SOCKET_PARTS_MAX];
    unsigned part_count;
    size_t bytes;
    size_t taken; /* by the window */
    int result;
    bool is_over; /* with result */
    uint8_t data[];
};

struct socket {
    struct list link; /* in reactor.sockets */
    struct reactor *reactor;
    struct side *side; /* null once it is closed */
    uint64_t number;   /* of the connection */
    struct sim_completion completion;
    struct sim_event closing; /* on_closed comes a little later */
    struct socket_handlers handlers;
    void *owner;
    struct outgoing *sending;
    struct event *connecting; /* of the task that waits for the connect */
    union {
        void (*on_closed)(void *owner);
        void (*on_detached)(void *owner, int64_t handle_or_error);
    };
    unsigned pieces_after_pause; /* may still come */
    bool is_started;
    bool is_paused;
    bool has_ended; /* on_end was called */
    bool is_closing;
    bool is_detaching;
};

static void on_turn(struct sim_completion *c);

static void trace(const struct socket *s, enum network_trace what, uint64_t value)
{
    core_trace(s->reactor, ((uint64_t)what << 32) + s->number, value);
}

/* ---- memory ---- */

void sockets_init(struct reactor *r)
{
    list_init(&r->sockets);
    list_init(&r->listeners);
    network_set_dark(r->world->network, r->node, false);
}

struct socket *socket_new(struct reactor *r, struct side *side)
{
    ASSERT(side->state == SIDE_OPEN && !side->socket);
    struct socket *s = sim_alloc(sizeof *s);
    s->reactor = r;
    s->side = side;
    s->number = side->connection->number;
    s->completion.done = on_turn;
    list_init(&s->completion.link);
    side->socket = s;
    side->reactor = r;
    list_push_back(&r->sockets, &s->link);
    r->core.counters.sockets_open++;
    return s;
}

static void free_socket(struct socket *s)
{
    struct reactor *r = s->reactor;
    core_unpost(&s->completion);
    event_cancel(r->world, &s->closing);
    list_remove(&s->link);
    sim_free(s->sending);
    sim_free(s);
    r->core.counters.sockets_open--;
}

void socket_notice(struct socket *s)
{
    if (list_is_empty(&s->completion.link))
        core_post(s->reactor, &s->completion);
}

void socket_drop(struct socket *s)
{
    side_close(s->side, ENDING_RESET);
    free_socket(s);
}

/* Of a process that was killed the kernel closes what it had. */
static void end_side(struct side *s, enum sim_end how)
{
    if (how == SIM_END_POWER)
        side_vanish(s);
    else
        side_close(s, sim_dice_below(&s->connection->dice, 4) ? ENDING_IF_READ : ENDING_RESET);
}

/* Returns: a side that this core has detached and nobody has attached, or null. */
static struct side *find_detached(struct reactor *r)
{
    struct list *detached = &r->world->network->detached;
    for (struct list *link = detached->next; link != detached; link = link->next)
        if (CONTAINER_OF(link, struct side, link)->reactor == r)
            return CONTAINER_OF(link, struct side, link);
    return NULL;
}

void sockets_on_end(struct reactor *r, enum sim_end how, uint64_t *sockets, uint64_t *listeners)
{
    network_set_dark(r->world->network, r->node, how == SIM_END_POWER);
    *listeners = listeners_on_end(r, how);
    *sockets = 0;
    for (struct side *side; (side = find_detached(r)); ++*sockets)
        end_side(side, how);
    while (!list_is_empty(&r->sockets)) {
        struct socket *s = CONTAINER_OF(r->sockets.next, struct socket, link);
        *sockets += !s->is_closing;
        if (s->side)
            end_side(s->side, how);
        free_socket(s);
    }
}

/* ---- receiving ---- */

static bool may_deliver(const struct socket *s)
{
    bool may_come = !s->is_paused || s->pieces_after_pause > 0;
    return s->is_started && !s->is_closing && !s->is_detaching && !s->has_ended && may_come;
}

static size_t piece_bytes(struct socket *s)
{
    struct sim_dice *dice = &s->side->connection->piece_dice;
    size_t most = s->reactor->node->options.receive_buffer_bytes;
    size_t bytes = side_in(s->side)->received_bytes;
    if (fault_hits(s->reactor->world, SIM_NETWORK_SEGMENT, dice))
        most = (size_t)sim_dice_between(dice, 1, most);
    return bytes < most ? bytes : most;
}

static void deliver_piece(struct socket *s)
{
    size_t bytes = piece_bytes(s);
    uint8_t *lent = sim_realloc(NULL, bytes);
    side_receive(s->side, lent, bytes);
    trace(s, TRACE_RECEIVED, checksum_bytes(lent, bytes) + bytes);
    s->reactor->core.counters.receives++;
    if (s->is_paused)
        s->pieces_after_pause--;
    s->handlers.on_data(s->owner, slice_of(lent, bytes));
    memset(lent, RETURNED_FILL, bytes);
    sim_free(lent);
}

static void deliver(struct socket *s)
{
    while (may_deliver(s) && side_in(s->side)->received_bytes > 0)
        deliver_piece(s);
    if (s->is_detaching && !s->is_closing && side_in(s->side)->received_bytes > 0 &&
        sim_dice_below(&s->side->connection->dice, 2))
        deliver_piece(s);
}

static void report_end(struct socket *s)
{
    if (!may_deliver(s) || !s->side->end_reason || side_in(s->side)->received_bytes > 0)
        return;
    s->has_ended = true;
    trace(s, TRACE_ENDED, (uint64_t)s->side->end_reason);
    if (s->handlers.on_end)
        s->handlers.on_end(s->owner, s->side->end_reason);
}

void socket_start(struct socket *s, const struct socket_handlers *handlers, void *owner)
{
    ASSERT(!s->is_started && !s->is_closing && !s->is_detaching && handlers->on_data);
    s->handlers = *handlers;
    s->owner = owner;
    s->is_started = true;
    socket_notice(s);
}

void socket_pause(struct socket *s)
{
    s->is_paused = true;
    if (s->is_closing || s->is_detaching)
        return;
    s->pieces_after_pause = (unsigned)sim_dice_below(&s->side->connection->dice, PIECES_AFTER_PAUSE_MAX + 1);
    socket_notice(s); /* which is when no more may come */
}

void socket_resume(struct socket *s)
{
    s->is_paused = false;
    s->pieces_after_pause = 0;
    if (!s->is_closing && !s->is_detaching)
        socket_notice(s);
}

/* ---- sending ---- */

static size_t parts_bytes(const struct slice *parts, unsigned count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += parts[i].bytes;
    return bytes;
}

static struct outgoing *outgoing_new(const struct slice *parts, unsigned count)
{
    size_t bytes = parts_bytes(parts, count);
    struct outgoing *o = sim_realloc(NULL, sizeof *o + bytes);
    o->part_count = count;
    o->bytes = bytes;
    o->taken = 0;
    o->result = 0;
    o->is_over = false;
    memcpy(o->parts, parts, count * sizeof *parts);
    uint8_t *to = o->data;
    for (unsigned i = 0; i < count; i++)
        to = slice_put(to, parts[i]);
    return o;
}

/* The owner was to leave them as they were. */
static void check_untouched(const struct outgoing *o)
{
    const uint8_t *copy = o->data;
    for (unsigned i = 0; i < o->part_count; i++) {
        ASSERT(slice_equal(slice_of(copy, o->parts[i].bytes), o->parts[i]));
        copy += o->parts[i].bytes;
    }
}

/* As much as fits goes to the window. */
static void advance_send(struct socket *s)
{
    struct outgoing *o = s->sending;
    if (o->is_over)
        return;
    int64_t taken = side_send(s->side, o->data + o->taken, o->bytes - o->taken);
    if (taken < 0)
        o->result = (int)taken;
    else
        o->taken += (size_t)taken;
    o->is_over = taken < 0 || o->taken == o->bytes;
}

void socket_send(struct socket *s, const struct slice *parts, unsigned count)
{
    ASSERT(count >= 1 && count <= SOCKET_PARTS_MAX);
    ASSERT(!s->sending && !s->is_closing && !s->is_detaching);
    s->sending = outgoing_new(parts, count);
    s->reactor->core.counters.sends++;
    trace(s, TRACE_SENDING, checksum_bytes(s->sending->data, s->sending->bytes) + s->sending->bytes);
    side_begin_send(s->side);
    advance_send(s);
    if (s->sending->is_over)
        socket_notice(s);
}

static void go_on_sending(struct socket *s)
{
    struct outgoing *o = s->sending;
    if (!o || s->is_closing)
        return;
    advance_send(s);
    if (!o->is_over)
        return;
    int result = o->result;
    s->sending = NULL;
    check_untouched(o);
    sim_free(o);
    trace(s, TRACE_SENT, (uint64_t)result);
    if (s->handlers.on_sent)
        s->handlers.on_sent(s->owner, result);
}

uint64_t socket_bytes_taken(const struct socket *s)
{
    ASSERT(s->side);
    return s->side->out.taken_bytes;
}

/* ---- leaving ---- */

static void on_closing_over(struct sim_event *e)
{
    socket_notice(CONTAINER_OF(e, struct socket, closing));
}

/* What has come and was not looked at: the ring would have taken it, or not. */
static enum side_ending draw_ending(const struct socket *s)
{
    if (s->sending && !s->sending->is_over)
        return ENDING_RESET;
    bool is_receiving = s->is_started && !s->is_paused;
    return is_receiving && sim_dice_below(&s->side->connection->dice, 2) ? ENDING_ORDERLY : ENDING_IF_READ;
}

void socket_close(struct socket *s, void (*on_closed)(void *owner))
{
    ASSERT(!s->is_closing && !s->is_detaching);
    struct sim_dice *dice = &s->side->connection->dice;
    uint64_t delay_ns =
        sim_dice_below(dice, LATE_CLOSE_ONE_IN) ? 0 : sim_dice_below(dice, CLOSE_DELAY_NS_MAX);
    s->is_closing = true;
    s->on_closed = on_closed;
    side_close(s->side, draw_ending(s));
    s->side = NULL;
    if (delay_ns)
        event_schedule(s->reactor->world, &s->closing, delay_ns, on_closing_over);
    else
        socket_notice(s);
}

static void finish_close(struct socket *s)
{
    void (*on_closed)(void *owner) = s->on_closed;
    void *owner = s->owner;
    if (s->closing.heap_index)
        return; /* it is not time yet */
    trace(s, TRACE_CLOSED, 0);
    if (s->sending && on_closed)
        check_untouched(s->sending);
    free_socket(s);
    if (on_closed)
        on_closed(owner);
}

void socket_detach(struct socket *s, void (*on_detached)(void *owner, int64_t handle_or_error))
{
    ASSERT(!s->is_closing && !s->is_detaching && !s->sending && on_detached);
    s->is_detaching = true;
    s->on_detached = on_detached;
    socket_notice(s);
}

static int64_t handle_of(const struct side *s)
{
    return (int64_t)(s->connection->number * 2 + (s == &s->connection->sides[1]));
}

static void finish_detach(struct socket *s)
{
    void (*on_detached)(void *owner, int64_t handle_or_error) = s->on_detached;
    void *owner = s->owner;
    struct side *side = s->side;
    int64_t handle = handle_of(side);
    if (side->end_reason && (s->has_ended || side_in(side)->received_bytes == 0)) {
        handle = side->end_reason;
        side_close(side, ENDING_ORDERLY);
    } else {
        side->socket = NULL;
        list_push_back(&s->reactor->world->network->detached, &side->link);
    }
    trace(s, TRACE_DETACHED, (uint64_t)handle);
    free_socket(s);
    on_detached(owner, handle);
}

static struct side *take_detached(struct reactor *r, int64_t handle)
{
    struct list *detached = &r->world->network->detached;
    for (struct list *link = detached->next; link != detached; link = link->next) {
        struct side *side = CONTAINER_OF(link, struct side, link);
        if (handle_of(side) != handle)
            continue;
        ASSERT(side->node == r->node);
        list_remove(link);
        return side;
    }
    ASSERT(!"a handle is attached or discarded once, on the node that it was made on");
    return NULL;
}

int socket_attach(struct reactor *r, int64_t handle, struct socket **out)
{
    *out = socket_new(r, take_detached(r, handle));
    return 0;
}

void socket_discard_handle(struct reactor *r, int64_t handle)
{
    side_close(take_detached(r, handle), ENDING_IF_READ);
}

/* ---- a turn ---- */

int socket_await_connect(struct socket *s, uint64_t timeout_ns)
{
    struct event over;
    event_init(&over);
    s->connecting = &over;
    int rc = event_wait(s->reactor, &over, timeout_ns);
    s->connecting = NULL;
    return rc;
}

static void work(struct socket *s)
{
    bool sends_first = sim_dice_below(&s->side->connection->dice, 2);
    if (sends_first)
        go_on_sending(s);
    deliver(s);
    if (!sends_first)
        go_on_sending(s);
    report_end(s);
    s->pieces_after_pause = 0;
}

static void on_turn(struct sim_completion *c)
{
    struct socket *s = CONTAINER_OF(c, struct socket, completion);
    if (s->is_closing)
        finish_close(s);
    else if (s->is_detaching)
        finish_detach(s);
    else if (!s->connecting)
        work(s);
    else if (s->side->connection->is_answered)
        event_set(s->reactor, s->connecting, s->side->connection->connect_result);
}
