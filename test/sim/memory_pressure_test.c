/* memory_pressure_test.c - a server of little memory, whose clients want more than it has. */
#include "reactor/base/crc16.h"
#include "test/sim/server_rig.h"

#include <stdlib.h>
#include <string.h>

enum {
    VALUE_BYTES = 200 << 10,
    VALUES = 60, /* together more than the memtable and the caches hold */
    CLIENTS = 24,
    GETS = 64,
    ANSWERED_MIN = CLIENTS * GETS / 4,
};
#define SERVER_MEMORY_BYTES (UINT64_C(32) << 20)

static const uint64_t SECOND_NS = 1000000000ull;

struct crowd {
    struct client clients[CLIENTS];
    uint16_t core; /* that they ask for */
    unsigned key;  /* of those that ask together */
    unsigned answered;
    unsigned answered_min;
    unsigned refused; /* with OVERLOADED or TIMEOUT */
    unsigned others;
};

static void on_frame(void *owner, const struct frame *frame)
{
    struct crowd *crowd = owner;
    int code = error_of_status(frame->flags);
    struct frame part;
    size_t needed;
    if (frame->op == FRAME_BATCH)
        for (struct slice rest = frame->value;
             frame_parse(rest, FRAME_RESPONSE_BYTES_MAX, &part, &needed) == 1;
             rest = slice_of(rest.data + part.length, rest.bytes - part.length))
            on_frame(owner, &part);
    if (frame->op != FRAME_GET)
        return;
    crowd->answered += code == 0 && frame->value.bytes == VALUE_BYTES;
    crowd->refused += code == TORC_E_OVERLOADED || code == TORC_E_TIMEOUT;
    crowd->others += code != 0 && code != TORC_E_OVERLOADED && code != TORC_E_TIMEOUT;
}

static void on_end(void *owner, int reason)
{
    (void)owner;
    (void)reason;
}

static const struct client_handlers handlers = {.on_frame = on_frame, .on_end = on_end};

static const char *key_of(unsigned i)
{
    static char key[32];
    snprintf(key, sizeof key, "large-%u", i % VALUES);
    return key;
}

static void put_all(struct server_rig *rig)
{
    uint8_t *value = calloc(1, VALUE_BYTES);
    ASSERT(value);
    for (unsigned i = 0; i < VALUES; i++) {
        struct rig_request q = {.op = FRAME_PUT, .key = key_of(i), .value = slice_of(value, VALUE_BYTES)};
        CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    }
    free(value);
}

/* The keys from one on, each `step` behind the last. */
static void ask_all(struct client *c, unsigned from, unsigned step)
{
    for (unsigned i = 0; i < GETS; i++) {
        struct frame_parts parts = {.op = FRAME_GET, .request_id = i + 1};
        parts.key = slice_of_string(key_of(from + i * step));
        parts.record_checksum = checksum_record(parts.key, parts.value);
        client_send(c, &parts);
    }
}

static void check_memory(struct server_rig *rig)
{
    uint64_t max = rig_info_number(rig, "memory", "heap_bytes_max");
    uint64_t highest = rig_info_number(rig, "memory", "heap_bytes_highest");
    CU_ASSERT(highest <= max && highest > max / 4);
    CU_ASSERT(max < rig->server.options.cores * SERVER_MEMORY_BYTES);
}

static struct client *come(struct server_rig *rig, struct crowd *crowd, unsigned i)
{
    struct client *c = &crowd->clients[i];
    client_init(c, rig->reactor, &handlers, crowd);
    CU_ASSERT_EQUAL_FATAL(client_open(c, &rig->server.address, SECOND_NS), 0);
    client_send_hello(c, 1, crowd->core);
    task_sleep(rig->reactor, SECOND_NS / 100);
    return c;
}

/* One after another, for all keys. Every fourth does not read for some seconds, or ever. */
static void ask_in_turn(struct server_rig *rig, struct crowd *crowd)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = come(rig, crowd, i);
        if (i % 4 == 0)
            client_pause(c);
        ask_all(c, i, 7);
    }
    task_sleep(rig->reactor, 3 * SECOND_NS);
    for (unsigned i = 0; i < CLIENTS; i += 8)
        client_resume(&crowd->clients[i]);
}

/* All are there, and the key is in the memtable: its answers are there at once. */
static void come_together(struct server_rig *rig, struct crowd *crowd)
{
    uint8_t *value = calloc(1, VALUE_BYTES);
    ASSERT(value);
    struct rig_request q = {.op = FRAME_PUT,
                            .key = key_of(crowd->key),
                            .value = slice_of(value, VALUE_BYTES)};
    for (unsigned i = 0; i < CLIENTS; i++)
        come(rig, crowd, i);
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0);
    free(value);
}

/* All in the same turns. */
static void ask_together(struct server_rig *rig, struct crowd *crowd)
{
    come_together(rig, crowd);
    for (unsigned i = 0; i < CLIENTS; i++)
        ask_all(&crowd->clients[i], crowd->key, 0);
}

/* From the other one of two cores. */
static void ask_across(struct server_rig *rig, struct crowd *crowd)
{
    crowd->core = 0;
    crowd->answered_min = CLIENTS; /* the others are told at once to come again */
    while (key_slot(slice_of_string(key_of(crowd->key))) < (1 << 13))
        crowd->key++;
    ask_together(rig, crowd);
}

static uint8_t *add_part(uint8_t *to, struct frame_parts parts)
{
    parts.record_checksum = checksum_record(parts.key, parts.value);
    frame_encode(to, &parts);
    return to + frame_bytes(&parts);
}

/* In batches that each wait for a put. */
static void ask_in_batches(struct server_rig *rig, struct crowd *crowd)
{
    enum { TOGETHER = 4 };
    come_together(rig, crowd);
    for (unsigned i = 0; i < CLIENTS * GETS / TOGETHER; i++) {
        uint8_t parts[1024], *end = parts;
        for (unsigned k = 0; k < TOGETHER; k++)
            end = add_part(end,
                           (struct frame_parts){.op = FRAME_GET, .key = slice_of_string(key_of(crowd->key))});
        end = add_part(end, (struct frame_parts){.op = FRAME_PUT, .key = slice_of_string("small")});
        struct frame_parts batch = {.op = FRAME_BATCH,
                                    .request_id = i + 1,
                                    .value = slice_of(parts, (size_t)(end - parts))};
        client_send(&crowd->clients[i % CLIENTS], &batch);
    }
}

static void crowd_in(struct server_rig *rig, void (*ask)(struct server_rig *rig, struct crowd *crowd))
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    ASSERT(crowd);
    crowd->core = FRAME_CORE_ANY;
    crowd->answered_min = ANSWERED_MIN;
    ask(rig, crowd);
    task_sleep(rig->reactor, 20 * SECOND_NS);
    CU_ASSERT(crowd->answered >= crowd->answered_min);
    CU_ASSERT_EQUAL(crowd->others, 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_close(&crowd->clients[i]);
        client_deinit(&crowd->clients[i]);
    }
    check_memory(rig);
    struct rig_request q = {.op = FRAME_PUT, .key = "small", .value = slice_of_string("value")};
    CU_ASSERT_EQUAL(rig_ask_now(rig, &q), 0); /* it serves on */
    free(crowd);
}

static void crowd_in_turn(struct server_rig *rig)
{
    crowd_in(rig, ask_in_turn);
}

static void crowd_together(struct server_rig *rig)
{
    crowd_in(rig, ask_together);
}

static void crowd_across(struct server_rig *rig)
{
    crowd_in(rig, ask_across);
}

static void crowd_in_batches(struct server_rig *rig)
{
    crowd_in(rig, ask_in_batches);
}

static void try_crowd(unsigned cores, void (*body)(struct server_rig *rig))
{
    struct server_rig rig;
    server_rig_open(&rig, cores);
    rig.server.options.memory = cores * SERVER_MEMORY_BYTES;
    rig.server.options.cache_bytes = 0;
    rig.server.options.memtable_bytes = 0;
    server_rig_allow_large_values(&rig, 16 << 20);
    server_rig_start(&rig);
    server_rig_run(&rig, put_all);
    server_rig_run(&rig, body);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}

TEST(server_keeps_within_its_memory_when_many_want_large_values_and_some_do_not_read)
{
    try_crowd(1, crowd_in_turn);
}

TEST(server_keeps_within_its_memory_when_many_ask_at_once_for_what_is_in_memory)
{
    try_crowd(1, crowd_together);
}

TEST(server_keeps_within_its_memory_when_many_ask_at_once_for_what_another_core_has_in_memory)
{
    try_crowd(2, crowd_across);
}

TEST(server_keeps_within_its_memory_when_batches_wait_with_large_values)
{
    try_crowd(1, crowd_in_batches);
}
