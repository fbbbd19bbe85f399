/* distribution.c - uniform, zipfian and latest. */
#include "bench/distribution.h"

#include "reactor/base/assert.h"

#include <math.h>

/* Beyond this the sum is replaced by its integral with Euler-Maclaurin corrections, exact to about 1e-12. */
#define ZETA_EXACT_COUNT 1000000u

const char *distribution_name(enum distribution_kind kind)
{
    switch (kind) {
    case DISTRIBUTION_UNIFORM:
        return "uniform";
    case DISTRIBUTION_ZIPFIAN:
        return "zipfian";
    case DISTRIBUTION_LATEST:
        return "latest";
    }
    return "?";
}

static double zeta_of(uint64_t count, double theta)
{
    uint64_t exact = count < ZETA_EXACT_COUNT ? count : ZETA_EXACT_COUNT;
    double sum = 0.0;
    for (uint64_t i = exact; i > 0; i--) /* small terms first */
        sum += pow((double)i, -theta);
    if (exact == count)
        return sum;
    double a = (double)exact, b = (double)count;
    double integral = (pow(b, 1.0 - theta) - pow(a, 1.0 - theta)) / (1.0 - theta);
    double ends = (pow(b, -theta) - pow(a, -theta)) / 2.0;
    double slopes = theta * (pow(a, -theta - 1.0) - pow(b, -theta - 1.0)) / 12.0;
    return sum + integral + ends + slopes;
}

void distribution_init(struct distribution *d, enum distribution_kind kind, uint64_t count, double theta)
{
    ASSERT(count > 0);
    *d = (struct distribution){.kind = kind, .count = count, .theta = theta};
    if (kind == DISTRIBUTION_UNIFORM)
        return;
    ASSERT(theta > 0.0 && theta < 1.0);
    double zeta_two = 1.0 + pow(0.5, theta);
    d->zeta = zeta_of(count, theta);
    d->alpha = 1.0 / (1.0 - theta);
    d->second = zeta_two;
    d->eta = count > 2 ? (1.0 - pow(2.0 / (double)count, 1.0 - theta)) / (1.0 - zeta_two / d->zeta) : 1.0;
}

uint64_t distribution_rank(const struct distribution *d, struct random *r)
{
    double u = random_unit(r);
    double scaled = u * d->zeta;
    if (scaled < 1.0 || d->count == 1)
        return 0;
    if (scaled < d->second || d->count == 2)
        return 1;
    uint64_t rank = (uint64_t)((double)d->count * pow(d->eta * u - d->eta + 1.0, d->alpha));
    return rank < d->count ? rank : d->count - 1;
}

uint64_t distribution_next(const struct distribution *d, struct random *r)
{
    switch (d->kind) {
    case DISTRIBUTION_UNIFORM:
        return random_below(r, d->count);
    case DISTRIBUTION_ZIPFIAN:
        return random_scale(random_mix(distribution_rank(d, r) + RANDOM_GOLDEN), d->count);
    case DISTRIBUTION_LATEST:
        return distribution_rank(d, r);
    }
    return 0;
}

double distribution_rank_probability(const struct distribution *d, uint64_t rank)
{
    if (d->kind == DISTRIBUTION_UNIFORM)
        return 1.0 / (double)d->count;
    return pow((double)(rank + 1), -d->theta) / d->zeta;
}
