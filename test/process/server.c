/* server.c - a torcd under test; see server.h. */
#include "test/process/server.h"

#include "test/process/raw.h"
#include "test/test.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void server_init(struct server *s, const char *data, const char *const *arguments)
{
    *s = (struct server){.process.pidfd = -1};
    snprintf(s->directory, sizeof s->directory, "%s", test_directory());
    if (data)
        snprintf(s->data, sizeof s->data, "%s", data);
    else
        ASSERT((size_t)snprintf(s->data, sizeof s->data, "%s", test_directory()) < sizeof s->data);
    for (size_t i = 0; arguments && arguments[i]; i++) {
        ASSERT(i < SERVER_ARGUMENTS_MAX);
        s->arguments[i] = arguments[i];
    }
}

bool server_launch(struct server *s)
{
    char program[PROCESS_PATH_BYTES];
    const char *argv[SERVER_ARGUMENTS_MAX + 8] = {process_program("torcd", program), "--listen",
                                                  "127.0.0.1:0", "--data", s->data};
    for (size_t i = 0; s->arguments[i]; i++)
        argv[5 + i] = s->arguments[i];
    return process_start(&s->process, &(struct process_options){
                                          .argv = argv,
                                          .directory = s->directory,
                                          .prepare = s->prepare,
                                      });
}

char *server_log(const struct server *s)
{
    return process_read_file(s->process.err, NULL);
}

/* What no server may ever write. */
static void check_log(const struct server *s)
{
    static const char *const bad[] = {"assertion failed", "Sanitizer", "runtime error", "level=error"};
    char *log = server_log(s);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (!strstr(log, bad[i]))
            continue;
        CU_FAIL("the server's log has an error in it");
        printf("\n%.6000s\n", log);
        break;
    }
    free(log);
}

static void show_log(const struct server *s)
{
    char *log = server_log(s);
    size_t bytes = strlen(log);
    printf("\ntorcd, code %d: %s\n", s->process.code, log + (bytes > 6000 ? bytes - 6000 : 0));
    free(log);
}

bool server_start(struct server *s)
{
    if (!server_launch(s))
        return false;
    if (!process_wait_for_error(&s->process, "event=serving", SERVER_START_MS)) {
        CU_FAIL("the server does not start");
        process_kill(&s->process);
        show_log(s);
        return false;
    }
    s->port = (uint16_t)server_said(s, "port");
    snprintf(s->address, sizeof s->address, "127.0.0.1:%u", s->port);
    return true;
}

void server_crash(struct server *s)
{
    process_kill(&s->process);
    CU_ASSERT_EQUAL(s->process.code, -SIGKILL);
    if (s->process.code != -SIGKILL)
        show_log(s);
    check_log(s);
}

void server_stop(struct server *s)
{
    if (s->process.pidfd >= 0)
        ASSERT(kill(s->process.pid, SIGTERM) == 0);
    int code = process_end(&s->process, SERVER_STOP_MS);
    CU_ASSERT_EQUAL(code, 0);
    if (code != 0)
        show_log(s);
    check_log(s);
}

int server_run(struct server *s, char **errors)
{
    if (!server_launch(s))
        return 127;
    int code = process_end(&s->process, 10000);
    *errors = server_log(s);
    return code;
}

uint64_t server_said(const struct server *s, const char *name)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, " %s=", name);
    char *log = server_log(s);
    const char *line = strstr(log, "event=serving");
    const char *at = line ? strstr(line, pattern) : NULL;
    CU_ASSERT_PTR_NOT_NULL(at);
    uint64_t value = at ? strtoull(at + strlen(pattern), NULL, 10) : 0;
    free(log);
    return value;
}

double server_counter(const struct server *s, const char *section, const char *name)
{
    struct raw raw;
    struct frame answer;
    double value = -1;
    if (!raw_connect(&raw, s->port, FRAME_CORE_ANY))
        return value;
    struct raw_request request = {.op = FRAME_INFO, .key = slice_of_string(section)};
    int rc = raw_call(&raw, &request, &answer);
    CU_ASSERT_EQUAL(rc, 0);
    json_t *root = rc ? NULL : json_loadb((const char *)answer.value.data, answer.value.bytes, 0, NULL);
    const json_t *number = json_object_get(json_object_get(root, section), name);
    CU_ASSERT(json_is_number(number));
    if (json_is_number(number))
        value = json_number_value(number);
    json_decref(root);
    raw_close(&raw);
    return value;
}
