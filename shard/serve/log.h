/* log.h - the log lines of one core: what happened, when, how bad, and what belongs to it.
 *
 *   log_write(&s->log, LOG_LEVEL_INFO, "serving", NULL, log_text("host", host), log_number("port", port));
 *
 *   time=2026-03-01T12:00:00.123Z level=info core=0 event=serving host=::1 port=7070
 *   {"time":"2026-03-01T12:00:00.123Z","level":"info","core":0,"event":"serving","host":"::1","port":7070}
 *
 * One line an event, never more than LOG_LINE_BYTES_MAX. Whatever bytes a value holds, the line stays one
 * line and can be read back: text is escaped as in JSON, bytes that are not UTF-8 become U+FFFD, long
 * values end in "...". A field that finds no room is left out and the line says cut=true. */
#ifndef SHARD_SERVE_LOG_H
#define SHARD_SERVE_LOG_H

#include "reactor/reactor.h"

enum {
    LOG_LINE_BYTES_MAX = 2048,
    LOG_VALUE_BYTES_MAX = 512, /* of one value, before it is escaped */
};

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log {
    struct reactor *reactor;
    enum log_level level; /* lines of a higher level are not written */
    enum log_format format;
};

static inline void log_init(struct log *log, struct reactor *r, enum log_level level, enum log_format format)
{
    *log = (struct log){.reactor = r, .level = level, .format = format};
}

static inline bool log_is_on(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

/* ---- fields ---- */

enum log_field_kind { LOG_FIELD_NONE, LOG_FIELD_TEXT, LOG_FIELD_NUMBER, LOG_FIELD_SIGNED, LOG_FIELD_BOOL };

/* Borrows its key and its text for the call. Keys are snake_case and need no escape. */
struct log_field {
    const char *key;
    enum log_field_kind kind;
    struct slice text;
    uint64_t number;
};

struct log_field log_text(const char *key, const char *text); /* null text is written as "" */
static inline struct log_field log_bytes(const char *key, struct slice bytes)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_TEXT, .text = bytes};
}
static inline struct log_field log_number(const char *key, uint64_t number)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_NUMBER, .number = number};
}
static inline struct log_field log_signed(const char *key, int64_t number)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_SIGNED, .number = (uint64_t)number};
}
static inline struct log_field log_bool(const char *key, bool is_true)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_BOOL, .number = is_true};
}
/* An error code as its sentence, under the key "error". */
struct log_field log_error(int code);

/* ---- lines ---- */

/* Writes one line through reactor_log_line when `level` is on. `event` is a fixed word in snake_case that
 * can be searched for; `message` is a sentence, or null. Fields follow, none is fine. */
#define log_write(log, level, event, message, ...)                                                           \
    log_write_fields(log, level, event, message, (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

/* What log_write calls; `fields` ends with one of LOG_FIELD_NONE. */
void log_write_fields(struct log *log, enum log_level level, const char *event, const char *message,
                      const struct log_field *fields);

/* The line itself, without a newline. Requires: `line` has LOG_LINE_BYTES_MAX bytes. Returns: its length. */
struct log_line_head {
    uint64_t wall_ms;
    enum log_level level;
    unsigned core;
    const char *event;
    const char *message;
};
size_t log_format_line(char *line, enum log_format format, const struct log_line_head *head,
                       const struct log_field *fields);

enum { LOG_TIME_BYTES = 25 }; /* "2026-03-01T12:00:00.123Z" and its end */

/* Unix milliseconds as RFC 3339 in UTC; years past 9999 are written as 9999-12-31T23:59:59.999Z. */
void log_format_time(char text[LOG_TIME_BYTES], uint64_t wall_ms);

#endif
