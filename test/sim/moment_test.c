/* moment_test.c - one moment of all cores whose clocks are ahead: the time of day was wrong once. */
#include "reactor/base/endian.h"
#include "test/sim/server_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES = 2, KEYS = 20, SCANS = 200, ROUNDS = 4, TEXT_BYTES = 32, ONE_IN_TEN = 100000 };

static const int64_t DAY_NS = INT64_C(86400) * 1000000000;
static const uint64_t HOUR_MS = 3600 * 1000;
static const uint64_t SECOND_NS = 1000000000ull;

/* The n-th key, of each core in turn. */
static void key_of(const struct server_rig *rig, unsigned n, char key[TEXT_BYTES])
{
    unsigned i = 0;
    do
        snprintf(key, TEXT_BYTES, "%u-%u", n, i++);
    while (rig_core_of(rig, key) != n % CORES);
}

static void put_range(struct server_rig *rig, unsigned first, unsigned end, uint64_t expiry_ms)
{
    char key[TEXT_BYTES];
    struct rig_request q = {.op = FRAME_PUT,
                            .key = key,
                            .value = slice_of_string("0"),
                            .expiry_ms = expiry_ms};
    for (unsigned i = first; i < end; i++) {
        key_of(rig, i, key);
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

/* What a scan of one moment finds: the values are numbers. */
struct found {
    unsigned count;
    unsigned lowest;
    unsigned highest;
    uint64_t slowest_ns; /* page */
};

static void look_at_page(struct found *f, struct slice entries)
{
    while (entries.bytes > 0) {
        size_t head_bytes = FRAME_SCAN_ENTRY_HEADER_BYTES + load_u16le(entries.data);
        size_t bytes = head_bytes + load_u32le(entries.data + 2);
        char text[TEXT_BYTES] = "";
        memcpy(text, entries.data + head_bytes, bytes - head_bytes);
        unsigned n = (unsigned)strtoul(text, NULL, 10);
        f->lowest = f->count == 0 || n < f->lowest ? n : f->lowest;
        f->highest = n > f->highest ? n : f->highest;
        f->count++;
        entries = slice_of(entries.data + bytes, entries.bytes - bytes);
    }
}

static struct found scan(struct server_rig *rig)
{
    uint8_t cursor[FRAME_CURSOR_BYTES_MAX];
    struct found f = {.count = 0};
    struct slice at = {.bytes = 0}, entries;
    do {
        struct rig_request q = {.op = FRAME_SCAN, .flags = FRAME_SNAPSHOT, .value = at};
        unsigned place = rig_ask(rig, &q);
        rig_await(rig);
        struct rig_answer *a = &rig->answers[place];
        CU_ASSERT_EQUAL_FATAL(a->code, 0);
        uint64_t took_ns = a->answered_ns - a->asked_ns;
        f.slowest_ns = took_ns > f.slowest_ns ? took_ns : f.slowest_ns;
        CU_ASSERT_EQUAL_FATAL(frame_page_parse(slice_of(a->value, a->value_bytes), &at, &entries), 0);
        memcpy(cursor, at.data, at.bytes);
        at = slice_of(cursor, at.bytes);
        look_at_page(&f, entries);
    } while (at.bytes > 0);
    return f;
}

static void put_when_ahead(struct server_rig *rig)
{
    put_range(rig, 0, KEYS, 0);
}

static void scan_when_behind(struct server_rig *rig)
{
    CU_ASSERT_EQUAL(scan(rig).count, KEYS);
    put_range(rig, KEYS, 2 * KEYS, HOUR_MS); /* by the time of day, not by the clock of the scan */
    struct found f = scan(rig);
    CU_ASSERT_EQUAL(f.count, 2 * KEYS);
    CU_ASSERT(f.slowest_ns < SECOND_NS / 10);
}

static void open_with_a_clock_that_is_ahead(struct server_rig *rig, void (*body)(struct server_rig *rig))
{
    server_rig_open(rig, CORES);
    sim_node_move_wall(rig->server.node, DAY_NS);
    server_rig_start(rig);
    server_rig_run(rig, body);
}

static void close_all(struct server_rig *rig)
{
    server_rig_stop(rig);
    server_rig_close(rig);
}

TEST(scans_of_one_moment_go_on_when_the_clock_was_set_back)
{
    struct server_rig rig;
    open_with_a_clock_that_is_ahead(&rig, put_when_ahead);
    sim_node_move_wall(rig.server.node, -DAY_NS);
    server_rig_run(&rig, scan_when_behind);
    close_all(&rig);
}

TEST(scans_of_one_moment_go_on_after_a_restart_when_the_clock_was_ahead)
{
    struct server_rig rig;
    open_with_a_clock_that_is_ahead(&rig, put_when_ahead);
    server_rig_stop(&rig);
    sim_node_move_wall(rig.server.node, -DAY_NS);
    server_rig_start(&rig);
    server_rig_run(&rig, scan_when_behind);
    close_all(&rig);
}

/* ---- writes on connections of both cores ---- */

struct writer {
    struct server_rig *rig;
    struct client clients[CORES]; /* each of its core */
    struct event answered;
    struct event over;
    bool must_end;
};

static void on_frame(void *owner, const struct frame *frame)
{
    struct writer *w = owner;
    CU_ASSERT_EQUAL(error_of_status(frame->flags), 0);
    event_set(w->rig->reactor, &w->answered, 0);
}

static void on_end(void *owner, int reason)
{
    (void)owner;
    (void)reason;
}

static const struct client_handlers handlers = {.on_frame = on_frame, .on_end = on_end};

static void await_answer(struct writer *w)
{
    int rc = event_wait(w->rig->reactor, &w->answered, SECOND_NS * 10);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    event_init(&w->answered);
}

static void connect_all(struct writer *w)
{
    event_init(&w->answered);
    for (unsigned core = 0; core < CORES; core++) {
        struct client *c = &w->clients[core];
        client_init(c, w->rig->reactor, &handlers, w);
        CU_ASSERT_EQUAL_FATAL(client_open(c, &w->rig->server.address, SECOND_NS), 0);
        client_send_hello(c, 1, (uint16_t)core);
        await_answer(w);
    }
}

/* Numbers, to a key of each core in turn. Each write waits for the one before, which was of another core on
 * another connection. */
static void write_in_turn(struct reactor *r, void *context)
{
    struct writer *w = context;
    char key[TEXT_BYTES], value[TEXT_BYTES];
    for (unsigned i = 0; !w->must_end; i++) {
        key_of(w->rig, i % CORES, key);
        snprintf(value, sizeof value, "%u", CORES + i);
        struct frame_parts p = {.op = FRAME_PUT, .request_id = 2, .key = slice_of_string(key)};
        p.value = slice_of_string(value);
        p.record_checksum = checksum_record(p.key, p.value);
        client_send(&w->clients[i % CORES], &p);
        await_answer(w);
    }
    event_set(r, &w->over, 0);
}

static void put_first_numbers(struct server_rig *rig)
{
    char key[TEXT_BYTES];
    struct rig_request q = {.op = FRAME_PUT, .key = key};
    for (unsigned core = 0; core < CORES; core++) {
        key_of(rig, core, key);
        q.value = slice_of_string(core == 0 ? "0" : "1");
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

static void scan_while_written(struct server_rig *rig)
{
    struct writer w = {.rig = rig};
    struct found before = {.count = 0}, f = before;
    event_init(&w.over);
    connect_all(&w);
    put_first_numbers(rig);
    int rc = task_spawn(rig->reactor, write_in_turn, &w);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    for (unsigned i = 0; i < SCANS; i++, before = f) {
        f = scan(rig);
        CU_ASSERT_EQUAL(f.count, CORES);
        CU_ASSERT(f.highest - f.lowest < CORES); /* none without the one before it */
        CU_ASSERT(f.highest >= before.highest);
    }
    CU_ASSERT(f.highest > SCANS);
    w.must_end = true;
    CU_ASSERT_EQUAL(event_wait(rig->reactor, &w.over, SECOND_NS * 10), 0);
    for (unsigned core = 0; core < CORES; core++) {
        client_close(&w.clients[core]);
        client_deinit(&w.clients[core]);
    }
}

/* The clocks of both cores are a day ahead and count by themselves. A core that hears late of the moment must
 * not stamp below it what waited for what another core has stamped above it. */
TEST(a_scan_of_one_moment_has_no_write_without_those_it_waited_for_when_the_clock_was_ahead)
{
    struct server_rig rig;
    open_with_a_clock_that_is_ahead(&rig, put_first_numbers);
    sim_node_move_wall(rig.server.node, -DAY_NS);
    server_rig_set_fault(&rig, SIM_TURN_DELAY, ONE_IN_TEN);
    for (unsigned i = 0; i < ROUNDS; i++)
        server_rig_run(&rig, scan_while_written);
    server_rig_set_fault(&rig, SIM_TURN_DELAY, 0);
    close_all(&rig);
}

/* ---- beginnings that wait ---- */

enum { BEGINNINGS = 16, BEGIN_MS = 3000 };

static void await_one(struct server_rig *rig, unsigned place)
{
    for (unsigned ms = 0; rig->answers[place].code == 1 && ms < 30000; ms++)
        task_sleep(rig->reactor, SECOND_NS / 1000);
}

/* The log of each core hangs, and so all beginnings. What is in memory is found by the other tasks. */
static void scan_beside_beginnings(struct server_rig *rig)
{
    char key[TEXT_BYTES];
    put_range(rig, 0, KEYS, 0);
    sim_disk_hold(sim_node_disk(rig->server.node), rig->world, 20 * SECOND_NS);
    for (unsigned core = 0; core < CORES; core++) {
        struct rig_request q = {.op = FRAME_PUT,
                                .key = key,
                                .value = slice_of_string("1"),
                                .deadline_ms = 50};
        key_of(rig, core, key);
        (void)rig_ask(rig, &q);
    }
    struct rig_request first = {.op = FRAME_SCAN, .flags = FRAME_SNAPSHOT, .deadline_ms = BEGIN_MS};
    struct rig_request page = {.op = FRAME_SCAN, .flags = FRAME_ORDERED, .deadline_ms = BEGIN_MS};
    unsigned from = rig->asked, refused = 0, late = 0;
    for (unsigned i = 0; i < BEGINNINGS; i++)
        (void)rig_ask(rig, &first);
    task_sleep(rig->reactor, SECOND_NS / 10);
    unsigned place = rig_ask(rig, &page);
    await_one(rig, place);
    CU_ASSERT_EQUAL(rig->answers[place].code, 0);
    CU_ASSERT(rig->answers[place].answered_ns - rig->answers[place].asked_ns < SECOND_NS / 10);
    rig_await(rig);
    for (unsigned i = from; i < from + BEGINNINGS; i++) {
        refused += rig->answers[i].code == TORC_E_OVERLOADED;
        late += rig->answers[i].code == TORC_E_TIMEOUT;
    }
    CU_ASSERT(refused > 0 && late > 0);
    CU_ASSERT_EQUAL(refused + late, BEGINNINGS);
    task_sleep(rig->reactor, 30 * SECOND_NS);
    CU_ASSERT_EQUAL(scan(rig).count, KEYS);
}

TEST(scans_of_one_moment_that_wait_for_a_log_that_hangs_leave_tasks_to_others)
{
    struct server_rig rig;
    server_rig_open(&rig, CORES);
    rig.server.options.memory = (UINT64_C(32) << 20) * CORES; /* for some 14 jobs at once */
    server_rig_allow_large_values(&rig, 16 << 20);
    server_rig_start(&rig);
    server_rig_run(&rig, scan_beside_beginnings);
    close_all(&rig);
}
