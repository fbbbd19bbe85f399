/* recorder.h - what one thread measures: this second's latencies, and those since the phase began.
 *
 * Recording touches the second's histogram only; at the end of each second that is handed out, added to the
 * totals and emptied. */
#ifndef BENCH_RECORDER_H
#define BENCH_RECORDER_H

#include "bench/outcome.h"
#include "bench/workload.h"
#include "reactor/base/histogram.h"

struct recorder_tally {
    struct histogram latency[OPERATION_COUNT]; /* of what succeeded, in nanoseconds */
    uint64_t errors[OPERATION_COUNT];
    uint64_t retries; /* puts of a load that found no room and were repeated */
    uint64_t entries; /* that scans gave out */
    uint64_t misses;  /* gets of keys that are not there: done, and counted in `latency` too */
    struct outcome_counts outcomes;
};

struct recorder {
    struct recorder_tally second;
    struct recorder_tally total;
};

static inline void recorder_done(struct recorder *r, enum operation op, uint64_t latency_ns)
{
    histogram_record(&r->second.latency[op], latency_ns);
}

static inline void recorder_miss(struct recorder *r)
{
    r->second.misses++;
}

void recorder_error(struct recorder *r, enum operation op, int code);

/* Ends a second: adds it to the totals and empties it. */
void recorder_turn(struct recorder *r);

void recorder_merge(struct recorder_tally *into, const struct recorder_tally *from);
uint64_t recorder_done_count(const struct recorder_tally *t);
uint64_t recorder_error_count(const struct recorder_tally *t);
/* The latencies of all kinds together. */
void recorder_latency(const struct recorder_tally *t, struct histogram *out);

#endif
