/* steadiness.h - how even the seconds of a phase were.
 *
 * A percentile over a whole run hides a bad second among a thousand good ones. So the 99th percentile of
 * each second is a sample of its own: what counts is the worst of them against their median. */
#ifndef BENCH_STEADINESS_H
#define BENCH_STEADINESS_H

#include <stdint.h>

struct phase_second;

struct steadiness {
    uint32_t seconds;        /* that were looked at: those with an answer in at least half of a second */
    uint64_t p99_median_ns;  /* of the seconds' p99; of an even number of them the lower of the two */
    uint64_t p99_worst_ns;   /* the highest of them */
    double p99_worst_ratio;  /* worst / median; 0 when no second was looked at */
    double ops_median_per_s; /* the same for the operations of a second */
    double ops_lowest_per_s;
};

/* `seconds` stays as it is. Returns: all zeros when there is none, or no memory. */
struct steadiness steadiness_of(const struct phase_second *seconds, uint32_t count);

#endif
