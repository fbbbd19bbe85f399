/* resp_test.c - replies of redis: whole, in parts, and garbage. */
#include "bench/resp.h"
#include "reactor/base/error.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t parse(const char *text, struct resp_reply *out)
{
    return resp_parse(slice_of_string(text), out);
}

TEST(each_kind_of_reply_is_read)
{
    struct resp_reply r;
    CU_ASSERT_EQUAL(parse("+OK\r\n", &r), 5);
    CU_ASSERT(r.kind == RESP_STRING && slice_equal(r.text, slice_of_string("OK")));
    CU_ASSERT_EQUAL(parse("-ERR no\r\n", &r), 9);
    CU_ASSERT(r.kind == RESP_ERROR && slice_equal(r.text, slice_of_string("ERR no")));
    CU_ASSERT_EQUAL(parse(":-42\r\n", &r), 6);
    CU_ASSERT(r.kind == RESP_INTEGER && r.integer == -42);
    CU_ASSERT_EQUAL(parse("$3\r\na\rb\r\n", &r), 9);
    CU_ASSERT(r.kind == RESP_BULK && slice_equal(r.text, slice_of_string("a\rb")));
    CU_ASSERT_EQUAL(parse("$0\r\n\r\n", &r), 6);
    CU_ASSERT(r.kind == RESP_BULK && r.text.bytes == 0);
    CU_ASSERT_EQUAL(parse("$-1\r\n", &r), 5);
    CU_ASSERT_EQUAL(r.kind, RESP_NULL);
}

TEST(a_reply_cut_anywhere_waits_for_more)
{
    static const char *const replies[] = {"+OK\r\n", "-ERR x\r\n", ":7\r\n", "$-1\r\n",
                                          "$11\r\nhello\r\nworl\r\n"};
    for (size_t i = 0; i < ARRAY_COUNT(replies); i++) {
        size_t whole = strlen(replies[i]);
        for (size_t bytes = 0; bytes < whole; bytes++) {
            /* In memory of exactly that size, so that reading past it is seen. */
            char *part = malloc(bytes + (bytes == 0));
            struct resp_reply r;
            CU_ASSERT_FATAL(part != NULL);
            memcpy(part, replies[i], bytes);
            CU_ASSERT_EQUAL(resp_parse(slice_of(part, bytes), &r), 0);
            free(part);
        }
        struct resp_reply r;
        CU_ASSERT_EQUAL(parse(replies[i], &r), (int64_t)whole);
    }
}

TEST(replies_one_after_the_other_are_taken_one_by_one)
{
    struct slice rest = slice_of_string("+OK\r\n$2\r\nab\r\n:1\r\n");
    int count = 0;
    struct resp_reply r;
    for (; rest.bytes > 0 && count < 10; count++) {
        int64_t took = resp_parse(rest, &r);
        CU_ASSERT_FATAL(took > 0);
        rest = slice_of(rest.data + took, rest.bytes - (size_t)took);
    }
    CU_ASSERT_EQUAL(count, 3);
}

TEST(garbage_is_refused)
{
    static const char *const garbage[] = {
        "x\r\n",          "*1\r\n+OK\r\n", "$x\r\n",       "$-2\r\n",
        "$\r\n",          ":\r\n",         ":1x\r\n",      ":-\r\n",
        "+OK\rx",         "$3\r\nabcde",   "$3\r\nabc\rx", "$99999999999999999999\r\n",
        "$536870913\r\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(garbage); i++) {
        struct resp_reply r;
        CU_ASSERT_EQUAL(parse(garbage[i], &r), TORC_E_MALFORMED);
    }
}

TEST(a_line_without_an_end_is_refused)
{
    size_t bytes = RESP_LINE_BYTES_MAX + 2;
    char *line = malloc(bytes);
    struct resp_reply r;
    CU_ASSERT_FATAL(line != NULL);
    memset(line, 'a', bytes);
    line[0] = '+';
    CU_ASSERT_EQUAL(resp_parse(slice_of(line, 100), &r), 0);
    CU_ASSERT_EQUAL(resp_parse(slice_of(line, bytes), &r), TORC_E_MALFORMED);
    free(line);
}

TEST(a_bulk_that_is_written_is_read_again)
{
    uint8_t buffer[RESP_BULK_OVERHEAD + 1000], text[1000];
    memset(text, 'v', sizeof text);
    for (size_t bytes = 0; bytes <= sizeof text; bytes += 37) {
        size_t written = resp_put_bulk(buffer, slice_of(text, bytes));
        struct resp_reply r;
        CU_ASSERT(written <= RESP_BULK_OVERHEAD + bytes);
        CU_ASSERT_EQUAL(resp_parse(slice_of(buffer, written), &r), (int64_t)written);
        CU_ASSERT(slice_equal(r.text, slice_of(text, bytes)));
    }
}
