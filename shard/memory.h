/* memory.h - the memory of one core: what it may use, who has it, and what happens when it gets short.
 *
 * `memory` is for the node; each core has an equal part. From that are taken first what does not come from
 * the core's heap (stacks, receive buffers, the program), then:
 *
 *   |<------------------------------ heap_bytes_max ------------------------------->|
 *   | memtables, log buffers, filters and indexes, | caches: what is left  | spare  |
 *   | answers not sent, requests not whole, jobs   | of rows and of blocks | 1/16   |
 *
 * The sum is that of the heap itself, so nothing is forgotten. Once a millisecond of work the caches are
 * given what the others leave, and give back what they have beyond, a little in each turn. When there is not
 * enough:
 *
 *   TIGHT   the others have 3/4: memtables are frozen at a quarter of their size
 *   SHORT   the heap is at its end, and answers, requests and jobs, with what their scans have sorted, have
 *           more than 1/32 of it: connections are not read, reads that wait for the disk do not begin, but
 *           for a few that others wait for (jobs.h), and new ones are refused with OVERLOADED, until what is
 *           under way has been sent
 *
 * Answers that wait in batches or cross cores count, too; a read is refused with OVERLOADED when its answer
 * would be more than twice what a core may have of those that are not sent.
 *
 * Nothing is refused because of memory that is held for good: that is told in the log instead. Reads that
 * wait for the disk are so few at a time that all of them may bring back the largest value. */
#ifndef SHARD_MEMORY_H
#define SHARD_MEMORY_H

#include "reactor/reactor.h"

struct options;
struct shard;

enum { JOBS_AT_ONCE_MIN = 4 };

/* What a core may have; fixed at the start. */
struct memory_plan {
    uint64_t heap_bytes_max;
    uint64_t memtable_bytes;
    uint64_t cache_bytes;      /* the most that caches get */
    uint64_t output_bytes_max; /* of answers not sent: with more, no connection is read */
    uint64_t views_bytes_max;  /* that only views of scans hold; the oldest ends */
    uint64_t carry_bytes_max;  /* of requests not whole: a connection that wants more is closed */
    uint64_t job_bytes_max;    /* of requests that are written down to wait for the disk */
    unsigned jobs_at_once_max; /* JOBS_AT_ONCE_MIN to JOB_TASKS_MAX */
};

/* `process_bytes` is what the process may use (reactor_memory_bytes); `value_bytes_max` the largest value. */
struct memory_plan memory_plan_of(const struct options *o, uint64_t process_bytes, uint32_t value_bytes_max);

struct memory {
    struct memory_plan plan;
    struct timer trim;  /* runs while caches have too much */
    struct timer again; /* brings the next look while memory is short: nothing else may */
    uint64_t looked_ns;
    uint64_t cache_target;
    bool is_tight;
    bool is_short;
    bool has_told;   /* that memory that is held for good leaves too little */
    uint64_t tights; /* so often it became so */
    uint64_t shorts;
    uint64_t refusals; /* of jobs and requests, for want of memory */
    uint64_t heap_bytes_highest;
};

/* Before the engine is open. */
void memory_init(struct shard *s);
/* In the turn hook, while the engine is open. */
void memory_turn(struct shard *s);
/* Of answers not sent as much may be there now: for more, connections wait that want something else. */
uint64_t memory_output_bytes(const struct shard *s);
/* Nothing is trimmed any more: the engine is about to be closed. */
void memory_stop(struct shard *s);

#endif
