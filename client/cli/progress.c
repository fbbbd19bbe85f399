/* progress.c - draws the bar: one line, rewritten in place. */
#include "client/cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DRAW_MS = 100, BAR_COLUMNS = 24 };

static uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void cli_format_bytes(char *to, uint32_t capacity, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double number = (double)bytes;
    unsigned unit = 0;
    while (number >= 1000 && unit < 4) {
        number /= 1000;
        unit++;
    }
    snprintf(to, capacity, unit == 0 ? "%.0f %s" : "%.1f %s", number, units[unit]);
}

void cli_progress_begin(struct cli_progress *progress, uint64_t total_bytes)
{
    *progress = (struct cli_progress){
        .is_shown = isatty(STDERR_FILENO),
        .begin_ms = clock_ms(),
        .total_bytes = total_bytes,
    };
}

void cli_progress_draw(struct cli_progress *progress, uint64_t read_bytes, uint64_t done)
{
    if (!progress->is_shown)
        return;
    uint64_t now_ms = clock_ms();
    if (now_ms - progress->drawn_ms < DRAW_MS)
        return;
    progress->drawn_ms = now_ms;
    double seconds = (double)(now_ms - progress->begin_ms + 1) / 1000;
    char bar[BAR_COLUMNS + 16] = "";
    if (progress->total_bytes > 0) {
        double part = (double)read_bytes / (double)progress->total_bytes;
        int filled = part > 1 ? BAR_COLUMNS : (int)(part * BAR_COLUMNS);
        char fill[BAR_COLUMNS + 1];
        memset(fill, '=', BAR_COLUMNS);
        snprintf(bar, sizeof bar, "[%.*s%*s] %3.0f%%  ", filled, fill, BAR_COLUMNS - filled, "", part * 100);
    }
    char bytes[32];
    cli_format_bytes(bytes, sizeof bytes, read_bytes);
    fprintf(stderr, "\r\033[K%s%llu keys, %s, %.0f keys/s", bar, (unsigned long long)done, bytes,
            (double)done / seconds);
    fflush(stderr);
}

double cli_progress_end(struct cli_progress *progress)
{
    if (progress->is_shown)
        fputs("\r\033[K", stderr);
    return (double)(clock_ms() - progress->begin_ms + 1) / 1000;
}
