/* links_test.c - the redis driver over real sockets of the loopback, with a peer that the test plays itself.
 * */
#include "bench/driver.h"
#include "test/test.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOTS = 4, POLLS_MAX = 2000 };

struct bed {
    int listener, peer;
    char port[8];
    struct driver *driver;
    int codes[SLOTS];
    uint32_t answers;
    char last_value[64];
};

static void note(void *owner, const struct driver_reply *reply)
{
    struct bed *b = owner;
    CU_ASSERT_FATAL(reply->slot < SLOTS);
    b->codes[reply->slot] = reply->code;
    b->answers++;
    snprintf(b->last_value, sizeof b->last_value, "%.*s", (int)reply->value.bytes,
             (const char *)reply->value.data);
}

static void listen_somewhere(struct bed *b)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(bind(b->listener, (struct sockaddr *)&address, bytes) == 0 &&
                    listen(b->listener, 8) == 0);
    CU_ASSERT_FATAL(getsockname(b->listener, (struct sockaddr *)&address, &bytes) == 0);
    snprintf(b->port, sizeof b->port, "%u", ntohs(address.sin_port));
}

static struct bed *bed_open(void)
{
    struct bed *b = calloc(1, sizeof *b);
    CU_ASSERT_FATAL(b != NULL);
    listen_somewhere(b);
    struct driver_options options = {.host = "127.0.0.1",
                                     .port = b->port,
                                     .connections = 1,
                                     .depth = SLOTS,
                                     .timeout_ms = 5000,
                                     .on_reply = note,
                                     .owner = b};
    char why[256] = "";
    CU_ASSERT_EQUAL_FATAL(driver_open(&driver_redis, &options, &b->driver, why, sizeof why), 0);
    b->peer = accept(b->listener, NULL, NULL);
    CU_ASSERT_FATAL(b->peer >= 0);
    return b;
}

static void bed_close(struct bed *b)
{
    driver_close(b->driver);
    close(b->listener);
    if (b->peer >= 0)
        close(b->peer);
    free(b);
}

static void poll_until(struct bed *b, uint32_t answers)
{
    for (int i = 0; i < POLLS_MAX && b->answers < answers; i++)
        CU_ASSERT_EQUAL_FATAL(driver_poll(b->driver, 5000000), 0);
    CU_ASSERT_EQUAL(b->answers, answers);
}

static void send_get(struct bed *b, uint32_t slot)
{
    struct driver_request q = {.op = OPERATION_GET, .key = slice_of_string("k")};
    CU_ASSERT_EQUAL_FATAL(driver_send(b->driver, slot, &q), 0);
}

static void expect_bytes(struct bed *b, const char *text)
{
    char got[512] = "";
    CU_ASSERT_EQUAL_FATAL(driver_poll(b->driver, 0), 0);
    ssize_t bytes = recv(b->peer, got, strlen(text), MSG_WAITALL);
    CU_ASSERT_EQUAL(bytes, (ssize_t)strlen(text));
    CU_ASSERT_STRING_EQUAL(got, text);
}

static void say(struct bed *b, const char *text, size_t bytes)
{
    CU_ASSERT_EQUAL_FATAL(send(b->peer, text, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
}

TEST(requests_are_pipelined_and_answered_in_their_order)
{
    struct bed *b = bed_open();
    struct driver_request put = {.op = OPERATION_PUT,
                                 .key = slice_of_string("key"),
                                 .value = slice_of_string("value")};
    CU_ASSERT_EQUAL(driver_send(b->driver, 2, &put), 0);
    send_get(b, 0);
    struct driver_request del = {.op = OPERATION_DELETE, .key = slice_of_string("key")};
    CU_ASSERT_EQUAL(driver_send(b->driver, 1, &del), 0);
    send_get(b, 3);
    expect_bytes(b, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
                    "*2\r\n$3\r\nDEL\r\n$3\r\nkey\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    const char *answers = "+OK\r\n$-1\r\n-ERR no\r\n$2\r\nab\r\n";
    say(b, answers, strlen(answers));
    poll_until(b, 4);
    CU_ASSERT_EQUAL(b->codes[2], 0);
    CU_ASSERT_EQUAL(b->codes[0], TORC_E_NOT_FOUND);
    CU_ASSERT_EQUAL(b->codes[1], DRIVER_E_REPLY);
    CU_ASSERT_EQUAL(b->codes[3], 0);
    CU_ASSERT_STRING_EQUAL(b->last_value, "ab");
    bed_close(b);
}

TEST(a_reply_that_comes_byte_by_byte_is_put_together)
{
    struct bed *b = bed_open();
    send_get(b, 0);
    CU_ASSERT_EQUAL(driver_poll(b->driver, 0), 0);
    const char *answer = "$5\r\nhello\r\n";
    for (size_t i = 0; i < strlen(answer); i++) {
        CU_ASSERT_EQUAL(b->answers, 0);
        say(b, answer + i, 1);
        CU_ASSERT_EQUAL(driver_poll(b->driver, 5000000), 0);
    }
    poll_until(b, 1);
    CU_ASSERT_STRING_EQUAL(b->last_value, "hello");
    bed_close(b);
}

TEST(a_lost_connection_answers_its_requests_and_is_made_again)
{
    struct bed *b = bed_open();
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        send_get(b, slot);
    CU_ASSERT_EQUAL(driver_poll(b->driver, 0), 0);
    close(b->peer);
    b->peer = -1;
    poll_until(b, SLOTS);
    for (int slot = 0; slot < SLOTS; slot++)
        CU_ASSERT_EQUAL(b->codes[slot], TORC_E_DISCONNECTED);
    send_get(b, 1); /* waits for the new connection */
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(driver_poll(b->driver, 5000000), 0);
    b->peer = accept(b->listener, NULL, NULL);
    CU_ASSERT_FATAL(b->peer >= 0);
    expect_bytes(b, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    say(b, "$1\r\nx\r\n", 7);
    poll_until(b, SLOTS + 1);
    CU_ASSERT_EQUAL(b->codes[1], 0);
    bed_close(b);
}

TEST(garbage_from_the_server_ends_the_connection)
{
    struct bed *b = bed_open();
    send_get(b, 3);
    CU_ASSERT_EQUAL(driver_poll(b->driver, 0), 0);
    say(b, "hello\r\n", 7);
    poll_until(b, 1);
    CU_ASSERT_EQUAL(b->codes[3], TORC_E_DISCONNECTED);
    bed_close(b);
}

TEST(an_answer_that_nobody_asked_for_ends_the_connection)
{
    struct bed *b = bed_open();
    send_get(b, 0);
    CU_ASSERT_EQUAL(driver_poll(b->driver, 0), 0);
    say(b, "$1\r\nx\r\n$1\r\ny\r\n", 14);
    poll_until(b, 1);
    CU_ASSERT_EQUAL(b->codes[0], 0);
    char byte;
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(driver_poll(b->driver, 1000000), 0);
    ssize_t bytes = recv(b->peer, &byte, 0, MSG_DONTWAIT);
    CU_ASSERT(bytes <= 0);
    bed_close(b);
}

TEST(a_server_that_is_not_there_is_told_in_a_sentence)
{
    struct bed b = {.peer = -1};
    listen_somewhere(&b);
    close(b.listener); /* the port was free a moment ago, and nothing listens on it now */
    struct driver_options options = {.host = "127.0.0.1",
                                     .port = b.port,
                                     .connections = 3,
                                     .depth = 1,
                                     .timeout_ms = 50,
                                     .on_reply = note,
                                     .owner = &b};
    char why[256] = "";
    CU_ASSERT_EQUAL(driver_open(&driver_redis, &options, &b.driver, why, sizeof why), TORC_E_CANNOT_CONNECT);
    CU_ASSERT(strstr(why, "3 of 3 connections could not be made") != NULL);
}
