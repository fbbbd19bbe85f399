/* slow_reader_test.c - clients that read their answers slowly, and others of the same core. */
#include "test/sim/server_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUE_BYTES = 200 << 10,
    VALUES = 40,
    MANY = 128, /* as many reads as one connection may have */
    FEW = 12,
    READERS_MAX = 12,
    WRITE_TIMEOUT_S = 30, /* what it is when nobody says another */
};
#define MEMORY_BYTES (UINT64_C(64) << 20) /* an eighth of it, less what is not the core's, is 6 MiB */

static const uint64_t SECOND_NS = 1000000000ull;
static const uint64_t SIP_NS = 500000000ull;

struct reader {
    struct client client;
    struct reactor *reactor;
    unsigned answers; /* with values */
    bool has_ended;
    bool is_to_rest;
    bool is_resting;
};

static void on_frame(void *owner, const struct frame *frame)
{
    struct reader *reader = owner;
    reader->answers += frame->op == FRAME_GET && error_of_status(frame->flags) == 0;
}

static void on_end(void *owner, int reason)
{
    struct reader *reader = owner;
    (void)reason;
    reader->has_ended = true;
}

static const struct client_handlers handlers = {.on_frame = on_frame, .on_end = on_end};

static const char *key_of(unsigned i)
{
    static char key[32];
    snprintf(key, sizeof key, "large-%u", i);
    return key;
}

static void put_values(struct server_rig *rig, unsigned from, unsigned count)
{
    static const uint8_t value[VALUE_BYTES];
    for (unsigned i = from; i < from + count; i++) {
        struct rig_request q = {.op = FRAME_PUT, .key = key_of(i), .value = slice_of(value, sizeof value)};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
}

static void put_all(struct server_rig *rig)
{
    put_values(rig, 0, VALUES);
}

/* Some 30 to 100 KB a second: never still between two looks. */
static void sip(struct reactor *r, void *context)
{
    struct reader *reader = context;
    while (!reader->is_to_rest) {
        client_sip(&reader->client);
        task_sleep(r, SIP_NS);
    }
    reader->is_resting = true;
}

/* Asks for so many values that are on the disk, and takes them slowly. */
static void come(struct server_rig *rig, struct reader *reader, unsigned count)
{
    *reader = (struct reader){.reactor = rig->reactor};
    client_init(&reader->client, rig->reactor, &handlers, reader);
    CU_ASSERT_EQUAL_FATAL(client_open(&reader->client, &rig->server.address, SECOND_NS), 0);
    client_send_hello(&reader->client, 1, FRAME_CORE_ANY);
    client_pause(&reader->client);
    for (unsigned i = 0; i < count; i++) {
        struct frame_parts get = {.op = FRAME_GET, .request_id = i + 2};
        get.key = slice_of_string(key_of(i % VALUES));
        get.record_checksum = checksum_record(get.key, get.value);
        client_send(&reader->client, &get);
    }
    CU_ASSERT_EQUAL_FATAL(task_spawn(rig->reactor, sip, reader), 0);
    task_sleep(rig->reactor, SECOND_NS / 10);
}

/* Reads on without a pause, what is left. */
static void let_read(struct reader *reader)
{
    reader->is_to_rest = true;
    while (!reader->is_resting)
        task_sleep(reader->reactor, SIP_NS);
    client_resume(&reader->client);
    task_sleep(reader->reactor, 10 * SECOND_NS);
}

static void leave(struct reader *reader)
{
    client_close(&reader->client);
    client_deinit(&reader->client);
}

/* Another client of the core asks until it gets an answer. Returns: after how many seconds. */
static unsigned seconds_until_served(struct server_rig *rig)
{
    uint64_t begin_ns = reactor_now_ns(rig->reactor);
    unsigned seconds = 0;
    for (int rc = 1; rc != 0 && seconds < 3 * WRITE_TIMEOUT_S;) {
        struct rig_request q = {.op = FRAME_PUT, .key = "small", .value = slice_of_string("value")};
        rc = rig_ask_now(rig, &q);
        CU_ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
        seconds = (unsigned)((reactor_now_ns(rig->reactor) - begin_ns) / SECOND_NS);
    }
    return seconds;
}

static void try_with(uint64_t memtable_bytes, void (*body)(struct server_rig *rig))
{
    struct server_rig rig;
    server_rig_open(&rig, 1);
    rig.server.options.memory = MEMORY_BYTES;
    rig.server.options.memtable_bytes = 0;
    server_rig_allow_large_values(&rig, 64 << 20);
    server_rig_start(&rig);
    server_rig_run(&rig, put_all);
    server_rig_stop(&rig);
    rig.server.options.memtable_bytes = memtable_bytes;
    server_rig_start(&rig);
    server_rig_run(&rig, body);
    server_rig_stop(&rig);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.server.node).heap_bytes, 0);
    server_rig_close(&rig);
}

/* ---- one that holds much ---- */

static void hold_much(struct server_rig *rig)
{
    struct reader slow;
    come(rig, &slow, MANY);
    unsigned seconds = seconds_until_served(rig);
    CU_ASSERT(seconds >= 1 && seconds < WRITE_TIMEOUT_S / 2);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_slow"), 1);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_stuck"), 0);
    CU_ASSERT(rig_info_number(rig, "memory", "output_bytes") < 1 << 20);
    let_read(&slow);
    CU_ASSERT(slow.has_ended);
    leave(&slow);
}

TEST(a_slow_reader_that_holds_much_does_not_stop_its_core_for_long)
{
    try_with(0, hold_much);
}

/* ---- where memory is short before that ---- */

enum { HELD_FOR_GOOD = 212, SOME = 24 };

/* Less than makes it too much in itself. */
static void hold_while_memory_is_short(struct server_rig *rig)
{
    struct reader slow;
    put_values(rig, VALUES, HELD_FOR_GOOD);
    come(rig, &slow, SOME);
    unsigned seconds = seconds_until_served(rig);
    CU_ASSERT(seconds >= 1 && seconds < WRITE_TIMEOUT_S / 2);
    CU_ASSERT(rig_info_number(rig, "memory", "times_short") > 0);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_slow"), 1);
    let_read(&slow);
    leave(&slow);
}

TEST(a_slow_reader_does_not_stop_its_core_for_long_while_memory_is_short)
{
    try_with(256 << 20, hold_while_memory_is_short);
}

/* ---- many that hold some ---- */

static void hold_some_each(struct server_rig *rig)
{
    struct reader slow[READERS_MAX];
    uint64_t begin_ns = reactor_now_ns(rig->reactor);
    for (unsigned i = 0; i < READERS_MAX; i++)
        come(rig, &slow[i], FEW);
    CU_ASSERT(seconds_until_served(rig) >= 1);
    while (reactor_now_ns(rig->reactor) < begin_ns + WRITE_TIMEOUT_S * SECOND_NS) {
        task_sleep(rig->reactor, SECOND_NS); /* where one was, others take its place */
        CU_ASSERT(seconds_until_served(rig) < WRITE_TIMEOUT_S / 2);
    }
    for (unsigned i = 0; i < WRITE_TIMEOUT_S; i++) {
        task_sleep(rig->reactor, SECOND_NS);
        CU_ASSERT_EQUAL(seconds_until_served(rig), 0);
    }
    uint64_t closed = rig_info_number(rig, "server", "connections_closed_slow");
    CU_ASSERT(closed > 0 && closed < READERS_MAX);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_stuck"), 0);
    for (unsigned i = 0; i < READERS_MAX; i++) {
        let_read(&slow[i]);
        leave(&slow[i]);
    }
}

TEST(many_slow_readers_that_hold_some_each_do_not_stop_their_core_for_long)
{
    try_with(0, hold_some_each);
}

enum { ALIKE = 3, THIRD = 15 };

static void hold_a_third_each(struct server_rig *rig)
{
    struct reader slow[ALIKE];
    unsigned ended = 0;
    for (unsigned i = 0; i < ALIKE; i++)
        come(rig, &slow[i], THIRD);
    CU_ASSERT(seconds_until_served(rig) >= 1);
    for (unsigned i = 0; i < ALIKE; i++) {
        let_read(&slow[i]);
        ended += slow[i].has_ended;
        leave(&slow[i]);
    }
    CU_ASSERT_EQUAL(ended, 1);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_slow"), 1);
}

TEST(of_slow_readers_that_hold_the_same_no_more_are_closed_than_it_takes)
{
    try_with(0, hold_a_third_each);
}

/* ---- those that stay ---- */

static void hold_little_beside(struct server_rig *rig)
{
    struct reader little, much;
    come(rig, &little, FEW);
    come(rig, &much, MANY);
    CU_ASSERT(seconds_until_served(rig) >= 1);
    let_read(&much);
    CU_ASSERT(much.has_ended && !little.has_ended);
    let_read(&little);
    CU_ASSERT_EQUAL(little.answers, FEW);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_slow"), 1);
    leave(&little);
    leave(&much);
}

TEST(a_slow_reader_that_holds_little_stays_when_a_large_one_is_closed)
{
    try_with(0, hold_little_beside);
}

static void hold_what_nobody_wants(struct server_rig *rig)
{
    struct reader slow;
    come(rig, &slow, SOME);
    for (unsigned i = 0; i < WRITE_TIMEOUT_S; i++) {
        CU_ASSERT_EQUAL(seconds_until_served(rig), 0);
        task_sleep(rig->reactor, SECOND_NS);
    }
    CU_ASSERT(rig_info_number(rig, "memory", "output_bytes") > 0); /* it was too slow, if somebody waited */
    let_read(&slow);
    CU_ASSERT(slow.answers == SOME && !slow.has_ended);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_slow"), 0);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_stuck"), 0);
    leave(&slow);
}

TEST(a_slow_reader_stays_as_long_as_nobody_waits_for_it)
{
    try_with(0, hold_what_nobody_wants);
}
