/* phase.h - a load or a run by all threads, and what came of it.
 *
 * Each thread has its own driver, loop and recorder. Once a second it hands its second in; when all have,
 * that second's line is complete: it is kept for the report and printed. */
#ifndef BENCH_PHASE_H
#define BENCH_PHASE_H

#include "bench/load.h"
#include "bench/options.h"

#include <stdio.h>

struct phase_second {
    double at_s;     /* since the phase began, its end */
    double length_s; /* 1, the last one less */
    uint64_t done, errors;
    uint64_t p50_ns, p99_ns, max_ns;
};

/* What kept the throughput from being higher. */
enum phase_limit {
    PHASE_LIMIT_UNKNOWN, /* the client was not; of the server nothing is known */
    PHASE_LIMIT_CLIENT,
    PHASE_LIMIT_SERVER,
    PHASE_LIMIT_BOTH,    /* neither had processor time left */
    PHASE_LIMIT_NEITHER, /* they waited: for the disk, the network, or for more requests in flight */
    PHASE_LIMIT_LATE,    /* open loop, and the client fell behind its schedule by its own doing */
    PHASE_LIMIT_RATE,    /* open loop, and the client kept its schedule */
};

enum { PHASE_STAGES_MAX = 16, PHASE_STAGE_NAME_BYTES = 64 };

/* Where a request's time goes in the server, in its own words. */
struct phase_stage {
    char name[PHASE_STAGE_NAME_BYTES];
    uint64_t count;
    double p50_us, p90_us, p99_us, max_us;
};

struct phase {
    const char *name; /* "load" or "run" */
    bool is_open_loop;
    struct recorder_tally tally;
    double wall_s;
    struct phase_second *seconds;
    uint32_t second_count, second_capacity;
    double client_cpu_share;  /* of the busiest thread */
    double client_wait_share; /* of that thread: it could have run, but others had its core */
    double server_cpu_share;  /* of one core; below 0: not known */
    double server_wait_share; /* of all its threads; below 0: not known */
    enum phase_limit limit;
    uint64_t late_count, late_max_ns, blocked_count, unsent_count, unanswered_count;
    uint32_t drain_ms; /* after the end, until what had no answer was unanswered */
    struct phase_stage stages[PHASE_STAGES_MAX];
    uint32_t stage_count;
    char stages_problem[160];
};

const char *phase_limit_name(enum phase_limit limit);
const char *phase_limit_sentence(enum phase_limit limit);

/* Runs one phase; progress goes to `to` when it is wanted. Returns: 0, or an error and a sentence in
 * `why`. */
MUST_CHECK int phase_run(struct phase *p, const struct options *o, bool is_loading, FILE *to, char *why,
                         size_t why_bytes);
void phase_deinit(struct phase *p);

/* Judges by how busy both were: processor time and waiting for it, as a share of the time; the server's below
 * 0 when it is not known. */
enum phase_limit phase_judge(double client_share, double server_share);

/* Others used the processors of client or server so much that the numbers are not theirs. */
bool phase_is_disturbed(const struct phase *p);

/* From the server's JSON:
 * {"stages":[{"name":..,"count":..,"p50_us":..,"p90_us":..,"p99_us":..,"max_us":..},...]}. Returns: 0 or
 * TORC_E_MALFORMED. */
MUST_CHECK int phase_parse_stages(struct phase *p, const char *json);

/* Stops all phases early, from a signal handler. */
void phase_interrupt(void);

#endif
