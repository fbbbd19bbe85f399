/* table_format.c - the footer of an SSTable.
 *
 * Magic, version and checksum stand at the same place in every version, so a table of another version is told
 * from a damaged one. What the footer says is checked against itself before anyone computes with it. */
#include "engine/table_format.h"

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_COMPRESSION = 12, /* u8, as are the next three */
    AT_FLAGS = 13,
    AT_PROBES = 14,
    AT_BLOCK_UNITS = 15,
    AT_NUMBER = 16,
    AT_BYTES = 24,
    AT_ENTRIES = 32,
    AT_TOMBSTONES = 40,
    AT_EXPIRING = 48,
    AT_CLOCK_MIN = 56,
    AT_CLOCK_MAX = 64,
    AT_EXPIRY_MIN = 72,
    AT_EXPIRY_MAX = 80,
    AT_PAYLOAD = 88,
    AT_BLOCKS = 96,
    AT_DATA_UNITS = 100,
    AT_INDEX_BYTES = 104,
    AT_INDEX_CHECKSUM = 112,
    AT_FILTER_LINES = 120,
    AT_FILTER_CHECKSUM = 128,
    AT_MEMORY_UNITS = 136, /* u8 */
    AT_EXPIRY_DUE = 144,
    AT_CHECKSUM = TABLE_UNIT_BYTES - 8,
    FLAG_RUNS = 1,
};

void table_footer_encode(uint8_t *to, const struct table_footer *f)
{
    const struct table_summary *s = &f->summary;
    memset(to, 0, TABLE_UNIT_BYTES);
    store_u64le(to + AT_MAGIC, TABLE_MAGIC);
    store_u32le(to + AT_VERSION, TABLE_FORMAT_VERSION);
    to[AT_COMPRESSION] = (uint8_t)f->compression;
    to[AT_MEMORY_UNITS] = (uint8_t)f->memory_units;
    to[AT_FLAGS] = f->has_runs ? FLAG_RUNS : 0;
    to[AT_PROBES] = (uint8_t)f->filter_probes;
    to[AT_BLOCK_UNITS] = (uint8_t)f->block_units;
    store_u64le(to + AT_NUMBER, s->number);
    store_u64le(to + AT_BYTES, s->bytes);
    store_u64le(to + AT_ENTRIES, s->entries);
    store_u64le(to + AT_TOMBSTONES, s->tombstones);
    store_u64le(to + AT_EXPIRING, s->expiring);
    store_u64le(to + AT_CLOCK_MIN, s->clock_min);
    store_u64le(to + AT_CLOCK_MAX, s->clock_max);
    store_u64le(to + AT_EXPIRY_MIN, s->expiry_min_ms);
    store_u64le(to + AT_EXPIRY_MAX, s->expiry_max_ms);
    store_u64le(to + AT_EXPIRY_DUE, s->expiry_due_ms);
    store_u64le(to + AT_PAYLOAD, s->payload_bytes);
    store_u32le(to + AT_BLOCKS, f->block_count);
    store_u32le(to + AT_DATA_UNITS, f->data_units);
    store_u64le(to + AT_INDEX_BYTES, f->index_bytes);
    store_u64le(to + AT_INDEX_CHECKSUM, f->index_checksum);
    store_u64le(to + AT_FILTER_LINES, f->filter_lines);
    store_u64le(to + AT_FILTER_CHECKSUM, f->filter_checksum);
    store_u64le(to + AT_CHECKSUM, checksum_bytes(to, AT_CHECKSUM));
}

static void decode_summary(const uint8_t *from, struct table_summary *s)
{
    *s = (struct table_summary){
        .number = load_u64le(from + AT_NUMBER),
        .bytes = load_u64le(from + AT_BYTES),
        .entries = load_u64le(from + AT_ENTRIES),
        .tombstones = load_u64le(from + AT_TOMBSTONES),
        .expiring = load_u64le(from + AT_EXPIRING),
        .clock_min = load_u64le(from + AT_CLOCK_MIN),
        .clock_max = load_u64le(from + AT_CLOCK_MAX),
        .expiry_min_ms = load_u64le(from + AT_EXPIRY_MIN),
        .expiry_max_ms = load_u64le(from + AT_EXPIRY_MAX),
        .expiry_due_ms = load_u64le(from + AT_EXPIRY_DUE),
        .payload_bytes = load_u64le(from + AT_PAYLOAD),
    };
}

static bool is_consistent(const struct table_footer *f)
{
    const struct table_summary *s = &f->summary;
    uint64_t index_bytes_max = (uint64_t)TABLE_UNITS_MAX * TABLE_UNIT_BYTES;
    if (f->data_units > TABLE_UNITS_MAX || f->block_count > f->data_units || f->filter_lines > UINT32_MAX ||
        f->filter_lines == 0)
        return false;
    if (s->expiry_due_ms != 0 && (s->expiry_due_ms < s->expiry_min_ms || s->expiry_due_ms > s->expiry_max_ms))
        return false;
    if (f->index_bytes > index_bytes_max || f->index_bytes < TABLE_INDEX_HEADER_BYTES)
        return false;
    if ((s->entries == 0) != (f->block_count == 0) || s->entries < f->block_count)
        return false;
    if (f->block_units < 1 || f->block_units > TABLE_BLOCK_UNITS_MAX || f->filter_probes < 1 ||
        f->filter_probes > FILTER_PROBES_MAX)
        return false;
    if (f->compression == TABLE_COMPRESSION_NONE
            ? f->memory_units != f->block_units
            : f->memory_units < f->block_units || f->memory_units > TABLE_MEMORY_UNITS_MAX)
        return false;
    if (!f->has_runs && (uint64_t)f->block_count * f->block_units != f->data_units)
        return false;
    uint64_t data_bytes = (uint64_t)f->data_units * TABLE_UNIT_BYTES;
    uint64_t filter_bytes = f->filter_lines * FILTER_LINE_BYTES;
    return s->bytes ==
           data_bytes + table_padded(f->index_bytes) + table_padded(filter_bytes) + TABLE_UNIT_BYTES;
}

int table_footer_decode(const uint8_t *from, struct table_footer *out)
{
    if (load_u64le(from + AT_MAGIC) != TABLE_MAGIC ||
        load_u64le(from + AT_CHECKSUM) != checksum_bytes(from, AT_CHECKSUM))
        return TORC_E_CORRUPT;
    if (load_u32le(from + AT_VERSION) != TABLE_FORMAT_VERSION ||
        from[AT_COMPRESSION] > TABLE_COMPRESSION_ZSTD)
        return TORC_E_DATA_FORMAT;
    decode_summary(from, &out->summary);
    out->block_count = load_u32le(from + AT_BLOCKS);
    out->data_units = load_u32le(from + AT_DATA_UNITS);
    out->block_units = from[AT_BLOCK_UNITS];
    out->memory_units = from[AT_MEMORY_UNITS];
    out->compression = from[AT_COMPRESSION];
    out->has_runs = (from[AT_FLAGS] & FLAG_RUNS) != 0;
    out->index_bytes = load_u64le(from + AT_INDEX_BYTES);
    out->index_checksum = load_u64le(from + AT_INDEX_CHECKSUM);
    out->filter_lines = load_u64le(from + AT_FILTER_LINES);
    out->filter_checksum = load_u64le(from + AT_FILTER_CHECKSUM);
    out->filter_probes = from[AT_PROBES];
    return is_consistent(out) ? 0 : TORC_E_CORRUPT;
}
