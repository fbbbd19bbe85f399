/* crash_shard.h - one engine on a simulated core, driven by a task that keeps the history of what it wrote.
 *
 * Both who records a workload and who judges an image use it. All is called by the task of the core, but for
 * crash_shard_forget. */
#ifndef TEST_SIM_CRASH_SHARD_H
#define TEST_SIM_CRASH_SHARD_H

#include "engine/engine.h"
#include "test/sim/crash_history.h"

enum {
    CRASH_SEGMENT_BYTES = 64 * 1024,
    CRASH_SEGMENTS_MAX = 12, /* files of the log that a shard may have for long, spare ones included */
    CRASH_WHY_BYTES = 512,
};

#define CRASH_DIRECTORY "/shard"
#define CRASH_ARCHIVE_DIRECTORY "/archive"

/* What of the engine's options differs from workload to workload. */
struct crash_knobs {
    uint32_t memtable_bytes; /* 1: each put is flushed */
    uint32_t writes_in_flight;
    bool has_archive;
};

/* Outlives the core: its memory is the driver's. */
struct crash_shard {
    struct reactor *reactor;
    struct engine *engine; /* null when it is not open */
    struct crash_knobs knobs;
    struct crash_history *history;
    uint32_t outstanding; /* tickets not yet back */
    bool has_failure;     /* the log told of a failed write whose tickets are coming back */
    struct event progress;
    char why[CRASH_WHY_BYTES];        /* the first thing that was wrong; empty: nothing */
    char last_event[CRASH_WHY_BYTES]; /* what the engine told last */
};

/* What its engine is opened with. */
struct engine_options crash_shard_options(struct crash_shard *s, const char *directory);
/* Waits. Returns: what engine_open returns. */
MUST_CHECK int crash_shard_open(struct crash_shard *s, struct reactor *r);
void crash_shard_close(struct crash_shard *s);  /* Waits */
void crash_shard_forget(struct crash_shard *s); /* its core was killed */

/* Submits it; does not wait until it is durable. A write that is refused is noted as gone. */
void crash_shard_put(struct crash_shard *s, uint32_t key, uint32_t value_bytes, bool is_delete);
/* Waits until every ticket is back. Returns: false when one was not within a long time. */
bool crash_shard_await(struct crash_shard *s);
/* Waits. Reads all keys, one by one and by a scan, which must agree. Returns: false with s->why filled. */
bool crash_shard_read(struct crash_shard *s, struct crash_view *out);
/* Waits. Reads, finds the cut that explains what is shown, and settles the history at it. */
bool crash_shard_observe(struct crash_shard *s);

/* Notes what was wrong, unless something was before. Returns: false. */
bool crash_shard_complain(struct crash_shard *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
