/* records_test.c - what `torc load` reads, from text in a pipe or a file. */
#include "test/test.h"

#include "client/cli/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void open_text(struct cli_records *records, FILE *file, torc_bytes text, enum cli_format format)
{
    CU_ASSERT_EQUAL(fwrite(text.data, 1, text.bytes, file), text.bytes);
    CU_ASSERT_EQUAL(fflush(file), 0);
    CU_ASSERT_EQUAL(lseek(fileno(file), 0, SEEK_SET), 0);
    cli_records_init(records, fileno(file), format);
}

struct expected {
    const char *key; /* null: the end */
    const char *value;
    uint64_t ttl_ms;
    uint64_t line;
};

static void check_records(const char *text, enum cli_format format, const struct expected *expected)
{
    FILE *file = tmpfile();
    struct cli_records records;
    struct cli_record r = {0};
    open_text(&records, file, torc_string(text), format);
    for (; expected->key; expected++) {
        CU_ASSERT_EQUAL_FATAL(cli_records_next(&records, &r), 1);
        CU_ASSERT_EQUAL(r.key_bytes, strlen(expected->key));
        CU_ASSERT_EQUAL(r.value_bytes, strlen(expected->value));
        CU_ASSERT_EQUAL(memcmp(r.data, expected->key, r.key_bytes), 0);
        CU_ASSERT_EQUAL(memcmp(r.data + r.key_bytes, expected->value, r.value_bytes), 0);
        CU_ASSERT_EQUAL(r.ttl_ms, expected->ttl_ms);
        CU_ASSERT_EQUAL(r.line, expected->line);
    }
    CU_ASSERT_EQUAL(cli_records_next(&records, &r), 0);
    free(r.data);
    cli_records_deinit(&records);
    fclose(file);
}

/* One sound record, then one that is wrong at `line`. */
static void check_problem(const char *text, enum cli_format format, uint64_t line, const char *words)
{
    FILE *file = tmpfile();
    struct cli_records records;
    struct cli_record r = {0};
    open_text(&records, file, torc_string(text), format);
    CU_ASSERT_EQUAL(cli_records_next(&records, &r), 1);
    CU_ASSERT(cli_records_next(&records, &r) < 0);
    CU_ASSERT_EQUAL(records.problem_line, line);
    CU_ASSERT_PTR_NOT_NULL(strstr(records.problem, words));
    free(r.data);
    cli_records_deinit(&records);
    fclose(file);
}

TEST(records_reads_json_lines)
{
    const struct expected expected[] = {{"a", "1", 0, 1}, {"b\n", "", 5000, 3}, {"c", "\xff", 0, 4}, {0}};
    const char text[] = "{\"key\":\"a\",\"value\":\"1\"}\n\n"
                        "{\"ttl_ms\":5000,\"value\":\"\",\"key\":\"b\\n\"}\r\n"
                        "  {\"key\":\"c\",\"value\":{\"base64\":\"/w==\"}}";
    check_records(text, CLI_FORMAT_AUTO, expected);
    check_records(text, CLI_FORMAT_JSON, expected);
}

TEST(records_reads_pairs_with_a_tab)
{
    const struct expected expected[] = {
        {"a", "1", 0, 2}, {"b c", "x\ty", 0, 3}, {"d", "", 0, 4}, {"e", "x\ry", 0, 5}, {0}};
    check_records("\na\t1\nb c\tx\ty\nd\t\ne\tx\ry\r\n", CLI_FORMAT_AUTO, expected);
}

TEST(records_reads_debian_stanzas)
{
    const struct expected expected[] = {{"zlib1g",
                                         "Package: zlib1g\nVersion: 1\nDescription: z\n more\n .\n end", 0,
                                         1},
                                        {"bash", "Architecture: amd64\nPackage:bash \nVersion: 5", 0, 9},
                                        {0}};
    const char text[] = "Package: zlib1g\nVersion: 1\nDescription: z\n more\n .\n end\n\n \n"
                        "Architecture: amd64\nPackage:bash \nVersion: 5";
    check_records(text, CLI_FORMAT_AUTO, expected);
    check_records(text, CLI_FORMAT_DEB, expected);
}

TEST(records_reads_nothing_from_nothing)
{
    const struct expected none[] = {{0}};
    check_records("", CLI_FORMAT_AUTO, none);
    check_records("\n\n", CLI_FORMAT_AUTO, none);
}

TEST(records_names_the_line_that_is_wrong)
{
    const char *const first = "{\"key\":\"a\",\"value\":\"1\"}\n\n";
    const struct {
        const char *line;
        const char *words;
    } wrong[] = {
        {"{\"key\":\"a\"}", "\"value\""},
        {"[1]", "\"value\""},
        {"{\"key\":\"a\",", "no JSON"},
        {"{\"key\":\"\",\"value\":\"\"}", "empty"},
        {"{\"key\":\"a\",\"value\":1}", "strings"},
        {"{\"key\":\"a\",\"value\":\"\",\"ttl_ms\":0}", "ttl_ms"},
        {"{\"key\":\"a\",\"value\":\"\",\"ttl\":1}", "other than"},
        {"{\"key\":\"a\",\"key\":\"b\",\"value\":\"\"}", "no JSON"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        char text[200];
        snprintf(text, sizeof text, "%s%s", first, wrong[i].line);
        check_problem(text, CLI_FORMAT_AUTO, 3, wrong[i].words);
    }
    check_problem("a\tb\nno tab\n", CLI_FORMAT_AUTO, 2, "no tab");
    check_problem("Package: a\n\n\nVersion: 1\nX: y\n", CLI_FORMAT_AUTO, 4, "no Package");
    check_problem("Package: a\n\nPackage: b\nPackage: c\n", CLI_FORMAT_DEB, 4, "second");
}

TEST(records_refuses_a_first_line_of_no_known_format)
{
    FILE *file = tmpfile();
    struct cli_records records;
    struct cli_record r = {0};
    open_text(&records, file, torc_string("hello\n"), CLI_FORMAT_AUTO);
    CU_ASSERT_EQUAL(cli_records_next(&records, &r), TORC_MALFORMED);
    CU_ASSERT_PTR_NOT_NULL(strstr(records.problem, "--format"));
    free(r.data);
    cli_records_deinit(&records);
    fclose(file);
}

TEST(records_takes_values_of_the_largest_size_and_no_larger)
{
    size_t bytes = 2 + TORC_VALUE_BYTES_MAX;
    char *text = malloc(2 * bytes + 4);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', 2 * bytes + 4);
    text[1] = '\t';
    text[bytes] = '\n';
    text[bytes + 2] = '\t';
    text[2 * bytes + 2] = '\n';
    FILE *file = tmpfile();
    struct cli_records records;
    struct cli_record r = {0};
    open_text(&records, file, torc_bytes_of(text, 2 * bytes + 3), CLI_FORMAT_TSV);
    CU_ASSERT_EQUAL(cli_records_next(&records, &r), 1);
    CU_ASSERT_EQUAL(r.value_bytes, TORC_VALUE_BYTES_MAX);
    CU_ASSERT_EQUAL(cli_records_next(&records, &r), TORC_VALUE_TOO_LARGE);
    CU_ASSERT_EQUAL(records.problem_line, 2);
    free(r.data);
    free(text);
    cli_records_deinit(&records);
    fclose(file);
}

TEST(records_ends_a_line_without_end)
{
    FILE *zeroes = fopen("/dev/zero", "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(zeroes);
    struct cli_records records;
    struct cli_record r = {0};
    cli_records_init(&records, fileno(zeroes), CLI_FORMAT_TSV);
    CU_ASSERT_EQUAL(cli_records_next(&records, &r), TORC_VALUE_TOO_LARGE);
    CU_ASSERT_EQUAL(records.problem_line, 1);
    cli_records_deinit(&records);
    fclose(zeroes);
}

/* A line "k\tvvv..." with so many bytes of value. */
static char *line_of(size_t value_bytes)
{
    char *line = malloc(value_bytes + 4);
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    memset(line, 'v', value_bytes + 2);
    memcpy(line, "k\t", 2);
    memcpy(line + value_bytes + 2, "\n", 2);
    return line;
}

TEST(record_that_is_done_keeps_its_memory_only_when_that_is_small)
{
    static const size_t sizes[] = {100, 1000, 200 << 10, 10, TORC_VALUE_BYTES_MAX};
    struct cli_record r = {0};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        FILE *file = tmpfile();
        struct cli_records records;
        char *line = line_of(sizes[i]);
        open_text(&records, file, torc_string(line), CLI_FORMAT_TSV);
        CU_ASSERT_EQUAL(cli_records_next(&records, &r), 1);
        CU_ASSERT_EQUAL(r.value_bytes, sizes[i]);
        cli_record_done(&r);
        CU_ASSERT_EQUAL(r.data != NULL, sizes[i] <= 1000); /* and 10 behind a large one */
        CU_ASSERT_EQUAL(r.data != NULL, r.capacity > 0);
        CU_ASSERT(r.capacity <= 64 << 10);
        cli_records_deinit(&records);
        fclose(file);
        free(line);
    }
    free(r.data);
}
