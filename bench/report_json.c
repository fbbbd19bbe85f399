/* report_json.c - all that was measured, for programs.
 *
 * Latencies are microseconds. "histogram" is the whole distribution: [upper bound in microseconds, count] for
 * each bucket that holds something, each bound within 1/64 of the values under it. */
#include "bench/report.h"
#include "bench/steadiness.h"

#include <jansson.h>

enum { FORMAT_VERSION = 1 };

/* jansson answers -1 when there is no memory or the value could not be made; one flag is enough for the
 * whole. */
struct writer {
    bool has_failed;
};

static void set(struct writer *w, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value))
        w->has_failed = true;
}

static void append(struct writer *w, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value))
        w->has_failed = true;
}

static json_t *us_of(uint64_t ns)
{
    return json_real((double)ns / 1e3);
}

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *histogram_json(struct writer *w, const struct histogram *h)
{
    json_t *out = json_array();
    for (struct histogram_iterator i = {0}; histogram_next(h, &i);)
        append(w, out, json_pack("[f,I]", (double)i.high / 1e3, (json_int_t)i.count));
    return out;
}

static json_t *operation_json(struct writer *w, const struct phase *p, enum operation op)
{
    const struct histogram *h = &p->tally.latency[op];
    json_t *out = json_object();
    set(w, out, "operation", json_string(operation_name(op)));
    set(w, out, "count", integer(histogram_count(h)));
    set(w, out, "errors", integer(p->tally.errors[op]));
    set(w, out, "ops_per_s", json_real((double)histogram_count(h) / p->wall_s));
    set(w, out, "mean_us", json_real(histogram_mean(h) / 1e3));
    set(w, out, "min_us", us_of(histogram_min(h)));
    for (int i = 0; i < REPORT_PERCENTILE_COUNT; i++)
        set(w, out, report_percentiles[i].key,
            us_of(histogram_percentile(h, report_percentiles[i].per_cent)));
    set(w, out, "max_us", us_of(histogram_max(h)));
    set(w, out, "histogram", histogram_json(w, h));
    return out;
}

static json_t *seconds_json(struct writer *w, const struct phase *p)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < p->second_count; i++) {
        const struct phase_second *s = &p->seconds[i];
        json_t *row = json_object();
        set(w, row, "at_s", json_real(s->at_s));
        set(w, row, "length_s", json_real(s->length_s));
        set(w, row, "ops_per_s", json_real((double)s->done / s->length_s));
        set(w, row, "errors", integer(s->errors));
        set(w, row, "p50_us", us_of(s->p50_ns));
        set(w, row, "p99_us", us_of(s->p99_ns));
        set(w, row, "max_us", us_of(s->max_ns));
        append(w, out, row);
    }
    return out;
}

static json_t *steadiness_json(struct writer *w, const struct phase *p)
{
    struct steadiness s = steadiness_of(p->seconds, p->second_count);
    json_t *out = json_object();
    set(w, out, "seconds", json_integer(s.seconds));
    set(w, out, "p99_median_us", us_of(s.p99_median_ns));
    set(w, out, "p99_worst_us", us_of(s.p99_worst_ns));
    set(w, out, "p99_worst_ratio", json_real(s.p99_worst_ratio));
    set(w, out, "ops_median_per_s", json_real(s.ops_median_per_s));
    set(w, out, "ops_lowest_per_s", json_real(s.ops_lowest_per_s));
    return out;
}

static json_t *outcomes_json(struct writer *w, const struct phase *p)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < p->tally.outcomes.kinds; i++) {
        const struct outcome_row *row = &p->tally.outcomes.rows[i];
        append(w, out,
               json_pack("{s:s,s:i,s:I,s:s}", "name", outcome_name(row->code), "code", row->code, "count",
                         (json_int_t)row->count, "sentence", outcome_sentence(row->code)));
    }
    return out;
}

static json_t *stages_json(struct writer *w, const struct phase *p)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < p->stage_count; i++) {
        const struct phase_stage *s = &p->stages[i];
        append(w, out,
               json_pack("{s:s,s:I,s:f,s:f,s:f,s:f}", "name", s->name, "count", (json_int_t)s->count,
                         "p50_us", s->p50_us, "p90_us", s->p90_us, "p99_us", s->p99_us, "max_us", s->max_us));
    }
    return out;
}

static json_t *phase_json(struct writer *w, const struct phase *p)
{
    json_t *out = json_object(), *operations = json_array();
    uint64_t done = recorder_done_count(&p->tally);
    set(w, out, "name", json_string(p->name));
    set(w, out, "wall_s", json_real(p->wall_s));
    set(w, out, "operations_done", integer(done));
    set(w, out, "ops_per_s", json_real((double)done / p->wall_s));
    set(w, out, "errors", integer(recorder_error_count(&p->tally)));
    set(w, out, "scanned_entries", integer(p->tally.entries));
    set(w, out, "misses", integer(p->tally.misses));
    set(w, out, "retries", integer(p->tally.retries));
    set(w, out, "unanswered", integer(p->unanswered_count));
    set(w, out, "client_cpu_share", json_real(p->client_cpu_share));
    set(w, out, "server_cpu_share", p->server_cpu_share < 0.0 ? json_null() : json_real(p->server_cpu_share));
    set(w, out, "client_wait_share", json_real(p->client_wait_share));
    set(w, out, "server_wait_share",
        p->server_wait_share < 0.0 ? json_null() : json_real(p->server_wait_share));
    set(w, out, "is_disturbed", json_boolean(phase_is_disturbed(p)));
    set(w, out, "limit", json_string(phase_limit_name(p->limit)));
    set(w, out, "limit_sentence", json_string(phase_limit_sentence(p->limit)));
    if (p->is_open_loop)
        set(w, out, "schedule",
            json_pack("{s:I,s:f,s:I,s:I}", "late_by_client", (json_int_t)p->late_count,
                      "late_by_client_max_us", (double)p->late_max_ns / 1e3, "connections_full",
                      (json_int_t)p->blocked_count, "never_sent", (json_int_t)p->unsent_count));
    for (int op = 0; op < OPERATION_COUNT; op++)
        if (histogram_count(&p->tally.latency[op]) + p->tally.errors[op] > 0)
            append(w, operations, operation_json(w, p, (enum operation)op));
    set(w, out, "operations", operations);
    set(w, out, "error_codes", outcomes_json(w, p));
    set(w, out, "steadiness", steadiness_json(w, p));
    set(w, out, "seconds", seconds_json(w, p));
    set(w, out, "stages", stages_json(w, p));
    return out;
}

static json_t *settings_json(struct writer *w, const struct options *o)
{
    json_t *out = json_object();
    set(w, out, "target", json_string(o->class->name));
    set(w, out, "server", json_sprintf("%s:%s", o->host, o->port));
    set(w, out, "workload", json_string(o->workload_name));
    set(w, out, "distribution", json_string(distribution_name(o->workload.distribution)));
    set(w, out, "theta", json_real(o->theta));
    set(w, out, "read_ratio", json_real(o->read_ratio));
    set(w, out, "keys", integer(o->keys));
    set(w, out, "key_bytes", json_pack("[i,i]", (int)o->key_bytes.min, (int)o->key_bytes.max));
    set(w, out, "value_bytes", json_pack("[i,i]", (int)o->value_bytes.min, (int)o->value_bytes.max));
    set(w, out, "value_novel", json_real(o->value_novel));
    set(w, out, "connections", json_integer(o->connections));
    set(w, out, "depth", json_integer(o->depth));
    set(w, out, "threads", json_integer(o->threads));
    set(w, out, "rate", json_real(o->rate));
    set(w, out, "duration_s", json_real(o->duration_s));
    set(w, out, "operations", integer(o->operations));
    set(w, out, "seed", integer(o->seed));
    set(w, out, "verify", json_boolean(o->is_verifying));
    return out;
}

char *report_json(const struct report *r)
{
    struct writer w = {false};
    json_t *root = json_object(), *phases = json_array();
    set(&w, root, "kvbench", json_integer(FORMAT_VERSION));
    set(&w, root, "began_at", json_integer(r->at_wall_s));
    set(&w, root, "settings", settings_json(&w, r->options));
    for (uint32_t i = 0; i < r->phase_count; i++)
        append(&w, phases, phase_json(&w, &r->phases[i]));
    set(&w, root, "phases", phases);
    char *text = w.has_failed ? NULL : json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
    json_decref(root);
    return text;
}
