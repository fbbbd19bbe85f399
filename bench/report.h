/* report.h - results for people, for programs, and as a page with plots. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/phase.h"

struct report {
    const struct options *options;
    const struct phase *phases;
    uint32_t phase_count;
    int64_t at_wall_s; /* when the run began, seconds since 1970 */
};

/* What is being measured, in one or two lines. */
void report_title(FILE *to, const struct options *o);

/* The tables of one phase. */
void report_text(FILE *to, const struct phase *p);

/* Returns: JSON text to free(), or null when there is no memory. */
char *report_json(const struct report *r);

/* One self-contained HTML page. Returns: 0 or -EIO. */
MUST_CHECK int report_html(FILE *to, const struct report *r);

/* The percentiles that every table shows. */
struct report_percentile {
    const char *name; /* "p99.9" */
    const char *key;  /* "p99_9_us" */
    double per_cent;
};
enum { REPORT_PERCENTILE_COUNT = 5 };
extern const struct report_percentile report_percentiles[REPORT_PERCENTILE_COUNT];

#endif
