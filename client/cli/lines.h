/* lines.h - a file or a pipe, line by line, in bounded memory. */
#ifndef CLIENT_CLI_LINES_H
#define CLIENT_CLI_LINES_H

#include "client/torc.h"
#include "reactor/base/assert.h"

enum {
    /* A value of 1 MiB in JSON with each byte escaped as \u00xx, and its key. */
    CLI_LINE_BYTES_MAX = 8 << 20,
};

struct cli_lines {
    int fd; /* not owned */
    bool is_at_end;
    char *data;
    size_t capacity;
    size_t begin; /* of the next line */
    size_t end;
    uint64_t number;     /* of the line last taken, from 1 */
    uint64_t bytes_read; /* from the file */
};

void cli_lines_init(struct cli_lines *lines, int fd);
void cli_lines_deinit(struct cli_lines *lines);

/* The next line without its newline (and without a carriage return before it), valid until the next call.
 * The last one may lack its newline. Returns: 1; 0 at the end; -errno, or TORC_VALUE_TOO_LARGE for a line
 * that is too long. */
MUST_CHECK int cli_lines_next(struct cli_lines *lines, torc_bytes *line);

/* A whole line is in memory, or the end is known: cli_lines_next will not wait for the file. */
bool cli_lines_is_ready(const struct cli_lines *lines);

#endif
