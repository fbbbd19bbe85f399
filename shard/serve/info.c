/* info.c - the counters of a node, gathered from its cores and written as JSON. */
#include "shard/serve/info.h"

#include "reactor/base/version.h"
#include "shard/serve/json.h"
#include "shard/shard.h"

enum { INFO_JSON_BYTES = 16 * 1024, SECTION_ALL = INFO_SECTION_COUNT };

static const char *const sections[INFO_SECTION_COUNT] = {"server", "operations", "reactor",
                                                         "engine", "memory",     "stages"};
enum { SECTION_STAGES = 5 };

/* What one core says. */
struct info_core {
    struct shard_counters shard;
    struct reactor_counters reactor;
    struct engine_counters engine;
    uint64_t connections;
    uint64_t output_bytes;
    uint64_t jobs_queued;
    uint64_t carry_bytes;
    uint64_t memory_bytes_max; /* of the heaps, as struct memory */
    uint64_t memory_highest;
    uint64_t cache_target;
    uint64_t memory_tights;
    uint64_t memory_shorts;
    uint64_t memory_refusals;
};

/* The report of the core that asked is the sum in the end. */
struct info_report {
    struct info_gather *gather; /* of the core that asked; not looked at elsewhere */
    bool has_stages;
    struct info_core core;
    struct histogram stages[]; /* STAGE_COUNT; none unless has_stages: they are most of its bytes */
};

struct info_gather {
    struct info_wait wait;
    uint32_t missing;
    size_t stride;
    uint8_t *reports; /* struct info_report, one a core, each `stride` bytes */
};

/* ---- gathering ---- */

static void answer_gathered(struct shard *s, const struct info_gather *g);

void info_fill(struct shard *s, struct info_report *report)
{
    struct info_core *c = &report->core;
    c->shard = s->counters;
    c->reactor = reactor_counters(s->reactor);
    c->engine = s->engine ? engine_counters(s->engine) : (struct engine_counters){0};
    c->connections = s->sessions.open_count;
    c->output_bytes = s->sessions.outputs.bytes_in_use;
    c->jobs_queued = s->jobs.queue_count;
    c->carry_bytes = s->sessions.carry_bytes;
    c->memory_bytes_max = s->memory.plan.heap_bytes_max;
    c->memory_highest = s->memory.heap_bytes_highest;
    c->cache_target = s->memory.cache_target;
    c->memory_tights = s->memory.tights;
    c->memory_shorts = s->memory.shorts;
    c->memory_refusals = s->memory.refusals;
    if (report->has_stages)
        memcpy(report->stages, s->stages.histograms, STAGE_COUNT * sizeof *report->stages);
}

/* Returns: its number, SECTION_ALL for "", more for what is none. */
static unsigned section_of(struct slice name)
{
    unsigned i = 0;
    if (name.bytes == 0)
        return SECTION_ALL;
    while (i < INFO_SECTION_COUNT && !slice_equal(name, slice_of_string(sections[i])))
        i++;
    return i < INFO_SECTION_COUNT ? i : SECTION_ALL + 1;
}

static bool is_wanted(const struct info_gather *g, unsigned section)
{
    return g->wait.section == SECTION_ALL || g->wait.section == section;
}

static struct info_report *report_of(const struct info_gather *g, unsigned core)
{
    return (struct info_report *)(void *)(g->reports + core * g->stride);
}

static void free_gather(struct shard *s, struct info_gather *g)
{
    reactor_free(s->reactor, g->reports);
    reactor_free(s->reactor, g);
}

static struct info_gather *new_gather(struct shard *s, const struct info_wait *wait)
{
    struct info_gather *g = reactor_alloc_zeroed(s->reactor, sizeof *g);
    if (!g)
        return NULL;
    g->wait = *wait;
    g->missing = s->core_count - 1;
    bool has_stages = is_wanted(g, SECTION_STAGES);
    g->stride = sizeof(struct info_report) + (has_stages ? STAGE_COUNT * sizeof(struct histogram) : 0);
    g->reports = reactor_alloc(s->reactor, s->core_count * g->stride);
    if (!g->reports) {
        reactor_free(s->reactor, g);
        return NULL;
    }
    for (unsigned i = 0; i < s->core_count; i++) {
        report_of(g, i)->gather = g;
        report_of(g, i)->has_stages = has_stages;
    }
    return g;
}

/* Asks the cores. Returns: 0, and info_done will answer; with one core the answer is given. */
static int begin(struct shard *s, const struct info_wait *wait)
{
    struct info_gather *g = new_gather(s, wait);
    if (!g)
        return TORC_E_NO_MEMORY;
    info_fill(s, report_of(g, s->core));
    if (g->missing == 0) {
        answer_gathered(s, g);
        free_gather(s, g);
        return 0;
    }
    s->info.is_gathering = true;
    for (unsigned i = 0; i < s->core_count; i++)
        if (i != s->core)
            exchange_send(s, i, &(struct message){.kind = MESSAGE_INFO, .payload = report_of(g, i)});
    return 0;
}

static int wait_for_turn(struct info *n, const struct info_wait *wait)
{
    if (n->waiting_count == INFO_WAITING_MAX)
        return TORC_E_OVERLOADED;
    n->waiting[(n->waiting_first + n->waiting_count++) % INFO_WAITING_MAX] = *wait;
    return 0;
}

void info_start(struct shard *s, const struct reply *reply, struct slice section)
{
    struct info_wait wait = {.reply = *reply, .section = section_of(section)};
    int rc = wait.section > SECTION_ALL ? TORC_E_MALFORMED
             : s->info.is_gathering     ? wait_for_turn(&s->info, &wait)
                                        : begin(s, &wait);
    if (rc)
        shard_reply_code(s, reply, rc);
}

/* Those who waited were asked before this core parts from the others, or are refused. */
static void begin_next(struct shard *s)
{
    struct info *n = &s->info;
    while (n->waiting_count > 0 && !n->is_gathering) {
        struct info_wait wait = n->waiting[n->waiting_first];
        n->waiting_first = (n->waiting_first + 1) % INFO_WAITING_MAX;
        n->waiting_count--;
        int rc = s->state == SHARD_CLOSING ? TORC_E_SHUTTING_DOWN : begin(s, &wait);
        if (rc)
            shard_reply_code(s, &wait.reply, rc);
    }
}

/* ---- adding up ---- */

/* Structs of counters are plain arrays of u64 to this function. */
static void add_words(void *sum, const void *part, size_t bytes)
{
    uint64_t *to = sum;
    const uint64_t *from = part;
    for (size_t i = 0; i < bytes / sizeof *to; i++)
        to[i] += from[i];
}
static_assert(sizeof(struct shard_counters) % 8 == 0 && sizeof(struct reactor_counters) % 8 == 0,
              "counters are u64");
static_assert(sizeof(struct engine_counters) % 8 == 0, "counters are u64");

static void add_core(struct info_core *sum, const struct info_core *c)
{
    uint64_t stall = sum->reactor.stall_longest_ns;
    add_words(&sum->shard, &c->shard, sizeof c->shard);
    add_words(&sum->reactor, &c->reactor, sizeof c->reactor);
    add_words(&sum->engine, &c->engine, sizeof c->engine);
    sum->reactor.stall_longest_ns = stall > c->reactor.stall_longest_ns ? stall : c->reactor.stall_longest_ns;
    sum->connections += c->connections;
    sum->output_bytes += c->output_bytes;
    sum->jobs_queued += c->jobs_queued;
    sum->carry_bytes += c->carry_bytes;
    sum->memory_bytes_max += c->memory_bytes_max;
    sum->memory_highest += c->memory_highest;
    sum->cache_target += c->cache_target;
    sum->memory_tights += c->memory_tights;
    sum->memory_shorts += c->memory_shorts;
    sum->memory_refusals += c->memory_refusals;
}

static void add_report(struct info_report *sum, const struct info_report *report)
{
    add_core(&sum->core, &report->core);
    for (int i = 0; report->has_stages && i < STAGE_COUNT; i++)
        histogram_merge(&sum->stages[i], &report->stages[i]);
}

/* ---- JSON ---- */

/* Something is lost, or would be when it is read: "ok" again once a start finds no more of it. */
static bool is_damaged(const struct engine_counters *n)
{
    return n->quarantined || n->corruptions || n->tables_damaged || n->value_files_damaged ||
           n->scrub_damages;
}

static void write_server(struct shard *s, struct json *j, const struct info_core *c)
{
    uint64_t up_ns = reactor_now_ns(s->reactor) - s->started_ns;
    json_text(j, "version", TORC_VERSION);
    json_number(j, "protocol", FRAME_PROTOCOL_VERSION);
    json_number(j, "node", (uint64_t)s->clock.node);
    json_number(j, "cores", s->core_count);
    json_number(j, "vnodes", 1u << s->vnode_bits);
    json_number(j, "uptime_seconds", up_ns / 1000000000);
    json_number(j, "connections", c->connections);
    json_number(j, "connections_accepted", c->shard.accepted);
    json_number(j, "connections_refused", c->shard.refused);
    json_number(j, "connections_handed_over", c->shard.handed_over);
    json_number(j, "connections_closed_stuck", c->shard.closed_stuck);
    json_number(j, "connections_closed_slow", c->shard.closed_slow);
    json_text(j, "health", is_damaged(&c->engine) ? "damaged" : "ok");
}

/* What tables and value logs cost beside the log: bytes written for each byte of keys and values. */
static double write_amplification(const struct engine_counters *n)
{
    uint64_t written = n->flushed_bytes + n->compacted_bytes + n->value_bytes_written;
    return n->user_bytes ? (double)written / (double)n->user_bytes : 0;
}

static void write_operations(struct json *j, const struct info_core *c)
{
    const struct shard_counters *n = &c->shard;
    json_number(j, "operations", n->operations);
    json_number(j, "gets", n->gets);
    json_number(j, "puts", n->puts);
    json_number(j, "deletes", n->deletes);
    json_number(j, "others", n->others);
    json_number(j, "not_found", n->not_found);
    json_number(j, "timeouts", n->timeouts);
    json_number(j, "errors", n->errors);
    json_number(j, "crossed_cores", n->crossed);
    json_number(j, "large_values", n->large_values);
    json_number(j, "pauses", n->pauses);
    json_number(j, "disk_reads_queued", c->jobs_queued);
}

static void write_reactor(struct json *j, const struct info_core *c)
{
    const struct reactor_counters *n = &c->reactor;
    double operations = c->shard.operations ? (double)c->shard.operations : 1;
    json_number(j, "turns", n->turns);
    json_number(j, "kernel_enters", n->kernel_enters);
    json_ratio(j, "kernel_enters_per_operation", (double)n->kernel_enters / operations);
    json_number(j, "submissions", n->submissions);
    json_number(j, "completions", n->completions);
    json_number(j, "receives", n->receives);
    json_number(j, "sends", n->sends);
    json_number(j, "sleeps", n->sleeps);
    json_number(j, "messages_sent", n->messages_sent);
    json_number(j, "wakeups_sent", n->wakeups_sent);
    json_number(j, "wakeups_refused", n->wakeups_refused);
    json_number(j, "tasks_spawned", n->tasks_spawned);
    json_number(j, "tasks_alive", n->tasks_alive);
    json_number(j, "stalls", n->stalls);
    json_number(j, "stall_longest_us", n->stall_longest_ns / 1000);
    json_number(j, "log_lines_lost", n->log_lines_lost);
}

static void write_engine(struct json *j, const struct info_core *c)
{
    const struct engine_counters *n = &c->engine;
    json_number(j, "puts", n->puts);
    json_number(j, "gets", n->gets);
    json_number(j, "gets_memtable", n->gets_memtable);
    json_number(j, "gets_table", n->gets_table);
    json_number(j, "table_block_reads", n->table_block_reads);
    json_number(j, "cache_hits", n->cache_hits);
    json_number(j, "cache_misses", n->cache_misses);
    json_number(j, "row_cache_hits", n->row_cache_hits);
    json_number(j, "row_cache_misses", n->row_cache_misses);
    json_number(j, "row_cache_entries", n->row_cache_entries);
    json_number(j, "log_writes", n->log_writes);
    json_number(j, "log_bytes", n->log_bytes);
    json_number(j, "log_records", n->log_records);
    json_number(j, "log_segments", n->log_segments);
    json_number(j, "log_segments_kept", n->log_segments_kept);
    json_number(j, "log_archived", n->log_archived);
    json_number(j, "log_archived_bytes", n->log_archived_bytes);
    json_number(j, "log_replayed_bytes", n->log_replayed_bytes);
    json_number(j, "log_replay_us", n->log_replay_ns / 1000);
    json_number(j, "memtable_bytes", n->memtable_bytes);
    json_number(j, "memtable_entries", n->memtable_entries);
    json_number(j, "memtable_index_bytes", n->memtable_index_bytes);
    json_number(j, "flushes", n->flushes);
    json_number(j, "flushed_bytes", n->flushed_bytes);
    json_number(j, "compactions", n->compactions);
    json_number(j, "compacted_bytes", n->compacted_bytes);
    json_number(j, "compacted_tier_bytes", n->compacted_tier_bytes);
    json_number(j, "compacted_bottom_bytes", n->compacted_bottom_bytes);
    json_number(j, "compaction_rounds", n->rounds);
    json_number(j, "compaction_pause_us", n->compaction_pause_ns / 1000);
    json_number(j, "expired_tables", n->expired_tables);
    json_number(j, "expired_merges", n->expired_merges);
    json_ratio(j, "write_amplification", write_amplification(n));
    json_number(j, "merge_debt_bytes", n->merge_debt_bytes);
    json_number(j, "merge_debt_limit_bytes", n->merge_debt_limit_bytes);
    json_number(j, "merge_bytes_per_second", n->merge_rate);
    json_number(j, "flush_bytes_per_second", n->flush_rate);
    json_number(j, "write_delays", n->write_delays);
    json_number(j, "write_delay_us", n->write_delay_ns / 1000);
    json_number(j, "log_hold_turns", n->log_hold_turns);
    json_number(j, "runs", n->runs);
    json_number(j, "tables", n->tables);
    json_number(j, "tables_damaged", n->tables_damaged);
    json_number(j, "table_bytes", n->table_bytes);
    json_number(j, "table_pinned_bytes", n->table_pinned_bytes);
    json_number(j, "value_files", n->value_files);
    json_number(j, "value_bytes", n->value_bytes);
    json_number(j, "value_live_bytes", n->value_live_bytes);
    json_number(j, "value_files_damaged", n->value_files_damaged);
    json_number(j, "value_reads", n->value_reads);
    json_number(j, "value_bytes_written", n->value_bytes_written);
    json_number(j, "value_bytes_moved", n->value_bytes_moved);
    json_number(j, "value_bytes_removed", n->value_bytes_removed);
    json_number(j, "user_bytes", n->user_bytes);
    json_number(j, "corruptions", n->corruptions);
    json_number(j, "bad_rows", n->bad_rows);
    json_number(j, "bad_blocks", n->bad_blocks);
    json_number(j, "quarantined", n->quarantined);
    json_number(j, "scrub_passes", n->scrub_passes);
    json_number(j, "scrubbed_bytes", n->scrubbed_bytes);
    json_number(j, "scrub_pass_bytes", n->scrub_pass_bytes);
    json_number(j, "scrub_damages", n->scrub_damages);
    json_number(j, "disk_full_refusals", n->disk_full_refusals);
}

static void write_memory(struct json *j, const struct info_core *c)
{
    double operations = c->shard.operations ? (double)c->shard.operations : 1;
    json_number(j, "heap_bytes", c->reactor.heap_bytes);
    json_number(j, "heap_bytes_max", c->memory_bytes_max);
    json_number(j, "heap_bytes_highest", c->memory_highest);
    json_number(j, "row_cache_bytes", c->engine.row_cache_bytes);
    json_number(j, "block_cache_bytes", c->engine.block_cache_bytes);
    json_number(j, "cache_target_bytes", c->cache_target);
    json_number(j, "times_tight", c->memory_tights);
    json_number(j, "times_short", c->memory_shorts);
    json_number(j, "refusals", c->memory_refusals);
    json_number(j, "carry_bytes", c->carry_bytes);
    json_number(j, "allocations", c->reactor.allocations);
    json_ratio(j, "allocations_per_operation", (double)c->reactor.allocations / operations);
    json_number(j, "output_bytes", c->output_bytes);
    json_number(j, "log_buffer_bytes", c->engine.log_buffer_bytes);
    json_number(j, "memtable_bytes", c->engine.memtable_bytes);
    json_number(j, "table_pinned_bytes", c->engine.table_pinned_bytes);
}

static void write_stages(struct json *j, const struct info_report *report)
{
    json_begin_array(j, "stages");
    for (int i = 0; i < STAGE_COUNT; i++) {
        const struct histogram *h = &report->stages[i];
        json_begin_object(j, NULL);
        json_text(j, "name", stage_name((enum stage)i));
        json_number(j, "count", h->count);
        json_ratio(j, "p50_us", (double)histogram_percentile(h, 50) / 1000);
        json_ratio(j, "p90_us", (double)histogram_percentile(h, 90) / 1000);
        json_ratio(j, "p99_us", (double)histogram_percentile(h, 99) / 1000);
        json_ratio(j, "max_us", (double)(h->count ? h->max : 0) / 1000);
        json_end(j);
    }
    json_end(j);
}

static void write_section(struct shard *s, struct json *j, unsigned section, const struct info_report *sum)
{
    const char *name = sections[section];
    const struct info_core *c = &sum->core;
    if (section == SECTION_STAGES) {
        write_stages(j, sum);
        return;
    }
    json_begin_object(j, name);
    if (strcmp(name, "server") == 0)
        write_server(s, j, c);
    else if (strcmp(name, "operations") == 0)
        write_operations(j, c);
    else if (strcmp(name, "reactor") == 0)
        write_reactor(j, c);
    else if (strcmp(name, "engine") == 0)
        write_engine(j, c);
    else
        write_memory(j, c);
    json_end(j);
}

static void answer_gathered(struct shard *s, const struct info_gather *g)
{
    struct json j = {.capacity = INFO_JSON_BYTES};
    j.text = reactor_alloc(s->reactor, INFO_JSON_BYTES);
    struct answer answer = {.code = j.text ? 0 : TORC_E_NO_MEMORY};
    if (answer.code == 0) {
        json_begin_object(&j, NULL);
        for (unsigned i = 0; i < INFO_SECTION_COUNT; i++)
            if (is_wanted(g, i))
                write_section(s, &j, i, report_of(g, s->core));
        json_end(&j);
        ASSERT(!j.is_truncated);
        answer.value = slice_of(j.text, j.bytes);
    }
    shard_reply(s, &g->wait.reply, &answer);
    reactor_free(s->reactor, j.text);
}

void info_done(struct shard *s, struct info_report *report)
{
    struct info_gather *g = report->gather;
    ASSERT(s->info.is_gathering && g->missing > 0);
    add_report(report_of(g, s->core), report);
    if (--g->missing > 0)
        return;
    answer_gathered(s, g);
    free_gather(s, g);
    s->info.is_gathering = false;
    begin_next(s);
}
