/* raw.c - frames over a blocking socket; see raw.h. */
#include "test/process/raw.h"

#include "test/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

bool raw_open(struct raw *raw, uint16_t port)
{
    *raw = (struct raw){.next_id = 1};
    raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {.tv_sec = RAW_TIMEOUT_MS / 1000};
    int on = 1;
    bool is_open = raw->fd >= 0 &&
                   setsockopt(raw->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
                   setsockopt(raw->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
                   setsockopt(raw->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
                   connect(raw->fd, (struct sockaddr *)&to, sizeof to) == 0;
    if (is_open)
        return true;
    CU_FAIL("cannot connect to the server");
    raw_close(raw);
    return false;
}

void raw_close(struct raw *raw)
{
    if (raw->fd >= 0)
        close(raw->fd);
    raw->fd = -1;
    free(raw->in);
    raw->in = NULL;
}

bool raw_connect(struct raw *raw, uint16_t port, uint16_t core)
{
    uint8_t hello[64];
    struct frame answer;
    if (!raw_open(raw, port))
        return false;
    if (raw_send(raw, hello, raw_encode_hello(raw, core, hello)) && raw_receive(raw, &answer) == 0 &&
        answer.flags == 0 && frame_hello_parse(answer.value, &raw->hello) == 0)
        return true;
    CU_FAIL("the hello is not answered");
    raw_close(raw);
    return false;
}

/* ---- requests ---- */

size_t raw_encode(struct raw *raw, const struct raw_request *request, uint8_t *to)
{
    struct frame_parts parts = {
        .op = request->op,
        .flags = request->flags,
        .request_id = request->id ? request->id : raw->next_id++,
        .key = request->key,
        .value = request->value,
        .extensions = request->extensions,
    };
    if (request->op != FRAME_BATCH)
        parts.record_checksum = checksum_record(request->key, request->value);
    return frame_encode(to, &parts);
}

size_t raw_encode_hello(struct raw *raw, uint16_t core, uint8_t *to)
{
    uint8_t value[FRAME_HELLO_BYTES];
    struct frame_hello hello = {.version_min = 1, .version_max = FRAME_PROTOCOL_VERSION, .core = core};
    frame_hello_encode(value, &hello);
    struct raw_request request = {.op = FRAME_HELLO, .value = slice_of(value, sizeof value)};
    return raw_encode(raw, &request, to);
}

bool raw_send(struct raw *raw, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    while (count > 0) {
        ssize_t sent = send(raw->fd, at, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        count -= (size_t)sent;
    }
    return true;
}

bool raw_request(struct raw *raw, const struct raw_request *request)
{
    size_t room = FRAME_HEADER_BYTES + request->key.bytes + request->value.bytes + request->extensions.bytes;
    uint8_t *bytes = malloc(room);
    ASSERT(bytes);
    bool is_sent = raw_send(raw, bytes, raw_encode(raw, request, bytes));
    free(bytes);
    return is_sent;
}

/* ---- answers ---- */

/* Room for `needed` bytes from in_start on. */
static void make_room(struct raw *raw, size_t needed)
{
    if (raw->in_start > 0 && raw->in_start + needed > raw->in_capacity) {
        memmove(raw->in, raw->in + raw->in_start, raw->in_end - raw->in_start);
        raw->in_end -= raw->in_start;
        raw->in_start = 0;
    }
    if (needed <= raw->in_capacity)
        return;
    raw->in_capacity = needed < 4096 ? 4096 : needed;
    raw->in = realloc(raw->in, raw->in_capacity);
    ASSERT(raw->in);
}

int raw_receive(struct raw *raw, struct frame *answer)
{
    size_t needed;
    int rc;
    while ((rc = frame_parse(slice_of(raw->in + raw->in_start, raw->in_end - raw->in_start),
                             FRAME_RESPONSE_BYTES_MAX, answer, &needed)) == 0) {
        make_room(raw, needed);
        ssize_t got = recv(raw->fd, raw->in + raw->in_end, raw->in_capacity - raw->in_end, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return TORC_E_TIMEOUT;
        if (got <= 0)
            return TORC_E_CLOSED;
        raw->in_end += (size_t)got;
    }
    CU_ASSERT_EQUAL(rc, 1);
    if (rc != 1)
        return rc;
    raw->in_start += answer->length;
    return 0;
}

bool raw_is_answer(const struct raw_request *request, const struct frame *answer)
{
    struct slice key = slice_of(NULL, 0);
    if (answer->op == FRAME_GET && answer->flags == 0)
        key = request->key;
    uint64_t checksum = answer->op == FRAME_BATCH ? 0 : checksum_record(key, answer->value);
    return answer->is_response && frame_is_intact(answer, checksum);
}

int raw_call(struct raw *raw, const struct raw_request *request, struct frame *answer)
{
    uint64_t id = request->id ? request->id : raw->next_id;
    if (!raw_request(raw, request))
        return TORC_E_CLOSED;
    int rc = raw_receive(raw, answer);
    if (rc)
        return rc;
    CU_ASSERT_EQUAL(answer->request_id, id);
    CU_ASSERT_EQUAL(answer->op, request->op);
    CU_ASSERT(raw_is_answer(request, answer));
    return error_of_status(answer->flags);
}

bool raw_is_closed(struct raw *raw)
{
    struct frame answer;
    return raw_receive(raw, &answer) == TORC_E_CLOSED;
}

/* ---- one request each ---- */

static int call(struct raw *raw, uint8_t op, struct slice key, struct slice value)
{
    struct frame answer;
    struct raw_request request = {.op = op, .key = key, .value = value};
    return raw_call(raw, &request, &answer);
}

int raw_put(struct raw *raw, struct slice key, struct slice value)
{
    return call(raw, FRAME_PUT, key, value);
}

int raw_delete(struct raw *raw, struct slice key)
{
    return call(raw, FRAME_DELETE, key, slice_of(NULL, 0));
}

int raw_exists(struct raw *raw, struct slice key)
{
    return call(raw, FRAME_EXISTS, key, slice_of(NULL, 0));
}

int raw_ping(struct raw *raw)
{
    return call(raw, FRAME_PING, slice_of(NULL, 0), slice_of_string("ping"));
}

int raw_get_expect(struct raw *raw, struct slice key, struct slice value)
{
    struct frame answer;
    struct raw_request request = {.op = FRAME_GET, .key = key};
    int rc = raw_call(raw, &request, &answer);
    if (rc == 0)
        CU_ASSERT(slice_equal(answer.value, value));
    return rc;
}
