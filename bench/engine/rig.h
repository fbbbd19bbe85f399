/* rig.h - one engine of one core for the harnesses: opened, filled, flushed, asked.
 *
 * Runs on either backend of the reactor; all calls are made from the reactor's main task and may wait. What
 * fails ends the program with one line: a harness has nobody to tell. */
#ifndef BENCH_ENGINE_RIG_H
#define BENCH_ENGINE_RIG_H

#include "bench/engine/sample.h"
#include "bench/random.h"
#include "engine/engine_internal.h"

struct rig {
    struct reactor *reactor;
    struct engine *engine;
    struct engine_options options; /* directory and sizes are the caller's, the rest is filled in */
    struct sample sample;
    uint64_t put_count; /* also the clock of the version put last */
    uint64_t returned_count;
    struct event progress;
};

/* Requires: rig->options.directory and rig->sample are set, all else is zero. The directory's parent exists.
 * Waits. */
void rig_open(struct rig *rig, struct reactor *r);
void rig_close(struct rig *rig); /* Waits */

/* Puts a record under a new version. Waits while the log has no room; not until it is durable. */
void rig_put(struct rig *rig, const struct record *record);
/* Puts records `first` to `first + count - 1` and waits until they are durable. */
void rig_fill(struct rig *rig, uint64_t first, uint64_t count);
void rig_await(struct rig *rig); /* Waits: until all that was put is durable */
void rig_flush(struct rig *rig); /* Waits: until all that was put is in tables */
/* Waits: until flushes and compactions have nothing left to do, also what is done when nothing is written. */
void rig_settle(struct rig *rig);

/* Looks the record up, waiting for the disk if need be. Returns: found. */
bool rig_get_wait(struct rig *rig, const struct engine_key *k);
/* The same for one of the first `records`, which are there. */
void rig_get_any(struct rig *rig, struct random *random, uint64_t records);

/* Ends the program when rc is an error. */
void rig_check(int rc, const char *what);

#endif
