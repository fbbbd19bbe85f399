/* async.c - starting a request: it is checked, given a slot, and encoded straight into the output of the
 * connection that leads to the core which owns its key. Nothing is sent here. */
#include "client/client.h"

enum { SCAN_FLAGS = TORC_KEYS_ONLY | TORC_REVERSE | TORC_ORDERED | TORC_SNAPSHOT };

/* What is asked, before it has a request id and a connection. */
struct asked {
    uint8_t op;
    uint8_t flags;
    struct slice key;
    struct slice value;
    struct slice extensions;
    torc_done *done;
    void *user;
};

static inline struct slice as_slice(torc_bytes bytes)
{
    return slice_of(bytes.data, bytes.bytes);
}

static inline int check_key(torc_bytes key)
{
    if (key.bytes == 0)
        return TORC_KEY_EMPTY;
    return key.bytes > TORC_KEY_BYTES_MAX ? TORC_KEY_TOO_LONG : 0;
}

/* Requires: lengths within limits. Returns: 0, TORC_OVERLOADED, TORC_NO_MEMORY or TORC_CANCELLED. */
static int start_on(struct connection *c, uint64_t key_hash, const struct asked *asked)
{
    struct torc_client *client = c->client;
    if (__builtin_expect(client->is_closing, 0))
        return TORC_CANCELLED;
    struct frame_parts parts = {
        .op = asked->op,
        .flags = asked->flags,
        .key = asked->key,
        .value = asked->value,
        .extensions = asked->extensions,
        .record_checksum = checksum_record_of_hash(key_hash, asked->value),
    };
    size_t bytes = frame_bytes(&parts);
    struct output *output = &c->output;
    if (client_output_unsent_bytes(output) + bytes > client->settings.unsent_bytes_max)
        return TORC_OVERLOADED;
    if (client_output_reserve(output, bytes) != 0)
        return TORC_NO_MEMORY;
    struct request *r = client_requests_begin(&client->requests);
    if (!r)
        return TORC_OVERLOADED;
    r->key_hash = key_hash;
    r->done = asked->done;
    r->user = asked->user;
    r->connection = c->index;
    r->op = asked->op;
    parts.request_id = request_id(&client->requests, r);
    uint8_t *to = output->data + output->end;
    frame_encode_header(to, &parts);
    slice_put(slice_put(slice_put(to + FRAME_HEADER_BYTES, asked->key), asked->value), asked->extensions);
    output->end += bytes;
    client->counters.requests++;
    client_connection_mark_dirty(c);
    return 0;
}

static inline int start(torc_client *client, const struct asked *asked)
{
    uint64_t key_hash = checksum_bytes(asked->key.data, asked->key.bytes);
    return start_on(client_route(client, asked->key), key_hash, asked);
}

int torc_get_async(torc_client *client, torc_bytes key, uint32_t flags, torc_done *done, void *user)
{
    int rc = check_key(key);
    if (rc != 0)
        return rc;
    if ((flags & ~(uint32_t)TORC_WANT_VERSION) != 0)
        return TORC_MALFORMED;
    struct asked asked = {
        .op = FRAME_GET, .flags = (uint8_t)flags, .key = as_slice(key), .done = done, .user = user};
    return start(client, &asked);
}

int torc_put_async(torc_client *client, torc_bytes key, torc_bytes value, uint64_t ttl_ms, torc_done *done,
                   void *user)
{
    int rc = check_key(key);
    if (rc != 0)
        return rc;
    if (value.bytes > TORC_VALUE_BYTES_MAX)
        return TORC_VALUE_TOO_LARGE;
    uint8_t bytes[FRAME_EXTENSION_BYTES_MAX];
    struct asked asked = {
        .op = FRAME_PUT, .key = as_slice(key), .value = as_slice(value), .done = done, .user = user};
    if (ttl_ms != 0)
        asked.extensions =
            slice_of(bytes, frame_extensions_encode(bytes, &(struct frame_extensions){.expiry_ms = ttl_ms}));
    return start(client, &asked);
}

static int start_with_key(torc_client *client, const struct asked *asked)
{
    int rc = check_key(torc_bytes_of(asked->key.data, asked->key.bytes));
    return rc != 0 ? rc : start(client, asked);
}

int torc_delete_async(torc_client *client, torc_bytes key, torc_done *done, void *user)
{
    struct asked asked = {.op = FRAME_DELETE, .key = as_slice(key), .done = done, .user = user};
    return start_with_key(client, &asked);
}

int torc_exists_async(torc_client *client, torc_bytes key, torc_done *done, void *user)
{
    struct asked asked = {.op = FRAME_EXISTS, .key = as_slice(key), .done = done, .user = user};
    return start_with_key(client, &asked);
}

int torc_ping_async(torc_client *client, uint32_t core, torc_bytes payload, torc_done *done, void *user)
{
    if (core != 0 && core >= client->core_count)
        return TORC_MALFORMED;
    if (payload.bytes > TORC_VALUE_BYTES_MAX)
        return TORC_VALUE_TOO_LARGE;
    struct asked asked = {.op = FRAME_PING, .value = as_slice(payload), .done = done, .user = user};
    struct connection *c = client->connections[core * client->settings.connections_per_core];
    return start_on(c, client->empty_key_hash, &asked);
}

int torc_info_async(torc_client *client, torc_bytes section, torc_done *done, void *user)
{
    if (section.bytes > TORC_KEY_BYTES_MAX)
        return TORC_KEY_TOO_LONG;
    struct asked asked = {.op = FRAME_INFO, .key = as_slice(section), .done = done, .user = user};
    return start_on(client->connections[0], checksum_bytes(section.data, section.bytes), &asked);
}

int torc_admin_async(torc_client *client, torc_bytes command, torc_bytes argument, torc_done *done,
                     void *user)
{
    if (command.bytes > TORC_KEY_BYTES_MAX)
        return TORC_KEY_TOO_LONG;
    if (argument.bytes > TORC_KEY_BYTES_MAX)
        return TORC_VALUE_TOO_LARGE;
    struct asked asked = {
        .op = FRAME_ADMIN, .key = as_slice(command), .value = as_slice(argument), .done = done, .user = user};
    return start_on(client->connections[0], checksum_bytes(command.data, command.bytes), &asked);
}

int client_check_page(const struct torc_page *page)
{
    bool is_range = page->from.bytes > 0 || page->to.bytes > 0;
    if (page->prefix.bytes > TORC_KEY_BYTES_MAX || page->from.bytes > TORC_KEY_BYTES_MAX ||
        page->to.bytes > TORC_KEY_BYTES_MAX)
        return TORC_KEY_TOO_LONG;
    if (page->cursor.bytes > TORC_CURSOR_BYTES_MAX || page->limit > TORC_SCAN_LIMIT_MAX ||
        (page->flags & ~(uint32_t)SCAN_FLAGS) != 0 || (is_range && page->prefix.bytes > 0))
        return TORC_MALFORMED;
    return 0;
}

int torc_scan_async(torc_client *client, const struct torc_page *page, torc_done *done, void *user)
{
    int rc = client_check_page(page);
    if (rc != 0)
        return rc;
    uint8_t bytes[FRAME_EXTENSION_BYTES_MAX], value[FRAME_SCAN_VALUE_BYTES_MAX];
    struct asked asked = {
        .op = FRAME_SCAN,
        .flags = (uint8_t)page->flags,
        .key = as_slice(page->prefix),
        .value = as_slice(page->cursor),
        .done = done,
        .user = user,
    };
    if (page->from.bytes > 0 || page->to.bytes > 0) {
        struct frame_scan scan = {.to = as_slice(page->to), .cursor = as_slice(page->cursor)};
        asked.flags |= FRAME_RANGE;
        asked.key = as_slice(page->from);
        asked.value = slice_of(value, frame_scan_encode(value, &scan));
    }
    if (page->limit != 0)
        asked.extensions =
            slice_of(bytes, frame_extensions_encode(bytes, &(struct frame_extensions){.limit = page->limit}));
    return start(client, &asked);
}

/* ---- many at once ---- */

int64_t torc_mget_async(torc_client *client, const torc_bytes *keys, size_t count, torc_done *done,
                        void *user, size_t user_stride)
{
    for (size_t i = 0; i < count; i++) {
        void *mine = (char *)user + i * user_stride;
        int rc = torc_get_async(client, keys[i], 0, done, mine);
        if (rc != 0)
            return i > 0 ? (int64_t)i : rc;
    }
    return (int64_t)count;
}

int64_t torc_mput_async(torc_client *client, const struct torc_entry *entries, size_t count, uint64_t ttl_ms,
                        torc_done *done, void *user, size_t user_stride)
{
    for (size_t i = 0; i < count; i++) {
        void *mine = (char *)user + i * user_stride;
        int rc = torc_put_async(client, entries[i].key, entries[i].value, ttl_ms, done, mine);
        if (rc != 0)
            return i > 0 ? (int64_t)i : rc;
    }
    return (int64_t)count;
}
