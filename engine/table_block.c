/* table_block.c - one block of an SSTable; see table_format.h for its bytes.
 *
 * A block is checked as a whole once, when it comes from the disk: checksum, name, and that every entry lies
 * within it. After that it is read without such checks; only the header of an entry that is handed out is
 * checked again, since a block may stay in memory for days. */
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

uint8_t *table_block_add(struct table_block_builder *b, size_t entry)
{
    ASSERT(b->count < TABLE_UNIT_ENTRIES_MAX && table_block_fits(b->bytes, b->count, entry));
    uint8_t *to = b->to + b->bytes;
    b->offsets[b->count++] = (uint16_t)b->bytes;
    b->bytes += (uint32_t)entry;
    return to;
}

void table_block_finish(struct table_block_builder *b, uint64_t table, uint32_t position)
{
    ASSERT(b->count > 0);
    uint32_t offsets_at = TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES - b->count * TABLE_OFFSET_BYTES;
    ASSERT(b->bytes <= offsets_at);
    memset(b->to + b->bytes, 0, offsets_at - b->bytes);
    for (uint32_t i = 0; i < b->count; i++)
        store_u16le(b->to + offsets_at + i * TABLE_OFFSET_BYTES, b->offsets[i]);
    finish(b->to, 1, &(struct trailer){table, position, b->count, TABLE_BLOCK_SORTED});
    b->bytes = 0;
    b->count = 0;
}

void table_block_finish_run(uint8_t *to, size_t entry, uint64_t table, uint32_t position)
{
    uint32_t units = table_run_units(entry);
    /* zeros up to the trailer; the one offset is 0 */
    memset(to + entry, 0, (size_t)units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES - entry);
    finish(to, units, &(struct trailer){table, position, 1, TABLE_BLOCK_RUN});
}

static const uint8_t *end_of(const uint8_t *data, uint32_t units)
{
    return data + (size_t)units * TABLE_UNIT_BYTES;
}

uint32_t table_block_count(const uint8_t *data, uint32_t units)
{
    return load_u16le(end_of(data, units) - BACK_COUNT);
}

static const uint8_t *offsets_of(const uint8_t *data, uint32_t units)
{
    return end_of(data, units) - TABLE_TRAILER_BYTES - table_block_count(data, units) * TABLE_OFFSET_BYTES;
}

static const uint8_t *entry_at(const uint8_t *data, uint32_t units, uint32_t entry)
{
    return data + load_u16le(offsets_of(data, units) + entry * TABLE_OFFSET_BYTES);
}

/* Do the entries follow one another from the beginning of the block, each within it? */
static bool has_whole_entries(const uint8_t *data, uint32_t units)
{
    uint32_t count = table_block_count(data, units);
    const uint8_t *offsets = offsets_of(data, units);
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

bool table_block_is_sound(const uint8_t *data, struct cache_block block)
{
    const uint8_t *end = end_of(data, block.units);
    if (load_u64le(end - BACK_CHECKSUM) != checksum_bytes(data, (size_t)(end - data) - BACK_CHECKSUM))
        return false;
    if (load_u64le(end - BACK_TABLE) != block.table || load_u32le(end - BACK_POSITION) != block.position ||
        end[-BACK_COMPRESSION] != TABLE_COMPRESSION_NONE)
        return false;
    uint32_t count = table_block_count(data, block.units);
    uint8_t kind = end[-BACK_KIND];
    bool is_sorted = kind == TABLE_BLOCK_SORTED && block.units == 1 && count <= TABLE_UNIT_ENTRIES_MAX;
    bool is_run = kind == TABLE_BLOCK_RUN && count == 1;
    return count > 0 && (is_sorted || is_run) && has_whole_entries(data, block.units);
}

bool table_block_entry(const uint8_t *data, uint32_t units, uint32_t entry, struct record *out,
                       struct slice *bytes)
{
    ASSERT(entry < table_block_count(data, units));
    const uint8_t *at = entry_at(data, units, entry);
    size_t consumed = 0;
    if (entry_decode(slice_of(at, (size_t)(offsets_of(data, units) - at)), out, &consumed))
        return false;
    *bytes = slice_of(at, consumed);
    return entry_header_is_sound(at);
}

uint32_t table_block_lower_bound(const uint8_t *data, uint32_t units, const struct record_key *key,
                                 bool *is_equal)
{
    uint32_t low = 0;
    uint32_t high = table_block_count(data, units);
    *is_equal = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct record record;
        entry_decode_trusted(entry_at(data, units, middle), &record);
        int order = record_key_compare(&record.key, key);
        if (order == 0) {
            *is_equal = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
