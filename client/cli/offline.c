/* offline.c - the commands that need no server: they look at files on this machine. */
#include "offline/offline.h"
#include "client/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static_assert((int)OFFLINE_GOOD == (int)CLI_DONE && (int)OFFLINE_DAMAGED == (int)CLI_ERROR &&
                  (int)OFFLINE_FAILED == (int)CLI_USAGE,
              "their codes are exit codes of torc");

int cli_check(struct cli *cli)
{
    return offline_check(cli->options->arguments[0]);
}

int cli_dump_raw(struct cli *cli)
{
    return offline_dump(cli->options->arguments[0]);
}

/* As ISO 8601 has it, in UTC; the seconds may have a fraction, and the time of day may be missing. Returns:
 * Unix milliseconds; 0 when it is no time. */
static uint64_t time_ms_of(const char *text)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                          "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        struct tm parts = {0};
        const char *rest = strptime(text, formats[i], &parts);
        if (!rest)
            continue;
        char *end = (char *)(uintptr_t)rest;
        double fraction = *rest == '.' ? strtod(rest, &end) : 0;
        time_t seconds = timegm(&parts);
        if ((*end == 0 || strcmp(end, "Z") == 0) && seconds >= 0)
            return (uint64_t)seconds * 1000 + (uint64_t)(fraction * 1000 + 0.5);
    }
    return 0;
}

int cli_restore(struct cli *cli)
{
    enum { CLOCK_COUNTER_BITS = 16 };
    const struct cli_options *o = cli->options;
    if (!o->data) {
        cli_complain("restore makes a data directory: name it with --data DIR");
        return CLI_USAGE;
    }
    uint64_t to_ms = o->to ? time_ms_of(o->to) : 0;
    if (o->to && to_ms == 0) {
        cli_complain("--to must be a time in UTC like 2026-11-21T17:20:30.250Z, not \"%s\"", o->to);
        return CLI_USAGE;
    }
    struct offline_restore restore = {
        .backup = o->arguments[0],
        .data = o->data,
        .archive = o->archive,
        .clock = to_ms ? to_ms << CLOCK_COUNTER_BITS | UINT16_MAX : UINT64_MAX,
    };
    return offline_restore(&restore);
}

int cli_backup_verify(struct cli *cli)
{
    const struct cli_options *o = cli->options;
    const char *backup = o->arguments[1];
    size_t length = strlen(backup), bytes = length + sizeof ".verify";
    char *scratch = malloc(bytes);
    if (!scratch)
        return cli_complain("out of memory");
    while (length > 1 && backup[length - 1] == '/')
        length--;
    snprintf(scratch, bytes, "%.*s.verify", (int)length, backup);
    int code = offline_verify(backup, o->data ? o->data : scratch);
    free(scratch);
    return code;
}
