/* scan.c - one page of a scan, in a task. */
#include "shard/scan.h"

#include "reactor/base/mark.h"

#include "reactor/base/crc16.h"
#include "shard/shard.h"

enum {
    PAGE_BYTES = 256 * 1024,    /* a page ends when it is this large; one entry may be larger */
    PAGE_NS_MAX = 20 * 1000000, /* or when it has taken this long */
};

struct page {
    uint8_t *data; /* {u16 cursor bytes, cursor} is put in front at the end, in the room left for it */
    size_t capacity;
    size_t end;
    uint32_t entries;
};

enum { PAGE_FRONT_BYTES = 2 + FRAME_CURSOR_BYTES_MAX };

/* The cursor of a request. Returns: 0 or TORC_E_MALFORMED. */
static int parse_cursor(const struct shard *s, struct slice cursor, uint16_t *vnode, struct slice *key)
{
    *vnode = 0;
    *key = slice_of(NULL, 0);
    if (cursor.bytes == 0)
        return 0;
    if (cursor.bytes < 2 || cursor.bytes > FRAME_CURSOR_BYTES_MAX)
        return TORC_E_MALFORMED;
    *vnode = load_u16be(cursor.data);
    *key = slice_of(cursor.data + 2, cursor.bytes - 2);
    return *vnode < 1u << s->vnode_bits ? 0 : TORC_E_MALFORMED;
}

/* A prefix that holds a whole tag has all its keys in one vnode. */
static bool prefix_vnode(const struct shard *s, struct slice prefix, uint16_t *vnode)
{
    struct slice tag = key_tag(prefix);
    if (tag.bytes == 0 || tag.data == prefix.data)
        return false;
    *vnode = shard_vnode_of_key(s, prefix);
    return true;
}

void scan_start(struct shard *s, const struct reply *reply, const struct frame *frame,
                const struct arrival *arrival)
{
    struct request request = {.reply = *reply, .frame = *frame, .arrival = *arrival};
    uint16_t vnode;
    struct slice key;
    int rc = shard_parse_extensions(frame->extensions, &request.extensions);
    if (rc == 0 && frame->key.bytes > KEY_BYTES_MAX)
        rc = TORC_E_KEY_TOO_LONG;
    if (rc == 0)
        rc = parse_cursor(s, frame->value, &vnode, &key);
    if (rc == 0 && frame->value.bytes == 0)
        prefix_vnode(s, frame->key, &vnode);
    unsigned core = rc == 0 ? shard_core_of_vnode(s, vnode) : s->core;
    if (rc == 0 && core != s->core) {
        rc = exchange_request(s, core, reply, frame, arrival);
        if (rc == 0)
            return;
    }
    if (rc)
        shard_reply_code(s, reply, rc);
    else
        jobs_add(s, &request);
}

static int page_add(struct shard *s, struct page *page, struct slice key, struct slice value)
{
    size_t bytes = FRAME_SCAN_ENTRY_HEADER_BYTES + key.bytes + value.bytes;
    if (page->end + bytes > page->capacity) {
        size_t capacity = page->capacity * 2 > page->end + bytes ? page->capacity * 2 : page->end + bytes;
        uint8_t *grown = reactor_realloc(s->reactor, page->data, capacity);
        if (!grown)
            return TORC_E_NO_MEMORY;
        page->data = grown;
        page->capacity = capacity;
    }
    page->end += frame_page_encode_entry(page->data + page->end, key, value);
    page->entries++;
    return 0;
}

/* Where the next page begins. */
struct position {
    bool is_end;
    uint16_t vnode;
    uint16_t key_bytes;
    uint8_t key[KEY_BYTES_MAX];
};

static void position_set(struct position *p, uint16_t vnode, struct slice key)
{
    p->is_end = false;
    p->vnode = vnode;
    p->key_bytes = (uint16_t)key.bytes;
    if (key.bytes)
        memcpy(p->key, key.data, key.bytes);
}

static bool page_is_full(const struct page *page, const struct job *job, struct slice key, struct slice value)
{
    size_t bytes = FRAME_SCAN_ENTRY_HEADER_BYTES + key.bytes + value.bytes;
    return page->entries >= job->limit ||
           (page->entries > 0 && page->end + bytes > PAGE_FRONT_BYTES + PAGE_BYTES);
}

/* Fills a page from the cursor on. Returns: 0 with *next set, or an error. Waits. */
static int fill_page(struct shard *s, const struct job *job, struct engine_cursor *cursor, struct page *page,
                     struct position *next)
{
    struct slice prefix = slice_of(job->bytes, job->key_bytes);
    uint64_t end_ns = reactor_clock_ns(s->reactor) + PAGE_NS_MAX;
    uint16_t only_vnode = 0;
    bool is_one_vnode = prefix_vnode(s, prefix, &only_vnode);
    struct record record;
    bool has_moved = false; /* however slow the disk is, each page gets further than the last */
    int rc;
    while ((rc = engine_cursor_next(cursor, &record)) == 1) {
        uint16_t vnode = record.key.vnode;
        struct slice key = record.key.key;
        if (job->is_answered) { /* too late: nobody waits for the page */
            MARK(a_late_scan_stops);
            return TORC_E_TIMEOUT;
        }
        if (is_one_vnode && vnode > only_vnode)
            return 0;
        if (page_is_full(page, job, key, record.value) ||
            (has_moved && reactor_clock_ns(s->reactor) > end_ns)) {
            position_set(next, vnode, key);
            return 0;
        }
        has_moved = true;
        if (slice_starts_with(key, prefix)) {
            struct slice value = job->flags & FRAME_KEYS_ONLY ? slice_of(NULL, 0) : record.value;
            rc = page_add(s, page, key, value);
        } else {
            /* Before the prefix: on to it. Behind it: on to the prefix in the next vnode. */
            bool is_behind = slice_compare(key, prefix) > 0;
            if (is_behind && (is_one_vnode || vnode + 1u == 1u << s->vnode_bits))
                return 0;
            rc = engine_cursor_seek(cursor, &(struct record_key){.vnode = (uint16_t)(vnode + is_behind),
                                                                 .key = prefix});
        }
        if (rc)
            return rc;
    }
    return rc;
}

static void page_reply(struct shard *s, struct job *job, struct page *page, const struct position *next)
{
    size_t cursor_bytes = next->is_end ? 0 : 2u + next->key_bytes;
    uint8_t *front = page->data + PAGE_FRONT_BYTES - 2 - cursor_bytes;
    store_u16le(front, (uint16_t)cursor_bytes);
    if (cursor_bytes) {
        store_u16be(front + 2, next->vnode);
        memcpy(front + 4, next->key, next->key_bytes);
    }
    struct slice value = slice_of(front, page->end - (size_t)(front - page->data));
    job_reply(s, job, &(struct answer){.value = value});
}

/* Where this core's vnodes end the next core goes on, unless it was the last. */
static void set_after_last(const struct shard *s, const struct job *job, struct position *next)
{
    uint32_t vnode_count = 1u << s->vnode_bits;
    uint32_t after = ((s->core + 1) * vnode_count + s->core_count - 1) / s->core_count;
    uint16_t only_vnode = 0;
    next->is_end = after >= vnode_count || prefix_vnode(s, slice_of(job->bytes, job->key_bytes), &only_vnode);
    next->vnode = (uint16_t)after;
    next->key_bytes = 0;
}

void scan_run(struct shard *s, struct job *job)
{
    struct slice prefix = slice_of(job->bytes, job->key_bytes);
    struct record_key from = {.key = prefix};
    struct slice cursor_key;
    int rc =
        parse_cursor(s, slice_of(job->bytes + job->key_bytes, job->cursor_bytes), &from.vnode, &cursor_key);
    ASSERT(rc == 0); /* scan_start has parsed it */
    if (job->cursor_bytes == 0)
        prefix_vnode(s, prefix, &from.vnode);
    if (slice_compare(cursor_key, prefix) > 0)
        from.key = cursor_key;
    struct engine_cursor *cursor = NULL;
    struct position *next = reactor_alloc(s->reactor, sizeof *next);
    struct page page = {.capacity = PAGE_FRONT_BYTES + 16 * 1024, .end = PAGE_FRONT_BYTES};
    page.data = reactor_alloc(s->reactor, page.capacity);
    rc = page.data && next ? 0 : TORC_E_NO_MEMORY;
    if (rc == 0) {
        set_after_last(s, job, next);
        rc = engine_cursor_open(s->engine, &from, reactor_wall_ms(s->reactor), &cursor);
    }
    if (rc == 0) {
        rc = fill_page(s, job, cursor, &page, next);
        engine_cursor_close(cursor);
    }
    if (rc < 0)
        job_reply(s, job, &(struct answer){.code = rc});
    else
        page_reply(s, job, &page, next);
    reactor_free(s->reactor, page.data);
    reactor_free(s->reactor, next);
}
