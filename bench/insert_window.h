/* insert_window.h - which inserts are surely there: reads of the latest keys must not run ahead of the
 * writes.
 *
 * Inserts are answered in any order; `acknowledged` is the longest prefix of them that is. After YCSB's
 * AcknowledgedCounterGenerator: a ring of bits ahead of the prefix.
 *
 *   0 ............ acknowledged ...x..x.... next ...... acknowledged + INSERT_WINDOW_COUNT
 *   all answered   | some answered (bits)   | not begun */
#ifndef BENCH_INSERT_WINDOW_H
#define BENCH_INSERT_WINDOW_H

#include "reactor/base/assert.h"

#include <stdbool.h>
#include <stdint.h>

enum { INSERT_WINDOW_COUNT = 1 << 20 };

struct insert_window {
    uint64_t acknowledged;
    uint64_t next;
    uint64_t answered[INSERT_WINDOW_COUNT / 64];
};

/* Returns: false while the oldest unanswered insert holds up a whole window. */
static inline bool insert_window_has_room(const struct insert_window *w)
{
    return w->next - w->acknowledged < INSERT_WINDOW_COUNT;
}

/* Returns: the number of the insert that begins. Requires: room. */
static inline uint64_t insert_window_begin(struct insert_window *w)
{
    ASSERT(insert_window_has_room(w));
    return w->next++;
}

static inline void insert_window_answer(struct insert_window *w, uint64_t number)
{
    ASSERT(number >= w->acknowledged && number < w->next);
    uint64_t at = number % INSERT_WINDOW_COUNT;
    w->answered[at / 64] |= 1ull << (at % 64);
    while (w->acknowledged < w->next) {
        at = w->acknowledged % INSERT_WINDOW_COUNT;
        uint64_t bit = 1ull << (at % 64);
        if ((w->answered[at / 64] & bit) == 0)
            break;
        w->answered[at / 64] &= ~bit;
        w->acknowledged++;
    }
}

#endif
