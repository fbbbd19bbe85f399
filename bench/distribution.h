/* distribution.h - which of n things a request is about.
 *
 * uniform: each alike. zipfian: rank r with a probability in proportion to 1 / (r + 1)^theta, drawn in
 * constant time after Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994), the
 * ranks then scattered over the numbers by a hash as YCSB's scrambled zipfian does. latest: the rank
 * unscattered, counted back from the newest thing (YCSB's skewed latest). */
#ifndef BENCH_DISTRIBUTION_H
#define BENCH_DISTRIBUTION_H

#include "bench/random.h"

enum distribution_kind { DISTRIBUTION_UNIFORM, DISTRIBUTION_ZIPFIAN, DISTRIBUTION_LATEST };

const char *distribution_name(enum distribution_kind kind);

struct distribution {
    enum distribution_kind kind;
    uint64_t count;
    /* zipfian and latest: Gray's constants */
    double theta;
    double zeta;  /* sum of 1 / i^theta for i of 1 to count */
    double alpha; /* 1 / (1 - theta) */
    double eta;
    double second; /* 1 + 0.5^theta: below it, u * zeta is rank 1 */
};

/* Requires: count > 0; 0 < theta < 1. Time grows with the count up to a million, constant above */
void distribution_init(struct distribution *d, enum distribution_kind kind, uint64_t count, double theta);

/* Returns: 0 .. count - 1, 0 the most frequent. Requires: zipfian or latest. */
uint64_t distribution_rank(const struct distribution *d, struct random *r);

/* Returns: 0 .. count - 1. For latest: 0 is the newest. */
uint64_t distribution_next(const struct distribution *d, struct random *r);

/* The probability of a rank, by definition. */
double distribution_rank_probability(const struct distribution *d, uint64_t rank);

#endif
