/* options.c - torcd's options from their four sources, in the order in which one wins over the other.
 *
 *   defaults -> file (--config, TORC_CONFIG) -> environment -> flags -> checks of values against each other
 *
 * Flags are parsed first, because --config is one of them, but only kept as text until their turn comes.
 * argp parses and formats them; it neither prints errors nor ends the process here, so tests can call this
 * like anything else. */
#include "shard/serve/options.h"

#include "reactor/base/version.h"
#include "shard/backup_place.h"
#include "shard/serve/config_table.h"

#include <argp.h>
#include <arpa/inet.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>

enum {
    KEY_FIRST = 0x100, /* of the flags without a letter: KEY_FIRST + row */
    KEY_HELP = 0x200,
    KEY_VERSION,
    KEY_PRINT_CONFIG,
    KEY_HELP_FORMAT,
    HELP_TEXT_BYTES = 256,
    SECTIONS_MAX = 8,
    ARGP_ROWS_MAX = OPTIONS_COUNT + SECTIONS_MAX + 5,
};

/* What the command line said, before anything is believed. */
struct flags {
    const char *values[OPTIONS_COUNT]; /* null: not given; borrowed from argv */
    bool wants_help, wants_version, wants_config;
    const char *help_format;
    unsigned bool_row; /* of the bool that was given without `=` last; its value may be the next word */
    int bool_next;     /* that word's place in argv; 0: no such bool was given */
    char *why;
    size_t why_bytes;
};

/* The rows of the table as argp wants them. */
struct argp_rows {
    struct argp_option options[ARGP_ROWS_MAX];
    char help[OPTIONS_COUNT][HELP_TEXT_BYTES];
    unsigned count;
};

/* ---- flags ---- */

static int key_of_row(unsigned index)
{
    return option_table[index].letter ? option_table[index].letter : KEY_FIRST + (int)index;
}

static void add_row(struct argp_rows *rows, struct argp_option option)
{
    ASSERT(rows->count < ARGP_ROWS_MAX);
    rows->options[rows->count++] = option;
}

static void add_option(struct argp_rows *rows, unsigned index, int group)
{
    const struct option_row *row = &option_table[index];
    char *help = rows->help[index];
    snprintf(help, HELP_TEXT_BYTES, row->initial[0] ? "%s (default %s)" : "%s", row->help, row->initial);
    add_row(rows, (struct argp_option){.name = row->name,
                                       .key = key_of_row(index),
                                       .arg = row->argument,
                                       .flags = row->kind == OPTION_BOOL ? OPTION_ARG_OPTIONAL : 0,
                                       .doc = help,
                                       .group = group});
}

/* Rows of one section stand side by side in the table. The last row stays zero: it ends the list. */
static void build_rows(struct argp_rows *rows)
{
    *rows = (struct argp_rows){.count = 0};
    const char *section = NULL;
    int group = 1;
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        if (option_table[i].section && option_table[i].section != section) {
            section = option_table[i].section;
            add_row(rows, (struct argp_option){.doc = section, .group = ++group});
        }
        add_option(rows, i, group);
    }
    add_row(rows, (struct argp_option){"print-config", KEY_PRINT_CONFIG, NULL, 0,
                                       "Print all values and where each comes from, then exit", 1});
    add_row(rows, (struct argp_option){"help", KEY_HELP, NULL, 0, "Print this help, then exit", 1});
    add_row(rows, (struct argp_option){"version", KEY_VERSION, NULL, 0, "Print the version, then exit", 1});
    add_row(rows, (struct argp_option){"help-format", KEY_HELP_FORMAT, "FORMAT", OPTION_HIDDEN, NULL, 1});
    ASSERT(rows->count < ARGP_ROWS_MAX);
}

__attribute__((format(printf, 2, 3))) static error_t refuse(struct flags *f, const char *format, ...)
{
    if (f->why[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(f->why, f->why_bytes, format, arguments);
        va_end(arguments);
    }
    return EINVAL;
}

/* argp has refused a word without saying which way: an unknown flag, a value missing, or a value too many. */
static error_t refuse_word(struct flags *f, const char *word)
{
    char name[OPTION_NAME_BYTES];
    snprintf(name, sizeof name, "%s", strncmp(word, "--", 2) == 0 ? word + 2 : "");
    bool has_value = strchr(name, '=') != NULL;
    name[strcspn(name, "=")] = '\0';
    unsigned index = option_find(name);
    if (index < OPTIONS_COUNT && !has_value)
        return refuse(f, "--%s: expected a value (--%s=%s), found none", name, name,
                      option_table[index].argument);
    return refuse(f, "expected an option (torcd --help lists them), found \"%s\"", word);
}

/* A word that belongs to no flag. argp takes an optional value behind `=` only; other options have theirs in
 * the next word, too, so that of a bool may stand there. */
static error_t take_word(struct flags *f, const char *word, int place)
{
    if (f->bool_next == 0 || place != f->bool_next)
        return refuse(f, "expected an option (torcd --help lists them), found \"%s\"", word);
    f->values[f->bool_row] = word;
    return 0;
}

static error_t take_flag(int key, char *value, struct argp_state *state)
{
    struct flags *f = state->input;
    switch (key) {
    case KEY_HELP:
        f->wants_help = true;
        return 0;
    case KEY_VERSION:
        f->wants_version = true;
        return 0;
    case KEY_PRINT_CONFIG:
        f->wants_config = true;
        return 0;
    case KEY_HELP_FORMAT:
        f->help_format = value;
        return 0;
    case ARGP_KEY_ARG:
        return take_word(f, value, state->next - 1);
    case ARGP_KEY_ERROR:
        return refuse_word(f, state->next > 0 ? state->argv[state->next - 1] : "");
    }
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        if (key == key_of_row(i)) {
            f->values[i] = value ? value : "true"; /* a bool alone */
            f->bool_row = i;
            f->bool_next = value ? 0 : state->next;
            return 0;
        }
    }
    return ARGP_ERR_UNKNOWN;
}

static int parse_flags(struct flags *f, int argc, char **argv)
{
    struct argp_rows rows;
    build_rows(&rows);
    struct argp argp = {.options = rows.options, .parser = take_flag};
    unsigned how = ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_IN_ORDER;
    if (argp_parse(&argp, argc, argv, how, NULL, f) == 0)
        return 0;
    if (f->why[0] == '\0')
        snprintf(f->why, f->why_bytes, "the command line cannot be understood; torcd --help explains it");
    return TORC_E_CONFIGURATION;
}

static void print_help(void)
{
    struct argp_rows rows;
    build_rows(&rows);
    struct argp argp = {
        .options = rows.options,
        .parser = take_flag,
        .doc = "Serves a node of the key-value store torc.\v"
               "Every option can also be set in the environment, as TORC_ and its name in capitals "
               "(TORC_LOG_LEVEL),"
               " and in the file. A flag wins over the environment, that over the file. BYTES takes K, M, G "
               "and T,"
               " TIME takes ms, s, m and h.",
    };
    char name[] = "torcd";
    argp_help(&argp, stdout, ARGP_HELP_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG | ARGP_HELP_POST_DOC, name);
}

static int print_in_format(struct flags *f)
{
    if (strcmp(f->help_format, "markdown") == 0)
        config_print_markdown(stdout);
    else if (strcmp(f->help_format, "man") == 0)
        config_print_manual(stdout);
    else if (strcmp(f->help_format, "sample") == 0)
        config_print_sample(stdout);
    else
        return refuse(f, "--help-format: expected markdown, man or sample, found \"%s\"", f->help_format);
    return 0;
}

/* ---- one source after the other ---- */

static void set_defaults(struct options *o)
{
    *o = (struct options){.config = ""};
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        if (option_table[i].initial[0]) {
            int rc = option_parse(o, &option_table[i], option_table[i].initial);
            ASSERT(rc == 0);
        }
    }
}

static int set_value(struct options *o, unsigned index, enum option_origin origin, const char *value,
                     struct flags *f)
{
    const struct option_row *row = &option_table[index];
    if (option_parse(o, row, value) == 0) {
        o->sources[index] = (struct option_source){.origin = origin};
        return 0;
    }
    char expected[OPTION_EXPECTED_BYTES], variable[OPTION_NAME_BYTES];
    option_expected(row, expected);
    option_environment_name(row, variable);
    if (origin == ORIGIN_ENVIRONMENT)
        refuse(f, "%s in the environment: expected %s, found \"%s\"", variable, expected, value);
    else
        refuse(f, "--%s: expected %s, found \"%s\"", row->name, expected, value);
    return TORC_E_CONFIGURATION;
}

static const char *environment_value(char **environment, const struct option_row *row)
{
    char name[OPTION_NAME_BYTES];
    option_environment_name(row, name);
    size_t bytes = strlen(name);
    for (char **p = environment; p && *p; p++)
        if (strncmp(*p, name, bytes) == 0 && (*p)[bytes] == '=')
            return *p + bytes + 1;
    return NULL;
}

static int set_all(struct options *o, struct flags *f, char **environment)
{
    set_defaults(o);
    int rc = 0;
    const char *in_environment[OPTIONS_COUNT];
    for (unsigned i = 0; i < OPTIONS_COUNT; i++)
        in_environment[i] = environment_value(environment, &option_table[i]);
    unsigned config = option_find("config");
    ASSERT(config < OPTIONS_COUNT);
    if (f->values[config])
        rc = set_value(o, config, ORIGIN_FLAG, f->values[config], f);
    else if (in_environment[config])
        rc = set_value(o, config, ORIGIN_ENVIRONMENT, in_environment[config], f);
    if (rc == 0 && o->config[0])
        rc = config_read_file(o, f->why, f->why_bytes);
    for (unsigned i = 0; rc == 0 && i < OPTIONS_COUNT; i++) {
        if (f->values[i])
            rc = set_value(o, i, ORIGIN_FLAG, f->values[i], f);
        else if (in_environment[i])
            rc = set_value(o, i, ORIGIN_ENVIRONMENT, in_environment[i], f);
    }
    return rc;
}

/* ---- what follows from the system, and what must agree ---- */

/* The CPUs that this process may use, at most one core a vnode. */
static void choose_cores(struct options *o)
{
    uint32_t cores_max = 1U << o->vnode_bits;
    if (cores_max > REACTOR_CORES_MAX)
        cores_max = REACTOR_CORES_MAX;
    if (o->cores != 0)
        return;
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    ASSERT(count >= 1);
    o->cores = (uint32_t)count < cores_max ? (uint32_t)count : cores_max;
}

static bool is_loopback(const struct address *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int check_together(const struct options *o, struct flags *f)
{
    if (!o->is_insecure && !is_loopback(&o->listen))
        return refuse(
            f,
            "listen: %s is not a loopback address, and torcd has neither passwords nor encryption:"
            " whoever reaches the port may read and change all data. Listen on 127.0.0.1 or [::1], or"
            " say --insecure if you trust the network",
            o->listen.host);
    if (o->cores > 1U << o->vnode_bits)
        return refuse(f,
                      "cores: expected at most one core a vnode, which are %u with vnode-bits %u, found %u",
                      1U << o->vnode_bits, o->vnode_bits, o->cores);
    bool is_percentage = o->memory <= 100;
    if (!is_percentage && o->memory / o->cores < OPTIONS_MEMORY_MIN)
        return refuse(f, "memory: expected at least 64M for each of %u cores, found %llu", o->cores,
                      (unsigned long long)o->memory);
    if (o->backup_root[0] && !backup_place_is_plain(o->backup_root))
        return refuse(
            f,
            "backup-root: expected a directory named from the root, without '.', '..' and a '/' too "
            "many, found \"%s\"",
            o->backup_root);
    if (o->segment_bytes % 4096 != 0)
        return refuse(f, "segment-bytes: expected a multiple of 4K, found %llu",
                      (unsigned long long)o->segment_bytes);
    if (o->log_bytes_max < 2 * o->segment_bytes)
        return refuse(f, "log-bytes-max: expected at least twice segment-bytes, which is %llu, found %llu",
                      (unsigned long long)o->segment_bytes, (unsigned long long)o->log_bytes_max);
    return 0;
}

enum options_next options_load(struct options *o, int argc, char **argv, char **environment, char *why,
                               size_t why_bytes)
{
    ASSERT(why_bytes >= OPTIONS_WHY_BYTES);
    why[0] = '\0';
    struct flags flags = {.why = why, .why_bytes = why_bytes};
    if (parse_flags(&flags, argc, argv))
        return OPTIONS_WRONG;
    if (flags.wants_help)
        print_help();
    else if (flags.wants_version)
        printf("torcd %s\n", TORC_VERSION);
    else if (flags.help_format && print_in_format(&flags))
        return OPTIONS_WRONG;
    if (flags.wants_help || flags.wants_version || flags.help_format)
        return OPTIONS_DONE;
    if (set_all(o, &flags, environment))
        return OPTIONS_WRONG;
    choose_cores(o);
    if (check_together(o, &flags))
        return OPTIONS_WRONG;
    if (!flags.wants_config)
        return OPTIONS_RUN;
    config_print_values(o, stdout);
    return OPTIONS_DONE;
}
