/* options.c - the command line of `torc`, read with argp: options may stand before and after the command. */
#include "client/cli/cli.h"
#include "reactor/base/version.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_JSON = 256,
    KEY_TTL,
    KEY_LIMIT,
    KEY_KEYS_ONLY,
    KEY_FORMAT,
    KEY_ACKED,
    KEY_RAW,
    KEY_PREFIX,
    KEY_FROM,
    KEY_TO,
    KEY_REVERSE,
    KEY_ORDERED,
    KEY_DATA,
    KEY_ARCHIVE,
    KEY_SNAPSHOT,
};

static const struct argp_option known[] = {
    {"server", 's', "HOST:PORT", 0, "The server [127.0.0.1:7070, or what TORC_SERVER says]", 1},
    {"timeout", 't', "MS", 0, "How long to wait for a connection or an answer [2000 and 5000]", 1},
    {"json", KEY_JSON, NULL, 0, "Write JSON", 1},
    {"ttl", KEY_TTL, "SECONDS", 0, "put: the key expires after so long; fractions are allowed", 2},
    {"limit", KEY_LIMIT, "N", 0, "scan: stop after so many keys", 2},
    {"prefix", KEY_PREFIX, "TEXT", 0, "scan: keys that begin with TEXT", 2},
    {"from", KEY_FROM, "KEY", 0, "scan: from KEY on", 2},
    {"to", KEY_TO, "KEY|TIME", 0,
     "scan: keys before KEY; restore: as it was at TIME, such as 2026-11-21T17:20:30.250Z", 2},
    {"reverse", KEY_REVERSE, NULL, 0, "scan: from the last key to the first", 2},
    {"ordered", KEY_ORDERED, NULL, 0, "scan: all keys in order; else each part of the ring in order", 2},
    {"snapshot", KEY_SNAPSHOT, NULL, 0, "scan: all as it was at one moment", 2},
    {"keys-only", KEY_KEYS_ONLY, NULL, 0, "scan: keys without values", 2},
    {"format", KEY_FORMAT, "FORMAT", 0, "load: auto, json, tsv or deb [auto]", 2},
    {"acked", KEY_ACKED, "FILE", 0, "load: append each key to FILE when the server has acknowledged it", 2},
    {"raw", KEY_RAW, NULL, 0,
     "dump: write what a table, a file of the log or a manifest holds; no server is asked", 2},
    {"data", KEY_DATA, "DIR", 0, "restore: the data directory to make; backup verify: where to try it", 2},
    {"archive", KEY_ARCHIVE, "DIR", 0, "restore: the server's `archive` [that of the backups]", 2},
    {0},
};

static const char arguments_text[] =
    "put KEY VALUE|-\nget KEY\ndel KEY\nexists KEY\nmget KEY...\nscan [PREFIX]\n"
    "load FILE|-\ndump [PREFIX]\ndump --raw FILE\ncheck DIR\nping\ninfo [SECTION]\n"
    "snapshot create NAME\nsnapshot list\nsnapshot delete NAME\n"
    "backup DIR\nbackup verify DIR [--data DIR]\nrestore DIR [--to TIME] [--archive DIR] --data DIR";

static const char about[] =
    "Talks to a torc server.\v"
    "A value of - is read from standard input. `get` writes the value as it is, with a newline only on a "
    "terminal. "
    "`dump` writes a JSON object for each key on a line of its own, and `load` reads those, tab-separated "
    "pairs and "
    "Debian control files. In JSON a key or value that is not UTF-8 is {\"base64\": \"...\"}.\n\n"
    "Exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 cannot connect, 5 outcome unknown (timeout, lost "
    "connection), 6 the server is unhealthy.";

static uint64_t whole_number(struct argp_state *state, const char *text, uint64_t max, const char *what)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || text[0] == '-' || number < 1 || number > max)
        argp_error(state, "%s must be a whole number from 1 to %llu, not '%s'", what, (unsigned long long)max,
                   text);
    return number;
}

static uint64_t milliseconds_of(struct argp_state *state, const char *text)
{
    char *end = NULL;
    double seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds >= 0.001) || seconds > 1e12)
        argp_error(state, "--ttl must be seconds, at least 0.001, not '%s'", text);
    return (uint64_t)llround(seconds * 1000);
}

static enum cli_format format_of(struct argp_state *state, const char *text)
{
    static const char *const names[] = {[CLI_FORMAT_AUTO] = "auto",
                                        [CLI_FORMAT_JSON] = "json",
                                        [CLI_FORMAT_TSV] = "tsv",
                                        [CLI_FORMAT_DEB] = "deb"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0)
            return (enum cli_format)i;
    argp_error(state, "--format must be auto, json, tsv or deb, not '%s'", text);
    return CLI_FORMAT_AUTO;
}

static error_t take(int key, char *text, struct argp_state *state)
{
    struct cli_options *o = state->input;
    switch (key) {
    case 's':
        o->server = text;
        return 0;
    case 't':
        o->timeout_ms = (uint32_t)whole_number(state, text, INT32_MAX, "--timeout");
        return 0;
    case KEY_JSON:
        o->is_json = true;
        return 0;
    case KEY_TTL:
        o->ttl_ms = milliseconds_of(state, text);
        return 0;
    case KEY_LIMIT:
        o->limit = whole_number(state, text, UINT64_MAX / 2, "--limit");
        return 0;
    case KEY_KEYS_ONLY:
        o->is_keys_only = true;
        return 0;
    case KEY_FORMAT:
        o->format = format_of(state, text);
        return 0;
    case KEY_PREFIX:
        o->prefix = text;
        return 0;
    case KEY_FROM:
        o->from = text;
        return 0;
    case KEY_TO:
        o->to = text;
        return 0;
    case KEY_REVERSE:
        o->is_reverse = true;
        return 0;
    case KEY_SNAPSHOT:
        o->is_snapshot = true;
        return 0;
    case KEY_ORDERED:
        o->is_ordered = true;
        return 0;
    case KEY_RAW:
        o->is_raw = true;
        return 0;
    case KEY_DATA:
        o->data = text;
        return 0;
    case KEY_ARCHIVE:
        o->archive = text;
        return 0;
    case KEY_ACKED:
        o->acked_path = text;
        return 0;
    case ARGP_KEY_ARGS: /* all that are no options, which argp has moved behind them */
        o->command = state->argv[state->next];
        o->arguments = state->argv + state->next + 1;
        o->argument_count = (size_t)(state->argc - state->next - 1);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static void print_version(FILE *to, struct argp_state *state)
{
    (void)state;
    fprintf(to, "torc %s\n", TORC_VERSION);
}

void cli_options_parse(int argc, char **argv, struct cli_options *out)
{
    static const struct argp parser = {.options = known,
                                       .parser = take,
                                       .args_doc = arguments_text,
                                       .doc = about};
    const char *server = getenv("TORC_SERVER");
    *out = (struct cli_options){.server = server && *server ? server : "127.0.0.1:7070"};
    argp_err_exit_status = CLI_USAGE;
    argp_program_version_hook = print_version;
    if (argp_parse(&parser, argc, argv, 0, NULL, out) != 0)
        exit(CLI_USAGE);
}
