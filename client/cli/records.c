/* records.c - the three formats of `torc load`. A record is copied out of its line, for it outlives it. */
#include "client/cli/records.h"

#include "client/cli/json_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_BYTES_MAX = 64 << 10 };

static const char package_field[] = "Package:";

void cli_records_init(struct cli_records *records, int fd, enum cli_format format)
{
    *records = (struct cli_records){.format = format};
    cli_lines_init(&records->lines, fd);
}

void cli_records_deinit(struct cli_records *records)
{
    cli_lines_deinit(&records->lines);
}

void cli_record_done(struct cli_record *record)
{
    if (record->capacity <= KEPT_BYTES_MAX)
        return;
    free(record->data);
    record->data = NULL;
    record->capacity = 0;
}

/* ---- problems ---- */

static int wrong(struct cli_records *records, int code, const char *problem)
{
    records->problem_line = records->lines.number;
    snprintf(records->problem, sizeof records->problem, "%s", problem);
    return code;
}

static int check_lengths(struct cli_records *records, const struct cli_record *r)
{
    int code = 0;
    if (r->key_bytes == 0)
        code = TORC_KEY_EMPTY;
    else if (r->key_bytes > TORC_KEY_BYTES_MAX)
        code = TORC_KEY_TOO_LONG;
    else if (r->value_bytes > TORC_VALUE_BYTES_MAX)
        code = TORC_VALUE_TOO_LARGE;
    if (code == 0)
        return 1;
    wrong(records, code, torc_error_sentence(code));
    records->problem_line = r->line;
    return code;
}

/* ---- building ---- */

static int reserve(struct cli_records *records, struct cli_record *r, size_t bytes)
{
    if (bytes <= r->capacity)
        return 0;
    size_t capacity = bytes > 2 * r->capacity ? bytes : 2 * r->capacity;
    uint8_t *data = realloc(r->data, capacity);
    if (!data)
        return wrong(records, TORC_NO_MEMORY, "out of memory");
    r->data = data;
    r->capacity = capacity;
    return 0;
}

static int set_pair(struct cli_records *records, struct cli_record *r, torc_bytes key, torc_bytes value)
{
    int rc = reserve(records, r, key.bytes + value.bytes + 1);
    if (rc != 0)
        return rc;
    if (key.bytes)
        memcpy(r->data, key.data, key.bytes);
    if (value.bytes)
        memcpy(r->data + key.bytes, value.data, value.bytes);
    r->key_bytes = key.bytes;
    r->value_bytes = value.bytes;
    return check_lengths(records, r);
}

/* ---- json ---- */

static int take_ttl(struct cli_records *records, const json_t *object, struct cli_record *r)
{
    const json_t *ttl = json_object_get(object, "ttl_ms");
    if (ttl && (!json_is_integer(ttl) || json_integer_value(ttl) < 1))
        return wrong(records, TORC_MALFORMED, "\"ttl_ms\" is not a whole number above 0");
    r->ttl_ms = ttl ? (uint64_t)json_integer_value(ttl) : 0;
    size_t known = 2 + (ttl != NULL);
    if (json_object_size(object) != known)
        return wrong(records, TORC_MALFORMED,
                     "the object has a field other than \"key\", \"value\" and \"ttl_ms\"");
    return 0;
}

static int take_object(struct cli_records *records, const json_t *object, struct cli_record *r)
{
    const json_t *key_json = json_object_get(object, "key");
    const json_t *value_json = json_object_get(object, "value");
    if (!key_json || !value_json)
        return wrong(records, TORC_MALFORMED, "the line is not an object with \"key\" and \"value\"");
    torc_bytes key, value;
    void *key_memory = NULL;
    void *value_memory = NULL;
    int rc = cli_bytes_of_json(key_json, &key, &key_memory);
    if (rc == 0)
        rc = cli_bytes_of_json(value_json, &value, &value_memory);
    if (rc != 0)
        rc = wrong(records, rc, "key and value must be strings, or {\"base64\": \"...\"} for other bytes");
    if (rc == 0)
        rc = take_ttl(records, object, r);
    if (rc == 0)
        rc = set_pair(records, r, key, value);
    free(key_memory);
    free(value_memory);
    return rc;
}

static int take_json(struct cli_records *records, torc_bytes line, struct cli_record *r)
{
    json_error_t error;
    json_t *object = json_loadb(line.data, line.bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        char problem[CLI_PROBLEM_BYTES];
        snprintf(problem, sizeof problem, "no JSON at column %d: %s", error.column, error.text);
        return wrong(records, TORC_MALFORMED, problem);
    }
    int rc = take_object(records, object, r);
    json_decref(object);
    return rc;
}

/* ---- tsv ---- */

static int take_tsv(struct cli_records *records, torc_bytes line, struct cli_record *r)
{
    const char *begin = line.data;
    const char *tab = memchr(begin, '\t', line.bytes);
    if (!tab)
        return wrong(records, TORC_MALFORMED, "no tab between key and value");
    size_t key_bytes = (size_t)(tab - begin);
    return set_pair(records, r, torc_bytes_of(begin, key_bytes),
                    torc_bytes_of(tab + 1, line.bytes - key_bytes - 1));
}

/* ---- deb ---- */

static bool is_blank(torc_bytes line)
{
    const char *text = line.data;
    for (size_t i = 0; i < line.bytes; i++)
        if (text[i] != ' ' && text[i] != '\t')
            return false;
    return true;
}

static bool is_package_field(torc_bytes line)
{
    size_t bytes = sizeof package_field - 1;
    return line.bytes >= bytes && strncasecmp(line.data, package_field, bytes) == 0;
}

static torc_bytes trimmed(torc_bytes text)
{
    const char *begin = text.data;
    size_t bytes = text.bytes;
    while (bytes > 0 && (*begin == ' ' || *begin == '\t')) {
        begin++;
        bytes--;
    }
    while (bytes > 0 && (begin[bytes - 1] == ' ' || begin[bytes - 1] == '\t'))
        bytes--;
    return torc_bytes_of(begin, bytes);
}

/* The key stands in front of the stanza in the record, and its length is known only when its field comes:
 * so room for the longest is left, and the stanza is moved to the key's end when it is whole. */
static int add_stanza_line(struct cli_records *records, struct cli_record *r, torc_bytes line)
{
    if (r->value_bytes + line.bytes + 1 > (size_t)TORC_VALUE_BYTES_MAX + 1)
        return wrong(records, TORC_VALUE_TOO_LARGE, torc_error_sentence(TORC_VALUE_TOO_LARGE));
    int rc = reserve(records, r, TORC_KEY_BYTES_MAX + r->value_bytes + line.bytes + 1);
    if (rc != 0)
        return rc;
    uint8_t *to = r->data + TORC_KEY_BYTES_MAX + r->value_bytes;
    memcpy(to, line.data, line.bytes);
    to[line.bytes] = '\n';
    r->value_bytes += line.bytes + 1;
    if (!is_package_field(line))
        return 0;
    torc_bytes key = trimmed(torc_bytes_of((const char *)line.data + sizeof package_field - 1,
                                           line.bytes - (sizeof package_field - 1)));
    if (r->key_bytes > 0)
        return wrong(records, TORC_MALFORMED, "a second Package field in one stanza");
    if (key.bytes == 0 || key.bytes > TORC_KEY_BYTES_MAX)
        return wrong(records, TORC_MALFORMED, "the Package field is empty or too long for a key");
    memcpy(r->data, key.data, key.bytes);
    r->key_bytes = key.bytes;
    return 0;
}

static int take_stanza(struct cli_records *records, torc_bytes line, struct cli_record *r)
{
    r->key_bytes = 0;
    r->value_bytes = 0;
    int more = 1;
    while (more == 1 && !is_blank(line)) { /* at most the bytes of a value */
        int rc = add_stanza_line(records, r, line);
        if (rc != 0)
            return rc;
        more = cli_lines_next(&records->lines, &line);
    }
    if (more < 0)
        return wrong(records, more, torc_error_sentence(more));
    if (r->key_bytes == 0) {
        wrong(records, TORC_MALFORMED, "the stanza has no Package field");
        records->problem_line = r->line;
        return TORC_MALFORMED;
    }
    r->value_bytes--; /* the last newline */
    memmove(r->data + r->key_bytes, r->data + TORC_KEY_BYTES_MAX, r->value_bytes);
    return check_lengths(records, r);
}

/* ---- reading ---- */

static enum cli_format guess(torc_bytes line)
{
    torc_bytes text = trimmed(line);
    if (*(const char *)text.data == '{')
        return CLI_FORMAT_JSON;
    if (is_package_field(line))
        return CLI_FORMAT_DEB;
    return memchr(line.data, '\t', line.bytes) ? CLI_FORMAT_TSV : CLI_FORMAT_AUTO;
}

int cli_records_next(struct cli_records *records, struct cli_record *out)
{
    torc_bytes line;
    int rc;
    do
        rc = cli_lines_next(&records->lines, &line);
    while (rc == 1 && is_blank(line));
    if (rc < 0) {
        records->lines.number += rc == TORC_VALUE_TOO_LARGE;
        return wrong(records, rc,
                     rc == TORC_VALUE_TOO_LARGE ? "the line is too long" : torc_error_sentence(rc));
    }
    if (rc == 0)
        return 0;
    out->line = records->lines.number;
    out->ttl_ms = 0;
    if (records->format == CLI_FORMAT_AUTO)
        records->format = guess(line);
    switch (records->format) {
    case CLI_FORMAT_JSON:
        return take_json(records, line, out);
    case CLI_FORMAT_TSV:
        return take_tsv(records, line, out);
    case CLI_FORMAT_DEB:
        return take_stanza(records, line, out);
    case CLI_FORMAT_AUTO:
        break;
    }
    return wrong(records, TORC_MALFORMED, "the format is not clear; name it with --format json, tsv or deb");
}
