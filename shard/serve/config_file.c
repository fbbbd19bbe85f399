/* config_file.c - the configuration file, an INI file read with inih.
 *
 *   [storage]
 *   memtable-bytes = 64M    ; a comment
 *
 * A key stands in its section, or before all sections. Unknown keys, keys of another section, keys given
 * twice and lines that are too long are errors: a configuration that was not understood is not guessed at.
 * inih does not tell its handler the number of a line, so the reader counts; and it joins an indented line
 * to the one before and splits a long one, so the reader takes the indent away and refuses what is long. */
#include "shard/serve/config_table.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

struct config_reader {
    struct options *options;
    FILE *stream;
    const char *name;
    char *why;
    size_t why_bytes;
    unsigned line;
    bool has_failed; /* `why` is set; the first error stays */
};

__attribute__((format(printf, 2, 3))) static void fail(struct config_reader *c, const char *format, ...)
{
    if (c->has_failed)
        return;
    c->has_failed = true;
    int bytes = snprintf(c->why, c->why_bytes, "%s:%u: ", c->name, c->line);
    ASSERT(bytes >= 0);
    if ((size_t)bytes >= c->why_bytes)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->why + bytes, c->why_bytes - (size_t)bytes, format, arguments);
    va_end(arguments);
}

/* inih's reader: one line into `to`, as fgets. Null ends the file, which an error does too. */
static char *read_line(char *to, int bytes_max, void *reader)
{
    struct config_reader *c = reader;
    if (c->has_failed || !fgets(to, bytes_max, c->stream))
        return NULL;
    c->line++;
    size_t bytes = strlen(to);
    bool is_whole = (bytes > 0 && to[bytes - 1] == '\n') || feof(c->stream);
    if (!is_whole || bytes + 1 >= (size_t)bytes_max) {
        fail(c, "the line is longer than %d bytes or holds a zero byte", bytes_max - 3);
        return NULL;
    }
    size_t indent = strspn(to, " \t");
    memmove(to, to + indent, bytes - indent + 1);
    return to;
}

/* inih's handler: one key. Returns: 1 to go on; errors are kept in the reader. */
static int take_key(void *reader, const char *section, const char *name, const char *value)
{
    struct config_reader *c = reader;
    if (c->has_failed)
        return 1;
    unsigned index = option_find(name);
    const struct option_row *row = &option_table[index < OPTIONS_COUNT ? index : 0];
    struct option_source *source = &c->options->sources[index < OPTIONS_COUNT ? index : 0];
    char expected[OPTION_EXPECTED_BYTES];
    if (index == OPTIONS_COUNT || !row->section) {
        fail(c, "expected the name of an option (torcd --help lists them), found \"%s\"", name);
    } else if (section[0] && strcmp(section, row->section) != 0) {
        fail(c, "%s belongs into the section [%s], found it in [%s]", name, row->section, section);
    } else if (source->origin == ORIGIN_FILE) {
        fail(c, "%s is given twice; the first is in line %u", name, source->line);
    } else if (option_parse(c->options, row, value ? value : "") != 0) {
        option_expected(row, expected);
        fail(c, "%s: expected %s, found \"%s\"", name, expected, value ? value : "");
    } else {
        *source = (struct option_source){ORIGIN_FILE, c->line};
    }
    return 1;
}

int config_read_stream(struct options *o, FILE *stream, const char *name, char *why, size_t why_bytes)
{
    struct config_reader c = {
        .options = o, .stream = stream, .name = name, .why = why, .why_bytes = why_bytes};
    int broken_line = ini_parse_stream(read_line, &c, take_key, &c);
    if (!c.has_failed && ferror(stream))
        fail(&c, "cannot be read");
    if (broken_line > 0 && (!c.has_failed || (unsigned)broken_line < c.line)) {
        c.has_failed = false; /* inih goes on after a line that it does not understand */
        c.line = (unsigned)broken_line;
        fail(&c, "expected a [section], a comment or NAME = VALUE");
    }
    if (broken_line < 0)
        fail(&c, "cannot be parsed");
    return c.has_failed ? TORC_E_CONFIGURATION : 0;
}

int config_read_file(struct options *o, char *why, size_t why_bytes)
{
    FILE *stream = fopen(o->config, "re");
    if (!stream) {
        snprintf(why, why_bytes, "the configuration file %s cannot be opened: %s", o->config,
                 error_sentence(-errno));
        return TORC_E_CONFIGURATION;
    }
    int rc = config_read_stream(o, stream, o->config, why, why_bytes);
    fclose(stream);
    return rc;
}
