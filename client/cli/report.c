/* report.c - what the command line says: output that may fail, errors in one sentence with a hint. */
#include "client/cli/cli.h"
#include "offline/offline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_KEY_BYTES_MAX = 80 };

int cli_exit_code(int code)
{
    switch (code) {
    case 0:
        return CLI_DONE;
    case TORC_NOT_FOUND:
        return CLI_NOT_FOUND;
    case TORC_CANNOT_CONNECT:
        return CLI_CANNOT_CONNECT;
    case TORC_TIMEOUT:
    case TORC_DISCONNECTED:
    case TORC_CHECKSUM:
    case TORC_UNKNOWN:
        return CLI_OUTCOME_UNKNOWN;
    case TORC_KEY_EMPTY:
    case TORC_KEY_TOO_LONG:
    case TORC_VALUE_TOO_LARGE:
    default: /* a number from the server, perhaps of a later version */
        return CLI_ERROR;
    }
}

int cli_worse(int a, int b)
{
    static const uint8_t order[] = {CLI_DONE, CLI_NOT_FOUND, CLI_ERROR, CLI_CANNOT_CONNECT,
                                    CLI_OUTCOME_UNKNOWN};
    for (size_t i = ARRAY_COUNT(order); i-- > 0;)
        if (a == order[i] || b == order[i])
            return order[i];
    return CLI_ERROR;
}

/* What to do about it; "" when the sentence of the code says it already. */
static const char *hint_of(int code)
{
    switch (code) {
    case TORC_CANNOT_CONNECT:
        return "; start torcd there, or name another server with --server HOST:PORT";
    case TORC_TIMEOUT:
        return "; look at the server with `torc info`, or wait longer with --timeout MS";
    case TORC_DISCONNECTED:
        return "; get the key to see, or do it again";
    case TORC_PROTOCOL_VERSION:
        return "; use a torc of the server's version";
    case TORC_CHECKSUM:
        return "; the network or the memory of a machine changes bytes";
    case TORC_DISK_FULL:
        return "; make room on the server's disk";
    case TORC_CORRUPT:
    case TORC_STORAGE:
    case TORC_UNKNOWN:
        return "; look at the server's log and disk";
    default:
        return "";
    }
}

int cli_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    offline_say(format, arguments);
    va_end(arguments);
    return CLI_ERROR;
}

/* A key as it can be shown: what is not printable as \xNN, cut when long. */
static void show_key(char *to, size_t capacity, torc_bytes key)
{
    const uint8_t *from = key.data;
    size_t at = 0;
    for (size_t i = 0; i < key.bytes && at + 8 < capacity; i++) {
        bool is_plain = from[i] >= 0x20 && from[i] != 0x7f && from[i] != '"' && from[i] != '\\';
        at += (size_t)snprintf(to + at, capacity - at, is_plain ? "%c" : "\\x%02x", from[i]);
        if (at >= SHOWN_KEY_BYTES_MAX && i + 1 < key.bytes) {
            snprintf(to + at, capacity - at, "...");
            return;
        }
    }
    to[at] = 0;
}

static int fail_saying(int code, const char *message, const char *subject, torc_bytes key)
{
    char shown[SHOWN_KEY_BYTES_MAX + 16];
    show_key(shown, sizeof shown, key);
    if (key.bytes > 0)
        cli_complain("%s \"%s\": %s%s", subject, shown, message, hint_of(code));
    else
        cli_complain("%s: %s%s", subject, message, hint_of(code));
    return cli_exit_code(code);
}

/* With the address and the reason, when it is the connection. */
static const char *sentence_of(const struct cli *cli, int code)
{
    const char *problem = cli->client ? torc_problem(cli->client) : "";
    return code == TORC_CANNOT_CONNECT && *problem ? problem : torc_error_sentence(code);
}

int cli_fail(struct cli *cli, int code, const char *subject, torc_bytes key)
{
    const char *message = cli->client ? torc_message(cli->client) : "";
    if (code == TORC_CANNOT_CONNECT || code == TORC_NOT_FOUND || *message == 0)
        message = sentence_of(cli, code);
    return fail_saying(code, message, subject, key);
}

int cli_fail_one(struct cli *cli, int code, const char *subject, torc_bytes key)
{
    return fail_saying(code, sentence_of(cli, code), subject, key);
}

/* ---- output ---- */

static int output_failed(struct cli *cli)
{
    if (errno == EPIPE) {
        cli->is_output_gone = true;
        return CLI_DONE;
    }
    return cli_complain("cannot write to standard output: %s", strerror(errno));
}

int cli_write(struct cli *cli, const void *data, size_t bytes)
{
    if (cli->is_output_gone || bytes == 0)
        return CLI_DONE;
    return fwrite(data, 1, bytes, stdout) == bytes ? CLI_DONE : output_failed(cli);
}

int cli_write_text(struct cli *cli, const char *text)
{
    return cli_write(cli, text, strlen(text));
}

int cli_flush(struct cli *cli)
{
    if (cli->is_output_gone)
        return CLI_DONE;
    return fflush(stdout) == 0 ? CLI_DONE : output_failed(cli);
}
