/* commands_test.c - commands on keys that fail, each in its own way. */
#include "test/client/complaints.h"
#include "test/client/fake_server.h"

enum { ERRORS_BYTES = 2048 };

/* Runs `torc mget FIRST SECOND`. Returns: its exit code. */
static int get_both(struct fake *fake, char *first, char *second, char *errors)
{
    char *arguments[] = {first, second};
    struct cli_options options = {.command = "mget", .arguments = arguments, .argument_count = 2};
    struct cli cli = {.options = &options};
    struct torc_options open_options = {.address = fake->address};
    CU_ASSERT_EQUAL_FATAL(torc_open(&open_options, &cli.client), 0);
    int code = run_complaining(cli_mget, &cli, errors, ERRORS_BYTES);
    torc_close(cli.client);
    return code;
}

static unsigned count(const char *text, const char *sentence)
{
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, sentence)) != NULL; at++)
        found++;
    return found;
}

TEST(mget_says_of_each_key_why_it_failed_and_ends_with_the_worst)
{
    struct fake *fake = fake_open(1);
    char errors[ERRORS_BYTES];
    char too_long[TORC_KEY_BYTES_MAX + 2];
    memset(too_long, 'k', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    fake->drop_at = 1;
    fake_run(fake);
    CU_ASSERT_EQUAL(get_both(fake, "a", too_long, errors), CLI_OUTCOME_UNKNOWN);
    CU_ASSERT_EQUAL(count(errors, torc_error_sentence(TORC_DISCONNECTED)), 1);
    CU_ASSERT_EQUAL(count(errors, torc_error_sentence(TORC_KEY_TOO_LONG)), 1);
    CU_ASSERT_EQUAL(get_both(fake, too_long, "none", errors), CLI_ERROR);
    CU_ASSERT_EQUAL(count(errors, torc_error_sentence(TORC_KEY_TOO_LONG)), 1);
    CU_ASSERT_EQUAL(count(errors, torc_error_sentence(TORC_NOT_FOUND)), 1);
    fake_stop(fake);
    fake_close(fake);
}

TEST(worse_of_two_exit_codes_is_the_one_that_is_less_certain)
{
    static const int order[] = {CLI_DONE, CLI_NOT_FOUND, CLI_ERROR, CLI_CANNOT_CONNECT, CLI_OUTCOME_UNKNOWN};
    for (size_t a = 0; a < ARRAY_COUNT(order); a++)
        for (size_t b = 0; b < ARRAY_COUNT(order); b++)
            CU_ASSERT_EQUAL(cli_worse(order[a], order[b]), order[a > b ? a : b]);
}
