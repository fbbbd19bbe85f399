/* offline_test.c - what `torc restore` takes for a time. */
#include "test/client/complaints.h"

/* Is --to with this text a time? There is no backup, so the restore fails either way, and says of what. */
static bool is_time(const char *to)
{
    char none[300], data[300], said[1024];
    snprintf(none, sizeof none, "%s/none", test_directory());
    snprintf(data, sizeof data, "%s/restored", test_directory());
    char *arguments[] = {none};
    struct cli_options options = {
        .command = "restore", .arguments = arguments, .argument_count = 1, .data = data, .to = to};
    struct cli cli = {.options = &options};
    int code = run_complaining(cli_restore, &cli, said, sizeof said);
    bool is_refused = strstr(said, "--to must be a time") != NULL;
    CU_ASSERT_EQUAL(code, CLI_USAGE); /* no backup is no damage */
    CU_ASSERT(is_refused || strstr(said, none) != NULL);
    return !is_refused;
}

TEST(restore_takes_times_with_and_without_a_fraction_and_a_time_of_day)
{
    static const char *const times[] = {"2026-11-21T17:20:30.250Z",
                                        "2026-11-21T17:20:30.250",
                                        "2026-11-21 17:20:30.2504999",
                                        "2026-11-21T17:20:30",
                                        "2026-11-21T17:20Z",
                                        "2026-11-21 17:20",
                                        "2026-11-21",
                                        "2026-11-21Z",
                                        "2024-02-29T00:00:00Z",
                                        "2026-12-31T23:59:59.9999Z"};
    for (size_t i = 0; i < ARRAY_COUNT(times); i++)
        CU_ASSERT_TRUE(is_time(times[i]));
}

TEST(restore_refuses_times_that_do_not_exist)
{
    static const char *const times[] = {"2026-02-30T00:00:00Z", "2026-02-29",           "2026-04-31T12:00Z",
                                        "2026-11-21T17:20:60Z", "2026-11-21T24:00:00Z", "2026-13-01",
                                        "2026-11-00",           "1969-12-31T23:59:59Z"};
    for (size_t i = 0; i < ARRAY_COUNT(times); i++)
        CU_ASSERT_FALSE(is_time(times[i]));
}

TEST(restore_takes_digits_behind_the_point_of_seconds_and_nothing_else)
{
    static const char *const times[] = {"2026-11-21T17:20:30.5e3",
                                        "2026-11-21T17:20:30.",
                                        "2026-11-21T17:20:30.Z",
                                        "2026-11-21T17:20:30.0x8Z",
                                        "2026-11-21T17:20.5",
                                        "2026-11-21T17:20.5Z",
                                        "2026-11-21.5",
                                        "2026-11-21T17:20:30.250+01:00"};
    for (size_t i = 0; i < ARRAY_COUNT(times); i++)
        CU_ASSERT_FALSE(is_time(times[i]));
}
