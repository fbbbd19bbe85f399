/* stages.h - where a request's time goes, from sampled stamps.
 *
 * One request in `stage-sample` is stamped as it is received, parsed, executed, its log write submitted,
 * durable, and as its answer has gone to the kernel. Each step has a histogram; `torc info stages` and
 * `kvbench --stages` show them. Requests that cross cores are not sampled. */
#ifndef SHARD_STAGES_H
#define SHARD_STAGES_H

#include "reactor/base/histogram.h"
#include "reactor/reactor.h"

enum stage {
    STAGE_READ_PARSED,     /* received -> parsed and checked */
    STAGE_READ_EXECUTED,   /* parsed -> answered into the output, unless it waits for the disk */
    STAGE_WRITE_PARSED,    /* received -> parsed and checked */
    STAGE_WRITE_EXECUTED,  /* parsed -> in the log's buffer */
    STAGE_WRITE_SUBMITTED, /* -> its group commit goes to the disk */
    STAGE_WRITE_DURABLE,   /* -> the disk has answered */
    STAGE_WRITE_ANSWERED,  /* -> applied, answered into the output */
    STAGE_SENT,            /* answered -> the kernel has taken the answer */
    STAGE_COUNT,
};

enum { STAGE_SAMPLES_MAX = 256 };

/* A sampled write under way. */
struct stage_sample {
    uint64_t executed_ns;
    uint32_t next_free;
};

struct stages {
    struct histogram *histograms; /* STAGE_COUNT of them */
    uint32_t every;               /* one request in so many; 0 none */
    uint32_t until_next;
    struct stage_sample samples[STAGE_SAMPLES_MAX];
    uint32_t first_free; /* index + 1 */
};

MUST_CHECK int stages_init(struct stages *st, struct reactor *r, uint32_t every);
void stages_deinit(struct stages *st, struct reactor *r);

/* It is the turn of this request to be stamped. */
static inline bool stages_is_due(struct stages *st)
{
    if (__builtin_expect(st->every == 0 || --st->until_next > 0, 1))
        return false;
    st->until_next = st->every;
    return true;
}

const char *stage_name(enum stage stage);
void stages_record(struct stages *st, enum stage stage, uint64_t from_ns, uint64_t to_ns);

/* Keeps the stamp of a write until it is durable. Returns: what goes into engine_ticket.stamp_ns; 0 when
 * all places are taken and the write goes unsampled. */
uint64_t stages_hold(struct stages *st, uint64_t executed_ns);
/* Takes it back. Returns: executed_ns. */
uint64_t stages_release(struct stages *st, uint64_t stamp);

#endif
