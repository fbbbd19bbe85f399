/* table_index.c - the index of a table; see table_index.h for the idea and table_format.h for the bytes. */
#include "engine/table_index.h"

enum {
    ESCAPE_BYTE = 0xff,    /* after a zero byte of a key */
    KEY_END_BYTE = 0x01,   /* after the zero byte that ends a key */
    NAMESPACE_LONG = 0xff, /* four more bytes follow */
    CHECKS_PER_YIELD = 1024,
};

static uint8_t *put_escaped(uint8_t *to, struct slice key)
{
    const uint8_t *from = key.data;
    size_t rest = key.bytes;
    while (rest > 0) {
        const uint8_t *zero = memchr(from, 0, rest);
        size_t plain = zero ? (size_t)(zero - from) : rest;
        memcpy(to, from, plain);
        to += plain;
        from += plain;
        rest -= plain;
        if (!zero)
            break;
        *to++ = 0;
        *to++ = ESCAPE_BYTE;
        from++;
        rest--;
    }
    return to;
}

size_t table_sort_key(uint8_t *to, const struct record_key *key)
{
    ASSERT(key->key.bytes <= KEY_BYTES_MAX && key->subkey.bytes <= SUBKEY_BYTES_MAX);
    uint8_t *end = to;
    store_u16be(end, key->vnode);
    end += 2;
    if (key->namespace_id < NAMESPACE_LONG) {
        *end++ = (uint8_t)key->namespace_id;
    } else {
        *end++ = NAMESPACE_LONG;
        store_u32be(end, key->namespace_id);
        end += 4;
    }
    end = put_escaped(end, key->key);
    *end++ = 0;
    *end++ = KEY_END_BYTE;
    if (key->subkey.bytes)
        memcpy(end, key->subkey.data, key->subkey.bytes);
    return (size_t)(end - to) + key->subkey.bytes;
}

size_t table_separator_bytes(struct slice previous, struct slice key)
{
    size_t same = 0;
    while (same < previous.bytes && same < key.bytes && previous.data[same] == key.data[same])
        same++;
    ASSERT(same < key.bytes);
    return same + 1;
}

size_t table_bound_encode(uint8_t *to, const struct record_key *key)
{
    store_u16le(to, key->vnode);
    store_u32le(to + 2, key->namespace_id);
    store_u16le(to + 6, (uint16_t)key->key.bytes);
    store_u16le(to + 8, (uint16_t)key->subkey.bytes);
    memcpy(to + TABLE_BOUND_HEADER_BYTES, key->key.data, key->key.bytes);
    if (key->subkey.bytes)
        memcpy(to + TABLE_BOUND_HEADER_BYTES + key->key.bytes, key->subkey.data, key->subkey.bytes);
    return TABLE_BOUND_HEADER_BYTES + key->key.bytes + key->subkey.bytes;
}

/* Takes a bound off the front of `*from`. */
static bool bound_decode(struct slice *from, struct record_key *out)
{
    if (from->bytes < TABLE_BOUND_HEADER_BYTES)
        return false;
    size_t key_bytes = load_u16le(from->data + 6);
    size_t subkey_bytes = load_u16le(from->data + 8);
    size_t whole = TABLE_BOUND_HEADER_BYTES + key_bytes + subkey_bytes;
    if (whole > from->bytes || key_bytes == 0 || key_bytes > KEY_BYTES_MAX || subkey_bytes > SUBKEY_BYTES_MAX)
        return false;
    const uint8_t *body = from->data + TABLE_BOUND_HEADER_BYTES;
    *out = (struct record_key){
        .vnode = load_u16le(from->data),
        .namespace_id = load_u32le(from->data + 2),
        .key = slice_of(body, key_bytes),
        .subkey = slice_of(body + key_bytes, subkey_bytes),
    };
    *from = slice_of(from->data + whole, from->bytes - whole);
    return true;
}

static int bounds_decode(struct slice bounds, struct table_summary *summary)
{
    summary->smallest = (struct record_key){0};
    summary->largest = (struct record_key){0};
    if (summary->entries == 0)
        return bounds.bytes == 0 ? 0 : TORC_E_CORRUPT;
    if (!bound_decode(&bounds, &summary->smallest) || !bound_decode(&bounds, &summary->largest) ||
        bounds.bytes != 0)
        return TORC_E_CORRUPT;
    return record_key_compare(&summary->smallest, &summary->largest) <= 0 ? 0 : TORC_E_CORRUPT;
}

static int check_arrays(const struct table_index *x, struct reactor *r, uint32_t separator_bytes)
{
    uint32_t n = x->block_count;
    if (load_u32le(x->offsets) != 0 || load_u32le(x->offsets + (size_t)n * 4) != separator_bytes)
        return TORC_E_CORRUPT;
    if (x->positions &&
        (load_u32le(x->positions) != 0 || load_u32le(x->positions + (size_t)n * 4) != x->data_units))
        return TORC_E_CORRUPT;
    for (uint32_t i = 0; i < n; i++) {
        if (load_u32le(x->offsets + (size_t)i * 4) > load_u32le(x->offsets + (size_t)i * 4 + 4))
            return TORC_E_CORRUPT;
        uint32_t units = table_index_block(x, i).units; /* wraps round when positions do not ascend */
        if (units == 0 || units > TABLE_BLOCK_UNITS_MAX)
            return TORC_E_CORRUPT;
        if (i % CHECKS_PER_YIELD == 0)
            task_yield_if_due(r);
    }
    return 0;
}

int table_index_init(struct table_index *x, struct reactor *r, uint8_t *section, const struct table_footer *f,
                     struct table_summary *summary)
{
    ASSERT(f->index_bytes >= TABLE_UNIT_BYTES);
    uint32_t separator_bytes = load_u32le(section);
    uint32_t bounds_bytes = load_u32le(section + 4);
    uint64_t array_bytes = ((uint64_t)f->block_count + 1) * 4;
    uint64_t arrays = f->has_runs ? 2 : 1;
    *x = (struct table_index){
        .section = section,
        .offsets = section + TABLE_INDEX_HEADER_BYTES,
        .positions = f->has_runs ? section + TABLE_INDEX_HEADER_BYTES + array_bytes : NULL,
        .separators = section + TABLE_INDEX_HEADER_BYTES + arrays * array_bytes,
        .block_count = f->block_count,
        .data_units = f->data_units,
    };
    uint64_t whole = TABLE_INDEX_HEADER_BYTES + arrays * array_bytes + separator_bytes + bounds_bytes;
    if (whole > f->index_bytes || table_padded(whole) != f->index_bytes)
        return TORC_E_CORRUPT;
    int rc = bounds_decode(slice_of(x->separators + separator_bytes, bounds_bytes), summary);
    return rc ? rc : check_arrays(x, r, separator_bytes);
}

static struct slice separator(const struct table_index *x, uint32_t i)
{
    uint32_t from = load_u32le(x->offsets + (size_t)i * 4);
    return slice_of(x->separators + from, load_u32le(x->offsets + (size_t)i * 4 + 4) - from);
}

uint32_t table_index_find(const struct table_index *x, const struct record_key *key)
{
    ASSERT(x->block_count > 0);
    uint8_t bytes[TABLE_SORT_KEY_BYTES_MAX];
    struct slice wanted = slice_of(bytes, table_sort_key(bytes, key));
    uint32_t low = 0; /* its separator is not above: the first one is empty */
    uint32_t high = x->block_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(separator(x, middle), wanted) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

struct cache_block table_index_block(const struct table_index *x, uint32_t i)
{
    ASSERT(i < x->block_count);
    if (!x->positions)
        return (struct cache_block){.position = i, .units = 1};
    uint32_t position = load_u32le(x->positions + (size_t)i * 4);
    return (struct cache_block){.position = position,
                                .units = load_u32le(x->positions + (size_t)i * 4 + 4) - position};
}
