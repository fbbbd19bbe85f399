/* config_print.c - the pages that are made of the option table.
 *
 * `make docs` writes them to docs/, and a check compares them, so none of them can disagree with the
 * program. */
#include "reactor/base/version.h"
#include "shard/serve/config_table.h"

#include <string.h>

/* The file's lines are bounded (197 bytes), and what is printed is to be read back. */
enum { VALUE_BESIDE_MAX = 60, ORIGIN_PATH_MAX = 100 };

/* ---- the values ---- */

static void print_origin(const struct options *o, unsigned index, FILE *to)
{
    size_t bytes = strlen(o->config), cut = bytes > ORIGIN_PATH_MAX ? bytes - ORIGIN_PATH_MAX : 0;
    const struct option_row *row = &option_table[index];
    char name[OPTION_NAME_BYTES];
    switch (o->sources[index].origin) {
    case ORIGIN_DEFAULT:
        fprintf(to, "default\n");
        break;
    case ORIGIN_FILE:
        fprintf(to, "%s%s:%u\n", cut ? "..." : "", o->config + cut, o->sources[index].line);
        break;
    case ORIGIN_ENVIRONMENT:
        option_environment_name(row, name);
        fprintf(to, "environment %s\n", name);
        break;
    case ORIGIN_FLAG:
        fprintf(to, "flag --%s\n", row->name);
        break;
    }
}

void config_print_values(const struct options *o, FILE *to)
{
    const char *section = NULL;
    char text[OPTION_TEXT_BYTES];
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        if (row->section && row->section != section) {
            section = row->section;
            fprintf(to, "\n[%s]\n", section);
        }
        option_format(o, row, text);
        const char *before = row->section ? "" : "; ";
        if (strlen(text) > VALUE_BESIDE_MAX) { /* a line has not room for both */
            fprintf(to, "; ");
            print_origin(o, i, to);
            fprintf(to, "%s%s = %s\n", before, row->name, text);
            continue;
        }
        int bytes = fprintf(to, "%s%s = %s", before, row->name, text);
        fprintf(to, "%*s ; ", bytes < 40 ? 40 - bytes : 0, "");
        print_origin(o, i, to);
    }
}

/* ---- the sample file ---- */

/* Writes `text` in lines of at most 78 columns, each after `before`. */
static void print_wrapped(const char *text, const char *before, FILE *to)
{
    size_t width = 78 - strlen(before);
    while (*text) {
        size_t bytes = strlen(text);
        if (bytes > width) {
            bytes = width;
            while (bytes > 1 && text[bytes] != ' ')
                bytes--;
        }
        fprintf(to, "%s%.*s\n", before, (int)bytes, text);
        text += bytes;
        text += strspn(text, " ");
    }
}

void config_print_sample(FILE *to)
{
    const char *section = NULL;
    char text[1024], expected[OPTION_EXPECTED_BYTES];
    fprintf(to, "# torc.conf - the configuration of torcd %s: torcd --config torc.conf\n#\n", TORC_VERSION);
    print_wrapped(
        "All values below are the defaults. A flag (--log-level) and the environment (TORC_LOG_LEVEL) win "
        "over this file; torcd --print-config says which value comes from where.",
        "# ", to);
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        if (!row->section)
            continue;
        if (row->section != section) {
            section = row->section;
            fprintf(to, "\n[%s]\n", section);
        }
        option_expected(row, expected);
        snprintf(text, sizeof text, "%s. Takes %s.", row->help, expected);
        fprintf(to, "\n");
        print_wrapped(text, "# ", to);
        fprintf(to, "#%s = %s\n", row->name, row->initial);
    }
}

/* ---- docs/configuration.md ---- */

void config_print_markdown(FILE *to)
{
    const char *section = NULL;
    char name[OPTION_NAME_BYTES], expected[OPTION_EXPECTED_BYTES];
    fprintf(
        to,
        "# Configuration of torcd\n\n"
        "<!-- Made of the option table by `make docs`; changes belong into shard/serve/config_table.c. "
        "-->\n\n"
        "Every option is a flag, an environment variable and a key of the configuration file. A flag wins\n"
        "over the environment, that over the file, that over the default. `torcd --print-config` prints all\n"
        "values and where each comes from, in the form of a configuration file, and starts nothing.\n\n"
        "The file is given with `--config FILE` or `TORC_CONFIG`. It is an INI file; a key stands in its\n"
        "section or before all sections, and what is not understood is an error that names the file and the\n"
        "line. A line has at most 197 bytes; a ';' behind a blank begins a comment.\n"
        "[torc.conf.sample](torc.conf.sample) holds all keys with their defaults.\n\n"
        "Bytes take the suffixes K, M, G and T (powers of 1,024), times ms, s, m and h. A wrong\n"
        "configuration ends torcd with status 2 before it has touched anything.\n");
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        const char *heading = row->section ? row->section : "command line";
        if (!section || strcmp(heading, section) != 0) {
            section = heading;
            fprintf(to, row->section ? "\n## [%s]\n" : "\n## %s\n", heading);
        }
        option_environment_name(row, name);
        option_expected(row, expected);
        fprintf(to, "\n### %s\n\n%s.\n\n", row->name, row->help);
        fprintf(to, "- takes %s\n", expected);
        if (row->initial[0])
            fprintf(to, "- default `%s`\n", row->initial);
        fprintf(to, "- `--%s=%s`", row->name, row->argument);
        if (row->letter)
            fprintf(to, ", `-%c %s`", row->letter, row->argument);
        fprintf(to, ", `%s`\n", name);
    }
    fprintf(to, "\n## Other flags\n\n"
                "- `--print-config` prints all values and where each comes from\n"
                "- `--help`, `--version`\n");
}

/* ---- the manual page ---- */

/* roff reads - as a hyphen and \ as a command. */
static void print_roff(const char *text, FILE *to)
{
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            fputc('\\', to);
        fputc(*text == '\\' ? 'e' : *text, to);
    }
}

static void print_manual_option(const struct option_row *row, FILE *to)
{
    char name[OPTION_NAME_BYTES], expected[OPTION_EXPECTED_BYTES];
    option_environment_name(row, name);
    option_expected(row, expected);
    fprintf(to, ".TP\n");
    if (row->letter)
        fprintf(to, "\\fB\\-%c\\fR \\fI%s\\fR, ", row->letter, row->argument);
    fprintf(to, "\\fB\\-\\-");
    print_roff(row->name, to);
    fprintf(to, "\\fR=\\fI%s\\fR\n", row->argument);
    print_roff(row->help, to);
    fprintf(to, ".\nTakes ");
    print_roff(expected, to);
    if (row->initial[0]) {
        fprintf(to, "; default ");
        print_roff(row->initial, to);
    }
    fprintf(to, ".\nEnvironment: %s.\n", name);
}

void config_print_manual(FILE *to)
{
    fprintf(to,
            ".\\\" Made of the option table by make docs.\n"
            ".TH TORCD 1 \"\" \"torc %s\" \"torc\"\n"
            ".SH NAME\ntorcd \\- node of the distributed key-value store torc\n"
            ".SH SYNOPSIS\n.B torcd\n[\\fIOPTION\\fR...]\n"
            ".SH DESCRIPTION\n"
            "Serves the keys of one node. It runs in the foreground, writes log lines to standard error and "
            "ends\n"
            "on SIGTERM or SIGINT after the requests in flight were answered.\n"
            ".PP\nEvery option can also be set in the environment and in the configuration file. A flag wins "
            "over\n"
            "the environment, that over the file, that over the default.\n"
            ".SH OPTIONS\n",
            TORC_VERSION);
    const char *section = NULL;
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        if (option_table[i].section && option_table[i].section != section) {
            section = option_table[i].section;
            fprintf(to, ".SS [%s]\n", section);
        }
        print_manual_option(&option_table[i], to);
    }
    fprintf(
        to,
        ".SS Other\n"
        ".TP\n\\fB\\-\\-print\\-config\\fR\nPrint all values and where each comes from, then exit.\n"
        ".TP\n\\fB\\-\\-help\\fR, \\fB\\-\\-version\\fR\nPrint the help or the version, then exit.\n"
        ".SH EXIT STATUS\n"
        "0 after an orderly end, 1 when the node could not start or had to stop, 2 when the configuration\n"
        "is wrong.\n"
        ".SH SEE ALSO\n.BR torc (1)\n");
}
