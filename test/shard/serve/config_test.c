/* config_test.c - values from text and back, the configuration file, and the pages made of the table. */
#include "shard/serve/config_table.h"

#include <stdlib.h>
#include <string.h>

#include "test/test.h"

static const struct option_row *row(const char *name)
{
    unsigned index = option_find(name);
    ASSERT(index < OPTIONS_COUNT);
    return &option_table[index];
}

static bool is_taken(struct options *o, const char *name, const char *text)
{
    return option_parse(o, row(name), text) == 0;
}

/* What option_format makes of `text`; "refused" when it is no value. */
static const char *round_trip(const char *name, const char *text)
{
    static char result[OPTION_TEXT_BYTES];
    struct options o = {.config = ""};
    if (!is_taken(&o, name, text))
        return "refused";
    option_format(&o, row(name), result);
    return result;
}

TEST(every_default_is_read_and_written_back_as_it_stands)
{
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        const struct option_row *each = &option_table[i];
        CU_ASSERT(each->name && each->help && each->argument && each->initial);
        if (each->initial[0])
            CU_ASSERT_STRING_EQUAL(round_trip(each->name, each->initial), each->initial);
    }
}

TEST(bytes_take_suffixes_of_1024_and_are_written_in_the_largest)
{
    CU_ASSERT_STRING_EQUAL(round_trip("memtable-bytes", "1048576"), "1M");
    CU_ASSERT_STRING_EQUAL(round_trip("memtable-bytes", "1025k"), "1025K");
    CU_ASSERT_STRING_EQUAL(round_trip("cache-bytes", "2T"), "2T");
    CU_ASSERT_STRING_EQUAL(round_trip("memtable-bytes", "1048577"), "1048577");
    CU_ASSERT_STRING_EQUAL(round_trip("memtable-bytes", "1"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("memtable-bytes", "64MB"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("memtable-bytes", "M"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("memtable-bytes", " 64M"), "refused");
}

TEST(numbers_that_overflow_are_refused)
{
    CU_ASSERT_STRING_EQUAL(round_trip("cache-bytes", "99999999999999999999"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("cache-bytes", "9223372036854775807T"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("node-id", "65536"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("node-id", "65535"), "65535");
    CU_ASSERT_STRING_EQUAL(round_trip("pin-first-cpu", "-1"), "-1");
    CU_ASSERT_STRING_EQUAL(round_trip("pin-first-cpu", "-2"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("cores", "--1"), "refused");
}

TEST(durations_need_a_unit)
{
    CU_ASSERT_STRING_EQUAL(round_trip("write-timeout", "1500ms"), "1500ms");
    CU_ASSERT_STRING_EQUAL(round_trip("write-timeout", "90s"), "90s");
    CU_ASSERT_STRING_EQUAL(round_trip("write-timeout", "120s"), "2m");
    CU_ASSERT_STRING_EQUAL(round_trip("write-timeout", "0ms"), "0s");
    CU_ASSERT_STRING_EQUAL(round_trip("write-timeout", "5"), "refused");
    CU_ASSERT_STRING_EQUAL(round_trip("write-timeout", "721h"), "refused");
}

TEST(addresses_are_numbers_with_a_port)
{
    CU_ASSERT_STRING_EQUAL(round_trip("listen", "[::1]:0"), "[::1]:0");
    CU_ASSERT_STRING_EQUAL(round_trip("listen", "10.0.0.1:65535"), "10.0.0.1:65535");
    const char *const wrong[] = {"",           ":7070",           "127.0.0.1",
                                 "127.0.0.1:", "127.0.0.1:65536", "::1:7070",
                                 "[::1]",      "[::1:7070",       "localhost:7070",
                                 "[]:7070",    "[127.0.0.1]:70",  "1.2.3:7070",
                                 "1.2.3.4:7x", "[::1]7070"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        CU_ASSERT_STRING_EQUAL(round_trip("listen", wrong[i]), "refused");
}

TEST(a_refused_value_leaves_the_field_alone)
{
    struct options o = {.config = ""};
    CU_ASSERT(is_taken(&o, "node-id", "7"));
    CU_ASSERT_FALSE(is_taken(&o, "node-id", "70000"));
    CU_ASSERT_EQUAL(o.node_id, 7);
}

TEST(a_path_that_does_not_fit_is_refused)
{
    char path[OPTIONS_PATH_BYTES + 1];
    memset(path, 'a', sizeof path);
    path[OPTIONS_PATH_BYTES] = '\0';
    struct options o = {.config = ""};
    CU_ASSERT_FALSE(is_taken(&o, "data", path));
    path[OPTIONS_PATH_BYTES - 1] = '\0';
    CU_ASSERT(is_taken(&o, "data", path));
    CU_ASSERT_FALSE(is_taken(&o, "data", ""));
}

TEST(a_path_that_the_file_would_cut_is_refused)
{
    static const char *const wrong[] = {"/mnt/a ;b", ";b", " /mnt/a", "/mnt/a ", "/mnt/a\nb", "/mnt/a\t;b"};
    struct options o = {.config = ""};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        CU_ASSERT_FALSE(is_taken(&o, "archive", wrong[i]));
    CU_ASSERT(is_taken(&o, "archive", "/mnt/a b;c"));
    CU_ASSERT(is_taken(&o, "archive", ""));
}

/* ---- the file ---- */

static char why[OPTIONS_WHY_BYTES];

static int read_bytes(struct options *o, const char *text, size_t bytes)
{
    *o = (struct options){.config = ""};
    why[0] = '\0';
    FILE *stream = fmemopen((void *)(uintptr_t)text, bytes, "r");
    ASSERT(stream);
    int rc = config_read_stream(o, stream, "f", why, sizeof why);
    fclose(stream);
    return rc;
}

static int read_text(struct options *o, const char *text)
{
    return read_bytes(o, text, strlen(text));
}

TEST(a_file_may_have_sections_comments_and_indents)
{
    struct options o;
    CU_ASSERT_EQUAL(
        read_text(&o, "; one\n# two\nnode-id = 3\n\n[storage]\n  memtable-bytes=2M ; three\n\tcache-bytes "
                      "= 3M\r\n[log]\nlog-level = debug"),
        0);
    CU_ASSERT_EQUAL(o.node_id, 3);
    CU_ASSERT_EQUAL(o.memtable_bytes, 2u << 20);
    CU_ASSERT_EQUAL(o.cache_bytes, 3u << 20);
    CU_ASSERT_EQUAL(o.log_level, LOG_LEVEL_DEBUG);
    CU_ASSERT_EQUAL(o.sources[option_find("cache-bytes")].line, 7);
    CU_ASSERT_EQUAL(o.sources[option_find("cache-bytes")].origin, ORIGIN_FILE);
}

TEST(an_error_in_a_file_names_the_line)
{
    struct options o;
    CU_ASSERT_EQUAL(read_text(&o, "\nnode-id = many\n"), TORC_E_CONFIGURATION);
    CU_ASSERT_STRING_EQUAL(why, "f:2: node-id: expected a number from 1 to 65535, found \"many\"");
    CU_ASSERT_EQUAL(read_text(&o, "[log]\nlog-levle = info\n"), TORC_E_CONFIGURATION);
    CU_ASSERT_STRING_EQUAL(
        why, "f:2: expected the name of an option (torcd --help lists them), found \"log-levle\"");
    CU_ASSERT_EQUAL(read_text(&o, "[log]\ncores = 1\n"), TORC_E_CONFIGURATION);
    CU_ASSERT_STRING_EQUAL(why, "f:2: cores belongs into the section [node], found it in [log]");
    CU_ASSERT_EQUAL(read_text(&o, "cores = 1\ncores = 1\n"), TORC_E_CONFIGURATION);
    CU_ASSERT_STRING_EQUAL(why, "f:2: cores is given twice; the first is in line 1");
    CU_ASSERT_EQUAL(read_text(&o, "cores = 1\nnonsense\n"), TORC_E_CONFIGURATION);
    CU_ASSERT_STRING_EQUAL(why, "f:2: expected a [section], a comment or NAME = VALUE");
    CU_ASSERT_EQUAL(read_text(&o, "config = other\n"), TORC_E_CONFIGURATION);
}

TEST(the_first_error_of_a_file_is_the_one_that_is_told)
{
    struct options o;
    CU_ASSERT_EQUAL(read_text(&o, "nonsense\ncores = 0\nnode-id = 0\n"), TORC_E_CONFIGURATION);
    CU_ASSERT_EQUAL(strncmp(why, "f:1: ", 5), 0);
}

TEST(a_line_that_is_too_long_is_refused_not_split)
{
    struct options o;
    char text[4096];
    memset(text, 'a', sizeof text);
    memcpy(text, "data = ", 7);
    memcpy(text + sizeof text - 12, "\nnode-id = 9", 12);
    CU_ASSERT_EQUAL(read_bytes(&o, text, sizeof text), TORC_E_CONFIGURATION);
    CU_ASSERT_EQUAL(strncmp(why, "f:1: the line is longer than", 28), 0);
    CU_ASSERT_EQUAL(read_bytes(&o, "cores = 1\0\n\nnode-id = 0", 23), TORC_E_CONFIGURATION);
}

/* ---- the pages ---- */

static char *page_of(void (*print)(FILE *to))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    ASSERT(to);
    print(to);
    ASSERT(fclose(to) == 0);
    return text;
}

TEST(every_page_has_every_option)
{
    char *markdown = page_of(config_print_markdown);
    char *sample = page_of(config_print_sample);
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        char heading[64], key[64];
        snprintf(heading, sizeof heading, "\n### %s\n", option_table[i].name);
        snprintf(key, sizeof key, "\n#%s = ", option_table[i].name);
        CU_ASSERT_PTR_NOT_NULL(strstr(markdown, heading));
        CU_ASSERT_EQUAL(strstr(sample, key) != NULL, option_table[i].section != NULL);
    }
    free(markdown);
    free(sample);
}

TEST(the_sample_is_a_file_of_defaults_once_its_keys_are_uncommented)
{
    char *sample = page_of(config_print_sample);
    for (char *p = strchr(sample, '#'); p; p = strchr(p + 1, '#'))
        if (p[1] >= 'a' && p[1] <= 'z' && p[-1] == '\n')
            *p = ' ';
    struct options o;
    CU_ASSERT_EQUAL(read_text(&o, sample), 0);
    CU_ASSERT_STRING_EQUAL(why, "");
    for (unsigned i = 0; i < OPTIONS_COUNT; i++)
        CU_ASSERT_EQUAL(o.sources[i].origin, option_table[i].section ? ORIGIN_FILE : ORIGIN_DEFAULT);
    free(sample);
}

static struct options printed;
static void print_printed(FILE *to)
{
    config_print_values(&printed, to);
}

TEST(printed_values_are_a_file_that_gives_the_same_values)
{
    CU_ASSERT_EQUAL(
        read_text(&printed, "data = /d\ncores = 2\nnode-id = 5\nlisten = [::1]:1\nconnections-max = 1\n"
                            "memtable-bytes = 5M\nlog-bytes-max = 8M\nsegment-bytes = 4M\ncache-bytes = 1G\n"
                            "value-log-min = 64K\nmemory = 3G"),
        0);
    char *text = page_of(print_printed);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "; :3\n"));
    struct options again;
    CU_ASSERT_EQUAL(read_text(&again, text), 0);
    CU_ASSERT_EQUAL(again.cores, 2);
    CU_ASSERT_EQUAL(again.memtable_bytes, 5u << 20);
    CU_ASSERT_EQUAL(again.memory, UINT64_C(3) << 30);
    CU_ASSERT_STRING_EQUAL(again.listen.host, "::1");
    CU_ASSERT_STRING_EQUAL(again.data, "/d");
    free(text);
}

TEST(printed_long_paths_are_read_back)
{
    char path[170];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    printed = (struct options){.config = ""};
    CU_ASSERT(is_taken(&printed, "archive", path));
    snprintf(printed.config, sizeof printed.config, "%s", path);
    printed.sources[option_find("archive")] = (struct option_source){ORIGIN_FILE, 7};
    printed.sources[option_find("data")] = (struct option_source){ORIGIN_FILE, 8};
    CU_ASSERT(is_taken(&printed, "data", "/short"));
    CU_ASSERT(is_taken(&printed, "listen", "127.0.0.1:1"));
    char *text = page_of(print_printed);
    size_t longest = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        longest = strcspn(line, "\n") > longest ? strcspn(line, "\n") : longest;
    CU_ASSERT(longest <= 197);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, path));
    free(text);
}
