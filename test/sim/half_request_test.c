/* half_request_test.c - clients that begin to send a request and do not go on, or go on slowly. */
#include "test/sim/server_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CORES = 2,
    SENDERS = 8,
    VALUE_BYTES = 200 << 10,
    TIMEOUT_S = 30, /* what write-timeout is when nobody says another */
    PIECES = 6,
    PIECE_EVERY_S = 20,
};

static const uint64_t SECOND_NS = 1000000000ull;

struct sender {
    struct client client;
    unsigned answers; /* but those to its hello */
    bool has_failed;  /* one of them */
    bool has_ended;
};

static void on_frame(void *owner, const struct frame *frame)
{
    struct sender *sender = owner;
    if (frame->op == FRAME_HELLO)
        return;
    sender->answers++;
    sender->has_failed |= error_of_status(frame->flags) != 0;
}

static void on_end(void *owner, int reason)
{
    struct sender *sender = owner;
    CU_ASSERT_EQUAL(reason, TORC_E_CLOSED);
    sender->has_ended = true;
}

static const struct client_handlers handlers = {.on_frame = on_frame, .on_end = on_end};

static void come(struct server_rig *rig, struct sender *sender, uint16_t core)
{
    *sender = (struct sender){.answers = 0};
    client_init(&sender->client, rig->reactor, &handlers, sender);
    CU_ASSERT_EQUAL_FATAL(client_open(&sender->client, &rig->server.address, SECOND_NS), 0);
    client_send_hello(&sender->client, 1, core);
}

static void leave(struct sender *sender)
{
    client_close(&sender->client);
    client_deinit(&sender->client);
}

/* Borrowed until the next call. */
static struct slice large_put(void)
{
    static uint8_t value[VALUE_BYTES], frame[VALUE_BYTES + 256];
    struct frame_parts put = {.op = FRAME_PUT, .request_id = 2, .key = slice_of_string("key")};
    put.value = slice_of(value, sizeof value);
    put.record_checksum = checksum_record(put.key, put.value);
    return slice_of(frame, frame_encode(frame, &put));
}

static unsigned count_ended(const struct sender senders[SENDERS])
{
    unsigned count = 0;
    for (unsigned i = 0; i < SENDERS; i++)
        count += senders[i].has_ended;
    return count;
}

static void try_body(void (*body)(struct server_rig *rig))
{
    struct server_rig rig;
    server_rig_open(&rig, CORES);
    rig.server.sizes.value_bytes_max = VALUE_BYTES;
    server_rig_start(&rig);
    server_rig_run(&rig, body);
    server_rig_stop(&rig);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.server.node).heap_bytes, 0);
    server_rig_close(&rig);
}

/* ---- nothing more comes ---- */

/* Some are at once where they want to be, others are handed over with what they have sent; one says but half
 * a hello. */
static void send_halves(struct server_rig *rig)
{
    struct sender senders[SENDERS];
    struct slice put = large_put();
    for (unsigned i = 0; i < SENDERS; i++) {
        come(rig, &senders[i], (uint16_t)(i % CORES));
        client_send_bytes(&senders[i].client, slice_of(put.data, i % 4 < 2 ? put.bytes / 2 : 100));
    }
    struct sender silent;
    client_init(&silent.client, rig->reactor, &handlers, &silent);
    silent.has_ended = false;
    CU_ASSERT_EQUAL_FATAL(client_open(&silent.client, &rig->server.address, SECOND_NS), 0);
    client_send_bytes(&silent.client, slice_of(put.data, 10));

    task_sleep(rig->reactor, (TIMEOUT_S - 2) * SECOND_NS);
    CU_ASSERT(rig_info_number(rig, "memory", "carry_bytes") > SENDERS * VALUE_BYTES);
    CU_ASSERT(rig_info_number(rig, "server", "connections_handed_over") > 0);
    CU_ASSERT(count_ended(senders) == 0 && !silent.has_ended);

    task_sleep(rig->reactor, 5 * SECOND_NS);
    CU_ASSERT_EQUAL(rig_info_number(rig, "memory", "carry_bytes"), 0);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_stuck"), SENDERS + 1);
    CU_ASSERT(count_ended(senders) == SENDERS && silent.has_ended);
    for (unsigned i = 0; i < SENDERS; i++)
        leave(&senders[i]);
    leave(&silent);
}

TEST(clients_that_send_half_a_request_and_no_more_are_closed_and_give_their_memory_back)
{
    try_body(send_halves);
}

/* ---- more comes, slowly ---- */

static void send_slowly(struct server_rig *rig)
{
    struct sender sender;
    struct slice put = large_put();
    come(rig, &sender, 1);
    size_t piece = put.bytes / PIECES + 1;
    for (size_t at = 0; at < put.bytes; at += piece) {
        size_t left = put.bytes - at;
        client_send_bytes(&sender.client, slice_of(put.data + at, left < piece ? left : piece));
        task_sleep(rig->reactor, PIECE_EVERY_S * SECOND_NS);
    }
    CU_ASSERT(sender.answers == 1 && !sender.has_failed);
    task_sleep(rig->reactor, 3 * TIMEOUT_S * SECOND_NS); /* with nothing begun it may be silent */
    CU_ASSERT_FALSE(sender.has_ended);
    CU_ASSERT_EQUAL(rig_info_number(rig, "server", "connections_closed_stuck"), 0);
    leave(&sender);
}

TEST(a_client_that_sends_a_request_slowly_is_heard_to_the_end)
{
    try_body(send_slowly);
}

static void send_never_ending(struct server_rig *rig)
{
    struct sender sender;
    come(rig, &sender, 1);
    client_send_bytes(&sender.client, slice_of(large_put().data, VALUE_BYTES));
    task_sleep(rig->reactor, 3 * TIMEOUT_S * SECOND_NS);
    CU_ASSERT_FALSE(sender.has_ended);
    leave(&sender);
}

TEST(a_client_may_leave_a_request_half_sent_for_ever_where_there_is_no_time_limit)
{
    struct server_rig rig;
    server_rig_open(&rig, CORES);
    rig.server.options.write_timeout_ms = 0;
    server_rig_start(&rig);
    server_rig_run(&rig, send_never_ending);
    server_rig_stop(&rig);
    server_rig_close(&rig);
}
