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

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Milliseconds of a fraction of a second, ".25", rounded; *end is behind it. None: 0 and *end = text. */
static uint64_t fraction_ms_of(const char *text, const char **end)
{
    double ms = 0, unit = 1000;
    *end = text;
    if (text[0] != '.' || !is_digit(text[1]))
        return 0;
    for (text++; is_digit(*text); text++)
        ms += (*text - '0') * (unit /= 10);
    *end = text;
    return (uint64_t)(ms + 0.5);
}

/* Is there such a time? timegm makes the 2nd of March of the 30th of February. *seconds is Unix time. */
static bool exists(const struct tm *parts, time_t *seconds)
{
    struct tm t = *parts;
    *seconds = timegm(&t);
    return *seconds >= 0 && t.tm_year == parts->tm_year && t.tm_mon == parts->tm_mon &&
           t.tm_mday == parts->tm_mday && t.tm_hour == parts->tm_hour && t.tm_min == parts->tm_min &&
           t.tm_sec == parts->tm_sec;
}

/* As ISO 8601 has it, in UTC; the seconds may have a fraction, and they or the time of day may be missing.
 * Returns: Unix milliseconds; 0 when it is no time. */
static uint64_t time_ms_of(const char *text)
{
    static const struct {
        const char *text;
        bool has_seconds;
    } formats[] = {{"%Y-%m-%dT%H:%M:%S", true},
                   {"%Y-%m-%d %H:%M:%S", true},
                   {"%Y-%m-%dT%H:%M", false},
                   {"%Y-%m-%d %H:%M", false},
                   {"%Y-%m-%d", false}};
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        struct tm parts = {0};
        const char *end = strptime(text, formats[i].text, &parts);
        if (!end)
            continue;
        time_t seconds;
        uint64_t ms = formats[i].has_seconds ? fraction_ms_of(end, &end) : 0;
        if ((*end == 0 || strcmp(end, "Z") == 0) && exists(&parts, &seconds))
            return (uint64_t)seconds * 1000 + ms;
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
