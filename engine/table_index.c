/* table_index.c - the index of a table; see table_index.h for the idea and table_format.h for the bytes. */
#include "engine/table_index.h"

enum {
    ESCAPE_BYTE = 0xff,    /* after a zero byte of a key */
    KEY_END_BYTE = 0x01,   /* after the zero byte that ends a key */
    NAMESPACE_LONG = 0xff, /* four more bytes follow */
    GROUPS_PER_YIELD = 64,
    NIBBLE_LONG = 15, /* a u16 follows */
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

/* ---- separators ---- */

/* One as it is written. */
struct step {
    uint32_t dropped;
    struct slice added;
};

/* Reads one at `at`; returns the place behind it. Requires: it is whole. */
static inline const uint8_t *take_step(const uint8_t *at, struct step *out)
{
    uint32_t dropped = *at >> 4;
    size_t added = *at++ & NIBBLE_LONG;
    if (dropped == NIBBLE_LONG) {
        dropped = load_u16le(at);
        at += 2;
    }
    if (added == NIBBLE_LONG) {
        added = load_u16le(at);
        at += 2;
    }
    *out = (struct step){dropped, slice_of(at, added)};
    return at + added;
}

static const uint8_t *group_of(const struct table_index *x, uint32_t group)
{
    return x->separators + load_u32le(x->offsets + (size_t)group * 4);
}

/* ---- checks ---- */

/* A separator made whole. */
struct whole {
    size_t bytes;
    uint8_t data[TABLE_SORT_KEY_BYTES_MAX];
};

/* Takes the separator at the front of `*rest` if it is whole and above the one in `w`, and makes it the one
 * there. */
static bool check_step(struct slice *rest, struct whole *w)
{
    struct step step;
    const uint8_t *at = rest->data;
    if (rest->bytes < 1)
        return false;
    size_t header = 1u + ((*at >> 4) == NIBBLE_LONG ? 2 : 0) + ((*at & NIBBLE_LONG) == NIBBLE_LONG ? 2 : 0);
    if (rest->bytes < header)
        return false;
    at = take_step(at, &step);
    if (step.added.bytes > rest->bytes - header || step.dropped > w->bytes)
        return false;
    size_t same = w->bytes - step.dropped;
    if (step.added.bytes == 0 || same + step.added.bytes > sizeof w->data ||
        (step.dropped > 0 && step.added.data[0] <= w->data[same]))
        return false;
    memcpy(w->data + same, step.added.data, step.added.bytes);
    w->bytes = same + step.added.bytes;
    *rest = slice_of(at, (size_t)(rest->data + rest->bytes - at));
    return true;
}

static int check_separators(const struct table_index *x, struct reactor *r)
{
    struct slice rest = slice_of(x->separators, x->separator_bytes);
    struct whole before = {0}, w = {0};
    for (uint32_t i = 0; i < x->block_count; i++) {
        bool is_first = i % TABLE_INDEX_GROUP == 0;
        if (is_first) {
            before = w;
            w.bytes = 0;
            if (group_of(x, i / TABLE_INDEX_GROUP) != rest.data)
                return TORC_E_CORRUPT;
        }
        if (i == 0) { /* nothing is below the first block */
            if (rest.bytes < 1 || *rest.data != 0)
                return TORC_E_CORRUPT;
            rest = slice_of(rest.data + 1, rest.bytes - 1);
        } else if (!check_step(&rest, &w)) {
            return TORC_E_CORRUPT;
        }
        if (is_first && i > 0 &&
            slice_compare(slice_of(before.data, before.bytes), slice_of(w.data, w.bytes)) >= 0)
            return TORC_E_CORRUPT;
        if (i % (GROUPS_PER_YIELD * TABLE_INDEX_GROUP) == 0)
            task_yield_if_due(r);
    }
    return rest.bytes == 0 ? 0 : TORC_E_CORRUPT;
}

static int check_units(const struct table_index *x, struct reactor *r)
{
    uint32_t position = 0;
    for (uint32_t i = 0; i < x->block_count; i++) {
        if (i % TABLE_INDEX_GROUP == 0 &&
            load_u32le(x->positions + (size_t)(i / TABLE_INDEX_GROUP) * 4) != position)
            return TORC_E_CORRUPT;
        uint32_t units = load_u16le(x->units + (size_t)i * 2);
        if (units < x->block_units || units > TABLE_RUN_UNITS_MAX)
            return TORC_E_CORRUPT;
        position += units;
        if (i % (GROUPS_PER_YIELD * TABLE_INDEX_GROUP) == 0)
            task_yield_if_due(r);
    }
    return position == x->data_units ? 0 : TORC_E_CORRUPT;
}

int table_index_init(struct table_index *x, struct reactor *r, uint8_t *section, const struct table_footer *f,
                     struct table_summary *summary)
{
    ASSERT(f->index_bytes >= TABLE_INDEX_HEADER_BYTES);
    uint32_t prefix_bytes = load_u32le(section + 4);
    uint32_t bounds_bytes = load_u32le(section + 8);
    uint64_t groups = table_index_groups(f->block_count);
    uint64_t arrays = groups * 4 + (f->has_runs ? groups * 4 + (uint64_t)f->block_count * 2 : 0);
    *x = (struct table_index){
        .section = section,
        .offsets = section + TABLE_INDEX_HEADER_BYTES,
        .positions = f->has_runs ? section + TABLE_INDEX_HEADER_BYTES + groups * 4 : NULL,
        .units = f->has_runs ? section + TABLE_INDEX_HEADER_BYTES + groups * 8 : NULL,
        .separators = section + TABLE_INDEX_HEADER_BYTES + arrays,
        .separator_bytes = load_u32le(section),
        .block_count = f->block_count,
        .block_units = f->block_units,
        .data_units = f->data_units,
    };
    uint64_t whole = TABLE_INDEX_HEADER_BYTES + arrays + x->separator_bytes + prefix_bytes + bounds_bytes;
    if (whole != f->index_bytes || prefix_bytes > TABLE_SORT_KEY_BYTES_MAX)
        return TORC_E_CORRUPT;
    x->prefix = slice_of(x->separators + x->separator_bytes, prefix_bytes);
    int rc = bounds_decode(slice_of(x->prefix.data + prefix_bytes, bounds_bytes), summary);
    if (rc == 0)
        rc = check_separators(x, r);
    return rc == 0 && x->units ? check_units(x, r) : rc;
}

/* ---- search ---- */

/* Is `separator` above `wanted`, whose first `*agreed` bytes are known to agree? `*agreed` becomes the
 * number of all that do. Here and not by memcmp, because mostly the first or second byte decides. */
static inline bool is_above(struct slice separator, struct slice wanted, size_t *agreed)
{
    size_t shorter = separator.bytes < wanted.bytes ? separator.bytes : wanted.bytes;
    size_t i = *agreed;
    while (i < shorter && separator.data[i] == wanted.data[i])
        i++;
    *agreed = i;
    return i < shorter ? separator.data[i] > wanted.data[i] : separator.bytes > wanted.bytes;
}

static inline struct slice first_of(const struct table_index *x, uint32_t group)
{
    struct step step;
    take_step(group_of(x, group), &step);
    return step.added;
}

/* The last group whose first separator is not above; `*agreed` bytes of that one agree with what is wanted.
 * */
static uint32_t find_group(const struct table_index *x, struct slice wanted, size_t *agreed)
{
    uint32_t low = 0; /* it is not: the first separator of all is empty */
    uint32_t high = table_index_groups(x->block_count);
    size_t low_agreed = 0, high_agreed = 0;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        size_t both = low_agreed < high_agreed ? low_agreed : high_agreed; /* what is between agrees so far */
        if (is_above(first_of(x, middle), wanted, &both)) {
            high = middle;
            high_agreed = both;
        } else {
            low = middle;
            low_agreed = both;
        }
    }
    *agreed = low_agreed;
    return low;
}

/* The string of the key with the byte for the prefix; it is within `bytes`. */
static struct slice prefixed_key(const struct table_index *x, uint8_t *bytes, const struct record_key *key)
{
    struct slice prefix = x->prefix;
    size_t count = table_sort_key(bytes, key);
    size_t head = table_sort_head(bytes);
    if (prefix.bytes == 0)
        return slice_of(bytes, count);
    struct slice rest = slice_of(bytes + head, count - head);
    if (!slice_starts_with(rest, prefix)) {
        bytes[head] = slice_compare(rest, prefix) < 0 ? TABLE_BELOW_PREFIX : TABLE_ABOVE_PREFIX;
        return slice_of(bytes, head + 1);
    }
    uint8_t *from = bytes + prefix.bytes - 1; /* vnode and namespace move up to the rest */
    memmove(from, bytes, head);
    from[head] = TABLE_WITH_PREFIX;
    return slice_of(from, count - prefix.bytes + 1);
}

/* No separator is put together: it is enough to know how far the one before, which is not above, agrees with
 * what is wanted. One that shares more with it than that is not above either; one that shares less is above
 * it just where the two agree, so it is above. */
uint32_t table_index_find(const struct table_index *x, const struct record_key *key)
{
    ASSERT(x->block_count > 0);
    uint8_t bytes[TABLE_SORT_KEY_BYTES_MAX];
    struct slice wanted = prefixed_key(x, bytes, key);
    struct step step;
    size_t agreed;
    uint32_t group = find_group(x, wanted, &agreed);
    uint32_t block = group * TABLE_INDEX_GROUP;
    uint32_t end = block + TABLE_INDEX_GROUP < x->block_count ? block + TABLE_INDEX_GROUP : x->block_count;
    const uint8_t *at = take_step(group_of(x, group), &step);
    size_t separator_bytes = step.added.bytes;
    for (; block + 1 < end; block++) {
        at = take_step(at, &step);
        size_t shared = separator_bytes - step.dropped;
        separator_bytes = shared + step.added.bytes;
        if (shared > agreed)
            continue;
        struct slice rest = slice_of(wanted.data + agreed, wanted.bytes - agreed);
        size_t more = 0;
        if (shared < agreed || is_above(step.added, rest, &more))
            break;
        agreed += more;
    }
    return block;
}

struct cache_block table_index_block(const struct table_index *x, uint32_t i)
{
    ASSERT(i < x->block_count);
    if (!x->units)
        return (struct cache_block){.position = i * x->block_units, .units = x->block_units};
    uint32_t at = i - i % TABLE_INDEX_GROUP;
    uint32_t position = load_u32le(x->positions + (size_t)(at / TABLE_INDEX_GROUP) * 4);
    for (; at < i; at++)
        position += load_u16le(x->units + (size_t)at * 2);
    return (struct cache_block){.position = position, .units = load_u16le(x->units + (size_t)i * 2)};
}
