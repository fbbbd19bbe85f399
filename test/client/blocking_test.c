/* blocking_test.c - the calls that wait, against a server in a thread. */
#include "test/client/fake_server.h"
#include "test/test.h"

#include "client/torc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct pair {
    struct fake *fake;
    torc_client *client;
};

static struct pair open_pair(uint16_t core_count, uint32_t pipeline_max)
{
    struct pair pair = {.fake = fake_open(core_count)};
    fake_run(pair.fake);
    struct torc_options options = {.address = pair.fake->address, .pipeline_max = pipeline_max};
    CU_ASSERT_EQUAL_FATAL(torc_open(&options, &pair.client), 0);
    return pair;
}

static void close_pair(struct pair *pair)
{
    torc_close(pair->client);
    fake_stop(pair->fake);
    fake_close(pair->fake);
}

TEST(blocking_calls_do_one_thing_each)
{
    struct pair pair = open_pair(1, 0);
    torc_bytes key = torc_string("key");
    void *value;
    size_t bytes;
    char buffer[4];
    char *json;
    CU_ASSERT_EQUAL(torc_connect(pair.client), 0);
    CU_ASSERT_EQUAL(torc_ping(pair.client), 0);
    CU_ASSERT_EQUAL(torc_exists(pair.client, key), TORC_NOT_FOUND);
    CU_ASSERT_EQUAL(torc_get(pair.client, key, &value, &bytes), TORC_NOT_FOUND);
    CU_ASSERT_PTR_NULL(value);
    CU_ASSERT_STRING_EQUAL(torc_message(pair.client), torc_error_sentence(TORC_NOT_FOUND));
    CU_ASSERT_EQUAL(torc_put(pair.client, key, torc_string("12345"), 0), 0);
    CU_ASSERT_STRING_EQUAL(torc_message(pair.client), "");
    CU_ASSERT_EQUAL(torc_exists(pair.client, key), 0);
    CU_ASSERT_EQUAL(torc_get(pair.client, key, &value, &bytes), 0);
    CU_ASSERT_EQUAL(bytes, 5);
    CU_ASSERT_STRING_EQUAL((char *)value, "12345");
    torc_free(value);
    CU_ASSERT_EQUAL(torc_get_into(pair.client, key, buffer, sizeof buffer, &bytes), TORC_VALUE_TOO_LARGE);
    CU_ASSERT_EQUAL(bytes, 5);
    CU_ASSERT_EQUAL(torc_put(pair.client, key, torc_string("1234"), 0), 0);
    CU_ASSERT_EQUAL(torc_get_into(pair.client, key, buffer, sizeof buffer, &bytes), 0);
    CU_ASSERT(bytes == 4 && memcmp(buffer, "1234", 4) == 0);
    CU_ASSERT_EQUAL(torc_delete(pair.client, key), 0);
    CU_ASSERT_EQUAL(torc_exists(pair.client, key), TORC_NOT_FOUND);
    CU_ASSERT_EQUAL(torc_put(pair.client, torc_string(""), key, 0), TORC_KEY_EMPTY);
    CU_ASSERT_EQUAL(torc_info(pair.client, torc_string(""), &json), 0);
    CU_ASSERT_STRING_EQUAL(json, "{\"healthy\":true}");
    torc_free(json);
    close_pair(&pair);
}

enum { MANY = 40 };

TEST(blocking_mget_answers_in_the_order_of_its_keys)
{
    struct pair pair = open_pair(2, 7); /* fewer in flight than keys */
    char texts[MANY][16];
    torc_bytes keys[MANY];
    struct torc_entry entries[MANY];
    int statuses[MANY];
    struct torc_value values[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "key-%d", i);
        keys[i] = torc_string(texts[i]);
        entries[i] = (struct torc_entry){.key = keys[i], .value = keys[i]};
    }
    CU_ASSERT_EQUAL(torc_mput(pair.client, entries, MANY, 0, statuses), 0);
    for (int i = 0; i < MANY; i++)
        CU_ASSERT_EQUAL(statuses[i], 0);
    CU_ASSERT_EQUAL(torc_delete(pair.client, keys[11]), 0);
    CU_ASSERT_EQUAL(torc_mget(pair.client, keys, MANY, values), 0);
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(values[i].status, i == 11 ? TORC_NOT_FOUND : 0);
        if (i != 11)
            CU_ASSERT_STRING_EQUAL((char *)values[i].data, texts[i]);
    }
    torc_values_free(values, MANY);
    entries[3].key = torc_string("");
    CU_ASSERT_EQUAL(torc_mput(pair.client, entries, MANY, 0, NULL), TORC_KEY_EMPTY);
    keys[5] = torc_string("");
    CU_ASSERT_EQUAL(torc_mget(pair.client, keys, MANY, values), TORC_KEY_EMPTY);
    CU_ASSERT_EQUAL(values[6].status, 0);
    torc_values_free(values, MANY);
    close_pair(&pair);
}

TEST(blocking_mget_takes_more_than_the_sockets_hold)
{
    struct pair pair = open_pair(2, 0);
    uint8_t *large = malloc(TORC_VALUE_BYTES_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    memset(large, 'x', TORC_VALUE_BYTES_MAX);
    torc_bytes keys[MANY];
    struct torc_entry entries[MANY];
    struct torc_value values[MANY];
    for (int i = 0; i < MANY; i++) {
        keys[i] = torc_string(i % 2 ? "odd" : "even");
        entries[i] = (struct torc_entry){.key = keys[i], .value = torc_bytes_of(large, TORC_VALUE_BYTES_MAX)};
    }
    CU_ASSERT_EQUAL(torc_mput(pair.client, entries, MANY, 0, NULL), 0);
    CU_ASSERT_EQUAL(torc_mget(pair.client, keys, MANY, values), 0);
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(values[i].bytes, TORC_VALUE_BYTES_MAX);
        CU_ASSERT(values[i].bytes == TORC_VALUE_BYTES_MAX &&
                  memcmp(values[i].data, large, values[i].bytes) == 0);
    }
    torc_values_free(values, MANY);
    free(large);
    close_pair(&pair);
}

static int count_entries(torc_client *client, struct torc_page page, struct torc_entry *last)
{
    torc_scan *scan;
    int count = 0;
    CU_ASSERT_EQUAL_FATAL(torc_scan_open(client, &page, &scan), 0);
    int rc;
    struct torc_entry entry;
    while ((rc = torc_scan_next(scan, &entry)) == 1) {
        *last = entry;
        count++;
    }
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(torc_scan_next(scan, &entry), 0);
    torc_scan_close(scan);
    return count;
}

TEST(blocking_scan_walks_page_after_page)
{
    struct pair pair = open_pair(1, 0);
    char key[16];
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, i % 2 ? "odd-%d" : "even-%d", i);
        CU_ASSERT_EQUAL(torc_put(pair.client, torc_string(key), torc_string("v"), 0), 0);
    }
    struct torc_entry last = {0};
    CU_ASSERT_EQUAL(count_entries(pair.client, (struct torc_page){0}, &last), 20);
    CU_ASSERT_EQUAL(last.value.bytes, 1);
    CU_ASSERT_EQUAL(count_entries(pair.client, (struct torc_page){.prefix = torc_string("odd-")}, &last), 10);
    CU_ASSERT_EQUAL(count_entries(pair.client, (struct torc_page){.prefix = torc_string("none")}, &last), 0);
    struct torc_page page = {.limit = 1, .flags = TORC_KEYS_ONLY};
    CU_ASSERT_EQUAL(count_entries(pair.client, page, &last), 20);
    CU_ASSERT_EQUAL(last.value.bytes, 0);
    close_pair(&pair);
}

/* A page with an entry and a cursor of one byte. Returns: its bytes. */
static size_t write_page(uint8_t *to, const char *key, uint8_t cursor)
{
    store_u16le(to, 1);
    to[2] = cursor;
    return 3 + frame_page_encode_entry(to + 3, slice_of_string(key), slice_of_string("value"));
}

/* The first is cut in its entry. */
static size_t page_after_one_cut(uint32_t number, uint8_t *to)
{
    size_t bytes = write_page(to, number == 2 ? "first" : "second", (uint8_t)number);
    return number == 1 ? bytes - 1 : bytes;
}

TEST(blocking_scan_asks_again_for_a_page_that_is_none)
{
    struct pair pair = open_pair(1, 0);
    pair.fake->page = page_after_one_cut;
    torc_scan *scan;
    struct torc_entry entry;
    CU_ASSERT_EQUAL_FATAL(torc_scan_open(pair.client, &(struct torc_page){.limit = 1}, &scan), 0);
    CU_ASSERT_EQUAL(torc_scan_next(scan, &entry), TORC_MALFORMED);
    CU_ASSERT_STRING_EQUAL(torc_message(pair.client), torc_error_sentence(TORC_MALFORMED));
    CU_ASSERT_EQUAL(torc_scan_next(scan, &entry), 1);
    CU_ASSERT(entry.key.bytes == 5 && memcmp(entry.key.data, "first", 5) == 0);
    CU_ASSERT_EQUAL(torc_scan_next(scan, &entry), 1);
    CU_ASSERT(entry.key.bytes == 6 && memcmp(entry.key.data, "second", 6) == 0);
    torc_scan_close(scan);
    close_pair(&pair);
}

static size_t page_in_a_circle(uint32_t number, uint8_t *to)
{
    (void)write_page(to, "key", (uint8_t)(number % 5));
    return 3; /* and no entry */
}

TEST(blocking_scan_ends_when_its_cursor_goes_round_in_circles)
{
    struct pair pair = open_pair(1, 0);
    pair.fake->page = page_in_a_circle;
    torc_scan *scan;
    struct torc_entry entry;
    CU_ASSERT_EQUAL_FATAL(torc_scan_open(pair.client, &(struct torc_page){.limit = 1}, &scan), 0);
    CU_ASSERT_EQUAL(torc_scan_next(scan, &entry), TORC_MALFORMED);
    torc_scan_close(scan);
    close_pair(&pair);
}

/* Another file stands where the client waits: no wait goes well any more. */
static void spoil_waiting(torc_client *client)
{
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CU_ASSERT(file >= 0 && dup2(file, torc_fd(client)) == torc_fd(client));
    close(file);
}

TEST(blocking_puts_that_cannot_wait_for_their_answer_are_unknown)
{
    struct pair pair = open_pair(1, 0);
    struct torc_entry entry = {.key = torc_string("k"), .value = torc_string("v")};
    int status = 0;
    CU_ASSERT_EQUAL(torc_connect(pair.client), 0);
    spoil_waiting(pair.client);
    CU_ASSERT_EQUAL(torc_put(pair.client, entry.key, entry.value, 0), TORC_DISCONNECTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(torc_problem(pair.client), "cannot wait"));
    CU_ASSERT_EQUAL(torc_mput(pair.client, &entry, 1, 0, &status), TORC_DISCONNECTED);
    CU_ASSERT_EQUAL(status, TORC_DISCONNECTED);
    CU_ASSERT_EQUAL(torc_put(pair.client, torc_string(""), entry.value, 0), TORC_KEY_EMPTY);
    close_pair(&pair);
}

TEST(blocking_calls_say_why_there_is_no_server)
{
    struct fake *fake = fake_open(1);
    fake_stop_listening(fake);
    struct torc_options options = {.address = fake->address, .connect_timeout_ms = 20};
    torc_client *client;
    CU_ASSERT_EQUAL_FATAL(torc_open(&options, &client), 0);
    CU_ASSERT_EQUAL(torc_put(client, torc_string("k"), torc_string("v"), 0), TORC_CANNOT_CONNECT);
    CU_ASSERT_STRING_EQUAL(torc_message(client), torc_error_sentence(TORC_CANNOT_CONNECT));
    CU_ASSERT_PTR_NOT_NULL(strstr(torc_problem(client), "refused"));
    torc_close(client);
    fake_close(fake);
}
