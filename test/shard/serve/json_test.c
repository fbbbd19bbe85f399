/* json_test.c - what the server says of itself can be read back by a parser that is not ours. */
#include "shard/serve/json.h"

#include "test/test.h"

#include <jansson.h>
#include <string.h>

TEST(json_is_what_a_parser_reads)
{
    char text[512];
    struct json j = {.text = text, .capacity = sizeof text};
    json_begin_object(&j, NULL);
    json_number(&j, "most", UINT64_MAX >> 1);
    json_ratio(&j, "ratio", 0.12345);
    json_text(&j, "text", "say \"a\\b\"\n\x01\tend \xc3\xa4");
    json_begin_array(&j, "list");
    json_number(&j, NULL, 1);
    json_text(&j, NULL, "");
    json_begin_object(&j, NULL);
    json_end(&j);
    json_end(&j);
    json_begin_object(&j, "inner");
    json_number(&j, "n", 0);
    json_end(&j);
    json_end(&j);
    CU_ASSERT_FALSE(j.is_truncated);
    CU_ASSERT_EQUAL(j.depth, 0);

    json_t *root = json_loadb(text, j.bytes, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    CU_ASSERT_EQUAL(json_object_size(root), 5);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(root, "most")), INT64_MAX);
    CU_ASSERT_DOUBLE_EQUAL(json_real_value(json_object_get(root, "ratio")), 0.1235, 0.00001);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(root, "text")),
                           "say \"a\\b\"\n\x01\tend \xc3\xa4");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(root, "list")), 3);
    CU_ASSERT_EQUAL(json_object_size(json_object_get(root, "inner")), 1);
    json_decref(root);
}

TEST(json_text_of_any_bytes_is_utf8)
{
    static const char *const texts[][2] = {
        {"a\xff", "a\xef\xbf\xbd"},
        {"cut \xc3", "cut \xef\xbf\xbd"},
        {"\xe2\x82/", "\xef\xbf\xbd\xef\xbf\xbd/"},
        {"\x7f\xf0\x9f\x98\x80", "\x7f\xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        char text[64];
        struct json j = {.text = text, .capacity = sizeof text};
        json_begin_object(&j, NULL);
        json_text(&j, "t", texts[i][0]);
        json_end(&j);
        json_t *root = json_loadb(text, j.bytes, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(root);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(root, "t")), texts[i][1]);
        json_decref(root);
    }
}

TEST(json_that_finds_no_room_says_so_and_writes_nothing_past_it)
{
    for (size_t capacity = 1; capacity < 24; capacity++) {
        char text[32];
        memset(text, '#', sizeof text);
        struct json j = {.text = text, .capacity = capacity};
        json_begin_object(&j, NULL);
        json_text(&j, "name", "0123456789");
        json_end(&j);
        CU_ASSERT_EQUAL(j.is_truncated, capacity < sizeof "{\"name\":\"0123456789\"}");
        CU_ASSERT(j.bytes < capacity);
        CU_ASSERT_EQUAL(text[capacity], '#');
    }
}
