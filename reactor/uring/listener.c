/* listener.c - how connections come about: accepted from a listening socket, or made to an address.
 *
 * One multishot accept a listener; every core may have one on the same address, and the system spreads the
 * connections over them. When descriptors or memory are out, accepting rests for 100 ms instead of spinning
 * on the error. */
#include "reactor/uring/uring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* A peer whose host or link is gone says no end: two minutes after the last word of it a connection without
 * unsent bytes fails with -ETIMEDOUT. (TCP_USER_TIMEOUT would do so with unsent bytes, too, but takes peers
 * that are there and do not read for ones that are gone: those are for the owner to judge.) */
enum { KEEPALIVE_IDLE_S = 60, KEEPALIVE_INTERVAL_S = 10, KEEPALIVE_COUNT = 6 };

static const uint64_t ACCEPT_PAUSE_NS = 100 * 1000 * 1000;

struct listener {
    struct list link;
    struct reactor *reactor;
    struct completion accept;
    void (*on_accept)(void *context, struct socket *s);
    void *context;
    struct timer pause;
    int fd;
    uint16_t port;
    bool is_armed;
    bool is_in_handler;
    bool is_closing;
};

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Returns: the length, or -EINVAL when the host is no address. */
static int parse(const struct address *a, union any_address *out)
{
    *out = (union any_address){0};
    if (inet_pton(AF_INET, a->host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(a->port);
        return sizeof out->v4;
    }
    if (inet_pton(AF_INET6, a->host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(a->port);
        return sizeof out->v6;
    }
    return -EINVAL;
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) ? -errno : 0;
}

/* Accepted connections inherit these from the listener's. */
static int set_stream_options(int fd)
{
    int rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0)
        rc = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    if (rc == 0)
        rc = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    if (rc == 0)
        rc = set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    return rc ? rc : set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* Returns: a descriptor without O_NONBLOCK, with which the ring would report -EAGAIN instead of waiting. */
static int open_stream(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = set_stream_options(fd);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* ---- accepting ---- */

static void arm(struct listener *l)
{
    struct io_uring_sqe *sqe = ring_sqe(l->reactor);
    io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
    l->is_armed = true;
    ring_attach(l->reactor, sqe, &l->accept);
}

static void on_pause_over(struct timer *t)
{
    arm(CONTAINER_OF(t, struct listener, pause));
}

static void free_listener(struct listener *l)
{
    struct reactor *r = l->reactor;
    timer_stop(r, &l->pause);
    list_remove(&l->link);
    ring_close_fd(r, l->fd);
    heap_free(&r->core.heap, l);
}

static void take_connection(struct listener *l, int fd)
{
    struct socket *s = l->is_closing ? NULL : socket_new(l->reactor, fd);
    if (!s) {
        l->reactor->core.counters.accept_errors += !l->is_closing;
        ring_close_fd(l->reactor, fd);
        return;
    }
    l->is_in_handler = true;
    l->on_accept(l->context, s);
    l->is_in_handler = false;
}

void listener_on_accept(struct completion *c, int32_t result, uint32_t flags)
{
    struct listener *l = CONTAINER_OF(c, struct listener, accept);
    bool is_over = !(flags & IORING_CQE_F_MORE);
    l->is_armed = !is_over;
    if (result >= 0)
        take_connection(l, result);
    else if (error_is_shortage(result))
        l->reactor->core.counters.accept_errors++;
    if (!is_over)
        return;
    if (l->is_closing)
        free_listener(l);
    else if (error_is_shortage(result) &&
             timer_start(l->reactor, &l->pause, ACCEPT_PAUSE_NS, on_pause_over) == 0)
        return;
    else
        arm(l);
}

/* Another process of the same user could share the address with us, and each would get some of the
 * connections. So the core that listens first asks for it alone before it shares it with the other cores. */
static int check_unused(const union any_address *name, socklen_t bytes)
{
    int fd = open_stream(name->any.sa_family);
    if (fd < 0)
        return fd;
    /* Connections of an earlier listener may still be closing. */
    int rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && bind(fd, &name->any, bytes) != 0)
        rc = -errno;
    close(fd);
    return rc;
}

static int bind_and_listen(struct listener *l, const struct address *address, unsigned backlog)
{
    union any_address name;
    int bytes = parse(address, &name);
    if (bytes < 0)
        return bytes;
    int rc = reactor_core(l->reactor) == 0 ? check_unused(&name, (socklen_t)bytes) : 0;
    if (rc)
        return rc;
    l->fd = open_stream(name.any.sa_family);
    if (l->fd < 0)
        return l->fd;
    rc = set_option(l->fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0)
        rc = set_option(l->fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc)
        return rc;
    socklen_t length = sizeof name;
    if (bind(l->fd, &name.any, (socklen_t)bytes) || listen(l->fd, (int)backlog) ||
        getsockname(l->fd, &name.any, &length))
        return -errno;
    l->port = ntohs(name.any.sa_family == AF_INET ? name.v4.sin_port : name.v6.sin6_port);
    return 0;
}

int socket_listen(struct reactor *r, const struct address *address, unsigned backlog,
                  void (*on_accept)(void *context, struct socket *s), void *context, struct listener **out)
{
    struct listener *l = heap_alloc_zeroed(&r->core.heap, sizeof *l);
    *out = NULL;
    ASSERT(on_accept);
    if (!l)
        return TORC_E_NO_MEMORY;
    l->reactor = r;
    l->accept.done = listener_on_accept;
    l->on_accept = on_accept;
    l->context = context;
    l->fd = -1;
    int rc = bind_and_listen(l, address, backlog);
    if (rc) {
        if (l->fd >= 0)
            close(l->fd);
        heap_free(&r->core.heap, l);
        return rc;
    }
    list_push_back(&r->sockets.listeners, &l->link);
    arm(l);
    *out = l;
    return 0;
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}

void listener_close(struct listener *l)
{
    ASSERT(!l->is_closing);
    l->is_closing = true;
    if (l->is_armed)
        ring_cancel(l->reactor, &l->accept);
    else if (!l->is_in_handler)
        free_listener(l);
}

void listeners_close_all(struct reactor *r)
{
    for (struct list *link; (link = list_pop_front(&r->sockets.listeners));)
        close(CONTAINER_OF(link, struct listener, link)->fd);
}

/* ---- connecting ---- */

struct connecting {
    struct completion completion;
    struct reactor *reactor;
    struct event over;
};

static void on_connected(struct completion *c, int32_t result, uint32_t flags)
{
    struct connecting *k = CONTAINER_OF(c, struct connecting, completion);
    (void)flags;
    event_set(k->reactor, &k->over, result);
}

/* Waits. */
static int connect_to(struct reactor *r, int fd, const struct address *address, uint64_t timeout_ns)
{
    union any_address name;
    int bytes = parse(address, &name);
    ASSERT(bytes > 0);
    struct connecting k = {.completion = {on_connected}, .reactor = r};
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_connect(sqe, fd, &name.any, (socklen_t)bytes);
    ring_attach(r, sqe, &k.completion);
    int rc = event_wait(r, &k.over, timeout_ns);
    if (rc != TORC_E_TIMEOUT)
        return rc;
    ring_cancel(r, &k.completion);
    rc =
        event_wait(r, &k.over, EVENT_FOREVER); /* comes at once; until then the kernel knows `name` and `k` */
    return rc == -ECANCELED || rc == -EINTR ? TORC_E_TIMEOUT : rc;
}

int socket_connect(struct reactor *r, const struct address *address, uint64_t timeout_ns, struct socket **out)
{
    union any_address name;
    *out = NULL;
    int rc = parse(address, &name);
    if (rc < 0)
        return rc;
    int fd = open_stream(name.any.sa_family);
    if (fd < 0)
        return fd;
    struct socket *s = socket_new(r, fd);
    if (!s) {
        close(fd);
        return TORC_E_NO_MEMORY;
    }
    rc = connect_to(r, fd, address, timeout_ns);
    if (rc)
        socket_drop(s);
    else
        *out = s;
    return rc;
}
