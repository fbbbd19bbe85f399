/* connection_test.c - the client whose connections are lost, refused, renewed, and lead elsewhere. */
#include "test/client/client_rig.h"

#include "reactor/base/crc16.h"

#include <stdlib.h>
#include <sys/socket.h>

TEST(client_ends_sent_requests_as_disconnected_and_connects_again)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    start_get(client, "a", &o);
    start_get(client, "b", &o);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 2));
    fake_drop_all(fake);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 2));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_DISCONNECTED);
    CU_ASSERT_EQUAL(o.statuses[1], TORC_DISCONNECTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(torc_problem(client), fake->address));
    fake->is_automatic = true;
    start_get(client, "c", &o);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 3));
    CU_ASSERT_EQUAL(o.statuses[2], TORC_NOT_FOUND);
    CU_ASSERT_EQUAL(fake->hello_count, 2);
    finish(client, fake);
}

TEST(client_keeps_unsent_requests_over_a_reconnection)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    CU_ASSERT_TRUE_FATAL(until_ready(client, fake, 1));
    fake_drop_all(fake);
    fake_stop_listening(fake);
    until_all_lost(client, 1);
    struct outcome o = {0};
    start_get(client, "a", &o);
    for (int i = 0; i < 20; i++)
        torc_poll(client, 1);
    CU_ASSERT_EQUAL(o.count, 0);
    fake_listen_again(fake);
    fake->is_automatic = true;
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_NOT_FOUND);
    CU_ASSERT_EQUAL(fake->request_count, 1);
    finish(client, fake);
}

TEST(client_sends_anew_only_what_never_left_when_a_connection_breaks)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    CU_ASSERT_TRUE_FATAL(until_ready(client, fake, 1));
    enum { PUTS = 30 };
    struct outcome o = {0};
    char *value = calloc(1, TORC_VALUE_BYTES_MAX);
    for (int i = 0; i < PUTS; i++) { /* more than the sockets hold, and the server reads nothing */
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        torc_bytes bytes = torc_bytes_of(value, TORC_VALUE_BYTES_MAX);
        CU_ASSERT_EQUAL(torc_put_async(client, torc_string(key), bytes, 0, note, &o), 0);
    }
    free(value);
    for (int i = 0; i < 10; i++)
        torc_poll(client, 0);
    fake_drop_all(fake);
    fake->is_automatic = true;
    CU_ASSERT_TRUE(until(client, fake, &o.count, PUTS));
    uint32_t done = 0;
    for (int i = 0; i < PUTS; i++) {
        done += o.statuses[i] == 0;
        CU_ASSERT(o.statuses[i] == 0 || o.statuses[i] == TORC_DISCONNECTED);
    }
    CU_ASSERT(done > 0 && done < PUTS);
    CU_ASSERT_EQUAL(fake->request_count, done);
    CU_ASSERT_FALSE(fake->connections[1].is_broken);
    finish(client, fake);
}

/* As a server ends that has not read all that it was sent. */
static void reset_connection(struct fake *fake, uint32_t connection)
{
    struct linger at_once = {.l_onoff = 1};
    int rc = setsockopt(fake->connections[connection].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    CU_ASSERT_EQUAL(rc, 0);
    fake_drop(fake, connection);
}

TEST(client_takes_what_was_answered_before_a_send_fails)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome first = {0}, second = {0};
    torc_bytes value = torc_string("value");
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("a"), value, 0, note, &first), 0);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    fake_answer(fake, 0, 0, (struct slice){0});
    reset_connection(fake, 0);
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("b"), value, 0, note, &second), 0);
    torc_flush(client); /* fails, and calls nobody back */
    CU_ASSERT_EQUAL(first.count + second.count, 0);
    fake->is_automatic = true;
    CU_ASSERT_TRUE(until(client, fake, &second.count, 1));
    CU_ASSERT_EQUAL(first.statuses[0], 0);
    CU_ASSERT_EQUAL(second.statuses[0], 0);
    CU_ASSERT_EQUAL(fake->request_count, 2);
    finish(client, fake);
}

TEST(client_says_that_it_cannot_connect_and_never_sends_what_it_gave_up)
{
    struct fake *fake = fake_open(1);
    fake_stop_listening(fake);
    torc_client *client = open_with(fake, (struct torc_options){.connect_timeout_ms = 300});
    struct outcome o = {0};
    start_get(client, "given up", &o);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_CANNOT_CONNECT);
    CU_ASSERT_PTR_NOT_NULL(strstr(torc_problem(client), "refused"));
    CU_ASSERT_EQUAL(torc_connect(client), TORC_CANNOT_CONNECT);
    fake_listen_again(fake);
    start_get(client, "sent", &o);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    CU_ASSERT_TRUE(slice_equal(fake->requests[0].frame.key, slice_of_string("sent")));
    finish(client, fake);
}

TEST(client_gives_up_a_server_that_never_answers_the_hello)
{
    struct fake *fake = fake_open(1);
    fake->is_mute = true;
    torc_client *client = open_with(fake, (struct torc_options){.connect_timeout_ms = 30});
    struct outcome o = {0};
    start_get(client, "a", &o);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_CANNOT_CONNECT);
    CU_ASSERT_EQUAL(fake->request_count, 0);
    finish(client, fake);
}

TEST(client_passes_on_that_its_protocol_is_refused)
{
    struct fake *fake = fake_open(1);
    fake->hello_status = 6; /* PROTOCOL_VERSION */
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    start_get(client, "a", &o);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_PROTOCOL_VERSION);
    CU_ASSERT_EQUAL(torc_connect(client), TORC_PROTOCOL_VERSION);
    finish(client, fake);
}

TEST(client_follows_a_server_that_comes_back_with_other_cores)
{
    struct fake *fake = fake_open(3);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    CU_ASSERT_TRUE_FATAL(until_ready(client, fake, 3));
    const uint16_t counts[] = {1, 4, 2};
    uint32_t connects = 3;
    fake->is_automatic = true;
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t asked = fake->request_count;
        fake->core_count = counts[round];
        fake_stop_listening(fake);
        fake_drop_all(fake);
        until_all_lost(client, connects);
        char key[32];
        for (int i = 0; i < 20; i++) { /* filed by the old cores, to be filed anew */
            snprintf(key, sizeof key, "key-%d", i);
            start_get(client, key, &o);
        }
        fake_listen_again(fake);
        CU_ASSERT_TRUE(until(client, fake, &o.count, 20 * (round + 1)));
        connects += counts[round];
        CU_ASSERT_TRUE(until_ready(client, fake, connects));
        CU_ASSERT_EQUAL(torc_core_count(client), counts[round]);
        CU_ASSERT_EQUAL(fake->request_count - asked, 20);
        for (; asked < fake->request_count; asked++) {
            const struct fake_request *r = &fake->requests[asked];
            CU_ASSERT_EQUAL(fake->connections[r->connection].core,
                            frame_core_of_slot(key_slot(r->frame.key), fake->vnode_bits, counts[round]));
        }
    }
    for (int i = 0; i < o.count; i++)
        CU_ASSERT_EQUAL(o.statuses[i], TORC_NOT_FOUND);
    finish(client, fake);
}

TEST(client_pings_core_0_when_the_core_that_was_asked_for_is_gone)
{
    struct fake *fake = fake_open(3);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    CU_ASSERT_TRUE_FATAL(until_ready(client, fake, 3));
    fake->is_automatic = true;
    fake->core_count = 1;
    fake_stop_listening(fake);
    fake_drop_all(fake);
    until_all_lost(client, 3);
    CU_ASSERT_EQUAL(torc_ping_async(client, 2, torc_string("there?"), note, &o), 0);
    fake_listen_again(fake);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], 0);
    CU_ASSERT_STRING_EQUAL(o.values[0], "there?");
    CU_ASSERT_EQUAL(torc_core_count(client), 1);
    finish(client, fake);
}

static void pause_ms(uint32_t ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000L};
    nanosleep(&pause, NULL);
}

/* Of two connections to a core one is lost, and what waits for it goes over when the first has waited too
 * long. */
TEST(client_must_be_polled_when_requests_have_changed_their_connection)
{
    struct fake *fake = fake_open(1);
    torc_client *client =
        open_with(fake, (struct torc_options){.connections_per_core = 2, .connect_timeout_ms = 300});
    CU_ASSERT_TRUE_FATAL(until_ready(client, fake, 2));
    struct outcome first = {0}, later = {0};
    fake->is_mute = true;
    fake_drop(fake, 1);
    until_all_lost(client, 1);
    start_get(client, "a", &first); /* they take turns */
    start_get(client, "b", &first);
    torc_poll(client, 0);
    pause_ms(200);
    for (int i = 0; i < 4; i++)
        start_get(client, "c", &later);
    torc_poll(client, 0);
    while (first.count == 0) {
        pause_ms(1);
        torc_poll(client, 0);
    }
    CU_ASSERT_EQUAL(first.statuses[0], TORC_CANNOT_CONNECT);
    CU_ASSERT_EQUAL(torc_wait_ms(client), 0);
    torc_poll(client, 0);
    CU_ASSERT(torc_wait_ms(client) > 0);
    finish(client, fake);
}
