/* scan_query.h - what a scan asks for, and the cursor that leads from page to page.
 *
 *   cursor:  | u8 shape | u64 view, with FRAME_SNAPSHOT | u16 vnode, big-endian | key |
 *
 * The shape is the flags of the request that matter to it, so the cursor of another scan is refused. Forward
 * a page begins with the first key not below (vnode, key); backward with the last one below it. In the order
 * of keys the vnode says nothing and is 0. */
#ifndef SHARD_SCAN_QUERY_H
#define SHARD_SCAN_QUERY_H

#include "shard/request.h"

struct shard;

/* Where a page begins. */
struct scan_place {
    uint16_t vnode;
    struct slice key;
};

struct scan_query {
    uint8_t flags;     /* of the frame */
    bool is_backward;  /* FRAME_REVERSE */
    bool is_ordered;   /* FRAME_ORDERED, and there is more than one vnode to put in order */
    bool is_one_vnode; /* all its keys have one tag: */
    uint16_t only_vnode;
    struct slice from; /* no key below it */
    struct slice to;   /* nor at or behind it; empty: there is no end */
    struct scan_place place;
    bool wants_view;                       /* FRAME_SNAPSHOT: it has none yet */
    uint64_t view;                         /* FRAME_SNAPSHOT: of the cursor */
    uint8_t to_bytes[FRAME_KEY_BYTES_MAX]; /* of `to`, when it comes of a prefix */
};

/* Of key and value of a frame or a job, which the query borrows. Returns: 0, TORC_E_KEY_TOO_LONG,
 * TORC_E_MALFORMED. */
MUST_CHECK int scan_query_parse(const struct shard *s, uint8_t flags, struct slice key, struct slice value,
                                struct scan_query *out);

/* The core that makes the page, when they are not gathered from all. */
unsigned scan_query_core(const struct shard *s, const struct scan_query *q);
/* The first vnode of a core; of the core behind the last: the number of vnodes. */
uint32_t scan_first_vnode(const struct shard *s, unsigned core);

static inline bool scan_is_below(const struct scan_query *q, struct slice key)
{
    return slice_compare(key, q->from) < 0;
}

static inline bool scan_is_above(const struct scan_query *q, struct slice key)
{
    return q->to.bytes > 0 && slice_compare(key, q->to) >= 0;
}

enum { SCAN_LIMIT_DEFAULT = 1000 };

/* Entries of a page, at most. */
static inline uint32_t scan_limit(const struct frame_extensions *e)
{
    return e->limit ? e->limit : SCAN_LIMIT_DEFAULT;
}

enum { SCAN_CURSOR_FRONT_MAX = 11 };
static_assert((int)SCAN_CURSOR_FRONT_MAX + (int)FRAME_KEY_BYTES_MAX <= (int)FRAME_CURSOR_BYTES_MAX,
              "every cursor fits");

/* The bytes before the key. */
static inline size_t scan_cursor_front_bytes(uint8_t flags)
{
    return (flags & FRAME_SNAPSHOT) ? 11 : 3;
}
/* Writes them; `view` counts with FRAME_SNAPSHOT only. */
void scan_cursor_encode_front(uint8_t *to, uint8_t flags, uint64_t view, uint16_t vnode);
/* The key in a cursor of ours. */
static inline struct slice scan_cursor_key(uint8_t flags, struct slice cursor)
{
    size_t front = scan_cursor_front_bytes(flags);
    return slice_of(cursor.data + front, cursor.bytes - front);
}

#endif
