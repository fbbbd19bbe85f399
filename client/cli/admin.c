/* admin.c - `torc snapshot` and `torc backup`: jobs of the server, started and waited for. */
#include "client/cli/cli.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_NS_FIRST = 2000000,
    LOOK_NS_MAX = 250000000,
    TIME_TEXT_BYTES = 40,
};

/* ---- a job, from its start to its end ---- */

static int complain_of_lost_job(const char *command)
{
    cli_complain(
        "%s: the server does not know the job any more: it was started anew, or many others came since; "
        "its log or `torc snapshot list` tells whether it was done",
        command);
    return CLI_OUTCOME_UNKNOWN;
}

/* What came of torc_admin: the answer, read; null after saying why, with the exit code in *code. */
static json_t *read_answer(struct cli *cli, const char *command, int rc, char *text, int *code)
{
    if (rc == TORC_NOT_FOUND)
        *code = complain_of_lost_job(command);
    else if (rc != 0)
        *code = cli_fail(cli, rc, command, torc_bytes_of(NULL, 0));
    json_t *answer = rc == 0 ? json_loads(text, 0, NULL) : NULL;
    if (rc == 0 && !answer)
        *code = cli_complain("%s: the answer of the server is no JSON", command);
    torc_free(text);
    return answer;
}

/* As read_answer. */
static json_t *start_job(struct cli *cli, const char *command, const char *argument, int *code)
{
    char *text = NULL;
    int rc = torc_admin(cli->client, torc_string(command), torc_string(argument), &text);
    if (rc != TORC_OVERLOADED)
        return read_answer(cli, command, rc, text, code);
    *code = cli_complain("%s: the server is busy: another snapshot or backup is under way, or it has no task "
                         "free; try again",
                         command);
    return NULL;
}

static void pause_ns(long ns)
{
    struct timespec time = {.tv_nsec = ns};
    nanosleep(&time, NULL);
}

/* Waits for the end of a job: a server that is too busy to say how it is has not ended it. Returns: what it
 * says then, or null with the exit code. */
static json_t *await_job(struct cli *cli, json_int_t number, int *code)
{
    char argument[32];
    snprintf(argument, sizeof argument, "%" JSON_INTEGER_FORMAT, number);
    for (long ns = LOOK_NS_FIRST;; ns = ns * 2 < LOOK_NS_MAX ? ns * 2 : LOOK_NS_MAX) {
        char *text = NULL;
        int rc = torc_admin(cli->client, torc_string("job"), torc_string(argument), &text);
        json_t *job = rc == TORC_OVERLOADED ? NULL : read_answer(cli, "job", rc, text, code);
        const char *state = json_string_value(json_object_get(job, "state"));
        if (rc != TORC_OVERLOADED && (!state || strcmp(state, "running") != 0))
            return job;
        json_decref(job);
        pause_ns(ns);
    }
}

/* Runs a job. Returns: its result, with *code CLI_DONE; or null after saying why. */
static json_t *run_job(struct cli *cli, const char *command, const char *argument, int *code)
{
    *code = CLI_DONE;
    json_t *started = start_job(cli, command, argument, code);
    if (!started)
        return NULL;
    json_t *job = await_job(cli, json_integer_value(json_object_get(started, "job")), code);
    json_decref(started);
    if (!job)
        return NULL;
    const char *error = json_string_value(json_object_get(job, "error"));
    json_t *result = json_incref(json_object_get(job, "result"));
    if (error)
        *code = cli_complain("%s", error);
    else if (!result)
        *code = cli_complain("%s: the server says nothing of what came of it", command);
    json_decref(job);
    return result;
}

/* ---- what it says ---- */

static void time_text(json_int_t ms, char text[TIME_TEXT_BYTES])
{
    struct tm parts;
    time_t seconds = (time_t)(ms / 1000);
    char date[32] = "";
    if (gmtime_r(&seconds, &parts))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, TIME_TEXT_BYTES, "%s.%03dZ", date, (int)(ms % 1000));
}

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static int write_json(struct cli *cli, const json_t *result)
{
    char *text = json_dumps(result, JSON_COMPACT);
    if (!text)
        return cli_complain("out of memory");
    int rc = cli_write_text(cli, text);
    free(text);
    return rc ? rc : cli_write_text(cli, "\n");
}

static int write_snapshot(struct cli *cli, const json_t *s)
{
    char line[256], when[TIME_TEXT_BYTES];
    const char *name = json_string_value(json_object_get(s, "name"));
    const char *useless = json_string_value(json_object_get(s, "useless"));
    time_text(number_of(s, "time_ms"), when);
    if (useless)
        snprintf(line, sizeof line, "%.64s\t%.32s: delete it\n", name ? name : "?", useless);
    else
        snprintf(line, sizeof line, "%s\t%s\t%lld files\t%lld bytes\n", name ? name : "?", when,
                 (long long)number_of(s, "files"), (long long)number_of(s, "bytes"));
    return cli_write_text(cli, line);
}

static int write_snapshots(struct cli *cli, const json_t *result)
{
    size_t i;
    const json_t *one;
    int rc = CLI_DONE;
    json_array_foreach(json_object_get(result, "snapshots"), i, one)
    {
        if (rc == CLI_DONE)
            rc = write_snapshot(cli, one);
    }
    return rc;
}

static int write_backup(struct cli *cli, const json_t *b)
{
    char line[256], when[TIME_TEXT_BYTES];
    const char *name = json_string_value(json_object_get(b, "name"));
    time_text(number_of(b, "time_ms"), when);
    snprintf(line, sizeof line, "%s\t%s\t%lld files\t%lld bytes\t%lld new files\t%lld new bytes\n",
             name ? name : "?", when, (long long)number_of(b, "files"), (long long)number_of(b, "bytes"),
             (long long)number_of(b, "new_files"), (long long)number_of(b, "new_bytes"));
    return cli_write_text(cli, line);
}

int cli_backup(struct cli *cli)
{
    int code;
    json_t *result = run_job(cli, "backup", cli->options->arguments[0], &code);
    if (!result)
        return code;
    code = cli->options->is_json ? write_json(cli, result) : write_backup(cli, result);
    json_decref(result);
    return code;
}

/* Adds a page to `all`. *after: the name after which it was asked for; then that of the last one in it, which
 * is behind, when more are there; else null. Borrowed from `all`. Returns: false when the page is none. */
static bool add_page(json_t *all, const json_t *page, const char **after)
{
    json_t *list = json_object_get(page, "snapshots");
    size_t count = json_array_size(list);
    bool has_more = number_of(page, "more") != 0;
    const char *last = json_string_value(json_object_get(json_array_get(list, count - 1), "name"));
    if (has_more && (!last || strcmp(last, *after) <= 0))
        return false;
    *after = has_more ? last : NULL;
    return json_array_extend(json_object_get(all, "snapshots"), list) == 0;
}

/* All pages of the list as one. Returns: null after saying why. */
static json_t *list_snapshots(struct cli *cli, int *code)
{
    json_t *all = json_pack("{s:[]}", "snapshots");
    const char *after = "";
    if (!all)
        *code = cli_complain("out of memory");
    while (all && after) {
        json_t *page = run_job(cli, "snapshot-list", after, code);
        bool is_added = page && add_page(all, page, &after);
        if (page && !is_added)
            *code = cli_complain("snapshot-list: the answer of the server is no page of a list");
        json_decref(page);
        if (!is_added) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}

int cli_snapshot(struct cli *cli)
{
    static const char *const verbs[] = {"create", "list", "delete"};
    static const char *const commands[] = {"snapshot-create", "", "snapshot-delete"};
    const struct cli_options *o = cli->options;
    size_t verb = 0;
    int code;
    while (verb < ARRAY_COUNT(verbs) && strcmp(verbs[verb], o->arguments[0]) != 0)
        verb++;
    bool is_list = verb == 1;
    if (verb == ARRAY_COUNT(verbs) || o->argument_count != (is_list ? 1 : 2)) {
        cli_complain("snapshot takes create NAME, list or delete NAME; see torc --help");
        return CLI_USAGE;
    }
    code = CLI_DONE;
    json_t *result =
        is_list ? list_snapshots(cli, &code) : run_job(cli, commands[verb], o->arguments[1], &code);
    if (!result)
        return code;
    if (o->is_json)
        code = write_json(cli, result);
    else if (is_list)
        code = write_snapshots(cli, result);
    else
        code = verb == 0 ? write_snapshot(cli, result) : cli_write_text(cli, "OK\n");
    json_decref(result);
    return code;
}
