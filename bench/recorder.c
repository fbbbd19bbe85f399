/* recorder.c - tallies of a second and of a phase. */
#include "bench/recorder.h"

void recorder_error(struct recorder *r, enum operation op, int code)
{
    r->second.errors[op]++;
    outcome_add(&r->second.outcomes, code, 1);
}

void recorder_merge(struct recorder_tally *into, const struct recorder_tally *from)
{
    for (int op = 0; op < OPERATION_COUNT; op++) {
        histogram_merge(&into->latency[op], &from->latency[op]);
        into->errors[op] += from->errors[op];
    }
    into->entries += from->entries;
    into->misses += from->misses;
    into->retries += from->retries;
    outcome_merge(&into->outcomes, &from->outcomes);
}

void recorder_turn(struct recorder *r)
{
    recorder_merge(&r->total, &r->second);
    r->second.entries = 0;
    r->second.misses = 0;
    r->second.retries = 0;
    r->second.outcomes = (struct outcome_counts){0};
    for (int op = 0; op < OPERATION_COUNT; op++) {
        r->second.errors[op] = 0;
        if (histogram_count(&r->second.latency[op]))
            histogram_reset(&r->second.latency[op]);
    }
}

uint64_t recorder_done_count(const struct recorder_tally *t)
{
    uint64_t count = 0;
    for (int op = 0; op < OPERATION_COUNT; op++)
        count += histogram_count(&t->latency[op]);
    return count;
}

uint64_t recorder_error_count(const struct recorder_tally *t)
{
    uint64_t count = 0;
    for (int op = 0; op < OPERATION_COUNT; op++)
        count += t->errors[op];
    return count;
}

void recorder_latency(const struct recorder_tally *t, struct histogram *out)
{
    histogram_reset(out);
    for (int op = 0; op < OPERATION_COUNT; op++)
        histogram_merge(out, &t->latency[op]);
}
