/* steadiness.c - the worst second against the usual one. */
#include "bench/steadiness.h"

#include "bench/phase.h"

#include <stdlib.h>

/* The rest of a second that the end cut off is too short for a percentile. */
#define LENGTH_MIN_S 0.5

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool is_looked_at(const struct phase_second *s)
{
    return s->done > 0 && s->length_s >= LENGTH_MIN_S;
}

struct steadiness steadiness_of(const struct phase_second *seconds, uint32_t count)
{
    struct steadiness s = {0};
    double *p99 = calloc(count + 1, sizeof *p99), *rates = calloc(count + 1, sizeof *rates);
    for (uint32_t i = 0; p99 && rates && i < count; i++) {
        if (!is_looked_at(&seconds[i]))
            continue;
        p99[s.seconds] = (double)seconds[i].p99_ns;
        rates[s.seconds++] = (double)seconds[i].done / seconds[i].length_s;
    }
    if (s.seconds > 0) {
        uint32_t middle = (s.seconds - 1) / 2;
        qsort(p99, s.seconds, sizeof *p99, by_value);
        qsort(rates, s.seconds, sizeof *rates, by_value);
        s.p99_median_ns = (uint64_t)p99[middle];
        s.p99_worst_ns = (uint64_t)p99[s.seconds - 1];
        s.p99_worst_ratio = p99[middle] > 0.0 ? p99[s.seconds - 1] / p99[middle] : 0.0;
        s.ops_median_per_s = rates[middle];
        s.ops_lowest_per_s = rates[0];
    }
    free(p99);
    free(rates);
    return s;
}
