/* hello_test.c - a connection comes to the core it asks for, with all the bytes that were sent meanwhile. */
#include "reactor/base/crc16.h"
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const two_cores[] = {"--cores", "2", "--segment-bytes", "4M", NULL};

enum { CONNECTIONS = 32, KEYS = 350, VALUE_BYTES = 3000 };

TEST(hello_is_answered_by_the_core_that_was_asked_for)
{
    struct server s;
    struct raw raw[CONNECTIONS];
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        CU_ASSERT(raw_connect(&raw[i], s.port, (uint16_t)(i % 2)));
        CU_ASSERT_EQUAL(raw[i].hello.core, i % 2);
        CU_ASSERT_EQUAL(raw[i].hello.core_count, 2);
        CU_ASSERT_EQUAL(raw[i].hello.vnode_bits, 10);
        CU_ASSERT_EQUAL(raw[i].hello.version_min, FRAME_PROTOCOL_VERSION);
        CU_ASSERT_EQUAL(raw[i].hello.version_max, FRAME_PROTOCOL_VERSION);
    }
    CU_ASSERT_EQUAL(server_counter(&s, "server", "connections"), CONNECTIONS + 1);
    CU_ASSERT(server_counter(&s, "server", "connections_handed_over") > 0);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        CU_ASSERT_EQUAL(raw_ping(&raw[i]), 0);
        raw_close(&raw[i]);
    }
    server_stop(&s);
}

TEST(hello_for_a_core_that_is_none_is_served_where_it_came)
{
    struct server s;
    struct raw raw;
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    static const uint16_t cores[] = {2, 255, FRAME_CORE_ANY};
    for (size_t i = 0; i < ARRAY_COUNT(cores); i++) {
        CU_ASSERT(raw_connect(&raw, s.port, cores[i]));
        CU_ASSERT(raw.hello.core < 2);
        CU_ASSERT_EQUAL(raw_ping(&raw), 0);
        raw_close(&raw);
    }
    server_stop(&s);
}

TEST(no_request_crosses_cores_when_the_client_goes_to_the_owner)
{
    struct server s;
    struct raw raw[2];
    char key[32];
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    bool is_up = raw_connect(&raw[0], s.port, 0) && raw_connect(&raw[1], s.port, 1);
    for (unsigned i = 0; is_up && i < KEYS; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        struct slice k = slice_of_string(key);
        uint16_t core = frame_core_of_slot(key_slot(k), raw[0].hello.vnode_bits, 2);
        CU_ASSERT_EQUAL(raw_put(&raw[core], k, k), 0);
        CU_ASSERT_EQUAL(raw_get_expect(&raw[core], k, k), 0);
    }
    CU_ASSERT_EQUAL(server_counter(&s, "operations", "crossed_cores"), 0);
    raw_close(&raw[0]);
    raw_close(&raw[1]);
    server_stop(&s);
}

/* A hello and KEYS puts in one piece. Returns: the bytes, freed by the caller. */
static uint8_t *hello_and_puts(struct raw *raw, uint16_t core, size_t *bytes)
{
    static uint8_t value[VALUE_BYTES];
    uint8_t *all = malloc(64 + (size_t)KEYS * (FRAME_HEADER_BYTES + 32 + VALUE_BYTES));
    ASSERT(all);
    *bytes = raw_encode_hello(raw, core, all);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        snprintf(key, sizeof key, "early-%u-%u", core, i);
        memset(value, (int)i, sizeof value);
        /* Small ones first: the handover meets frames that are whole, cut, and not there yet. */
        struct raw_request request = {
            .op = FRAME_PUT,
            .key = slice_of_string(key),
            .value = slice_of(value, i < 50 ? i : VALUE_BYTES),
        };
        *bytes += raw_encode(raw, &request, all + *bytes);
    }
    return all;
}

static void send_early(const struct server *s, uint16_t core, size_t first_piece)
{
    struct raw raw;
    struct frame answer;
    size_t bytes;
    if (!raw_open(&raw, s->port))
        return;
    uint8_t *all = hello_and_puts(&raw, core, &bytes);
    size_t piece = first_piece && first_piece < bytes ? first_piece : bytes;
    CU_ASSERT(raw_send(&raw, all, piece) && raw_send(&raw, all + piece, bytes - piece));
    CU_ASSERT_EQUAL(raw_receive(&raw, &answer), 0);
    CU_ASSERT_EQUAL(answer.op, FRAME_HELLO);
    CU_ASSERT_EQUAL(frame_hello_parse(answer.value, &raw.hello), 0);
    CU_ASSERT_EQUAL(raw.hello.core, core);
    unsigned done = 0;
    int rc = 0;
    for (; done < KEYS && rc == 0; done += rc == 0) {
        rc = raw_receive(&raw, &answer);
        CU_ASSERT(rc == 0 && answer.op == FRAME_PUT && answer.flags == 0);
    }
    CU_ASSERT_EQUAL(done, KEYS);
    for (unsigned i = 0; i < KEYS && rc == 0; i += 7) {
        static uint8_t value[VALUE_BYTES];
        char key[32];
        snprintf(key, sizeof key, "early-%u-%u", core, i);
        memset(value, (int)i, sizeof value);
        struct slice expected = slice_of(value, i < 50 ? i : VALUE_BYTES);
        CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string(key), expected), 0);
    }
    free(all);
    raw_close(&raw);
}

TEST(bytes_behind_a_hello_go_along_to_the_other_core)
{
    struct server s;
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    /* The hello is 40 bytes: alone, cut, with some of the first frame, with much. */
    static const size_t pieces[] = {0, 1, 39, 40, 41, 64, 90, 1000, 20000, 100000, 900000};
    for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        send_early(&s, 0, pieces[i]);
        send_early(&s, 1, pieces[i]);
    }
    server_stop(&s);
}

/* More than a connection on its way may carry: it is served whole or closed, never with a hole in its
 * stream. */
TEST(too_many_bytes_behind_a_hello_close_the_connection_or_are_all_served)
{
    enum { PUTS = 4, ROUNDS = 6 };
    static uint8_t value[FRAME_VALUE_BYTES_MAX];
    struct server s;
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct raw raw;
        struct frame answer;
        uint8_t hello[64];
        unsigned answered = 0;
        if (!raw_open(&raw, s.port))
            break;
        bool is_open = raw_send(&raw, hello, raw_encode_hello(&raw, (uint16_t)(round % 2), hello));
        for (unsigned i = 0; i < PUTS && is_open; i++) {
            struct raw_request put = {.op = FRAME_PUT, .key = slice_of_string("large")};
            put.value = slice_of(value, sizeof value);
            is_open = raw_request(&raw, &put);
        }
        int rc;
        while (answered < PUTS + 1 && (rc = raw_receive(&raw, &answer)) == 0) {
            CU_ASSERT_EQUAL(answer.flags, 0);
            answered++;
        }
        CU_ASSERT(answered == PUTS + 1 || rc == TORC_E_CLOSED);
        raw_close(&raw);
    }
    struct raw raw;
    CU_ASSERT(raw_connect(&raw, s.port, 1));
    CU_ASSERT_EQUAL(raw_ping(&raw), 0);
    raw_close(&raw);
    server_stop(&s);
}
