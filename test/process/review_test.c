/* review_test.c - clients that do what no library does: the server must not care. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

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
