/* socket.c - the connections of a core.
 *
 * A connection has at most two operations in the ring: one multishot receive, which takes a shared buffer
 * only when bytes are there, and one send. The struct lives until both are over. `settle` is the one place
 * that decides what comes next, and is called whenever an operation ended, a handler returned or the owner's
 * will changed:
 *
 *   something in flight, or in a handler -> nothing yet
 *   owner closed                         -> close the descriptor; its completion frees the struct, calls
 * on_closed
 *   owner detached                       -> free the struct, on_detached with a handle
 *   started, not paused, peer not gone   -> arm the receive
 *
 * An idle connection costs this struct and no buffer; the vectors of a send of many parts come from a pool
 * while it is under way. */
#include "reactor/uring/uring.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS_SLAB = 64, PARTS_SLAB = 8, SEND_FLAGS = MSG_NOSIGNAL | MSG_WAITALL };

/* The vectors of a send under way. */
struct send_parts {
    struct list link;
    struct msghdr header; /* msg_iov moves over `vectors` as they are sent */
    struct iovec vectors[SOCKET_PARTS_MAX];
};

struct socket {
    struct list link; /* in sockets.open or sockets.free */
    struct reactor *reactor;
    struct completion receive;
    struct completion send;
    struct socket_handlers handlers;
    void *owner;
    const uint8_t *send_data; /* of a send of one part */
    struct send_parts *parts; /* of one of several, or null */
    size_t send_left;
    union {
        void (*on_closed)(void *owner);
        void (*on_detached)(void *owner, int64_t handle_or_error);
    };
    int fd;         /* -1 once its close is queued */
    int end_reason; /* of on_end, 0 before */
    int send_error; /* known before the send went out */
    bool is_started : 1;
    bool is_paused : 1;
    bool is_receiving : 1;  /* the completion without F_MORE is still to come */
    bool is_cancelling : 1; /* the receive was asked to end */
    bool is_sending : 1;
    bool is_in_handler : 1;
    bool is_closing : 1;
    bool is_detaching : 1;
};
static_assert(sizeof(struct socket) <= 192, "ten thousand idle connections are to cost little");

static void settle(struct socket *s);
static void on_receive(struct completion *c, int32_t result, uint32_t flags);
static void on_send(struct completion *c, int32_t result, uint32_t flags);

/* ---- memory ---- */

void sockets_init(struct reactor *r)
{
    list_init(&r->sockets.open);
    list_init(&r->sockets.listeners);
    list_init(&r->sockets.free);
    list_init(&r->sockets.free_parts);
}

/* Adds a slab of equal pieces, each beginning with its link, to a list of free ones. */
static bool add_slab(struct reactor *r, struct list *free_list, size_t piece_bytes, unsigned count)
{
    size_t stride = (piece_bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    char *slab = heap_alloc_aligned(&r->core.heap, stride * count, CACHE_LINE);
    for (unsigned i = 0; slab && i < count; i++) {
        list_push_back(free_list, (struct list *)(void *)(slab + i * stride));
        POISON(slab + i * stride + sizeof(struct list), piece_bytes - sizeof(struct list));
    }
    return slab;
}

static void *take(struct reactor *r, struct list *free_list, size_t piece_bytes, unsigned slab_count)
{
    if (list_is_empty(free_list) && !add_slab(r, free_list, piece_bytes, slab_count))
        return NULL;
    struct list *link = list_pop_front(free_list);
    UNPOISON(link, piece_bytes);
    return link;
}

static void give_back(struct list *free_list, struct list *link, size_t piece_bytes)
{
    list_push_back(free_list->next, link); /* first: the warmest is used next */
    POISON(link + 1, piece_bytes - sizeof *link);
}

struct socket *socket_new(struct reactor *r, int fd)
{
    struct socket *s = take(r, &r->sockets.free, sizeof *s, SOCKETS_SLAB);
    if (!s)
        return NULL;
    *s = (struct socket){.reactor = r, .fd = fd, .receive = {on_receive}, .send = {on_send}};
    list_push_back(&r->sockets.open, &s->link);
    r->core.counters.sockets_open++;
    return s;
}

static void free_socket(struct socket *s)
{
    struct reactor *r = s->reactor;
    ASSERT(!s->is_receiving && !s->is_sending && !s->is_in_handler && !s->parts);
    list_remove(&s->link);
    give_back(&r->sockets.free, &s->link, sizeof *s);
    r->core.counters.sockets_open--;
}

void socket_drop(struct socket *s)
{
    ring_close_fd(s->reactor, s->fd);
    free_socket(s);
}

void sockets_close_all(struct reactor *r)
{
    for (struct list *link; (link = list_pop_front(&r->sockets.open));) {
        struct socket *s = CONTAINER_OF(link, struct socket, link);
        if (s->fd >= 0)
            close(s->fd);
    }
}

/* ---- what comes next ---- */

static void on_fd_closed(struct completion *c, int32_t result, uint32_t flags)
{
    struct socket *s = CONTAINER_OF(c, struct socket, receive);
    void (*on_closed)(void *owner) = s->on_closed;
    void *owner = s->owner;
    (void)result, (void)flags;
    s->is_receiving = false;
    free_socket(s);
    if (on_closed)
        on_closed(owner);
}

static void finish_close(struct socket *s)
{
    struct io_uring_sqe *sqe = ring_sqe(s->reactor);
    ASSERT(s->fd >= 0);
    io_uring_prep_close(sqe, s->fd);
    s->fd = -1;
    s->receive.done = on_fd_closed;
    s->is_receiving = true;
    ring_attach(s->reactor, sqe, &s->receive);
}

static void finish_detach(struct socket *s)
{
    struct reactor *r = s->reactor;
    void (*on_detached)(void *owner, int64_t handle_or_error) = s->on_detached;
    void *owner = s->owner;
    int64_t handle = 0;
    int rc = s->end_reason ? s->end_reason : handle_make(r, s->fd, &handle);
    if (rc)
        ring_close_fd(r, s->fd);
    free_socket(s);
    on_detached(owner, rc ? rc : handle);
}

static void arm_receive(struct socket *s)
{
    struct io_uring_sqe *sqe = ring_sqe(s->reactor);
    io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFERS_GROUP;
    s->is_receiving = true;
    s->is_cancelling = false;
    ring_attach(s->reactor, sqe, &s->receive);
}

static void settle(struct socket *s)
{
    if (s->is_in_handler || s->is_receiving)
        return;
    if ((s->is_closing || s->is_detaching) && s->is_sending)
        return;
    if (s->is_closing)
        finish_close(s);
    else if (s->is_detaching)
        finish_detach(s);
    else if (s->is_started && !s->is_paused && !s->end_reason)
        arm_receive(s);
}

static void cancel_receive(struct socket *s)
{
    if (s->is_receiving && !s->is_cancelling) {
        s->is_cancelling = true;
        ring_cancel(s->reactor, &s->receive);
    }
}

/* ---- receiving ---- */

static void deliver(struct socket *s, int32_t bytes, uint32_t flags)
{
    s->reactor->core.counters.receives++;
    s->is_in_handler = true;
    s->handlers.on_data(s->owner, buffers_lend(s->reactor, flags, bytes));
    s->is_in_handler = false;
}

static void end(struct socket *s, int32_t result)
{
    s->end_reason = result ? result : TORC_E_CLOSED;
    if (s->is_detaching || !s->handlers.on_end)
        return;
    s->is_in_handler = true;
    s->handlers.on_end(s->owner, s->end_reason);
    s->is_in_handler = false;
}

/* Whether a receive ended for a reason that says nothing about the connection: it is armed again if still
 * wanted. */
static bool is_interruption(int32_t result)
{
    return result == -ENOBUFS || result == -ECANCELED || result == -EINTR || result == -EAGAIN;
}

static void on_receive(struct completion *c, int32_t result, uint32_t flags)
{
    struct socket *s = CONTAINER_OF(c, struct socket, receive);
    if (!(flags & IORING_CQE_F_MORE))
        s->is_receiving = s->is_cancelling = false;
    if (result > 0 && !s->is_closing)
        deliver(s, result, flags);
    if (flags & IORING_CQE_F_BUFFER)
        buffers_return(s->reactor, flags);
    if (result <= 0 && !s->is_closing && !is_interruption(result))
        end(s, result);
    if (!(flags & IORING_CQE_F_MORE))
        settle(s);
}

void socket_start(struct socket *s, const struct socket_handlers *handlers, void *owner)
{
    ASSERT(!s->is_started && !s->is_closing && !s->is_detaching && handlers->on_data);
    s->handlers = *handlers;
    s->owner = owner;
    s->is_started = true;
    settle(s);
}

void socket_pause(struct socket *s)
{
    s->is_paused = true;
    if (!s->is_closing && !s->is_detaching)
        cancel_receive(s);
}

void socket_resume(struct socket *s)
{
    s->is_paused = false;
    if (!s->is_closing && !s->is_detaching)
        settle(s);
}

/* ---- sending ---- */

static void submit_send(struct socket *s)
{
    struct io_uring_sqe *sqe = ring_sqe(s->reactor);
    if (s->send_error)
        io_uring_prep_nop(sqe);
    else if (s->parts)
        io_uring_prep_sendmsg(sqe, s->fd, &s->parts->header, SEND_FLAGS);
    else
        io_uring_prep_send(sqe, s->fd, s->send_data, s->send_left, SEND_FLAGS);
    ring_attach(s->reactor, sqe, &s->send);
}

static void copy_parts(struct socket *s, const struct slice *parts, unsigned count)
{
    s->parts = take(s->reactor, &s->reactor->sockets.free_parts, sizeof *s->parts, PARTS_SLAB);
    if (!s->parts) {
        s->send_error = TORC_E_NO_MEMORY;
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        s->parts->vectors[i] = (struct iovec){(void *)(uintptr_t)parts[i].data, parts[i].bytes};
        s->send_left += parts[i].bytes;
    }
    s->parts->header = (struct msghdr){.msg_iov = s->parts->vectors, .msg_iovlen = count};
}

void socket_send(struct socket *s, const struct slice *parts, unsigned count)
{
    ASSERT(count >= 1 && count <= SOCKET_PARTS_MAX);
    ASSERT(!s->is_sending && !s->is_closing && !s->is_detaching);
    s->is_sending = true;
    s->send_left = 0;
    s->send_error = 0;
    s->reactor->core.counters.sends++;
    if (count == 1) {
        s->send_data = parts[0].data;
        s->send_left = parts[0].bytes;
    } else {
        copy_parts(s, parts, count);
    }
    submit_send(s);
}

/* Steps over what a short send has sent. */
static void advance(struct socket *s, size_t bytes)
{
    s->send_left -= bytes;
    if (!s->parts) {
        s->send_data += bytes;
        return;
    }
    struct msghdr *h = &s->parts->header;
    while (bytes > 0 && bytes >= h->msg_iov->iov_len) {
        bytes -= h->msg_iov->iov_len;
        h->msg_iov++;
        h->msg_iovlen--;
    }
    if (bytes > 0) {
        h->msg_iov->iov_base = (char *)h->msg_iov->iov_base + bytes;
        h->msg_iov->iov_len -= bytes;
    }
}

static void finish_send(struct socket *s, int result)
{
    if (s->parts)
        give_back(&s->reactor->sockets.free_parts, &s->parts->link, sizeof *s->parts);
    s->parts = NULL;
    s->is_sending = false;
    if (!s->is_closing && s->handlers.on_sent) {
        bool was_in_handler = s->is_in_handler;
        s->is_in_handler = true;
        s->handlers.on_sent(s->owner, result);
        s->is_in_handler = was_in_handler;
    }
    settle(s);
}

static void on_send(struct completion *c, int32_t result, uint32_t flags)
{
    struct socket *s = CONTAINER_OF(c, struct socket, send);
    (void)flags;
    if (s->send_error || s->is_closing) {
        finish_send(s, s->send_error);
        return;
    }
    if (result > 0)
        advance(s, (size_t)result);
    if (s->send_left == 0)
        finish_send(s, 0);
    else if (result > 0 || result == -EINTR || result == -EAGAIN)
        submit_send(s);
    else
        finish_send(s, result ? result : -EPIPE);
}

/* What the system has taken from us says less: it has room for some MB, and tells of it in large steps. */
uint64_t socket_bytes_taken(const struct socket *s)
{
    struct tcp_info info;
    socklen_t bytes = sizeof info;
    memset(&info, 0, sizeof info);
    return getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 ? info.tcpi_bytes_acked : 0;
}

/* ---- leaving ---- */

/* What was sent is cut anyway: a peer that does not read would keep it in the kernel's memory for minutes,
 * and not hear of the end. When this fails the connection ends in order. */
static void end_with_reset(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

void socket_close(struct socket *s, void (*on_closed)(void *owner))
{
    ASSERT(!s->is_closing && !s->is_detaching);
    s->is_closing = true;
    s->on_closed = on_closed;
    cancel_receive(s);
    if (s->is_sending) {
        end_with_reset(s->fd);
        ring_cancel(s->reactor, &s->send);
    }
    settle(s);
}

static void on_nudge(struct completion *c, int32_t result, uint32_t flags)
{
    struct socket *s = CONTAINER_OF(c, struct socket, receive);
    (void)result, (void)flags;
    s->receive.done = on_receive;
    s->is_receiving = false;
    settle(s);
}

void socket_detach(struct socket *s, void (*on_detached)(void *owner, int64_t handle_or_error))
{
    ASSERT(!s->is_closing && !s->is_detaching && !s->is_sending && on_detached);
    s->is_detaching = true;
    s->on_detached = on_detached;
    if (s->is_receiving || s->is_in_handler) {
        cancel_receive(s);
        return;
    }
    struct io_uring_sqe *sqe = ring_sqe(s->reactor); /* on_detached is not called from within this call */
    io_uring_prep_nop(sqe);
    s->receive.done = on_nudge;
    s->is_receiving = true;
    ring_attach(s->reactor, sqe, &s->receive);
}

int socket_attach(struct reactor *r, int64_t handle, struct socket **out)
{
    int fd = handle_take(handle);
    *out = socket_new(r, fd);
    if (!*out)
        ring_close_fd(r, fd);
    return *out ? 0 : TORC_E_NO_MEMORY;
}

void socket_discard_handle(struct reactor *r, int64_t handle)
{
    ring_close_fd(r, handle_take(handle));
}
