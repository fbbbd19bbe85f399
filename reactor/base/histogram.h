/* histogram.h - latencies in a few kilobytes: every value is known to 1/64 of itself.
 *
 * Log-linear buckets after HdrHistogram (http://hdrhistogram.org): 64 linear ones for each power of two, so
 * recording is a count of leading zeros, a shift and an add, and merging is adding. Values are nanoseconds,
 * 0 to 2^40 - 1 (18 minutes); a larger one is counted in the last bucket and remembered exactly as the
 * maximum.
 *
 *   value   0 .. 127     each its own bucket
 *         128 .. 255     64 buckets of 2
 *         256 .. 511     64 buckets of 4      and so on to 2^40
 *
 * A plain struct of about 18 KB: embed it or copy it, all zeros is empty. */
#ifndef REACTOR_BASE_HISTOGRAM_H
#define REACTOR_BASE_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_SUB_COUNT = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_VALUE_BITS = 40,
    HISTOGRAM_BUCKET_COUNT = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB_COUNT,
};

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* of no meaning while count is 0 */
    uint64_t max;
    uint64_t counts[HISTOGRAM_BUCKET_COUNT];
};

static inline void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value >> HISTOGRAM_VALUE_BITS)
        return HISTOGRAM_BUCKET_COUNT - 1;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value | HISTOGRAM_SUB_COUNT) - HISTOGRAM_SUB_BITS;
    return shift * HISTOGRAM_SUB_COUNT + (unsigned)(value >> shift);
}

/* The smallest and the largest value that are counted in a bucket. */
static inline uint64_t histogram_bucket_low(unsigned bucket)
{
    unsigned shift = bucket < 2 * HISTOGRAM_SUB_COUNT ? 0 : bucket / HISTOGRAM_SUB_COUNT - 1;
    return (uint64_t)(bucket - shift * HISTOGRAM_SUB_COUNT) << shift;
}

static inline uint64_t histogram_bucket_high(unsigned bucket)
{
    unsigned shift = bucket < 2 * HISTOGRAM_SUB_COUNT ? 0 : bucket / HISTOGRAM_SUB_COUNT - 1;
    return histogram_bucket_low(bucket) + ((uint64_t)1 << shift) - 1;
}

/* Counts `value` `times` times, at least once. */
static inline void histogram_record_many(struct histogram *h, uint64_t value, uint64_t times)
{
    if (value > h->max)
        h->max = value;
    if (h->count == 0 || value < h->min)
        h->min = value;
    h->count += times;
    h->sum += value * times;
    h->counts[histogram_bucket(value)] += times;
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
    histogram_record_many(h, value, 1);
}

static inline uint64_t histogram_count(const struct histogram *h)
{
    return h->count;
}

static inline uint64_t histogram_min(const struct histogram *h)
{
    return h->count ? h->min : 0;
}

static inline uint64_t histogram_max(const struct histogram *h)
{
    return h->max;
}

static inline double histogram_mean(const struct histogram *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0.0;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        into->counts[i] += from->counts[i];
}

/* Returns: a value that `per_cent` of all values do not exceed: the upper bound of its bucket, never above
 * the maximum; 0 when empty. */
static inline uint64_t histogram_percentile(const struct histogram *h, double per_cent)
{
    double clamped = per_cent < 0.0 ? 0.0 : per_cent > 100.0 ? 100.0 : per_cent;
    double exact = clamped / 100.0 * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        seen += h->counts[i];
        if (seen >= rank)
            return i + 1 < HISTOGRAM_BUCKET_COUNT && histogram_bucket_high(i) < h->max
                       ? histogram_bucket_high(i)
                       : h->max;
    }
    return h->max;
}

/* Walks the buckets that hold something, smallest value first:
 *   for (struct histogram_iterator i = {0}; histogram_next(h, &i);) ... i.low, i.high, i.count ... */
struct histogram_iterator {
    unsigned next;
    uint64_t low;
    uint64_t high;
    uint64_t count;
};

static inline bool histogram_next(const struct histogram *h, struct histogram_iterator *i)
{
    while (i->next < HISTOGRAM_BUCKET_COUNT && h->counts[i->next] == 0)
        i->next++;
    if (i->next == HISTOGRAM_BUCKET_COUNT)
        return false;
    i->low = histogram_bucket_low(i->next);
    i->high = histogram_bucket_high(i->next);
    i->count = h->counts[i->next];
    i->next++;
    return true;
}

#endif
