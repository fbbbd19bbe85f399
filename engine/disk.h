/* disk.h - who may use the disk now: the foreground always, background by weight and within a bound.
 *
 *   get, log write --------------------------------> disk     never waits; how long reads take is seen
 *
 *   flush ------ queue --+
 *   compaction - queue --+- least served first ----> disk     at most `limit` bytes in flight together
 *   scrub ------ queue --+  by weight
 *
 * Background work asks before each transfer and says when it is over. While the reads of users take longer
 * than usual the bound halves, window by window, to one transfer at a time; while they do not it rises again
 * by steps (additive increase, multiplicative decrease: Chiu and Jain, 1989), four a second when nobody
 * reads. So a merge takes the whole of an idle disk and little of a busy one. Among classes that wait the one
 * that has had the least of its share goes first (start-time fair queueing: Goyal, Vin and Cheng, 1996);
 * within a class it is first come, first served.
 *
 * One per engine, of one core. Every call takes a null disk: then nothing is bounded or counted. */
#ifndef ENGINE_DISK_H
#define ENGINE_DISK_H

#include "reactor/reactor.h"

enum disk_class {
    DISK_FOREGROUND, /* gets, scans, the log: never waits */
    DISK_FLUSH,
    DISK_COMPACTION,
    DISK_STREAMING,
    DISK_SCRUB,
    DISK_BACKUP,
    DISK_CLASS_COUNT,
};

struct disk;

struct disk_options {
    uint64_t background_bytes_max; /* in flight at once; 0: 1 MiB divided by the cores, 512 KiB at least */
    uint64_t background_bytes_min; /* when reads are slow; 0: 256 KiB. A single transfer may be larger */
};

MUST_CHECK int disk_open(struct reactor *r, const struct disk_options *options, struct disk **out);
void disk_close(struct disk *d); /* Requires: nobody waits, nothing is in flight. Null is allowed. */

/* Every acquire that waits, and each to come, answers TORC_E_CANCELLED. */
void disk_stop(struct disk *d);

/* Waits: until the class may have `bytes` more in flight. Returns: 0; TORC_E_CANCELLED after disk_stop, and
 * nothing was acquired. The foreground never waits and is never cancelled. */
MUST_CHECK int disk_acquire(struct disk *d, enum disk_class class, uint32_t bytes);
/* Would disk_acquire answer at once? */
bool disk_is_free(const struct disk *d, uint32_t bytes);
/* The transfer is over. From anywhere, also outside of a task. */
void disk_release(struct disk *d, enum disk_class class, uint32_t bytes);

/* Around a read that a user waits for. */
static inline uint64_t disk_read_begins(struct reactor *r)
{
    return reactor_now_ns(r);
}
void disk_read_ends(struct disk *d, uint64_t begun_ns);

struct disk_counters {
    uint64_t transfers[DISK_CLASS_COUNT];
    uint64_t bytes[DISK_CLASS_COUNT];
    uint64_t waits[DISK_CLASS_COUNT];     /* transfers that had to wait */
    uint64_t waited_ns[DISK_CLASS_COUNT]; /* of them all */
    uint64_t reads;                       /* of users */
    uint64_t read_ns;
    uint64_t background_bytes;       /* in flight now */
    uint64_t background_limit_bytes; /* now */
    uint64_t limit_cuts;             /* times that it was halved */
};
struct disk_counters disk_counters(const struct disk *d);

#endif
