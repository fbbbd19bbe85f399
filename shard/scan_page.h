/* scan_page.h - a page of a scan in the making. */
#ifndef SHARD_SCAN_PAGE_H
#define SHARD_SCAN_PAGE_H

#include "shard/request.h"
#include "shard/scan_query.h"

enum {
    SCAN_PAGE_BYTES = 256 * 1024,    /* a page ends when it is this large; one entry may be larger */
    SCAN_PAGE_NS_MAX = 20 * 1000000, /* or when it has taken this long */
    SCAN_LOOKED_IN_ROW = 1024,       /* dead records before it asks what time it is */
    SCAN_LOOKED_MAX = 64 * 1024,     /* that an ordered page looks at, over all vnodes of a core */
};

struct scan_page {
    uint8_t *data; /* {u16 cursor bytes, cursor} is put in front at the end, in the room left for it */
    size_t capacity;
    size_t end;
    size_t last; /* where the entry added last begins */
    uint32_t entries;
};

/* Returns: 0 or TORC_E_NO_MEMORY. */
MUST_CHECK int scan_page_init(struct scan_page *page, struct reactor *r);
void scan_page_deinit(struct scan_page *page, struct reactor *r);
MUST_CHECK int scan_page_add(struct scan_page *page, struct reactor *r, struct slice key, struct slice value);

static inline size_t scan_entry_bytes(struct slice key, struct slice value)
{
    return FRAME_SCAN_ENTRY_HEADER_BYTES + key.bytes + value.bytes;
}

/* The key of the entry added last. Requires: there is one. */
struct slice scan_page_last_key(const struct scan_page *page);

/* Is there no room for one more? The first always has. */
bool scan_page_is_full(const struct scan_page *page, uint32_t limit, struct slice key, struct slice value);

/* Puts the cursor of the next page of the query in front; null: this was the last. Returns: the value of the
 * answer, which lives as long as the page. */
struct slice scan_page_finish(struct scan_page *page, const struct scan_query *q,
                              const struct scan_place *next);

#endif
