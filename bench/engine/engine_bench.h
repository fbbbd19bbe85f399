/* engine_bench.h - what an engine does on one core by itself, without a server around it.
 *
 * Each measure opens an engine of its own in an empty directory on the real disk and prints lines of
 * NAME<tab>VALUE<tab>UNIT. */
#ifndef BENCH_ENGINE_ENGINE_BENCH_H
#define BENCH_ENGINE_ENGINE_BENCH_H

#include "bench/engine/rig.h"

struct bench {
    struct reactor *reactor;
    const char *directory; /* for the engines, one after another; made by the caller */
    uint64_t small;        /* records of the measures with small records */
    uint64_t large;        /* of those with 64-byte keys and 1,000-byte values */
    uint64_t seconds;      /* of each run of gets */
    bool is_asked;         /* gets run once for each line of standard input, which says how many in flight */
};

void bench_tell(const char *name, double value, const char *unit);

/* Opens an engine in a folder of that name; without sizes of the caller's nothing is flushed before it is
 * asked for. Waits. */
void bench_open(struct bench *b, struct rig *rig, const char *name);

/* All wait. */
void measure_memtable(struct bench *b); /* engine_bench_small.c: the memory of 150-byte entries */
void measure_scans(struct bench *b);    /* puts, scans and gets of 100-byte records */
void measure_tables(struct bench *b);   /* engine_bench_large.c: pinned bytes, a merge */
void measure_gets(struct bench *b);     /* gets from the disk, so many in flight */

#endif
