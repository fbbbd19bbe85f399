/* response.c - a frame from the server becomes the outcome of a request.
 *
 * The check of the answer to a get is that of (requested key, value): the pending request keeps the key's
 * hash, so a value that is another key's, or was damaged anywhere between the client that put it and here,
 * is found out. */
#include "client/client.h"

static struct slice as_slice(torc_bytes bytes)
{
    return slice_of(bytes.data, bytes.bytes);
}

static torc_bytes as_bytes(struct slice slice)
{
    return torc_bytes_of(slice.data, slice.bytes);
}

static int add_version(const struct frame *f, struct torc_result *result)
{
    struct frame_extensions extensions;
    if (frame_extensions_parse(f->extensions, &extensions) != 0)
        return TORC_MALFORMED;
    result->has_version = extensions.has_version;
    result->version_clock = extensions.version_clock;
    result->version_node = extensions.version_node;
    return 0;
}

/* What the status, a get's extensions and a scan's page say; a write that is done is done, whatever else a
 * later server says of it. Returns: 0, or TORC_MALFORMED. */
static int fill_result(uint8_t op, const struct frame *f, struct torc_result *result)
{
    if (f->flags != 0) {
        result->status = error_of_status(f->flags);
        result->message = f->value.bytes ? as_bytes(f->value) : torc_string(error_sentence(result->status));
        return 0;
    }
    result->value = as_bytes(f->value);
    if (op == FRAME_GET && f->extensions.bytes != 0)
        return add_version(f, result);
    if (op != FRAME_SCAN)
        return 0;
    struct slice cursor;
    struct slice entries;
    if (frame_page_parse(f->value, &cursor, &entries) != 0)
        return TORC_MALFORMED;
    result->cursor = as_bytes(cursor);
    result->value = as_bytes(entries);
    return 0;
}

int client_response_take(struct connection *c, const struct frame *f)
{
    struct torc_client *client = c->client;
    if (!f->is_response || (uint32_t)f->request_id >= client->requests.capacity)
        return TORC_MALFORMED;
    struct request *r = client_requests_find(&client->requests, f->request_id);
    if (!r) {
        client->counters.late_responses++;
        return 0;
    }
    if (r->op != f->op || r->connection != c->index)
        return TORC_MALFORMED;
    uint64_t key_hash = f->op == FRAME_GET && f->flags == 0 ? r->key_hash : client->empty_key_hash;
    if (!frame_is_intact(f, checksum_record_of_hash(key_hash, f->value))) {
        client_fail(client, r, TORC_CHECKSUM);
        return TORC_CHECKSUM;
    }
    struct torc_result result = {0};
    if (fill_result(r->op, f, &result) != 0) {
        client_fail(client, r, TORC_MALFORMED);
        return TORC_MALFORMED;
    }
    client_complete(client, r, &result);
    return 0;
}

int torc_entry_next(torc_bytes *rest, struct torc_entry *out)
{
    struct slice entries = as_slice(*rest);
    struct slice key;
    struct slice value;
    int rc = frame_page_next(&entries, &key, &value);
    if (rc != 1)
        return rc;
    *rest = as_bytes(entries);
    out->key = as_bytes(key);
    out->value = as_bytes(value);
    return 1;
}
