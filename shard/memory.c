/* memory.c - the ledger of a core's memory; see memory.h. */
#include "shard/memory.h"

#include "reactor/base/mark.h"
#include "shard/shard.h"

enum {
    PERCENT_MAX = 100,
    LOOK_NS = 1000 * 1000,
    SPARE_SHARE = 16,
    TRANSIENT_SHARE = 32, /* what answers, requests and jobs may always have, and the fewest jobs beside */
    OUTSIDE_SHARE_MIN = 4,
    MEMTABLE_SHARE = 18, /* one is in use, as a rule, and five at most: three tenths */
    MEMTABLE_BYTES_MIN = 1 << 20,
    MEMTABLE_BYTES_MAX = 256 << 20,
    CACHE_BYTES_MIN = 2 << 20,
    OUTPUT_SHARE = 8,
    OUTPUT_BYTES_MIN = 1 << 20,
    VIEWS_SHARE = 8,
    VIEWS_BYTES_MAX = 1 << 30,
    VIEWS_MEMTABLES = 3, /* at least: what was active and frozen when a view was opened must not end it */
    JOBS_SHARE = 4,
    BYTES_OF_JOB_PER_VALUE = 2, /* the value as it was read, and in its block */
};
/* Of a core and not of its heap: stacks of tasks, buffers that receive, rings, the program. */
#define OUTSIDE_BYTES (UINT64_C(24) << 20)

/* ---- the plan ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t at_least(uint64_t a, uint64_t min)
{
    return a < min ? min : a;
}

/* The larger, the less often a byte is merged among upper runs. */
static uint64_t memtable_bytes_of(uint64_t heap_bytes)
{
    uint64_t bytes = heap_bytes / MEMTABLE_SHARE / MEMTABLE_BYTES_MIN * MEMTABLE_BYTES_MIN;
    return least(at_least(bytes, MEMTABLE_BYTES_MIN), MEMTABLE_BYTES_MAX);
}

struct memory_plan memory_plan_of(const struct options *o, uint64_t process_bytes, uint32_t value_bytes_max)
{
    uint64_t node = o->memory <= PERCENT_MAX ? process_bytes / PERCENT_MAX * o->memory : o->memory;
    uint64_t core = node / o->cores;
    uint64_t heap = core - least(OUTSIDE_BYTES, core / OUTSIDE_SHARE_MIN);
    uint64_t jobs = heap / JOBS_SHARE / ((uint64_t)value_bytes_max * BYTES_OF_JOB_PER_VALUE);
    uint64_t cache = o->cache_bytes ? least(o->cache_bytes / o->cores, heap)
                                    : at_least(heap - heap / SPARE_SHARE, CACHE_BYTES_MIN);
    uint64_t memtable = o->memtable_bytes ? o->memtable_bytes : memtable_bytes_of(heap);
    return (struct memory_plan){
        .heap_bytes_max = heap,
        .memtable_bytes = memtable,
        .cache_bytes = cache,
        .output_bytes_max = least(at_least(heap / OUTPUT_SHARE, OUTPUT_BYTES_MIN), OUTPUT_BYTES_MAX),
        .carry_bytes_max = at_least(heap / OUTPUT_SHARE, FRAME_BYTES_MAX),
        .views_bytes_max = at_least(least(heap / VIEWS_SHARE, VIEWS_BYTES_MAX), VIEWS_MEMTABLES * memtable),
        .job_bytes_max = heap / TRANSIENT_SHARE,
        .jobs_at_once_max = (unsigned)at_least(least(jobs, JOB_TASKS_MAX), JOBS_AT_ONCE_MIN),
    };
}

void memory_init(struct shard *s)
{
    s->memory = (struct memory){
        .plan = memory_plan_of(s->options, reactor_memory_bytes(s->reactor), s->sizes.value_bytes_max),
    };
}

/* ---- the ledger ---- */

static void trim(struct timer *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, memory.trim);
    if (!s->engine || !engine_trim(s->engine))
        return;
    int rc = timer_start(s->reactor, t, 0, trim);
    if (rc) /* the next look begins again */
        log_write(&s->log, LOG_LEVEL_ERROR, "timer", "no memory; caches keep what they have", log_error(rc));
}

/* What goes when nothing more is taken. Not so frames that are carried: they wait until more is taken, half
 * ones for what their peers send. */
static uint64_t transient_bytes(const struct shard *s)
{
    return s->sessions.outputs.bytes_in_use + s->exchange.bytes_out + s->batches.bytes + s->gathers.bytes +
           (uint64_t)s->jobs.task_count * s->sizes.value_bytes_max + engine_list_bytes(s->engine);
}

static void set_tight(struct shard *s, bool is_tight)
{
    struct memory *m = &s->memory;
    if (m->is_tight == is_tight)
        return;
    m->is_tight = is_tight;
    m->tights += is_tight;
    if (is_tight)
        MARK(memtables_are_frozen_early_while_memory_is_tight);
    engine_press(s->engine, is_tight);
}

static void set_short(struct shard *s, uint64_t heap_bytes)
{
    struct memory *m = &s->memory;
    uint64_t max = m->plan.heap_bytes_max;
    bool is_full = heap_bytes > max - max / TRANSIENT_SHARE;
    bool was_short = m->is_short;
    uint64_t always = max / TRANSIENT_SHARE + (uint64_t)JOBS_AT_ONCE_MIN * s->sizes.value_bytes_max;
    m->is_short = is_full && transient_bytes(s) > always;
    m->shorts += m->is_short && !was_short;
    if (m->is_short && !was_short)
        MARK(a_core_takes_nothing_more_while_memory_is_short);
}

/* Filters and indexes, or memtables of a size that was asked for, leave nothing: only more memory helps. */
static void tell_if_too_little(struct shard *s, uint64_t others)
{
    struct memory *m = &s->memory;
    if (m->has_told || others <= m->plan.heap_bytes_max || m->is_short)
        return;
    m->has_told = true;
    log_write(&s->log, LOG_LEVEL_WARN, "memory",
              "what this core holds is more than its part of `memory`; the node needs more of it",
              log_number("held_bytes", others), log_number("part_bytes", m->plan.heap_bytes_max));
}

static void on_again(struct timer *t)
{
    (void)t; /* its turn looks */
}

static void look(struct shard *s)
{
    struct memory *m = &s->memory;
    uint64_t max = m->plan.heap_bytes_max, caches = engine_cache_bytes(s->engine);
    uint64_t heap = reactor_counters(s->reactor).heap_bytes;
    uint64_t others = heap > caches ? heap - caches : 0;
    uint64_t taken = others + max / SPARE_SHARE;
    m->heap_bytes_highest = at_least(heap, m->heap_bytes_highest);
    m->cache_target = least(at_least(max > taken ? max - taken : 0, CACHE_BYTES_MIN), m->plan.cache_bytes);
    engine_resize_caches(s->engine, m->cache_target);
    if (caches > m->cache_target && m->trim.heap_index == 0)
        trim(&m->trim);
    set_tight(s, others > max / 4 * 3);
    set_short(s, heap);
    int rc = m->is_short ? timer_start(s->reactor, &m->again, LOOK_NS, on_again) : 0;
    (void)rc; /* else some other turn looks */
    tell_if_too_little(s, others);
}

void memory_turn(struct shard *s)
{
    uint64_t now_ns = reactor_now_ns(s->reactor);
    if (now_ns - s->memory.looked_ns < LOOK_NS)
        return;
    s->memory.looked_ns = now_ns;
    look(s);
}

uint64_t memory_output_bytes(const struct shard *s)
{
    const struct memory_plan *plan = &s->memory.plan;
    return s->memory.is_short ? plan->heap_bytes_max / TRANSIENT_SHARE : plan->output_bytes_max;
}

void memory_stop(struct shard *s)
{
    timer_stop(s->reactor, &s->memory.trim);
    timer_stop(s->reactor, &s->memory.again);
}
