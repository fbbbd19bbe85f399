/* table_damage_test.c - a table whose bytes are not those that were written: found, and never served.
 *
 * The files are damaged through the reactor; what each byte is worth is tried on blocks and footer in memory,
 * where every one can be flipped quickly, and on the file in steps. */
#include "engine/table.h"

#include "engine/entry.h"
#include "engine/table_block.h"
#include "engine/table_format.h"
#include "test/engine/table_sample.h"
#include "test/test.h"

#include <string.h>

enum { NUMBER = 11, COUNT = 60, LARGE = 30, LARGE_BYTES = 5000, VALUE_BYTES = 100, STEP = 61 };

static uint8_t values[LARGE_BYTES];

struct image {
    struct reactor *r;
    char path[256];
    uint8_t *bytes; /* of the whole table */
    uint64_t count;
};

static size_t value_bytes_of(uint64_t i)
{
    return i == LARGE ? LARGE_BYTES : VALUE_BYTES;
}

/* Sorted blocks around a run of two units. */
static void write_table(struct reactor *r, const struct table_writer_options *o)
{
    struct table_writer *w = NULL;
    struct table_summary summary;
    CU_ASSERT_EQUAL_FATAL(table_writer_open(r, o, &w), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct sample s;
        sample_fill(&s, i, values, value_bytes_of(i));
        CU_ASSERT_EQUAL_FATAL(table_writer_add(w, &s.record), 0);
    }
    CU_ASSERT_EQUAL_FATAL(table_writer_finish(w, &summary), 0);
    table_writer_close(w);
}

static void write_bytes(struct image *m, const uint8_t *bytes, uint64_t count)
{
    struct file *f = NULL;
    CU_ASSERT_EQUAL_FATAL(file_open(m->r, m->path, FILE_WRITE | FILE_CREATE, &f), 0);
    CU_ASSERT_EQUAL(file_truncate(m->r, f, 0), 0);
    if (count)
        CU_ASSERT_EQUAL(file_write(m->r, f, bytes, count, 0, false), 0);
    file_close(m->r, f);
}

/* `o` lacks the path. */
static void image_open_as(struct image *m, struct reactor *r, struct table_writer_options o)
{
    struct file *f = NULL;
    *m = (struct image){.r = r};
    snprintf(m->path, sizeof m->path, "%s/table.sst", test_directory());
    o.path = m->path;
    write_table(r, &o);
    CU_ASSERT_EQUAL_FATAL(file_open(r, m->path, FILE_READ, &f), 0);
    CU_ASSERT_EQUAL_FATAL(file_size(r, f, &m->count), 0);
    m->bytes = reactor_alloc(r, m->count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m->bytes);
    CU_ASSERT_EQUAL_FATAL(file_read(r, f, m->bytes, m->count, 0), (int64_t)m->count);
    file_close(r, f);
}

static void image_open(struct image *m, struct reactor *r, uint64_t number)
{
    image_open_as(m, r, (struct table_writer_options){.number = number});
}

static void image_close(struct image *m)
{
    reactor_free(m->r, m->bytes);
}

struct verdict {
    int opened;
    unsigned found;   /* right records from gets */
    unsigned corrupt; /* gets that said so */
    unsigned wrong;   /* anything else: must be 0 */
    unsigned scanned; /* right records from a cursor before its end or error */
    int scan_result;
    uint64_t corruptions;
};

static void judge_gets(struct table *t, struct verdict *v)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        struct sample s;
        struct record found;
        struct cache_pin pin;
        sample_fill(&s, i, values, value_bytes_of(i));
        int rc = table_get(t, &s.record.key, table_key_hash(&s.record.key), &found, &pin);
        if (rc == TABLE_FOUND && sample_is_same(&s.record, &found))
            v->found++;
        else if (rc == TORC_E_CORRUPT)
            v->corrupt++;
        else
            v->wrong++;
        cache_unpin(&pin);
    }
}

static void judge_scan(struct table *t, struct verdict *v)
{
    struct table_cursor c;
    struct record found;
    table_cursor_init(&c, t, TABLE_CURSOR_BULK);
    while ((v->scan_result = table_cursor_next(&c, &found)) == 1) {
        struct sample s;
        sample_fill(&s, v->scanned, values, value_bytes_of(v->scanned));
        if (sample_is_same(&s.record, &found))
            v->scanned++;
        else
            v->wrong++;
    }
    CU_ASSERT_EQUAL(table_cursor_next(&c, &found), v->scan_result);
    table_cursor_deinit(&c);
}

/* Opens the file as it is now and asks it for everything. */
static struct verdict judge(struct image *m)
{
    struct verdict v = {0};
    struct cache *cache = NULL;
    struct table *t = NULL;
    CU_ASSERT_EQUAL_FATAL(cache_open(m->r, 0, &cache), 0);
    v.opened = table_open(m->r, cache, m->path, NUMBER, &t);
    if (v.opened == 0) {
        judge_gets(t, &v);
        judge_scan(t, &v);
        v.corruptions = table_counters(t).corruptions;
        table_close(t);
    }
    cache_close(cache);
    return v;
}

static bool is_whole(const struct verdict *v)
{
    return v->opened == 0 && v->found == COUNT && v->scanned == COUNT && v->scan_result == 0 && v->wrong == 0;
}

/* Found, without a wrong answer. */
static bool is_detected(const struct verdict *v)
{
    if (v->opened)
        return v->opened == TORC_E_CORRUPT;
    return v->wrong == 0 && v->corrupt > 0 && v->found + v->corrupt == COUNT &&
           v->scan_result == TORC_E_CORRUPT && v->corruptions > 0;
}

static void check_flips(struct image *m)
{
    struct verdict v = judge(m);
    CU_ASSERT_TRUE(is_whole(&v));
    for (uint64_t at = 0; at < m->count; at += STEP) {
        m->bytes[at] ^= (uint8_t)(1u << at % 8);
        write_bytes(m, m->bytes, m->count);
        v = judge(m);
        if (!is_detected(&v))
            CU_FAIL("a flipped byte went unseen");
        m->bytes[at] ^= (uint8_t)(1u << at % 8);
    }
}

TEST_IN_REACTOR(any_flipped_byte_of_the_file_is_detected)
{
    struct image m;
    image_open(&m, r, NUMBER);
    check_flips(&m);
    image_close(&m);
}

TEST_IN_REACTOR(any_flipped_byte_of_a_table_of_large_blocks_is_detected)
{
    struct image m;
    image_open_as(&m, r, (struct table_writer_options){.number = NUMBER, .block_units = 3});
    check_flips(&m);
    image_close(&m);
}

enum { BACK_COMPRESSION = 9, BACK_PLAIN = 28 }; /* from the end of a block */

TEST_IN_REACTOR(any_flipped_byte_of_a_compressed_table_is_detected)
{
    struct image m;
    image_open_as(&m, r,
                  (struct table_writer_options){.number = NUMBER, .compression = TABLE_COMPRESSION_ZSTD});
    CU_ASSERT_EQUAL(m.bytes[TABLE_UNIT_BYTES - BACK_COMPRESSION], TABLE_COMPRESSION_ZSTD);
    check_flips(&m);
    image_close(&m);
}

/* Its checksum says that it is what was written; what was written says something else than it holds. */
TEST_IN_REACTOR(a_compressed_block_of_another_length_than_it_says_is_not_served)
{
    struct image m;
    image_open_as(&m, r,
                  (struct table_writer_options){.number = NUMBER, .compression = TABLE_COMPRESSION_ZSTD});
    static const int32_t changes[] = {-1, 1, INT32_MAX};
    uint8_t *end = m.bytes + TABLE_UNIT_BYTES;
    uint32_t plain = load_u32le(end - BACK_PLAIN);
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        store_u32le(end - BACK_PLAIN, plain + (uint32_t)changes[i]);
        store_u64le(end - 8, checksum_bytes(m.bytes, TABLE_UNIT_BYTES - 8));
        write_bytes(&m, m.bytes, m.count);
        struct verdict v = judge(&m);
        CU_ASSERT_TRUE(is_detected(&v));
    }
    image_close(&m);
}

TEST_IN_REACTOR(every_flipped_byte_of_a_block_is_detected)
{
    struct image m;
    image_open(&m, r, NUMBER);
    struct cache_block sorted = {.table = NUMBER, .position = 0, .units = 1};
    struct cache_block run = {.table = NUMBER, .position = 2, .units = 2};
    uint8_t *run_bytes = m.bytes + 2 * TABLE_UNIT_BYTES;
    CU_ASSERT_TRUE(table_block_is_intact(m.bytes, sorted, TABLE_COMPRESSION_ZSTD));
    CU_ASSERT_TRUE_FATAL(table_block_is_intact(run_bytes, run, TABLE_COMPRESSION_ZSTD));
    for (size_t at = 0; at < 2 * TABLE_UNIT_BYTES; at++) {
        m.bytes[at % TABLE_UNIT_BYTES] ^= 0x10;
        run_bytes[at] ^= 0x01;
        if (table_block_is_intact(m.bytes, sorted, TABLE_COMPRESSION_ZSTD) ||
            table_block_is_intact(run_bytes, run, TABLE_COMPRESSION_ZSTD))
            CU_FAIL("a flipped byte of a block went unseen");
        m.bytes[at % TABLE_UNIT_BYTES] ^= 0x10;
        run_bytes[at] ^= 0x01;
    }
    image_close(&m);
}

TEST_IN_REACTOR(every_flipped_byte_of_the_footer_is_detected)
{
    struct image m;
    struct table_footer footer;
    image_open(&m, r, NUMBER);
    uint8_t *unit = m.bytes + m.count - TABLE_UNIT_BYTES;
    CU_ASSERT_EQUAL(table_footer_decode(unit, &footer), 0);
    for (size_t at = 0; at < TABLE_UNIT_BYTES; at++) {
        unit[at] ^= 0x04;
        if (table_footer_decode(unit, &footer) != TORC_E_CORRUPT)
            CU_FAIL("a flipped byte of the footer went unseen");
        unit[at] ^= 0x04;
    }
    image_close(&m);
}

TEST_IN_REACTOR(a_file_cut_anywhere_is_not_opened)
{
    struct image m;
    image_open(&m, r, NUMBER);
    for (uint64_t count = 0; count < m.count; count += TABLE_UNIT_BYTES / 4) {
        write_bytes(&m, m.bytes, count);
        CU_ASSERT_EQUAL(judge(&m).opened, TORC_E_CORRUPT);
    }
    write_bytes(&m, m.bytes, m.count - 1);
    CU_ASSERT_EQUAL(judge(&m).opened, TORC_E_CORRUPT);
    image_close(&m);
}

TEST_IN_REACTOR(a_whole_footer_of_another_version_is_told_from_damage)
{
    struct image m;
    image_open(&m, r, NUMBER);
    uint8_t *unit = m.bytes + m.count - TABLE_UNIT_BYTES;
    store_u32le(unit + 8, TABLE_FORMAT_VERSION + 1);
    store_u64le(unit + TABLE_UNIT_BYTES - 8, checksum_bytes(unit, TABLE_UNIT_BYTES - 8));
    write_bytes(&m, m.bytes, m.count);
    CU_ASSERT_EQUAL(judge(&m).opened, TORC_E_DATA_FORMAT);
    image_close(&m);
}

TEST_IN_REACTOR(a_file_of_another_number_or_none_is_not_opened)
{
    struct image m;
    image_open(&m, r, NUMBER + 1);
    CU_ASSERT_EQUAL(judge(&m).opened, TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(file_remove(r, m.path), 0);
    CU_ASSERT_TRUE(judge(&m).opened < 0);
    image_close(&m);
}

TEST_IN_REACTOR(a_block_that_went_to_another_place_is_detected)
{
    struct image m;
    image_open(&m, r, NUMBER);
    memcpy(m.bytes, m.bytes + TABLE_UNIT_BYTES, TABLE_UNIT_BYTES); /* whole, but not this one */
    write_bytes(&m, m.bytes, m.count);
    struct verdict v = judge(&m);
    CU_ASSERT_TRUE(is_detected(&v));
    CU_ASSERT_TRUE(v.found > 0);
    CU_ASSERT_EQUAL(v.scanned, 0);
    image_close(&m);
}

TEST_IN_REACTOR(a_block_of_another_table_in_the_same_place_is_detected)
{
    struct image m, other;
    image_open(&m, r, NUMBER);
    image_open(&other, r, NUMBER + 1); /* the same records */
    memcpy(m.bytes, other.bytes, TABLE_UNIT_BYTES);
    write_bytes(&m, m.bytes, m.count);
    struct verdict v = judge(&m);
    CU_ASSERT_TRUE(is_detected(&v));
    image_close(&m);
    image_close(&other);
}

/* A cursor over a table with a bad block in the run. */
struct bad_run {
    struct image image;
    struct cache *cache;
    struct table *table;
    struct table_cursor cursor;
};

static void bad_run_open(struct bad_run *b, struct reactor *r)
{
    struct image *m = &b->image;
    image_open(m, r, NUMBER);
    m->bytes[2 * TABLE_UNIT_BYTES + 100] ^= 1;
    write_bytes(m, m->bytes, m->count);
    CU_ASSERT_EQUAL_FATAL(cache_open(r, 0, &b->cache), 0);
    CU_ASSERT_EQUAL_FATAL(table_open(r, b->cache, m->path, NUMBER, &b->table), 0);
    table_cursor_init(&b->cursor, b->table, TABLE_CURSOR_SCAN);
}

static void bad_run_close(struct bad_run *b)
{
    table_cursor_deinit(&b->cursor);
    table_close(b->table);
    cache_close(b->cache);
    image_close(&b->image);
}

TEST_IN_REACTOR(a_cursor_stops_at_a_bad_block_and_goes_on_after_a_seek_past_it)
{
    struct bad_run b;
    struct table_cursor *c = &b.cursor;
    struct sample s;
    struct record found;
    bad_run_open(&b, r);
    for (unsigned i = 0; i < LARGE; i++)
        CU_ASSERT_EQUAL(table_cursor_next(c, &found), 1);
    CU_ASSERT_EQUAL(table_cursor_next(c, &found), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(table_cursor_next(c, &found), TORC_E_CORRUPT);
    sample_fill(&s, LARGE + 1, values, VALUE_BYTES);
    CU_ASSERT_EQUAL(table_cursor_seek(c, &s.record.key), 0);
    CU_ASSERT_EQUAL(table_cursor_next(c, &found), 1);
    CU_ASSERT_TRUE(sample_is_same(&s.record, &found));
    bad_run_close(&b);
}

TEST_IN_REACTOR(a_backward_cursor_stops_at_a_bad_block)
{
    struct bad_run b;
    struct table_cursor *c = &b.cursor;
    struct record found;
    bad_run_open(&b, r);
    CU_ASSERT_EQUAL(table_cursor_seek_before(c, NULL), 0);
    for (unsigned i = COUNT; i > LARGE + 1; i--)
        CU_ASSERT_EQUAL(table_cursor_previous(c, &found), 1);
    CU_ASSERT_EQUAL(table_cursor_previous(c, &found), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(table_cursor_next(c, &found), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(table_cursor_seek_before(c, NULL), 0);
    CU_ASSERT_EQUAL(table_cursor_previous(c, &found), 1);
    bad_run_close(&b);
}

/* ---- what cannot be read is given up ---- */

struct rest {
    struct table_losses losses;
    unsigned found;
    unsigned wrong;
    int result;
    bool has[COUNT];
};

static void read_rest(struct table_cursor *c, struct rest *rest)
{
    struct record found;
    memset(rest->has, 0, sizeof rest->has);
    rest->found = rest->wrong = 0;
    while ((rest->result = table_cursor_next(c, &found)) == 1) {
        struct sample s;
        unsigned long long i = COUNT;
        if (sscanf((const char *)found.key.key.data, "key%12llu", &i) != 1 || i >= COUNT || rest->has[i]) {
            rest->wrong++;
            continue;
        }
        sample_fill(&s, i, values, value_bytes_of(i));
        rest->wrong += !sample_is_same(&s.record, &found);
        rest->has[i] = true;
        rest->found++;
    }
}

/* Reads it twice with one cursor: what is lost counts once. */
static struct rest read_what_is_left(struct image *m)
{
    struct rest rest, again;
    struct table *t = NULL;
    struct table_cursor c;
    struct sample first;
    sample_fill(&first, 0, values, VALUE_BYTES);
    CU_ASSERT_EQUAL_FATAL(table_open(m->r, NULL, m->path, NUMBER, &t), 0);
    table_cursor_init(&c, t, TABLE_CURSOR_BULK);
    table_cursor_give_up(&c, &rest.losses);
    read_rest(&c, &rest);
    struct table_losses once = rest.losses;
    CU_ASSERT_EQUAL(table_cursor_seek(&c, &first.record.key), 0);
    read_rest(&c, &again);
    CU_ASSERT(again.found == rest.found && again.result == 0);
    CU_ASSERT(once.blocks == rest.losses.blocks && once.records == rest.losses.records);
    table_cursor_deinit(&c);
    table_close(t);
    return rest;
}

/* Each unit in turn. All that is not in its block is left. */
static void give_up_each_block(struct reactor *r, struct table_writer_options o)
{
    struct image m;
    struct table_footer footer;
    o.number = NUMBER;
    image_open_as(&m, r, o);
    CU_ASSERT_EQUAL_FATAL(table_footer_decode(m.bytes + m.count - TABLE_UNIT_BYTES, &footer), 0);
    for (uint32_t unit = 0; unit < footer.data_units; unit++) {
        m.bytes[unit * TABLE_UNIT_BYTES + 100] ^= 1;
        write_bytes(&m, m.bytes, m.count);
        struct rest rest = read_what_is_left(&m);
        CU_ASSERT(rest.result == 0 && rest.wrong == 0);
        CU_ASSERT(rest.losses.blocks == 1 && rest.losses.records == 0);
        CU_ASSERT(rest.losses.bytes >= TABLE_UNIT_BYTES && rest.losses.bytes <= 4 * TABLE_UNIT_BYTES);
        CU_ASSERT(rest.losses.vnode_first == 7 && rest.losses.vnode_last == 7);
        CU_ASSERT(rest.found < COUNT);
        CU_ASSERT(rest.found > 0 || footer.block_count == 1);
        m.bytes[unit * TABLE_UNIT_BYTES + 100] ^= 1;
    }
    write_bytes(&m, m.bytes, m.count);
    struct rest rest = read_what_is_left(&m);
    CU_ASSERT(rest.found == COUNT && rest.losses.blocks + rest.losses.records == 0);
    image_close(&m);
}

TEST_IN_REACTOR(a_cursor_that_gives_up_a_block_gives_out_all_others)
{
    give_up_each_block(r, (struct table_writer_options){.block_units = 1});
    give_up_each_block(r, (struct table_writer_options){.block_units = 2});
    give_up_each_block(r, (struct table_writer_options){.compression = TABLE_COMPRESSION_ZSTD});
}

/* The block is as it was written, and one of its records was damaged before. */
TEST_IN_REACTOR(a_cursor_that_gives_up_a_record_gives_out_all_others)
{
    struct image m;
    image_open(&m, r, NUMBER);
    m.bytes[100] ^= 1; /* in the first value */
    store_u64le(m.bytes + TABLE_UNIT_BYTES - 8, checksum_bytes(m.bytes, TABLE_UNIT_BYTES - 8));
    write_bytes(&m, m.bytes, m.count);
    struct rest rest = read_what_is_left(&m);
    CU_ASSERT(rest.result == 0 && rest.wrong == 0 && rest.found == COUNT - 1 && !rest.has[0]);
    CU_ASSERT(rest.losses.blocks == 0 && rest.losses.bytes == 0 && rest.losses.records == 1);
    image_close(&m);
}

TEST_IN_REACTOR(a_table_that_was_not_finished_leaves_no_file)
{
    char path[256];
    struct table_writer *w = NULL;
    struct sample s;
    struct file *f = NULL;
    snprintf(path, sizeof path, "%s/table.sst", test_directory());
    CU_ASSERT_EQUAL_FATAL(table_writer_open(r, &(struct table_writer_options){.path = path, .number = NUMBER},
                                            &w),
                          0);
    for (uint64_t i = 0; i < 5000; i++) { /* more than one buffer, so that a write is under way */
        sample_fill(&s, i, values, VALUE_BYTES);
        CU_ASSERT_EQUAL_FATAL(table_writer_add(w, &s.record), 0);
    }
    table_writer_close(w);
    CU_ASSERT_TRUE(file_open(r, path, FILE_READ, &f) < 0);
}

TEST_IN_REACTOR(a_file_that_is_there_already_is_written_anew)
{
    struct image m;
    image_open(&m, r, NUMBER);
    static uint8_t junk[100 * TABLE_UNIT_BYTES];
    memset(junk, 0x5a, sizeof junk);
    write_bytes(&m, junk, sizeof junk);
    write_table(r, &(struct table_writer_options){.path = m.path, .number = NUMBER});
    struct verdict v = judge(&m);
    CU_ASSERT_TRUE(is_whole(&v));
    image_close(&m);
}
