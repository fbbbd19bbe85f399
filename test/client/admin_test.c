/* admin_test.c - `torc snapshot` against a server in a thread that answers what it should not. */
#include "test/client/complaints.h"
#include "test/client/fake_server.h"

/* Runs `torc snapshot list`. Returns: its exit code, with what it wrote to stderr in `errors`. */
static int list_snapshots(struct fake *fake, char *errors, size_t capacity)
{
    char *arguments[] = {"list"};
    struct cli_options options = {.command = "snapshot", .arguments = arguments, .argument_count = 1};
    struct cli cli = {.options = &options};
    struct torc_options open_options = {.address = fake->address};
    CU_ASSERT_EQUAL_FATAL(torc_open(&open_options, &cli.client), 0);
    int code = run_complaining(cli_snapshot, &cli, errors, capacity);
    torc_close(cli.client);
    return code;
}

TEST(snapshot_list_ends_when_its_pages_do_not_get_on)
{
    struct fake *fake = fake_open(1);
    char errors[512];
    fake->admin = "{\"job\":1,\"state\":\"done\",\"result\":{\"snapshots\":[{\"name\":\"a\"}],\"more\":1}}";
    fake_run(fake);
    CU_ASSERT_EQUAL(list_snapshots(fake, errors, sizeof errors), CLI_ERROR);
    CU_ASSERT_PTR_NOT_NULL(strstr(errors, "no page of a list"));
    fake_stop(fake);
    CU_ASSERT_EQUAL(fake->request_count, 4); /* two pages: each a job, and a look at it */
    fake_close(fake);
}

TEST(outcome_of_a_job_that_the_server_has_forgotten_is_unknown)
{
    struct fake *fake = fake_open(1);
    char errors[512];
    fake->admin = "{\"job\":1}";
    fake->job_status = 1; /* NOT_FOUND */
    fake_run(fake);
    CU_ASSERT_EQUAL(list_snapshots(fake, errors, sizeof errors), CLI_OUTCOME_UNKNOWN);
    CU_ASSERT(strstr(errors, "started anew") && strstr(errors, "others came since"));
    fake_stop(fake);
    fake_close(fake);
}

TEST(snapshot_that_is_refused_names_both_reasons_for_it)
{
    struct fake *fake = fake_open(1);
    char errors[512];
    fake->overload_every = 1;
    fake_run(fake);
    CU_ASSERT_EQUAL(list_snapshots(fake, errors, sizeof errors), CLI_ERROR);
    CU_ASSERT(strstr(errors, "is under way") && strstr(errors, "no task free") &&
              strstr(errors, "try again"));
    fake_stop(fake);
    fake_close(fake);
}

TEST(job_goes_on_while_the_server_is_too_busy_to_say_how_it_is)
{
    struct fake *fake = fake_open(1);
    char errors[512];
    fake->admin = "{\"job\":1,\"state\":\"done\",\"result\":{\"snapshots\":[]}}";
    fake->overload_every = 2;
    fake_run(fake);
    CU_ASSERT_EQUAL(list_snapshots(fake, errors, sizeof errors), CLI_DONE);
    CU_ASSERT_STRING_EQUAL(errors, "");
    fake_stop(fake);
    CU_ASSERT_EQUAL(fake->request_count, 3); /* the job, and two looks at it */
    fake_close(fake);
}
