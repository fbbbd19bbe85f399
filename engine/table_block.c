/* table_block.c - one block of an SSTable; see table_format.h for its bytes.
 *
 * A block is checked as a whole once, when it comes from the disk: checksum, name, and that every entry lies
 * within it. After that it is read without such checks; only the header of an entry that is handed out is
 * checked again when the block may have been in memory for days. */
#include "engine/table_block.h"

enum {
    /* back from the end of the block */
    BACK_PACKED = 32, /* of compressed blocks, as is the next */
    BACK_PLAIN = 28,
    BACK_TABLE = 24,
    BACK_POSITION = 16,
    BACK_COUNT = 12,
    BACK_KIND = 10,
    BACK_COMPRESSION = 9,
    BACK_CHECKSUM = 8,
};
static_assert((int)BACK_TABLE == (int)TABLE_TRAILER_BYTES, "the trailer begins with the table");
static_assert((int)BACK_PACKED == TABLE_TRAILER_BYTES + TABLE_PACKED_BYTES, "lengths stand before it");

static void put_trailer(struct table_block_place place, uint32_t count, enum table_block_kind kind,
                        enum table_compression compression)
{
    uint8_t *end = place.to + (size_t)place.units * TABLE_UNIT_BYTES;
    store_u64le(end - BACK_TABLE, place.name.table);
    store_u32le(end - BACK_POSITION, place.name.position);
    store_u16le(end - BACK_COUNT, (uint16_t)count);
    end[-BACK_KIND] = (uint8_t)kind;
    end[-BACK_COMPRESSION] = (uint8_t)compression;
}

static void put_checksum(struct table_block_place place)
{
    size_t bytes = (size_t)place.units * TABLE_UNIT_BYTES - BACK_CHECKSUM;
    store_u64le(place.to + bytes, checksum_bytes(place.to, bytes));
}

uint8_t *table_block_add(struct table_block_builder *b, size_t entry, uint8_t tag)
{
    ASSERT(b->count < TABLE_BLOCK_ENTRIES_MAX &&
           table_block_fits(TABLE_MEMORY_UNITS_MAX, b->bytes, b->count, entry));
    uint8_t *to = b->to + b->bytes;
    b->offsets[b->count] = (uint16_t)b->bytes;
    b->tags[b->count++] = tag;
    b->bytes += (uint32_t)entry;
    return to;
}

void table_block_finish(const struct table_block_builder *b, uint32_t count, struct table_block_place place)
{
    ASSERT(count > 0 && count <= b->count);
    uint8_t *tags = place.to + (size_t)place.units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES - count;
    uint8_t *offsets = tags - count * (size_t)TABLE_OFFSET_BYTES;
    uint8_t *entries_end = place.to + (count < b->count ? b->offsets[count] : b->bytes);
    ASSERT(entries_end <= offsets);
    memset(entries_end, 0, (size_t)(offsets - entries_end));
    for (uint32_t i = 0; i < count; i++)
        store_u16le(offsets + i * TABLE_OFFSET_BYTES, b->offsets[i]);
    memcpy(tags, b->tags, count);
    put_trailer(place, count, TABLE_BLOCK_SORTED, TABLE_COMPRESSION_NONE);
    put_checksum(place);
}

void table_block_drop(struct table_block_builder *b, uint32_t count)
{
    ASSERT(count <= b->count);
    uint32_t left = b->count - count;
    uint16_t from = left ? b->offsets[count] : (uint16_t)0;
    if (left) {
        memmove(b->to, b->to + from, b->bytes - from);
        memmove(b->tags, b->tags + count, left);
    }
    for (uint32_t i = 0; i < left; i++)
        b->offsets[i] = (uint16_t)(b->offsets[count + i] - from);
    b->bytes = left ? b->bytes - from : 0;
    b->count = left;
}

void table_block_finish_run(struct table_block_place run, size_t entry, uint8_t tag)
{
    uint8_t *end = run.to + (size_t)run.units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES;
    /* zeros up to the tag; the one offset is 0 */
    memset(run.to + entry, 0, (size_t)(end - run.to) - entry);
    end[-TABLE_TAG_BYTES] = tag;
    put_trailer(run, 1, TABLE_BLOCK_RUN, TABLE_COMPRESSION_NONE);
    put_checksum(run);
}

void table_block_finish_packed(struct table_block_place place, struct table_packed size)
{
    uint8_t *end = place.to + (size_t)place.units * TABLE_UNIT_BYTES;
    memset(place.to + size.packed, 0, (size_t)(end - BACK_PACKED - place.to) - size.packed);
    store_u32le(end - BACK_PACKED, size.packed);
    store_u32le(end - BACK_PLAIN, size.plain);
    put_trailer(place, size.count, TABLE_BLOCK_SORTED, TABLE_COMPRESSION_ZSTD);
    put_checksum(place);
}

/* ---- reading ---- */

static const uint8_t *end_of(const uint8_t *data, uint32_t units)
{
    return data + (size_t)units * TABLE_UNIT_BYTES;
}

uint32_t table_block_count(const uint8_t *data, uint32_t units)
{
    return load_u16le(end_of(data, units) - BACK_COUNT);
}

static const uint8_t *tags_of(const uint8_t *data, uint32_t units, uint32_t count)
{
    return end_of(data, units) - TABLE_TRAILER_BYTES - count;
}

static const uint8_t *offsets_of(const uint8_t *data, uint32_t units, uint32_t count)
{
    return tags_of(data, units, count) - count * (size_t)TABLE_OFFSET_BYTES;
}

bool table_block_is_whole(const uint8_t *data, uint32_t units)
{
    uint32_t count = table_block_count(data, units);
    const uint8_t *offsets = offsets_of(data, units, count);
    size_t limit = (size_t)(offsets - data);
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct record record;
        size_t consumed = 0;
        if (load_u16le(offsets + i * TABLE_OFFSET_BYTES) != at ||
            entry_decode(slice_of(data + at, limit - at), &record, &consumed))
            return false;
        at += consumed;
    }
    return true;
}

/* Has a block of so many units room for so many entries? */
static bool is_count_possible(uint32_t count, uint32_t units)
{
    return count > 0 && count <= TABLE_BLOCK_ENTRIES_MAX &&
           count * (size_t)(ENTRY_BYTES_MIN + TABLE_ENTRY_EXTRA_BYTES) + TABLE_TRAILER_BYTES <=
               (size_t)units * TABLE_UNIT_BYTES;
}

bool table_block_is_intact(const uint8_t *data, struct cache_block block, enum table_compression compression)
{
    const uint8_t *end = end_of(data, block.units);
    if (load_u64le(end - BACK_CHECKSUM) != checksum_bytes(data, (size_t)(end - data) - BACK_CHECKSUM))
        return false;
    if (load_u64le(end - BACK_TABLE) != block.table || load_u32le(end - BACK_POSITION) != block.position ||
        end[-BACK_COMPRESSION] > compression)
        return false;
    uint32_t count = table_block_count(data, block.units);
    uint8_t kind = end[-BACK_KIND];
    if (kind == TABLE_BLOCK_RUN)
        return count == 1 && end[-BACK_COMPRESSION] == TABLE_COMPRESSION_NONE;
    if (kind != TABLE_BLOCK_SORTED || block.units > TABLE_BLOCK_UNITS_MAX)
        return false;
    if (end[-BACK_COMPRESSION] == TABLE_COMPRESSION_NONE)
        return is_count_possible(count, block.units);
    return is_count_possible(count, TABLE_MEMORY_UNITS_MAX) &&
           load_u32le(end - BACK_PACKED) <= (size_t)(end - BACK_PACKED - data);
}

bool table_block_packed(const uint8_t *data, uint32_t units, struct slice *packed, struct table_packed *size)
{
    const uint8_t *end = end_of(data, units);
    if (end[-BACK_COMPRESSION] == TABLE_COMPRESSION_NONE)
        return false;
    *size = (struct table_packed){load_u32le(end - BACK_PACKED), load_u32le(end - BACK_PLAIN),
                                  table_block_count(data, units)};
    *packed = slice_of(data, size->packed);
    return true;
}

/* Offsets, tags and trailer of the entries at `to`. Returns: the bytes of all entries; 0 when they are not
 * whole or there is no room. */
static size_t restore(const uint8_t *data, uint32_t units, uint8_t *to, uint32_t to_units, size_t plain)
{
    const uint8_t *end = end_of(data, units);
    uint32_t count = table_block_count(data, units);
    uint8_t *tags = to + (size_t)to_units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES - count;
    uint8_t *offsets = tags - count * (size_t)TABLE_OFFSET_BYTES;
    size_t at = 0;
    if (end[-BACK_KIND] != TABLE_BLOCK_SORTED || !is_count_possible(count, to_units) ||
        plain > (size_t)(offsets - to))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        struct record record;
        size_t consumed = 0;
        if (entry_decode(slice_of(to + at, plain - at), &record, &consumed))
            return 0;
        store_u16le(offsets + i * TABLE_OFFSET_BYTES, (uint16_t)at);
        tags[i] = table_tag(table_key_hash(&record.key));
        at += consumed;
    }
    struct table_block_name name = {load_u64le(end - BACK_TABLE), load_u32le(end - BACK_POSITION)};
    memset(to + at, 0, (size_t)(offsets - to) - at);
    put_trailer((struct table_block_place){to, to_units, name}, count, TABLE_BLOCK_SORTED,
                TABLE_COMPRESSION_NONE);
    return at;
}

bool table_block_widen(const uint8_t *data, uint32_t units, uint8_t *to, uint32_t to_units)
{
    ASSERT(to_units >= units);
    size_t plain = (size_t)(offsets_of(data, units, table_block_count(data, units)) - data);
    memcpy(to, data, plain);
    return restore(data, units, to, to_units, plain) > 0;
}

bool table_block_restore(const uint8_t *data, uint32_t units, uint8_t *to, uint32_t to_units, size_t plain)
{
    return plain > 0 && restore(data, units, to, to_units, plain) == plain;
}

bool table_block_fresh_entry(const uint8_t *data, uint32_t units, uint32_t entry, struct record *out,
                             struct slice *bytes)
{
    uint32_t count = table_block_count(data, units);
    ASSERT(entry < count);
    const uint8_t *offsets = offsets_of(data, units, count);
    bool is_last = entry + 1 == count;
    size_t end = is_last ? (size_t)(offsets - data) : load_u16le(offsets + (entry + 1) * TABLE_OFFSET_BYTES);
    size_t at = load_u16le(offsets + entry * TABLE_OFFSET_BYTES);
    size_t consumed = 0;
    if (end > (size_t)(offsets - data) || at >= end ||
        entry_decode(slice_of(data + at, end - at), out, &consumed))
        return false;
    *bytes = slice_of(data + at, consumed);
    return is_last || at + consumed == end;
}

bool table_block_entry(const uint8_t *data, uint32_t units, uint32_t entry, struct record *out,
                       struct slice *bytes)
{
    return table_block_fresh_entry(data, units, entry, out, bytes) && entry_header_is_sound(bytes->data);
}

uint32_t table_block_lower_bound(const uint8_t *data, uint32_t units, const struct record_key *key)
{
    uint32_t high = table_block_count(data, units);
    const uint8_t *offsets = offsets_of(data, units, high);
    uint32_t low = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct record record;
        entry_decode_trusted(data + load_u16le(offsets + middle * TABLE_OFFSET_BYTES), &record);
        if (record_key_compare(&record.key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool table_block_find(const uint8_t *data, uint32_t units, const struct record_key *key, uint8_t tag,
                      uint32_t *entry)
{
    uint32_t count = table_block_count(data, units);
    const uint8_t *tags = tags_of(data, units, count);
    const uint8_t *offsets = offsets_of(data, units, count);
    const uint8_t *end = tags + count;
    for (const uint8_t *at = tags; (at = memchr(at, tag, (size_t)(end - at))) != NULL; at++) {
        struct record record;
        uint32_t i = (uint32_t)(at - tags);
        entry_decode_trusted(data + load_u16le(offsets + i * TABLE_OFFSET_BYTES), &record);
        if (record_key_compare(&record.key, key) == 0) {
            *entry = i;
            return true;
        }
    }
    return false;
}
