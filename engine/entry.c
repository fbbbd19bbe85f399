/* entry.c - the one encoding of a record; its layout and the reason for the two checks are in entry.h.
 *
 * Every offset is named once here. The decoder computes the length of the whole entry from the header in 64
 * bits before it looks at anything behind the header, so no length can lead it astray. */
#include "engine/entry.h"

enum {
    AT_LENGTHS = 0, /* value bytes, 24 bits; flags, 8 bits */
    AT_KEY_BYTES = 4,
    AT_SUBKEY_BYTES = 6,
    AT_NAMESPACE = 8,
    AT_VNODE = 12,
    AT_NODE = 14,
    AT_CLOCK = 16,
    AT_CHECKSUM = 24,
    AT_CHECK = 32,
    VALUE_BITS = 24,
    VALUE_MASK = (1 << VALUE_BITS) - 1,
};

static_assert(AT_CHECK + 4 == ENTRY_HEADER_BYTES, "the header has no gaps");
static_assert((int)VALUE_BYTES_MAX <= (int)VALUE_MASK, "a value's length fits its 24 bits");
static_assert(KEY_BYTES_MAX <= UINT16_MAX && SUBKEY_BYTES_MAX <= UINT16_MAX, "key lengths fit 16 bits");

static uint32_t header_check(const uint8_t *entry, uint64_t expiry_ms)
{
    return checksum_fold(XXH3_64bits_withSeed(entry, AT_CHECK, expiry_ms));
}

size_t entry_encode(uint8_t *to, const struct record *r)
{
    const struct record_key *k = &r->key;
    ASSERT(k->key.bytes >= 1 && k->key.bytes <= KEY_BYTES_MAX);
    ASSERT(k->subkey.bytes <= SUBKEY_BYTES_MAX && r->value.bytes <= VALUE_BYTES_MAX);
    ASSERT(k->vnode <= ENTRY_VNODE_MAX && (r->flags & ~ENTRY_FLAGS_KNOWN) == 0);
    store_u32le(to + AT_LENGTHS, (uint32_t)r->value.bytes | (uint32_t)r->flags << VALUE_BITS);
    store_u16le(to + AT_KEY_BYTES, (uint16_t)k->key.bytes);
    store_u16le(to + AT_SUBKEY_BYTES, (uint16_t)k->subkey.bytes);
    store_u32le(to + AT_NAMESPACE, k->namespace_id);
    store_u16le(to + AT_VNODE, k->vnode);
    store_u16le(to + AT_NODE, r->version.node);
    store_u64le(to + AT_CLOCK, r->version.clock);
    store_u64le(to + AT_CHECKSUM, r->checksum);
    bool is_expiring = (r->flags & RECORD_EXPIRING) != 0;
    store_u32le(to + AT_CHECK, header_check(to, is_expiring ? r->expiry_ms : 0));
    uint8_t *end = to + ENTRY_HEADER_BYTES;
    if (is_expiring) {
        store_u64le(end, r->expiry_ms);
        end += ENTRY_EXPIRY_BYTES;
    }
    end = slice_put(end, k->key);
    end = slice_put(end, k->subkey);
    end = slice_put(end, r->value);
    return (size_t)(end - to);
}

int entry_decode(struct slice bytes, struct record *out, size_t *consumed)
{
    if (bytes.bytes < ENTRY_BYTES_MIN)
        return TORC_E_CORRUPT;
    const uint8_t *p = bytes.data;
    uint32_t lengths = load_u32le(p + AT_LENGTHS);
    size_t value_bytes = lengths & VALUE_MASK;
    uint8_t flags = (uint8_t)(lengths >> VALUE_BITS);
    size_t key_bytes = load_u16le(p + AT_KEY_BYTES);
    size_t subkey_bytes = load_u16le(p + AT_SUBKEY_BYTES);
    if (key_bytes - 1 >= KEY_BYTES_MAX || subkey_bytes > SUBKEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX ||
        (flags & ~ENTRY_FLAGS_KNOWN) != 0 || load_u16le(p + AT_VNODE) > ENTRY_VNODE_MAX)
        return TORC_E_CORRUPT;
    size_t expiry_bytes = (flags & RECORD_EXPIRING) ? ENTRY_EXPIRY_BYTES : 0;
    size_t whole = ENTRY_HEADER_BYTES + expiry_bytes + key_bytes + subkey_bytes + value_bytes;
    if (whole > bytes.bytes)
        return TORC_E_CORRUPT;
    entry_decode_trusted(p, out);
    *consumed = whole;
    return 0;
}

void entry_decode_trusted(const uint8_t *entry, struct record *out)
{
    uint32_t lengths = load_u32le(entry + AT_LENGTHS);
    uint8_t flags = (uint8_t)(lengths >> VALUE_BITS);
    size_t key_bytes = load_u16le(entry + AT_KEY_BYTES);
    size_t subkey_bytes = load_u16le(entry + AT_SUBKEY_BYTES);
    const uint8_t *body = entry + ENTRY_HEADER_BYTES;
    uint64_t expiry_ms = 0;
    if (flags & RECORD_EXPIRING) {
        expiry_ms = load_u64le(body);
        body += ENTRY_EXPIRY_BYTES;
    }
    *out = (struct record){
        .key.vnode = load_u16le(entry + AT_VNODE),
        .key.namespace_id = load_u32le(entry + AT_NAMESPACE),
        .key.key = slice_of(body, key_bytes),
        .key.subkey = slice_of(body + key_bytes, subkey_bytes),
        .version.clock = load_u64le(entry + AT_CLOCK),
        .version.node = load_u16le(entry + AT_NODE),
        .flags = flags,
        .expiry_ms = expiry_ms,
        .value = slice_of(body + key_bytes + subkey_bytes, lengths & VALUE_MASK),
        .checksum = load_u64le(entry + AT_CHECKSUM),
    };
}

bool entry_header_is_sound(const uint8_t *entry)
{
    uint8_t flags = (uint8_t)(load_u32le(entry + AT_LENGTHS) >> VALUE_BITS);
    uint64_t expiry_ms = (flags & RECORD_EXPIRING) ? load_u64le(entry + ENTRY_HEADER_BYTES) : 0;
    return load_u32le(entry + AT_CHECK) == header_check(entry, expiry_ms);
}

bool entry_verify(const struct record *r)
{
    return entry_checksum(&r->key, r->value) == r->checksum;
}
