/* scan.c - the blocking walk over the keys with a prefix or of a range: one page in memory, the next one
 * asked for when it is used up. */
#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>

struct torc_scan {
    torc_client *client;
    uint32_t limit;
    uint32_t flags;
    bool is_last; /* no page follows the one in memory */
    bool is_done; /* the request for a page was answered */
    int status;
    torc_bytes rest; /* of the page */
    uint8_t *page;
    size_t page_capacity;
    size_t prefix_bytes;
    size_t from_bytes;
    size_t to_bytes;
    size_t cursor_bytes;
    uint8_t prefix[TORC_KEY_BYTES_MAX];
    uint8_t from[TORC_KEY_BYTES_MAX];
    uint8_t to[TORC_KEY_BYTES_MAX];
    uint8_t cursor[TORC_CURSOR_BYTES_MAX];
};

static size_t copy(uint8_t *to, torc_bytes bytes)
{
    if (bytes.bytes)
        memcpy(to, bytes.data, bytes.bytes);
    return bytes.bytes;
}

int torc_scan_open(torc_client *client, const struct torc_page *page, torc_scan **out)
{
    *out = NULL;
    int rc = client_check_page(page);
    if (rc != 0)
        return rc;
    torc_scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return TORC_NO_MEMORY;
    scan->client = client;
    scan->limit = page->limit;
    scan->flags = page->flags;
    scan->prefix_bytes = copy(scan->prefix, page->prefix);
    scan->from_bytes = copy(scan->from, page->from);
    scan->to_bytes = copy(scan->to, page->to);
    scan->cursor_bytes = copy(scan->cursor, page->cursor);
    *out = scan;
    return 0;
}

void torc_scan_close(torc_scan *scan)
{
    if (!scan)
        return;
    free(scan->page);
    free(scan);
}

/* Returns: 0, or TORC_MALFORMED when neither an entry came nor the cursor moved: it would go on for ever. */
static int take_cursor(torc_scan *scan, const struct torc_result *result)
{
    bool is_same = result->cursor.bytes == scan->cursor_bytes && result->cursor.bytes > 0 &&
                   memcmp(result->cursor.data, scan->cursor, scan->cursor_bytes) == 0;
    if (is_same && result->value.bytes == 0)
        return TORC_MALFORMED;
    scan->is_last = result->cursor.bytes == 0;
    scan->cursor_bytes = result->cursor.bytes;
    if (result->cursor.bytes)
        memcpy(scan->cursor, result->cursor.data, result->cursor.bytes);
    return 0;
}

static void keep_page(void *user, const struct torc_result *result)
{
    torc_scan *scan = user;
    scan->is_done = true;
    scan->status = result->status;
    if (result->status != 0) {
        size_t bytes =
            result->message.bytes < CLIENT_TEXT_BYTES ? result->message.bytes : CLIENT_TEXT_BYTES - 1;
        snprintf(scan->client->message, CLIENT_TEXT_BYTES, "%.*s", (int)bytes,
                 (const char *)result->message.data);
        return;
    }
    if (result->value.bytes > scan->page_capacity) {
        uint8_t *page = realloc(scan->page, result->value.bytes);
        if (!page) {
            scan->status = TORC_NO_MEMORY;
            return;
        }
        scan->page = page;
        scan->page_capacity = result->value.bytes;
    }
    scan->status = take_cursor(scan, result);
    if (scan->status != 0)
        return;
    if (result->value.bytes)
        memcpy(scan->page, result->value.data, result->value.bytes);
    scan->rest = torc_bytes_of(scan->page, result->value.bytes);
}

static int fetch_page(torc_scan *scan)
{
    struct torc_page page = {
        .prefix = torc_bytes_of(scan->prefix, scan->prefix_bytes),
        .cursor = torc_bytes_of(scan->cursor, scan->cursor_bytes),
        .limit = scan->limit,
        .flags = scan->flags,
        .from = torc_bytes_of(scan->from, scan->from_bytes),
        .to = torc_bytes_of(scan->to, scan->to_bytes),
    };
    torc_client *client = scan->client;
    client->message[0] = 0;
    scan->is_done = false;
    int rc = torc_scan_async(client, &page, keep_page, scan);
    while (rc == TORC_OVERLOADED && client->requests.in_flight > 0 && torc_poll(client, -1) >= 0)
        rc = torc_scan_async(client, &page, keep_page, scan);
    if (rc != 0)
        return rc;
    while (rc >= 0 && !scan->is_done) /* until the timeout at most */
        rc = torc_poll(client, -1);
    if (rc < 0) {
        client_abandon(client, scan);
        return rc;
    }
    return scan->status;
}

int torc_scan_next(torc_scan *scan, struct torc_entry *out)
{
    while (scan->rest.bytes == 0) { /* an empty page moves the cursor, or is the last */
        if (scan->is_last)
            return 0;
        int rc = fetch_page(scan);
        if (rc != 0)
            return rc;
    }
    return torc_entry_next(&scan->rest, out);
}
