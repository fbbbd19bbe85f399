/* workload.h - which operations a run is made of.
 *
 * The core workloads of YCSB (Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010, table
 * 2):
 *
 *   a  update heavy         50 % get, 50 % put                       zipfian
 *   b  read mostly          95 % get,  5 % put                       zipfian
 *   c  read only           100 % get                                 zipfian
 *   d  read latest          95 % get,  5 % insert                    latest
 *   e  short ranges         95 % scan of 1 to 100 keys, 5 % insert   zipfian
 *   f  read-modify-write    50 % get, 50 % get then put of that key  zipfian
 *
 * and get, put, delete, mixed (--read-ratio), absent (gets of keys that no load writes), scan (short ranges
 * as in e) and walk (each operation a scan of all keys). A load writes all keys once, in the order of their
 * numbers. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "bench/distribution.h"

#include <stdbool.h>

/* A kind of operation, with latencies of its own. */
enum operation {
    OPERATION_GET,
    OPERATION_PUT,
    OPERATION_INSERT,
    OPERATION_SCAN,
    OPERATION_MODIFY, /* get, then put of that key; one operation, from the get's start to the put's end */
    OPERATION_DELETE,
    OPERATION_COUNT,
};

const char *operation_name(enum operation op);

enum { WORKLOAD_SCAN_ENTRIES_MAX = 100 };

struct workload {
    const char *name;
    const char *description;
    double share[OPERATION_COUNT]; /* sums to 1 */
    enum distribution_kind distribution;
    bool asks_absent; /* the keys are others than those of the load, and as many */
    bool walks_all;   /* a scan is of all keys, page by page */
};

/* Finds "a" .. "f", "get", "put", "delete", "absent", "scan", "walk" or "mixed"; `read_ratio` is that
 * of mixed. Returns: false for any other. */
bool workload_find(const char *name, double read_ratio, struct workload *out);

/* The mix as thresholds of a random word, so drawing is a few compares. */
struct workload_mix {
    uint64_t below[OPERATION_COUNT];
};

void workload_mix_init(struct workload_mix *m, const struct workload *w);

static inline enum operation workload_mix_next(const struct workload_mix *m, struct random *r)
{
    uint64_t word = random_next(r);
    unsigned op = 0;
    while (op < OPERATION_COUNT - 1 && word > m->below[op])
        op++;
    return (enum operation)op;
}

#endif
