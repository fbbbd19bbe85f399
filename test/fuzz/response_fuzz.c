/* response_fuzz.c - what a client reads from a server: answers to requests in flight, pages of scans in them.
 *
 * A client without a socket has one request of each kind in flight. Every request is called back once; what
 * the callback is shown lies in the bytes that came. */
#include "test/fuzz/fuzz.h"

#include "client/client.h"

#include <stdlib.h>

enum { REQUESTS = 8 };

struct world {
    struct torc_client client;
    struct slice input;
    unsigned called[REQUESTS];
    struct world *self[REQUESTS]; /* the user of request i is &self[i] */
};

static bool is_inside(const struct world *w, torc_bytes part)
{
    const uint8_t *data = part.data;
    return part.bytes == 0 || (data >= w->input.data && part.bytes <= w->input.bytes &&
                               (size_t)(data - w->input.data) <= w->input.bytes - part.bytes);
}

static void on_done(void *user, const struct torc_result *result)
{
    struct world **self = user;
    struct world *w = *self;
    w->called[self - w->self]++;
    if (result->status != 0) {
        ASSERT(result->message.data && result->cursor.bytes == 0 && result->value.bytes == 0);
        return;
    }
    ASSERT(is_inside(w, result->value) && is_inside(w, result->cursor));
    ASSERT(result->cursor.bytes <= TORC_CURSOR_BYTES_MAX);
    torc_bytes rest = result->value;
    struct torc_entry entry;
    while (torc_entry_next(&rest, &entry) == 1) /* each takes its header off the front */
        ASSERT(is_inside(w, entry.key) && is_inside(w, entry.value));
}

/* ---- a client with requests in flight ---- */

static void start_requests(struct world *w)
{
    struct torc_client *c = &w->client;
    torc_bytes key = torc_string("key");
    struct torc_page page = {.prefix = torc_string("user:"), .limit = 10};
    int rc = torc_get_async(c, key, 0, on_done, &w->self[0]);
    rc |= torc_get_async(c, key, TORC_WANT_VERSION, on_done, &w->self[1]);
    rc |= torc_put_async(c, key, key, 1000, on_done, &w->self[2]);
    rc |= torc_delete_async(c, key, on_done, &w->self[3]);
    rc |= torc_exists_async(c, key, on_done, &w->self[4]);
    rc |= torc_ping_async(c, 0, key, on_done, &w->self[5]);
    rc |= torc_info_async(c, torc_string(""), on_done, &w->self[6]);
    rc |= torc_scan_async(c, &page, on_done, &w->self[7]);
    ASSERT(rc == 0 && torc_in_flight(c) == REQUESTS);
}

static struct world *open_world(struct slice input)
{
    struct world *w = calloc(1, sizeof *w);
    ASSERT(w);
    w->input = input;
    w->client.epoll_fd = -1;
    w->client.answering = UINT32_MAX;
    w->client.empty_key_hash = checksum_bytes(NULL, 0);
    w->client.settings = (struct torc_options){.connections_per_core = 1,
                                               .pipeline_max = REQUESTS,
                                               .unsent_bytes_max = 1 << 20};
    int rc = client_requests_init(&w->client.requests, REQUESTS);
    if (rc == 0)
        rc = client_init_topology(&w->client);
    ASSERT(rc == 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        w->self[i] = w;
    start_requests(w);
    return w;
}

static void close_world(struct world *w)
{
    struct requests *requests = &w->client.requests;
    while (requests->in_flight > 0)
        client_fail(&w->client, &requests->all[requests->oldest], TORC_CANCELLED);
    for (unsigned i = 0; i < REQUESTS; i++)
        ASSERT(w->called[i] == 1);
    client_deinit_topology(&w->client);
    client_requests_deinit(requests);
    free(w);
}

/* ---- the answers ---- */

/* The check that a server would have made for the request that this answers. */
static void make_right(struct torc_client *c, uint8_t *bytes, const struct frame *f)
{
    struct request *r = client_requests_find(&c->requests, f->request_id);
    uint64_t key_hash = r && f->op == FRAME_GET && f->flags == 0 ? r->key_hash : c->empty_key_hash;
    uint32_t check =
        frame_cover(bytes, f->extensions) ^ checksum_fold(checksum_record_of_hash(key_hash, f->value));
    store_u32le(bytes + FRAME_HEADER_BYTES - 4, check);
}

static void run(struct slice input)
{
    uint8_t switches = fuzz_take_switches(&input);
    uint8_t *bytes = fuzz_copy(input);
    struct world *w = open_world(slice_of(bytes, input.bytes));
    struct slice rest = w->input;
    struct frame f;
    size_t needed;
    while (frame_parse(rest, FRAME_RESPONSE_BYTES_MAX, &f, &needed) == 1) {
        uint8_t *at = bytes + (rest.data - bytes);
        if (switches & FUZZ_CHECKSUMS) {
            make_right(&w->client, at, &f);
            f.check = load_u32le(at + FRAME_HEADER_BYTES - 4);
        }
        if (client_response_take(w->client.connections[0], &f) != 0)
            break;
        rest = slice_of(at + f.length, rest.bytes - f.length);
    }
    close_world(w);
    free(bytes);
}

/* ---- seeds ---- */

static size_t answer(uint8_t *to, uint8_t op, uint32_t index, struct slice value, struct slice extensions)
{
    struct frame_parts parts = {
        .op = op,
        .is_response = true,
        .request_id = UINT64_C(1) << 32 | index,
        .value = value,
        .extensions = extensions,
        .record_checksum =
            checksum_record(op == FRAME_GET ? slice_of_string("key") : slice_of(NULL, 0), value),
    };
    return frame_encode(to, &parts);
}

static void seed(struct fuzz_seeds *to)
{
    uint8_t bytes[1024] = {FUZZ_CHECKSUMS}, page[256] = {3, 0, 0, 1, 'k'},
            extensions[FRAME_EXTENSION_BYTES_MAX];
    struct slice value = slice_of_string("value"), none = slice_of(NULL, 0);
    struct frame_extensions version = {.has_version = true, .version_clock = 9, .version_node = 1};
    size_t version_bytes = frame_extensions_encode(extensions, &version);
    size_t count = 1 + answer(bytes + 1, FRAME_GET, 0, value, none);
    count += answer(bytes + count, FRAME_GET, 1, value, slice_of(extensions, version_bytes));
    count += answer(bytes + count, FRAME_PUT, 2, none, none);
    count += answer(bytes + count, FRAME_DELETE, 3, none, none);
    count += answer(bytes + count, FRAME_EXISTS, 4, none, none);
    count += answer(bytes + count, FRAME_PING, 5, slice_of_string("key"), none);
    count += answer(bytes + count, FRAME_INFO, 6, slice_of_string("{}"), none);
    size_t page_bytes = 5 + frame_page_encode_entry(page + 5, slice_of_string("user:1"), value);
    page_bytes += frame_page_encode_entry(page + page_bytes, slice_of_string("user:2"), none);
    count += answer(bytes + count, FRAME_SCAN, 7, slice_of(page, page_bytes), none);
    fuzz_seed(to, "answers_to_all", slice_of(bytes, count));
    bytes[0] = 0;
    fuzz_seed(to, "answers_as_they_are", slice_of(bytes, count));
    struct frame_parts refusal = {.op = FRAME_SCAN, .flags = 14, .is_response = true, .value = value};
    refusal.request_id = UINT64_C(1) << 32 | 7;
    refusal.record_checksum = checksum_record(none, value);
    count = 1 + frame_encode(bytes + 1, &refusal);
    fuzz_seed(to, "refusal", slice_of(bytes, count));
}

const struct fuzz_target response_fuzz = {.name = "response", .run = run, .seed = seed};
