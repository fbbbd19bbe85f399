/* table_block.c - one block of an SSTable; see table_format.h for its bytes.
 *
 * A block is checked as a whole once, when it comes from the disk: checksum, name, and that every entry lies
 * within it. After that it is read without such checks; only the header of an entry that is handed out is
 * checked again when the block may have been in memory for days. */
#include "engine/table_block.h"

enum {
    /* back from the end of the block */
    BACK_TABLE = 24,
    BACK_POSITION = 16,
    BACK_COUNT = 12,
    BACK_KIND = 10,
    BACK_COMPRESSION = 9,
    BACK_CHECKSUM = 8,
};
static_assert((int)BACK_TABLE == (int)TABLE_TRAILER_BYTES, "the trailer begins with the table");

struct trailer {
    uint64_t table;
    uint32_t position;
    uint32_t count;
    enum table_block_kind kind;
};

static void finish(uint8_t *to, uint32_t units, const struct trailer *t)
{
    uint8_t *end = to + (size_t)units * TABLE_UNIT_BYTES;
    store_u64le(end - BACK_TABLE, t->table);
    store_u32le(end - BACK_POSITION, t->position);
    store_u16le(end - BACK_COUNT, (uint16_t)t->count);
    end[-BACK_KIND] = (uint8_t)t->kind;
    end[-BACK_COMPRESSION] = TABLE_COMPRESSION_NONE;
    store_u64le(end - BACK_CHECKSUM, checksum_bytes(to, (size_t)units * TABLE_UNIT_BYTES - BACK_CHECKSUM));
}

uint8_t *table_block_add(struct table_block_builder *b, size_t entry, uint8_t tag)
{
    ASSERT(b->count < TABLE_BLOCK_ENTRIES_MAX && table_block_fits(b->units, b->bytes, b->count, entry));
    uint8_t *to = b->to + b->bytes;
    b->offsets[b->count] = (uint16_t)b->bytes;
    b->tags[b->count++] = tag;
    b->bytes += (uint32_t)entry;
    return to;
}

void table_block_finish(struct table_block_builder *b, uint64_t table, uint32_t position)
{
    ASSERT(b->count > 0);
    uint8_t *tags = b->to + (size_t)b->units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES - b->count;
    uint8_t *offsets = tags - b->count * (size_t)TABLE_OFFSET_BYTES;
    uint8_t *entries_end = b->to + b->bytes;
    ASSERT(entries_end <= offsets);
    memset(entries_end, 0, (size_t)(offsets - entries_end));
    for (uint32_t i = 0; i < b->count; i++)
        store_u16le(offsets + i * TABLE_OFFSET_BYTES, b->offsets[i]);
    memcpy(tags, b->tags, b->count);
    finish(b->to, b->units, &(struct trailer){table, position, b->count, TABLE_BLOCK_SORTED});
    b->bytes = 0;
    b->count = 0;
}

void table_block_finish_run(uint8_t *to, const struct table_run_of_one *run)
{
    uint32_t units = table_run_units(run->entry);
    uint8_t *end = to + (size_t)units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES;
    /* zeros up to the tag; the one offset is 0 */
    memset(to + run->entry, 0, (size_t)(end - to) - run->entry);
    end[-TABLE_TAG_BYTES] = run->tag;
    finish(to, units, &(struct trailer){run->table, run->position, 1, TABLE_BLOCK_RUN});
}

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

/* Do the entries follow one another from the beginning of the block, each within it? */
static bool has_whole_entries(const uint8_t *data, uint32_t units)
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

bool table_block_is_intact(const uint8_t *data, struct cache_block block)
{
    const uint8_t *end = end_of(data, block.units);
    if (load_u64le(end - BACK_CHECKSUM) != checksum_bytes(data, (size_t)(end - data) - BACK_CHECKSUM))
        return false;
    if (load_u64le(end - BACK_TABLE) != block.table || load_u32le(end - BACK_POSITION) != block.position ||
        end[-BACK_COMPRESSION] != TABLE_COMPRESSION_NONE)
        return false;
    uint32_t count = table_block_count(data, block.units);
    uint8_t kind = end[-BACK_KIND];
    bool is_sorted = kind == TABLE_BLOCK_SORTED && block.units <= TABLE_BLOCK_UNITS_MAX &&
                     count <= TABLE_BLOCK_ENTRIES_MAX &&
                     count * (size_t)(ENTRY_BYTES_MIN + TABLE_ENTRY_EXTRA_BYTES) + TABLE_TRAILER_BYTES <=
                         (size_t)block.units * TABLE_UNIT_BYTES;
    bool is_run = kind == TABLE_BLOCK_RUN && count == 1;
    return count > 0 && (is_sorted || is_run);
}

bool table_block_is_sound(const uint8_t *data, struct cache_block block)
{
    return table_block_is_intact(data, block) && has_whole_entries(data, block.units);
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
