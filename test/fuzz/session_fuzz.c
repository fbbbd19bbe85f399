/* session_fuzz.c - a whole server under a connection that says anything.
 *
 *   input: | u8 switches | u8 size of the segments it is sent in | frames |
 *
 * A simulated node of two cores with an empty store serves; another node connects and sends. Whatever comes
 * back is whole answers with right checks, no more than were asked for; the server then ends in order and has
 * lost nothing of its memory. */
#include "test/fuzz/fuzz.h"

#include "reactor/sim/sim.h"
#include "shard/shard.h"
#include "wire/wire.h"

#include <stdlib.h>

enum switches {
    HELLO = 2, /* a right hello goes ahead */
    ENDS = 4,  /* the client closes when it has sent, and waits for no answer */
};

enum {
    FRONT_BYTES = 2,
    CORES = 2,
    PORT = 7070,
    HELLO_BYTES = FRAME_HEADER_BYTES + FRAME_HELLO_BYTES,
    PIECES_MAX = 64, /* of what is sent */
    ANSWERS_BYTES_MAX = 8 << 20,
    SECOND_NS = 1000000000,
};

struct run {
    uint8_t switches;
    uint8_t *sent;
    size_t sent_bytes;
    size_t piece_bytes;
    uint8_t *received;
    size_t received_bytes;
    struct event has_sent;
    struct event has_ended;
    struct reactor *client;
};

/* ---- what is sent ---- */

static size_t put_hello(uint8_t *to)
{
    uint8_t value[FRAME_HELLO_BYTES];
    struct frame_hello hello = {.version_min = 1, .version_max = 1, .core = FRAME_CORE_ANY};
    frame_hello_encode(value, &hello);
    struct frame_parts parts = {.op = FRAME_HELLO, .value = slice_of(value, sizeof value)};
    parts.record_checksum = checksum_record(parts.key, parts.value);
    return frame_encode(to, &parts);
}

/* Makes the checks of frames right, those in batches too. Returns: how many frames there are, about. */
static unsigned mend(uint8_t *bytes, size_t count, bool is_batch)
{
    struct frame f;
    size_t needed;
    unsigned frames = 0;
    for (size_t at = 0; frame_parse(slice_of(bytes + at, count - at), FRAME_BYTES_MAX, &f, &needed) == 1;
         frames++) {
        uint64_t checksum = f.op == FRAME_BATCH ? 0 : checksum_record(f.key, f.value);
        if (f.op == FRAME_BATCH && !is_batch)
            mend(bytes + at + FRAME_HEADER_BYTES + f.key.bytes, f.value.bytes, true);
        uint32_t check = frame_cover(bytes + at, f.extensions) ^ checksum_fold(checksum);
        store_u32le(bytes + at + FRAME_HEADER_BYTES - 4, check);
        at += f.length;
    }
    return frames;
}

/* ---- the client ---- */

static void on_data(void *owner, struct slice bytes)
{
    struct run *run = owner;
    ASSERT(run->received_bytes + bytes.bytes <= ANSWERS_BYTES_MAX);
    slice_put(run->received + run->received_bytes, bytes);
    run->received_bytes += bytes.bytes;
}

static void on_sent(void *owner, int result)
{
    struct run *run = owner;
    event_set(run->client, &run->has_sent, result);
}

static void on_end(void *owner, int reason)
{
    struct run *run = owner;
    event_set(run->client, &run->has_ended, reason);
}

static void send_pieces(struct run *run, struct socket *s)
{
    for (size_t at = 0; at < run->sent_bytes;) {
        size_t left = run->sent_bytes - at;
        struct slice piece = slice_of(run->sent + at, left < run->piece_bytes ? left : run->piece_bytes);
        event_init(&run->has_sent);
        socket_send(s, &piece, 1);
        if (event_wait(run->client, &run->has_sent, EVENT_FOREVER) != 0)
            return;
        at += piece.bytes;
    }
}

static int run_client(struct reactor *r, void *context)
{
    static const struct socket_handlers handlers = {on_data, on_sent, on_end};
    struct run *run = context;
    struct address address = {.host = "10.0.0.1", .port = PORT};
    struct socket *s = NULL;
    run->client = r;
    event_init(&run->has_ended);
    int rc = socket_connect(r, &address, SECOND_NS, &s);
    ASSERT(rc == 0);
    socket_start(s, &handlers, run);
    send_pieces(run, s);
    if (!(run->switches & ENDS)) {
        rc = event_wait(r, &run->has_ended, SECOND_NS / 2); /* or it is left to itself */
        ASSERT(rc != 0);
    }
    socket_close(s, NULL);
    reactor_stop(r);
    return 0;
}

/* ---- what came back ---- */

static void check_answers(const struct run *run, unsigned frames_max)
{
    struct slice rest = slice_of(run->received, run->received_bytes);
    struct frame f;
    size_t needed;
    unsigned count = 0;
    int rc;
    while ((rc = frame_parse(rest, FRAME_RESPONSE_BYTES_MAX, &f, &needed)) == 1) {
        ASSERT(f.is_response);
        uint64_t checksum = f.op == FRAME_BATCH ? 0 : checksum_record(slice_of(NULL, 0), f.value);
        if (f.op != FRAME_GET || f.flags != 0)
            ASSERT(frame_is_intact(&f, checksum));
        rest = slice_of(rest.data + f.length, rest.bytes - f.length);
        count++;
    }
    ASSERT(rc == 0 && rest.bytes == 0);
    ASSERT(count <= frames_max + 2); /* the refusal of what is no frame, and of a hello that is missing */
}

/* ---- the server ---- */

static void set_options(struct options *o)
{
    *o = (struct options){.data = "data",
                          .node_id = 1,
                          .vnode_bits = 4,
                          .listen = {.host = "10.0.0.1", .port = PORT},
                          .is_insecure = true,
                          .connections_max = 16,
                          .write_timeout_ms = 30000,
                          .shutdown_timeout_ms = 1000,
                          .request_timeout_ms = 10000,
                          .cores = CORES,
                          .pin_first_cpu = -1,
                          .memtable_bytes = 1 << 20,
                          .log_bytes_max = 1 << 20,
                          .segment_bytes = 256 << 10,
                          .cache_bytes = 1 << 20};
}

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

static void serve(struct run *run)
{
    static const struct engine_options sizes = {.value_bytes_max = 16 << 10};
    struct options *options = malloc(sizeof *options);
    ASSERT(options);
    set_options(options);
    struct shard_context context = {.options = options, .sizes = &sizes};
    struct sim_world_options world_options = {.seed = 1, .heap_fill = 0xa5};
    struct reactor_options reactor = {.core_count = CORES, .first_cpu = -1},
                           one = {.core_count = 1, .first_cpu = -1};
    struct sim_world *world = sim_world_new(&world_options);
    struct sim_node *server = sim_node_new(world, "10.0.0.1", NULL),
                    *client = sim_node_new(world, "10.0.0.2", NULL);
    sim_node_start(server, &reactor, shard_main, &context);
    sim_run(world, sim_now_ns(world) + SECOND_NS, NULL, NULL);
    ASSERT(sim_node_is_up(server));
    sim_node_start(client, &one, run_client, run);
    bool has_ended = sim_run(world, sim_now_ns(world) + UINT64_C(100) * SECOND_NS, is_down, client);
    ASSERT(has_ended && sim_node_result(client) == 0 && sim_node_is_up(server));
    sim_node_ask_to_stop(server);
    has_ended = sim_run(world, sim_now_ns(world) + UINT64_C(100) * SECOND_NS, is_down, server);
    ASSERT(has_ended && sim_node_result(server) == 0);
    struct sim_leaks leaks = sim_node_leaks(server);
    ASSERT(leaks.files == 0 && leaks.sockets == 0 && leaks.listeners == 0 && leaks.tasks == 0);
    sim_world_free(world);
    free(options);
}

static void run(struct slice input)
{
    struct run run = {0};
    if (input.bytes < FRONT_BYTES)
        return;
    run.switches = input.data[0];
    struct slice frames = slice_of(input.data + FRONT_BYTES, input.bytes - FRONT_BYTES);
    run.sent = malloc(HELLO_BYTES + frames.bytes);
    run.received = malloc(ANSWERS_BYTES_MAX);
    ASSERT(run.sent && run.received);
    size_t hello_bytes = run.switches & HELLO ? put_hello(run.sent) : 0;
    slice_put(run.sent + hello_bytes, frames);
    run.sent_bytes = hello_bytes + frames.bytes;
    size_t least = run.sent_bytes / PIECES_MAX + 1;
    run.piece_bytes = input.data[1] > least ? input.data[1] : least;
    if (input.data[1] == 0)
        run.piece_bytes = run.sent_bytes;
    uint8_t *copy = fuzz_copy(slice_of(run.sent, run.sent_bytes));
    unsigned frames_max = mend(copy, run.sent_bytes, false);
    if (run.switches & FUZZ_CHECKSUMS)
        memcpy(run.sent, copy, run.sent_bytes);
    free(copy);
    serve(&run);
    check_answers(&run, frames_max);
    free(run.sent);
    free(run.received);
}

/* ---- seeds ---- */

static size_t put(uint8_t *to, uint8_t op, struct slice key, struct slice value)
{
    struct frame_parts parts = {.op = op, .request_id = op, .key = key, .value = value};
    return frame_encode(to, &parts); /* its check is made right when it is sent */
}

static void seed(struct fuzz_seeds *to)
{
    static const uint8_t cursor[] = {0, 3, 'k'};
    uint8_t bytes[1024] = {FUZZ_CHECKSUMS | HELLO, 0}, inner[512];
    struct slice none = slice_of(NULL, 0), key = slice_of_string("key"), value = slice_of_string("value");
    size_t count = FRONT_BYTES + put(bytes + FRONT_BYTES, FRAME_PUT, key, value);
    count += put(bytes + count, FRAME_GET, key, none);
    count += put(bytes + count, FRAME_EXISTS, key, none);
    count += put(bytes + count, FRAME_DELETE, key, none);
    fuzz_seed(to, "a_key", slice_of(bytes, count));
    bytes[1] = 7;
    fuzz_seed(to, "a_key_in_pieces", slice_of(bytes, count));
    bytes[1] = 0;
    count = FRONT_BYTES + put(bytes + FRONT_BYTES, FRAME_SCAN, none, none);
    count += put(bytes + count, FRAME_SCAN, slice_of_string("{tag}k"), slice_of(cursor, sizeof cursor));
    count += put(bytes + count, FRAME_INFO, none, none);
    count += put(bytes + count, FRAME_PING, none, value);
    fuzz_seed(to, "scan_info_ping", slice_of(bytes, count));
    size_t inner_count = put(inner, FRAME_PUT, key, value);
    inner_count += put(inner + inner_count, FRAME_PUT, value, key);
    inner_count += put(inner + inner_count, FRAME_GET, key, none);
    inner_count += put(inner + inner_count, FRAME_DELETE, value, none);
    count = FRONT_BYTES + put(bytes + FRONT_BYTES, FRAME_BATCH, none, slice_of(inner, inner_count));
    fuzz_seed(to, "batch", slice_of(bytes, count));
    bytes[0] = FUZZ_CHECKSUMS;
    fuzz_seed(to, "no_hello", slice_of(bytes, count));
    bytes[0] = HELLO | ENDS;
    fuzz_seed(to, "wrong_checks", slice_of(bytes, count));
}

const struct fuzz_target session_fuzz = {.name = "session", .run = run, .seed = seed};
