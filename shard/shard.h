/* shard.h - one core of a node: its engine, its connections, and what it knows of the other cores.
 *
 *            socket bytes                    requests of keys that
 *   session ------------> requests_add -----> other cores own ------> exchange -> the owner's requests_add
 *      ^                       |
 *      |                       v  in batches: prepare, prefetch, execute
 *      |                   engine_put / engine_get / a read job (task) when the disk is needed
 *      |                       |
 *      +------ shard_reply <---+   straight to the session, into a batch, or through the exchange
 *
 * Everything here belongs to one core and is called by it only. A request is never copied on its way to
 * the engine, an answer is written once, into the output of its connection. */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include "engine/engine.h"
#include "reactor/reactor.h"
#include "shard/admin.h"
#include "shard/batch.h"
#include "shard/deadlines.h"
#include "shard/exchange.h"
#include "shard/gather.h"
#include "shard/hlc.h"
#include "shard/jobs.h"
#include "shard/memory.h"
#include "shard/moment.h"
#include "shard/request.h"
#include "shard/serve/info.h"
#include "shard/serve/log.h"
#include "shard/serve/options.h"
#include "shard/serve/session.h"
#include "shard/stages.h"
#include "shard/views.h"

enum {
    REQUESTS_AT_ONCE = 32, /* prepared and prefetched together */
};

/* Where a node is on its way down; each core goes through them in order.
 *   RUNNING   serves
 *   DRAINING  accepts nothing new; answers what is in flight; tells core 0 when it has
 *   CLOSING   all cores have drained: connections closed, engine closed, loop stopped */
enum shard_state { SHARD_RUNNING, SHARD_DRAINING, SHARD_CLOSING };

struct shard_counters {
    uint64_t operations; /* answered by this core, batches counted by their parts */
    uint64_t gets;
    uint64_t puts;
    uint64_t deletes;
    uint64_t others;
    uint64_t errors; /* answers with a code other than 0 and NOT_FOUND */
    uint64_t not_found;
    uint64_t timeouts;
    uint64_t crossed;      /* requests handed to another core */
    uint64_t large_values; /* above 64 KiB */
    uint64_t accepted;     /* connections */
    uint64_t refused;      /* connections over the limit */
    uint64_t handed_over;  /* connections given to the core they asked for */
    uint64_t closed_stuck; /* closed because they did not read their answers, or ask to the end */
    uint64_t closed_slow;  /* because they read them slowly and others waited for the memory */
    uint64_t pauses;       /* times a connection was not read because it or the core had too much to do */
};

struct shard {
    struct reactor *reactor;
    const struct options *options;
    struct engine_options sizes; /* as in shard_context */
    uint32_t scan_looked_max;    /* the same */
    struct log log;
    struct engine *engine; /* null before it is open and after it is closed */
    struct hlc clock;
    unsigned core;
    unsigned core_count;
    uint8_t vnode_bits;
    unsigned layout; /* of the data directory */
    enum shard_state state;
    struct listener *listener;
    uint64_t started_ns;

    struct session_table sessions;
    struct batch_table batches;
    struct exchange exchange;
    struct gather_table gathers;
    struct moments moments;
    struct views views;
    struct jobs jobs;
    struct admin admin;
    struct info info;
    struct deadlines deadlines;
    struct memory memory;
    uint64_t request_timeout_ns; /* of requests that say none; 0: none */
    struct stages stages;
    uint64_t in_flight; /* requests of this core's connections without an answer yet */

    struct request requests[REQUESTS_AT_ONCE];
    unsigned request_count;

    struct timer second;     /* sweeps connections, watches the drain */
    uint64_t second_ns;      /* the next one begins; before, the sweep goes on */
    struct event step;       /* what the start waits for: START or SERVE, on core 0 that all are READY */
    unsigned ready_cores;    /* core 0 counts */
    uint64_t replayed_bytes; /* of the log: core 0, of all that are ready */
    uint64_t replay_ms;      /* the slowest of them */
    unsigned drained_cores;  /* core 0 counts */
    unsigned parted_cores;   /* of the others: that have sent LAST */
    unsigned given_up_cores; /* of them: whose disk hangs */
    uint64_t drain_deadline_ns;
    uint64_t close_begun_ns;
    struct event engine_closed;
    bool is_serving;
    bool is_stop_wanted; /* asked to end before it served */
    bool has_told_drained;

    struct shard_counters counters;
};

/* What a process starts with; the same for all cores. */
struct shard_context {
    const struct options *options;
    /* Sizes that no option sets, so that a simulation can have small ones: value_bytes_max, table_bytes_max,
     * log_writes_in_flight, log_padding_parts, runs_max, removal_step_bytes, list_shared_min; 0 and null mean
     * as engine_options says. */
    const struct engine_options *sizes;
    uint32_t scan_looked_max; /* dead records that a page in the order of keys looks at; 0: SCAN_LOOKED_MAX */
    /* That the system lets the process have open, when `connections-max` is lower for it; 0: enough. */
    uint64_t files_allowed;
    bool has_started; /* core 0 runs; what fails from there on is in the log */
};

/* The reactor's main: opens the shard's engine and serves. Waits. */
MUST_CHECK int shard_main(struct reactor *r, void *shard_context);

/* ---- requests (shard/execute.c) ---- */

/* Takes a request whose frame was parsed. Its bytes must live until requests_run, which runs when there
 * are enough. */
void requests_add(struct shard *s, const struct reply *reply, const struct frame *frame,
                  const struct arrival *arrival);
/* Runs what was added; afterwards the bytes of the frames are not needed any more. */
void requests_run(struct shard *s);

/* When a request that came at `at_ns` and says `deadline_ms` (0: nothing) is to be answered; 0: whenever. */
static inline uint64_t shard_deadline_ns(const struct shard *s, uint64_t at_ns, uint32_t deadline_ms)
{
    uint64_t time_ns = deadline_ms ? (uint64_t)deadline_ms * 1000000 : s->request_timeout_ns;
    return time_ns ? at_ns + time_ns : 0;
}
/* The same for a prepared one, no later than its batch. */
uint64_t request_deadline_ns(const struct shard *s, const struct request *q);

/* The answer of a request, wherever it goes. */
void shard_reply(struct shard *s, const struct reply *reply, const struct answer *answer);
static inline void shard_reply_code(struct shard *s, const struct reply *reply, int code)
{
    shard_reply(s, reply, &(struct answer){.code = code});
}

/* engine_options.on_durable */
void shard_on_durable(void *shard, const struct engine_ticket *ticket, int result,
                      const struct engine_write_times *times);

/* The frame of an answer. For an error the value is its sentence; the parts point to the answer's bytes. */
struct frame_parts shard_answer_parts(const struct reply *reply, const struct answer *answer);

/* What every request with extensions wants first. Returns: 0, TORC_E_MALFORMED, TORC_E_NAMESPACE_UNKNOWN. */
MUST_CHECK int shard_parse_extensions(struct slice bytes, struct frame_extensions *out);

/* Runs a request that another core has parsed and handed over. */
void shard_dispatch(struct shard *s, const struct reply *reply, const struct frame *frame,
                    const struct arrival *arrival);

/* The answer of a found record: its value, and its version when it was asked for. */
void shard_reply_record(struct shard *s, const struct reply *reply, uint8_t flags,
                        const struct record *record);

/* This core has more to do than it can hold: connections are not read for a while. */
bool shard_is_congested(const struct shard *s);

/* The core that owns a key, and the key as the engine wants it. */
uint16_t shard_vnode_of_key(const struct shard *s, struct slice key);
static inline uint16_t shard_core_of_vnode(const struct shard *s, uint16_t vnode)
{
    return (uint16_t)(((uint32_t)vnode * s->core_count) >> s->vnode_bits);
}

#endif
