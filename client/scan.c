/* scan.c - the blocking walk over the keys with a prefix or of a range: one page in memory, the next one
 * asked for when it is used up. A page counts when it is whole and its cursor has moved: else the walk stays
 * where it is and may go on. */
#include "client/client.h"

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
    size_t earlier_bytes;
    uint64_t page_count;
    uint64_t earlier_until; /* at so many pages `earlier` is the cursor, and this is doubled */
    uint8_t prefix[TORC_KEY_BYTES_MAX];
    uint8_t from[TORC_KEY_BYTES_MAX];
    uint8_t to[TORC_KEY_BYTES_MAX];
    uint8_t cursor[TORC_CURSOR_BYTES_MAX];
    uint8_t earlier[TORC_CURSOR_BYTES_MAX];
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
    scan->earlier_bytes = copy(scan->earlier, page->cursor);
    scan->earlier_until = 1;
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

/* Returns: false when the cursor has been there before: the walk would go on for ever. One earlier cursor
 * shows any such circle (Brent, "An improved Monte Carlo factorization algorithm", 1980). */
static bool take_cursor(torc_scan *scan, torc_bytes cursor)
{
    if (cursor.bytes > 0 && cursor.bytes == scan->earlier_bytes &&
        memcmp(cursor.data, scan->earlier, cursor.bytes) == 0)
        return false;
    scan->is_last = cursor.bytes == 0;
    scan->cursor_bytes = copy(scan->cursor, cursor);
    if (++scan->page_count == scan->earlier_until) {
        scan->earlier_bytes = copy(scan->earlier, cursor);
        scan->earlier_until *= 2;
    }
    return true;
}

static bool is_whole(torc_bytes entries)
{
    struct torc_entry entry;
    int rc = 1;
    while (rc == 1)
        rc = torc_entry_next(&entries, &entry);
    return rc == 0;
}

static void keep_page(void *user, const struct torc_result *result)
{
    torc_scan *scan = user;
    scan->is_done = true;
    scan->status = result->status;
    if (result->status != 0) {
        client_set_message(scan->client, result->message);
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
    if (!is_whole(result->value) || !take_cursor(scan, result->cursor)) {
        scan->status = TORC_MALFORMED;
        return;
    }
    scan->rest = torc_bytes_of(scan->page, copy(scan->page, result->value));
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
    uint64_t since_ms = 0;
    int rc;
    do
        rc = torc_scan_async(client, &page, keep_page, scan);
    while (client_makes_room(client, rc, &since_ms));
    while (rc >= 0 && !scan->is_done) /* until the timeout at most */
        rc = torc_poll(client, -1);
    if (scan->is_done)
        return scan->status;
    client_abandon(client, scan);
    return rc;
}

int torc_scan_next(torc_scan *scan, struct torc_entry *out)
{
    while (scan->rest.bytes == 0) { /* an empty page moves the cursor, or is the last */
        if (scan->is_last)
            return 0;
        int rc = fetch_page(scan);
        if (rc != 0 && scan->client->message[0] == 0)
            client_set_message(scan->client, torc_string(torc_error_sentence(rc)));
        if (rc != 0)
            return rc;
    }
    return torc_entry_next(&scan->rest, out);
}
