/* json_bytes_test.c - any bytes into JSON and back. */
#include "test/test.h"

#include "client/cli/json_bytes.h"

#include <stdlib.h>

static void check_round_trip(torc_bytes bytes)
{
    json_t *json = cli_json_of_bytes(bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    json_t *again = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    torc_bytes back = {0};
    void *memory;
    CU_ASSERT_EQUAL(cli_bytes_of_json(again, &back, &memory), 0);
    CU_ASSERT_EQUAL(back.bytes, bytes.bytes);
    CU_ASSERT_TRUE(back.bytes == bytes.bytes &&
                   (bytes.bytes == 0 || memcmp(back.data, bytes.data, bytes.bytes) == 0));
    free(memory);
    free(text);
    json_decref(again);
    json_decref(json);
}

TEST(json_bytes_come_back_as_they_were)
{
    uint8_t all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i;
    for (size_t begin = 0; begin < sizeof all; begin += 7)
        for (size_t bytes = 0; bytes < 40 && begin + bytes <= sizeof all; bytes++)
            check_round_trip(torc_bytes_of(all + begin, bytes));
    check_round_trip(torc_bytes_of(all, sizeof all));
    check_round_trip(torc_string("\"quotes\" \\ back\nline\ttab \x01 \xc3\xa4\xe2\x82\xac"));
    check_round_trip(torc_bytes_of("nul\0inside", 10));
    check_round_trip(torc_bytes_of("\xff", 1));
    check_round_trip(torc_bytes_of("\xed\xa0\x80", 3)); /* a surrogate is not UTF-8 */
}

TEST(json_bytes_show_text_as_text_and_the_rest_as_base64)
{
    size_t bytes;
    torc_bytes value = torc_bytes_of("\xff\x00", 2);
    char *line = cli_json_line(torc_string("name"), &value, &bytes);
    CU_ASSERT_STRING_EQUAL(line, "{\"key\":\"name\",\"value\":{\"base64\":\"/wA=\"}}\n");
    CU_ASSERT_EQUAL(bytes, strlen(line));
    free(line);
    line = cli_json_line(torc_string("name"), NULL, &bytes);
    CU_ASSERT_STRING_EQUAL(line, "{\"key\":\"name\"}\n");
    free(line);
}

TEST(json_bytes_refuse_what_is_neither_form)
{
    const char *const wrong[] = {"1",
                                 "null",
                                 "[]",
                                 "{}",
                                 "{\"base64\":1}",
                                 "{\"base64\":\"a\"}",
                                 "{\"base64\":\"ab=c\"}",
                                 "{\"base64\":\"ab!=\"}",
                                 "{\"base64\":\"ab==\"}",
                                 "{\"base64\":\"====\"}",
                                 "{\"base64\":\"AA==\",\"x\":1}"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        json_t *json = json_loads(wrong[i], JSON_DECODE_ANY, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(json);
        torc_bytes out;
        void *memory;
        CU_ASSERT_EQUAL(cli_bytes_of_json(json, &out, &memory), TORC_MALFORMED);
        json_decref(json);
    }
}
