/* log_test.c - log lines: both forms, escapes, bounds, dates. */
#include "shard/serve/log.h"

#include <jansson.h>
#include <string.h>

#include "test/test.h"

static char line[LOG_LINE_BYTES_MAX + 1];

static const char *format(enum log_format form, const char *message, const struct log_field *fields)
{
    struct log_line_head head = {1772366400123, LOG_LEVEL_WARN, 3, "disk_full", message};
    memset(line, '#', sizeof line);
    size_t bytes = log_format_line(line, form, &head, fields);
    ASSERT(bytes <= LOG_LINE_BYTES_MAX);
    line[bytes] = '\0';
    return line;
}

#define FIELDS(...) ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

TEST(a_line_in_logfmt_quotes_only_what_needs_it)
{
    CU_ASSERT_STRING_EQUAL(
        format(LOG_FORMAT_LOGFMT, "no room left",
               FIELDS(log_text("path", "/data/0"), log_number("bytes", UINT64_MAX), log_signed("cpu", -1),
                      log_bool("is_cut", false), log_text("none", NULL))),
        "time=2026-03-01T12:00:00.123Z level=warn core=3 event=disk_full message=\"no room left\" "
        "path=/data/0 bytes=18446744073709551615 cpu=-1 is_cut=false none=\"\"");
}

TEST(a_line_in_json_can_be_parsed)
{
    format(LOG_FORMAT_JSON, "say \"hi\"\\\n\t\x01",
           FIELDS(log_text("path", "/d"), log_number("n", 7), log_bool("b", true)));
    CU_ASSERT_PTR_NULL(strchr(line, '\n'));
    json_t *json = json_loads(line, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "message")), "say \"hi\"\\\n\t\x01");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "level")), "warn");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "core")), 3);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "n")), 7);
    CU_ASSERT(json_is_true(json_object_get(json, "b")));
    json_decref(json);
}

TEST(any_byte_makes_a_line_that_is_one_line_and_utf8)
{
    for (unsigned first = 0; first < 256; first++) {
        const uint8_t bytes[4] = {(uint8_t)first, 0x80, 0xbf, 'x'};
        format(LOG_FORMAT_JSON, NULL, FIELDS(log_bytes("key", slice_of(bytes, sizeof bytes))));
        CU_ASSERT_PTR_NULL(strchr(line, '\n'));
        json_t *json = json_loads(line, JSON_ALLOW_NUL, NULL);
        CU_ASSERT_PTR_NOT_NULL(json);
        json_decref(json);
    }
}

TEST(a_long_value_is_shortened)
{
    char text[LOG_VALUE_BYTES_MAX * 2];
    memset(text, 'a', sizeof text);
    format(LOG_FORMAT_LOGFMT, NULL, FIELDS(log_bytes("key", slice_of(text, sizeof text))));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, "aaa...\""));
    CU_ASSERT(strlen(line) < LOG_VALUE_BYTES_MAX + 150);
}

TEST(what_finds_no_room_is_left_out_and_said)
{
    uint8_t text[LOG_VALUE_BYTES_MAX];
    memset(text, 1, sizeof text); /* six bytes each, escaped */
    struct slice big = slice_of(text, 300);
    for (int form = LOG_FORMAT_LOGFMT; form <= LOG_FORMAT_JSON; form++) {
        format((enum log_format)form, NULL,
               FIELDS(log_bytes("first", big), log_bytes("second", big), log_number("third", 3)));
        CU_ASSERT_PTR_NOT_NULL(strstr(line, "first"));
        CU_ASSERT_PTR_NULL(strstr(line, "second"));
        CU_ASSERT_PTR_NOT_NULL(strstr(line, "third"));
        CU_ASSERT_PTR_NOT_NULL(strstr(line, form == LOG_FORMAT_JSON ? ",\"cut\":true}" : " cut=true"));
    }
    json_t *json = json_loads(line, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL(json);
    json_decref(json);
}

TEST(a_line_of_any_length_keeps_its_bound)
{
    uint8_t text[LOG_VALUE_BYTES_MAX];
    memset(text, '"', sizeof text);
    for (size_t bytes = 0; bytes <= sizeof text; bytes++) {
        struct slice part = slice_of(text, bytes);
        format(LOG_FORMAT_JSON, NULL,
               FIELDS(log_bytes("a", part), log_bytes("b", part), log_bytes("c", part),
                      log_bytes("d", part)));
        CU_ASSERT_EQUAL(line[strlen(line) - 1], '}');
    }
}

static bool is_date(uint64_t wall_ms, const char *expected)
{
    char text[LOG_TIME_BYTES];
    log_format_time(text, wall_ms);
    return strcmp(text, expected) == 0;
}

TEST(dates_are_right_across_leap_years)
{
    CU_ASSERT(is_date(0, "1970-01-01T00:00:00.000Z"));
    CU_ASSERT(is_date(951782399999, "2000-02-28T23:59:59.999Z"));
    CU_ASSERT(is_date(951782400000, "2000-02-29T00:00:00.000Z"));
    CU_ASSERT(is_date(1709164800000, "2024-02-29T00:00:00.000Z"));
    CU_ASSERT(is_date(1709251200000, "2024-03-01T00:00:00.000Z"));
    CU_ASSERT(is_date(1735689599001, "2024-12-31T23:59:59.001Z"));
    CU_ASSERT(is_date(4107542400000, "2100-03-01T00:00:00.000Z"));
    CU_ASSERT(is_date(UINT64_MAX, "9999-12-31T23:59:59.999Z"));
}

TEST(a_level_that_is_off_is_not_on)
{
    struct log log;
    log_init(&log, NULL, LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT);
    CU_ASSERT(log_is_on(&log, LOG_LEVEL_ERROR));
    CU_ASSERT(log_is_on(&log, LOG_LEVEL_WARN));
    CU_ASSERT_FALSE(log_is_on(&log, LOG_LEVEL_INFO));
    log_write(&log, LOG_LEVEL_INFO, "silent", NULL); /* would crash: there is no reactor */
}
