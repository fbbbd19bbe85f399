/* server_rig.c - one server and one client in a world; see server_rig.h. */
#include "test/sim/server_rig.h"

#include "reactor/base/crc16.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELLO_ID = UINT32_MAX, WAITS_S_MAX = 400 };

static const uint64_t SECOND_NS = 1000000000ull;

static void on_frame(void *owner, const struct frame *frame)
{
    struct server_rig *rig = owner;
    event_set(rig->reactor, &rig->progress, 0);
    if (frame->request_id == HELLO_ID)
        return;
    struct rig_answer *a = &rig->answers[frame->request_id - 1];
    if (frame->request_id == 0 || frame->request_id > rig->asked || a->count++ > 0) {
        rig->mistakes++;
        return;
    }
    a->code = error_of_status(frame->flags);
    a->answered_ns = reactor_now_ns(rig->reactor);
    struct frame_extensions e = {.has_version = false};
    rig->mistakes += frame_extensions_parse(frame->extensions, &e) != 0;
    a->version_clock = e.version_clock;
    a->value_bytes = (uint32_t)frame->value.bytes;
    if (frame->value.bytes <= sizeof a->value)
        memcpy(a->value, frame->value.data, frame->value.bytes);
    rig->answered++;
}

static void on_end(void *owner, int reason)
{
    struct server_rig *rig = owner;
    (void)reason;
    rig->has_ended = true;
    event_set(rig->reactor, &rig->progress, 0);
}

static const struct client_handlers handlers = {.on_frame = on_frame, .on_end = on_end};

/* ---- the world ---- */

static void on_log(void *context, struct sim_node *node, const char *line, size_t bytes)
{
    struct server_rig *rig = context;
    (void)node;
    if (rig->awaited_line && memmem(line, bytes, rig->awaited_line, strlen(rig->awaited_line)))
        rig->lines++;
}

void server_rig_open(struct server_rig *rig, unsigned cores)
{
    struct sim_world_options options = {.seed = 7, .context = rig, .on_log = on_log};
    *rig = (struct server_rig){.world = sim_world_new(&options)};
    server_node_init(&rig->server, rig->world, "10.0.0.1", cores);
    rig->client_node = sim_node_new(rig->world, "10.0.1.1", NULL);
    rig->answers = calloc(RIG_ANSWERS_MAX, sizeof *rig->answers);
    ASSERT(rig->answers);
}

void server_rig_close(struct server_rig *rig)
{
    sim_world_free(rig->world);
    free(rig->answers);
}

void server_rig_allow_large_values(struct server_rig *rig, uint64_t log_bytes_max)
{
    rig->server.options.segment_bytes = 4 << 20;
    rig->server.options.log_bytes_max = log_bytes_max;
    rig->server.sizes.value_bytes_max = 256 << 10;
    rig->server.sizes.table_bytes_max = 4 << 20;
}

void server_rig_set_fault(struct server_rig *rig, enum sim_fault fault, uint32_t per_million)
{
    struct sim_faults faults = {.per_million = {0}};
    faults.per_million[fault] = per_million;
    sim_world_set_faults(rig->world, &faults);
}

void server_rig_sleep(struct server_rig *rig, uint64_t ns)
{
    sim_run(rig->world, sim_now_ns(rig->world) + ns, NULL, NULL);
}

void server_rig_start(struct server_rig *rig)
{
    server_node_start(&rig->server);
    server_rig_sleep(rig, SECOND_NS);
    CU_ASSERT_FATAL(sim_node_is_up(rig->server.node));
}

static bool is_server_down(void *context)
{
    struct server_rig *rig = context;
    return !sim_node_is_up(rig->server.node);
}

static void stop(struct server_rig *rig, uint64_t within_ns, int result)
{
    sim_node_ask_to_stop(rig->server.node);
    CU_ASSERT_FATAL(sim_run(rig->world, sim_now_ns(rig->world) + within_ns, is_server_down, rig));
    CU_ASSERT_EQUAL(sim_node_result(rig->server.node), result);
}

void server_rig_stop(struct server_rig *rig)
{
    stop(rig, WAITS_S_MAX * SECOND_NS, 0);
}

void server_rig_stop_in_vain(struct server_rig *rig, uint64_t within_ns)
{
    stop(rig, within_ns, TORC_E_TIMEOUT);
}

/* ---- the client ---- */

static int client_main(struct reactor *r, void *context)
{
    struct server_rig *rig = context;
    rig->reactor = r;
    rig->asked = rig->answered = 0;
    rig->has_ended = false;
    client_init(&rig->client, r, &handlers, rig);
    int rc = client_open(&rig->client, &rig->server.address, SECOND_NS);
    CU_ASSERT_EQUAL(rc, 0);
    if (rc == 0) {
        client_send_hello(&rig->client, HELLO_ID, FRAME_CORE_ANY);
        rig->body(rig);
    }
    client_close(&rig->client);
    client_deinit(&rig->client);
    reactor_stop(r);
    return 0;
}

static bool is_client_down(void *context)
{
    struct server_rig *rig = context;
    return !sim_node_is_up(rig->client_node);
}

void server_rig_begin(struct server_rig *rig, void (*body)(struct server_rig *rig))
{
    struct reactor_options options = {.core_count = 1};
    rig->body = body;
    sim_node_start(rig->client_node, &options, client_main, rig);
}

void server_rig_finish(struct server_rig *rig)
{
    CU_ASSERT(sim_run(rig->world, sim_now_ns(rig->world) + WAITS_S_MAX * SECOND_NS, is_client_down, rig));
    CU_ASSERT_EQUAL(rig->mistakes, 0);
}

void server_rig_run(struct server_rig *rig, void (*body)(struct server_rig *rig))
{
    server_rig_begin(rig, body);
    server_rig_finish(rig);
}

unsigned rig_ask(struct server_rig *rig, const struct rig_request *q)
{
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    struct frame_extensions e = {.expiry_ms = q->expiry_ms, .deadline_ms = q->deadline_ms, .limit = q->limit};
    unsigned place = rig->asked++;
    ASSERT(place < RIG_ANSWERS_MAX);
    rig->answers[place] = (struct rig_answer){.code = 1, .asked_ns = reactor_now_ns(rig->reactor)};
    struct frame_parts parts = {.op = q->op, .flags = q->flags, .request_id = place + 1, .value = q->value};
    parts.key = slice_of_string(q->key ? q->key : "");
    if (q->expiry_ms || q->deadline_ms || q->limit)
        parts.extensions = slice_of(extensions, frame_extensions_encode(extensions, &e));
    parts.record_checksum = q->op == FRAME_BATCH ? 0 : checksum_record(parts.key, parts.value);
    client_send(&rig->client, &parts);
    return place;
}

void rig_await(struct server_rig *rig)
{
    while (rig->answered < rig->asked && !rig->has_ended) {
        event_init(&rig->progress);
        int rc = event_wait(rig->reactor, &rig->progress, WAITS_S_MAX * SECOND_NS);
        CU_ASSERT_EQUAL_FATAL(rc, 0);
    }
}

int rig_ask_now(struct server_rig *rig, const struct rig_request *q)
{
    unsigned place = rig_ask(rig, q);
    rig_await(rig);
    return rig->answers[place].code;
}

uint64_t rig_info_number(struct server_rig *rig, const char *section, const char *name)
{
    struct rig_request q = {.op = FRAME_INFO, .key = section};
    char text[RIG_VALUE_BYTES_MAX + 1], wanted[64];
    unsigned place = rig_ask(rig, &q);
    rig_await(rig);
    const struct rig_answer *a = &rig->answers[place];
    CU_ASSERT_FATAL(a->value_bytes < sizeof text);
    memcpy(text, a->value, a->value_bytes);
    text[a->value_bytes] = '\0';
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(text, wanted);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    return strtoull(at + strlen(wanted), NULL, 10);
}

unsigned rig_core_of(const struct server_rig *rig, const char *key)
{
    const struct options *o = &rig->server.options;
    return frame_core_of_slot(crc16(key, strlen(key)) % 16384, o->vnode_bits, (uint16_t)o->cores);
}
