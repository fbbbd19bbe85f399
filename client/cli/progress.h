/* progress.h - a bar on stderr while `torc load` runs, when that is a terminal. */
#ifndef CLIENT_CLI_PROGRESS_H
#define CLIENT_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct cli_progress {
    bool is_shown;
    uint64_t begin_ms;
    uint64_t drawn_ms;
    uint64_t total_bytes; /* of the input; 0: not known */
};

/* `total_bytes` of the input, 0 when not known. */
void cli_progress_begin(struct cli_progress *progress, uint64_t total_bytes);
/* Draws, ten times a second at most. */
void cli_progress_draw(struct cli_progress *progress, uint64_t read_bytes, uint64_t done);
/* Takes the bar away. Returns: seconds since the beginning, above 0. */
double cli_progress_end(struct cli_progress *progress);

/* "4.5 MB" into `to`. */
void cli_format_bytes(char *to, uint32_t capacity, uint64_t bytes);

#endif
