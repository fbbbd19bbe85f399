/* reader.h - readers that are slow, and who of them is in the way of the others.
 *
 * A connection that moves is not stuck, however slowly. As long as there is memory for its answers it hurts
 * nobody. While all answers of a core are more than there is room for, none of its connections is read: then
 * the few that hold most of them must not take hours.
 *
 *   pace   of each connection: is it too slow to take within `write-timeout` all that waits for it? Measured
 *          all the time, over an eighth of that, so that it is known when it begins to matter.
 *   crowd  of the core: who is slow goes when more is unsent than there is room for, at this look and when
 *          this sweep and the one before it began, and when it holds at least half of what the largest one
 *          holds; and no more of them than it takes. When those were not enough the next sweep finds the next
 *          largest.
 *
 * So a slow reader that holds little stays when a large one is the trouble, and one that takes much but fast
 * stays in any case: the others have to wait for it, but not for long. */
#ifndef SHARD_SERVE_READER_H
#define SHARD_SERVE_READER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    READER_LOOKS = 8,           /* the part of the time over which it is measured */
    READER_TIME_MS = 30 * 1000, /* to take everything, where `write-timeout` is 0 */
};

struct reader_pace {
    uint64_t begun_ns;    /* the present measurement */
    uint64_t taken_bytes; /* by the peer until then */
    uint32_t held_bytes;  /* that waited for it then */
    bool is_slow;         /* by the last measurement */
};

/* What is seen of a connection, about once a second. */
struct reader_look {
    uint64_t now_ns;
    uint64_t taken_bytes; /* since it was made; of no interest while it holds nothing */
    uint32_t held_bytes;  /* not sent, or being sent */
};
void reader_look(struct reader_pace *p, const struct reader_look *look, uint64_t write_timeout_ms);

/* Of the sweeps over a core's connections. */
struct reader_crowd {
    bool is_over;               /* when this sweep began more was unsent than there was room for */
    bool was_over;              /* and when the last one began */
    uint32_t largest_bytes;     /* that one connection held, in the last sweep */
    uint32_t largest_now_bytes; /* in this one so far */
    uint64_t closed_bytes;      /* that connections held which this sweep closed: it may take them a moment */
};

void reader_begin_sweep(struct reader_crowd *c, bool is_over);
void reader_see(struct reader_crowd *c, uint32_t held_bytes);

/* Whether a connection is to go when `excess_bytes` too much are unsent. */
bool reader_is_in_the_way(const struct reader_crowd *c, const struct reader_pace *p, uint32_t held_bytes,
                          uint64_t excess_bytes);

#endif
