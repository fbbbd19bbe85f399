/* scan_query.c - what a scan asks for; see scan_query.h. */
#include "shard/scan_query.h"

#include "reactor/base/crc16.h"
#include "shard/shard.h"

enum { SHAPE_FLAGS = FRAME_REVERSE | FRAME_ORDERED | FRAME_RANGE | FRAME_SNAPSHOT };

uint32_t scan_first_vnode(const struct shard *s, unsigned core)
{
    uint32_t vnode_count = 1u << s->vnode_bits;
    return (core * vnode_count + s->core_count - 1) / s->core_count;
}

/* The first key behind all those with the prefix; empty: there is none. */
static struct slice end_of_prefix(struct slice prefix, uint8_t to[FRAME_KEY_BYTES_MAX])
{
    size_t bytes = prefix.bytes;
    while (bytes > 0 && prefix.data[bytes - 1] == 0xff)
        bytes--;
    if (bytes == 0)
        return slice_of(NULL, 0);
    memcpy(to, prefix.data, bytes);
    to[bytes - 1]++;
    return slice_of(to, bytes);
}

/* What all keys of a range begin with. */
static struct slice common_start(struct slice from, struct slice to)
{
    size_t bytes = 0;
    while (bytes < from.bytes && bytes < to.bytes && from.data[bytes] == to.data[bytes])
        bytes++;
    return slice_of(from.data, bytes);
}

/* Keys that begin with a whole tag are all in one vnode. */
static void find_only_vnode(const struct shard *s, struct scan_query *q, struct slice start)
{
    struct slice tag = key_tag(start);
    q->is_one_vnode = tag.bytes > 0 && tag.data != start.data;
    if (q->is_one_vnode)
        q->only_vnode = shard_vnode_of_key(s, start);
}

static int parse_cursor(const struct shard *s, struct slice cursor, struct scan_query *q)
{
    size_t front = scan_cursor_front_bytes(q->flags);
    if (cursor.bytes < front || cursor.data[0] != (q->flags & SHAPE_FLAGS))
        return TORC_E_MALFORMED;
    uint16_t vnode = load_u16be(cursor.data + front - 2);
    struct slice key = scan_cursor_key(q->flags, cursor);
    uint32_t vnode_count = 1u << s->vnode_bits;
    bool is_beginning = vnode == 0 && key.bytes == 0 && !q->is_ordered; /* nothing is below it */
    if (key.bytes > FRAME_KEY_BYTES_MAX || vnode > vnode_count || (vnode == vnode_count && !q->is_backward) ||
        (vnode == vnode_count && key.bytes > 0) || (is_beginning && q->is_backward))
        return TORC_E_MALFORMED;
    q->place = (struct scan_place){vnode, key};
    if (q->flags & FRAME_SNAPSHOT)
        q->view = load_u64le(cursor.data + 1);
    return 0;
}

/* Without a cursor. */
static void set_first_place(const struct shard *s, struct scan_query *q)
{
    uint32_t last = (1u << s->vnode_bits) - 1;
    uint32_t vnode = q->is_one_vnode ? q->only_vnode : q->is_backward && !q->is_ordered ? last : 0;
    q->place = (struct scan_place){(uint16_t)vnode, q->is_backward ? q->to : q->from};
    if (q->is_backward && !q->is_ordered && q->to.bytes == 0)
        q->place.vnode++; /* all of the vnode before */
}

int scan_query_parse(const struct shard *s, uint8_t flags, struct slice key, struct slice value,
                     struct scan_query *out)
{
    struct frame_scan scan;
    if (key.bytes > KEY_BYTES_MAX)
        return TORC_E_KEY_TOO_LONG;
    if ((flags & ~FRAME_SCAN_FLAGS) != 0)
        return TORC_E_MALFORMED;
    int rc = frame_scan_parse(flags, value, &scan);
    if (rc)
        return rc;
    out->flags = flags;
    out->is_backward = (flags & FRAME_REVERSE) != 0;
    out->from = key;
    out->to = (flags & FRAME_RANGE) ? scan.to : end_of_prefix(key, out->to_bytes);
    find_only_vnode(s, out, (flags & FRAME_RANGE) ? common_start(key, scan.to) : key);
    out->is_ordered = (flags & FRAME_ORDERED) && !out->is_one_vnode;
    out->view = 0;
    out->wants_view = (flags & FRAME_SNAPSHOT) && scan.cursor.bytes == 0;
    if (scan.cursor.bytes > 0)
        return parse_cursor(s, scan.cursor, out);
    set_first_place(s, out);
    return 0;
}

unsigned scan_query_core(const struct shard *s, const struct scan_query *q)
{
    bool is_before = q->is_backward && q->place.key.bytes == 0; /* the page is of the vnode before */
    return shard_core_of_vnode(s, (uint16_t)(q->place.vnode - is_before));
}

void scan_cursor_encode_front(uint8_t *to, uint8_t flags, uint64_t view, uint16_t vnode)
{
    to[0] = flags & SHAPE_FLAGS;
    if (flags & FRAME_SNAPSHOT)
        store_u64le(to + 1, view);
    store_u16be(to + scan_cursor_front_bytes(flags) - 2, vnode);
}
