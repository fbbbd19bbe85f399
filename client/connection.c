/* connection.c - one socket to one core: connecting, the hello, sending, receiving, breaking.
 *
 * The states are drawn in client.h. Nothing here waits: connect, send and recv return at once and epoll
 * tells when to go on. A connection that breaks takes the requests that it had sent with it (their outcome
 * is unknown) and keeps those that it had not. */
#include "client/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    INPUT_BYTES_MIN = 128 << 10,
    RECEIVE_CALLS_MAX = 16, /* for one event: then it is another connection's turn */
    BACKOFF_DOUBLINGS_MAX = 20,
    DEAD_PEER_MS_MIN = 1000,
};

static void set_events(struct connection *c, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)c->serial << 32 | c->index};
    int rc = epoll_ctl(c->client->epoll_fd, operation, c->fd, &event);
    ASSERT(rc == 0 || errno == ENOMEM || errno == ENOSPC);
    if (rc != 0)
        c->due_ms = c->client->now_ms; /* it will hear of nothing: the attempt ends at the next poll */
}

struct connection *client_connection_new(struct torc_client *client, uint32_t index)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct connection){.client = client, .index = index, .fd = -1, .due_ms = client->now_ms};
    return c;
}

void client_connection_free(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    client_output_deinit(&c->output);
    free(c->input.data);
    free(c);
}

/* ---- failing ---- */

/* After failures in a row on every address: a random part of a span that doubles. */
static uint64_t backoff_ms(struct connection *c)
{
    uint32_t rounds = c->failures / c->client->addresses.count;
    if (rounds == 0)
        return 0;
    uint32_t doublings = rounds - 1 < BACKOFF_DOUBLINGS_MAX ? rounds - 1 : BACKOFF_DOUBLINGS_MAX;
    uint64_t span = (uint64_t)c->client->settings.reconnect_min_ms << doublings;
    if (span > c->client->settings.reconnect_max_ms)
        span = c->client->settings.reconnect_max_ms;
    return 1 + client_random(c->client, span);
}

static void go_down(struct connection *c)
{
    struct torc_client *client = c->client;
    ASSERT(c->state != CONNECTION_DOWN || c->fd < 0);
    if (c->state == CONNECTION_READY) {
        client->unready_count++;
        client->counters.disconnects++;
        c->failures =
            client->addresses.count; /* the first attempt waits a little, too: all clients were cut off */
    } else {
        c->failures++;
        c->address = (c->address + 1) % client->addresses.count;
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = CONNECTION_DOWN;
    c->input.end = 0;
    c->waits_for_room = false;
    c->send_code = 0;
    c->due_ms = client->now_ms + backoff_ms(c);
}

/* An attempt has failed; what waits goes on waiting. */
static void fail_attempt(struct connection *c, int code)
{
    client_set_problem(c->client, "cannot connect to", code);
    go_down(c);
}

static void doom_requests(struct connection *c)
{
    struct requests *requests = &c->client->requests;
    for (uint32_t i = 0; i < requests->capacity; i++)
        if (requests->all[i].state == REQUEST_LIVE && requests->all[i].connection == c->index)
            requests->all[i].state = REQUEST_DOOMED;
}

/* Those whose frames are still in the output were not sent and live on. */
static void pardon_unsent_requests(struct connection *c)
{
    struct requests *requests = &c->client->requests;
    struct slice frames = slice_of(c->output.data, c->output.end);
    struct slice frame;
    while (client_output_next_frame(&frames, &frame)) {
        uint64_t id = load_u64le(frame.data + 8);
        struct request *r = &requests->all[(uint32_t)id];
        if (r->state == REQUEST_DOOMED && request_id(requests, r) == id)
            r->state = REQUEST_LIVE;
    }
}

/* What the callbacks start meanwhile is live, not doomed. */
static void fail_doomed_requests(struct torc_client *client, int code)
{
    for (uint32_t i = 0; i < client->requests.capacity; i++)
        if (client->requests.all[i].state == REQUEST_DOOMED)
            client_fail(client, &client->requests.all[i], code);
}

void client_connection_break(struct connection *c, int code)
{
    ASSERT(c->state == CONNECTION_READY);
    client_set_problem(c->client, "lost the connection to", code);
    go_down(c);
    client_output_drop_sent(&c->output);
    doom_requests(c);
    pardon_unsent_requests(c);
    fail_doomed_requests(c->client, TORC_DISCONNECTED);
    c->client->has_lost = true;
}

/* ---- sending ---- */

void client_connection_send(struct connection *c)
{
    ASSERT(c->state == CONNECTION_READY);
    size_t bytes = client_output_unsent_bytes(&c->output);
    if (bytes == 0)
        return;
    ssize_t sent = send(c->fd, c->output.data + c->output.sent, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    c->client->counters.send_calls++;
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
        c->send_code = -errno; /* what has come is still good: its end ends the connection */
    if (sent > 0) {
        c->client->counters.bytes_sent += (uint64_t)sent;
        client_output_take(&c->output, (size_t)sent);
    }
    bool needs_room = client_output_unsent_bytes(&c->output) > 0;
    if (needs_room != c->waits_for_room)
        set_events(c, needs_room ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    c->waits_for_room = needs_room;
}

/* ---- connecting ---- */

/* No waiting for more to send; and a machine that no longer acknowledges what it is sent is given up in
 * the time of a request, not in the quarter of an hour that TCP allows. */
static int set_options(const struct connection *c, int fd)
{
    int one = 1;
    unsigned dead_ms = c->client->settings.request_timeout_ms;
    dead_ms = dead_ms < DEAD_PEER_MS_MIN ? DEAD_PEER_MS_MIN : dead_ms;
    int rc = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return rc != 0 ? rc : setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
}

static int open_socket(struct connection *c, const struct address *address)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (set_options(c, fd) != 0 ||
        (connect(fd, (const struct sockaddr *)&address->storage, address->bytes) != 0 &&
         errno != EINPROGRESS)) {
        int code = -errno;
        close(fd);
        return code;
    }
    c->fd = fd;
    return 0;
}

static void begin_attempt(struct connection *c)
{
    ASSERT(c->state == CONNECTION_DOWN);
    int rc = open_socket(c, &c->client->addresses.all[c->address]);
    if (rc != 0) {
        client_set_problem(c->client, "cannot connect to", rc);
        go_down(c);
        return;
    }
    c->serial++;
    c->state = CONNECTION_CONNECTING;
    c->due_ms = c->client->now_ms + c->client->settings.connect_timeout_ms;
    set_events(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void send_hello(struct connection *c)
{
    uint8_t value[FRAME_HELLO_BYTES];
    struct frame_hello hello = {
        .version_min = FRAME_PROTOCOL_VERSION,
        .version_max = FRAME_PROTOCOL_VERSION,
        .core = (uint16_t)(c->index / c->client->settings.connections_per_core),
    };
    frame_hello_encode(value, &hello);
    struct frame_parts parts = {
        .op = FRAME_HELLO,
        .request_id = c->serial,
        .record_checksum = checksum_record_of_hash(c->client->empty_key_hash, slice_of(value, sizeof value)),
        .value = slice_of(value, sizeof value),
    };
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_HELLO_BYTES];
    size_t bytes = frame_encode(frame, &parts);
    ssize_t sent = send(c->fd, frame, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent !=
        (ssize_t)bytes) { /* an empty socket buffer that has no room for 40 bytes is as good as broken */
        fail_attempt(c, sent < 0 ? -errno : TORC_DISCONNECTED);
        return;
    }
    c->state = CONNECTION_HELLO;
    set_events(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void finish_connect(struct connection *c)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    if (error != 0)
        fail_attempt(c, -error);
    else
        send_hello(c);
}

/* The server speaks torc but not with us: who waits for this connection need not wait longer. */
static void refuse_waiting(struct connection *c, int code)
{
    c->client->refusal = code;
    fail_attempt(c, code);
    c->due_ms = c->client->now_ms + c->client->settings.reconnect_max_ms;
    c->output.frame_begin = c->output.sent = c->output.end = 0;
    doom_requests(c);
    fail_doomed_requests(c->client, code);
}

static void become_ready(struct connection *c, const struct frame_hello *hello)
{
    struct torc_client *client = c->client;
    bool is_new = hello->core_count != client->core_count || hello->vnode_bits != client->vnode_bits;
    if (is_new &&
        c->index != 0) { /* the server was started anew with another shape: connection 0 will tell it */
        fail_attempt(c, TORC_DISCONNECTED);
        if (client->connections[0]->state == CONNECTION_READY)
            client_connection_break(client->connections[0], TORC_DISCONNECTED);
        return;
    }
    c->state = CONNECTION_READY;
    c->failures = 0;
    client->unready_count--;
    client->counters.connects++;
    client->refusal = 0;
    if (is_new && client_set_topology(client, hello->core_count, hello->vnode_bits) != 0) {
        client_connection_break(c, TORC_NO_MEMORY);
        return;
    }
    client_refile(client, c);
    client_connection_send(c);
}

static void take_hello(struct connection *c, const struct frame *f)
{
    struct slice message = f->value;
    uint64_t checksum = checksum_record_of_hash(c->client->empty_key_hash, f->value);
    struct frame_hello hello;
    if (!f->is_response || f->op != FRAME_HELLO || f->request_id != c->serial)
        fail_attempt(c, TORC_MALFORMED);
    else if (!frame_is_intact(f, checksum))
        fail_attempt(c, TORC_CHECKSUM);
    else if (f->flags != 0 && error_of_status(f->flags) == TORC_PROTOCOL_VERSION)
        refuse_waiting(c, TORC_PROTOCOL_VERSION);
    else if (f->flags != 0)
        fail_attempt(c, error_of_status(f->flags));
    else if (frame_hello_parse(message, &hello) != 0 || hello.core_count < 1 ||
             hello.core_count > CLIENT_CORES_MAX)
        fail_attempt(c, TORC_MALFORMED);
    else if (hello.version_min != FRAME_PROTOCOL_VERSION)
        refuse_waiting(c, TORC_PROTOCOL_VERSION);
    else
        become_ready(c, &hello);
}

/* ---- receiving ---- */

static void lose(struct connection *c, int code)
{
    if (c->state == CONNECTION_READY)
        client_connection_break(c, code);
    else if (c->state != CONNECTION_DOWN)
        fail_attempt(c, code);
}

static int reserve_input(struct connection *c, size_t needed)
{
    struct input *in = &c->input;
    if (in->capacity >= needed && in->capacity > 0)
        return 0;
    size_t capacity = needed > INPUT_BYTES_MIN ? needed : INPUT_BYTES_MIN;
    ASSERT(capacity <= FRAME_RESPONSE_BYTES_MAX);
    uint8_t *data = realloc(in->data, capacity);
    if (!data)
        return TORC_NO_MEMORY;
    in->data = data;
    in->capacity = capacity;
    return 0;
}

/* Takes all whole frames; the rest moves to the front and has room to become whole. */
static void parse_input(struct connection *c)
{
    size_t position = 0;
    size_t needed = 0;
    uint32_t serial = c->serial;
    int rc = 1;
    while (rc == 1) {
        struct frame f;
        struct slice rest = slice_of(c->input.data + position, c->input.end - position);
        rc = frame_parse(rest, FRAME_RESPONSE_BYTES_MAX, &f, &needed);
        if (rc != 1)
            break;
        position += f.length;
        int taken = 0;
        if (c->state == CONNECTION_READY)
            taken = client_response_take(c, &f);
        else
            take_hello(c, &f);
        if (c->state != CONNECTION_READY || c->serial != serial)
            return; /* it broke over this frame */
        if (taken != 0)
            rc = taken;
    }
    if (rc == 0 && position > 0) {
        memmove(c->input.data, c->input.data + position, c->input.end - position);
        c->input.end -= position;
    }
    if (rc == 0)
        rc = reserve_input(c, needed);
    if (rc < 0)
        lose(c, rc);
}

static void receive(struct connection *c)
{
    if (reserve_input(c, INPUT_BYTES_MIN) != 0) {
        lose(c, TORC_NO_MEMORY);
        return;
    }
    uint32_t serial = c->serial;
    for (int i = 0; i < RECEIVE_CALLS_MAX; i++) {
        size_t room = c->input.capacity - c->input.end;
        ASSERT(room > 0);
        ssize_t got = recv(c->fd, c->input.data + c->input.end, room, MSG_DONTWAIT);
        c->client->counters.receive_calls++;
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            int code = got == 0 ? TORC_CLOSED : -errno;
            lose(c, c->send_code ? c->send_code : code);
            return;
        }
        c->client->counters.bytes_received += (uint64_t)got;
        c->input.end += (size_t)got;
        c->client->answering = c->index;
        parse_input(c);
        c->client->answering = UINT32_MAX;
        if (c->state < CONNECTION_HELLO || c->serial != serial || (size_t)got < room)
            return;
    }
}

void client_connection_on_event(struct connection *c, uint32_t events)
{
    if (c->state == CONNECTION_CONNECTING) {
        finish_connect(c);
        return;
    }
    if (c->state == CONNECTION_DOWN) /* since epoll told of it */
        return;
    if (c->state == CONNECTION_READY && (events & EPOLLOUT) != 0 && c->send_code == 0)
        client_connection_send(c);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        receive(c);
    else if (c->send_code != 0)
        client_connection_break(c, c->send_code);
}

void client_connection_upkeep(struct connection *c)
{
    if (c->state == CONNECTION_READY || c->due_ms > c->client->now_ms)
        return;
    if (c->state == CONNECTION_DOWN)
        begin_attempt(c);
    else
        fail_attempt(c, -ETIMEDOUT);
}
