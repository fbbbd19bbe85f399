/* tally.h - what histories count, to be summed over many of them.
 *
 * Plain numbers without pointers: a worker's tally lies in memory it shares with the runner, so that what a
 * history had counted outlives the process that dies of it. */
#ifndef TEST_SIM_TALLY_H
#define TEST_SIM_TALLY_H

#include "reactor/sim/sim.h"

enum { TALLY_MARKS_MAX = 512 };

/* X(name, "words") */
#define TALLY_LIST(X)                                                                                        \
    X(histories, "histories")                                                                                \
    X(failures, "histories that failed")                                                                     \
    X(operations, "operations")                                                                              \
    X(writes, "writes taken")                                                                                \
    X(acknowledged, "writes acknowledged")                                                                   \
    X(refused, "writes refused or failed")                                                                   \
    X(gets, "gets")                                                                                          \
    X(scans, "scans")                                                                                        \
    X(checks, "answers compared with the model")                                                             \
    X(starts, "starts")                                                                                      \
    X(kills, "kills")                                                                                        \
    X(power_losses, "losses of power")                                                                       \
    X(tidy_stops, "tidy stops")                                                                              \
    X(vain_stops, "stops that a hanging disk did not let end")                                               \
    X(idle_lives, "lives in which no shard started")                                                         \
    X(refused_starts, "starts truthfully refused")                                                           \
    X(corruptions, "corruptions injected")                                                                   \
    X(overwritten, "  of them overwritten or gone with their file")                                          \
    X(still_there, "  of them still there at the end, and not served")                                       \
    X(detections, "corruptions detected: errors answered, events, checksums")                                \
    X(accepted_losses, "losses accepted by the operator")                                                    \
    X(lost_files, "files lost or cut off")                                                                   \
    X(copies, "snapshots taken while others write")                                                          \
    X(restored, "  of them restored and compared")                                                           \
    X(restored_later, "  of them with the archive, as of later")                                             \
    X(excused, "writes lost where a lying disk had lost them")                                               \
    X(flushes, "flushes")                                                                                    \
    X(compactions, "compactions")                                                                            \
    X(recycled, "log segments recycled")                                                                     \
    X(determined, "histories run again with the same trace")                                                 \
    X(events, "events of the simulator")                                                                     \
    X(virtual_ms, "milliseconds of virtual time")

struct tally {
#define TALLY_FIELD(name, words) uint64_t name;
    TALLY_LIST(TALLY_FIELD)
#undef TALLY_FIELD
    uint64_t faults[SIM_FAULT_COUNT];
    uint64_t marks[TALLY_MARKS_MAX];
};

void tally_add(struct tally *into, const struct tally *from);

/* Takes the faults, the events and the time of a world that has come to its end. */
void tally_take_world(struct tally *t, const struct sim_world *w);
/* Adds the marks passed since the last call; the marks themselves begin again at zero. */
void tally_take_marks(struct tally *t);

#endif
