/* offline_test.c - `torc check` and `torc dump --raw` on data directories of a real server: what they say,
 * how they end, and that they change nothing. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/process/tree.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    GOOD = 0,
    DAMAGED = 1,
    FAILED = 2,
    KEYS = 600,
    VALUE_BYTES = 1000,
    SMALL_BYTES = 400,
    PATH_BYTES = 1024
};

static const char *const options[] = {
    "--cores", "1", "--segment-bytes", "4M", "--memtable-bytes", "1M", "--value-log-min", "512", NULL};

static bool make_data(struct server *s)
{
    static uint8_t value[VALUE_BYTES];
    struct raw raw;
    server_init(s, NULL, options);
    if (!server_start(s) || !raw_connect(&raw, s->port, 0))
        return false;
    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < KEYS; i++) {
            char key[32];
            snprintf(key, sizeof key, "key-%u", round * KEYS + i);
            memset(value, (int)(i + round), sizeof value);
            CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string(key),
                                    slice_of(value, i % 4 ? SMALL_BYTES : VALUE_BYTES)),
                            0);
        }
    raw_close(&raw);
    server_stop(s);
    return true;
}

/* Runs torc with these arguments. Returns: its exit code; what it said in *out and *errors, freed by the
 * caller. */
static int run(const struct server *s, const char *const *arguments, char **out, char **errors)
{
    char program[PROCESS_PATH_BYTES];
    const char *argv[8] = {process_program("torc", program)};
    for (size_t i = 0; arguments[i]; i++)
        argv[i + 1] = arguments[i];
    struct process p;
    ASSERT(process_start(&p, &(struct process_options){.argv = argv, .directory = s->directory}));
    int code = process_end(&p, 20000);
    *out = process_read_file(p.out, NULL);
    *errors = process_read_file(p.err, NULL);
    return code;
}

/* Expects the code, and the words in what is said where. */
static void expect(const struct server *s, const char *const *arguments, int code, const char *words)
{
    char *out, *errors;
    int found = run(s, arguments, &out, &errors);
    CU_ASSERT_EQUAL(found, code);
    bool is_said = strstr(code == FAILED ? errors : out, words) != NULL;
    CU_ASSERT(is_said);
    if (found != code || !is_said)
        printf("\n    expected %d and \"%s\": %d, %.2000s%s", code, words, found, out, errors);
    free(out);
    free(errors);
}

#define EXPECT(server, code, words, ...) expect(server, (const char *const[]){__VA_ARGS__, NULL}, code, words)

/* The last file of the shard whose name begins so. */
static bool find_file(const struct server *s, const char *prefix, char path[PATH_BYTES])
{
    char directory[PROCESS_PATH_BYTES + 32];
    struct dirent **names = NULL;
    bool is_found = false;
    snprintf(directory, sizeof directory, "%s/layout-1/shard-000", s->data);
    int count = scandir(directory, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (strncmp(names[i]->d_name, prefix, strlen(prefix)) == 0) {
            snprintf(path, PATH_BYTES, "%s/%s", directory, names[i]->d_name);
            is_found = true;
        }
        free(names[i]);
    }
    free(names);
    CU_ASSERT(is_found);
    return is_found;
}

static void flip(const char *path, off_t offset)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x40;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

TEST(check_of_a_good_directory_says_so_and_changes_nothing)
{
    struct server s;
    if (!make_data(&s))
        return;
    char *before = tree_describe(s.data);
    EXPECT(&s, GOOD, "all is good", "check", s.data);
    char *after = tree_describe(s.data);
    CU_ASSERT_STRING_EQUAL(before, after);
    free(before);
    free(after);
}

TEST(check_names_each_kind_of_damage_with_file_and_place)
{
    static const struct {
        const char *prefix;
        off_t offset;
        const char *words;
    } damages[] = {
        {"table-", 4096 + 100, "byte 4096: a block"},
        {"values-", 40, "a value at byte 0 of values-"},
        {"MANIFEST-A", 60, "MANIFEST-A: this copy"},
        {"MANIFEST-B", 60, "MANIFEST-B: this copy"},
    };
    struct server s;
    char path[PATH_BYTES];
    if (!make_data(&s))
        return;
    for (size_t i = 0; i < ARRAY_COUNT(damages); i++) {
        if (!find_file(&s, damages[i].prefix, path))
            return;
        flip(path, damages[i].offset);
        EXPECT(&s, DAMAGED, damages[i].words, "check", s.data);
        flip(path, damages[i].offset);
    }
    EXPECT(&s, GOOD, "all is good", "check", s.data);
    snprintf(path, sizeof path, "%s/IDENTITY", s.data);
    flip(path, 30);
    EXPECT(&s, DAMAGED, "IDENTITY", "check", s.data);
}

TEST(check_finds_nothing_wrong_after_damage_was_given_up)
{
    struct server s;
    char path[PATH_BYTES];
    if (!make_data(&s) || !find_file(&s, "table-", path))
        return;
    flip(path, 4096 + 100);
    if (!find_file(&s, "values-", path))
        return;
    flip(path, 40);
    EXPECT(&s, DAMAGED, "byte 4096: a block", "check", s.data);
    unsigned count = 0;
    while (s.arguments[count])
        count++;
    ASSERT(count < SERVER_ARGUMENTS_MAX);
    s.arguments[count] = "--accept-loss";
    if (!server_start(&s))
        return;
    CU_ASSERT(process_wait_for_error(&s.process, "event=loss_accepted", 10000));
    server_stop(&s);
    EXPECT(&s, GOOD, "all is good", "check", s.data);
}

TEST(check_of_a_directory_in_use_is_refused)
{
    struct server s;
    if (!make_data(&s) || !server_start(&s))
        return;
    EXPECT(&s, FAILED, "in use", "check", s.data);
    server_stop(&s);
}

TEST(check_of_what_is_no_data_directory_is_refused)
{
    struct server s;
    server_init(&s, NULL, options);
    EXPECT(&s, FAILED, "no data directory of torc", "check", s.data);
    EXPECT(&s, FAILED, "No such file", "check", "/nowhere/at/all");
    EXPECT(&s, FAILED, "check takes a data directory", "check");
    EXPECT(&s, FAILED, "dump --raw takes a file", "dump", "--raw");
}

TEST(dump_raw_prints_every_kind_of_file)
{
    struct server s;
    char path[PATH_BYTES];
    if (!make_data(&s))
        return;
    if (find_file(&s, "table-", path))
        EXPECT(&s, GOOD, "namespace 0 key \"key-", "dump", "--raw", path);
    if (find_file(&s, "MANIFEST-B", path))
        EXPECT(&s, GOOD, "vnodes 0 to 1023 of 2^10", "dump", "--raw", path);
    if (find_file(&s, "wal-", path))
        EXPECT(&s, GOOD, "log:", "dump", "--raw", path);
    if (find_file(&s, "values-", path))
        EXPECT(&s, GOOD, "value 1000 \"", "dump", "--raw", path);
    snprintf(path, sizeof path, "%s/IDENTITY", s.data);
    EXPECT(&s, FAILED, "no table", "dump", "--raw", path);
    EXPECT(&s, FAILED, "No such file", "dump", "--raw", "/nowhere");
}

TEST(dump_raw_names_damaged_parts_and_goes_on)
{
    struct server s;
    char path[PATH_BYTES];
    if (!make_data(&s) || !find_file(&s, "table-", path))
        return;
    flip(path, 100);
    EXPECT(&s, DAMAGED, "  0: DAMAGED", "dump", "--raw", path);
    EXPECT(&s, DAMAGED, "key \"key-", "dump", "--raw", path);
    flip(path, 100);
    if (!find_file(&s, "values-", path))
        return;
    flip(path, 1100);
    EXPECT(&s, DAMAGED, "  1024: DAMAGED: 1024 bytes", "dump", "--raw", path);
    EXPECT(&s, DAMAGED, "  2048: value 1000", "dump", "--raw", path);
    if (!find_file(&s, "MANIFEST-A", path))
        return;
    flip(path, 60);
    EXPECT(&s, DAMAGED, "DAMAGED", "dump", "--raw", path);
}

/* Does the page have this word of the help, with its dashes written as a manual page has them? */
static bool is_in_page(const char *page, const char *before, const char *word, size_t bytes)
{
    char text[128];
    size_t at = (size_t)snprintf(text, sizeof text, "%s", before);
    for (size_t i = 0; i < bytes && at + 2 < sizeof text; i++) {
        if (word[i] == '-')
            text[at++] = '\\';
        text[at++] = word[i];
    }
    text[at] = '\0';
    bool is_there = strstr(page, text) != NULL;
    if (!is_there)
        printf("\n    docs/torc.1 does not know %s\n", text);
    return is_there;
}

TEST(the_manual_page_knows_all_commands_and_options_of_the_help)
{
    static const char command[] = "torc [OPTION...] ", option[] = "      --";
    struct server s;
    char *help, *errors, *page = process_read_file("docs/torc.1", NULL);
    unsigned count = 0;
    server_init(&s, NULL, options);
    CU_ASSERT_EQUAL(run(&s, (const char *const[]){"--help", NULL}, &help, &errors), GOOD);
    for (char *rest = help, *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *word = strstr(line, command);
        if (word)
            word += strlen(command);
        else if (strncmp(line, option, strlen(option)) == 0 && !strstr(line, "--usage"))
            word = line + strlen(option) - 2;
        if (!word)
            continue;
        CU_ASSERT(is_in_page(page, word[0] == '-' ? "" : "\n.B ", word, strcspn(word, " =")));
        count++;
    }
    CU_ASSERT(count > 30);
    free(help);
    free(errors);
    free(page);
}
