/* deadline_test.c - a disk that hangs: every request ends by its deadline all the same, once, and the server
 * goes on when the disk does. */
#include "test/sim/server_rig.h"

#include <stdio.h>

enum {
    NS_PER_MS = 1000000,
    ALWAYS = 1000000,
    LATE_MS = 60, /* the pause between sweeps, and some turns */
    TIMEOUT_MS = 2000,
    STOP_MS = 100,
    KEYS = 300,
    READS = 400, /* more than there are tasks */
};

static const uint64_t STUCK_NS = 61ull * 1000000000ull;
static const uint64_t HELD_NS = 25ull * 1000000000ull; /* not as long as an end has patience */

static bool is_timely(const struct rig_answer *a, uint64_t deadline_ms)
{
    uint64_t took_ms = (a->answered_ns - a->asked_ns) / NS_PER_MS;
    return took_ms >= deadline_ms && took_ms <= deadline_ms + LATE_MS;
}

static void open_with(struct server_rig *rig, unsigned cores)
{
    server_rig_open(rig, cores);
    rig->server.options.request_timeout_ms = TIMEOUT_MS;
    server_rig_start(rig);
}

static struct rig_request put_of(const char *key, const char *value)
{
    return (struct rig_request){.op = FRAME_PUT, .key = key, .value = slice_of_string(value)};
}

static struct rig_request get_of(const char *key)
{
    return (struct rig_request){.op = FRAME_GET, .key = key};
}

/* ---- writes ---- */

static void put_one(struct server_rig *rig)
{
    struct rig_request q = put_of("key", "before");
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
}

static void put_late(struct server_rig *rig)
{
    struct rig_request q = put_of("key", "after"), hurried = put_of("other", "value");
    hurried.deadline_ms = 150;
    unsigned patient = rig_ask(rig, &q), first = rig_ask(rig, &hurried);
    struct rig_request get = get_of("key");
    unsigned read = rig_ask(rig, &get); /* from memory: it does not wait for the disk */
    rig_await(rig);
    CU_ASSERT_EQUAL(rig->answers[first].code, TORC_E_TIMEOUT);
    CU_ASSERT(is_timely(&rig->answers[first], 150));
    CU_ASSERT_EQUAL(rig->answers[patient].code, TORC_E_TIMEOUT);
    CU_ASSERT(is_timely(&rig->answers[patient], TIMEOUT_MS));
    CU_ASSERT_EQUAL(rig->answers[read].code, 0);
    CU_ASSERT(is_timely(&rig->answers[read], 0));
    CU_ASSERT_EQUAL(memcmp(rig->answers[read].value, "before", 6), 0);
}

/* And until the disk has gone on. */
static void run_while_stuck(struct server_rig *rig, void (*body)(struct server_rig *rig))
{
    server_rig_set_fault(rig, SIM_STUCK_DISK, ALWAYS);
    server_rig_run(rig, body);
    server_rig_set_fault(rig, SIM_STUCK_DISK, 0);
    server_rig_sleep(rig, 2 * STUCK_NS);
}

static void get_after(struct server_rig *rig)
{
    struct rig_request q = get_of("key");
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    CU_ASSERT_EQUAL(memcmp(rig->answers[0].value, "after", 5), 0);
    q = get_of("other");
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    q = put_of("key", "again");
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
}

static void writes_end_by_their_deadline(unsigned cores)
{
    struct server_rig rig;
    open_with(&rig, cores);
    server_rig_run(&rig, put_one);
    run_while_stuck(&rig, put_late);
    server_rig_run(&rig, get_after); /* the writes have gone on */
    server_rig_stop(&rig);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.server.node).heap_bytes, 0);
    server_rig_close(&rig);
}

TEST(server_answers_writes_by_their_deadline_while_the_disk_hangs)
{
    writes_end_by_their_deadline(1);
}

TEST(server_answers_writes_of_other_cores_by_their_deadline)
{
    writes_end_by_their_deadline(3);
}

/* ---- reads ---- */

static const char *key_of(unsigned n, char to[16])
{
    snprintf(to, 16, "key-%03u", n % KEYS);
    return to;
}

static void put_many(struct server_rig *rig)
{
    char key[16], value[1000];
    memset(value, 'v', sizeof value);
    for (unsigned n = 0; n < KEYS; n++) {
        struct rig_request q = {.op = FRAME_PUT,
                                .key = key_of(n, key),
                                .value = slice_of(value, sizeof value)};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

/* Some of the keys may be in memory. A connection that has too much unanswered is not read for a while: what
 * it has asked waits, and its time runs. */
static void read_late(struct server_rig *rig)
{
    char key[16];
    unsigned late = 0;
    for (unsigned n = 0; n < READS; n++) {
        struct rig_request q = get_of(key_of(n, key));
        q.deadline_ms = n % 4 == 0 ? 300 : 0;
        rig_ask(rig, &q);
    }
    struct rig_request scan = {.op = FRAME_SCAN};
    unsigned page = rig_ask(rig, &scan);
    rig_await(rig);
    for (unsigned n = 0; n < READS; n++) {
        const struct rig_answer *a = &rig->answers[n];
        unsigned deadline_ms = n % 4 == 0 ? 300 : TIMEOUT_MS;
        CU_ASSERT(a->code == TORC_E_TIMEOUT || a->code == 0);
        CU_ASSERT(is_timely(a, a->code == 0 ? 0 : deadline_ms));
        late += a->code == TORC_E_TIMEOUT;
    }
    CU_ASSERT(late > READS / 2);
    CU_ASSERT_EQUAL(rig->answers[page].code, TORC_E_TIMEOUT);
}

static void read_again(struct server_rig *rig)
{
    char key[16];
    for (unsigned n = 0; n < KEYS; n++) {
        struct rig_request q = get_of(key_of(n, key));
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

static void reads_end_by_their_deadline(unsigned cores)
{
    struct server_rig rig;
    open_with(&rig, cores);
    server_rig_run(&rig, put_many);
    server_rig_stop(&rig);
    server_rig_start(&rig); /* with nothing in its caches */
    run_while_stuck(&rig, read_late);
    server_rig_run(&rig, read_again);
    server_rig_stop(&rig);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.server.node).heap_bytes, 0);
    server_rig_close(&rig);
}

TEST(server_answers_reads_by_their_deadline_while_all_its_tasks_hang)
{
    reads_end_by_their_deadline(1);
}

TEST(server_answers_reads_of_other_cores_by_their_deadline)
{
    reads_end_by_their_deadline(2);
}

/* Those that came first fill the log's buffer and end soon; those behind them wait to be looked at, longer
 * than a connection may be idle. */
static void ask_behind_a_full_log(struct server_rig *rig)
{
    enum { PUTS = 900, GETS = 10 };
    static const char value[4000];
    char key[16];
    unsigned answered = 0;
    for (unsigned n = 0; n < PUTS + GETS; n++) {
        struct rig_request q = {.op = FRAME_PUT, .key = key_of(n, key), .deadline_ms = 150};
        q.value = slice_of(value, sizeof value);
        if (n >= PUTS)
            q = (struct rig_request){.op = FRAME_GET, .key = key, .deadline_ms = 5000};
        rig_ask(rig, &q);
    }
    rig_await(rig);
    for (unsigned n = 0; n < PUTS + GETS; n++)
        answered += rig->answers[n].count == 1;
    CU_ASSERT_EQUAL(answered, PUTS + GETS);
}

static void wait_longer_than(uint64_t idle_timeout_ms, uint64_t write_timeout_ms)
{
    struct server_rig rig;
    server_rig_open(&rig, 1);
    rig.server.options.idle_timeout_ms = idle_timeout_ms;
    rig.server.options.write_timeout_ms = write_timeout_ms;
    server_rig_start(&rig);
    run_while_stuck(&rig, ask_behind_a_full_log);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}

TEST(server_does_not_take_a_connection_whose_requests_wait_for_an_idle_one)
{
    wait_longer_than(200, 0);
}

TEST(server_does_not_take_a_connection_that_it_does_not_read_for_one_that_does_not_send_on)
{
    wait_longer_than(0, 200);
}

/* ---- batches ---- */

static void batch_late(struct server_rig *rig)
{
    uint8_t frames[2048];
    size_t bytes = 0;
    for (unsigned i = 0; i < 6; i++) {
        char key[16];
        uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
        struct frame_extensions e = {.deadline_ms = i == 1 ? 100 : 100000};
        struct frame_parts parts = {.op = FRAME_PUT, .request_id = i, .key = slice_of_string(key_of(i, key))};
        if (i < 2)
            parts.extensions = slice_of(extensions, frame_extensions_encode(extensions, &e));
        parts.record_checksum = checksum_record(parts.key, parts.value);
        bytes += frame_encode(frames + bytes, &parts);
    }
    struct rig_request q = {.op = FRAME_BATCH, .value = slice_of(frames, bytes), .deadline_ms = 700};
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    CU_ASSERT(is_timely(&rig->answers[0], 700));
    struct slice answers = slice_of(rig->answers[0].value, rig->answers[0].value_bytes);
    for (unsigned i = 0; i < 6; i++) {
        struct frame frame;
        size_t needed;
        CU_ASSERT_EQUAL_FATAL(frame_parse(answers, FRAME_RESPONSE_BYTES_MAX, &frame, &needed), 1);
        CU_ASSERT_EQUAL(frame.request_id, i);
        CU_ASSERT_EQUAL(error_of_status(frame.flags), TORC_E_TIMEOUT);
        answers = slice_of(answers.data + frame.length, answers.bytes - frame.length);
    }
}

TEST(server_answers_a_batch_by_its_deadline_whatever_its_parts_say)
{
    struct server_rig rig;
    open_with(&rig, 3);
    server_rig_run(&rig, put_one);
    run_while_stuck(&rig, batch_late);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}

/* ---- the end ---- */

static void put_and_go(struct server_rig *rig)
{
    struct rig_request q = put_of("late", "value");
    rig_ask(rig, &q);
    task_sleep(rig->reactor, 10 * NS_PER_MS);
}

static void get_late(struct server_rig *rig)
{
    struct rig_request q = get_of("late");
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
}

/* STOP_MS later the server is asked to end. */
static void end_while_reads_wait(struct server_rig *rig)
{
    char key[16];
    unsigned refused = 0, late = 0;
    for (unsigned n = 0; n < READS; n++) {
        struct rig_request q = get_of(key_of(n, key));
        rig_ask(rig, &q);
    }
    uint64_t asked_ns = reactor_now_ns(rig->reactor);
    rig_await(rig);
    for (unsigned n = 0; n < READS; n++) {
        const struct rig_answer *a = &rig->answers[n];
        refused +=
            a->code == TORC_E_SHUTTING_DOWN && a->answered_ns < asked_ns + (STOP_MS + LATE_MS) * NS_PER_MS;
        late += a->code == TORC_E_TIMEOUT || a->code == 0;
    }
    CU_ASSERT(refused > READS / 4);
    CU_ASSERT_EQUAL(refused + late, READS);
}

static void await_the_end(struct server_rig *rig)
{
    server_rig_set_fault(rig, SIM_STUCK_DISK, 0);
    server_rig_sleep(rig, 2 * STUCK_NS);
    CU_ASSERT_FALSE(sim_node_is_up(rig->server.node));
}

TEST(server_that_ends_refuses_what_has_waited_to_be_looked_at)
{
    struct server_rig rig;
    open_with(&rig, 1);
    server_rig_run(&rig, put_many);
    server_rig_stop(&rig);
    server_rig_start(&rig);
    server_rig_set_fault(&rig, SIM_STUCK_DISK, ALWAYS);
    server_rig_begin(&rig, end_while_reads_wait);
    server_rig_sleep(&rig, STOP_MS * NS_PER_MS);
    sim_node_ask_to_stop(rig.server.node);
    server_rig_finish(&rig);
    await_the_end(&rig);
    server_rig_close(&rig);
}

TEST(server_that_ends_lets_late_writes_become_durable)
{
    struct server_rig rig;
    open_with(&rig, 2);
    server_rig_run(&rig, put_one);
    sim_disk_hold(sim_node_disk(rig.server.node), rig.world, HELD_NS);
    server_rig_run(&rig, put_and_go); /* its client is gone before the answer */
    server_rig_stop(&rig);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.server.node).heap_bytes, 0);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.server.node).timers, 0);
    server_rig_start(&rig);
    server_rig_run(&rig, get_late);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}
