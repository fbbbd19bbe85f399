/* options.c - the command line of kvbench. */
#include "bench/options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    KEY_TARGET = 256,
    KEY_READ_RATIO,
    KEY_THETA,
    KEY_KEY_BYTES,
    KEY_LOAD,
    KEY_RUN,
    KEY_SEED,
    KEY_JSON,
    KEY_HTML,
    KEY_STAGES,
    KEY_NO_PROGRESS,
    KEY_VERIFY,
    KEY_SERVER_PID,
    KEY_VALUE_NOVEL,
};

enum { GROUP_WHERE = 1, GROUP_WHAT, GROUP_HOW, GROUP_OUTPUT };

static const struct argp_option argp_options[] = {
    {"target", KEY_TARGET, "NAME", 0, "torc, redis, or null, which answers at once (default torc)",
     GROUP_WHERE},
    {"server", 's', "HOST:PORT", 0, "Server to load (default 127.0.0.1:7070, of redis :6379)", 0},
    {"server-pid", KEY_SERVER_PID, "PID", 0, "A server on this machine: its processor time is told, too", 0},
    {"workload", 'w', "NAME", 0, "a to f of YCSB, get, put, delete, absent, scan, walk or mixed (default b)",
     GROUP_WHAT},
    {"read-ratio", KEY_READ_RATIO, "R", 0, "Share of gets in `mixed', 0 to 1 (default 0.5)", 0},
    {"keys", 'n', "N", 0, "Number of keys (default 1000000)", 0},
    {"distribution", 'd', "NAME", 0, "uniform, zipfian or latest (default: the workload's)", 0},
    {"theta", KEY_THETA, "T", 0, "Skew of zipfian and latest, between 0 and 1 (default 0.99)", 0},
    {"key-bytes", KEY_KEY_BYTES, "N[-M]", 0, "Length of keys, 8 to 1024 (default 20)", 0},
    {"value-bytes", 'v', "N[-M]", 0, "Length of values, 0 to 1048576 (default 100)", 0},
    {"value-novel", KEY_VALUE_NOVEL, "R", 0,
     "Share of a value that no compressor makes smaller, 0.01 to 1; the rest repeats it (default 1)", 0},
    {"seed", KEY_SEED, "N", 0, "The same seed draws the same requests (default 1)", 0},
    {"load", KEY_LOAD, NULL, 0, "Only write all keys once", GROUP_HOW},
    {"run", KEY_RUN, NULL, 0, "Only run the workload, on keys that are there (default: load, then run)", 0},
    {"connections", 'c', "N", 0, "TCP connections in all (default 50)", 0},
    {"depth", 'p', "N", 0, "Requests in flight per connection (default 1)", 0},
    {"threads", 't', "N", 0, "Threads, each with its share of the connections (default 1)", 0},
    {"rate", 'r', "N", 0, "Open loop: N requests a second in all, timed from when each was due", 0},
    {"duration", 'D', "S", 0, "Seconds to run (default 10, unless --operations)", 0},
    {"operations", 'N', "N", 0, "End after so many operations in all", 0},
    {"verify", KEY_VERIFY, NULL, 0, "Check that each value read was once written under its key", 0},
    {"json", KEY_JSON, "FILE", 0,
     "Write all results as JSON; - for standard output, and the tables to standard error", GROUP_OUTPUT},
    {"html", KEY_HTML, "FILE", 0, "Write a report with plots, in one file that needs no network", 0},
    {"stages", KEY_STAGES, NULL, 0, "Ask the server where a request's time goes (torc only)", 0},
    {"no-progress", KEY_NO_PROGRESS, NULL, 0, "No line a second while it runs", 0},
    {0},
};

static double number(struct argp_state *state, const char *what, const char *text, double min, double max)
{
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text || *end || !isfinite(value) || value < min || value > max)
        argp_error(state, "%s: `%s' is not a number from %.10g to %.10g", what, text, min, max);
    return value;
}

static uint64_t count(struct argp_state *state, const char *what, const char *text, double min, double max)
{
    double value = number(state, what, text, min, max);
    if (value != floor(value))
        argp_error(state, "%s: `%s' is not a whole number", what, text);
    return (uint64_t)value;
}

static struct byte_range range(struct argp_state *state, const char *what, const char *text,
                               struct byte_range limits)
{
    unsigned min = 0, max = 0;
    char rest = 0;
    int fields = sscanf(text, "%u-%u%c", &min, &max, &rest);
    if (fields == 1)
        max = min;
    bool has_dash = strchr(text, '-') != NULL;
    if (fields != (has_dash ? 2 : 1) || min < limits.min || max > limits.max || min > max ||
        strspn(text, "0123456789-") != strlen(text))
        argp_error(state, "%s: `%s' is not a length or range of lengths from %u to %u", what, text,
                   limits.min, limits.max);
    return (struct byte_range){min, max};
}

static void parse_target(struct argp_state *state, struct options *o, const char *name)
{
    static const struct driver_class *const classes[] = {&driver_torc, &driver_redis, &driver_null};
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++)
        if (strcmp(classes[i]->name, name) == 0) {
            o->class = classes[i];
            return;
        }
    argp_error(state, "--target: `%s' is not one of torc, redis, null", name);
}

static void parse_server(struct argp_state *state, struct options *o, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t host_bytes = colon ? (size_t)(colon - text) : strlen(text);
    if (host_bytes >= 2 && text[0] == '[' && text[host_bytes - 1] == ']') {
        text++;
        host_bytes -= 2;
    }
    if (host_bytes == 0 || host_bytes >= sizeof o->host || (colon && strlen(colon + 1) >= sizeof o->port))
        argp_error(state, "--server: `%s' is not HOST:PORT", text);
    snprintf(o->host, sizeof o->host, "%.*s", (int)host_bytes, text);
    if (colon)
        snprintf(o->port, sizeof o->port, "%s", colon + 1);
}

static void parse_distribution(struct argp_state *state, struct options *o, const char *name)
{
    static const enum distribution_kind kinds[] = {DISTRIBUTION_UNIFORM, DISTRIBUTION_ZIPFIAN,
                                                   DISTRIBUTION_LATEST};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        if (strcmp(distribution_name(kinds[i]), name) == 0) {
            o->distribution = kinds[i];
            o->has_distribution = true;
            return;
        }
    argp_error(state, "--distribution: `%s' is not one of uniform, zipfian, latest", name);
}

/* What belongs together but may come in any order. */
static void check(struct argp_state *state, struct options *o)
{
    if (!workload_find(o->workload_name, o->read_ratio, &o->workload))
        argp_error(state,
                   "--workload: `%s' is not one of a to f, get, put, delete, absent, scan, walk, mixed",
                   o->workload_name);
    if (o->has_distribution)
        o->workload.distribution = o->distribution;
    if (o->port[0] == 0)
        snprintf(o->port, sizeof o->port, "%s", o->class == &driver_redis ? "6379" : "7070");
    if (!o->does_load && !o->does_run)
        o->does_load = o->does_run = true;
    if (o->duration_s <= 0.0 && o->operations == 0)
        o->duration_s = 10.0;
    if (!keyspace_init(&o->keyspace, o->key_bytes, o->value_bytes, o->keys))
        argp_error(state, "--key-bytes: too short for %lu keys", o->keys);
    uint32_t novel_256 = (uint32_t)(o->value_novel * 256);
    o->keyspace.value_novel_256 = novel_256 > 0 ? novel_256 : 1;
    bool has_scan = o->workload.share[OPERATION_SCAN] > 0.0;
    bool has_tags = has_scan && !o->workload.walks_all;
    if (has_scan && !o->class->has_scan)
        argp_error(state, "--workload %s: the target %s has no ordered scan", o->workload_name,
                   o->class->name);
    if (has_tags && o->key_bytes.min != o->key_bytes.max)
        argp_error(state, "--workload %s: scans need keys of one length", o->workload_name);
    if (has_tags && !keyspace_use_tags(&o->keyspace, o->keys, WORKLOAD_SCAN_ENTRIES_MAX))
        argp_error(state, "--key-bytes: too short for %lu keys with tags", o->keys);
    if (o->is_verifying && (o->value_bytes.min < KEYSPACE_VERIFIABLE_BYTES_MIN || o->class == &driver_null))
        argp_error(state, "--verify: needs a target that stores, and values of at least %d bytes",
                   KEYSPACE_VERIFIABLE_BYTES_MIN);
    if (o->connections < o->threads)
        argp_error(state, "--threads: more threads than connections");
    if ((uint64_t)o->connections * o->depth > OPTIONS_SLOTS_MAX)
        argp_error(state, "--depth: more than %d requests in flight", OPTIONS_SLOTS_MAX);
}

static error_t parse_load(int key, char *text, struct argp_state *state, struct options *o)
{
    switch (key) {
    case 'w':
        o->workload_name = text;
        return 0;
    case KEY_READ_RATIO:
        o->read_ratio = number(state, "--read-ratio", text, 0.0, 1.0);
        return 0;
    case 'n':
        o->keys = count(state, "--keys", text, 1, 1e12);
        return 0;
    case 'd':
        parse_distribution(state, o, text);
        return 0;
    case KEY_THETA:
        o->theta = number(state, "--theta", text, 0.01, 0.9999);
        return 0;
    case KEY_KEY_BYTES:
        o->key_bytes = range(state, "--key-bytes", text,
                             (struct byte_range){KEYSPACE_KEY_BYTES_MIN, KEYSPACE_KEY_BYTES_MAX});
        return 0;
    case 'v':
        o->value_bytes =
            range(state, "--value-bytes", text, (struct byte_range){0, KEYSPACE_VALUE_BYTES_MAX});
        return 0;
    case KEY_VALUE_NOVEL:
        o->value_novel = number(state, "--value-novel", text, 0.01, 1.0);
        return 0;
    case KEY_SEED:
        o->seed = count(state, "--seed", text, 0, 0x1p53);
        return 0;
    case KEY_LOAD:
        o->does_load = true;
        return 0;
    case KEY_RUN:
        o->does_run = true;
        return 0;
    case KEY_VERIFY:
        o->is_verifying = true;
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static error_t parse_pace(int key, char *text, struct argp_state *state, struct options *o)
{
    switch (key) {
    case 'c':
        o->connections = (uint32_t)count(state, "--connections", text, 1, OPTIONS_CONNECTIONS_MAX);
        return 0;
    case 'p':
        o->depth = (uint32_t)count(state, "--depth", text, 1, OPTIONS_DEPTH_MAX);
        return 0;
    case 't':
        o->threads = (uint32_t)count(state, "--threads", text, 1, OPTIONS_THREADS_MAX);
        return 0;
    case 'r':
        o->rate = number(state, "--rate", text, 0.001, 1e9);
        return 0;
    case 'D':
        o->duration_s = number(state, "--duration", text, 0.001, 1e7);
        return 0;
    case 'N':
        o->operations = count(state, "--operations", text, 1, 1e15);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    if (parse_load(key, text, state, o) == 0 || parse_pace(key, text, state, o) == 0)
        return 0;
    switch (key) {
    case KEY_TARGET:
        parse_target(state, o, text);
        return 0;
    case 's':
        parse_server(state, o, text);
        return 0;
    case KEY_SERVER_PID:
        o->server_pid = (int)count(state, "--server-pid", text, 1, 1 << 30);
        return 0;
    case KEY_JSON:
        o->json_path = text;
        return 0;
    case KEY_HTML:
        o->html_path = text;
        return 0;
    case KEY_STAGES:
        o->wants_stages = true;
        return 0;
    case KEY_NO_PROGRESS:
        o->wants_progress = false;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "`%s': there are options only", text);
        return 0;
    case ARGP_KEY_END:
        check(state, o);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

void options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){
        .class = &driver_torc,
        .host = "127.0.0.1",
        .workload_name = "b",
        .read_ratio = 0.5,
        .theta = 0.99,
        .value_novel = 1.0,
        .keys = 1000000,
        .key_bytes = {20, 20},
        .value_bytes = {100, 100},
        .connections = 50,
        .depth = 1,
        .threads = 1,
        .seed = 1,
        .wants_progress = true,
    };
    static const char doc[] =
        "Loads a key-value server and measures how long it takes to answer."
        "\vkvbench ends with 1 when any request failed or any value was wrong, with 2 when it could "
        "not run. docs/kvbench.md says how to read what it prints.";
    static const struct argp argp = {argp_options, parse_option, NULL, doc, NULL, NULL, NULL};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, o);
}
