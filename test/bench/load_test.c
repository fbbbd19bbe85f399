/* load_test.c - the loop against a server in a time of its own: what is sent, and how long it is said to have
 * taken. */
#include "bench/load.h"

#include "test/bench/fake_driver.h"
#include "test/test.h"

#include <stdlib.h>

#define MS 1000000ull
#define SECOND 1000000000ull

struct bed {
    struct load load;
    struct fake_driver fake;
};

static struct load_plan plan_of(const char *workload)
{
    struct load_plan p = {
        .key_count = 1000,
        .thread_count = 1,
        .connections = 2,
        .depth = 1,
        .seed = 1,
    };
    CU_ASSERT_FATAL(workload_find(workload, 0.5, &p.workload));
    CU_ASSERT_FATAL(keyspace_init(&p.keys, (struct byte_range){20, 20}, (struct byte_range){100, 100}, 1000));
    distribution_init(&p.distribution, p.workload.distribution, p.key_count, 0.99);
    return p;
}

static struct bed *bed_open(const struct load_plan *plan)
{
    struct bed *b = calloc(1, sizeof *b);
    CU_ASSERT_FATAL(b != NULL);
    CU_ASSERT_EQUAL_FATAL(load_init(&b->load, plan), 0);
    fake_driver_init(&b->fake, &b->load);
    b->load.driver = &b->fake.head;
    return b;
}

static void bed_close(struct bed *b)
{
    load_deinit(&b->load);
    free(b);
}

static void bed_run(struct bed *b)
{
    CU_ASSERT_EQUAL(load_run(&b->load), 0);
}

static uint64_t count_above(const struct histogram *h, uint64_t ns)
{
    uint64_t count = 0;
    for (struct histogram_iterator i = {0}; histogram_next(h, &i);)
        count += i.low >= ns ? i.count : 0;
    return count;
}

/* ---- coordinated omission ---- */

TEST(an_open_loop_shows_a_stall_in_the_latency_of_all_that_were_due_in_it)
{
    struct load_plan plan = plan_of("get");
    plan.rate = 1000.0;
    plan.duration_ns = 10 * SECOND;
    struct bed *b = bed_open(&plan);
    b->fake.stall_begin_ns = b->fake.now_ns + 5 * SECOND;
    b->fake.stall_ns = SECOND;
    bed_run(b);
    const struct histogram *h = &b->load.recorder.total.latency[OPERATION_GET];
    CU_ASSERT_EQUAL(histogram_count(h), 10000);
    /* A thousand were due while it stalled, and wait 1 s to 0 s. */
    uint64_t slow = count_above(h, 100 * MS);
    CU_ASSERT(slow > 880 && slow < 930);
    uint64_t p95 = histogram_percentile(h, 95.0);
    CU_ASSERT(p95 > 450 * MS && p95 < 550 * MS);
    CU_ASSERT(histogram_max(h) > 980 * MS && histogram_max(h) < 1020 * MS);
    CU_ASSERT(b->load.blocked_count > 0);
    CU_ASSERT_EQUAL(b->load.late_count, 0);
    bed_close(b);
}

TEST(a_closed_loop_sees_the_same_stall_once_for_each_slot)
{
    struct load_plan plan = plan_of("get");
    plan.duration_ns = 10 * SECOND;
    struct bed *b = bed_open(&plan);
    b->fake.stall_begin_ns = b->fake.now_ns + 5 * SECOND;
    b->fake.stall_ns = SECOND;
    bed_run(b);
    CU_ASSERT_EQUAL(count_above(&b->load.recorder.total.latency[OPERATION_GET], 100 * MS), 2);
    bed_close(b);
}

TEST(an_open_loop_sends_at_its_rate_and_measures_from_when_it_was_due)
{
    struct load_plan plan = plan_of("get");
    plan.rate = 2000.0;
    plan.duration_ns = 2 * SECOND;
    struct bed *b = bed_open(&plan);
    bed_run(b);
    const struct histogram *h = &b->load.recorder.total.latency[OPERATION_GET];
    CU_ASSERT_EQUAL(histogram_count(h), 4000);
    CU_ASSERT(histogram_max(h) >= b->fake.service_ns && histogram_max(h) < 2 * b->fake.service_ns);
    CU_ASSERT_EQUAL(b->load.blocked_count + b->load.late_count + b->load.unsent_count, 0);
    bed_close(b);
}

TEST(a_client_that_is_busy_elsewhere_is_told_to_be_late)
{
    struct load_plan plan = plan_of("get");
    plan.rate = 1000.0;
    plan.duration_ns = SECOND;
    plan.connections = 64;
    struct bed *b = bed_open(&plan);
    b->fake.poll_ns = 5 * MS;
    bed_run(b);
    CU_ASSERT(b->load.late_count > 500);
    CU_ASSERT(b->load.late_max_ns >= 4 * MS);
    CU_ASSERT_EQUAL(b->load.blocked_count, 0);
    CU_ASSERT_EQUAL(histogram_count(&b->load.recorder.total.latency[OPERATION_GET]), 1000);
    bed_close(b);
}

TEST(a_server_slower_than_the_rate_leaves_requests_unsent_and_that_is_told)
{
    struct load_plan plan = plan_of("get");
    plan.rate = 1000.0;
    plan.duration_ns = 10 * SECOND;
    struct bed *b = bed_open(&plan);
    b->fake.service_ns = 10 * MS; /* 100 a second */
    bed_run(b);
    uint64_t done = histogram_count(&b->load.recorder.total.latency[OPERATION_GET]);
    CU_ASSERT(done > 1900 && done < 2100); /* 10 s and the 10 s to drain */
    CU_ASSERT(b->load.unsent_count > 7900 && b->load.unsent_count + done + b->load.unanswered_count >= 9999);
    CU_ASSERT_EQUAL(b->load.late_count, 0);
    bed_close(b);
}

/* ---- what is sent ---- */

TEST(a_closed_loop_ends_after_exactly_so_many_operations)
{
    struct load_plan plan = plan_of("a");
    plan.operation_limit = 1234;
    plan.connections = 3;
    plan.depth = 7;
    struct bed *b = bed_open(&plan);
    bed_run(b);
    CU_ASSERT_EQUAL(recorder_done_count(&b->load.recorder.total), 1234);
    CU_ASSERT_EQUAL(b->fake.sent, 1234);
    bed_close(b);
}

struct key_set {
    struct keyspace keys;
    uint8_t times[1000];
    uint64_t strangers;
};

static int count_key(void *context, const struct fake_request *q, struct slice *value)
{
    (void)value;
    struct key_set *set = context;
    for (uint64_t i = 0; i < ARRAY_COUNT(set->times); i++) {
        uint8_t key[KEYSPACE_KEY_BYTES_MAX];
        uint32_t bytes = keyspace_key(&set->keys, i, key);
        if (bytes != q->key_bytes || memcmp(key, q->key, bytes) != 0)
            continue;
        set->times[i]++;
        return keyspace_value_belongs(&set->keys, i, slice_of(q->value, q->value_bytes)) ? 0
                                                                                         : TORC_E_MALFORMED;
    }
    set->strangers++;
    return 0;
}

TEST(the_load_phase_of_all_threads_writes_each_key_once_with_a_value_of_its_own)
{
    struct key_set set = {.strangers = 0};
    for (uint32_t thread = 0; thread < 3; thread++) {
        struct load_plan plan = plan_of("get");
        plan.is_loading = true;
        plan.thread_index = thread;
        plan.thread_count = 3;
        set.keys = plan.keys;
        struct bed *b = bed_open(&plan);
        b->fake.answer = count_key;
        b->fake.context = &set;
        bed_run(b);
        CU_ASSERT_EQUAL(recorder_error_count(&b->load.recorder.total), 0);
        bed_close(b);
    }
    for (size_t i = 0; i < ARRAY_COUNT(set.times); i++)
        CU_ASSERT_EQUAL(set.times[i], 1);
    CU_ASSERT_EQUAL(set.strangers, 0);
}

struct modify_log {
    uint64_t gets, puts, mismatches;
    struct fake_request last_get;
};

static int log_modify(void *context, const struct fake_request *q, struct slice *value)
{
    (void)value;
    struct modify_log *log = context;
    if (q->op == OPERATION_GET) {
        log->gets++;
        log->last_get = *q;
    } else {
        log->puts++;
        log->mismatches += memcmp(q->key, log->last_get.key, q->key_bytes) != 0;
    }
    return 0;
}

TEST(a_read_modify_write_is_a_get_and_a_put_of_one_key_counted_once)
{
    struct load_plan plan = plan_of("f");
    plan.operation_limit = 1000;
    plan.connections = 1;
    struct modify_log log = {0};
    struct bed *b = bed_open(&plan);
    b->fake.answer = log_modify;
    b->fake.context = &log;
    bed_run(b);
    const struct histogram *modified = &b->load.recorder.total.latency[OPERATION_MODIFY];
    CU_ASSERT_EQUAL(log.gets, 1000);
    CU_ASSERT_EQUAL(log.puts, histogram_count(modified));
    CU_ASSERT_EQUAL(log.mismatches, 0);
    CU_ASSERT_EQUAL(recorder_done_count(&b->load.recorder.total), 1000);
    CU_ASSERT(histogram_min(modified) >= 2 * b->fake.service_ns);
    bed_close(b);
}

TEST(the_latest_keys_are_read_only_after_their_insert_was_answered)
{
    struct load_plan plan = plan_of("d");
    plan.operation_limit = 20000;
    plan.connections = 8;
    struct bed *b = bed_open(&plan);
    bed_run(b);
    uint64_t inserted = histogram_count(&b->load.recorder.total.latency[OPERATION_INSERT]);
    CU_ASSERT(inserted > 800 && inserted < 1200);
    CU_ASSERT_EQUAL(b->load.inserts->acknowledged, inserted);
    CU_ASSERT_EQUAL(b->load.inserts->next, inserted);
    bed_close(b);
}

/* ---- what fails ---- */

static int refuse_some(void *context, const struct fake_request *q, struct slice *value)
{
    (void)q, (void)value;
    uint64_t *count = context;
    return ++*count % 10 == 0 ? TORC_E_OVERLOADED : 0;
}

TEST(a_put_of_the_load_phase_that_found_no_room_is_repeated)
{
    struct load_plan plan = plan_of("get");
    plan.is_loading = true;
    uint64_t count = 0;
    struct bed *b = bed_open(&plan);
    b->fake.answer = refuse_some;
    b->fake.context = &count;
    bed_run(b);
    CU_ASSERT_EQUAL(histogram_count(&b->load.recorder.total.latency[OPERATION_INSERT]), 1000);
    CU_ASSERT_EQUAL(b->load.recorder.total.retries, b->fake.sent - 1000);
    CU_ASSERT(b->load.recorder.total.retries >= 100);
    CU_ASSERT_EQUAL(b->load.recorder.total.outcomes.kinds, 0);
    bed_close(b);
}

static int answer_other_value(void *context, const struct fake_request *q, struct slice *value)
{
    (void)q;
    *value = *(struct slice *)context;
    return 0;
}

TEST(a_value_of_another_key_is_an_error_when_values_are_verified)
{
    struct load_plan plan = plan_of("get");
    plan.is_verifying = true;
    plan.operation_limit = 10;
    plan.key_count = 5;
    distribution_init(&plan.distribution, DISTRIBUTION_UNIFORM, 5, 0.0);
    uint8_t bytes[108];
    struct slice value = slice_of(bytes, keyspace_value(&plan.keys, 999, 1, bytes));
    struct bed *b = bed_open(&plan);
    b->fake.answer = answer_other_value;
    b->fake.context = &value;
    bed_run(b);
    CU_ASSERT_EQUAL(b->load.recorder.total.errors[OPERATION_GET], 10);
    CU_ASSERT_EQUAL(b->load.recorder.total.outcomes.rows[0].code, DRIVER_E_VALUE);
    bed_close(b);
}

static int answer_absent(void *context, const struct fake_request *q, struct slice *value)
{
    (void)context, (void)q, (void)value;
    return TORC_E_NOT_FOUND;
}

TEST(a_get_of_an_absent_key_is_done_and_counted_as_a_miss)
{
    struct load_plan plan = plan_of("get");
    plan.operation_limit = 100;
    struct bed *b = bed_open(&plan);
    b->fake.answer = answer_absent;
    bed_run(b);
    CU_ASSERT_EQUAL(recorder_done_count(&b->load.recorder.total), 100);
    CU_ASSERT_EQUAL(b->load.recorder.total.misses, 100);
    CU_ASSERT_EQUAL(recorder_error_count(&b->load.recorder.total), 0);
    bed_close(b);
}

/* Answers for a server that holds what the load has written. */
static int answer_loaded(void *context, const struct fake_request *q, struct slice *value)
{
    const struct keyspace *keys = context;
    uint8_t key[KEYSPACE_KEY_BYTES_MAX];
    (void)value;
    for (uint64_t i = 0; i < 1000; i++)
        if (slice_equal(slice_of(key, keyspace_key(keys, i, key)), slice_of(q->key, q->key_bytes)))
            return 0;
    return TORC_E_NOT_FOUND;
}

TEST(the_workload_absent_asks_only_for_keys_that_no_load_writes)
{
    const struct {
        const char *workload;
        uint64_t misses;
    } rows[] = {{"get", 0}, {"absent", 100}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct load_plan plan = plan_of(rows[i].workload);
        plan.operation_limit = 100;
        struct bed *b = bed_open(&plan);
        b->fake.answer = answer_loaded;
        b->fake.context = &plan.keys;
        bed_run(b);
        CU_ASSERT_EQUAL(recorder_done_count(&b->load.recorder.total), 100);
        CU_ASSERT_EQUAL(b->load.recorder.total.misses, rows[i].misses);
        bed_close(b);
    }
}

static int expect_empty_prefix(void *context, const struct fake_request *q, struct slice *value)
{
    (void)context, (void)value;
    CU_ASSERT(q->op == OPERATION_SCAN && q->key_bytes == 0);
    return 0;
}

TEST(a_walk_is_a_scan_without_a_prefix)
{
    struct load_plan plan = plan_of("walk");
    plan.operation_limit = 3;
    struct bed *b = bed_open(&plan);
    b->fake.answer = expect_empty_prefix;
    bed_run(b);
    CU_ASSERT_EQUAL(histogram_count(&b->load.recorder.total.latency[OPERATION_SCAN]), 3);
    bed_close(b);
}

TEST(a_request_that_is_never_answered_does_not_keep_the_loop_forever)
{
    struct load_plan plan = plan_of("get");
    plan.operation_limit = 100;
    struct bed *b = bed_open(&plan);
    b->fake.lost_slot = 1;
    bed_run(b);
    CU_ASSERT_EQUAL(b->load.unanswered_count, 1);
    CU_ASSERT_EQUAL(recorder_done_count(&b->load.recorder.total), 99);
    CU_ASSERT_EQUAL(b->load.recorder.total.outcomes.rows[0].code, TORC_E_TIMEOUT);
    bed_close(b);
}

TEST(a_refused_send_is_an_error_and_the_slot_goes_on)
{
    struct load_plan plan = plan_of("get");
    plan.operation_limit = 100;
    struct bed *b = bed_open(&plan);
    b->fake.refused_sends = 7;
    bed_run(b);
    CU_ASSERT_EQUAL(recorder_error_count(&b->load.recorder.total), 7);
    CU_ASSERT_EQUAL(recorder_done_count(&b->load.recorder.total), 93);
    bed_close(b);
}

/* ---- seconds ---- */

struct second_log {
    uint64_t seconds, done;
};

static void log_second(void *owner, struct load *l, uint64_t second_index)
{
    struct second_log *log = owner;
    CU_ASSERT_EQUAL(second_index, log->seconds);
    log->seconds++;
    log->done += recorder_done_count(&l->recorder.second);
}

TEST(the_seconds_add_up_to_the_whole)
{
    struct load_plan plan = plan_of("b");
    plan.duration_ns = 3500 * MS;
    struct second_log log = {0};
    struct bed *b = bed_open(&plan);
    b->load.on_second = log_second;
    b->load.owner = &log;
    bed_run(b);
    CU_ASSERT_EQUAL(log.seconds, 4);
    CU_ASSERT_EQUAL(log.done, recorder_done_count(&b->load.recorder.total));
    bed_close(b);
}
