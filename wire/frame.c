/* frame.c - the native frame's parser and writer; the grammar is in frame.h and docs/formats.md.
 *
 * A parser takes bytes and a limit, never reads past them, and refuses lengths that lie before anyone
 * allocates for them. What it returns points into the bytes it was given. */
#include "wire/frame.h"

static_assert(FRAME_HEADER_BYTES == 4 + 1 + 1 + 2 + 8 + 4 + 4, "the header has no gaps");
static_assert(FRAME_BYTES_MAX <= FRAME_RESPONSE_BYTES_MAX, "a value that was put can be answered");

int frame_parse(struct slice bytes, uint32_t length_max, struct frame *out, size_t *needed)
{
    *needed = FRAME_HEADER_BYTES;
    if (bytes.bytes < 4)
        return 0;
    const uint8_t *p = bytes.data;
    uint32_t length = load_u32le(p);
    if (length > length_max)
        return TORC_E_FRAME_TOO_LARGE;
    if (length < FRAME_HEADER_BYTES)
        return TORC_E_FRAME_LENGTH;
    if (bytes.bytes < FRAME_HEADER_BYTES)
        return 0;
    uint32_t key_bytes = load_u16le(p + 6);
    uint32_t value_bytes = load_u32le(p + 16);
    uint32_t body_bytes = length - FRAME_HEADER_BYTES;
    if (key_bytes > body_bytes || value_bytes > body_bytes - key_bytes ||
        body_bytes - key_bytes - value_bytes > FRAME_EXTENSION_BYTES_MAX)
        return TORC_E_FRAME_LENGTH;
    if (bytes.bytes < length) {
        *needed = length;
        return 0;
    }
    *out = (struct frame){
        .length = length,
        .op = p[4] & (uint8_t)~FRAME_RESPONSE,
        .flags = p[5],
        .is_response = (p[4] & FRAME_RESPONSE) != 0,
        .request_id = load_u64le(p + 8),
        .check = load_u32le(p + 20),
        .key = slice_of(p + FRAME_HEADER_BYTES, key_bytes),
        .value = slice_of(p + FRAME_HEADER_BYTES + key_bytes, value_bytes),
        .extensions =
            slice_of(p + FRAME_HEADER_BYTES + key_bytes + value_bytes, body_bytes - key_bytes - value_bytes),
        .bytes = p,
    };
    return 1;
}

size_t frame_encode(uint8_t *to, const struct frame_parts *p)
{
    ASSERT(p->key.bytes <= UINT16_MAX);
    ASSERT(p->extensions.bytes <= FRAME_EXTENSION_BYTES_MAX);
    frame_encode_header(to, p);
    uint8_t *end = slice_put(to + FRAME_HEADER_BYTES, p->key);
    end = slice_put(end, p->value);
    end = slice_put(end, p->extensions);
    return (size_t)(end - to);
}

/* ---- extensions ---- */

enum { NAMESPACE_BYTES_MAX = 64, VERSION_BYTES = 10 };

static int parse_extension(uint8_t kind, struct slice body, struct frame_extensions *out)
{
    switch (kind) {
    case FRAME_EXT_EXPIRY_MS:
        if (body.bytes != 8)
            return TORC_E_MALFORMED;
        out->expiry_ms = load_u64le(body.data);
        return out->expiry_ms ? 0 : TORC_E_MALFORMED;
    case FRAME_EXT_NAMESPACE:
        if (body.bytes < 1 || body.bytes > NAMESPACE_BYTES_MAX)
            return TORC_E_MALFORMED;
        out->namespace_name = body;
        return 0;
    case FRAME_EXT_DEADLINE_MS:
        if (body.bytes != 4)
            return TORC_E_MALFORMED;
        out->deadline_ms = load_u32le(body.data);
        return out->deadline_ms ? 0 : TORC_E_MALFORMED;
    case FRAME_EXT_LIMIT:
        if (body.bytes != 4)
            return TORC_E_MALFORMED;
        out->limit = load_u32le(body.data);
        return out->limit >= 1 && out->limit <= FRAME_SCAN_LIMIT_MAX ? 0 : TORC_E_MALFORMED;
    case FRAME_EXT_VERSION:
        if (body.bytes != VERSION_BYTES)
            return TORC_E_MALFORMED;
        out->has_version = true;
        out->version_clock = load_u64le(body.data);
        out->version_node = load_u16le(body.data + 8);
        return 0;
    }
    return TORC_E_MALFORMED;
}

int frame_extensions_parse(struct slice bytes, struct frame_extensions *out)
{
    *out = (struct frame_extensions){0};
    uint32_t seen = 0;
    while (bytes.bytes > 0) {
        if (bytes.bytes < 2 || bytes.bytes - 2 < bytes.data[1])
            return TORC_E_MALFORMED;
        uint8_t kind = bytes.data[0];
        struct slice body = slice_of(bytes.data + 2, bytes.data[1]);
        if (kind >= 32 || (seen & (1u << kind)) != 0)
            return TORC_E_MALFORMED;
        seen |= 1u << kind;
        int rc = parse_extension(kind, body, out);
        if (rc)
            return rc;
        bytes = slice_of(body.data + body.bytes, bytes.bytes - 2 - body.bytes);
    }
    return 0;
}

static uint8_t *put_extension(uint8_t *to, uint8_t kind, const void *body, size_t bytes)
{
    to[0] = kind;
    to[1] = (uint8_t)bytes;
    return slice_put(to + 2, slice_of(body, bytes));
}

size_t frame_extensions_encode(uint8_t *to, const struct frame_extensions *e)
{
    ASSERT(e->namespace_name.bytes <= NAMESPACE_BYTES_MAX);
    uint8_t body[VERSION_BYTES];
    uint8_t *end = to;
    if (e->expiry_ms) {
        store_u64le(body, e->expiry_ms);
        end = put_extension(end, FRAME_EXT_EXPIRY_MS, body, 8);
    }
    if (e->namespace_name.bytes)
        end = put_extension(end, FRAME_EXT_NAMESPACE, e->namespace_name.data, e->namespace_name.bytes);
    if (e->deadline_ms) {
        store_u32le(body, e->deadline_ms);
        end = put_extension(end, FRAME_EXT_DEADLINE_MS, body, 4);
    }
    if (e->limit) {
        store_u32le(body, e->limit);
        end = put_extension(end, FRAME_EXT_LIMIT, body, 4);
    }
    if (e->has_version) {
        store_u64le(body, e->version_clock);
        store_u16le(body + 8, e->version_node);
        end = put_extension(end, FRAME_EXT_VERSION, body, VERSION_BYTES);
    }
    return (size_t)(end - to);
}

/* ---- hello ---- */

int frame_hello_parse(struct slice value, struct frame_hello *out)
{
    if (value.bytes != FRAME_HELLO_BYTES || load_u32le(value.data) != FRAME_HELLO_MAGIC)
        return TORC_E_MALFORMED;
    const uint8_t *p = value.data;
    *out = (struct frame_hello){
        .version_min = load_u16le(p + 4),
        .version_max = load_u16le(p + 6),
        .core = load_u16le(p + 8),
        .core_count = load_u16le(p + 10),
        .vnode_bits = p[12],
        .features = (uint32_t)p[13] | (uint32_t)p[14] << 8 | (uint32_t)p[15] << 16,
    };
    return out->vnode_bits <= 14 && out->version_min <= out->version_max ? 0 : TORC_E_MALFORMED;
}

void frame_hello_encode(uint8_t to[FRAME_HELLO_BYTES], const struct frame_hello *h)
{
    store_u32le(to, FRAME_HELLO_MAGIC);
    store_u16le(to + 4, h->version_min);
    store_u16le(to + 6, h->version_max);
    store_u16le(to + 8, h->core);
    store_u16le(to + 10, h->core_count);
    to[12] = h->vnode_bits;
    to[13] = (uint8_t)h->features;
    to[14] = (uint8_t)(h->features >> 8);
    to[15] = (uint8_t)(h->features >> 16);
}

/* ---- a scan ---- */

int frame_scan_parse(uint8_t flags, struct slice value, struct frame_scan *out)
{
    *out = (struct frame_scan){.cursor = value};
    if (!(flags & FRAME_RANGE))
        return value.bytes <= FRAME_CURSOR_BYTES_MAX ? 0 : TORC_E_MALFORMED;
    if (value.bytes < 2 || load_u16le(value.data) > value.bytes - 2)
        return TORC_E_MALFORMED;
    out->to = slice_of(value.data + 2, load_u16le(value.data));
    out->cursor = slice_of(out->to.data + out->to.bytes, value.bytes - 2 - out->to.bytes);
    return out->to.bytes <= FRAME_KEY_BYTES_MAX && out->cursor.bytes <= FRAME_CURSOR_BYTES_MAX
               ? 0
               : TORC_E_MALFORMED;
}

size_t frame_scan_encode(uint8_t *to, const struct frame_scan *scan)
{
    ASSERT(scan->to.bytes <= FRAME_KEY_BYTES_MAX && scan->cursor.bytes <= FRAME_CURSOR_BYTES_MAX);
    store_u16le(to, (uint16_t)scan->to.bytes);
    const uint8_t *end = slice_put(slice_put(to + 2, scan->to), scan->cursor);
    return (size_t)(end - to);
}

/* ---- a page of a scan ---- */

int frame_page_parse(struct slice page, struct slice *cursor, struct slice *entries)
{
    if (page.bytes < 2 || page.bytes - 2 < load_u16le(page.data))
        return TORC_E_MALFORMED;
    *cursor = slice_of(page.data + 2, load_u16le(page.data));
    *entries = slice_of(cursor->data + cursor->bytes, page.bytes - 2 - cursor->bytes);
    return cursor->bytes <= FRAME_CURSOR_BYTES_MAX ? 0 : TORC_E_MALFORMED;
}

int frame_page_next(struct slice *entries, struct slice *key, struct slice *value)
{
    if (entries->bytes == 0)
        return 0;
    if (entries->bytes < FRAME_SCAN_ENTRY_HEADER_BYTES)
        return TORC_E_MALFORMED;
    const uint8_t *p = entries->data;
    size_t key_bytes = load_u16le(p);
    size_t value_bytes = load_u32le(p + 2);
    size_t body_bytes = entries->bytes - FRAME_SCAN_ENTRY_HEADER_BYTES;
    if (key_bytes > body_bytes || value_bytes > body_bytes - key_bytes)
        return TORC_E_MALFORMED;
    *key = slice_of(p + FRAME_SCAN_ENTRY_HEADER_BYTES, key_bytes);
    *value = slice_of(key->data + key_bytes, value_bytes);
    *entries = slice_of(value->data + value_bytes, body_bytes - key_bytes - value_bytes);
    return 1;
}

size_t frame_page_encode_entry(uint8_t *to, struct slice key, struct slice value)
{
    ASSERT(key.bytes <= FRAME_KEY_BYTES_MAX);
    store_u16le(to, (uint16_t)key.bytes);
    store_u32le(to + 2, (uint32_t)value.bytes);
    slice_put(slice_put(to + FRAME_SCAN_ENTRY_HEADER_BYTES, key), value);
    return FRAME_SCAN_ENTRY_HEADER_BYTES + key.bytes + value.bytes;
}
