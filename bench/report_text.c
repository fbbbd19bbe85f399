/* report_text.c - the tables on the terminal. */
#include "bench/format.h"
#include "bench/report.h"
#include "bench/steadiness.h"

#include <math.h>

const struct report_percentile report_percentiles[REPORT_PERCENTILE_COUNT] = {
    {"p50", "p50_us", 50.0},     {"p90", "p90_us", 90.0},        {"p99", "p99_us", 99.0},
    {"p99.9", "p99_9_us", 99.9}, {"p99.99", "p99_99_us", 99.99},
};

static void print_range(FILE *to, struct byte_range r)
{
    if (r.min == r.max)
        fprintf(to, "%u", r.min);
    else
        fprintf(to, "%u to %u", r.min, r.max);
}

void report_title(FILE *to, const struct options *o)
{
    char count[FORMAT_BYTES], rate[FORMAT_BYTES];
    fprintf(to, "%s", o->class->name);
    if (o->class != &driver_null)
        fprintf(to, " at %s:%s", o->host, o->port);
    fprintf(to, ", workload %s (%s), %s", o->workload_name, o->workload.description,
            distribution_name(o->workload.distribution));
    if (o->workload.distribution != DISTRIBUTION_UNIFORM)
        fprintf(to, " %.4g", o->theta);
    fprintf(to, "\n%s keys of ", format_count(count, (double)o->keys));
    print_range(to, o->key_bytes);
    fprintf(to, " bytes, values of ");
    print_range(to, o->value_bytes);
    fprintf(to, " bytes, %u connections x depth %u, %u thread%s, ", o->connections, o->depth, o->threads,
            o->threads == 1 ? "" : "s");
    if (o->rate > 0.0)
        fprintf(to, "open loop at %s requests/s\n", format_count(rate, o->rate));
    else
        fprintf(to, "closed loop\n");
}

static void print_operation(FILE *to, const struct phase *p, enum operation op)
{
    const struct histogram *h = &p->tally.latency[op];
    if (histogram_count(h) + p->tally.errors[op] == 0)
        return;
    char count[FORMAT_BYTES], rate[FORMAT_BYTES], us[FORMAT_BYTES];
    fprintf(to, "%-18s %14s %12s", operation_name(op), format_count(count, (double)histogram_count(h)),
            format_count(rate, (double)histogram_count(h) / p->wall_s));
    for (int i = 0; i < REPORT_PERCENTILE_COUNT; i++)
        fprintf(to, " %9s",
                format_us(us, (double)histogram_percentile(h, report_percentiles[i].per_cent) / 1e3));
    fprintf(to, " %9s", format_us(us, (double)histogram_max(h) / 1e3));
    fprintf(to, " %10s\n", format_count(count, (double)p->tally.errors[op]));
}

static void print_operations(FILE *to, const struct phase *p)
{
    fprintf(to, "%-18s %14s %12s", "operation", "count", "ops/s");
    for (int i = 0; i < REPORT_PERCENTILE_COUNT; i++)
        fprintf(to, " %9s", report_percentiles[i].name);
    fprintf(to, " %9s %10s\n", "max us", "errors");
    for (int op = 0; op < OPERATION_COUNT; op++)
        print_operation(to, p, (enum operation)op);
}

static void print_outcomes(FILE *to, const struct phase *p)
{
    char count[FORMAT_BYTES], rate[FORMAT_BYTES];
    for (uint32_t i = 0; i < p->tally.outcomes.kinds; i++) {
        const struct outcome_row *row = &p->tally.outcomes.rows[i];
        fprintf(to, "error %-18s %12s   %s\n", outcome_name(row->code),
                format_count(count, (double)row->count), outcome_sentence(row->code));
    }
    if (p->tally.entries)
        fprintf(to, "%s keys came in scans, %s a second\n", format_count(count, (double)p->tally.entries),
                format_count(rate, (double)p->tally.entries / p->wall_s));
    if (p->tally.misses)
        fprintf(to, "%s of these found no such key\n", format_count(count, (double)p->tally.misses));
    if (p->tally.retries)
        fprintf(to, "%s puts found no room and were repeated\n",
                format_count(count, (double)p->tally.retries));
    if (p->unanswered_count)
        fprintf(to, "%s requests were not answered within %u s of the end\n",
                format_count(count, (double)p->unanswered_count), p->drain_ms / 1000);
}

static void print_limit(FILE *to, const struct phase *p)
{
    char count[FORMAT_BYTES], late[FORMAT_BYTES];
    fprintf(to, "processor: client %.0f %% of its busiest thread", 100.0 * p->client_cpu_share);
    if (p->server_cpu_share >= 0.0)
        fprintf(to, ", server %.0f %% of one core", 100.0 * p->server_cpu_share);
    fprintf(to, "; %s\n", phase_limit_sentence(p->limit));
    if (phase_is_disturbed(p))
        fprintf(to,
                "processor: others had it while the client (%.0f %% of the time) or the server (%.0f "
                "%%) wanted "
                "to run: DO NOT QUOTE THESE NUMBERS\n",
                100.0 * p->client_wait_share, 100.0 * fmax(p->server_wait_share, 0.0));
    if (!p->is_open_loop)
        return;
    fprintf(to, "schedule: %s requests left more than %d ms late by the client's own doing (at most %s)\n",
            format_count(count, (double)p->late_count), LOAD_LATE_NS / 1000000,
            format_duration(late, p->late_max_ns));
    if (p->blocked_count)
        fprintf(to, "schedule: %s times all connections were full when a request was due\n",
                format_count(count, (double)p->blocked_count));
    if (p->unsent_count)
        fprintf(to, "schedule: %s requests were due and never sent: their latencies are missing above\n",
                format_count(count, (double)p->unsent_count));
}

static void print_steadiness(FILE *to, const struct phase *p)
{
    char median[FORMAT_BYTES], worst[FORMAT_BYTES], usual[FORMAT_BYTES], lowest[FORMAT_BYTES];
    struct steadiness s = steadiness_of(p->seconds, p->second_count);
    if (s.seconds < 2)
        return;
    fprintf(to,
            "seconds: %u; p99 of a second: median %s, worst %s (%.1f times); ops/s: median %s, lowest %s\n",
            s.seconds, format_duration(median, s.p99_median_ns), format_duration(worst, s.p99_worst_ns),
            s.p99_worst_ratio, format_count(usual, s.ops_median_per_s),
            format_count(lowest, s.ops_lowest_per_s));
}

static void print_stages(FILE *to, const struct phase *p)
{
    char us[FORMAT_BYTES], count[FORMAT_BYTES];
    if (p->stages_problem[0])
        fprintf(to, "%s\n", p->stages_problem);
    if (p->stage_count == 0)
        return;
    fprintf(to, "%-32s %14s %9s %9s %9s %9s\n", "in the server", "samples", "p50", "p90", "p99", "max us");
    for (uint32_t i = 0; i < p->stage_count; i++) {
        const struct phase_stage *s = &p->stages[i];
        fprintf(to, "%-32s %14s", s->name, format_count(count, (double)s->count));
        fprintf(to, " %9s", format_us(us, s->p50_us));
        fprintf(to, " %9s", format_us(us, s->p90_us));
        fprintf(to, " %9s", format_us(us, s->p99_us));
        fprintf(to, " %9s\n", format_us(us, s->max_us));
    }
}

void report_text(FILE *to, const struct phase *p)
{
    char count[FORMAT_BYTES], rate[FORMAT_BYTES];
    uint64_t done = recorder_done_count(&p->tally);
    fprintf(to, "\n%s: %s operations in %.2f s, %s ops/s\n", p->name, format_count(count, (double)done),
            p->wall_s, format_count(rate, (double)done / p->wall_s));
    print_operations(to, p);
    print_outcomes(to, p);
    print_steadiness(to, p);
    print_limit(to, p);
    print_stages(to, p);
    fputc('\n', to);
    fflush(to);
}
