/* round_trip_test.c - what every operation answers, over raw frames and through libtorc, on one core and
 * on two. */
#include "client/torc.h"
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const one_core[] = {"--cores", "1", "--segment-bytes", "4M", NULL};
static const char *const two_cores[] = {"--cores", "2", "--segment-bytes", "4M", NULL};

enum { KEYS = 2000, KEY_BYTES = 32 };

static struct slice numbered(char text[KEY_BYTES], const char *prefix, unsigned n)
{
    snprintf(text, KEY_BYTES, "%s-%06u", prefix, n);
    return slice_of_string(text);
}

static bool begin(struct server *s, struct raw *raw, const char *const *arguments)
{
    server_init(s, NULL, arguments);
    return server_start(s) && raw_connect(raw, s->port, 0);
}

static void end(struct server *s, struct raw *raw)
{
    raw_close(raw);
    server_stop(s);
}

/* ---- raw frames ---- */

TEST(a_key_is_put_read_found_and_deleted)
{
    struct server s;
    struct raw raw;
    if (!begin(&s, &raw, one_core))
        return;
    struct slice key = slice_of_string("key"), value = slice_of_string("value");
    CU_ASSERT_EQUAL(raw_get_expect(&raw, key, value), TORC_E_NOT_FOUND);
    CU_ASSERT_EQUAL(raw_exists(&raw, key), TORC_E_NOT_FOUND);
    CU_ASSERT_EQUAL(raw_delete(&raw, key), 0); /* nothing there: done, too */
    CU_ASSERT_EQUAL(raw_put(&raw, key, value), 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, key, value), 0);
    CU_ASSERT_EQUAL(raw_exists(&raw, key), 0);
    CU_ASSERT_EQUAL(raw_put(&raw, key, slice_of_string("other")), 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, key, slice_of_string("other")), 0);
    CU_ASSERT_EQUAL(raw_delete(&raw, key), 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, key, value), TORC_E_NOT_FOUND);
    CU_ASSERT_EQUAL(raw_put(&raw, key, slice_of(NULL, 0)), 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, key, slice_of(NULL, 0)), 0);
    CU_ASSERT_EQUAL(raw_exists(&raw, key), 0);
    end(&s, &raw);
}

TEST(keys_and_values_of_the_largest_size_come_back)
{
    struct server s;
    struct raw raw;
    if (!begin(&s, &raw, two_cores))
        return;
    static uint8_t key[FRAME_KEY_BYTES_MAX], value[FRAME_VALUE_BYTES_MAX];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(i * 7 + i / 4096);
    for (unsigned i = 0; i < 8; i++) { /* on both cores */
        memset(key, (int)(i * 37), sizeof key);
        value[0] = (uint8_t)i;
        CU_ASSERT_EQUAL(raw_put(&raw, slice_of(key, sizeof key), slice_of(value, sizeof value)), 0);
        CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of(key, sizeof key), slice_of(value, sizeof value)), 0);
    }
    static const uint8_t zero[1];
    CU_ASSERT_EQUAL(raw_put(&raw, slice_of(zero, 1), slice_of(zero, 1)), 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of(zero, 1), slice_of(zero, 1)), 0);
    end(&s, &raw);
}

TEST(keys_of_both_cores_are_reached_through_one_connection)
{
    struct server s;
    struct raw raw;
    char text[KEY_BYTES];
    if (!begin(&s, &raw, two_cores))
        return;
    for (unsigned i = 0; i < KEYS; i++) {
        struct raw_request request = {.op = FRAME_PUT, .key = numbered(text, "key", i), .id = i + 1};
        request.value = request.key;
        CU_ASSERT(raw_request(&raw, &request));
    }
    struct frame answer;
    bool was_answered[KEYS] = {false};
    for (unsigned i = 0; i < KEYS; i++) {
        CU_ASSERT_EQUAL(raw_receive(&raw, &answer), 0);
        CU_ASSERT(answer.flags == 0 && answer.request_id >= 1 && answer.request_id <= KEYS);
        CU_ASSERT_FALSE(was_answered[answer.request_id - 1]);
        was_answered[answer.request_id - 1] = true;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        struct slice key = numbered(text, "key", i);
        CU_ASSERT_EQUAL(raw_get_expect(&raw, key, key), 0);
    }
    double crossed = server_counter(&s, "operations", "crossed_cores");
    CU_ASSERT(crossed > KEYS * 2 * 0.4 && crossed < KEYS * 2 * 0.6);
    end(&s, &raw);
}

/* Appends a frame to a batch. Returns: the bytes then. */
static size_t add(struct raw *raw, uint8_t *batch, size_t at, uint8_t op, const char *key, const char *value)
{
    struct raw_request request = {
        .op = op,
        .key = slice_of_string(key),
        .value = slice_of_string(value),
        .id = at + 1000,
    };
    return at + raw_encode(raw, &request, batch + at);
}

TEST(a_batch_is_answered_in_order_and_each_part_by_itself)
{
    static const int expected[] = {0, 0, TORC_E_NOT_FOUND, TORC_E_KEY_EMPTY, TORC_E_NOT_FOUND, 0};
    struct server s;
    struct raw raw;
    uint8_t batch[1024];
    if (!begin(&s, &raw, two_cores))
        return;
    CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string("there"), slice_of_string("yes")), 0);
    size_t bytes = add(&raw, batch, 0, FRAME_PUT, "a", "1");
    bytes = add(&raw, batch, bytes, FRAME_GET, "there", "");
    bytes = add(&raw, batch, bytes, FRAME_GET, "absent", "");
    bytes = add(&raw, batch, bytes, FRAME_PUT, "", "no key");
    bytes = add(&raw, batch, bytes, FRAME_EXISTS, "absent", "");
    bytes = add(&raw, batch, bytes, FRAME_DELETE, "b", "");
    struct frame answer, part;
    struct raw_request request = {.op = FRAME_BATCH, .value = slice_of(batch, bytes)};
    CU_ASSERT_EQUAL(raw_call(&raw, &request, &answer), 0);
    struct slice rest = answer.value, asked = slice_of(batch, bytes);
    size_t needed;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        struct frame question;
        CU_ASSERT_EQUAL(frame_parse(rest, FRAME_RESPONSE_BYTES_MAX, &part, &needed), 1);
        CU_ASSERT_EQUAL(frame_parse(asked, FRAME_BYTES_MAX, &question, &needed), 1);
        struct raw_request single = {.op = question.op, .key = question.key};
        CU_ASSERT(raw_is_answer(&single, &part));
        CU_ASSERT_EQUAL(part.request_id, question.request_id);
        CU_ASSERT_EQUAL(error_of_status(part.flags), expected[i]);
        rest = slice_of(rest.data + part.length, rest.bytes - part.length);
        asked = slice_of(asked.data + question.length, asked.bytes - question.length);
    }
    CU_ASSERT_EQUAL(rest.bytes, 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string("a"), slice_of_string("1")), 0);
    end(&s, &raw);
}

TEST(a_batch_answers_too_large_for_what_does_not_fit_into_its_response)
{
    struct server s;
    struct raw raw;
    static uint8_t value[FRAME_VALUE_BYTES_MAX];
    char key[KEY_BYTES];
    uint8_t batch[1024];
    size_t bytes = 0;
    if (!begin(&s, &raw, two_cores))
        return;
    for (unsigned i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(raw_put(&raw, numbered(key, "large", i), slice_of(value, sizeof value)), 0);
        bytes = add(&raw, batch, bytes, FRAME_GET, key, "");
    }
    struct frame answer, part;
    struct raw_request request = {.op = FRAME_BATCH, .value = slice_of(batch, bytes)};
    CU_ASSERT_EQUAL(raw_call(&raw, &request, &answer), 0);
    unsigned whole = 0, too_large = 0;
    struct slice rest = answer.value;
    size_t needed;
    while (rest.bytes > 0 && frame_parse(rest, FRAME_RESPONSE_BYTES_MAX, &part, &needed) == 1) {
        whole += part.flags == 0 && part.value.bytes == sizeof value;
        too_large += error_of_status(part.flags) == TORC_E_FRAME_TOO_LARGE;
        rest = slice_of(rest.data + part.length, rest.bytes - part.length);
    }
    CU_ASSERT_EQUAL(whole, 3);
    CU_ASSERT_EQUAL(too_large, 3);
    end(&s, &raw);
}

TEST(a_value_that_expires_is_gone_and_says_its_version_before)
{
    struct server s;
    struct raw raw;
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    struct frame answer;
    if (!begin(&s, &raw, two_cores))
        return;
    struct frame_extensions e = {.expiry_ms = 3600000, .namespace_name = slice_of_string("default")};
    struct raw_request put = {.op = FRAME_PUT, .key = slice_of_string("k"), .value = slice_of_string("v")};
    put.extensions = slice_of(extensions, frame_extensions_encode(extensions, &e));
    CU_ASSERT_EQUAL(raw_call(&raw, &put, &answer), 0);
    struct raw_request get = {.op = FRAME_GET, .flags = FRAME_WANT_VERSION, .key = put.key};
    CU_ASSERT_EQUAL(raw_call(&raw, &get, &answer), 0);
    struct frame_extensions version;
    CU_ASSERT_EQUAL(frame_extensions_parse(answer.extensions, &version), 0);
    CU_ASSERT(version.has_version && version.version_node == 1 && version.version_clock > 0);
    e.expiry_ms = 1;
    put.extensions = slice_of(extensions, frame_extensions_encode(extensions, &e));
    CU_ASSERT_EQUAL(raw_call(&raw, &put, &answer), 0);
    int rc = 0;
    for (uint64_t from = process_clock_ms(); rc == 0 && process_clock_ms() < from + 10000;)
        rc = raw_call(&raw, &get, &answer);
    CU_ASSERT_EQUAL(rc, TORC_E_NOT_FOUND);
    end(&s, &raw);
}

/* ---- scans ---- */

/* Walks all pages of a prefix. Returns: the entries; each key is followed by its number, its value is the
 * key. */
static unsigned scan(struct raw *raw, const char *prefix, uint32_t limit, bool *seen)
{
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX], cursor[FRAME_CURSOR_BYTES_MAX];
    struct frame_extensions e = {.limit = limit};
    struct raw_request request = {.op = FRAME_SCAN, .key = slice_of_string(prefix)};
    request.extensions = slice_of(extensions, frame_extensions_encode(extensions, &e));
    unsigned count = 0;
    for (unsigned page = 0; page < 100000; page++) {
        struct frame answer;
        struct slice next, entries, key, value;
        if (raw_call(raw, &request, &answer) != 0 || frame_page_parse(answer.value, &next, &entries) != 0) {
            CU_FAIL("a page of the scan failed");
            return count;
        }
        unsigned in_page = 0;
        while (frame_page_next(&entries, &key, &value) == 1) {
            CU_ASSERT(slice_starts_with(key, slice_of_string(prefix)));
            CU_ASSERT(slice_equal(key, value));
            unsigned n = (unsigned)strtoul((const char *)key.data + key.bytes - 6, NULL, 10);
            CU_ASSERT(n < KEYS && !seen[n]);
            seen[n] = true;
            in_page++;
        }
        CU_ASSERT(limit == 0 || in_page <= limit);
        count += in_page;
        if (next.bytes == 0)
            return count;
        memcpy(cursor, next.data, next.bytes);
        request.value = slice_of(cursor, next.bytes);
    }
    CU_FAIL("the scan does not end");
    return count;
}

TEST(a_scan_sees_every_key_of_its_prefix_once)
{
    struct server s;
    struct raw raw;
    char text[KEY_BYTES];
    if (!begin(&s, &raw, two_cores))
        return;
    for (unsigned i = 0; i < KEYS; i++) {
        struct slice key = numbered(text, i % 2 ? "odd" : "even", i);
        CU_ASSERT_EQUAL(raw_put(&raw, key, key), 0);
    }
    for (unsigned i = 0; i < KEYS; i += 10)
        CU_ASSERT_EQUAL(raw_delete(&raw, numbered(text, "even", i)), 0);
    static const uint32_t limits[] = {0, 1, 7, 10000};
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        bool seen[KEYS] = {false};
        CU_ASSERT_EQUAL(scan(&raw, "odd", limits[i], seen), KEYS / 2);
        CU_ASSERT_EQUAL(scan(&raw, "even", limits[i], seen), KEYS / 2 - KEYS / 10);
        CU_ASSERT_EQUAL(scan(&raw, "none", limits[i], seen), 0);
    }
    bool seen[KEYS] = {false};
    CU_ASSERT_EQUAL(scan(&raw, "", 500, seen), KEYS - KEYS / 10);
    end(&s, &raw);
}

TEST(a_scan_of_one_tag_comes_in_order)
{
    struct server s;
    struct raw raw;
    char text[KEY_BYTES];
    if (!begin(&s, &raw, two_cores))
        return;
    for (unsigned i = 0; i < 100; i++) {
        struct slice key = numbered(text, "list{me}", (i * 37) % 100);
        CU_ASSERT_EQUAL(raw_put(&raw, key, key), 0);
    }
    struct frame answer;
    struct raw_request request = {.op = FRAME_SCAN,
                                  .flags = FRAME_KEYS_ONLY,
                                  .key = slice_of_string("list{me}")};
    CU_ASSERT_EQUAL(raw_call(&raw, &request, &answer), 0);
    struct slice next, entries, key, value;
    CU_ASSERT_EQUAL(frame_page_parse(answer.value, &next, &entries), 0);
    for (unsigned i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(frame_page_next(&entries, &key, &value), 1);
        CU_ASSERT(slice_equal(key, numbered(text, "list{me}", i)));
        CU_ASSERT_EQUAL(value.bytes, 0);
    }
    CU_ASSERT(entries.bytes == 0 && next.bytes == 0);
    end(&s, &raw);
}

/* ---- ping and info ---- */

TEST(ping_brings_back_what_it_was_given)
{
    struct server s;
    struct raw raw;
    struct frame answer;
    if (!begin(&s, &raw, one_core))
        return;
    static uint8_t large[FRAME_VALUE_BYTES_MAX];
    memset(large, 0x5a, sizeof large);
    for (size_t bytes = 0; bytes <= sizeof large;
         bytes = bytes * 8 + 1 < sizeof large ? bytes * 8 + 1 : bytes + sizeof large) {
        struct raw_request request = {.op = FRAME_PING, .value = slice_of(large, bytes)};
        CU_ASSERT_EQUAL(raw_call(&raw, &request, &answer), 0);
        CU_ASSERT(slice_equal(answer.value, request.value));
    }
    end(&s, &raw);
}

TEST(info_has_all_its_sections_and_each_alone)
{
    static const char *const sections[] = {"server", "operations", "reactor", "engine", "memory", "stages"};
    struct server s;
    struct raw raw;
    struct frame answer;
    if (!begin(&s, &raw, two_cores))
        return;
    for (size_t i = 0; i <= ARRAY_COUNT(sections); i++) {
        struct raw_request request = {.op = FRAME_INFO};
        if (i < ARRAY_COUNT(sections))
            request.key = slice_of_string(sections[i]);
        CU_ASSERT_EQUAL(raw_call(&raw, &request, &answer), 0);
        json_t *root = json_loadb((const char *)answer.value.data, answer.value.bytes, 0, NULL);
        CU_ASSERT_EQUAL(json_object_size(root), i < ARRAY_COUNT(sections) ? 1 : ARRAY_COUNT(sections));
        CU_ASSERT_PTR_NOT_NULL(json_object_get(root, sections[i % ARRAY_COUNT(sections)]));
        json_decref(root);
    }
    struct raw_request request = {.op = FRAME_INFO, .key = slice_of_string("weather")};
    CU_ASSERT_EQUAL(raw_call(&raw, &request, &answer), TORC_E_MALFORMED);
    end(&s, &raw);
}

/* As many as a connection may ask for before it is answered: a report of a core is some 140 KB. */
TEST(many_infos_at_once_take_the_memory_of_one)
{
    enum { ASKED = 128 };
    static uint8_t frames[ASKED * 64];
    struct server s;
    struct raw raw;
    struct frame answer;
    size_t bytes = 0;
    unsigned good = 0;
    if (!begin(&s, &raw, two_cores))
        return;
    CU_ASSERT_EQUAL(raw_ping(&raw), 0);
    double before = server_counter(&s, "memory", "heap_bytes_highest");
    for (unsigned i = 0; i < ASKED; i++)
        bytes += raw_encode(&raw, &(struct raw_request){.op = FRAME_INFO}, frames + bytes);
    poll(NULL, 0, 5); /* a core looks at its heap at the end of a turn, once in a millisecond */
    CU_ASSERT(raw_send(&raw, frames, bytes));
    for (unsigned i = 0; i < ASKED; i++)
        good += raw_receive(&raw, &answer) == 0 && answer.flags == 0 && answer.value.bytes > 1000;
    CU_ASSERT_EQUAL(good, ASKED);
    CU_ASSERT(server_counter(&s, "memory", "heap_bytes_highest") < before + (4 << 20));
    end(&s, &raw);
}

/* ---- libtorc ---- */

TEST(the_library_speaks_with_a_server_of_two_cores)
{
    struct server s;
    torc_client *client = NULL;
    char text[KEY_BYTES];
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    struct torc_options options = {.address = s.address};
    CU_ASSERT_EQUAL_FATAL(torc_open(&options, &client), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        numbered(text, "key", i);
        CU_ASSERT_EQUAL(torc_put(client, torc_string(text), torc_string(text), 0), 0);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        void *value = NULL;
        size_t bytes = 0;
        numbered(text, "key", i);
        CU_ASSERT_EQUAL(torc_get(client, torc_string(text), &value, &bytes), 0);
        CU_ASSERT(bytes == strlen(text) && memcmp(value, text, bytes) == 0);
        torc_free(value);
    }
    CU_ASSERT_EQUAL(torc_delete(client, torc_string("key-000007")), 0);
    CU_ASSERT_EQUAL(torc_exists(client, torc_string("key-000007")), TORC_NOT_FOUND);
    CU_ASSERT_EQUAL(torc_exists(client, torc_string("key-000008")), 0);
    CU_ASSERT_EQUAL(torc_ping(client), 0);
    torc_bytes keys[] = {torc_string("key-000001"), torc_string("absent"), torc_string("key-000002")};
    struct torc_value values[3];
    CU_ASSERT_EQUAL(torc_mget(client, keys, 3, values), 0);
    CU_ASSERT(values[0].status == 0 && values[1].status == TORC_NOT_FOUND && values[2].bytes == 10);
    torc_values_free(values, 3);
    torc_scan *scan_of_all = NULL;
    struct torc_entry entry;
    struct torc_page page = {.prefix = torc_string("key-")};
    unsigned seen = 0;
    CU_ASSERT_EQUAL_FATAL(torc_scan_open(client, &page, &scan_of_all), 0);
    while (torc_scan_next(scan_of_all, &entry) == 1)
        seen++;
    CU_ASSERT_EQUAL(seen, KEYS - 1);
    torc_scan_close(scan_of_all);
    torc_close(client);
    CU_ASSERT_EQUAL(server_counter(&s, "operations", "crossed_cores"), 0); /* each key went to its own core */
    server_stop(&s);
}

/* Counts the numbered keys of a scan, which must come in order. */
static unsigned scan_in_order(torc_client *client, const struct torc_page *page)
{
    torc_scan *scan_of_some = NULL;
    struct torc_entry entry;
    char last[KEY_BYTES] = "";
    unsigned count = 0;
    CU_ASSERT_EQUAL_FATAL(torc_scan_open(client, page, &scan_of_some), 0);
    while (torc_scan_next(scan_of_some, &entry) == 1) {
        char key[KEY_BYTES];
        snprintf(key, sizeof key, "%.*s", (int)entry.key.bytes, (const char *)entry.key.data);
        int order = strcmp(key, last);
        CU_ASSERT(count == 0 || ((page->flags & TORC_REVERSE) ? order < 0 : order > 0));
        snprintf(last, sizeof last, "%s", key);
        count++;
    }
    torc_scan_close(scan_of_some);
    return count;
}

TEST(an_ordered_scan_merges_all_cores_in_both_directions)
{
    struct server s;
    torc_client *client = NULL;
    char text[KEY_BYTES];
    server_init(&s, NULL, two_cores);
    if (!server_start(&s))
        return;
    CU_ASSERT_EQUAL_FATAL(torc_open(&(struct torc_options){.address = s.address}, &client), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        numbered(text, "key", i);
        CU_ASSERT_EQUAL(torc_put(client, torc_string(text), torc_string("value"), 0), 0);
    }
    for (uint32_t flags = TORC_ORDERED; flags <= (TORC_ORDERED | TORC_REVERSE); flags += TORC_REVERSE) {
        struct torc_page all = {.limit = 7, .flags = flags};
        CU_ASSERT_EQUAL(scan_in_order(client, &all), KEYS);
        struct torc_page some = {.limit = 10, .flags = flags};
        some.from = torc_string("key-000010");
        some.to = torc_string("key-000050");
        CU_ASSERT_EQUAL(scan_in_order(client, &some), 40);
        struct torc_page ten = {.prefix = torc_string("key-00001"), .flags = flags};
        CU_ASSERT_EQUAL(scan_in_order(client, &ten), 10);
    }
    torc_close(client);
    server_stop(&s);
}
