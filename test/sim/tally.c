/* tally.c - sums of counters; see tally.h. */
#include "test/sim/tally.h"

#include "reactor/base/mark.h"

void tally_add(struct tally *into, const struct tally *from)
{
#define TALLY_ADD(name, words) into->name += from->name;
    TALLY_LIST(TALLY_ADD)
#undef TALLY_ADD
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        into->faults[i] += from->faults[i];
    for (unsigned i = 0; i < TALLY_MARKS_MAX; i++)
        into->marks[i] += from->marks[i];
}

void tally_take_world(struct tally *t, const struct sim_world *w)
{
    enum { NS_PER_MS = 1000000 };
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        t->faults[i] += sim_fault_hits(w, (enum sim_fault)i);
    t->events += sim_events(w);
    t->virtual_ms += sim_now_ns(w) / NS_PER_MS;
}

void tally_take_marks(struct tally *t)
{
#ifdef TORC_MARKS
    ASSERT(marks_count() <= TALLY_MARKS_MAX);
    for (size_t i = 0; i < marks_count(); i++) {
        t->marks[i] += mark_at(i)->count;
        mark_at(i)->count = 0;
    }
#else
    (void)t;
#endif
}
