/* stop_test.c - a server is asked to end while its disk hangs for ever: it ends all the same, in a bounded
 * time and not in silence, and what it had acknowledged is there at the next start. */
#include "test/sim/server_rig.h"

#include <stdio.h>

enum { NS_PER_MS = 1000000, REQUEST_MS = 2000, SHUTDOWN_MS = 5000, KEYS = 400, TABLE_ROUNDS = 12 };

static const uint64_t SECOND_NS = 1000ull * NS_PER_MS;
static const uint64_t FOR_EVER_NS = 1000000 * SECOND_NS;
/* shutdown-timeout, ten seconds for reads, thirty for the log, and some turns. */
static const uint64_t STOP_NS_MAX = (5 + 10 + 30 + 2) * SECOND_NS;

static void open_with(struct server_rig *rig, unsigned cores, const char *line)
{
    server_rig_open(rig, cores);
    rig->awaited_line = line;
    rig->server.options.request_timeout_ms = REQUEST_MS;
    rig->server.options.shutdown_timeout_ms = SHUTDOWN_MS;
    server_rig_start(rig);
}

static void hold_disk(struct server_rig *rig, uint64_t ns)
{
    sim_disk_hold(sim_node_disk(rig->server.node), rig->world, ns);
}

static const char *key_of(unsigned n, char to[16])
{
    snprintf(to, 16, "key-%03u", n);
    return to;
}

static struct rig_request put_of(unsigned n, char key[16], struct slice value)
{
    return (struct rig_request){.op = FRAME_PUT, .key = key_of(n, key), .value = value};
}

/* More than the memtables hold. */
static void put_many(struct server_rig *rig)
{
    char key[16], value[1000];
    memset(value, 'v', sizeof value);
    for (unsigned n = 0; n < KEYS; n++) {
        struct rig_request q = put_of(n, key, slice_of(value, sizeof value));
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

/* On each core some. */
static void put_in_vain(struct server_rig *rig)
{
    char key[16];
    for (unsigned n = 0; n < KEYS / 4; n++) {
        struct rig_request q = put_of(n, key, slice_of_string("later"));
        (void)rig_ask(rig, &q);
    }
    rig_await(rig);
    for (unsigned n = 0; n < KEYS / 4; n++)
        CU_ASSERT_EQUAL(rig->answers[n].code, TORC_E_TIMEOUT);
}

static void get_all(struct server_rig *rig)
{
    char key[16];
    for (unsigned n = 0; n < KEYS; n++) {
        struct rig_request q = {.op = FRAME_GET, .key = key_of(n, key)};
        unsigned place = rig_ask(rig, &q);
        rig_await(rig);
        const struct rig_answer *a = &rig->answers[place];
        bool is_later = n < KEYS / 4 && a->value_bytes == 5 && memcmp(a->value, "later", 5) == 0;
        CU_ASSERT_EQUAL(a->code, 0);
        CU_ASSERT(is_later || (a->value_bytes == 1000 && a->value[0] == 'v'));
    }
}

/* The disk answers again, after whatever was done to it. */
static void find_all_after(struct server_rig *rig)
{
    hold_disk(rig, 0);
    server_rig_start(rig);
    server_rig_run(rig, get_all);
    server_rig_stop(rig);
    CU_ASSERT_EQUAL(sim_node_leaks(rig->server.node).heap_bytes, 0);
    server_rig_close(rig);
}

/* Its disk hangs for good, and so does what is asked for then. */
static void end_in_vain(struct server_rig *rig, void (*body)(struct server_rig *rig), unsigned lines)
{
    hold_disk(rig, FOR_EVER_NS);
    server_rig_run(rig, body);
    server_rig_stop_in_vain(rig, STOP_NS_MAX);
    CU_ASSERT_EQUAL(rig->lines, lines);
    find_all_after(rig);
}

static void end_while_log_writes_hang(unsigned cores, const char *line)
{
    struct server_rig rig;
    open_with(&rig, cores, line);
    server_rig_run(&rig, put_many);
    server_rig_sleep(&rig, SECOND_NS);
    end_in_vain(&rig, put_in_vain, cores);
}

TEST(server_whose_log_hangs_for_ever_ends_in_time_and_keeps_what_it_acknowledged)
{
    end_while_log_writes_hang(1, "event=stop_gives_up");
}

TEST(server_whose_cores_all_hang_ends_in_time)
{
    end_while_log_writes_hang(3, "event=stop_gives_up");
}

TEST(server_that_ends_says_that_it_waits_for_the_log)
{
    end_while_log_writes_hang(1, "awaited=\"a write of the log\"");
}

/* The same again; whether a put is answered or not, its value is that of before. */
static void put_again(struct server_rig *rig)
{
    char key[16], value[1000];
    memset(value, 'v', sizeof value);
    for (unsigned n = 0; n < KEYS; n++) {
        struct rig_request q = put_of(n, key, slice_of(value, sizeof value));
        (void)rig_ask(rig, &q);
    }
    rig_await(rig);
}

/* At some moments a memtable is being written to a table. */
TEST(server_whose_tables_hang_for_ever_ends_in_time)
{
    unsigned lines = 0;
    for (unsigned ms = 1; ms <= TABLE_ROUNDS; ms++) {
        struct server_rig rig;
        open_with(&rig, 2, "awaited=\"a table\"");
        server_rig_run(&rig, put_many);
        server_rig_begin(&rig, put_again);
        server_rig_sleep(&rig, ms * NS_PER_MS);
        hold_disk(&rig, FOR_EVER_NS);
        server_rig_finish(&rig);
        server_rig_stop_in_vain(&rig, STOP_NS_MAX);
        lines += rig.lines;
        find_all_after(&rig);
    }
    CU_ASSERT(lines > 0);
}

static void put_one_in_vain(struct server_rig *rig)
{
    char key[16];
    struct rig_request q = put_of(0, key, slice_of_string("later"));
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), TORC_E_TIMEOUT);
}

/* The others have nothing under way: only one gives up, and they do not wait for its answers. */
TEST(server_of_which_one_core_hangs_ends_in_time)
{
    struct server_rig rig;
    open_with(&rig, 3, "event=stop_gives_up");
    server_rig_run(&rig, put_many);
    server_rig_sleep(&rig, 10 * SECOND_NS);
    end_in_vain(&rig, put_one_in_vain, 1);
}

static void put_one_and_go(struct server_rig *rig)
{
    char key[16];
    struct rig_request q = put_of(0, key, slice_of_string("later"));
    rig_ask(rig, &q);
    task_sleep(rig->reactor, SECOND_NS / 10);
}

/* The core of the connection never hears of the request that it has handed on. */
TEST(core_does_not_wait_for_the_answer_of_one_that_has_given_up)
{
    struct server_rig rig;
    open_with(&rig, 3, "event=stop_gives_up");
    server_rig_run(&rig, put_many);
    server_rig_stop(&rig);
    rig.server.options.request_timeout_ms = 0;
    server_rig_start(&rig);
    server_rig_sleep(&rig, 10 * SECOND_NS);
    end_in_vain(&rig, put_one_and_go, 1);
}

static void read_in_vain(struct server_rig *rig)
{
    char key[16];
    for (unsigned n = 0; n < KEYS; n++) {
        struct rig_request q = {.op = FRAME_GET, .key = key_of(n, key)};
        (void)rig_ask(rig, &q);
    }
    rig_await(rig);
}

TEST(server_whose_reads_hang_for_ever_says_so_when_it_ends)
{
    struct server_rig rig;
    open_with(&rig, 1, "awaited=\"a read\"");
    server_rig_run(&rig, put_many);
    server_rig_stop(&rig);
    server_rig_start(&rig);
    end_in_vain(&rig, read_in_vain, 1);
}

/* Not for ever, and not longer than the end has patience: nothing is given up. */
TEST(server_whose_log_hangs_for_a_while_ends_in_order)
{
    struct server_rig rig;
    open_with(&rig, 2, "event=stop_gives_up");
    server_rig_run(&rig, put_many);
    server_rig_sleep(&rig, SECOND_NS);
    hold_disk(&rig, 20 * SECOND_NS);
    server_rig_run(&rig, put_in_vain);
    server_rig_stop(&rig);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.server.node).heap_bytes, 0);
    CU_ASSERT_EQUAL(rig.lines, 0);
    find_all_after(&rig);
}
