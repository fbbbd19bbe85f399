/* json.c - a small writer of JSON; see json.h. */
#include "shard/serve/json.h"

#include "reactor/base/assert.h"
#include "reactor/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void put(struct json *j, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = j->capacity - j->bytes;
    int wanted = vsnprintf(j->text + j->bytes, room, format, arguments);
    va_end(arguments);
    if (wanted < 0 || (size_t)wanted >= room)
        j->is_truncated = true;
    else
        j->bytes += (size_t)wanted;
}

static void begin_value(struct json *j, const char *name)
{
    if (j->needs_comma)
        put(j, ",");
    if (name)
        put(j, "\"%s\":", name);
    j->needs_comma = true;
}

static void begin(struct json *j, const char *name, char opener, char closer)
{
    ASSERT(j->depth < JSON_DEPTH_MAX);
    begin_value(j, name);
    put(j, "%c", opener);
    j->closers[j->depth++] = closer;
    j->needs_comma = false;
}

void json_raw(struct json *j, const char *name, const char *json, size_t bytes)
{
    begin_value(j, name);
    put(j, "%.*s", (int)bytes, json);
}

void json_begin_object(struct json *j, const char *name)
{
    begin(j, name, '{', '}');
}

void json_begin_array(struct json *j, const char *name)
{
    begin(j, name, '[', ']');
}

void json_end(struct json *j)
{
    ASSERT(j->depth > 0);
    put(j, "%c", j->closers[--j->depth]);
    j->needs_comma = true;
}

void json_number(struct json *j, const char *name, uint64_t value)
{
    begin_value(j, name);
    put(j, "%llu", (unsigned long long)value);
}

void json_ratio(struct json *j, const char *name, double value)
{
    begin_value(j, name);
    put(j, "%.4f", value);
}

static void put_character(struct json *j, const uint8_t *p, size_t bytes)
{
    if (bytes == 0)
        put(j, "%s", UTF8_REPLACEMENT);
    else if (*p == '"' || *p == '\\')
        put(j, "\\%c", *p);
    else if (*p < 0x20 || *p == 0x7f)
        put(j, "\\u%04x", (unsigned)*p);
    else
        put(j, "%.*s", (int)bytes, (const char *)p);
}

void json_text(struct json *j, const char *name, const char *value)
{
    const uint8_t *text = (const uint8_t *)value;
    size_t length = strlen(value);
    begin_value(j, name);
    put(j, "\"");
    for (size_t i = 0; i < length;) {
        size_t bytes = utf8_bytes(text + i, length - i);
        put_character(j, text + i, bytes);
        i += bytes ? bytes : 1;
    }
    put(j, "\"");
}
