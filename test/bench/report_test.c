/* report_test.c - what the reports say, and what is said about who was the limit. */
#include "bench/report.h"

#include "bench/format.h"
#include "bench/plot.h"
#include "test/test.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static struct options options_of_test(void)
{
    struct options o = {
        .class = &driver_null,
        .host = "<host>",
        .port = "1",
        .workload_name = "a",
        .theta = 0.99,
        .keys = 1000,
        .key_bytes = {20, 20},
        .value_bytes = {100, 200},
        .connections = 2,
        .depth = 3,
        .threads = 1,
    };
    CU_ASSERT_FATAL(workload_find("a", 0.5, &o.workload));
    return o;
}

/* A phase of a thousand gets that took 1 us to 1 ms, and two failed puts. */
static struct phase *phase_of_test(void)
{
    struct phase *p = calloc(1, sizeof *p);
    CU_ASSERT_FATAL(p != NULL);
    p->name = "run";
    p->wall_s = 2.0;
    p->server_cpu_share = -1.0;
    p->seconds = calloc(2, sizeof p->seconds[0]);
    CU_ASSERT_FATAL(p->seconds != NULL);
    for (uint32_t i = 0; i < 2; i++)
        p->seconds[p->second_count++] = (struct phase_second){.at_s = i + 1.0,
                                                              .length_s = 1.0,
                                                              .done = 500,
                                                              .p50_ns = 500000,
                                                              .p99_ns = 990000,
                                                              .max_ns = 1000000};
    for (uint64_t us = 1; us <= 1000; us++)
        histogram_record(&p->tally.latency[OPERATION_GET], us * 1000);
    p->tally.errors[OPERATION_PUT] = 2;
    outcome_add(&p->tally.outcomes, TORC_E_DISK_FULL, 2);
    return p;
}

static void phase_close(struct phase *p)
{
    phase_deinit(p);
    free(p);
}

static char *text_of(void (*write)(FILE *to, const struct report *r), const struct report *r)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    CU_ASSERT_FATAL(f != NULL);
    write(f, r);
    fclose(f);
    return text;
}

static void write_text(FILE *to, const struct report *r)
{
    report_text(to, &r->phases[0]);
}

static void write_html(FILE *to, const struct report *r)
{
    CU_ASSERT_EQUAL(report_html(to, r), 0);
}

TEST(the_table_has_the_percentiles_and_the_errors_by_code)
{
    struct options o = options_of_test();
    struct phase *p = phase_of_test();
    char *text = text_of(write_text, &(struct report){.options = &o, .phases = p, .phase_count = 1});
    CU_ASSERT(strstr(text, "1,000 operations in 2.00 s, 500 ops/s") != NULL);
    CU_ASSERT(strstr(text, "p99.99") != NULL);
    CU_ASSERT(strstr(text, "DISK_FULL") != NULL);
    CU_ASSERT(strstr(text, "p99 of a second: median 990 us, worst 990 us (1.0 times)") != NULL);
    free(text);
    phase_close(p);
}

TEST(what_had_no_answer_is_told_with_the_time_that_it_had)
{
    struct options o = options_of_test();
    struct phase *p = phase_of_test();
    p->unanswered_count = 3;
    p->drain_ms = load_drain_ms(&o.workload);
    char *text = text_of(write_text, &(struct report){.options = &o, .phases = p, .phase_count = 1});
    CU_ASSERT(strstr(text, "3 requests were not answered within 10 s of the end") != NULL);
    free(text);
    o.workload.walks_all = true;
    p->drain_ms = load_drain_ms(&o.workload);
    text = text_of(write_text, &(struct report){.options = &o, .phases = p, .phase_count = 1});
    CU_ASSERT(strstr(text, "3 requests were not answered within 3600 s of the end") != NULL);
    free(text);
    phase_close(p);
}

TEST(the_json_is_whole_and_its_percentiles_are_those_of_the_values)
{
    struct options o = options_of_test();
    struct phase *p = phase_of_test();
    char *text = report_json(&(struct report){.options = &o, .phases = p, .phase_count = 1});
    CU_ASSERT_FATAL(text != NULL);
    json_t *root = json_loads(text, 0, NULL);
    const json_t *phase = json_array_get(json_object_get(root, "phases"), 0);
    const json_t *get = json_array_get(json_object_get(phase, "operations"), 0);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(get, "count")), 1000);
    CU_ASSERT_DOUBLE_EQUAL(json_number_value(json_object_get(get, "p50_us")), 500.0, 500.0 / 64);
    CU_ASSERT_DOUBLE_EQUAL(json_number_value(json_object_get(get, "p99_us")), 990.0, 990.0 / 64);
    CU_ASSERT_EQUAL(json_number_value(json_object_get(get, "max_us")), 1000.0);
    CU_ASSERT_EQUAL(json_number_value(json_object_get(phase, "ops_per_s")), 500.0);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(phase, "seconds")), 2);
    const json_t *steadiness = json_object_get(phase, "steadiness");
    CU_ASSERT_EQUAL(json_number_value(json_object_get(steadiness, "p99_worst_us")), 990.0);
    CU_ASSERT_EQUAL(json_number_value(json_object_get(steadiness, "p99_worst_ratio")), 1.0);
    CU_ASSERT(json_is_null(json_object_get(phase, "server_cpu_share")));
    size_t counted = 0;
    const json_t *histogram = json_object_get(get, "histogram");
    for (size_t i = 0; i < json_array_size(histogram); i++)
        counted += (size_t)json_integer_value(json_array_get(json_array_get(histogram, i), 1));
    CU_ASSERT_EQUAL(counted, 1000);
    json_decref(root);
    free(text);
    phase_close(p);
}

TEST(the_page_needs_no_network_and_escapes_what_it_was_given)
{
    struct options o = options_of_test();
    struct phase *p = phase_of_test();
    o.class = &driver_torc;
    snprintf(p->stages[0].name, sizeof p->stages[0].name, "<script>");
    p->stages[0].p50_us = 3.0;
    p->stage_count = 1;
    char *text = text_of(write_html, &(struct report){.options = &o, .phases = p, .phase_count = 1});
    CU_ASSERT(strstr(text, "http") == NULL);
    CU_ASSERT(strstr(text, "<script>") == NULL);
    CU_ASSERT(strstr(text, "&lt;script&gt;") != NULL);
    CU_ASSERT(strstr(text, "&lt;host&gt;") != NULL);
    CU_ASSERT(strstr(text, "nan") == NULL && strstr(text, "inf") == NULL);
    CU_ASSERT(strstr(text, "polyline") != NULL && strstr(text, "</html>") != NULL);
    free(text);
    phase_close(p);
}

TEST(a_phase_in_which_nothing_succeeded_is_reported_too)
{
    struct options o = options_of_test();
    struct phase p = {.name = "run", .wall_s = 1e-9, .server_cpu_share = -1.0};
    struct report r = {.options = &o, .phases = &p, .phase_count = 1};
    char *html = text_of(write_html, &r), *text = text_of(write_text, &r), *json = report_json(&r);
    CU_ASSERT(strstr(html, "nan") == NULL && strstr(html, "</html>") != NULL);
    CU_ASSERT(strstr(text, "0 operations") != NULL);
    CU_ASSERT(json != NULL);
    free(html);
    free(text);
    free(json);
}

TEST(the_client_is_the_limit_only_when_it_is_busy_and_the_server_is_not)
{
    CU_ASSERT_EQUAL(phase_judge(0.99, 0.60), PHASE_LIMIT_CLIENT);
    CU_ASSERT_EQUAL(phase_judge(0.99, -1.0), PHASE_LIMIT_CLIENT);
    CU_ASSERT_EQUAL(phase_judge(0.60, 0.99), PHASE_LIMIT_SERVER);
    CU_ASSERT_EQUAL(phase_judge(0.99, 0.99), PHASE_LIMIT_BOTH);
    CU_ASSERT_EQUAL(phase_judge(0.30, 0.30), PHASE_LIMIT_NEITHER);
    CU_ASSERT_EQUAL(phase_judge(0.30, -1.0), PHASE_LIMIT_UNKNOWN);
}

TEST(numbers_that_other_programs_disturbed_are_marked)
{
    struct phase p = {.client_wait_share = 0.01, .server_wait_share = -1.0};
    CU_ASSERT(!phase_is_disturbed(&p));
    p.server_wait_share = 0.2;
    CU_ASSERT(phase_is_disturbed(&p));
    p.server_cpu_share = 0.97; /* its threads waited for each other */
    CU_ASSERT(!phase_is_disturbed(&p));
    p.server_wait_share = 0.0;
    p.client_wait_share = 0.11;
    CU_ASSERT(phase_is_disturbed(&p));
}

TEST(stages_are_read_from_the_servers_json_and_garbage_is_refused)
{
    struct phase *p = phase_of_test();
    CU_ASSERT_EQUAL(
        phase_parse_stages(p, "{\"stages\":[{\"name\":\"durable\",\"count\":7,\"p50_us\":1.5,\"p90_us\":2,"
                              "\"p99_us\":3,\"max_us\":4},{\"name\":5}]}"),
        0);
    CU_ASSERT_EQUAL_FATAL(p->stage_count, 1);
    CU_ASSERT_STRING_EQUAL(p->stages[0].name, "durable");
    CU_ASSERT_EQUAL(p->stages[0].count, 7);
    CU_ASSERT_EQUAL(p->stages[0].p50_us, 1.5);
    CU_ASSERT_EQUAL(p->stages[0].p90_us, 2.0);
    CU_ASSERT_EQUAL(phase_parse_stages(p, "{\"stages\":7}"), TORC_E_MALFORMED);
    CU_ASSERT_EQUAL(phase_parse_stages(p, "not json"), TORC_E_MALFORMED);
    CU_ASSERT_EQUAL(p->stage_count, 0);
    phase_close(p);
}

TEST(numbers_are_written_for_people)
{
    char text[FORMAT_BYTES];
    CU_ASSERT_STRING_EQUAL(format_count(text, 1234567.0), "1,234,567");
    CU_ASSERT_STRING_EQUAL(format_count(text, 999.0), "999");
    CU_ASSERT_STRING_EQUAL(format_count(text, 0.0), "0");
    CU_ASSERT_STRING_EQUAL(format_duration(text, 812), "812 ns");
    CU_ASSERT_STRING_EQUAL(format_duration(text, 61234), "61.2 us");
    CU_ASSERT_STRING_EQUAL(format_duration(text, 3140000), "3.14 ms");
    CU_ASSERT_STRING_EQUAL(format_duration(text, 1020000000), "1.02 s");
}
