/* review_test.c - clients that do what no library does: the server must not care. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

static const char *const two_cores[] = {"--cores", "2", "--segment-bytes", "4M", NULL};

/* With two cores half of the connections want another core than the one that accepted them. */
static void send_response_and_hello(struct raw *raw, uint16_t core)
{
    uint8_t bytes[256];
    struct raw_request wrong = {.op = FRAME_HELLO | FRAME_RESPONSE};
    size_t count = raw_encode(raw, &wrong, bytes);
    count += raw_encode_hello(raw, core, bytes + count);
    CU_ASSERT(raw_send(raw, bytes, count));
}

TEST(a_response_in_place_of_a_hello_ends_the_connection)
{
    struct server s;
    struct raw bystander;
    server_init(&s, NULL, two_cores);
    if (!server_start(&s) || !raw_connect(&bystander, s.port, 0))
        return;
    for (unsigned i = 0; i < 16; i++) {
        struct raw raw;
        struct frame answer;
        if (!raw_open(&raw, s.port))
            break;
        send_response_and_hello(&raw, (uint16_t)(i % 2));
        int rc = raw_receive(&raw, &answer);
        CU_ASSERT(rc == 0 && error_of_status(answer.flags) == TORC_E_HELLO_REQUIRED);
        CU_ASSERT(raw_is_closed(&raw));
        raw_close(&raw);
    }
    CU_ASSERT_EQUAL(raw_ping(&bystander), 0);
    raw_close(&bystander);
    server_stop(&s);
}

/* Only what the server knows in full is done: an extension of tomorrow is refused on every operation. */
TEST(an_unknown_extension_is_refused_whatever_the_operation)
{
    static const uint8_t ops[] = {FRAME_PING,   FRAME_GET,   FRAME_PUT,  FRAME_DELETE,
                                  FRAME_EXISTS, FRAME_BATCH, FRAME_SCAN, FRAME_INFO};
    static const uint8_t unknown[] = {31, 1, 0};
    struct server s;
    struct raw raw;
    server_init(&s, NULL, two_cores);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 1))
        return;
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        struct frame answer;
        struct raw_request request = {.op = ops[i], .extensions = slice_of(unknown, sizeof unknown)};
        if (ops[i] == FRAME_GET || ops[i] == FRAME_PUT || ops[i] == FRAME_DELETE || ops[i] == FRAME_EXISTS)
            request.key = slice_of_string("key");
        CU_ASSERT_EQUAL(raw_call(&raw, &request, &answer), TORC_E_MALFORMED);
    }
    CU_ASSERT_EQUAL(raw_ping(&raw), 0);
    raw_close(&raw);
    server_stop(&s);
}

/* Far more than one connection may have under way: it is read as its answers go. */
TEST(many_infos_at_once_are_all_answered)
{
    enum { INFOS = 3000 };
    static bool was_answered[INFOS];
    struct server s;
    struct raw raw, other;
    server_init(&s, NULL, two_cores);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 1) || !raw_connect(&other, s.port, 0))
        return;
    uint8_t *all = malloc((size_t)INFOS * 64);
    ASSERT(all);
    size_t bytes = 0;
    for (unsigned i = 0; i < INFOS; i++)
        bytes +=
            raw_encode(&raw,
                       &(struct raw_request){.op = FRAME_INFO, .key = slice_of_string("server"), .id = i + 1},
                       all + bytes);
    CU_ASSERT(raw_send(&raw, all, bytes));
    free(all);
    CU_ASSERT_EQUAL(raw_ping(&other), 0);
    struct frame answer;
    unsigned right = 0;
    while (right < INFOS && raw_receive(&raw, &answer) == 0 && answer.flags == 0 &&
           answer.request_id <= INFOS && !was_answered[answer.request_id - 1]) {
        was_answered[answer.request_id - 1] = true;
        right++;
    }
    CU_ASSERT_EQUAL(right, INFOS);
    CU_ASSERT(server_counter(&s, "operations", "pauses") > 0);
    raw_close(&raw);
    raw_close(&other);
    server_stop(&s);
}

/* Large answers of the other core that nobody reads, and no patience: it ends in time, and with 0. */
TEST(asking_twice_to_end_with_answers_nobody_reads_is_no_hurry)
{
    static const char *const hasty[] = {"--cores", "2", "--segment-bytes", "4M", "--shutdown-timeout",
                                        "300ms",   NULL};
    static uint8_t value[FRAME_VALUE_BYTES_MAX];
    struct server s;
    struct raw raw[2], other;
    server_init(&s, NULL, hasty);
    if (!server_start(&s) || !raw_connect(&raw[0], s.port, 0) || !raw_connect(&raw[1], s.port, 1) ||
        !raw_connect(&other, s.port, 0))
        return;
    CU_ASSERT_EQUAL(raw_put(&other, slice_of_string("key"), slice_of(value, sizeof value)), 0);
    for (unsigned i = 0; i < 400; i++) {
        CU_ASSERT(
            raw_request(&raw[i % 2], &(struct raw_request){.op = FRAME_GET, .key = slice_of_string("key")}));
        if (i % 10 == 0)
            CU_ASSERT(raw_request(&raw[i % 2], &(struct raw_request){.op = FRAME_SCAN}));
    }
    CU_ASSERT_EQUAL(raw_ping(&other), 0);
    uint64_t from_ms = process_clock_ms();
    CU_ASSERT_EQUAL(kill(s.process.pid, SIGTERM), 0);
    CU_ASSERT_EQUAL(kill(s.process.pid, SIGINT), 0);
    CU_ASSERT(raw_is_closed(&other));
    server_stop(&s); /* asks once more */
    CU_ASSERT(process_clock_ms() - from_ms < 5000);
    raw_close(&raw[0]);
    raw_close(&raw[1]);
    raw_close(&other);
}

/* More answers than a connection may have unsent, and an end that comes with the requests. */
TEST(a_client_that_closes_its_side_gets_all_it_asked_for)
{
    enum { GETS = 200, VALUE_BYTES = 100000 };
    static uint8_t value[VALUE_BYTES];
    struct server s;
    struct raw raw;
    server_init(&s, NULL, two_cores);
    for (uint16_t core = 0; core < 2; core++) {
        if ((core == 0 && !server_start(&s)) || !raw_connect(&raw, s.port, core))
            return;
        CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string("key"), slice_of(value, sizeof value)), 0);
        uint8_t all[GETS * 32];
        size_t bytes = 0;
        for (unsigned i = 0; i < GETS; i++)
            bytes += raw_encode(&raw, &(struct raw_request){.op = FRAME_GET, .key = slice_of_string("key")},
                                all + bytes);
        CU_ASSERT(raw_send(&raw, all, bytes));
        CU_ASSERT_EQUAL(shutdown(raw.fd, SHUT_WR), 0);
        struct frame answer;
        unsigned answered = 0;
        while (raw_receive(&raw, &answer) == 0 && answer.flags == 0 && answer.value.bytes == VALUE_BYTES)
            answered++;
        CU_ASSERT_EQUAL(answered, GETS);
        raw_close(&raw);
    }
    server_stop(&s);
}
