/* log.c - log lines as logfmt or JSON.
 *
 * A line is put together in a buffer on the stack. Each field is written whole or not at all: when it does
 * not fit, the length goes back to where it began. LOG_TAIL_BYTES are kept free for the note that
 * something was left out, and for the end of a JSON line, so the line is always well-formed. */
#include "shard/serve/log.h"

#include "reactor/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LOG_TAIL_BYTES = 16 }; /* ,"cut":true} and cut=true */

struct line {
    char *text; /* LOG_LINE_BYTES_MAX */
    size_t bytes;
    enum log_format format;
    bool is_full; /* what was added last did not fit */
    bool is_cut;  /* at least one field was left out */
};

struct log_field log_text(const char *key, const char *text)
{
    return log_bytes(key, text ? slice_of_string(text) : slice_of(NULL, 0));
}

struct log_field log_error(int code)
{
    return log_text("error", error_sentence(code));
}

/* ---- bytes into the line ---- */

static void put(struct line *l, const char *text, size_t bytes)
{
    if (l->is_full || bytes > LOG_LINE_BYTES_MAX - LOG_TAIL_BYTES - l->bytes) {
        l->is_full = true;
        return;
    }
    memcpy(l->text + l->bytes, text, bytes);
    l->bytes += bytes;
}

static void put_string(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void put_character(struct line *l, const uint8_t *p, size_t bytes)
{
    char escape[8];
    if (bytes == 0)
        put_string(l, UTF8_REPLACEMENT);
    else if (*p == '"' || *p == '\\')
        put(l, (const char[]){'\\', (char)*p}, 2);
    else if (*p == '\n')
        put_string(l, "\\n");
    else if (*p == '\t')
        put_string(l, "\\t");
    else if (*p == '\r')
        put_string(l, "\\r");
    else if (*p < 0x20 || *p == 0x7f)
        put(l, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", *p));
    else
        put(l, (const char *)p, bytes);
}

static void put_quoted(struct line *l, struct slice text)
{
    size_t end = text.bytes < LOG_VALUE_BYTES_MAX ? text.bytes : LOG_VALUE_BYTES_MAX;
    put_string(l, "\"");
    for (size_t i = 0; i < end;) {
        size_t bytes = utf8_bytes(text.data + i, text.bytes - i);
        put_character(l, text.data + i, bytes);
        i += bytes ? bytes : 1;
    }
    put_string(l, end < text.bytes ? "...\"" : "\"");
}

/* Whether logfmt takes it as it is. */
static bool is_bare(struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return text.bytes > 0 && text.bytes <= LOG_VALUE_BYTES_MAX;
}

static void put_text(struct line *l, struct slice text)
{
    if (l->format == LOG_FORMAT_LOGFMT && is_bare(text))
        put(l, (const char *)text.data, text.bytes);
    else
        put_quoted(l, text);
}

/* ---- fields ---- */

static void put_key(struct line *l, const char *key)
{
    bool is_json = l->format == LOG_FORMAT_JSON;
    if (l->bytes > (is_json ? 1 : 0))
        put_string(l, is_json ? "," : " ");
    if (is_json)
        put_string(l, "\"");
    put_string(l, key);
    put_string(l, is_json ? "\":" : "=");
}

static void put_value(struct line *l, const struct log_field *field)
{
    char digits[24];
    switch (field->kind) {
    case LOG_FIELD_NONE:
        break;
    case LOG_FIELD_TEXT:
        put_text(l, field->text);
        break;
    case LOG_FIELD_NUMBER:
        put(l, digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu64, field->number));
        break;
    case LOG_FIELD_SIGNED:
        put(l, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, (int64_t)field->number));
        break;
    case LOG_FIELD_BOOL:
        put_string(l, field->number ? "true" : "false");
        break;
    }
}

static void put_field(struct line *l, const struct log_field *field)
{
    size_t before = l->bytes;
    put_key(l, field->key);
    put_value(l, field);
    if (l->is_full) {
        l->bytes = before;
        l->is_full = false;
        l->is_cut = true;
    }
}

static void put_end(struct line *l)
{
    const char *tail = "";
    if (l->format == LOG_FORMAT_JSON)
        tail = l->is_cut ? ",\"cut\":true}" : "}";
    else if (l->is_cut)
        tail = " cut=true";
    size_t bytes = strlen(tail);
    ASSERT(bytes <= LOG_TAIL_BYTES && l->bytes + bytes <= LOG_LINE_BYTES_MAX);
    memcpy(l->text + l->bytes, tail, bytes);
    l->bytes += bytes;
}

/* ---- lines ---- */

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    ASSERT((size_t)level < ARRAY_COUNT(names));
    return names[level];
}

size_t log_format_line(char *line, enum log_format format, const struct log_line_head *head,
                       const struct log_field *fields)
{
    struct line l = {.text = line, .format = format};
    char time[LOG_TIME_BYTES];
    log_format_time(time, head->wall_ms);
    if (format == LOG_FORMAT_JSON)
        put_string(&l, "{");
    const struct log_field first[] = {
        log_text("time", time),
        log_text("level", level_name(head->level)),
        log_number("core", head->core),
        log_text("event", head->event),
    };
    for (size_t i = 0; i < ARRAY_COUNT(first); i++)
        put_field(&l, &first[i]);
    if (head->message) {
        struct log_field message = log_text("message", head->message);
        put_field(&l, &message);
    }
    for (; fields->kind != LOG_FIELD_NONE; fields++)
        put_field(&l, fields);
    put_end(&l);
    return l.bytes;
}

void log_write_fields(struct log *log, enum log_level level, const char *event, const char *message,
                      const struct log_field *fields)
{
    if (!log_is_on(log, level))
        return;
    char line[LOG_LINE_BYTES_MAX];
    struct log_line_head head = {reactor_wall_ms(log->reactor), level, reactor_core(log->reactor), event,
                                 message};
    reactor_log_line(log->reactor, line, log_format_line(line, log->format, &head, fields));
}

/* ---- the date ---- */

struct date {
    unsigned year, month, day;
};

/* The civil date of a day since 1970-01-01, after http://howardhinnant.github.io/date_algorithms.html:
 * years begin in March, so that the leap day is the last of its year, and repeat every 400 (146,097 days). */
static struct date date_of_day(uint64_t days)
{
    uint64_t shifted = days + 719468; /* days from 0000-03-01 to 1970-01-01 */
    uint64_t era = shifted / 146097;
    unsigned day_of_era = (unsigned)(shifted % 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */
    unsigned day = day_of_year - (153 * month + 2) / 5 + 1;
    unsigned year = (unsigned)(era * 400) + year_of_era + (month >= 10);
    return (struct date){year, month < 10 ? month + 3 : month - 9, day};
}

void log_format_time(char text[LOG_TIME_BYTES], uint64_t wall_ms)
{
    const uint64_t last_ms = UINT64_C(253402300799999);
    if (wall_ms > last_ms)
        wall_ms = last_ms;
    struct date d = date_of_day(wall_ms / 86400000);
    unsigned ms = (unsigned)(wall_ms % 86400000);
    ASSERT(d.year <= 9999 && d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= 31);
    snprintf(text, LOG_TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", d.year % 10000, d.month % 100,
             d.day % 100, ms / 3600000 % 100, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
}
