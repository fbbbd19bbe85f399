/* records.h - what `torc load` reads: records out of lines, in one of three formats.
 *
 *   json   one object a line: {"key": K, "value": V, "ttl_ms": N}; as json_bytes.h says; N may be missing
 *   tsv    key, a tab, and all that follows in the line; nothing is escaped
 *   deb    Debian control stanzas, separated by empty lines: the key is the field Package, the value the
 *          whole stanza without the newline at its end
 *
 * Empty lines count for nothing in json and tsv. `auto` looks at the first line that is not empty: one
 * that begins with { is json, one that begins with "Package:" is deb, one with a tab is tsv. */
#ifndef CLIENT_CLI_RECORDS_H
#define CLIENT_CLI_RECORDS_H

#include "client/cli/cli.h"
#include "client/cli/lines.h"

enum { CLI_PROBLEM_BYTES = 300 };

/* Key and value one behind the other in memory of its own, which is used again for the next record. Owns:
 * data, freed by the caller. */
struct cli_record {
    uint8_t *data;
    size_t capacity;
    size_t key_bytes;
    size_t value_bytes;
    uint64_t ttl_ms; /* 0: none */
    uint64_t line;   /* where it begins */
};

struct cli_records {
    struct cli_lines lines;
    enum cli_format format;          /* CLI_FORMAT_AUTO until the first line was seen */
    char problem[CLI_PROBLEM_BYTES]; /* what is wrong with line lines.number, or problem_line */
    uint64_t problem_line;
};

void cli_records_init(struct cli_records *records, int fd, enum cli_format format);
void cli_records_deinit(struct cli_records *records);

/* Returns: 1 and a record whose key and value are within torc's limits; 0 at the end; a code after which
 * reading is over, with what is wrong in `problem`. */
MUST_CHECK int cli_records_next(struct cli_records *records, struct cli_record *out);

/* Its key and value are not wanted any more: large memory of it is freed. */
void cli_record_done(struct cli_record *record);

static inline torc_bytes cli_record_key(const struct cli_record *r)
{
    return torc_bytes_of(r->data, r->key_bytes);
}

static inline torc_bytes cli_record_value(const struct cli_record *r)
{
    return torc_bytes_of(r->data + r->key_bytes, r->value_bytes);
}

#endif
