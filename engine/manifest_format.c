/* manifest_format.c - encodes and decodes one copy of the manifest; the layout is in manifest_format.h.
 *
 * The decoder trusts nothing but the checksum, and not that either where a length would lead it out of the
 * bytes: a manifest written wrongly is found, not followed. */
#include "engine/manifest_format.h"

#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"

static_assert(MANIFEST_HEADER_BYTES == 4 + 4 + 8 + 8 + 8 + 8 + 8, "the header has no gaps");
static_assert((int)MANIFEST_NUMBERS_BYTES == 8 + 6 * 8 + 4 + 4 + 8 * (int)WAL_NAMED_MAX + 8,
              "the numbers have no gaps");
static_assert(MANIFEST_TABLE_BYTES == 4 + 11 * 8 + 2 + 2 + 4 + 4, "a table has no gaps");

/* Where the writer and the reader are. */
struct output {
    uint8_t *at;
};
struct input {
    const uint8_t *at;
    const uint8_t *end;
};

/* ---- header ---- */

enum { AT_CONTENT_CHECKSUM = 24, AT_HEADER_CHECKSUM = MANIFEST_HEADER_BYTES - 8 };

static void encode_header(uint8_t *to, uint64_t generation, uint64_t content_bytes)
{
    store_u32le(to, MANIFEST_MAGIC);
    store_u32le(to + 4, MANIFEST_FORMAT_VERSION);
    store_u64le(to + 8, generation);
    store_u64le(to + 16, content_bytes);
    store_u64le(to + AT_CONTENT_CHECKSUM, checksum_bytes(to + MANIFEST_HEADER_BYTES, content_bytes));
    store_u64le(to + 32, 0);
    store_u64le(to + AT_HEADER_CHECKSUM, checksum_bytes(to, AT_HEADER_CHECKSUM));
}

int manifest_header_decode(const uint8_t *from, struct manifest_header *out)
{
    if (load_u32le(from) != MANIFEST_MAGIC ||
        load_u64le(from + AT_HEADER_CHECKSUM) != checksum_bytes(from, AT_HEADER_CHECKSUM))
        return TORC_E_CORRUPT;
    if (load_u32le(from + 4) != MANIFEST_FORMAT_VERSION)
        return TORC_E_DATA_FORMAT;
    *out = (struct manifest_header){
        .generation = load_u64le(from + 8),
        .content_bytes = load_u64le(from + 16),
        .content_checksum = load_u64le(from + AT_CONTENT_CHECKSUM),
    };
    bool is_sane = out->generation > 0 && out->content_bytes >= MANIFEST_NUMBERS_BYTES &&
                   out->content_bytes <= MANIFEST_BYTES_MAX - MANIFEST_HEADER_BYTES;
    return is_sane ? 0 : TORC_E_CORRUPT;
}

/* ---- encode ---- */

static uint64_t key_bytes(const struct record_key *k)
{
    return MANIFEST_KEY_BYTES + k->key.bytes + k->subkey.bytes;
}

static uint64_t table_bytes(const struct manifest_table *t)
{
    return MANIFEST_TABLE_BYTES + key_bytes(&t->smallest) + key_bytes(&t->largest) + t->values.bytes;
}

uint64_t manifest_encoded_bytes(const struct manifest_state *state)
{
    uint64_t bytes = MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES;
    for (uint32_t i = 0; i < state->table_count; i++)
        bytes += table_bytes(&state->tables[i]);
    return bytes;
}

static void put_u64(struct output *o, uint64_t value)
{
    store_u64le(o->at, value);
    o->at += 8;
}

static void put_bytes(struct output *o, struct slice bytes)
{
    if (bytes.bytes)
        memcpy(o->at, bytes.data, bytes.bytes);
    o->at += bytes.bytes;
}

static void put_key(struct output *o, const struct record_key *k)
{
    ASSERT(k->key.bytes <= KEY_BYTES_MAX && k->subkey.bytes <= SUBKEY_BYTES_MAX);
    store_u32le(o->at, k->namespace_id);
    store_u16le(o->at + 4, k->vnode);
    store_u16le(o->at + 6, (uint16_t)k->key.bytes);
    store_u16le(o->at + 8, (uint16_t)k->subkey.bytes);
    store_u16le(o->at + 10, 0);
    o->at += MANIFEST_KEY_BYTES;
    put_bytes(o, k->key);
    put_bytes(o, k->subkey);
}

static void put_table(struct output *o, const struct manifest_table *t)
{
    ASSERT(t->values.bytes <= MANIFEST_VALUES_BYTES_MAX && t->vnode_first <= t->vnode_last);
    store_u32le(o->at, (uint32_t)table_bytes(t));
    o->at += 4;
    put_u64(o, t->number);
    put_u64(o, t->origin);
    put_u64(o, t->order);
    put_u64(o, t->bytes);
    put_u64(o, t->entries);
    put_u64(o, t->tombstones);
    put_u64(o, t->expiring);
    put_u64(o, t->clock_min);
    put_u64(o, t->clock_max);
    put_u64(o, t->expiry_min_ms);
    put_u64(o, t->expiry_max_ms);
    store_u16le(o->at, t->vnode_first);
    store_u16le(o->at + 2, t->vnode_last);
    store_u32le(o->at + 4, t->level);
    store_u32le(o->at + 8, (uint32_t)t->values.bytes);
    o->at += 12;
    put_key(o, &t->smallest);
    put_key(o, &t->largest);
    put_bytes(o, t->values);
}

static void put_numbers(struct output *o, const struct manifest_numbers *n, uint32_t table_count)
{
    o->at[0] = n->vnode_bits;
    o->at[1] = 0;
    store_u16le(o->at + 2, n->vnode_first);
    store_u16le(o->at + 4, n->vnode_count);
    store_u16le(o->at + 6, 0);
    o->at += 8;
    put_u64(o, n->log_start.segment);
    put_u64(o, n->log_start.sequence);
    put_u64(o, n->file_counter);
    put_u64(o, n->clock_max);
    put_u64(o, n->quarantine_clock);
    put_u64(o, n->quarantine_count);
    store_u32le(o->at, table_count);
    store_u32le(o->at + 4, 0);
    o->at += 8;
    for (unsigned i = 0; i < WAL_NAMED_MAX; i++)
        put_u64(o, n->log_files.ids[i]);
    put_u64(o, n->log_history);
}

void manifest_encode(uint8_t *to, const struct manifest_state *state)
{
    struct output o = {to + MANIFEST_HEADER_BYTES};
    put_numbers(&o, &state->numbers, state->table_count);
    for (uint32_t i = 0; i < state->table_count; i++)
        put_table(&o, &state->tables[i]);
    uint64_t content_bytes = (uint64_t)(o.at - to) - MANIFEST_HEADER_BYTES;
    ASSERT(content_bytes + MANIFEST_HEADER_BYTES == manifest_encoded_bytes(state));
    encode_header(to, state->generation, content_bytes);
}

/* ---- decode ---- */

static uint64_t take_u64(struct input *in)
{
    uint64_t value = load_u64le(in->at);
    in->at += 8;
    return value;
}

static bool take_bytes(struct input *in, size_t bytes, struct slice *out)
{
    if ((size_t)(in->end - in->at) < bytes)
        return false;
    *out = slice_of(in->at, bytes);
    in->at += bytes;
    return true;
}

static bool take_key(struct input *in, struct record_key *out)
{
    struct slice fixed;
    if (!take_bytes(in, MANIFEST_KEY_BYTES, &fixed))
        return false;
    size_t main_bytes = load_u16le(fixed.data + 6);
    size_t subkey_bytes = load_u16le(fixed.data + 8);
    out->namespace_id = load_u32le(fixed.data);
    out->vnode = load_u16le(fixed.data + 4);
    return main_bytes <= KEY_BYTES_MAX && subkey_bytes <= SUBKEY_BYTES_MAX &&
           take_bytes(in, main_bytes, &out->key) && take_bytes(in, subkey_bytes, &out->subkey);
}

static bool take_table(struct input *in, struct manifest_table *t)
{
    const uint8_t *begin = in->at;
    if (in->end - in->at < MANIFEST_TABLE_BYTES)
        return false;
    uint32_t whole = load_u32le(in->at);
    in->at += 4;
    t->number = take_u64(in);
    t->origin = take_u64(in);
    t->order = take_u64(in);
    t->bytes = take_u64(in);
    t->entries = take_u64(in);
    t->tombstones = take_u64(in);
    t->expiring = take_u64(in);
    t->clock_min = take_u64(in);
    t->clock_max = take_u64(in);
    t->expiry_min_ms = take_u64(in);
    t->expiry_max_ms = take_u64(in);
    t->vnode_first = load_u16le(in->at);
    t->vnode_last = load_u16le(in->at + 2);
    t->level = load_u32le(in->at + 4);
    uint32_t values_bytes = load_u32le(in->at + 8);
    in->at += 12;
    return t->vnode_first <= t->vnode_last && values_bytes <= MANIFEST_VALUES_BYTES_MAX &&
           take_key(in, &t->smallest) && take_key(in, &t->largest) &&
           take_bytes(in, values_bytes, &t->values) && (uint64_t)(in->at - begin) == whole;
}

enum { AT_TABLE_COUNT = MANIFEST_HEADER_BYTES + 8 + 6 * 8 };

bool manifest_is_of(struct slice bytes, const struct manifest_shard *shard)
{
    ASSERT(bytes.bytes >= MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES);
    const uint8_t *at = bytes.data + MANIFEST_HEADER_BYTES;
    return at[0] == shard->vnode_bits && load_u16le(at + 2) == shard->vnode_first &&
           load_u16le(at + 4) == shard->vnode_count;
}

uint32_t manifest_table_count(struct slice bytes)
{
    ASSERT(bytes.bytes >= MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES);
    uint32_t count = load_u32le(bytes.data + AT_TABLE_COUNT);
    return count <= MANIFEST_TABLES_MAX ? count : MANIFEST_TABLES_MAX;
}

static void take_numbers(struct input *in, struct manifest_numbers *n)
{
    n->vnode_bits = in->at[0];
    n->vnode_first = load_u16le(in->at + 2);
    n->vnode_count = load_u16le(in->at + 4);
    in->at += 8;
    n->log_start.segment = take_u64(in);
    n->log_start.sequence = take_u64(in);
    n->file_counter = take_u64(in);
    n->clock_max = take_u64(in);
    n->quarantine_clock = take_u64(in);
    n->quarantine_count = take_u64(in);
}

int manifest_decode(struct slice bytes, struct manifest_table *tables, struct manifest_state *out)
{
    struct manifest_header header;
    if (bytes.bytes < MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES)
        return TORC_E_CORRUPT;
    int rc = manifest_header_decode(bytes.data, &header);
    if (rc)
        return rc;
    if (header.content_bytes > bytes.bytes - MANIFEST_HEADER_BYTES ||
        header.content_checksum != checksum_bytes(bytes.data + MANIFEST_HEADER_BYTES, header.content_bytes))
        return TORC_E_CORRUPT;
    struct input in = {bytes.data + MANIFEST_HEADER_BYTES,
                       bytes.data + MANIFEST_HEADER_BYTES + header.content_bytes};
    *out = (struct manifest_state){.generation = header.generation, .tables = tables};
    take_numbers(&in, &out->numbers);
    uint32_t count = load_u32le(in.at);
    in.at += 8;
    for (unsigned i = 0; i < WAL_NAMED_MAX; i++)
        out->numbers.log_files.ids[i] = take_u64(&in);
    out->numbers.log_history = take_u64(&in);
    if (count > MANIFEST_TABLES_MAX || out->numbers.log_start.sequence == 0)
        return TORC_E_CORRUPT;
    for (uint32_t i = 0; i < count; i++)
        if (!take_table(&in, &tables[i]) ||
            manifest_counter_of(tables[i].number) >= out->numbers.file_counter ||
            (i > 0 && tables[i].number <= tables[i - 1].number))
            return TORC_E_CORRUPT;
    out->table_count = count;
    return in.at == in.end ? 0 : TORC_E_CORRUPT;
}
