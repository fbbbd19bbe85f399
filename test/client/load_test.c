/* load_test.c - `torc load` into a server in a thread: all arrives, the later wins, errors are named. */
#include "test/client/fake_server.h"
#include "test/test.h"

#include "client/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a run of the command wrote and answered. */
struct ran {
    int code;
    char output[512];
    char errors[2048];
    char acked[4096];
};

static void read_back(FILE *file, char *to, size_t capacity)
{
    rewind(file);
    size_t bytes = fread(to, 1, capacity - 1, file);
    to[bytes] = 0;
    fclose(file);
}

/* Runs `torc load` on a file with this text, its output caught. */
static void run_load(struct fake *fake, const char *text, struct ran *ran)
{
    const char *directory = test_directory();
    char path[256], acked[256];
    snprintf(path, sizeof path, "%s/input", directory);
    snprintf(acked, sizeof acked, "%s/acked", directory);
    FILE *input = fopen(path, "we");
    CU_ASSERT(input && fwrite(text, 1, strlen(text), input) == strlen(text));
    CU_ASSERT(input && fclose(input) == 0);
    char *arguments[] = {path};
    struct cli_options options = {.server = fake->address,
                                  .command = "load",
                                  .arguments = arguments,
                                  .argument_count = 1};
    options.acked_path = acked;
    struct cli cli = {.options = &options};
    struct torc_options open_options = {.address = fake->address, .connect_timeout_ms = 200};
    CU_ASSERT_EQUAL_FATAL(torc_open(&open_options, &cli.client), 0);
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    fflush(stdout);
    int old_out = dup(STDOUT_FILENO);
    int old_err = dup(STDERR_FILENO);
    dup2(fileno(out), STDOUT_FILENO);
    dup2(fileno(err), STDERR_FILENO);
    ran->code = cli_load(&cli);
    fflush(stdout);
    dup2(old_out, STDOUT_FILENO);
    dup2(old_err, STDERR_FILENO);
    close(old_out);
    close(old_err);
    torc_close(cli.client);
    read_back(out, ran->output, sizeof ran->output);
    read_back(err, ran->errors, sizeof ran->errors);
    FILE *acked_file = fopen(acked, "ae+");
    CU_ASSERT_PTR_NOT_NULL_FATAL(acked_file);
    read_back(acked_file, ran->acked, sizeof ran->acked);
}

static bool holds(const struct fake *fake, const char *key, const char *value)
{
    for (uint32_t i = 0; i < fake->pair_count; i++)
        if (slice_equal(slice_of(fake->pairs[i].key, fake->pairs[i].key_bytes), slice_of_string(key)))
            return slice_equal(slice_of(fake->pairs[i].value, fake->pairs[i].value_bytes),
                               slice_of_string(value));
    return false;
}

TEST(load_puts_every_record_and_names_the_acknowledged)
{
    struct fake *fake = fake_open(2);
    fake_run(fake);
    struct ran ran;
    run_load(fake, "a\t1\nb\t2\nc\t3\n", &ran);
    fake_stop(fake);
    CU_ASSERT_EQUAL(ran.code, CLI_DONE);
    CU_ASSERT_TRUE(holds(fake, "a", "1") && holds(fake, "b", "2") && holds(fake, "c", "3"));
    CU_ASSERT_EQUAL(strlen(ran.acked), 6);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.acked, "b\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.output, "loaded 3 keys (6 B)"));
    CU_ASSERT_STRING_EQUAL(ran.errors, "");
    fake_close(fake);
}

TEST(load_tries_again_when_overloaded_and_the_later_record_wins)
{
    struct fake *fake = fake_open(1);
    fake->overload_every = 3;
    fake_run(fake);
    struct ran ran;
    char text[4096];
    size_t at = 0;
    for (int i = 0; i < 200; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "key-%d\tvalue-%d\n", i % 7, i);
    run_load(fake, text, &ran);
    fake_stop(fake);
    CU_ASSERT_EQUAL(ran.code, CLI_DONE);
    CU_ASSERT_EQUAL(fake->pair_count, 7);
    for (int i = 193; i < 200; i++) {
        char key[32], value[32];
        snprintf(key, sizeof key, "key-%d", i % 7);
        snprintf(value, sizeof value, "value-%d", i);
        CU_ASSERT_TRUE(holds(fake, key, value));
    }
    CU_ASSERT(fake->request_count > 250);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.output, "loaded 200 keys"));
    fake_close(fake);
}

TEST(load_tries_again_with_large_records_and_the_later_one_wins)
{
    enum { ROUNDS = 3, KEYS = 8, RECORDS = ROUNDS * KEYS, LARGE_BYTES = 100 << 10 };
    static char text[RECORDS * (LARGE_BYTES + 16)], large[LARGE_BYTES + 1];
    struct fake *fake = fake_open(1);
    fake->overload_every = 2;
    fake_run(fake);
    struct ran ran;
    size_t at = 0;
    for (int i = 0; i < RECORDS; i++) {
        memset(large, 'a' + i, LARGE_BYTES);
        at += (size_t)snprintf(text + at, sizeof text - at, "key-%d\t%s\n", i % KEYS, large);
    }
    run_load(fake, text, &ran);
    fake_stop(fake);
    CU_ASSERT_EQUAL(ran.code, CLI_DONE);
    CU_ASSERT_EQUAL(fake->pair_count, KEYS);
    for (int i = RECORDS - KEYS; i < RECORDS; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", i % KEYS);
        memset(large, 'a' + i, LARGE_BYTES);
        CU_ASSERT_TRUE(holds(fake, key, large));
    }
    fake_close(fake);
}

TEST(load_stops_at_bad_input_and_says_where)
{
    struct fake *fake = fake_open(1);
    fake_run(fake);
    struct ran ran;
    run_load(fake, "a\t1\nb\t2\nwrong\nc\t3\n", &ran);
    fake_stop(fake);
    CU_ASSERT_EQUAL(ran.code, CLI_ERROR);
    CU_ASSERT_EQUAL(fake->pair_count, 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.errors, "/input:3: no tab"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.output, "loaded 2 keys"));
    fake_close(fake);
}

TEST(load_that_leaves_a_record_unknown_says_so_whatever_failed_before)
{
    struct fake *fake = fake_open(1);
    fake->refuse_at = 1;
    fake->drop_at = 2;
    fake_run(fake);
    struct ran ran;
    run_load(fake, "a\t1\nb\t2\n", &ran);
    fake_stop(fake);
    CU_ASSERT_EQUAL(ran.code, CLI_OUTCOME_UNKNOWN);
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.errors, "/input:1: not acknowledged: refused"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.output, "loaded 0 keys"));
    fake_close(fake);
}

TEST(exit_code_is_unknown_where_the_client_says_so)
{
    CU_ASSERT_EQUAL(cli_exit_code(TORC_TIMEOUT), CLI_OUTCOME_UNKNOWN);
    CU_ASSERT_EQUAL(cli_exit_code(TORC_DISCONNECTED), CLI_OUTCOME_UNKNOWN);
    CU_ASSERT_EQUAL(cli_exit_code(TORC_CHECKSUM), CLI_OUTCOME_UNKNOWN);
    CU_ASSERT_EQUAL(cli_exit_code(TORC_UNKNOWN), CLI_OUTCOME_UNKNOWN);
    CU_ASSERT_EQUAL(cli_exit_code(TORC_STORAGE), CLI_ERROR);
    CU_ASSERT_EQUAL(cli_exit_code(TORC_DISK_FULL), CLI_ERROR);
    CU_ASSERT_EQUAL(cli_exit_code(TORC_CANCELLED), CLI_ERROR);
}

TEST(load_says_once_that_there_is_no_server)
{
    struct fake *fake = fake_open(1);
    fake_stop_listening(fake);
    struct ran ran;
    run_load(fake, "a\t1\nb\t2\nc\t3\n", &ran);
    CU_ASSERT_EQUAL(ran.code, CLI_CANNOT_CONNECT);
    char *first = strstr(ran.errors, "cannot connect");
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_NULL(strstr(first + 1, "cannot connect"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ran.errors, "--server"));
    CU_ASSERT_STRING_EQUAL(ran.acked, "");
    fake_close(fake);
}
