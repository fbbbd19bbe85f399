/* pace.c - the arithmetic of pacing; see pace.h. */
#include "engine/pace.h"

enum {
    GRANT_MAX = 8 << 20, /* more is not saved up: it would be a burst */
    PAUSE_MIN_NS = 500 * 1000,
    PAUSE_MAX_NS = 10 * 1000 * 1000, /* then it is looked again what was written */
    MEASURED_NS = 10 * 1000 * 1000,
    RATE_UNKNOWN = 16 << 20, /* bytes a second, before the first is measured */
    RATE_LEAST = 64 << 10,
};
#define NS_PER_SECOND 1e9

static uint64_t rate_of(uint64_t before, uint64_t bytes, uint64_t ns)
{
    double rate = (double)bytes * NS_PER_SECOND / (double)(ns ? ns : 1);
    if (before)
        rate = (double)before * 0.75 + rate * 0.25;
    return rate < RATE_LEAST ? RATE_LEAST : (uint64_t)rate;
}

void pace_resume(struct pace *p, uint64_t now_ns)
{
    p->seen_ingested = p->ingested;
    p->seen_ns = now_ns;
    p->grant = 0;
}

void pace_plan(struct pace *p, uint64_t work, uint64_t room)
{
    p->price = (double)work / (double)(room ? room : 1);
}

uint64_t pace_earn(struct pace *p, uint64_t now_ns)
{
    uint64_t written = p->ingested - p->seen_ingested;
    uint64_t passed_ns = now_ns > p->seen_ns ? now_ns - p->seen_ns : 0;
    double earned = (double)written * p->price;
    earned += (double)p->idle_rate * (double)passed_ns / NS_PER_SECOND;
    earned += (double)p->grant;
    p->grant = earned < GRANT_MAX ? (int64_t)earned : GRANT_MAX;
    p->seen_ingested = p->ingested;
    p->seen_ns = now_ns;
    if (p->grant >= 0)
        return 0;
    double pause = p->idle_rate ? (double)-p->grant * NS_PER_SECOND / (double)p->idle_rate : PAUSE_MAX_NS;
    return pause < PAUSE_MIN_NS ? PAUSE_MIN_NS : pause > PAUSE_MAX_NS ? PAUSE_MAX_NS : (uint64_t)pause;
}

void pace_note_values(struct pace *p, uint64_t pointed, uint64_t moved)
{
    p->busy_bytes += pointed > moved ? pointed - moved : 0;
}

uint64_t pace_spend(struct pace *p, uint64_t bytes, uint64_t took_ns, uint64_t now_ns)
{
    p->busy_ns += took_ns;
    p->busy_bytes += bytes;
    if (p->busy_ns >= MEASURED_NS) {
        p->merge_rate = rate_of(p->merge_rate, p->busy_bytes, p->busy_ns);
        p->busy_ns = p->busy_bytes = 0;
    }
    uint64_t pause = pace_earn(p, now_ns);
    p->grant -= (int64_t)bytes;
    return pause || p->grant >= 0 ? pause : pace_earn(p, now_ns);
}

void pace_flushed(struct pace *p, uint64_t bytes, uint64_t took_ns)
{
    p->flush_rate = rate_of(p->flush_rate, bytes, took_ns);
}

uint64_t pace_delay_ns(const struct pace_debt *debt, uint64_t bytes)
{
    if (debt->bytes <= debt->free)
        return 0;
    double room = debt->limit > debt->free ? (double)(debt->limit - debt->free) : 1;
    double x = (double)(debt->bytes - debt->free) / room;
    double rate = debt->rate ? (double)debt->rate : RATE_UNKNOWN;
    double delay = 4 * x * x / rate * NS_PER_SECOND * (double)bytes;
    return delay < PACE_DELAY_MAX_NS ? (uint64_t)delay : PACE_DELAY_MAX_NS;
}
