/* config_table.h - the options of torcd, one row each, and their values to and from text. See options.h. */
#ifndef SHARD_SERVE_CONFIG_TABLE_H
#define SHARD_SERVE_CONFIG_TABLE_H

#include "shard/serve/options.h"

#include <stdio.h>

enum option_kind {
    OPTION_PATH,     /* char[OPTIONS_PATH_BYTES] */
    OPTION_ADDRESS,  /* struct address: 127.0.0.1:7070, [::1]:7070 */
    OPTION_BOOL,     /* bool: true or false; as a flag without a value it is true */
    OPTION_NUMBER,   /* an integer of 1, 2 or 4 bytes; "auto" where the row says so is 0 */
    OPTION_BYTES,    /* uint64_t: 64M; K, M, G, T are powers of 1,024 */
    OPTION_MEMORY,   /* uint64_t: as OPTION_BYTES, or a percentage such as 80% */
    OPTION_DURATION, /* uint64_t, milliseconds: 30s; ms, s, m, h */
    OPTION_WORD,     /* an enum: one of `words`, in its order */
};

struct option_row {
    const char *name;         /* the long flag and the key in the file */
    const char *section;      /* of the file; null: not in the file */
    const char *argument;     /* what help calls the value */
    const char *initial;      /* the default, as text */
    const char *const *words; /* OPTION_WORD: ends with null */
    const char *help;         /* one sentence without its full stop */
    int64_t min, max;
    enum option_kind kind;
    char letter; /* the short flag; 0: none */
    bool has_auto;
    uint16_t offset, bytes; /* in struct options */
};

extern const struct option_row option_table[OPTIONS_COUNT];

enum {
    OPTION_TEXT_BYTES = OPTIONS_PATH_BYTES + 64, /* any value as text */
    OPTION_NAME_BYTES = 32,                      /* any name, any environment variable */
    OPTION_EXPECTED_BYTES = 128,
};

/* Returns: the row, or OPTIONS_COUNT. */
unsigned option_find(const char *name);

/* TORC_WRITE_TIMEOUT for write-timeout. */
void option_environment_name(const struct option_row *row, char name[OPTION_NAME_BYTES]);

/* Reads one value into its field. Returns: 0, or TORC_E_CONFIGURATION, nothing changed. */
MUST_CHECK int option_parse(struct options *o, const struct option_row *row, const char *text);

/* The value as option_parse reads it, in the largest unit that divides it. */
void option_format(const struct options *o, const struct option_row *row, char text[OPTION_TEXT_BYTES]);

/* What a value may be: "a number of bytes such as 64M, from 1M to 64G". */
void option_expected(const struct option_row *row, char text[OPTION_EXPECTED_BYTES]);

/* ---- the configuration file (config_file.c) ---- */

/* Reads the file o->config into *o. Returns: 0, or TORC_E_CONFIGURATION with FILE:LINE and what is wrong
 * in `why`. */
MUST_CHECK int config_read_file(struct options *o, char *why, size_t why_bytes);
/* The same from an open stream; `name` is what `why` calls it. */
MUST_CHECK int config_read_stream(struct options *o, FILE *stream, const char *name, char *why,
                                  size_t why_bytes);

/* ---- what is made of the table (config_print.c) ---- */

void config_print_values(const struct options *o,
                         FILE *to); /* a file that --config reads, with origins as comments */
void config_print_sample(FILE *to);
void config_print_markdown(FILE *to);
void config_print_manual(FILE *to); /* roff */

#endif
