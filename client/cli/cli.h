/* cli.h - the torc command line: what its files share. */
#ifndef CLIENT_CLI_CLI_H
#define CLIENT_CLI_CLI_H

#include "client/torc.h"
#include "reactor/base/assert.h"

/* What a script can tell apart. */
enum cli_exit {
    CLI_DONE = 0,
    CLI_ERROR = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_CANNOT_CONNECT = 4,
    CLI_OUTCOME_UNKNOWN = 5, /* timeout, lost connection, damaged answer, failed disk, forgotten job */
    CLI_UNHEALTHY = 6,       /* the server answers, but says that something is wrong with it */
};

enum cli_format { CLI_FORMAT_AUTO, CLI_FORMAT_JSON, CLI_FORMAT_TSV, CLI_FORMAT_DEB };

enum { CLI_ARGUMENTS_MAX = 100000 };

struct cli_options {
    const char *server;
    const char *command;
    char **arguments; /* of the command */
    size_t argument_count;
    uint32_t timeout_ms; /* 0: not given */
    uint64_t ttl_ms;     /* 0: none */
    uint64_t limit;      /* 0: none */
    const char *data;    /* null: not given, as the next */
    const char *archive;
    const char *acked_path;
    const char *prefix; /* scan; null: not given, as the next two */
    const char *from;
    const char *to;
    enum cli_format format;
    bool is_json;
    bool is_keys_only;
    bool is_reverse;
    bool is_ordered;
    bool is_snapshot;
    bool is_raw; /* dump: a file of this machine, not a server */
};

/* A command that is running. */
struct cli {
    const struct cli_options *options;
    torc_client *client;
    bool is_output_gone; /* who read our output has left: no error, but no reason to go on */
};

/* ---- options.c ---- */

/* Ends the process with CLI_USAGE when the command line is wrong, with 0 for --help and --version. */
void cli_options_parse(int argc, char **argv, struct cli_options *out);

/* ---- report.c ---- */

/* Says on stderr what failed, at what, and what to do. Returns: the exit code. `subject` may be null. */
int cli_fail(struct cli *cli, int code, const char *subject, torc_bytes key);
/* For one of many: what the client said last may be of another, so it is told by its code alone. */
int cli_fail_one(struct cli *cli, int code, const char *subject, torc_bytes key);
/* A sentence on stderr, "torc: " before it. Returns: CLI_ERROR. */
int cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_exit_code(int code);
/* Of two exit codes of requests the one to end with: unknown above not connected, that above an error, that
 * above not found. */
int cli_worse(int a, int b);

/* Writes to stdout. Returns: 0, or CLI_ERROR after saying why, or CLI_DONE with is_output_gone set. */
MUST_CHECK int cli_write(struct cli *cli, const void *data, size_t bytes);
MUST_CHECK int cli_write_text(struct cli *cli, const char *text);
MUST_CHECK int cli_flush(struct cli *cli);

/* ---- the commands: each returns an exit code ---- */

int cli_put(struct cli *cli);
int cli_get(struct cli *cli);
int cli_del(struct cli *cli);
int cli_exists(struct cli *cli);
int cli_mget(struct cli *cli);
int cli_scan(struct cli *cli);
int cli_dump(struct cli *cli);
int cli_dump_raw(struct cli *cli); /* no server is asked, nor for check */
int cli_check(struct cli *cli);
int cli_ping(struct cli *cli);
int cli_info(struct cli *cli);
int cli_load(struct cli *cli);
int cli_snapshot(struct cli *cli);
int cli_backup(struct cli *cli);
int cli_restore(struct cli *cli);
int cli_backup_verify(struct cli *cli);

#endif
