/* report_html.c - the results as one page: cards, plots and the tables behind them, without script or
 * network. */
#include "bench/format.h"
#include "bench/plot.h"
#include "bench/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

static const char style[] =
    ":root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--text:#16202c;--soft:#5c6b7c;--line:#e3e8ee;"
    "--c0:#2563eb;--c1:#ea7a17;--c2:#c02652;--bad:#c02652}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#0f141a;--card:#171e27;--text:#e6ecf2;--soft:#93a1b1;--"
    "line:#2a3441;"
    "--c0:#60a5fa;--c1:#fbab5c;--c2:#fb7196;--bad:#fb7196}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "main{max-width:1180px;margin:0 auto;padding:32px 20px 64px}h1{font-size:26px;margin:0 0 4px}"
    "h2{font-size:20px;margin:40px 0 12px}p{margin:4px 0;color:var(--soft);white-space:pre-line}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:16px 0}\n"
    ".card,figure,.table{background:var(--card);border:1px solid var(--line);border-radius:10px}\n"
    ".card{padding:14px 16px}.card "
    "b{display:block;font-size:22px;font-weight:600;font-variant-numeric:tabular-nums}"
    ".card span{color:var(--soft);font-size:13px}.bad b{color:var(--bad)}\n"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:12px}"
    "figure{margin:0;padding:10px}.wide{grid-column:1/-1}svg{width:100%;height:auto;display:block}\n"
    ".table{overflow-x:auto;margin:12px "
    "0}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{padding:7px 14px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}"
    "tr:last-child td{border-bottom:0}th{color:var(--soft);font-weight:500;font-size:13px}"
    "th:first-child,td:first-child,.words td,.words th{text-align:left}\n"
    "details{margin:12px 0}summary{cursor:pointer;color:var(--soft)}\n"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.dot{stroke:none}"
    ".line.s0{stroke:var(--c0)}.line.s1{stroke:var(--c1)}.line.s2{stroke:var(--c2)}"
    ".dot.s0{fill:var(--c0)}.dot.s1{fill:var(--c1)}.dot.s2{fill:var(--c2)}\n"
    ".grid{stroke:var(--line)}.axis{stroke:var(--soft)}.label{fill:var(--soft);font-size:12px}"
    ".title{fill:var(--text);font-size:14px;font-weight:600}\n"
    ".bar{display:inline-block;height:10px;border-radius:5px;background:var(--c0);min-width:2px;vertical-"
    "align:middle}\n";

static void put_head(FILE *to, const struct report *r)
{
    char when[64] = "";
    time_t at = (time_t)r->at_wall_s;
    struct tm utc;
    if (gmtime_r(&at, &utc))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &utc);
    fprintf(to, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>kvbench: ");
    plot_escaped(to, r->options->class->name);
    fprintf(to, ", workload ");
    plot_escaped(to, r->options->workload_name);
    fprintf(to, "</title>\n<style>\n%s</style></head><body><main>\n<h1>kvbench</h1>\n<p>", style);
    char title[1024] = "";
    FILE *memory = fmemopen(title, sizeof title - 1, "w");
    if (memory) {
        report_title(memory, r->options);
        fclose(memory);
    }
    plot_escaped(to, title);
    fprintf(to, "Began %s</p>\n", when);
}

static void put_card(FILE *to, const char *name, const char *value, bool is_bad)
{
    fprintf(to, "<div class=\"card%s\"><b>%s</b><span>%s</span></div>\n", is_bad ? " bad" : "", value, name);
}

static void put_cards(FILE *to, const struct phase *p, const struct histogram *all)
{
    static const double per_cents[] = {50.0, 99.0, 99.9};
    static const char *const names[] = {"p50", "p99", "p99.9"};
    char text[FORMAT_BYTES];
    uint64_t errors = recorder_error_count(&p->tally);
    fprintf(to, "<div class=\"cards\">\n");
    put_card(to, "operations a second", format_count(text, (double)histogram_count(all) / p->wall_s), false);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        put_card(to, names[i], format_duration(text, histogram_percentile(all, per_cents[i])), false);
    put_card(to, "longest", format_duration(text, histogram_max(all)), false);
    put_card(to, "errors", format_count(text, (double)errors), errors > 0);
    fprintf(to, "</div>\n<p>Client %.0f %% of its busiest thread", 100.0 * p->client_cpu_share);
    if (p->server_cpu_share >= 0.0)
        fprintf(to, ", server %.0f %% of one core", 100.0 * p->server_cpu_share);
    fprintf(to, ": %s.</p>\n", phase_limit_sentence(p->limit));
    if (phase_is_disturbed(p))
        fprintf(to,
                "<p>Others had the processor while the client (%.0f %% of the time) or the server "
                "(%.0f %%) "
                "wanted to run: do not quote these numbers.</p>\n",
                100.0 * p->client_wait_share, 100.0 * fmax(p->server_wait_share, 0.0));
}

/* ---- plots ---- */

static void put_plot(FILE *to, const struct plot *p)
{
    fprintf(to, p->is_wide ? "<figure class=\"wide\">\n" : "<figure>\n");
    plot_svg(to, p);
    fprintf(to, "</figure>\n");
}

/* Requires: room for 3 * count at `points`. */
static void plot_latency_seconds(FILE *to, const struct phase *p, struct plot_point *points)
{
    static const char *const names[] = {"p50", "p99", "max"};
    struct plot_series series[3];
    for (uint32_t k = 0; k < 3; k++) {
        struct plot_point *mine = points + (size_t)k * p->second_count;
        for (uint32_t i = 0; i < p->second_count; i++) {
            const struct phase_second *s = &p->seconds[i];
            uint64_t ns = k == 0 ? s->p50_ns : k == 1 ? s->p99_ns : s->max_ns;
            mine[i] = (struct plot_point){s->at_s, (double)ns / 1e3};
        }
        series[k] = (struct plot_series){names[k], mine, p->second_count};
    }
    put_plot(to, &(struct plot){.title = "Latency of each second",
                                .y_unit = PLOT_MICROSECONDS,
                                .is_y_logarithmic = true,
                                .series = series,
                                .series_count = 3});
}

static void plot_rate_seconds(FILE *to, const struct phase *p, struct plot_point *points)
{
    for (uint32_t i = 0; i < p->second_count; i++)
        points[i] =
            (struct plot_point){p->seconds[i].at_s, (double)p->seconds[i].done / p->seconds[i].length_s};
    struct plot_series series = {"operations", points, p->second_count};
    put_plot(to, &(struct plot){.title = "Operations a second", .series = &series, .series_count = 1});
}

/* A bucket stands at the share of values below it, so that the last one has a finite place. Requires: room
 * for HISTOGRAM_BUCKET_COUNT points. */
static struct plot_series percentile_series(const char *name, const struct histogram *h,
                                            struct plot_point *points)
{
    uint64_t below = 0;
    uint32_t count = 0;
    for (struct histogram_iterator i = {0}; histogram_next(h, &i);) {
        double share = (double)below / (double)histogram_count(h);
        points[count++] = (struct plot_point){-log10(1.0 - share), (double)i.high / 1e3};
        below += i.count;
    }
    return (struct plot_series){name, points, count};
}

/* A line for each of the first kinds of operation that were done; a workload has two at most. */
static void plot_percentiles(FILE *to, const struct phase *p)
{
    struct plot_series series[PLOT_SERIES_MAX];
    uint32_t count = 0;
    struct plot_point *points = calloc((size_t)PLOT_SERIES_MAX * HISTOGRAM_BUCKET_COUNT, sizeof *points);
    for (int op = 0; points && op < OPERATION_COUNT && count < PLOT_SERIES_MAX; op++)
        if (histogram_count(&p->tally.latency[op]) > 0) {
            series[count] = percentile_series(operation_name((enum operation)op), &p->tally.latency[op],
                                              points + (size_t)count * HISTOGRAM_BUCKET_COUNT);
            count++;
        }
    put_plot(to, &(struct plot){.title = "Latency by percentile",
                                .y_unit = PLOT_MICROSECONDS,
                                .is_y_logarithmic = true,
                                .is_wide = true,
                                .is_x_percentile = true,
                                .series = series,
                                .series_count = count});
    free(points);
}

static void put_plots(FILE *to, const struct phase *p, const struct histogram *all)
{
    fprintf(to, "<div class=\"plots\">\n");
    struct plot_point *points = calloc((size_t)p->second_count * 3 + 1, sizeof *points);
    if (points && p->second_count > 0) {
        plot_rate_seconds(to, p, points);
        plot_latency_seconds(to, p, points);
    }
    free(points);
    if (histogram_count(all) > 0)
        plot_percentiles(to, p);
    fprintf(to, "</div>\n");
}

/* ---- tables ---- */

static void put_us(FILE *to, double us)
{
    char text[FORMAT_BYTES];
    fprintf(to, "<td>%s</td>", format_us(text, us));
}

static void put_count(FILE *to, double value)
{
    char text[FORMAT_BYTES];
    fprintf(to, "<td>%s</td>", format_count(text, value));
}

static void put_operations(FILE *to, const struct phase *p)
{
    fprintf(to, "<div class=\"table\"><table><tr><th>operation</th><th>count</th><th>ops/s</th>");
    for (int i = 0; i < REPORT_PERCENTILE_COUNT; i++)
        fprintf(to, "<th>%s µs</th>", report_percentiles[i].name);
    fprintf(to, "<th>max µs</th><th>errors</th></tr>\n");
    for (int op = 0; op < OPERATION_COUNT; op++) {
        const struct histogram *h = &p->tally.latency[op];
        if (histogram_count(h) + p->tally.errors[op] == 0)
            continue;
        fprintf(to, "<tr><td>%s</td>", operation_name((enum operation)op));
        put_count(to, (double)histogram_count(h));
        put_count(to, (double)histogram_count(h) / p->wall_s);
        for (int i = 0; i < REPORT_PERCENTILE_COUNT; i++)
            put_us(to, (double)histogram_percentile(h, report_percentiles[i].per_cent) / 1e3);
        put_us(to, (double)histogram_max(h) / 1e3);
        put_count(to, (double)p->tally.errors[op]);
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></div>\n");
}

static void put_outcomes(FILE *to, const struct phase *p)
{
    if (p->tally.outcomes.kinds == 0)
        return;
    fprintf(to, "<div class=\"table words\"><table><tr><th>error</th><th>count</th><th>meaning</th></tr>\n");
    for (uint32_t i = 0; i < p->tally.outcomes.kinds; i++) {
        const struct outcome_row *row = &p->tally.outcomes.rows[i];
        fprintf(to, "<tr><td>%s</td>", outcome_name(row->code));
        put_count(to, (double)row->count);
        fprintf(to, "<td>");
        plot_escaped(to, outcome_sentence(row->code));
        fprintf(to, "</td></tr>\n");
    }
    fprintf(to, "</table></div>\n");
}

static void put_schedule(FILE *to, const struct phase *p)
{
    char late[FORMAT_BYTES];
    if (p->is_open_loop)
        fprintf(to,
                "<p>Open loop: %lu requests left late by the client's own doing (at most %s), %lu times all "
                "connections were "
                "full when one was due, %lu were never sent.</p>\n",
                p->late_count, format_duration(late, p->late_max_ns), p->blocked_count, p->unsent_count);
}

static void put_seconds(FILE *to, const struct phase *p)
{
    fprintf(to, "<details><summary>The numbers of each second</summary><div class=\"table\"><table>"
                "<tr><th>end, s</th><th>ops/s</th><th>errors</th><th>p50 µs</th><th>p99 µs</th><th>max "
                "µs</th></tr>\n");
    for (uint32_t i = 0; i < p->second_count; i++) {
        const struct phase_second *s = &p->seconds[i];
        fprintf(to, "<tr><td>%.1f</td>", s->at_s);
        put_count(to, (double)s->done / s->length_s);
        put_count(to, (double)s->errors);
        put_us(to, (double)s->p50_ns / 1e3);
        put_us(to, (double)s->p99_ns / 1e3);
        put_us(to, (double)s->max_ns / 1e3);
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></div></details>\n");
}

static void put_stages(FILE *to, const struct phase *p)
{
    double longest = 0.0;
    for (uint32_t i = 0; i < p->stage_count; i++)
        longest = fmax(longest, p->stages[i].p50_us);
    if (p->stage_count == 0)
        return;
    fprintf(
        to,
        "<h2>Where a request's time goes in the server</h2>\n<div class=\"table\"><table><tr><th>stage</th>"
        "<th>samples</th><th>p50 µs</th><th>p90 µs</th><th>p99 µs</th><th>max µs</th>"
        "<th style=\"text-align:left;width:30%%\">p50</th></tr>\n");
    for (uint32_t i = 0; i < p->stage_count; i++) {
        const struct phase_stage *s = &p->stages[i];
        fprintf(to, "<tr><td>");
        plot_escaped(to, s->name);
        fprintf(to, "</td>");
        put_count(to, (double)s->count);
        put_us(to, s->p50_us);
        put_us(to, s->p90_us);
        put_us(to, s->p99_us);
        put_us(to, s->max_us);
        fprintf(
            to,
            "<td style=\"text-align:left\"><span class=\"bar\" style=\"width:%.1f%%\"></span></td></tr>\n",
            longest > 0.0 ? 100.0 * s->p50_us / longest : 0.0);
    }
    fprintf(to, "</table></div>\n");
}

static void put_phase(FILE *to, const struct phase *p)
{
    struct histogram all;
    char count[FORMAT_BYTES];
    recorder_latency(&p->tally, &all);
    fprintf(to, "<h2>%s: %s operations in %.2f s</h2>\n", strcmp(p->name, "load") == 0 ? "Load" : "Run",
            format_count(count, (double)histogram_count(&all)), p->wall_s);
    put_cards(to, p, &all);
    put_plots(to, p, &all);
    put_operations(to, p);
    put_outcomes(to, p);
    put_schedule(to, p);
    put_seconds(to, p);
    put_stages(to, p);
}

int report_html(FILE *to, const struct report *r)
{
    put_head(to, r);
    for (uint32_t i = r->phase_count; i > 0; i--) /* the run before its load */
        put_phase(to, &r->phases[i - 1]);
    fprintf(to, "</main></body></html>\n");
    return ferror(to) ? -EIO : 0;
}
