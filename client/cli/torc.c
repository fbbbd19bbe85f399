/* torc.c - the command line's main: options, a client, one command, an exit code. */
#include "client/cli/cli.h"

#include <signal.h>
#include <string.h>

struct command {
    const char *name;
    size_t arguments_min;
    size_t arguments_max;
    const char *arguments; /* for the sentence that says they are wrong */
    int (*run)(struct cli *cli);
    bool is_offline; /* no server is asked */
};

static const struct command commands[] = {
    {"put", 2, 2, "a key and a value (or - for standard input)", cli_put, false},
    {"get", 1, 1, "a key", cli_get, false},
    {"del", 1, 1, "a key", cli_del, false},
    {"exists", 1, 1, "a key", cli_exists, false},
    {"mget", 1, CLI_ARGUMENTS_MAX, "one key or more", cli_mget, false},
    {"scan", 0, 1, "a prefix or nothing", cli_scan, false},
    {"dump", 0, 1, "a prefix or nothing", cli_dump, false},
    {"load", 1, 1, "a file (or - for standard input)", cli_load, false},
    {"ping", 0, 0, "nothing", cli_ping, false},
    {"info", 0, 1, "a section or nothing", cli_info, false},
    {"check", 1, 1, "a data directory", cli_check, true},
    {"snapshot", 1, 2, "create NAME, list or delete NAME", cli_snapshot, false},
    {"backup", 1, 1, "a directory on the server's machine, or verify and a directory", cli_backup, false},
    {"restore", 1, 1, "a directory of backups, a backup or a snapshot", cli_restore, true},
};

static const struct command backup_verify = {"backup verify",   2,   2, "a directory of backups",
                                             cli_backup_verify, true};

static const struct command dump_raw = {"dump --raw", 1, 1, "a file", cli_dump_raw, true};

static const struct command *find_command(const struct cli_options *o)
{
    const char *name = o->command;
    if (o->is_raw)
        return strcmp(name, "dump") == 0 ? &dump_raw : NULL;
    if (strcmp(name, "backup") == 0 && o->argument_count > 0 && strcmp(o->arguments[0], "verify") == 0)
        return &backup_verify;
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int open_client(struct cli *cli)
{
    const struct cli_options *o = cli->options;
    struct torc_options options = {
        .address = o->server,
        .connect_timeout_ms = o->timeout_ms ? o->timeout_ms : 2000,
        .request_timeout_ms = o->timeout_ms,
    };
    int rc = torc_open(&options, &cli->client);
    if (rc == TORC_CONFIGURATION) {
        cli_complain("\"%s\" is no address of a server; give HOST:PORT", o->server);
        return CLI_USAGE;
    }
    if (rc == TORC_CANNOT_CONNECT) {
        cli_complain("the host of \"%s\" is not known; check its name", o->server);
        return CLI_CANNOT_CONNECT;
    }
    return rc != 0 ? cli_fail(cli, rc, o->server, torc_bytes_of(NULL, 0)) : CLI_DONE;
}

int main(int argc, char **argv)
{
    struct cli_options options;
    cli_options_parse(argc, argv, &options);
    const struct command *command = find_command(&options);
    if (!command) {
        cli_complain("there is no command \"%s\"; see torc --help", options.command);
        return CLI_USAGE;
    }
    if (options.argument_count < command->arguments_min || options.argument_count > command->arguments_max) {
        cli_complain("%s takes %s; see torc --help", command->name, command->arguments);
        return CLI_USAGE;
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is seen as EPIPE */
    struct cli cli = {.options = &options};
    int code = command->is_offline ? CLI_DONE : open_client(&cli);
    if (code == CLI_DONE)
        code = command->run(&cli);
    int flushed = cli_flush(&cli);
    torc_close(cli.client);
    return code != CLI_DONE ? code : flushed;
}
