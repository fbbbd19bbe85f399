/* config_value.c - the values of options, from text and back.
 *
 * Each kind of value has a reader and a writer, and what one writes the other reads. */
#include "shard/serve/config_table.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t size;
};

/* From small to large; the first is what a bare number counts, if a bare number is taken. */
static const struct unit byte_units[] = {{"", 1},
                                         {"K", INT64_C(1) << 10},
                                         {"M", INT64_C(1) << 20},
                                         {"G", INT64_C(1) << 30},
                                         {"T", INT64_C(1) << 40}};
static const struct unit time_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
static const struct unit no_units[] = {{"", 1}};

struct units {
    const struct unit *of;
    size_t count;
};

static struct units units_of(const struct option_row *row)
{
    if (row->kind == OPTION_BYTES || row->kind == OPTION_MEMORY)
        return (struct units){byte_units, ARRAY_COUNT(byte_units)};
    if (row->kind == OPTION_DURATION)
        return (struct units){time_units, ARRAY_COUNT(time_units)};
    return (struct units){no_units, ARRAY_COUNT(no_units)};
}

/* ---- from text ---- */

/* Returns: 0 with the number and where it ended; digits only, after at most one minus. */
static int parse_digits(const char *text, int64_t *number, const char **end)
{
    bool is_negative = *text == '-';
    const char *p = text + is_negative;
    int64_t sum = 0;
    if (*p < '0' || *p > '9')
        return TORC_E_CONFIGURATION;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, *p - '0', &sum))
            return TORC_E_CONFIGURATION;
    *number = is_negative ? -sum : sum;
    *end = p;
    return 0;
}

static int parse_scaled(const struct option_row *row, const char *text, int64_t *value)
{
    const char *suffix;
    int64_t number;
    int rc = parse_digits(text, &number, &suffix);
    if (rc)
        return rc;
    struct units units = units_of(row);
    for (size_t i = 0; i < units.count; i++) {
        if (strcasecmp(suffix, units.of[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(number, units.of[i].size, value))
            return TORC_E_CONFIGURATION;
        return *value >= row->min && *value <= row->max ? 0 : TORC_E_CONFIGURATION;
    }
    return TORC_E_CONFIGURATION;
}

enum { PERCENT_MIN = 1, PERCENT_MAX = 100 };

/* A percentage is kept as the number it is: no number of bytes is so small. */
static int parse_memory(const struct option_row *row, const char *text, int64_t *value)
{
    const char *end;
    if (!strchr(text, '%'))
        return parse_scaled(row, text, value);
    int rc = parse_digits(text, value, &end);
    bool is_percentage = rc == 0 && strcmp(end, "%") == 0 && *value >= PERCENT_MIN && *value <= PERCENT_MAX;
    return is_percentage ? 0 : TORC_E_CONFIGURATION;
}

static int parse_word(const struct option_row *row, const char *text, int64_t *value)
{
    for (size_t i = 0; row->words[i]; i++) {
        if (strcmp(row->words[i], text) == 0) {
            *value = (int64_t)i;
            return 0;
        }
    }
    return TORC_E_CONFIGURATION;
}

static int parse_bool(const char *text, bool *value)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0)
        return TORC_E_CONFIGURATION;
    *value = is_true;
    return 0;
}

static int parse_address(const char *text, struct address *out)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return TORC_E_CONFIGURATION;
    const char *rest;
    int64_t port;
    if (parse_digits(colon + 1, &port, &rest) || *rest || port < 0 || port > 65535)
        return TORC_E_CONFIGURATION;
    bool has_brackets = *text == '[' && colon > text + 1 && colon[-1] == ']';
    const char *host = text + has_brackets;
    size_t bytes = (size_t)(colon - host) - has_brackets;
    struct address address = {.port = (uint16_t)port};
    if (bytes == 0 || bytes >= sizeof address.host)
        return TORC_E_CONFIGURATION;
    memcpy(address.host, host, bytes);
    uint8_t binary[16];
    if (inet_pton(has_brackets ? AF_INET6 : AF_INET, address.host, binary) != 1)
        return TORC_E_CONFIGURATION;
    *out = address;
    return 0;
}

/* An integer field is written in its own width. */
static void store_integer(void *field, size_t bytes, int64_t value)
{
    switch (bytes) {
    case 1:
        memcpy(field, &(uint8_t){(uint8_t)value}, 1);
        return;
    case 2:
        memcpy(field, &(uint16_t){(uint16_t)value}, 2);
        return;
    case 4:
        memcpy(field, &(uint32_t){(uint32_t)value}, 4);
        return;
    }
    ASSERT(bytes == 8);
    memcpy(field, &value, 8);
}

/* A path that names nothing unless one is given. The file of options itself is left out, not empty. */
static bool option_may_be_empty(const struct option_row *row)
{
    return row->section && row->initial[0] == '\0';
}

/* The file trims values, and ends them before a ';' behind a blank: such a path would come back as another
 * one. */
static bool is_path(const char *text)
{
    size_t bytes = strlen(text);
    for (size_t i = 0; i < bytes; i++) {
        bool is_blank = isspace((unsigned char)text[i]);
        if (is_blank && (i == 0 || i + 1 == bytes || text[i] != ' ' || text[i + 1] == ';'))
            return false;
    }
    return text[0] != ';';
}

int option_parse(struct options *o, const struct option_row *row, const char *text)
{
    void *field = (char *)o + row->offset;
    int64_t value = 0;
    int rc = 0;
    switch (row->kind) {
    case OPTION_PATH:
        if (strlen(text) >= row->bytes || !is_path(text) || (text[0] == '\0' && !option_may_be_empty(row)))
            return TORC_E_CONFIGURATION;
        memcpy(field, text, strlen(text) + 1);
        return 0;
    case OPTION_ADDRESS:
        return parse_address(text, field);
    case OPTION_BOOL:
        return parse_bool(text, field);
    case OPTION_WORD:
        rc = parse_word(row, text, &value);
        break;
    case OPTION_MEMORY:
        rc = parse_memory(row, text, &value);
        break;
    case OPTION_NUMBER:
    case OPTION_BYTES:
    case OPTION_DURATION:
        if (!row->has_auto || strcmp(text, "auto") != 0)
            rc = parse_scaled(row, text, &value);
        break;
    }
    if (rc == 0)
        store_integer(field, row->bytes, value);
    return rc;
}

/* ---- to text ---- */

static int64_t load_integer(const struct options *o, const struct option_row *row)
{
    const char *field = (const char *)o + row->offset;
    uint8_t narrow;
    uint16_t half;
    int32_t word;
    int64_t wide;
    switch (row->bytes) {
    case 1:
        memcpy(&narrow, field, 1);
        return narrow;
    case 2:
        memcpy(&half, field, 2);
        return half;
    case 4:
        memcpy(&word, field, 4); /* all ranges fit, pin-first-cpu may be -1 */
        return word;
    }
    ASSERT(row->bytes == 8);
    memcpy(&wide, field, 8);
    return wide;
}

static void format_scaled(const struct option_row *row, int64_t value, char *text, size_t text_bytes)
{
    struct units units = units_of(row);
    size_t best = 0;
    for (size_t i = 0; i < units.count; i++)
        if (value % units.of[i].size == 0 && (value != 0 || (row->kind == OPTION_DURATION && i == 1)))
            best = i;
    snprintf(text, text_bytes, "%" PRId64 "%s", value / units.of[best].size, units.of[best].name);
}

void option_format(const struct options *o, const struct option_row *row, char text[OPTION_TEXT_BYTES])
{
    const void *field = (const char *)o + row->offset;
    const struct address *address = field;
    switch (row->kind) {
    case OPTION_PATH:
        snprintf(text, OPTION_TEXT_BYTES, "%s", (const char *)field);
        break;
    case OPTION_ADDRESS:
        snprintf(text, OPTION_TEXT_BYTES, strchr(address->host, ':') ? "[%s]:%u" : "%s:%u", address->host,
                 address->port);
        break;
    case OPTION_BOOL:
        snprintf(text, OPTION_TEXT_BYTES, "%s", *(const bool *)field ? "true" : "false");
        break;
    case OPTION_WORD:
        snprintf(text, OPTION_TEXT_BYTES, "%s", row->words[load_integer(o, row)]);
        break;
    case OPTION_MEMORY:
        if (load_integer(o, row) <= PERCENT_MAX)
            snprintf(text, OPTION_TEXT_BYTES, "%" PRId64 "%%", load_integer(o, row));
        else
            format_scaled(row, load_integer(o, row), text, OPTION_TEXT_BYTES);
        break;
    case OPTION_NUMBER:
    case OPTION_BYTES:
    case OPTION_DURATION:
        if (row->has_auto && load_integer(o, row) == 0)
            snprintf(text, OPTION_TEXT_BYTES, "auto");
        else
            format_scaled(row, load_integer(o, row), text, OPTION_TEXT_BYTES);
        break;
    }
}

static void expected_range(const struct option_row *row, const char *what, char text[OPTION_EXPECTED_BYTES])
{
    char min[32], max[32];
    format_scaled(row, row->min, min, sizeof min);
    format_scaled(row, row->max, max, sizeof max);
    snprintf(text, OPTION_EXPECTED_BYTES, "%s%s from %s to %s", row->has_auto ? "auto or " : "", what, min,
             max);
}

static void expected_words(const struct option_row *row, char text[OPTION_EXPECTED_BYTES])
{
    size_t bytes = 0;
    text[0] = '\0';
    for (size_t i = 0; row->words[i] && bytes < OPTION_EXPECTED_BYTES; i++) {
        const char *before = i == 0 ? "" : row->words[i + 1] ? ", " : " or ";
        bytes += (size_t)snprintf(text + bytes, OPTION_EXPECTED_BYTES - bytes, "%s%s", before, row->words[i]);
    }
    ASSERT(bytes < OPTION_EXPECTED_BYTES);
}

void option_expected(const struct option_row *row, char text[OPTION_EXPECTED_BYTES])
{
    switch (row->kind) {
    case OPTION_PATH:
        snprintf(text, OPTION_EXPECTED_BYTES, "a path of %d to %d bytes without \" ;\"",
                 option_may_be_empty(row) ? 0 : 1, OPTIONS_PATH_BYTES - 1);
        break;
    case OPTION_ADDRESS:
        snprintf(text, OPTION_EXPECTED_BYTES, "an address and a port such as 127.0.0.1:7070 or [::1]:7070");
        break;
    case OPTION_BOOL:
        snprintf(text, OPTION_EXPECTED_BYTES, "true or false");
        break;
    case OPTION_WORD:
        expected_words(row, text);
        break;
    case OPTION_NUMBER:
        expected_range(row, "a number", text);
        break;
    case OPTION_MEMORY:
        expected_range(row, "a percentage from 1% to 100%, or a number of bytes such as 8G,", text);
        break;
    case OPTION_BYTES:
        expected_range(row, "a number of bytes such as 64M,", text);
        break;
    case OPTION_DURATION:
        expected_range(row, "a time such as 30s (ms, s, m, h),", text);
        break;
    }
}
