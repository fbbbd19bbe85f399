/* bad_frames_test.c - frames that are wrong: each has its own code and a sentence, and harms no one else.
 *
 * Where the lengths are right the connection goes on; where what follows cannot be told from garbage it is
 * closed. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static const char *const two_cores[] = {"--cores", "2", "--segment-bytes", "4M", NULL};

/* A server with a bystander, who must be served whatever the others do. */
struct rig {
    struct server server;
    struct raw bystander;
};

static bool begin(struct rig *rig)
{
    server_init(&rig->server, NULL, two_cores);
    return server_start(&rig->server) && raw_connect(&rig->bystander, rig->server.port, 0) &&
           raw_put(&rig->bystander, slice_of_string("key"), slice_of_string("value")) == 0;
}

static void end(struct rig *rig)
{
    CU_ASSERT_EQUAL(raw_get_expect(&rig->bystander, slice_of_string("key"), slice_of_string("value")), 0);
    raw_close(&rig->bystander);
    server_stop(&rig->server);
}

/* The answer that has come: `code`, its sentence, a check that holds. */
static void check_answer(const struct frame *answer, int code)
{
    CU_ASSERT_EQUAL(error_of_status(answer->flags), code);
    CU_ASSERT(slice_equal(answer->value, slice_of_string(error_sentence(code))));
    CU_ASSERT(raw_is_answer(&(struct raw_request){.op = answer->op}, answer));
}

/* Is refused, and the connection is of use afterwards. */
static void expect_error(struct raw *raw, const struct raw_request *request, int code)
{
    struct frame answer;
    CU_ASSERT_EQUAL(raw_call(raw, request, &answer), code);
    check_answer(&answer, code);
    CU_ASSERT_EQUAL(raw_get_expect(raw, slice_of_string("key"), slice_of_string("value")), 0);
}

/* These bytes on a connection of their own are answered with `code` and a close. */
static void expect_close(struct rig *rig, const void *bytes, size_t count, bool says_hello, int code)
{
    struct raw raw;
    struct frame answer;
    bool is_up =
        says_hello ? raw_connect(&raw, rig->server.port, FRAME_CORE_ANY) : raw_open(&raw, rig->server.port);
    if (!is_up)
        return;
    CU_ASSERT(raw_send(&raw, bytes, count));
    int rc = raw_receive(&raw, &answer);
    CU_ASSERT_EQUAL(rc, 0);
    if (rc == 0)
        check_answer(&answer, code);
    CU_ASSERT(raw_is_closed(&raw));
    raw_close(&raw);
}

/* ---- requests that are whole, and wrong ---- */

TEST(keys_and_values_beyond_the_limits_are_refused)
{
    static uint8_t bytes[FRAME_VALUE_BYTES_MAX + 1];
    static const uint8_t ops[] = {FRAME_GET, FRAME_PUT, FRAME_DELETE, FRAME_EXISTS};
    struct rig rig;
    if (!begin(&rig))
        return;
    struct raw *raw = &rig.bystander;
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        struct raw_request request = {.op = ops[i]};
        expect_error(raw, &request, TORC_E_KEY_EMPTY);
        for (unsigned first = 0; first < 4; first++) { /* on both cores */
            bytes[0] = (uint8_t)first;
            request.key = slice_of(bytes, FRAME_KEY_BYTES_MAX + 1);
            expect_error(raw, &request, TORC_E_KEY_TOO_LONG);
            request.key = slice_of(bytes, UINT16_MAX);
            expect_error(raw, &request, TORC_E_KEY_TOO_LONG);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        char key[] = {(char)('a' + i)};
        struct raw_request request = {.op = FRAME_PUT,
                                      .key = slice_of(key, 1),
                                      .value = slice_of(bytes, sizeof bytes)};
        expect_error(raw, &request, TORC_E_VALUE_TOO_LARGE);
        CU_ASSERT_EQUAL(raw_exists(raw, slice_of(key, 1)), TORC_E_NOT_FOUND);
    }
    struct raw_request scan = {.op = FRAME_SCAN, .key = slice_of(bytes, FRAME_KEY_BYTES_MAX + 1)};
    expect_error(raw, &scan, TORC_E_KEY_TOO_LONG);
    end(&rig);
}

TEST(operations_that_are_none_are_refused)
{
    struct rig rig;
    if (!begin(&rig))
        return;
    for (unsigned op = 0; op < FRAME_RESPONSE; op++) {
        struct raw_request request = {.op = (uint8_t)op, .key = slice_of_string("key")};
        if (op == 0 || op > FRAME_ADMIN)
            expect_error(&rig.bystander, &request, TORC_E_UNKNOWN_OPERATION);
    }
    end(&rig);
}

TEST(requests_with_what_does_not_belong_to_them_are_refused)
{
    struct rig rig;
    if (!begin(&rig))
        return;
    struct slice key = slice_of_string("key"), value = slice_of_string("value");
    const struct raw_request requests[] = {
        {.op = FRAME_GET, .key = key, .value = value},
        {.op = FRAME_EXISTS, .key = key, .value = value},
        {.op = FRAME_DELETE, .key = key, .value = value},
        {.op = FRAME_PING, .key = key},
        {.op = FRAME_BATCH, .key = key},
        {.op = FRAME_BATCH, .value = value},
        {.op = FRAME_SCAN, .value = slice_of("x", 1)},
        {.op = FRAME_SCAN, .value = slice_of("\xff\xff", 2)},
        {.op = FRAME_INFO, .key = value},
        {.op = FRAME_HELLO, .value = value},
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++)
        expect_error(&rig.bystander, &requests[i], TORC_E_MALFORMED);
    end(&rig);
}

static void expect_extension_error(struct raw *raw, const void *bytes, size_t count, int code)
{
    static const uint8_t ops[] = {FRAME_GET, FRAME_PUT, FRAME_SCAN};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        struct raw_request request = {.op = ops[i],
                                      .key = slice_of_string("other"),
                                      .extensions = slice_of(bytes, count)};
        expect_error(raw, &request, code);
    }
    CU_ASSERT_EQUAL(raw_exists(raw, slice_of_string("other")), TORC_E_NOT_FOUND);
}

TEST(extensions_that_are_not_understood_are_refused)
{
    static const uint8_t unknown[] = {200, 1, 1}, cut[] = {FRAME_EXT_LIMIT, 4, 1},
                         zero[10] = {FRAME_EXT_EXPIRY_MS, 8};
    static const uint8_t twice[] = {FRAME_EXT_LIMIT, 4, 1, 0, 0, 0, FRAME_EXT_LIMIT, 4, 1, 0, 0, 0};
    struct rig rig;
    if (!begin(&rig))
        return;
    expect_extension_error(&rig.bystander, unknown, sizeof unknown, TORC_E_MALFORMED);
    expect_extension_error(&rig.bystander, cut, sizeof cut, TORC_E_MALFORMED);
    expect_extension_error(&rig.bystander, zero, sizeof zero, TORC_E_MALFORMED);
    expect_extension_error(&rig.bystander, twice, sizeof twice, TORC_E_MALFORMED);
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    struct frame_extensions e = {.namespace_name = slice_of_string("elsewhere")};
    size_t bytes = frame_extensions_encode(extensions, &e);
    expect_extension_error(&rig.bystander, extensions, bytes, TORC_E_NAMESPACE_UNKNOWN);
    end(&rig);
}

TEST(a_response_sent_as_a_request_is_refused)
{
    struct rig rig;
    uint8_t bytes[256];
    struct frame answer;
    if (!begin(&rig))
        return;
    for (uint8_t op = FRAME_HELLO; op <= FRAME_ADMIN; op++) {
        struct frame_parts parts = {.op = op,
                                    .is_response = true,
                                    .request_id = 99,
                                    .key = slice_of_string("key")};
        parts.record_checksum = op == FRAME_BATCH ? 0 : checksum_record(parts.key, parts.value);
        CU_ASSERT(raw_send(&rig.bystander, bytes, frame_encode(bytes, &parts)));
        CU_ASSERT_EQUAL(raw_receive(&rig.bystander, &answer), 0);
        CU_ASSERT_EQUAL(answer.request_id, 99);
        check_answer(&answer, TORC_E_MALFORMED);
    }
    end(&rig);
}

TEST(a_batch_with_a_wrong_part_is_refused_whole_or_by_part)
{
    struct rig rig;
    uint8_t batch[512];
    struct frame answer, part;
    if (!begin(&rig))
        return;
    struct raw *raw = &rig.bystander;
    static const uint8_t ops[] = {FRAME_HELLO, FRAME_PING, FRAME_BATCH, FRAME_SCAN, FRAME_INFO, 77};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        struct raw_request inner = {.op = ops[i], .key = slice_of_string("key"), .id = 1};
        struct raw_request outer = {.op = FRAME_BATCH,
                                    .value = slice_of(batch, raw_encode(raw, &inner, batch))};
        expect_error(raw, &outer, TORC_E_MALFORMED);
    }
    struct raw_request inner = {.op = FRAME_PUT,
                                .key = slice_of_string("key"),
                                .value = slice_of_string("spoilt"),
                                .id = 1};
    size_t bytes = raw_encode(raw, &inner, batch);
    struct raw_request outer = {.op = FRAME_BATCH, .value = slice_of(batch, bytes - 1)};
    expect_error(raw, &outer, TORC_E_MALFORMED);
    batch[bytes - 1] ^= 1; /* the check of the part fails; that of the batch covers only its header */
    outer.value = slice_of(batch, bytes);
    size_t needed;
    CU_ASSERT_EQUAL(raw_call(raw, &outer, &answer), 0);
    CU_ASSERT_EQUAL(frame_parse(answer.value, FRAME_RESPONSE_BYTES_MAX, &part, &needed), 1);
    check_answer(&part, TORC_E_CHECKSUM);
    end(&rig);
}

/* ---- streams that cannot be trusted ---- */

TEST(lengths_that_lie_end_the_connection)
{
    struct rig rig;
    struct raw raw = {.next_id = 1};
    uint8_t good[128], bytes[128];
    if (!begin(&rig))
        return;
    struct raw_request put = {.op = FRAME_PUT,
                              .key = slice_of_string("lie"),
                              .value = slice_of_string("value")};
    size_t count = raw_encode(&raw, &put, good);
    static const uint32_t lengths[] = {0, 1, FRAME_HEADER_BYTES - 1, FRAME_HEADER_BYTES};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        memcpy(bytes, good, count);
        store_u32le(bytes, lengths[i]);
        expect_close(&rig, bytes, count, true, TORC_E_FRAME_LENGTH);
        expect_close(&rig, bytes, count, false, TORC_E_FRAME_LENGTH);
    }
    static const uint32_t too_large[] = {FRAME_BYTES_MAX + 1, 1 << 30, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(too_large); i++) {
        memcpy(bytes, good, count);
        store_u32le(bytes, too_large[i]);
        expect_close(&rig, bytes, count, true, TORC_E_FRAME_TOO_LARGE);
        expect_close(&rig, bytes, 4, true, TORC_E_FRAME_TOO_LARGE); /* before the rest has come */
    }
    memcpy(bytes, good, count);
    store_u16le(bytes + 6, 60000);
    expect_close(&rig, bytes, count, true, TORC_E_FRAME_LENGTH);
    memcpy(bytes, good, count);
    store_u32le(bytes + 16, UINT32_MAX);
    expect_close(&rig, bytes, count, true, TORC_E_FRAME_LENGTH);
    CU_ASSERT_EQUAL(raw_exists(&rig.bystander, slice_of_string("lie")), TORC_E_NOT_FOUND);
    end(&rig);
}

TEST(a_check_that_fails_ends_the_connection_and_nothing_is_done)
{
    struct rig rig;
    struct raw raw = {.next_id = 1};
    uint8_t bytes[256];
    if (!begin(&rig))
        return;
    static const uint8_t ops[] = {FRAME_GET,  FRAME_PUT,  FRAME_DELETE, FRAME_EXISTS,
                                  FRAME_PING, FRAME_SCAN, FRAME_INFO,   FRAME_BATCH};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        for (unsigned key = 0; key < 3; key++) { /* on both cores */
            char text[] = {(char)('k' + key), 0};
            struct raw_request request = {.op = ops[i],
                                          .key = slice_of_string(text),
                                          .value = slice_of_string("x")};
            size_t count = raw_encode(&raw, &request, bytes);
            bytes[20] ^= 0x10;
            expect_close(&rig, bytes, count, true, TORC_E_CHECKSUM);
        }
    }
    CU_ASSERT_EQUAL(raw_exists(&rig.bystander, slice_of_string("k")), TORC_E_NOT_FOUND);
    CU_ASSERT_EQUAL(raw_exists(&rig.bystander, slice_of_string("l")), TORC_E_NOT_FOUND);
    struct raw_request put = {.op = FRAME_PUT, .key = slice_of_string("k"), .value = slice_of_string("flip")};
    size_t count = raw_encode(&raw, &put, bytes);
    for (size_t byte = 4; byte < count; byte++) {
        struct raw other;
        struct frame answer;
        uint8_t flipped[256];
        memcpy(flipped, bytes, count);
        flipped[byte] ^= 0x01;
        if (!raw_connect(&other, rig.server.port, 0))
            break;
        CU_ASSERT(raw_send(&other, flipped, count) && shutdown(other.fd, SHUT_WR) == 0);
        int rc = raw_receive(&other, &answer);
        CU_ASSERT(rc == TORC_E_CLOSED || (rc == 0 && answer.flags != 0));
        raw_close(&other);
    }
    CU_ASSERT_EQUAL(raw_exists(&rig.bystander, slice_of_string("k")), TORC_E_NOT_FOUND);
    end(&rig);
}

TEST(a_connection_that_does_not_begin_with_a_hello_is_closed)
{
    struct rig rig;
    struct raw raw = {.next_id = 1};
    uint8_t bytes[256];
    if (!begin(&rig))
        return;
    for (uint8_t op = FRAME_PING; op <= FRAME_ADMIN + 1; op++) {
        struct raw_request request = {.op = op, .key = slice_of_string("key")};
        expect_close(&rig, bytes, raw_encode(&raw, &request, bytes), false, TORC_E_HELLO_REQUIRED);
    }
    end(&rig);
}

TEST(a_hello_in_a_tongue_that_is_not_spoken_is_refused)
{
    struct rig rig;
    struct raw raw = {.next_id = 1};
    uint8_t bytes[256], value[FRAME_HELLO_BYTES];
    if (!begin(&rig))
        return;
    static const struct frame_hello others[] = {{.version_min = FRAME_PROTOCOL_VERSION + 1, .version_max = 9},
                                                {.version_min = 0, .version_max = 0}};
    struct raw_request request = {.op = FRAME_HELLO, .value = slice_of(value, sizeof value)};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        frame_hello_encode(value, &others[i]);
        expect_close(&rig, bytes, raw_encode(&raw, &request, bytes), false, TORC_E_PROTOCOL_VERSION);
    }
    frame_hello_encode(value, &(struct frame_hello){.version_min = 1, .version_max = 1});
    value[0] ^= 0xff; /* the magic */
    expect_close(&rig, bytes, raw_encode(&raw, &request, bytes), false, TORC_E_MALFORMED);
    request.value = slice_of(value, 3);
    expect_close(&rig, bytes, raw_encode(&raw, &request, bytes), false, TORC_E_MALFORMED);
    struct raw newer;
    struct frame answer;
    if (raw_open(&newer, rig.server.port)) { /* one that speaks ours, too */
        frame_hello_encode(value, &(struct frame_hello){.version_min = 1,
                                                        .version_max = 500,
                                                        .core = FRAME_CORE_ANY});
        request.value = slice_of(value, sizeof value);
        CU_ASSERT_EQUAL(raw_call(&newer, &request, &answer), 0);
        raw_close(&newer);
    }
    end(&rig);
}

TEST(garbage_is_closed_and_the_server_lives)
{
    static const char http[] = "GET /api/v1/keys/a HTTP/1.1\r\nHost: localhost:7070\r\nAccept: */*\r\n\r\n";
    static const char resp[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n";
    struct rig rig;
    if (!begin(&rig))
        return;
    expect_close(&rig, http, strlen(http), false, TORC_E_FRAME_TOO_LARGE);
    expect_close(&rig, http, strlen(http), true, TORC_E_FRAME_TOO_LARGE);
    expect_close(&rig, resp, strlen(resp), false, TORC_E_FRAME_TOO_LARGE);
    uint64_t state = 20260301;
    for (unsigned round = 0; round < 300; round++) {
        struct raw raw;
        struct frame answer;
        uint8_t bytes[600];
        for (size_t i = 0; i < sizeof bytes; i++) {
            state = state * 6364136223846793005 + 1442695040888963407;
            bytes[i] = (uint8_t)(state >> 56);
        }
        if (round % 3 == 0) /* a length that could be */
            store_u32le(bytes, FRAME_HEADER_BYTES + round);
        if (round % 2 ? !raw_open(&raw, rig.server.port) : !raw_connect(&raw, rig.server.port, 0))
            break;
        CU_ASSERT(raw_send(&raw, bytes, 1 + round * 2 % sizeof bytes) && shutdown(raw.fd, SHUT_WR) == 0);
        int rc;
        while ((rc = raw_receive(&raw, &answer)) == 0)
            CU_ASSERT_NOT_EQUAL(answer.flags, 0);
        CU_ASSERT_EQUAL(rc, TORC_E_CLOSED);
        raw_close(&raw);
    }
    CU_ASSERT_EQUAL(server_counter(&rig.server, "server", "connections"), 2);
    end(&rig);
}

TEST(clients_that_leave_in_the_middle_of_a_frame_leave_nothing_behind)
{
    struct rig rig;
    if (!begin(&rig))
        return;
    static uint8_t value[200000], bytes[200200];
    for (unsigned i = 0; i < 200; i++) {
        struct raw raw;
        if (!raw_connect(&raw, rig.server.port, (uint16_t)(i % 2)))
            break;
        struct raw_request put = {.op = FRAME_PUT,
                                  .key = slice_of_string("half"),
                                  .value = slice_of(value, sizeof value)};
        size_t count = raw_encode(&raw, &put, bytes);
        CU_ASSERT(raw_send(&raw, bytes, 1 + count * i / 200));
        raw_close(&raw);
    }
    CU_ASSERT_EQUAL(raw_exists(&rig.bystander, slice_of_string("half")), TORC_E_NOT_FOUND);
    double connections = 0;
    for (uint64_t from = process_clock_ms(); connections != 2 && process_clock_ms() < from + 5000;)
        connections = server_counter(&rig.server, "server", "connections");
    CU_ASSERT_EQUAL(connections, 2);
    end(&rig);
}
