/* story.c - the lines of a story; see story.h. */
#include "test/sim/story.h"

#include "reactor/base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES_MAX = 1024, CAPACITY_FIRST = 4096, FAILURES_TOLD_MAX = 8 };

void story_deinit(struct story *s)
{
    free(s->text);
    *s = (struct story){0};
}

static void reserve(struct story *s, size_t bytes)
{
    if (s->bytes + bytes < s->capacity)
        return;
    size_t capacity = s->capacity ? s->capacity * 2 : CAPACITY_FIRST;
    char *text = realloc(s->text, capacity);
    ASSERT(text && s->bytes + bytes < capacity);
    s->text = text;
    s->capacity = capacity;
}

static void add(struct story *s, uint64_t now_ns, const char *mark, const char *format, va_list arguments)
{
    enum { NS_PER_MS = 1000000 };
    char line[LINE_BYTES_MAX];
    vsnprintf(line, sizeof line, format, arguments);
    reserve(s, LINE_BYTES_MAX + 64);
    double ms = (double)now_ns / NS_PER_MS;
    int bytes = now_ns ? snprintf(s->text + s->bytes, LINE_BYTES_MAX + 64, "%12.3f ms %s%s\n", ms, mark, line)
                       : snprintf(s->text + s->bytes, LINE_BYTES_MAX + 64, "%s%s\n", mark, line);
    ASSERT(bytes > 0);
    s->bytes += (size_t)bytes;
}

void story_say(struct story *s, uint64_t now_ns, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(s, now_ns, " ", format, arguments);
    va_end(arguments);
}

void story_detail(struct story *s, uint64_t now_ns, const char *format, ...)
{
    if (!s->is_detailed)
        return;
    va_list arguments;
    va_start(arguments, format);
    add(s, now_ns, "   ", format, arguments);
    va_end(arguments);
}

void story_fail(struct story *s, uint64_t now_ns, const char *format, ...)
{
    if (s->failures++ >= FAILURES_TOLD_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    add(s, now_ns, " WRONG: ", format, arguments);
    va_end(arguments);
}
