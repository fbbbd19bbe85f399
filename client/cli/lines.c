/* lines.c - lines out of a descriptor: one buffer that grows to the longest line, the rest moved to its
 * front. */
#include "client/cli/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10 };

void cli_lines_init(struct cli_lines *lines, int fd)
{
    *lines = (struct cli_lines){.fd = fd};
}

void cli_lines_deinit(struct cli_lines *lines)
{
    free(lines->data);
    lines->data = NULL;
}

static int make_room(struct cli_lines *lines)
{
    if (lines->begin > 0) {
        memmove(lines->data, lines->data + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    }
    if (lines->capacity - lines->end >= READ_BYTES)
        return 0;
    if (lines->end > CLI_LINE_BYTES_MAX)
        return TORC_VALUE_TOO_LARGE;
    size_t capacity =
        lines->end + READ_BYTES > 2 * lines->capacity ? lines->end + READ_BYTES : 2 * lines->capacity;
    char *data = realloc(lines->data, capacity);
    if (!data)
        return TORC_NO_MEMORY;
    lines->data = data;
    lines->capacity = capacity;
    return 0;
}

static int read_more(struct cli_lines *lines)
{
    int rc = make_room(lines);
    if (rc != 0)
        return rc;
    ssize_t got;
    do
        got = read(lines->fd, lines->data + lines->end, lines->capacity - lines->end);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    lines->is_at_end = got == 0;
    lines->end += (size_t)got;
    lines->bytes_read += (uint64_t)got;
    return 0;
}

static char *find_newline(const struct cli_lines *lines, size_t from)
{
    return from < lines->end ? memchr(lines->data + from, '\n', lines->end - from) : NULL;
}

bool cli_lines_is_ready(const struct cli_lines *lines)
{
    return lines->is_at_end || find_newline(lines, lines->begin) != NULL;
}

int cli_lines_next(struct cli_lines *lines, torc_bytes *line)
{
    size_t searched = 0;
    char *newline = find_newline(lines, lines->begin);
    while (!newline && !lines->is_at_end) { /* at most CLI_LINE_BYTES_MAX are gathered */
        searched = lines->end - lines->begin;
        int rc = read_more(lines);
        if (rc != 0)
            return rc;
        newline = find_newline(lines, lines->begin + searched);
    }
    if (lines->begin == lines->end)
        return 0;
    const char *begin = lines->data + lines->begin;
    size_t bytes = newline ? (size_t)(newline - begin) : lines->end - lines->begin;
    lines->begin += bytes + (newline != NULL);
    lines->number++;
    if (bytes > 0 && begin[bytes - 1] == '\r')
        bytes--;
    *line = torc_bytes_of(begin, bytes);
    return 1;
}
