/* commands.c - the commands on single keys, and ping and info. */
#include "client/cli/cli.h"
#include "client/cli/json_bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static torc_bytes argument(const struct cli *cli, size_t index)
{
    return torc_string(cli->options->arguments[index]);
}

static int write_json(struct cli *cli, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(object);
    if (!text)
        return cli_complain("out of memory");
    int rc = cli_write_text(cli, text);
    free(text);
    return rc ? rc : cli_write_text(cli, "\n");
}

static int write_ok(struct cli *cli)
{
    return cli->options->is_json ? write_json(cli, json_pack("{s:b}", "ok", 1)) : cli_write_text(cli, "OK\n");
}

/* All of standard input, at most one byte more than a value may have. Returns: malloc'ed; null after
 * saying why. */
static char *read_input(size_t *bytes)
{
    char *value = malloc(TORC_VALUE_BYTES_MAX + 1);
    if (!value) {
        cli_complain("out of memory");
        return NULL;
    }
    *bytes = fread(value, 1, TORC_VALUE_BYTES_MAX + 1, stdin);
    if (ferror(stdin)) {
        cli_complain("cannot read the value from standard input: %s", strerror(errno));
        free(value);
        return NULL;
    }
    return value;
}

int cli_put(struct cli *cli)
{
    torc_bytes key = argument(cli, 0);
    torc_bytes value = argument(cli, 1);
    char *input = NULL;
    if (strcmp(cli->options->arguments[1], "-") == 0) {
        input = read_input(&value.bytes);
        if (!input)
            return CLI_ERROR;
        value.data = input;
    }
    int rc = torc_put(cli->client, key, value, cli->options->ttl_ms);
    free(input);
    return rc != 0 ? cli_fail(cli, rc, "put", key) : write_ok(cli);
}

static int write_pair(struct cli *cli, torc_bytes key, const torc_bytes *value)
{
    size_t bytes = 0;
    char *line = cli_json_line(key, value, &bytes);
    if (!line)
        return cli_complain("out of memory");
    int rc = cli_write(cli, line, bytes);
    free(line);
    return rc;
}

int cli_get(struct cli *cli)
{
    torc_bytes key = argument(cli, 0);
    void *data;
    size_t bytes;
    int rc = torc_get(cli->client, key, &data, &bytes);
    if (rc != 0)
        return cli_fail(cli, rc, "get", key);
    torc_bytes value = torc_bytes_of(data, bytes);
    if (cli->options->is_json)
        rc = write_pair(cli, key, &value);
    else
        rc = cli_write(cli, data, bytes);
    if (rc == 0 && !cli->options->is_json && isatty(STDOUT_FILENO))
        rc = cli_write_text(cli, "\n");
    torc_free(data);
    return rc;
}

int cli_del(struct cli *cli)
{
    int rc = torc_delete(cli->client, argument(cli, 0));
    return rc != 0 ? cli_fail(cli, rc, "del", argument(cli, 0)) : write_ok(cli);
}

int cli_exists(struct cli *cli)
{
    int rc = torc_exists(cli->client, argument(cli, 0));
    if (rc != 0 && rc != TORC_NOT_FOUND)
        return cli_fail(cli, rc, "exists", argument(cli, 0));
    int written = cli->options->is_json ? write_json(cli, json_pack("{s:b}", "exists", rc == 0))
                                        : cli_write_text(cli, rc == 0 ? "yes\n" : "no\n");
    return written != 0 ? written : cli_exit_code(rc);
}

static int write_value_of(struct cli *cli, torc_bytes key, const struct torc_value *value)
{
    torc_bytes bytes = torc_bytes_of(value->data, value->bytes);
    if (cli->options->is_json && value->status == 0)
        return write_pair(cli, key, &bytes);
    if (cli->options->is_json && value->status == TORC_NOT_FOUND)
        return write_json(cli, json_pack("{s:o, s:n}", "key", cli_json_of_bytes(key), "value"));
    if (value->status != 0)
        return CLI_DONE;
    int rc = cli_write(cli, key.data, key.bytes);
    rc = rc ? rc : cli_write_text(cli, "\t");
    rc = rc ? rc : cli_write(cli, value->data, value->bytes);
    return rc ? rc : cli_write_text(cli, "\n");
}

static int write_values(struct cli *cli, const torc_bytes *keys, const struct torc_value *values,
                        size_t count)
{
    int worst = CLI_DONE;
    for (size_t i = 0; i < count; i++) {
        int rc = write_value_of(cli, keys[i], &values[i]);
        if (rc != 0)
            return rc;
        if (values[i].status != 0)
            worst = cli_worse(worst, cli_fail_one(cli, values[i].status, "mget", keys[i]));
    }
    return worst;
}

int cli_mget(struct cli *cli)
{
    size_t count = cli->options->argument_count;
    torc_bytes *keys = calloc(count, sizeof *keys);
    struct torc_value *values = calloc(count, sizeof *values);
    int code = CLI_ERROR;
    if (keys && values) {
        for (size_t i = 0; i < count; i++)
            keys[i] = argument(cli, i);
        if (torc_mget(cli->client, keys, count, values) == TORC_CANNOT_CONNECT)
            code = cli_fail(cli, TORC_CANNOT_CONNECT, "mget", torc_bytes_of(NULL, 0));
        else
            code = write_values(cli, keys, values, count);
        torc_values_free(values, count);
    } else {
        cli_complain("out of memory");
    }
    free(keys);
    free(values);
    return code;
}

/* ---- the server ---- */

/* The health it reports of itself, "ok" when all is well; borrowed from the document. */
static const char *health_of(const json_t *info)
{
    const json_t *health = json_object_get(info, "health");
    if (!health)
        health = json_object_get(json_object_get(info, "server"), "health");
    return json_is_string(health) ? json_string_value(health) : "ok";
}

static double elapsed_ms(const struct timespec *since)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - since->tv_sec) * 1e3 + (double)(now.tv_nsec - since->tv_nsec) / 1e6;
}

int cli_ping(struct cli *cli)
{
    int rc = torc_connect(cli->client);
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (rc == 0)
        rc = torc_ping(cli->client);
    if (rc != 0)
        return cli_fail(cli, rc, "ping", torc_bytes_of(NULL, 0));
    double ms = elapsed_ms(&begin);
    char *text = NULL;
    rc = torc_info(cli->client, torc_string("server"), &text);
    json_t *info = rc == 0 ? json_loads(text, 0, NULL) : NULL;
    torc_free(text);
    const char *health = rc == 0 ? health_of(info) : torc_error_name(rc);
    bool is_healthy = strcmp(health, "ok") == 0;
    unsigned cores = torc_core_count(cli->client);
    char line[400];
    snprintf(line, sizeof line, "%s answers in %.3f ms, %u %s, health %s\n", cli->options->server, ms, cores,
             cores == 1 ? "core" : "cores", health);
    int written = cli->options->is_json
                      ? write_json(cli, json_pack("{s:s, s:f, s:i, s:s}", "server", cli->options->server,
                                                  "ms", ms, "cores", (int)cores, "health", health))
                      : cli_write_text(cli, line);
    json_decref(info);
    if (written != 0 || is_healthy)
        return written;
    return CLI_UNHEALTHY;
}

int cli_info(struct cli *cli)
{
    torc_bytes section = cli->options->argument_count > 0 ? argument(cli, 0) : torc_bytes_of(NULL, 0);
    char *text = NULL;
    int rc = torc_info(cli->client, section, &text);
    if (rc != 0)
        return cli_fail(cli, rc, "info", section);
    json_t *info = json_loads(text, 0, NULL);
    bool is_healthy = strcmp(health_of(info), "ok") == 0;
    char *pretty =
        info && !cli->options->is_json ? json_dumps(info, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    int written = cli_write_text(cli, pretty ? pretty : text);
    written = written ? written : cli_write_text(cli, "\n");
    free(pretty);
    torc_free(text);
    json_decref(info);
    if (written != 0)
        return written;
    return is_healthy ? CLI_DONE : CLI_UNHEALTHY;
}
