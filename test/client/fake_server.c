/* fake_server.c - the scripted server; what it is for stands in the header. Everything is nonblocking, and
 * a connection is never given its slot back, so a test can name it by the order of arrival. */
#include "test/client/fake_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_BYTES_MAX = 4 << 20 };

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

static void listen_on(struct fake *fake, uint16_t port)
{
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in address = loopback(port);
    socklen_t bytes = sizeof address;
    ASSERT(setsockopt(fake->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    ASSERT(bind(fake->listener, (struct sockaddr *)&address, sizeof address) == 0);
    ASSERT(listen(fake->listener, 64) == 0);
    ASSERT(getsockname(fake->listener, (struct sockaddr *)&address, &bytes) == 0);
    snprintf(fake->address, sizeof fake->address, "127.0.0.1:%u", ntohs(address.sin_port));
}

struct fake *fake_open(uint16_t core_count)
{
    struct fake *fake = calloc(1, sizeof *fake);
    ASSERT(fake);
    fake->core_count = core_count;
    fake->vnode_bits = 10;
    fake->page_entries = 3;
    listen_on(fake, 0);
    return fake;
}

void fake_stop_listening(struct fake *fake)
{
    close(fake->listener);
    fake->listener = -1;
}

void fake_listen_again(struct fake *fake)
{
    listen_on(fake, (uint16_t)strtoul(strrchr(fake->address, ':') + 1, NULL, 10));
}

void fake_close(struct fake *fake)
{
    fake_drop_all(fake);
    for (uint32_t i = 0; i < fake->connection_count; i++)
        free(fake->connections[i].in);
    for (uint32_t i = 0; i < fake->request_count; i++)
        free(fake->requests[i].bytes);
    for (uint32_t i = 0; i < fake->pair_count; i++) {
        free(fake->pairs[i].key);
        free(fake->pairs[i].value);
    }
    if (fake->listener >= 0)
        close(fake->listener);
    free(fake);
}

void fake_drop(struct fake *fake, uint32_t connection)
{
    struct fake_connection *c = &fake->connections[connection];
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void fake_drop_all(struct fake *fake)
{
    for (uint32_t i = 0; i < fake->connection_count; i++)
        fake_drop(fake, i);
}

/* ---- answering ---- */

void fake_send(struct fake *fake, uint32_t connection, const void *bytes, size_t count)
{
    struct fake_connection *c = &fake->connections[connection];
    const uint8_t *at = bytes;
    while (c->fd >= 0 && count > 0) {
        ssize_t sent = send(c->fd, at, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = c->fd, .events = POLLOUT};
            if (poll(&wait, 1, 1000) == 1)
                continue;
        }
        if (sent <= 0) {
            fake_drop(fake, connection);
            return;
        }
        at += sent;
        count -= (size_t)sent;
    }
}

size_t fake_encode(const struct fake *fake, uint32_t index, struct frame_parts *answer, uint8_t *to)
{
    const struct frame *asked = &fake->requests[index].frame;
    struct slice key = asked->op == FRAME_GET && answer->flags == 0 ? asked->key : (struct slice){0};
    answer->op = asked->op;
    answer->is_response = true;
    answer->request_id = asked->request_id;
    answer->record_checksum = checksum_record(key, answer->value);
    return frame_encode(to, answer);
}

static void answer_with(struct fake *fake, uint32_t index, struct frame_parts *answer)
{
    struct fake_request *r = &fake->requests[index];
    uint8_t *bytes = malloc(FRAME_HEADER_BYTES + answer->value.bytes + answer->extensions.bytes);
    ASSERT(bytes);
    size_t count = fake_encode(fake, index, answer, bytes);
    r->is_answered = true;
    fake_send(fake, r->connection, bytes, count);
    free(bytes);
}

void fake_answer(struct fake *fake, uint32_t index, uint8_t status, struct slice value)
{
    ASSERT(index < fake->request_count);
    struct frame_parts answer = {.flags = status, .value = value};
    answer_with(fake, index, &answer);
}

/* ---- the store ---- */

static struct fake_pair *find(struct fake *fake, struct slice key)
{
    for (uint32_t i = 0; i < fake->pair_count; i++)
        if (slice_equal(key, slice_of(fake->pairs[i].key, fake->pairs[i].key_bytes)))
            return &fake->pairs[i];
    return NULL;
}

static uint8_t *copy_of(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.bytes + 1);
    ASSERT(copy);
    if (bytes.bytes)
        memcpy(copy, bytes.data, bytes.bytes);
    return copy;
}

void fake_put(struct fake *fake, struct slice key, struct slice value)
{
    struct fake_pair *pair = find(fake, key);
    if (!pair) {
        ASSERT(fake->pair_count < FAKE_STORE_MAX);
        pair = &fake->pairs[fake->pair_count++];
        *pair = (struct fake_pair){.key = copy_of(key), .key_bytes = key.bytes};
    }
    free(pair->value);
    pair->value = copy_of(value);
    pair->value_bytes = value.bytes;
}

static void delete (struct fake *fake, struct slice key)
{
    struct fake_pair *pair = find(fake, key);
    if (!pair)
        return;
    free(pair->key);
    free(pair->value);
    size_t index = (size_t)(pair - fake->pairs);
    memmove(pair, pair + 1, (fake->pair_count - index - 1) * sizeof *pair);
    fake->pair_count--;
}

/* In the order of putting; the cursor is the index to go on with, as a byte. */
static size_t encode_page(struct fake *fake, const struct frame *asked, uint8_t *to)
{
    struct frame_extensions extensions;
    ASSERT(frame_extensions_parse(asked->extensions, &extensions) == 0);
    uint32_t limit = extensions.limit ? extensions.limit : fake->page_entries;
    uint32_t next = asked->value.bytes ? asked->value.data[0] : 0;
    uint8_t *at = to + 3;
    for (uint32_t count = 0; count < limit && next < fake->pair_count; next++) {
        struct fake_pair *pair = &fake->pairs[next];
        struct slice key = slice_of(pair->key, pair->key_bytes);
        struct slice value = slice_of(pair->value, (asked->flags & FRAME_KEYS_ONLY) ? 0 : pair->value_bytes);
        if (!slice_starts_with(key, asked->key))
            continue;
        at += frame_page_encode_entry(at, key, value);
        count++;
    }
    bool is_last = next == fake->pair_count;
    store_u16le(to, is_last ? 0 : 1);
    if (is_last)
        memmove(to + 2, to + 3, (size_t)(at - to) - 3);
    else
        to[2] = (uint8_t)next;
    return (size_t)(at - to) - is_last;
}

static void answer_automatically(struct fake *fake, uint32_t index)
{
    const struct frame *asked = &fake->requests[index].frame;
    struct fake_pair *pair = find(fake, asked->key);
    struct slice value = {0};
    uint8_t status = 0;
    static uint8_t page[64 << 10];
    if (fake->overload_every && fake->request_count % fake->overload_every == 0) {
        fake_answer(fake, index, 14, slice_of_string("busy"));
        return;
    }
    if (fake->request_count == fake->refuse_at) {
        fake_answer(fake, index, 11, slice_of_string("refused"));
        return;
    }
    if (fake->request_count == fake->drop_at) {
        fake_drop(fake, fake->requests[index].connection);
        return;
    }
    if (asked->op == FRAME_GET && pair)
        value = slice_of(pair->value, pair->value_bytes);
    else if ((asked->op == FRAME_GET || asked->op == FRAME_EXISTS) && !pair)
        status = 1;
    else if (asked->op == FRAME_PUT)
        fake_put(fake, asked->key, asked->value);
    else if (asked->op == FRAME_DELETE)
        delete (fake, asked->key);
    else if (asked->op == FRAME_PING)
        value = asked->value;
    else if (asked->op == FRAME_INFO)
        value = slice_of_string("{\"healthy\":true}");
    else if (asked->op == FRAME_ADMIN && fake->job_status && slice_equal(asked->key, slice_of_string("job")))
        status = fake->job_status;
    else if (asked->op == FRAME_ADMIN)
        value = slice_of_string(fake->admin);
    else if (asked->op == FRAME_SCAN && fake->page)
        value = slice_of(page, fake->page(++fake->page_count, page));
    else if (asked->op == FRAME_SCAN)
        value = slice_of(page, encode_page(fake, asked, page));
    fake_answer(fake, index, status, value);
}

/* ---- taking requests ---- */

static void answer_hello(struct fake *fake, uint32_t connection, const struct frame *f)
{
    struct frame_hello hello;
    ASSERT(frame_hello_parse(f->value, &hello) == 0);
    fake->hello_count++;
    fake->connections[connection].core = hello.core;
    if (fake->is_mute)
        return;
    uint8_t value[FRAME_HELLO_BYTES];
    struct frame_hello chosen = {.version_min = 1,
                                 .version_max = 1,
                                 .core = hello.core,
                                 .core_count = fake->core_count};
    chosen.vnode_bits = fake->vnode_bits;
    frame_hello_encode(value, &chosen);
    struct frame_parts answer = {.op = FRAME_HELLO,
                                 .flags = fake->hello_status,
                                 .is_response = true,
                                 .request_id = f->request_id};
    if (fake->hello_status == 0)
        answer.value = slice_of(value, sizeof value);
    answer.record_checksum = checksum_record((struct slice){0}, answer.value);
    uint8_t bytes[FRAME_HEADER_BYTES + FRAME_HELLO_BYTES];
    fake_send(fake, connection, bytes, frame_encode(bytes, &answer));
}

static void take_request(struct fake *fake, uint32_t connection, const struct frame *f)
{
    ASSERT(fake->request_count < FAKE_REQUESTS_MAX);
    struct fake_request *r = &fake->requests[fake->request_count++];
    *r = (struct fake_request){.connection = connection, .bytes = malloc(f->length)};
    ASSERT(r->bytes);
    memcpy(r->bytes, f->bytes, f->length);
    size_t needed;
    ASSERT(frame_parse(slice_of(r->bytes, f->length), FRAME_BYTES_MAX, &r->frame, &needed) == 1);
    r->is_intact = frame_is_intact(&r->frame, checksum_record(r->frame.key, r->frame.value));
    if (fake->is_automatic)
        answer_automatically(fake, fake->request_count - 1);
}

static void parse(struct fake *fake, uint32_t connection)
{
    struct fake_connection *c = &fake->connections[connection];
    size_t position = 0;
    size_t needed;
    struct frame f;
    int rc = 0;
    while (c->fd >= 0 && (rc = frame_parse(slice_of(c->in + position, c->in_bytes - position),
                                           FRAME_BYTES_MAX, &f, &needed)) == 1) {
        if (f.op == FRAME_HELLO)
            answer_hello(fake, connection, &f);
        else
            take_request(fake, connection, &f);
        position += f.length;
    }
    c->is_broken |= rc < 0;
    memmove(c->in, c->in + position, c->in_bytes - position);
    c->in_bytes -= position;
}

static void receive(struct fake *fake, uint32_t connection)
{
    struct fake_connection *c = &fake->connections[connection];
    while (c->fd >= 0 && c->in_bytes < IN_BYTES_MAX) {
        ssize_t got = recv(c->fd, c->in + c->in_bytes, IN_BYTES_MAX - c->in_bytes, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            fake_drop(fake, connection);
            return;
        }
        c->in_bytes += (size_t)got;
        parse(fake, connection);
    }
}

void fake_pump(struct fake *fake)
{
    int fd = -1;
    while (fake->listener >= 0 &&
           (fd = accept4(fake->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        ASSERT(fake->connection_count < FAKE_CONNECTIONS_MAX);
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct fake_connection *c = &fake->connections[fake->connection_count++];
        *c = (struct fake_connection){.fd = fd, .in = malloc(IN_BYTES_MAX)};
        ASSERT(c->in);
    }
    for (uint32_t i = 0; i < fake->connection_count; i++)
        receive(fake, i);
}

/* ---- a thread ---- */

static void *serve(void *context)
{
    struct fake *fake = context;
    while (!atomic_load(&fake->is_stopping)) {
        struct pollfd fds[FAKE_CONNECTIONS_MAX + 1] = {{.fd = fake->listener, .events = POLLIN}};
        nfds_t count = 1;
        for (uint32_t i = 0; i < fake->connection_count; i++)
            fds[count++] = (struct pollfd){.fd = fake->connections[i].fd, .events = POLLIN};
        poll(fds, count, 20);
        fake_pump(fake);
    }
    return NULL;
}

void fake_run(struct fake *fake)
{
    fake->is_automatic = true;
    ASSERT(pthread_create(&fake->thread, NULL, serve, fake) == 0);
}

void fake_stop(struct fake *fake)
{
    atomic_store(&fake->is_stopping, true);
    pthread_join(fake->thread, NULL);
    atomic_store(&fake->is_stopping, false);
    fake->is_automatic = false;
}
