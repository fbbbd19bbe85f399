/* client_test.c - the client against a scripted server: order, time, lies, limits. */
#include "test/client/client_rig.h"

#include "reactor/base/crc16.h"

#include <stdlib.h>

TEST(client_gets_what_it_put)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    fake->is_automatic = true;
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("k"), torc_string("value"), 0, note, &o), 0);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    start_get(client, "k", &o);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 2));
    CU_ASSERT_EQUAL(torc_exists_async(client, torc_string("k"), note, &o), 0);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 3));
    CU_ASSERT_EQUAL(torc_delete_async(client, torc_string("k"), note, &o), 0);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 4));
    start_get(client, "k", &o);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 5));
    CU_ASSERT_EQUAL(o.statuses[0], 0);
    CU_ASSERT_EQUAL(o.statuses[1], 0);
    CU_ASSERT_STRING_EQUAL(o.values[1], "value");
    CU_ASSERT_EQUAL(o.statuses[2], 0);
    CU_ASSERT_EQUAL(o.statuses[3], 0);
    CU_ASSERT_EQUAL(o.statuses[4], TORC_NOT_FOUND);
    for (uint32_t i = 0; i < fake->request_count; i++)
        CU_ASSERT_TRUE(fake->requests[i].is_intact);
    finish(client, fake);
}

TEST(client_pairs_answers_that_come_out_of_order)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome first = {0}, second = {0}, third = {0};
    start_get(client, "a", &first);
    start_get(client, "b", &second);
    start_get(client, "c", &third);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 3));
    fake_answer(fake, 2, 0, slice_of_string("of c"));
    fake_answer(fake, 0, 0, slice_of_string("of a"));
    CU_ASSERT_TRUE(until(client, fake, &first.count, 1));
    CU_ASSERT_EQUAL(third.count, 1);
    CU_ASSERT_EQUAL(second.count, 0);
    fake_answer(fake, 1, 0, slice_of_string("of b"));
    CU_ASSERT_TRUE(until(client, fake, &second.count, 1));
    CU_ASSERT_STRING_EQUAL(first.values[0], "of a");
    CU_ASSERT_STRING_EQUAL(second.values[0], "of b");
    CU_ASSERT_STRING_EQUAL(third.values[0], "of c");
    finish(client, fake);
}

TEST(client_takes_an_answer_that_comes_byte_by_byte)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    start_get(client, "a", &o);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    uint8_t bytes[FRAME_HEADER_BYTES + 5];
    struct frame_parts answer = {.value = slice_of_string("12345")};
    size_t count = fake_encode(fake, 0, &answer, bytes);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(o.count, 0);
        fake_send(fake, 0, bytes + i, 1);
        torc_poll(client, 2);
    }
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_STRING_EQUAL(o.values[0], "12345");
    finish(client, fake);
}

TEST(client_carries_values_of_the_largest_size)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    char *value = malloc(TORC_VALUE_BYTES_MAX + 1);
    memset(value, 'x', TORC_VALUE_BYTES_MAX + 1);
    fake->is_automatic = true;
    torc_bytes key = torc_string("large");
    CU_ASSERT_EQUAL(torc_put_async(client, key, torc_bytes_of(value, TORC_VALUE_BYTES_MAX), 0, note, &o), 0);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    for (uint32_t i = 0; i < 3; i++) {
        start_get(client, "large", &o);
        CU_ASSERT_TRUE(until(client, fake, &o.count, 2 + i));
        CU_ASSERT_EQUAL(o.statuses[i], 0);
    }
    CU_ASSERT_EQUAL(torc_put_async(client, key, torc_bytes_of(value, TORC_VALUE_BYTES_MAX + 1), 0, note, &o),
                    TORC_VALUE_TOO_LARGE);
    CU_ASSERT_EQUAL(torc_in_flight(client), 0);
    free(value);
    finish(client, fake);
}

TEST(client_refuses_what_no_server_takes_before_it_is_sent)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    char key[TORC_KEY_BYTES_MAX + 1];
    memset(key, 'k', sizeof key);
    torc_bytes long_key = torc_bytes_of(key, sizeof key);
    torc_bytes none = torc_bytes_of(NULL, 0);
    CU_ASSERT_EQUAL(torc_get_async(client, none, 0, NULL, NULL), TORC_KEY_EMPTY);
    CU_ASSERT_EQUAL(torc_put_async(client, none, none, 0, NULL, NULL), TORC_KEY_EMPTY);
    CU_ASSERT_EQUAL(torc_delete_async(client, none, NULL, NULL), TORC_KEY_EMPTY);
    CU_ASSERT_EQUAL(torc_exists_async(client, none, NULL, NULL), TORC_KEY_EMPTY);
    CU_ASSERT_EQUAL(torc_get_async(client, long_key, 0, NULL, NULL), TORC_KEY_TOO_LONG);
    CU_ASSERT_EQUAL(torc_put_async(client, long_key, none, 0, NULL, NULL), TORC_KEY_TOO_LONG);
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 64, NULL, NULL), TORC_MALFORMED);
    CU_ASSERT_EQUAL(torc_ping_async(client, 7, none, NULL, NULL), TORC_MALFORMED);
    struct torc_page page = {.limit = TORC_SCAN_LIMIT_MAX + 1};
    CU_ASSERT_EQUAL(torc_scan_async(client, &page, NULL, NULL), TORC_MALFORMED);
    CU_ASSERT_EQUAL(torc_get_async(client, torc_bytes_of(key, sizeof key - 1), 0, NULL, NULL), 0);
    CU_ASSERT_EQUAL(torc_in_flight(client), 1);
    finish(client, fake);
}

TEST(client_refuses_options_out_of_range)
{
    torc_client *client;
    struct torc_options pipeline = {.pipeline_max = 2 << 20};
    struct torc_options port = {.address = "localhost:70000"};
    struct torc_options empty = {.address = ":7070"};
    struct torc_options backoff = {.reconnect_min_ms = 100, .reconnect_max_ms = 10};
    CU_ASSERT_EQUAL(torc_open(&pipeline, &client), TORC_CONFIGURATION);
    CU_ASSERT_PTR_NULL(client);
    CU_ASSERT_EQUAL(torc_open(&port, &client), TORC_CONFIGURATION);
    CU_ASSERT_EQUAL(torc_open(&empty, &client), TORC_CONFIGURATION);
    CU_ASSERT_EQUAL(torc_open(&backoff, &client), TORC_CONFIGURATION);
}

TEST(client_gives_up_a_request_after_its_timeout_and_drops_the_late_answer)
{
    struct fake *fake = fake_open(1);
    torc_client *client =
        open_with(fake, (struct torc_options){.request_timeout_ms = 200, .pipeline_max = 1});
    struct outcome o = {0};
    start_get(client, "a", &o);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_TIMEOUT);
    start_get(client, "b", &o); /* takes the same slot */
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 2));
    fake_answer(fake, 0, 0, slice_of_string("late"));
    fake_answer(fake, 1, 0, slice_of_string("in time"));
    CU_ASSERT_TRUE(until(client, fake, &o.count, 2));
    CU_ASSERT_EQUAL(o.statuses[1], 0);
    CU_ASSERT_STRING_EQUAL(o.values[1], "in time");
    struct torc_counters counters;
    torc_count(client, &counters);
    CU_ASSERT_EQUAL(counters.timeouts, 1);
    CU_ASSERT_EQUAL(counters.late_responses, 1);
    CU_ASSERT_EQUAL(counters.disconnects, 0);
    finish(client, fake);
}

TEST(client_time_begins_at_the_poll_not_at_the_start)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_with(fake, (struct torc_options){.request_timeout_ms = 300});
    CU_ASSERT_TRUE(until_ready(client, fake, 1));
    struct outcome o = {0};
    fake->is_automatic = true;
    start_get(client, "a", &o);
    struct timespec pause = {.tv_nsec = 350000000};
    nanosleep(&pause, NULL); /* a caller that does something else for longer than the timeout */
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_NOT_FOUND);
    finish(client, fake);
}

TEST(client_takes_an_answer_that_came_while_its_caller_was_away)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_with(fake, (struct torc_options){.request_timeout_ms = 300});
    struct outcome o = {0};
    start_get(client, "a", &o);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    fake_answer(fake, 0, 0, slice_of_string("here"));
    struct timespec pause = {.tv_nsec = 350000000};
    nanosleep(&pause, NULL);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], 0);
    finish(client, fake);
}

TEST(client_finds_out_a_value_with_a_wrong_check)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    start_get(client, "a", &o);
    start_get(client, "b", &o);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 2));
    uint8_t bytes[FRAME_HEADER_BYTES + 5];
    struct frame_parts answer = {.value = slice_of_string("value")};
    size_t count = fake_encode(fake, 0, &answer, bytes);
    bytes[count - 1] ^= 1;
    fake_send(fake, 0, bytes, count);
    CU_ASSERT_TRUE(until(client, fake, &o.count, 2));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_CHECKSUM);
    CU_ASSERT_EQUAL(o.statuses[1], TORC_DISCONNECTED);
    finish(client, fake);
}

TEST(client_finds_out_the_value_of_another_key)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    start_get(client, "mine", &o);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    uint8_t bytes[FRAME_HEADER_BYTES + 5];
    struct frame_parts answer = {.op = FRAME_GET, .is_response = true, .value = slice_of_string("value")};
    answer.request_id = fake->requests[0].frame.request_id;
    answer.record_checksum = checksum_record(slice_of_string("other"), answer.value);
    fake_send(fake, 0, bytes, frame_encode(bytes, &answer));
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_CHECKSUM);
    finish(client, fake);
}

TEST(client_passes_on_the_words_and_the_status_of_the_server)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("k"), torc_string("v"), 5000, note, &o), 0);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    struct frame_extensions extensions;
    CU_ASSERT_EQUAL(frame_extensions_parse(fake->requests[0].frame.extensions, &extensions), 0);
    CU_ASSERT_EQUAL(extensions.expiry_ms, 5000);
    fake_answer(fake, 0, 15, slice_of_string("no room on /data"));
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], TORC_DISK_FULL);
    CU_ASSERT_STRING_EQUAL(o.values[0], "no room on /data");
    finish(client, fake);
}

TEST(client_hands_out_the_version_when_asked)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), TORC_WANT_VERSION, note, &o), 0);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    CU_ASSERT_EQUAL(fake->requests[0].frame.flags, FRAME_WANT_VERSION);
    uint8_t extension[FRAME_EXTENSION_BYTES_MAX];
    struct frame_extensions version = {.has_version = true, .version_clock = 77, .version_node = 9};
    struct frame_parts answer = {.value = slice_of_string("v")};
    answer.extensions = slice_of(extension, frame_extensions_encode(extension, &version));
    uint8_t bytes[FRAME_HEADER_BYTES + 1 + FRAME_EXTENSION_BYTES_MAX];
    fake_send(fake, 0, bytes, fake_encode(fake, 0, &answer, bytes));
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], 0);
    CU_ASSERT_EQUAL(o.version_clock, 77);
    CU_ASSERT_EQUAL(o.version_node, 9);
    finish(client, fake);
}

TEST(client_takes_a_put_as_done_whatever_else_the_server_says_of_it)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("k"), torc_string("v"), 0, note, &o), 0);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    static const uint8_t of_a_later_version[] = {9, 0};
    struct frame_parts answer = {.extensions = slice_of(of_a_later_version, 2)};
    uint8_t bytes[FRAME_HEADER_BYTES + 2];
    fake_send(fake, 0, bytes, fake_encode(fake, 0, &answer, bytes));
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    CU_ASSERT_EQUAL(o.statuses[0], 0);
    finish(client, fake);
}

TEST(client_sends_each_key_to_the_core_that_owns_it)
{
    struct fake *fake = fake_open(2);
    torc_client *client = open_with(fake, (struct torc_options){.connections_per_core = 2});
    struct outcome o = {0};
    fake->is_automatic = true;
    char key[32];
    for (int i = 0; i < 50; i++) { /* before the cores are known: filed when they are */
        snprintf(key, sizeof key, "early-%d", i);
        start_get(client, key, &o);
    }
    CU_ASSERT_TRUE(until(client, fake, &o.count, 50));
    CU_ASSERT_TRUE(until_ready(client, fake, 4));
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "late-%d", i);
        start_get(client, key, &o);
    }
    CU_ASSERT_TRUE(until(client, fake, &o.count, 100));
    CU_ASSERT_EQUAL(torc_core_count(client), 2);
    uint32_t of_connection[FAKE_CONNECTIONS_MAX] = {0};
    for (uint32_t i = 0; i < fake->request_count; i++) {
        const struct fake_request *r = &fake->requests[i];
        uint16_t core = frame_core_of_slot(key_slot(r->frame.key), fake->vnode_bits, 2);
        CU_ASSERT_EQUAL(fake->connections[r->connection].core, core);
        CU_ASSERT_EQUAL(torc_core_of_key(client, torc_bytes_of(r->frame.key.data, r->frame.key.bytes)), core);
        of_connection[r->connection]++;
    }
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT(of_connection[i] > 0);
    CU_ASSERT_EQUAL(fake->connection_count, 4);
    finish(client, fake);
}

TEST(client_never_has_more_in_flight_than_its_pipeline_holds)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_with(fake, (struct torc_options){.pipeline_max = 3});
    struct outcome o = {0};
    for (int i = 0; i < 3; i++)
        start_get(client, "k", &o);
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 0, note, &o), TORC_OVERLOADED);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 3));
    fake_answer(fake, 1, 1, (struct slice){0});
    CU_ASSERT_TRUE(until(client, fake, &o.count, 1));
    start_get(client, "k", &o);
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 0, note, &o), TORC_OVERLOADED);
    CU_ASSERT_EQUAL(torc_in_flight(client), 3);
    finish(client, fake);
}

TEST(client_bounds_the_output_that_gathers)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_with(fake, (struct torc_options){.unsent_bytes_max = 2 << 20});
    char *value = calloc(1, TORC_VALUE_BYTES_MAX);
    torc_bytes bytes = torc_bytes_of(value, TORC_VALUE_BYTES_MAX);
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("k"), bytes, 0, NULL, NULL), 0);
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("k"), bytes, 0, NULL, NULL), TORC_OVERLOADED);
    free(value);
    finish(client, fake);
}

/* Puts until there is no room. Returns: how many were started. */
static uint32_t put_until_full(torc_client *client, torc_bytes value, struct outcome *o)
{
    uint32_t count = 0;
    while (count < OUTCOMES_MAX && torc_put_async(client, torc_string("k"), value, 0, note, o) == 0)
        count++;
    torc_flush(client);
    return count;
}

/* Nobody waits for them any more, and they are in the way of what comes. */
TEST(client_sends_what_is_late_and_then_has_room_again)
{
    enum { TRIES_MAX = 1000 };
    struct fake *fake = fake_open(1);
    struct outcome late = {0}, timely = {0};
    torc_client *client =
        open_with(fake, (struct torc_options){.unsent_bytes_max = 2 << 20, .request_timeout_ms = 300});
    char *value = calloc(1, TORC_VALUE_BYTES_MAX);
    torc_bytes bytes = torc_bytes_of(value, TORC_VALUE_BYTES_MAX);
    CU_ASSERT_TRUE(until_ready(client, fake, 1));
    uint32_t started = 0, more;
    while ((more = put_until_full(client, bytes, &late)) > 0) /* the sockets take some of them */
        started += more;
    while (torc_in_flight(client) > 0)
        CU_ASSERT_FATAL(torc_poll(client, -1) >= 0);
    CU_ASSERT_EQUAL((uint32_t)late.count, started);
    CU_ASSERT_EQUAL(late.statuses[0], TORC_TIMEOUT);
    int rc = TORC_OVERLOADED;
    for (int i = 0; rc == TORC_OVERLOADED && i < TRIES_MAX; i++) { /* as torc.h says */
        fake_pump(fake);
        CU_ASSERT_EQUAL(torc_poll(client, -1), 0);
        rc = torc_put_async(client, torc_string("k"), bytes, 0, note, &timely);
    }
    CU_ASSERT_EQUAL(rc, 0);
    free(value);
    finish(client, fake);
}

struct chain {
    torc_client *client;
    int left;
    int count;
};

static void go_on(void *user, const struct torc_result *result)
{
    struct chain *chain = user;
    chain->count++;
    CU_ASSERT_EQUAL(result->status, TORC_NOT_FOUND);
    if (chain->left-- > 0)
        CU_ASSERT_EQUAL(torc_get_async(chain->client, torc_string("k"), 0, go_on, chain), 0);
}

TEST(client_callbacks_may_start_requests_in_a_full_pipeline)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_with(fake, (struct torc_options){.pipeline_max = 2});
    struct chain chain = {.client = client, .left = 100};
    fake->is_automatic = true;
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 0, go_on, &chain), 0);
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 0, go_on, &chain), 0);
    CU_ASSERT_TRUE(until(client, fake, &chain.count, 102));
    finish(client, fake);
}

static void take_all_room(void *user, const struct torc_result *result)
{
    struct chain *chain = user;
    chain->count++;
    if (result->status == TORC_CANNOT_CONNECT)
        CU_ASSERT_EQUAL(torc_get_async(chain->client, torc_string("k"), 0, take_all_room, chain), 0);
}

TEST(client_calls_that_wait_end_though_callbacks_take_all_room)
{
    struct fake *fake = fake_open(1);
    struct torc_options options = {.pipeline_max = 1, .connect_timeout_ms = 5, .request_timeout_ms = 200};
    torc_client *client = open_with(fake, options);
    struct chain chain = {.client = client};
    fake_stop_listening(fake);
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 0, take_all_room, &chain), 0);
    CU_ASSERT_EQUAL(torc_ping(client), TORC_OVERLOADED);
    CU_ASSERT_STRING_EQUAL(torc_message(client), torc_error_sentence(TORC_OVERLOADED));
    CU_ASSERT(chain.count > 0);
    finish(client, fake);
}

static void ask_again(void *user, const struct torc_result *result)
{
    struct chain *chain = user;
    chain->count++;
    if (result->status == TORC_DISCONNECTED)
        CU_ASSERT_EQUAL(torc_get_async(chain->client, torc_string("k"), 0, ask_again, chain), 0);
}

TEST(client_callbacks_may_ask_again_when_the_connection_is_lost)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_with(fake, (struct torc_options){.pipeline_max = 8});
    struct chain chain = {.client = client};
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 0, ask_again, &chain), 0);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 8));
    fake_drop_all(fake);
    fake->is_automatic = true;
    CU_ASSERT_TRUE(until(client, fake, &chain.count, 16));
    CU_ASSERT_EQUAL(torc_in_flight(client), 0);
    finish(client, fake);
}

static void try_after_timeout(void *user, const struct torc_result *result)
{
    struct chain *chain = user;
    chain->count++;
    if (result->status == TORC_TIMEOUT && chain->left-- > 0)
        CU_ASSERT_EQUAL(torc_get_async(chain->client, torc_string("k"), 0, try_after_timeout, chain), 0);
}

TEST(client_gives_a_request_of_a_callback_its_own_time)
{
    struct fake *fake = fake_open(1);
    torc_client *client =
        open_with(fake, (struct torc_options){.request_timeout_ms = 200, .pipeline_max = 1});
    struct chain chain = {.client = client, .left = 100};
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string("k"), 0, try_after_timeout, &chain), 0);
    CU_ASSERT_TRUE(until(client, fake, &chain.count, 1));
    CU_ASSERT_TRUE(until(client, fake, &fake->request_count, 2));
    CU_ASSERT_EQUAL(chain.count, 1);
    fake_answer(fake, 1, 0, slice_of_string("v"));
    CU_ASSERT_TRUE(until(client, fake, &chain.count, 2));
    CU_ASSERT_EQUAL(chain.left, 99);
    finish(client, fake);
}

TEST(client_close_tells_what_was_sent_from_what_was_not)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    struct outcome o = {0};
    torc_bytes value = torc_string("value");
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("sent"), value, 0, note, &o), 0);
    CU_ASSERT_TRUE_FATAL(until(client, fake, &fake->request_count, 1));
    CU_ASSERT_EQUAL(torc_put_async(client, torc_string("not sent"), value, 0, note, &o), 0);
    torc_close(client);
    CU_ASSERT_EQUAL(o.count, 2);
    CU_ASSERT_EQUAL(o.statuses[0], TORC_DISCONNECTED); /* it may have happened */
    CU_ASSERT_EQUAL(o.statuses[1], TORC_CANCELLED);
    fake_close(fake);
}

TEST(client_says_when_it_must_be_polled)
{
    struct fake *fake = fake_open(1);
    torc_client *client = open_to(fake);
    CU_ASSERT_TRUE_FATAL(until_ready(client, fake, 1));
    CU_ASSERT_EQUAL(torc_wait_ms(client), -1);
    start_get(client, "a", &(struct outcome){0});
    CU_ASSERT_EQUAL(torc_wait_ms(client), 0);
    torc_poll(client, 0);
    CU_ASSERT(torc_wait_ms(client) > 1000);
    CU_ASSERT(torc_wait_ms(client) <= 5000);
    CU_ASSERT(torc_fd(client) >= 0);
    torc_close(client);
    fake_close(fake);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Sound answers with some bits turned, and plain noise. */
static void send_noise(struct fake *fake, uint32_t *state)
{
    uint8_t bytes[400];
    uint32_t connection = fake->connection_count - 1;
    if (fake->request_count == 0 || next_random(state) % 3 == 0) {
        size_t count = 1 + next_random(state) % sizeof bytes;
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)next_random(state);
        if (next_random(state) % 2)
            store_u32le(bytes, next_random(state) % 500);
        fake_send(fake, connection, bytes, count);
        return;
    }
    struct frame_parts answer = {.value = slice_of_string("some value of a key"),
                                 .flags = next_random(state) % 4 == 0};
    size_t count = fake_encode(fake, fake->request_count - 1, &answer, bytes);
    for (uint32_t flips = next_random(state) % 4; flips > 0; flips--)
        bytes[next_random(state) % count] ^= (uint8_t)(1u << next_random(state) % 8);
    fake_send(fake, connection, bytes, count);
}

TEST(client_survives_whatever_a_server_sends)
{
    struct fake *fake = fake_open(1);
    torc_client *client = NULL;
    struct torc_options options = {.address = fake->address, .reconnect_min_ms = 1, .reconnect_max_ms = 1};
    options.request_timeout_ms = 50;
    CU_ASSERT_EQUAL_FATAL(torc_open(&options, &client), 0);
    uint32_t state = 12345;
    uint32_t started = 0;
    struct torc_counters counters = {0};
    for (int i = 0; i < 20000 && fake->connection_count < FAKE_CONNECTIONS_MAX - 1; i++) {
        struct torc_page page = {.limit = 5};
        int rc = i % 2 ? torc_get_async(client, torc_string("key"), TORC_WANT_VERSION, NULL, NULL)
                       : torc_scan_async(client, &page, NULL, NULL);
        started += rc == 0;
        fake_pump(fake);
        if (fake->connection_count > 0 && next_random(&state) % 4 == 0)
            send_noise(fake, &state);
        torc_poll(client, next_random(&state) % 8 == 0);
        if (fake->request_count > FAKE_REQUESTS_MAX - 100)
            break;
    }
    torc_count(client, &counters);
    CU_ASSERT_EQUAL(counters.completions + torc_in_flight(client), started);
    CU_ASSERT(counters.disconnects > 5);
    torc_close(client);
    fake_close(fake);
}
