/* memory_wait_test.c - a server of little memory whose disk is stuck: what waits for it, or for another core
 * that waits for it, is bounded. */
#include "test/sim/server_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLIENTS = 24,
    ASKED_EACH = 100,
    VALUE_BYTES = 200 << 10,
    VALUES_ON_DISK = 60,
    VALUES_IN_MEMORY = 3, /* of core 0, that has no tables */
    LONG_KEY_BYTES = 1000,
    LONG_KEYS = 26,
    ALWAYS = 1000000,
};
#define MEMORY_BYTES_A_CORE (UINT64_C(32) << 20)

static const uint64_t SECOND_NS = 1000000000ull;

struct crowd {
    struct client clients[CLIENTS];
    unsigned done;
    unsigned refused; /* OVERLOADED */
    unsigned late;    /* TIMEOUT */
    unsigned others;
};

static void on_frame(void *owner, const struct frame *frame)
{
    struct crowd *crowd = owner;
    int code = error_of_status(frame->flags);
    if (frame->op == FRAME_HELLO)
        return;
    struct frame part;
    size_t needed;
    struct slice rest = frame->op == FRAME_BATCH ? frame->value : slice_of(NULL, 0);
    for (; frame_parse(rest, FRAME_RESPONSE_BYTES_MAX, &part, &needed) == 1;
         rest = slice_of(rest.data + part.length, rest.bytes - part.length))
        on_frame(owner, &part);
    crowd->done += code == 0;
    crowd->refused += code == TORC_E_OVERLOADED;
    crowd->late += code == TORC_E_TIMEOUT;
    crowd->others += code != 0 && code != TORC_E_OVERLOADED && code != TORC_E_TIMEOUT;
}

static void on_end(void *owner, int reason)
{
    (void)owner;
    (void)reason;
}

static const struct client_handlers handlers = {.on_frame = on_frame, .on_end = on_end};

/* The n-th key of a core of the rig; all begin alike. */
static void key_of(const struct server_rig *rig, unsigned core, unsigned n, char key[64])
{
    for (unsigned i = 0, found = 0;; i++) {
        snprintf(key, 64, "key-%u", i);
        if (rig_core_of(rig, key) == core && found++ == n)
            return;
    }
}

static void put_value(struct server_rig *rig, unsigned core, unsigned n)
{
    static const uint8_t value[VALUE_BYTES];
    char key[64];
    key_of(rig, core, n, key);
    struct rig_request q = {.op = FRAME_PUT, .key = key, .value = slice_of(value, sizeof value)};
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
}

static const char *long_key(unsigned n)
{
    static char key[LONG_KEY_BYTES + 1];
    memset(key, 'k', LONG_KEY_BYTES);
    key[0] = (char)('a' + n % LONG_KEYS);
    return key;
}

static void put_all(struct server_rig *rig)
{
    for (unsigned i = 0; i < LONG_KEYS; i++) {
        struct rig_request q = {.op = FRAME_PUT, .key = long_key(i), .value = slice_of_string("value")};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
    unsigned last = rig->server.options.cores - 1;
    for (unsigned i = 0; i < VALUES_ON_DISK; i++)
        put_value(rig, last, i);
    for (unsigned i = 0; last > 0 && i < VALUES_IN_MEMORY; i++)
        put_value(rig, 0, i);
}

static struct crowd *come(struct server_rig *rig)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    ASSERT(crowd);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &crowd->clients[i];
        client_init(c, rig->reactor, &handlers, crowd);
        CU_ASSERT_EQUAL_FATAL(client_open(c, &rig->server.address, SECOND_NS), 0);
        client_send_hello(c, 1, 0);
    }
    task_sleep(rig->reactor, SECOND_NS / 10);
    return crowd;
}

static void ask(struct server_rig *rig, struct crowd *crowd, uint8_t op)
{
    struct frame_parts p = {.op = op, .flags = op == FRAME_SCAN ? FRAME_ORDERED : 0};
    server_rig_set_fault(rig, SIM_STUCK_DISK, ALWAYS);
    for (unsigned i = 0; i < CLIENTS * ASKED_EACH; i++) {
        p.request_id = 2 + i;
        p.key = slice_of_string(op == FRAME_SCAN ? "key-" : long_key(i));
        p.record_checksum = checksum_record(p.key, p.value);
        client_send(&crowd->clients[i % CLIENTS], &p);
        if (i % CLIENTS == 0)
            task_sleep(rig->reactor, SECOND_NS / 500); /* it looks at its memory once a millisecond */
    }
    task_sleep(rig->reactor, SECOND_NS / 2);
    server_rig_set_fault(rig, SIM_STUCK_DISK, 0);
    task_sleep(rig->reactor, 90 * SECOND_NS);
    CU_ASSERT_EQUAL(crowd->others, 0);
    CU_ASSERT_EQUAL(crowd->done + crowd->refused + crowd->late, CLIENTS * ASKED_EACH);
}

static void leave(struct crowd *crowd)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_close(&crowd->clients[i]);
        client_deinit(&crowd->clients[i]);
    }
    free(crowd);
}

/* With values on its disk, and down. */
static void open_with_little_memory(struct server_rig *rig, unsigned cores)
{
    server_rig_open(rig, cores);
    rig->server.options.memory = MEMORY_BYTES_A_CORE * cores;
    rig->server.options.cache_bytes = 0;
    rig->server.options.memtable_bytes = 0;
    server_rig_allow_large_values(rig, 16 << 20);
    server_rig_start(rig);
    server_rig_run(rig, put_all);
    server_rig_stop(rig);
}

static void try_crowd(unsigned cores, void (*body)(struct server_rig *rig))
{
    struct server_rig rig;
    open_with_little_memory(&rig, cores);
    server_rig_start(&rig);
    server_rig_run(&rig, body);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}

static void ask_for_pages(struct server_rig *rig)
{
    struct crowd *crowd = come(rig);
    uint64_t before = rig_info_number(rig, "memory", "heap_bytes_highest");
    ask(rig, crowd, FRAME_SCAN);
    uint64_t highest = rig_info_number(rig, "memory", "heap_bytes_highest"),
             max = rig_info_number(rig, "memory", "heap_bytes_max");
    CU_ASSERT(crowd->refused > 0 && before < max / 2);
    CU_ASSERT(highest <= max);
    leave(crowd);
}

TEST(server_keeps_within_its_memory_when_ordered_pages_wait_for_one_core)
{
    try_crowd(2, ask_for_pages);
}

static void ask_for_one_key(struct server_rig *rig)
{
    struct crowd *crowd = come(rig);
    ask(rig, crowd, FRAME_GET);
    CU_ASSERT(crowd->refused > 0);
    CU_ASSERT(crowd->done + crowd->late > CLIENTS * ASKED_EACH / 8);
    leave(crowd);
}

TEST(server_refuses_reads_beyond_a_queue_that_its_memory_has_room_for)
{
    try_crowd(1, ask_for_one_key);
}

/* ---- where memory is held for good ---- */

enum { HELD = 85, BATCHES_EACH = 12 };

static uint8_t *add_get(uint8_t *to, const char *key)
{
    struct frame_parts parts = {.op = FRAME_GET, .key = slice_of_string(key)};
    parts.record_checksum = checksum_record(parts.key, parts.value);
    return to + frame_encode(to, &parts);
}

/* Batches of a value that is in memory and one that is on the disk. */
static void ask_in_batches(struct server_rig *rig)
{
    char key[64];
    for (unsigned i = 0; i < HELD; i++)
        put_value(rig, 0, VALUES_ON_DISK + i);
    key_of(rig, 0, VALUES_ON_DISK, key);
    struct crowd *crowd = come(rig);
    server_rig_set_fault(rig, SIM_SLOW_DISK, ALWAYS);
    for (unsigned i = 0; i < CLIENTS * BATCHES_EACH; i++) {
        uint8_t parts[LONG_KEY_BYTES + 256];
        uint8_t *end = add_get(add_get(parts, key), long_key(i));
        struct frame_parts batch = {.op = FRAME_BATCH,
                                    .request_id = 2 + i,
                                    .value = slice_of(parts, (size_t)(end - parts))};
        client_send(&crowd->clients[i % CLIENTS], &batch);
    }
    task_sleep(rig->reactor, 90 * SECOND_NS);
    CU_ASSERT(rig_info_number(rig, "memory", "times_short") > 0);
    CU_ASSERT_EQUAL(crowd->done, CLIENTS * BATCHES_EACH * 3); /* each with two parts */
    leave(crowd);
}

/* The values that are put stay in memory. */
static void try_held(void (*body)(struct server_rig *rig))
{
    struct server_rig rig;
    open_with_little_memory(&rig, 1);
    rig.server.options.memtable_bytes = 256 << 20;
    rig.server.options.log_bytes_max = 64 << 20;
    server_rig_start(&rig);
    server_rig_run(&rig, body);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}

TEST(batches_go_on_while_memory_is_short_for_good)
{
    try_held(ask_in_batches);
}

enum { HELD_ALL = 118, HALVES = 12, QUESTIONS = 20 };

/* Beginnings of frames that are larger, together, than what may always be taken. */
static void ask_beside_halves(struct server_rig *rig)
{
    static uint8_t value[VALUE_BYTES], frame[VALUE_BYTES + 256];
    struct frame_parts put = {.op = FRAME_PUT, .request_id = 2, .value = slice_of(value, sizeof value)};
    struct frame_parts get = {.op = FRAME_GET};
    char key[64];
    for (unsigned i = 0; i < HELD_ALL; i++)
        put_value(rig, 0, VALUES_ON_DISK + i);
    key_of(rig, 0, VALUES_ON_DISK, key);
    put.key = slice_of_string(key);
    put.record_checksum = checksum_record(put.key, put.value);
    size_t bytes = frame_encode(frame, &put);
    struct crowd *crowd = come(rig);
    for (unsigned i = 0; i < HALVES; i++)
        client_send_bytes(&crowd->clients[i], slice_of(frame, bytes / 2));
    task_sleep(rig->reactor, SECOND_NS);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        get.request_id = 2 + i;
        get.key = slice_of_string(long_key(i));
        get.record_checksum = checksum_record(get.key, get.value);
        client_send(&crowd->clients[HALVES], &get);
    }
    task_sleep(rig->reactor, 10 * SECOND_NS);
    CU_ASSERT_EQUAL(crowd->done, QUESTIONS);
    for (unsigned i = 0; i < HALVES; i++)
        client_send_bytes(&crowd->clients[i], slice_of(frame + bytes / 2, bytes - bytes / 2));
    task_sleep(rig->reactor, 10 * SECOND_NS);
    CU_ASSERT_EQUAL(crowd->done, QUESTIONS + HALVES);
    leave(crowd);
}

TEST(halves_of_frames_do_not_hold_up_others_while_memory_is_full)
{
    try_held(ask_beside_halves);
}
