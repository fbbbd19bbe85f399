/* table_image.c - SSTables with any bytes whose checksums are right, so that a reader looks further. */
#include "test/fuzz/table_image.h"

#include "engine/table.h"
#include "engine/table_block.h"
#include "engine/table_format.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    /* of the footer */
    AT_FLAGS = 13,
    AT_BLOCK_UNITS = 15,
    AT_NUMBER = 16,
    AT_BYTES = 24,
    AT_BLOCKS = 96,
    AT_DATA_UNITS = 100,
    AT_INDEX_BYTES = 104,
    AT_INDEX_CHECKSUM = 112,
    AT_FILTER_LINES = 120,
    AT_FILTER_CHECKSUM = 128,
    AT_CHECKSUM = TABLE_UNIT_BYTES - 8,
    FLAG_RUNS = 1,
    /* of a block, from its end */
    BACK_TABLE = 24,
    BACK_POSITION = 16,
    BACK_COMPRESSION = 9,
    BACK_CHECKSUM = 8,
};

/* ---- checksums made right ---- */

struct mending {
    uint8_t *file;
    size_t bytes;
    uint8_t *footer;
    uint64_t number;
    uint8_t switches;
};

static void mend_entries(uint8_t *block, size_t bytes)
{
    struct record record;
    size_t consumed;
    for (size_t at = 0; entry_decode(slice_of(block + at, bytes - at), &record, &consumed) == 0;
         at += consumed) {
        uint8_t *copy = fuzz_copy(slice_of(block + at, consumed));
        entry_decode_trusted(copy, &record);
        record.checksum = entry_checksum(&record.key, record.value);
        entry_encode(block + at, &record);
        free(copy);
    }
}

static void mend_block(const struct mending *m, uint32_t position, uint32_t units)
{
    uint8_t *block = m->file + (size_t)position * TABLE_UNIT_BYTES;
    size_t bytes = (size_t)units * TABLE_UNIT_BYTES;
    if ((m->switches & TABLE_ENTRIES) && block[bytes - BACK_COMPRESSION] == TABLE_COMPRESSION_NONE)
        mend_entries(block, bytes - TABLE_TRAILER_BYTES);
    if (m->switches & TABLE_NAMED) {
        store_u64le(block + bytes - BACK_TABLE, m->number);
        store_u32le(block + bytes - BACK_POSITION, position);
    }
    store_u64le(block + bytes - BACK_CHECKSUM, checksum_bytes(block, bytes - BACK_CHECKSUM));
}

/* Blocks stand where the index says, or one after the other. */
static void mend_blocks(const struct mending *m, uint32_t units, uint64_t index_bytes)
{
    uint32_t blocks = load_u32le(m->footer + AT_BLOCKS);
    uint32_t block_units = m->footer[AT_BLOCK_UNITS];
    uint64_t groups = table_index_groups(blocks);
    bool has_runs = (m->footer[AT_FLAGS] & FLAG_RUNS) != 0;
    if (block_units == 0 || blocks > units ||
        TABLE_INDEX_HEADER_BYTES + groups * 8 + (has_runs ? blocks * UINT64_C(2) : 0) > index_bytes)
        return;
    const uint8_t *index = m->file + (size_t)units * TABLE_UNIT_BYTES;
    const uint8_t *run_units = index + TABLE_INDEX_HEADER_BYTES + groups * 8;
    uint32_t position = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t count = has_runs ? load_u16le(run_units + (size_t)i * 2) : block_units;
        if (count == 0 || position + count > units)
            return;
        mend_block(m, position, count);
        position += count;
    }
}

static void mend_sections(const struct mending *m)
{
    uint64_t units = load_u32le(m->footer + AT_DATA_UNITS);
    uint64_t end = m->bytes - TABLE_UNIT_BYTES;
    uint64_t index_at = units * TABLE_UNIT_BYTES;
    if (load_u64le(m->footer + AT_INDEX_BYTES) > end)
        return;
    uint64_t index_bytes = table_padded(load_u64le(m->footer + AT_INDEX_BYTES));
    if (index_bytes > end || index_at > end - index_bytes)
        return;
    uint64_t filter_at = index_at + index_bytes;
    uint64_t filter_bytes = table_padded(load_u64le(m->footer + AT_FILTER_LINES) * FILTER_LINE_BYTES);
    mend_blocks(m, (uint32_t)units, index_bytes);
    store_u64le(m->footer + AT_INDEX_CHECKSUM, checksum_bytes(m->file + index_at, index_bytes));
    if (filter_bytes <= end - filter_at)
        store_u64le(m->footer + AT_FILTER_CHECKSUM, checksum_bytes(m->file + filter_at, filter_bytes));
}

void table_image_mend(uint8_t *file, size_t bytes, uint64_t number, uint8_t switches)
{
    if (bytes < TABLE_UNIT_BYTES || bytes % TABLE_UNIT_BYTES != 0)
        return;
    struct mending m = {file, bytes, file + bytes - TABLE_UNIT_BYTES, number, switches};
    mend_sections(&m);
    if (switches & TABLE_NAMED) {
        store_u64le(m.footer + AT_NUMBER, number);
        store_u64le(m.footer + AT_BYTES, bytes);
    }
    store_u64le(m.footer + AT_CHECKSUM, checksum_bytes(m.footer, AT_CHECKSUM));
}

/* ---- samples ---- */

enum { LARGE_BYTES = 9000, SMALL_BYTES = 900 };

static void add_sample(struct table_writer *w, const struct table_image_sample *sample, unsigned i)
{
    static const uint8_t zeros[LARGE_BYTES];
    static const uint8_t flags[] = {0, RECORD_TOMBSTONE, 0, RECORD_EXPIRING, 0};
    char key[64]; /* longer than any hash of it reads ahead */
    snprintf(key, sizeof key, "key-%04u", i);
    bool is_large = sample->has_run && i == sample->entries / 2;
    struct record record = {
        .key = {.vnode = (uint16_t)(i / 8), .namespace_id = i % 8 > 4, .key = slice_of_string(key)},
        .version = {.clock = sample->clock + i, .node = 1},
        .flags = flags[i % ARRAY_COUNT(flags)],
        .value = slice_of(zeros, is_large ? LARGE_BYTES
                                 : i % 2  ? 0
                                          : SMALL_BYTES),
    };
    if (record.flags & RECORD_EXPIRING)
        record.expiry_ms = 1700000000000;
    record.checksum = entry_checksum(&record.key, record.value);
    int rc = table_writer_add(w, &record);
    ASSERT(rc == 0);
}

void table_image_write(struct reactor *r, const char *path, uint64_t number,
                       const struct table_image_sample *sample)
{
    struct table_writer *w = NULL;
    struct table_summary summary;
    struct table_writer_options o = {.path = path,
                                     .number = number,
                                     .block_units = sample->block_units,
                                     .compression = sample->is_compressed ? TABLE_COMPRESSION_ZSTD
                                                                          : TABLE_COMPRESSION_NONE};
    int rc = table_writer_open(r, &o, &w);
    ASSERT(rc == 0);
    for (unsigned i = 0; i < sample->entries; i++)
        add_sample(w, sample, i);
    rc = table_writer_finish(w, &summary);
    ASSERT(rc == 0);
    table_writer_close(w);
}
