/* scan_page.c - a page of a scan in the making; see scan_page.h. */
#include "shard/scan_page.h"

#include "reactor/reactor.h"

enum { FRONT_BYTES = 2 + FRAME_CURSOR_BYTES_MAX, FIRST_BYTES = 16 * 1024 };

int scan_page_init(struct scan_page *page, struct reactor *r)
{
    *page = (struct scan_page){.capacity = FRONT_BYTES + FIRST_BYTES, .end = FRONT_BYTES};
    page->data = reactor_alloc(r, page->capacity);
    return page->data ? 0 : TORC_E_NO_MEMORY;
}

void scan_page_deinit(struct scan_page *page, struct reactor *r)
{
    reactor_free(r, page->data);
}

bool scan_page_is_full(const struct scan_page *page, uint32_t limit, struct slice key, struct slice value)
{
    size_t end = page->end + scan_entry_bytes(key, value);
    return page->entries >= limit || (page->entries > 0 && end > FRONT_BYTES + SCAN_PAGE_BYTES);
}

int scan_page_add(struct scan_page *page, struct reactor *r, struct slice key, struct slice value)
{
    size_t end = page->end + scan_entry_bytes(key, value);
    if (end > page->capacity) {
        size_t capacity = page->capacity * 2 > end ? page->capacity * 2 : end;
        uint8_t *grown = reactor_realloc(r, page->data, capacity);
        if (!grown)
            return TORC_E_NO_MEMORY;
        page->data = grown;
        page->capacity = capacity;
    }
    page->last = page->end;
    page->end += frame_page_encode_entry(page->data + page->end, key, value);
    page->entries++;
    return 0;
}

struct slice scan_page_last_key(const struct scan_page *page)
{
    struct slice entry = slice_of(page->data + page->last, page->end - page->last), key, value;
    int rc = frame_page_next(&entry, &key, &value);
    ASSERT(rc == 1);
    return key;
}

struct slice scan_page_finish(struct scan_page *page, const struct scan_query *q,
                              const struct scan_place *next)
{
    size_t front_bytes = scan_cursor_front_bytes(q->flags);
    size_t cursor_bytes = next ? front_bytes + next->key.bytes : 0;
    uint8_t *front = page->data + FRONT_BYTES - 2 - cursor_bytes;
    store_u16le(front, (uint16_t)cursor_bytes);
    if (next) {
        scan_cursor_encode_front(front + 2, q->flags, q->view, next->vnode);
        slice_put(front + 2 + front_bytes, next->key);
    }
    return slice_of(front, page->end - (size_t)(front - page->data));
}
