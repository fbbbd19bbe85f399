/* pace.h - how fast merges go, and how fast writers may.
 *
 *   bytes written by users --> grant += bytes * price --------+     price = work / room
 *                                                             +--> a merge spends it, or sleeps
 *   time ---------------> grant += time * idle rate ----------+
 *
 * The work is what the merge under way is going to spend, the room what may be written until the next one
 * should begin: so each written byte pays its part and the merge ends when the next is due, neither in a
 * burst nor late (as in bLSM, Sears and Ramakrishnan, SIGMOD 2012). The price stays until the merge ends,
 * also when there is more to do than was planned: then it is merely late. When nothing is written the idle
 * rate brings it to its end.
 *
 * A debt is what waits to be flushed or merged. Some of it is free; beyond that writers are slowed: each
 * batch of the log is followed by a pause of so many nanoseconds a byte, from none to what keeps the debt
 * from growing before its limit, by the rates that were measured:
 *
 *   delay per byte = 4 x^2 / rate,   x = (debt - free) / (limit - free)
 *
 * Nobody is ever stopped by it. Numbers only: no call waits or asks for the time. */
#ifndef ENGINE_PACE_H
#define ENGINE_PACE_H

#include <stdint.h>

struct pace_debt {
    uint64_t bytes;
    uint64_t free; /* so much slows nobody */
    uint64_t limit;
    uint64_t rate; /* bytes a second at which it shrinks when nothing is added; 0: not known */
};

struct pace {
    uint64_t idle_rate; /* bytes a second */
    uint64_t ingested;  /* bytes written by users, ever; the engine's to count */
    uint64_t seen_ingested;
    uint64_t seen_ns;
    int64_t grant;    /* bytes that may be merged; below 0: spent in advance */
    double price;     /* of a byte written, in bytes that may be merged */
    uint64_t busy_ns; /* of merging, since it was measured last */
    uint64_t busy_bytes;
    uint64_t merge_rate; /* bytes a second, as measured; 0: not yet */
    uint64_t flush_rate;
    struct pace_debt merge_debt;
};

/* A merge task begins: what was written before pays nothing. */
void pace_resume(struct pace *p, uint64_t now_ns);
/* A merge begins: it is going to spend `work` bytes, about, while `room` are written. */
void pace_plan(struct pace *p, uint64_t work, uint64_t room);
/* Before pace_spend: what was merged points to so many bytes in value logs, and moved some of them. A debt
 * counts them, so the rate does. Those that were moved are spent with the rest; the plan has them. */
void pace_note_values(struct pace *p, uint64_t pointed, uint64_t moved);
/* So many bytes were merged, in so much time without pauses. Returns: how long to pause; 0: go on. */
uint64_t pace_spend(struct pace *p, uint64_t bytes, uint64_t took_ns, uint64_t now_ns);
/* What was written and what time has passed meanwhile is granted. Returns: how long to pause still. */
uint64_t pace_earn(struct pace *p, uint64_t now_ns);

void pace_flushed(struct pace *p, uint64_t bytes, uint64_t took_ns);

/* The pause behind a batch of so many bytes; PACE_DELAY_MAX_NS at most. It is made in pieces: between two of
 * them the debt may have gone, and with it the rest of the pause. */
enum { PACE_DELAY_MAX_NS = 1000 * 1000 * 1000, PACE_PIECE_NS = 20 * 1000 * 1000 };
uint64_t pace_delay_ns(const struct pace_debt *debt, uint64_t bytes);

#endif
