/* links.c - many TCP connections from one epoll. */
#include "bench/links.h"

#include "bench/clock.h"
#include "reactor/base/error.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS_NS 1000000ull

enum {
    EVENTS_MAX = 512,
    RECEIVE_BYTES = 256 * 1024, /* room for one recv */
    OUTPUT_BYTES_MIN = 4096,
    OPENING_MAX = 256, /* connections under way at once: fewer than any server's backlog */
};

enum link_state { LINK_WAITING, LINK_CONNECTING, LINK_READY };

struct link {
    int fd;
    enum link_state state;
    bool is_dirty;   /* in the dirty list */
    bool is_blocked; /* waits for EPOLLOUT */
    uint64_t retry_ns;
    uint8_t *out; /* [out_begin, out_end) is not yet sent */
    size_t out_begin, out_end, out_capacity;
    uint8_t *rest; /* an incomplete message */
    size_t rest_bytes, rest_capacity;
};

struct links {
    struct links_options options;
    struct addrinfo *address;
    int epoll_fd;
    uint32_t waiting, connecting;
    uint32_t dirty_count;
    uint32_t *dirty;
    uint8_t *input;
    size_t input_capacity;
    int last_error; /* -errno of the last failed connection */
    struct link *links;
};

/* ---- output ---- */

static void mark_dirty(struct links *l, uint32_t index)
{
    struct link *k = &l->links[index];
    if (k->is_dirty || k->is_blocked || k->state != LINK_READY)
        return;
    k->is_dirty = true;
    ASSERT(l->dirty_count < l->options.count);
    l->dirty[l->dirty_count++] = index;
}

uint8_t *links_reserve(struct links *l, uint32_t index, size_t bytes)
{
    ASSERT(index < l->options.count);
    struct link *k = &l->links[index];
    if (k->out_end + bytes <= k->out_capacity)
        return k->out + k->out_end;
    size_t kept = k->out_end - k->out_begin;
    if (k->out_begin > 0) {
        memmove(k->out, k->out + k->out_begin, kept);
        k->out_begin = 0;
        k->out_end = kept;
    }
    if (kept + bytes > k->out_capacity) {
        size_t capacity = k->out_capacity ? k->out_capacity : OUTPUT_BYTES_MIN;
        while (capacity < kept + bytes)
            capacity *= 2;
        uint8_t *grown = realloc(k->out, capacity);
        if (!grown)
            return NULL;
        k->out = grown;
        k->out_capacity = capacity;
    }
    return k->out + k->out_end;
}

void links_commit(struct links *l, uint32_t index, size_t bytes)
{
    struct link *k = &l->links[index];
    ASSERT(k->out_end + bytes <= k->out_capacity);
    k->out_end += bytes;
    mark_dirty(l, index);
}

static int watch(struct links *l, uint32_t index, int operation, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u32 = index};
    return epoll_ctl(l->epoll_fd, operation, l->links[index].fd, &e) ? -errno : 0;
}

static void lose(struct links *l, uint32_t index, int code)
{
    struct link *k = &l->links[index];
    if (k->state == LINK_CONNECTING)
        l->connecting--;
    if (k->state != LINK_WAITING)
        l->waiting++;
    if (k->fd >= 0)
        close(k->fd);
    k->fd = -1;
    k->state = LINK_WAITING;
    k->is_blocked = false;
    k->out_begin = k->out_end = k->rest_bytes = 0;
    uint64_t now_ns = clock_now_ns();
    k->retry_ns = now_ns + LINKS_RETRY_MS * MS_NS;
    l->options.on_lost(l->options.owner, index, code, now_ns);
}

static void flush(struct links *l, uint32_t index)
{
    struct link *k = &l->links[index];
    if (k->state != LINK_READY || k->out_begin == k->out_end)
        return;
    ssize_t sent = send(k->fd, k->out + k->out_begin, k->out_end - k->out_begin, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        lose(l, index, TORC_E_DISCONNECTED);
        return;
    }
    k->out_begin += sent > 0 ? (size_t)sent : 0;
    bool is_blocked = k->out_begin < k->out_end;
    if (!is_blocked)
        k->out_begin = k->out_end = 0;
    if (is_blocked == k->is_blocked)
        return;
    k->is_blocked = is_blocked;
    if (watch(l, index, EPOLL_CTL_MOD, is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN))
        lose(l, index, TORC_E_DISCONNECTED);
}

/* A link that is lost meanwhile may queue again, but is not dirty before it is connected: the list only
 * shrinks. */
static void flush_dirty(struct links *l)
{
    while (l->dirty_count > 0) {
        uint32_t index = l->dirty[--l->dirty_count];
        l->links[index].is_dirty = false;
        flush(l, index);
    }
}

/* ---- connecting ---- */

static void begin_connect(struct links *l, uint32_t index)
{
    struct link *k = &l->links[index];
    ASSERT(k->state == LINK_WAITING && k->fd < 0);
    int one = 1;
    int fd = socket(l->address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    k->fd = fd;
    bool is_begun = fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
                    (connect(fd, l->address->ai_addr, l->address->ai_addrlen) == 0 || errno == EINPROGRESS) &&
                    watch(l, index, EPOLL_CTL_ADD, EPOLLOUT) == 0;
    if (!is_begun) {
        l->last_error = -errno;
        lose(l, index, TORC_E_CANNOT_CONNECT);
        return;
    }
    k->state = LINK_CONNECTING;
    l->waiting--;
    l->connecting++;
}

static void finish_connect(struct links *l, uint32_t index)
{
    struct link *k = &l->links[index];
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &bytes))
        error = errno;
    if (error || watch(l, index, EPOLL_CTL_MOD, EPOLLIN)) {
        l->last_error = error ? -error : -errno;
        lose(l, index, TORC_E_CANNOT_CONNECT);
        return;
    }
    k->state = LINK_READY;
    l->connecting--;
    if (k->out_begin < k->out_end)
        mark_dirty(l, index);
}

static void retry_waiting(struct links *l)
{
    uint64_t now_ns = clock_now_ns();
    for (uint32_t i = 0; i < l->options.count && l->connecting < OPENING_MAX; i++)
        if (l->links[i].state == LINK_WAITING && l->links[i].retry_ns <= now_ns)
            begin_connect(l, i);
}

/* ---- input ---- */

static bool make_room(uint8_t **buffer, size_t *capacity, size_t bytes)
{
    if (bytes <= *capacity)
        return true;
    uint8_t *grown = realloc(*buffer, bytes);
    if (!grown)
        return false;
    *buffer = grown;
    *capacity = bytes;
    return true;
}

/* Keeps what the owner could not use yet. */
static bool keep_rest(struct link *k, struct slice rest)
{
    k->rest_bytes = 0;
    if (rest.bytes == 0)
        return true;
    if (!make_room(&k->rest, &k->rest_capacity, rest.bytes))
        return false;
    memcpy(k->rest, rest.data, rest.bytes);
    k->rest_bytes = rest.bytes;
    return true;
}

static void receive(struct links *l, uint32_t index)
{
    struct link *k = &l->links[index];
    if (!make_room(&l->input, &l->input_capacity, k->rest_bytes + RECEIVE_BYTES)) {
        lose(l, index, TORC_E_DISCONNECTED);
        return;
    }
    if (k->rest_bytes)
        memcpy(l->input, k->rest, k->rest_bytes);
    ssize_t received = recv(k->fd, l->input + k->rest_bytes, l->input_capacity - k->rest_bytes, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (received <= 0) {
        lose(l, index, TORC_E_DISCONNECTED);
        return;
    }
    struct slice all = slice_of(l->input, k->rest_bytes + (size_t)received);
    int64_t used = l->options.on_bytes(l->options.owner, index, all, clock_now_ns());
    ASSERT(used <= (int64_t)all.bytes);
    if (used < 0 || !keep_rest(k, slice_of(all.data + used, all.bytes - (size_t)used)))
        lose(l, index, TORC_E_DISCONNECTED);
}

static void handle_event(struct links *l, const struct epoll_event *e)
{
    uint32_t index = e->data.u32;
    struct link *k = &l->links[index];
    if (k->state == LINK_CONNECTING) {
        finish_connect(l, index);
        return;
    }
    if (k->state == LINK_READY && (e->events & EPOLLOUT))
        flush(l, index);
    if (k->state == LINK_READY && (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        receive(l, index);
}

int links_poll(struct links *l, uint64_t timeout_ns)
{
    if (l->waiting > 0)
        retry_waiting(l);
    flush_dirty(l);
    struct epoll_event events[EVENTS_MAX];
    struct timespec t = {.tv_sec = (time_t)(timeout_ns / (1000 * MS_NS)),
                         .tv_nsec = (long)(timeout_ns % (1000 * MS_NS))};
    int count = epoll_pwait2(l->epoll_fd, events, EVENTS_MAX, &t, NULL);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        handle_event(l, &events[i]);
        flush_dirty(l);
    }
    return 0;
}

/* ---- open and close ---- */

void links_close(struct links *l)
{
    for (uint32_t i = 0; l->links && i < l->options.count; i++) {
        if (l->links[i].fd >= 0)
            close(l->links[i].fd);
        free(l->links[i].out);
        free(l->links[i].rest);
    }
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->address)
        freeaddrinfo(l->address);
    free(l->links);
    free(l->dirty);
    free(l->input);
    free(l);
}

static int prepare(struct links *l, char *why, size_t why_bytes)
{
    l->links = calloc(l->options.count, sizeof l->links[0]);
    l->dirty = calloc(l->options.count, sizeof l->dirty[0]);
    if (!l->links || !l->dirty)
        return TORC_E_NO_MEMORY;
    for (uint32_t i = 0; i < l->options.count; i++)
        l->links[i].fd = -1;
    l->waiting = l->options.count;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int rc = getaddrinfo(l->options.host, l->options.port, &hints, &l->address);
    if (rc) {
        snprintf(why, why_bytes, "%s:%s: %s", l->options.host, l->options.port, gai_strerror(rc));
        return TORC_E_CANNOT_CONNECT;
    }
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return l->epoll_fd < 0 ? -errno : 0;
}

int links_open(const struct links_options *options, struct links **out, char *why, size_t why_bytes)
{
    ASSERT(options->count > 0);
    struct links *l = calloc(1, sizeof *l);
    if (!l)
        return TORC_E_NO_MEMORY;
    l->options = *options;
    l->epoll_fd = -1;
    int rc = prepare(l, why, why_bytes);
    uint64_t deadline_ns = clock_now_ns() + options->timeout_ms * MS_NS;
    while (rc == 0 && l->waiting + l->connecting > 0 && clock_now_ns() < deadline_ns)
        rc = links_poll(l, 10 * MS_NS);
    if (rc == 0 && l->waiting + l->connecting > 0) {
        rc = TORC_E_CANNOT_CONNECT;
        snprintf(why, why_bytes, "%s:%s: %u of %u connections could not be made: %s", options->host,
                 options->port, l->waiting + l->connecting, options->count,
                 error_sentence(l->last_error ? l->last_error : -ETIMEDOUT));
    }
    if (rc) {
        links_close(l);
        return rc;
    }
    *out = l;
    return 0;
}
