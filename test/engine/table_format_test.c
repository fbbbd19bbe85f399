/* table_format_test.c - tables whose checksums are right and whose words contradict each other.
 *
 * A disk does not make them, but a writer with a bug could: what a footer, an index or a block says of itself
 * is compared before anyone computes with it, so no such table leads a reader out of its bytes. */
#include "engine/table_format.h"

#include "engine/table_block.h"
#include "engine/table_index.h"
#include "test/engine/table_sample.h"
#include "test/test.h"

#include <string.h>

/* ---- the footer ---- */

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_COMPRESSION = 12,
    AT_FLAGS = 13,
    AT_PROBES = 14,
    AT_BLOCK_UNITS = 15,
    AT_BYTES = 24,
    AT_ENTRIES = 32,
    AT_BLOCKS = 96,
    AT_DATA_UNITS = 100,
    AT_INDEX_BYTES = 104,
    AT_FILTER_LINES = 120,
    AT_MEMORY_UNITS = 136,
    AT_FOOTER_CHECKSUM = TABLE_UNIT_BYTES - 8,
};

/* A word of `bytes` bytes that is put at `at`. */
struct word {
    size_t at;
    size_t bytes;
    uint64_t value;
};

static void put_word(uint8_t *to, struct word w)
{
    for (size_t i = 0; i < w.bytes; i++)
        to[w.at + i] = (uint8_t)(w.value >> 8 * i);
}

/* Three blocks of two units. */
static void encode_footer(uint8_t *to)
{
    struct table_footer f = {
        .summary = {.number = 1, .bytes = (6 + 1 + 1 + 1) * TABLE_UNIT_BYTES, .entries = 30},
        .block_count = 3,
        .data_units = 6,
        .block_units = 2,
        .memory_units = 2,
        .index_bytes = 100,
        .filter_lines = 4,
        .filter_probes = 6,
    };
    table_footer_encode(to, &f);
}

/* Returns: what decoding says of that footer with two words changed and the checksum made right. */
static int decode_changed(struct word first, struct word second)
{
    uint8_t unit[TABLE_UNIT_BYTES];
    struct table_footer f;
    encode_footer(unit);
    put_word(unit, first);
    put_word(unit, second);
    store_u64le(unit + AT_FOOTER_CHECKSUM, checksum_bytes(unit, AT_FOOTER_CHECKSUM));
    return table_footer_decode(unit, &f);
}

TEST(a_footer_that_contradicts_itself_is_corrupt)
{
    static const struct {
        struct word first, second;
    } rows[] = {
        {{AT_MAGIC, 1, 0}, {0}},
        {{AT_DATA_UNITS, 4, TABLE_UNITS_MAX + 1}, {0}},
        {{AT_BLOCKS, 4, 7}, {0}}, /* more than units */
        {{AT_FILTER_LINES, 8, 0}, {0}},
        {{AT_FILTER_LINES, 8, UINT64_C(1) << 32}, {0}},
        {{AT_INDEX_BYTES, 8, TABLE_INDEX_HEADER_BYTES - 1}, {0}},
        {{AT_INDEX_BYTES, 8, (uint64_t)TABLE_UNITS_MAX * TABLE_UNIT_BYTES + 1}, {0}},
        {{AT_ENTRIES, 8, 0}, {0}}, /* in three blocks */
        {{AT_ENTRIES, 8, 2}, {0}},
        {{AT_BLOCKS, 4, 0}, {AT_DATA_UNITS, 4, 0}}, /* of thirty entries */
        {{AT_BLOCK_UNITS, 1, 0}, {0}},
        {{AT_BLOCK_UNITS, 1, TABLE_BLOCK_UNITS_MAX + 1}, {0}},
        {{AT_PROBES, 1, 0}, {0}},
        {{AT_PROBES, 1, FILTER_PROBES_MAX + 1}, {0}},
        {{AT_MEMORY_UNITS, 1, 3}, {0}}, /* and not compressed */
        {{AT_COMPRESSION, 1, TABLE_COMPRESSION_ZSTD}, {AT_MEMORY_UNITS, 1, 1}},
        {{AT_COMPRESSION, 1, TABLE_COMPRESSION_ZSTD}, {AT_MEMORY_UNITS, 1, TABLE_MEMORY_UNITS_MAX + 1}},
        {{AT_BLOCKS, 4, 2}, {0}}, /* of two units do not make six */
        {{AT_BYTES, 8, 10 * TABLE_UNIT_BYTES}, {0}},
        {{AT_INDEX_BYTES, 8, TABLE_UNIT_BYTES + 1}, {0}}, /* the file has one unit for it */
    };
    CU_ASSERT_EQUAL(decode_changed((struct word){0}, (struct word){0}), 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (decode_changed(rows[i].first, rows[i].second) != TORC_E_CORRUPT) {
            fprintf(stderr, "row %zu of the footers\n", i);
            CU_FAIL("a footer that contradicts itself was taken");
        }
}

TEST(a_footer_may_have_runs_and_more_units_in_memory)
{
    enum { FLAG_RUNS = 1 };
    struct word runs = {AT_FLAGS, 1, FLAG_RUNS}, packed = {AT_COMPRESSION, 1, TABLE_COMPRESSION_ZSTD};
    CU_ASSERT_EQUAL(decode_changed(runs, (struct word){AT_BLOCKS, 4, 2}), 0);
    CU_ASSERT_EQUAL(decode_changed(packed, (struct word){AT_MEMORY_UNITS, 1, TABLE_MEMORY_UNITS_MAX}), 0);
}

TEST(a_footer_of_another_version_or_compression_is_told_from_damage)
{
    CU_ASSERT_EQUAL(decode_changed((struct word){AT_VERSION, 4, TABLE_FORMAT_VERSION + 1}, (struct word){0}),
                    TORC_E_DATA_FORMAT);
    CU_ASSERT_EQUAL(decode_changed((struct word){AT_COMPRESSION, 1, TABLE_COMPRESSION_ZSTD + 1},
                                   (struct word){0}),
                    TORC_E_DATA_FORMAT);
}

/* ---- a table in memory ---- */

enum { NUMBER = 11, COUNT = 900, LARGE = 450, LARGE_BYTES = 9000, VALUE_BYTES = 200 };

struct table_bytes {
    struct reactor *r;
    uint8_t *bytes;
    uint64_t count;
    struct table_footer footer;
};

static void write_samples(struct reactor *r, const struct table_writer_options *o)
{
    uint8_t value[LARGE_BYTES];
    struct table_writer *w = NULL;
    struct table_summary summary;
    CU_ASSERT_EQUAL_FATAL(table_writer_open(r, o, &w), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct sample s;
        sample_fill(&s, i, value, i == LARGE ? LARGE_BYTES : VALUE_BYTES);
        CU_ASSERT_EQUAL_FATAL(table_writer_add(w, &s.record), 0);
    }
    CU_ASSERT_EQUAL_FATAL(table_writer_finish(w, &summary), 0);
    table_writer_close(w);
}

/* Several groups of blocks with a run among them. */
static void make_table(struct table_bytes *t, struct reactor *r, enum table_compression compression)
{
    char path[256];
    struct file *f = NULL;
    snprintf(path, sizeof path, "%s/table.sst", test_directory());
    write_samples(r, &(struct table_writer_options){
                         .path = path, .number = NUMBER, .block_units = 1, .compression = compression});
    *t = (struct table_bytes){.r = r};
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ, &f), 0);
    CU_ASSERT_EQUAL_FATAL(file_size(r, f, &t->count), 0);
    t->bytes = reactor_alloc(r, t->count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t->bytes);
    CU_ASSERT_EQUAL_FATAL(file_read(r, f, t->bytes, t->count, 0), (int64_t)t->count);
    file_close(r, f);
    CU_ASSERT_EQUAL_FATAL(table_footer_decode(t->bytes + t->count - TABLE_UNIT_BYTES, &t->footer), 0);
}

/* ---- the index ---- */

static uint8_t *index_of(const struct table_bytes *t)
{
    return t->bytes + (uint64_t)t->footer.data_units * TABLE_UNIT_BYTES;
}

/* Returns: what opening says of the index as it is in memory now; one that is taken finds a block for each
 * key. */
static int open_index(const struct table_bytes *t)
{
    struct table_index x;
    struct table_summary summary = t->footer.summary;
    uint8_t *section = reactor_alloc(t->r, t->footer.index_bytes); /* no byte more: a reader beyond is seen */
    CU_ASSERT_PTR_NOT_NULL_FATAL(section);
    memcpy(section, index_of(t), t->footer.index_bytes);
    int rc = table_index_init(&x, t->r, section, &t->footer, &summary);
    for (uint64_t i = 0; rc == 0 && i < COUNT; i += 50) {
        uint8_t value[1];
        struct sample s;
        sample_fill(&s, i, value, 0);
        CU_ASSERT(table_index_find(&x, &s.record.key) < t->footer.block_count);
    }
    reactor_free(t->r, section);
    return rc;
}

static void check_index_word(const struct table_bytes *t, struct word w)
{
    uint8_t *index = index_of(t);
    uint8_t kept[8];
    memcpy(kept, index + w.at, w.bytes);
    put_word(index, w);
    if (open_index(t) != TORC_E_CORRUPT) {
        fprintf(stderr, "index byte %zu of %llu\n", w.at, (unsigned long long)t->footer.index_bytes);
        CU_FAIL("an index that contradicts itself was taken");
    }
    memcpy(index + w.at, kept, w.bytes);
}

TEST_IN_REACTOR(an_index_whose_lengths_or_places_are_others_is_corrupt)
{
    struct table_bytes t;
    make_table(&t, r, TABLE_COMPRESSION_NONE);
    uint32_t groups = table_index_groups(t.footer.block_count);
    CU_ASSERT(t.footer.has_runs && groups > 2);
    CU_ASSERT_EQUAL(open_index(&t), 0);
    size_t end = TABLE_INDEX_HEADER_BYTES + groups * (size_t)8 + t.footer.block_count * (size_t)2;
    for (size_t at = 0; at < end; at++)
        for (unsigned bit = 0; bit < 8; bit += 7)
            check_index_word(&t, (struct word){at, 1, index_of(&t)[at] ^ 1u << bit});
    reactor_free(r, t.bytes);
}

TEST_IN_REACTOR(an_index_whose_units_are_none_of_a_block_is_corrupt)
{
    struct table_bytes t;
    make_table(&t, r, TABLE_COMPRESSION_NONE);
    size_t units_at =
        TABLE_INDEX_HEADER_BYTES + table_index_groups(t.footer.block_count) * (size_t)8; /* of block 0 */
    check_index_word(&t, (struct word){units_at, 4, 2u << 16}); /* none, and the next has both */
    check_index_word(&t, (struct word){units_at, 2, TABLE_RUN_UNITS_MAX + 1});
    reactor_free(r, t.bytes);
}

TEST_IN_REACTOR(an_index_with_any_byte_of_its_separators_changed_is_corrupt_or_in_order)
{
    static const uint8_t changes[] = {0x01, 0x0f, 0x10, 0xf0, 0xff};
    struct table_bytes t;
    unsigned refused = 0;
    make_table(&t, r, TABLE_COMPRESSION_NONE);
    uint8_t *index = index_of(&t);
    size_t groups = table_index_groups(t.footer.block_count);
    size_t begin = TABLE_INDEX_HEADER_BYTES + groups * 8 + t.footer.block_count * (size_t)2;
    for (size_t at = begin; at < t.footer.index_bytes; at++)
        for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
            index[at] ^= changes[i];
            int rc = open_index(&t);
            CU_ASSERT(rc == 0 || rc == TORC_E_CORRUPT);
            refused += rc == TORC_E_CORRUPT;
            index[at] ^= changes[i];
        }
    CU_ASSERT(refused > load_u32le(index)); /* more than one change of each byte of the separators */
    check_index_word(&t, (struct word){begin, 1, 1}); /* nothing is below the first block */
    reactor_free(r, t.bytes);
}

TEST_IN_REACTOR(an_index_whose_bounds_are_no_keys_in_order_is_corrupt)
{
    struct table_bytes t;
    make_table(&t, r, TABLE_COMPRESSION_NONE);
    size_t bounds_bytes = load_u32le(index_of(&t) + 8);
    size_t smallest = t.footer.index_bytes - bounds_bytes, largest = smallest + bounds_bytes / 2;
    check_index_word(&t, (struct word){smallest, 2, 8});                     /* vnode: above the largest */
    check_index_word(&t, (struct word){smallest + 6, 2, 0});                 /* no key */
    check_index_word(&t, (struct word){smallest + 6, 2, KEY_BYTES_MAX + 1}); /* longer than all there is */
    check_index_word(&t, (struct word){largest + 8, 2, 1});                  /* a subkey behind the end */
    check_index_word(&t, (struct word){largest + 6, 2, 3});                  /* bytes behind it */
    t.footer.summary.entries = 0;
    CU_ASSERT_EQUAL(open_index(&t), TORC_E_CORRUPT); /* an empty table has no bounds */
    reactor_free(r, t.bytes);
}

/* ---- a block ---- */

enum {
    BACK_PACKED = 32, /* from the end of a block */
    BACK_TABLE = 24,
    BACK_POSITION = 16,
    BACK_COUNT = 12,
    BACK_KIND = 10,
    BACK_COMPRESSION = 9,
    BACK_CHECKSUM = 8,
};

/* The first block with a word, `back` from its end, changed, and the checksum made right. */
static bool is_intact_with(const struct table_bytes *t, size_t back, size_t bytes, uint64_t value)
{
    uint8_t unit[TABLE_UNIT_BYTES];
    memcpy(unit, t->bytes, sizeof unit);
    put_word(unit, (struct word){sizeof unit - back, bytes, value});
    store_u64le(unit + sizeof unit - BACK_CHECKSUM, checksum_bytes(unit, sizeof unit - BACK_CHECKSUM));
    struct cache_block block = {.table = NUMBER, .position = 0, .units = 1};
    return table_block_is_intact(unit, block, t->footer.compression);
}

TEST_IN_REACTOR(a_block_that_contradicts_itself_or_its_table_is_not_intact)
{
    struct table_bytes t;
    make_table(&t, r, TABLE_COMPRESSION_NONE);
    CU_ASSERT_TRUE(is_intact_with(&t, BACK_KIND, 1, TABLE_BLOCK_SORTED));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_TABLE, 8, NUMBER + 1));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_POSITION, 4, 1));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_COMPRESSION, 1, TABLE_COMPRESSION_ZSTD)); /* the table is not */
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_KIND, 1, TABLE_BLOCK_RUN));               /* of several entries */
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_KIND, 1, 3));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_COUNT, 2, 0));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_COUNT, 2, TABLE_UNIT_BYTES / ENTRY_BYTES_MIN));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_COUNT, 2, UINT16_MAX));
    reactor_free(r, t.bytes);
}

TEST_IN_REACTOR(a_compressed_block_whose_frame_is_too_long_is_not_intact)
{
    struct table_bytes t;
    make_table(&t, r, TABLE_COMPRESSION_ZSTD);
    CU_ASSERT_EQUAL_FATAL(t.bytes[TABLE_UNIT_BYTES - BACK_COMPRESSION], TABLE_COMPRESSION_ZSTD);
    CU_ASSERT_TRUE(is_intact_with(&t, BACK_PACKED, 4, 100));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_PACKED, 4, TABLE_UNIT_BYTES - BACK_PACKED + 1));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_COUNT, 2, 0));
    CU_ASSERT_FALSE(is_intact_with(&t, BACK_COUNT, 2, TABLE_BLOCK_ENTRIES_MAX + 1));
    reactor_free(r, t.bytes);
}

TEST_IN_REACTOR(a_block_whose_offsets_or_entries_are_others_is_not_whole)
{
    struct table_bytes t;
    struct sample s;
    struct record record;
    struct slice bytes;
    uint8_t value[VALUE_BYTES];
    make_table(&t, r, TABLE_COMPRESSION_NONE);
    sample_fill(&s, 1, value, sizeof value);
    uint8_t *block = t.bytes;
    uint32_t count = table_block_count(block, 1);
    uint8_t *offsets =
        block + TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES - count * (size_t)TABLE_ENTRY_EXTRA_BYTES;
    CU_ASSERT_TRUE(table_block_is_whole(block, 1));
    CU_ASSERT_TRUE(table_block_entry(block, 1, 1, &record, &bytes) && sample_is_same(&s.record, &record));
    for (size_t at = 0; at < count * (size_t)TABLE_OFFSET_BYTES; at++) {
        offsets[at] ^= 0x80;
        CU_ASSERT_FALSE(table_block_is_whole(block, 1));
        uint32_t entry = (uint32_t)at / TABLE_OFFSET_BYTES;
        CU_ASSERT_FALSE(table_block_entry(block, 1, entry, &record, &bytes));
        offsets[at] ^= 0x80;
    }
    uint32_t last = load_u16le(offsets + (count - 1) * (size_t)TABLE_OFFSET_BYTES);
    memset(block + last, 0xff, (size_t)(offsets - block) - last);
    CU_ASSERT_FALSE(table_block_is_whole(block, 1));
    CU_ASSERT_FALSE(table_block_entry(block, 1, count - 1, &record, &bytes));
    reactor_free(r, t.bytes);
}

TEST_IN_REACTOR(entries_that_are_not_what_their_block_says_are_not_restored)
{
    enum { TO_UNITS = 2 };
    static uint8_t to[TO_UNITS * TABLE_UNIT_BYTES];
    struct table_bytes t;
    make_table(&t, r, TABLE_COMPRESSION_NONE);
    uint8_t *block = t.bytes;
    uint32_t count = table_block_count(block, 1);
    CU_ASSERT_TRUE_FATAL(table_block_widen(block, 1, to, TO_UNITS));
    CU_ASSERT_EQUAL(table_block_count(to, TO_UNITS), count);
    CU_ASSERT_TRUE(table_block_is_whole(to, TO_UNITS));
    CU_ASSERT_FALSE(table_block_restore(block, 1, to, TO_UNITS, 0));
    CU_ASSERT_FALSE(table_block_restore(block, 1, to, TO_UNITS, sizeof to)); /* no room for offsets */
    CU_ASSERT_FALSE(table_block_restore(block, 1, to, TO_UNITS, 100));       /* cut */
    block[TABLE_UNIT_BYTES - BACK_KIND] = TABLE_BLOCK_RUN;
    CU_ASSERT_FALSE(table_block_widen(block, 1, to, TO_UNITS));
    reactor_free(r, t.bytes);
}
