/* shutdown_test.c - SIGTERM: no new work, what is in flight is answered, and it is all there after the
 * next start. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const two_cores[] = {"--cores", "2", "--segment-bytes", "4M", NULL};

enum { PUTS = 20000, CONNECTIONS = 3, KEY_BYTES = 32 };

/* What became of the puts of one connection, by request id - 1. */
enum outcome { OUTCOME_NONE, OUTCOME_DONE, OUTCOME_REFUSED };

static struct slice key_of(char text[KEY_BYTES], unsigned connection, unsigned n)
{
    snprintf(text, KEY_BYTES, "key-%u-%u", connection, n);
    return slice_of_string(text);
}

static void send_puts(struct raw *raw, unsigned connection)
{
    uint8_t *all = malloc((size_t)PUTS * (FRAME_HEADER_BYTES + 2 * KEY_BYTES));
    ASSERT(all);
    size_t bytes = 0;
    for (unsigned i = 0; i < PUTS; i++) {
        char key[KEY_BYTES];
        struct raw_request put = {.op = FRAME_PUT, .key = key_of(key, connection, i), .id = i + 1};
        put.value = put.key;
        bytes += raw_encode(raw, &put, all + bytes);
    }
    CU_ASSERT(raw_send(raw, all, bytes));
    free(all);
}

/* Reads until the server closes. Returns: how many were done. */
static unsigned read_outcomes(struct raw *raw, uint8_t *outcomes)
{
    struct frame answer;
    unsigned done = 0;
    int rc;
    while ((rc = raw_receive(raw, &answer)) == 0) {
        int code = error_of_status(answer.flags);
        CU_ASSERT(code == 0 || code == TORC_E_SHUTTING_DOWN);
        CU_ASSERT(answer.op == FRAME_PUT && answer.request_id >= 1 && answer.request_id <= PUTS);
        CU_ASSERT_EQUAL(outcomes[answer.request_id - 1], OUTCOME_NONE);
        outcomes[answer.request_id - 1] = code == 0 ? OUTCOME_DONE : OUTCOME_REFUSED;
        done += code == 0;
    }
    CU_ASSERT_EQUAL(rc, TORC_E_CLOSED);
    return done;
}

/* A put that was refused is not there, one that was done is; without an answer it may be. */
static void verify(struct raw *raw, unsigned connection, const uint8_t *outcomes)
{
    bool is_right = true;
    for (unsigned i = 0; i < PUTS; i++) {
        char key[KEY_BYTES];
        struct slice k = key_of(key, connection, i);
        int rc = raw_get_expect(raw, k, k);
        is_right &= rc == 0 || rc == TORC_E_NOT_FOUND;
        if (outcomes[i] != OUTCOME_NONE)
            is_right &= rc == (outcomes[i] == OUTCOME_DONE ? 0 : TORC_E_NOT_FOUND);
    }
    CU_ASSERT(is_right);
}

TEST(a_server_that_is_asked_to_end_answers_what_is_in_flight)
{
    static uint8_t outcomes[CONNECTIONS][PUTS];
    struct server s;
    struct raw raw[CONNECTIONS];
    memset(outcomes, 0, sizeof outcomes);
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    bool is_up = true;
    for (unsigned i = 0; i < CONNECTIONS; i++)
        is_up = is_up && raw_connect(&raw[i], s.port, (uint16_t)(i % 2));
    for (unsigned i = 0; i < CONNECTIONS && is_up; i++)
        send_puts(&raw[i], i);
    CU_ASSERT_EQUAL(kill(s.process.pid, SIGTERM), 0);
    unsigned done = 0, refused = 0;
    for (unsigned i = 0; i < CONNECTIONS && is_up; i++) {
        done += read_outcomes(&raw[i], outcomes[i]);
        for (unsigned n = 0; n < PUTS; n++)
            refused += outcomes[i][n] == OUTCOME_REFUSED;
        raw_close(&raw[i]);
    }
    server_stop(&s);
    CU_ASSERT(done > 0);
    printf("\n    %u puts done, %u refused, %u without an answer ", done, refused,
           CONNECTIONS * PUTS - done - refused);
    if (!server_start(&s))
        return;
    for (unsigned i = 0; i < CONNECTIONS && raw_connect(&raw[i], s.port, 0); i++) {
        verify(&raw[i], i, outcomes[i]);
        raw_close(&raw[i]);
    }
    server_stop(&s);
}

TEST(an_idle_server_ends_at_once_and_closes_its_connections)
{
    struct server s;
    struct raw idle, silent;
    server_init(&s, NULL, two_cores);
    if (!server_start(&s) || !raw_connect(&idle, s.port, 1) || !raw_open(&silent, s.port))
        return;
    CU_ASSERT_EQUAL(raw_put(&idle, slice_of_string("key"), slice_of_string("value")), 0);
    uint64_t from_ms = process_clock_ms();
    CU_ASSERT_EQUAL(kill(s.process.pid, SIGTERM), 0);
    CU_ASSERT(raw_is_closed(&idle));
    CU_ASSERT(raw_is_closed(&silent));
    server_stop(&s);
    CU_ASSERT(process_clock_ms() - from_ms < 5000);
    char *log = server_log(&s);
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "event=stopping"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "event=stopped"));
    free(log);
    raw_close(&idle);
    raw_close(&silent);
}

/* Its answers cannot be delivered; the end does not wait for ever. */
TEST(a_client_that_does_not_read_does_not_hold_up_the_end)
{
    static const char *const hasty[] = {"--cores", "1", "--shutdown-timeout", "500ms", NULL};
    static uint8_t value[FRAME_VALUE_BYTES_MAX];
    struct server s;
    struct raw raw, other;
    server_init(&s, NULL, hasty);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0) || !raw_connect(&other, s.port, 0))
        return;
    CU_ASSERT_EQUAL(raw_put(&other, slice_of_string("key"), slice_of(value, sizeof value)), 0);
    for (unsigned i = 0; i < 64; i++) {
        struct raw_request get = {.op = FRAME_GET, .key = slice_of_string("key")};
        CU_ASSERT(raw_request(&raw, &get));
    }
    CU_ASSERT_EQUAL(raw_ping(&other), 0);
    uint64_t from_ms = process_clock_ms();
    CU_ASSERT_EQUAL(kill(s.process.pid, SIGTERM), 0);
    server_stop(&s);
    CU_ASSERT(process_clock_ms() - from_ms < 5000);
    raw_close(&raw);
    raw_close(&other);
}

TEST(starts_and_stops_in_a_row_change_nothing)
{
    struct server s;
    struct raw raw;
    char key[KEY_BYTES];
    server_init(&s, NULL, two_cores);
    for (unsigned round = 0; round < 5; round++) {
        if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
            return;
        for (unsigned i = 0; i < (round + 1) * 100; i++) {
            struct slice k = key_of(key, 0, i);
            int rc = i < round * 100 ? raw_get_expect(&raw, k, k) : raw_put(&raw, k, k);
            CU_ASSERT_EQUAL(rc, 0);
        }
        raw_close(&raw);
        server_stop(&s);
    }
}
