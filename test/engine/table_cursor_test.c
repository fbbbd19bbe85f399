/* table_cursor_test.c - the records of a table in order, from anywhere, and against a plain array as the
 * model. */
#include "engine/table.h"

#include "engine/entry.h"
#include "engine/table_format.h"
#include "test/engine/table_sample.h"
#include "test/test.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBER = 7, MODEL_MAX = 4000 };

static uint8_t values[VALUE_BYTES_MAX];

struct model {
    struct record records[MODEL_MAX];
    uint8_t *bytes[MODEL_MAX]; /* of key, subkey and value */
    unsigned count;
    uint32_t block_units; /* 0: the default */
    enum table_compression compression;
    struct cache *cache;
    struct table *table;
};

static struct model *model_new(void)
{
    struct model *m = calloc(1, sizeof *m);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    return m;
}

static void model_add(struct model *m, struct record record)
{
    CU_ASSERT_FATAL(m->count < MODEL_MAX);
    size_t key = record.key.key.bytes, subkey = record.key.subkey.bytes;
    uint8_t *bytes = malloc(key + subkey + record.value.bytes + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    memcpy(bytes, record.key.key.data, key);
    if (subkey)
        memcpy(bytes + key, record.key.subkey.data, subkey);
    if (record.value.bytes)
        memcpy(bytes + key + subkey, record.value.data, record.value.bytes);
    record.key.key = slice_of(bytes, key);
    record.key.subkey = slice_of(bytes + key, subkey);
    record.value = slice_of(bytes + key + subkey, record.value.bytes);
    record.checksum = entry_checksum(&record.key, record.value);
    m->bytes[m->count] = bytes;
    m->records[m->count++] = record;
}

static int by_key(const void *a, const void *b)
{
    return record_key_compare(&((const struct record *)a)->key, &((const struct record *)b)->key);
}

/* Sorts, drops all but one of equal keys, writes the table and opens it. With other block_units it may be
 * done again. */
static void model_write(struct model *m, struct reactor *r)
{
    char path[256];
    struct table_writer *w = NULL;
    struct table_summary summary;
    table_close(m->table);
    cache_close(m->cache);
    snprintf(path, sizeof path, "%s/table.sst", test_directory());
    qsort(m->records, m->count, sizeof m->records[0], by_key);
    unsigned kept = 0;
    for (unsigned i = 0; i < m->count; i++)
        if (kept == 0 || by_key(&m->records[kept - 1], &m->records[i]) != 0)
            m->records[kept++] = m->records[i];
    struct table_writer_options o = {.path = path,
                                     .number = NUMBER,
                                     .block_units = m->block_units,
                                     .compression = m->compression};
    CU_ASSERT_EQUAL_FATAL(table_writer_open(r, &o, &w), 0);
    for (unsigned i = 0; i < kept; i++)
        CU_ASSERT_EQUAL_FATAL(table_writer_add(w, &m->records[i]), 0);
    CU_ASSERT_EQUAL_FATAL(table_writer_finish(w, &summary), 0);
    CU_ASSERT_EQUAL(summary.entries, kept);
    table_writer_close(w);
    CU_ASSERT_EQUAL_FATAL(cache_open(r, 0, &m->cache), 0);
    CU_ASSERT_EQUAL_FATAL(table_open(r, m->cache, path, NUMBER, &m->table), 0);
    m->count = kept;
}

static void model_free(struct model *m)
{
    table_close(m->table);
    cache_close(m->cache);
    for (unsigned i = 0; i < MODEL_MAX; i++)
        free(m->bytes[i]);
    free(m);
}

/* The cursor gives the model's records from `from` on, at most `count` of them, and the end after the last.
 * */
static void check_run(struct model *m, struct table_cursor *c, unsigned from, unsigned count)
{
    struct record record;
    unsigned i = from;
    for (; i < m->count && i - from < count; i++) {
        if (table_cursor_next(c, &record) != 1 || !sample_is_same(&m->records[i], &record)) {
            CU_FAIL("the cursor gives another record than the model");
            return;
        }
    }
    if (i == m->count) {
        CU_ASSERT_EQUAL(table_cursor_next(c, &record), 0);
        CU_ASSERT_EQUAL(table_cursor_next(c, &record), 0);
    }
}

/* The cursor gives the model's records below `from`, downward, at most `count` of them, and the end after the
 * first. */
static void check_run_back(struct model *m, struct table_cursor *c, unsigned from, unsigned count)
{
    struct record record;
    unsigned i = from;
    for (; i > 0 && from - i < count; i--) {
        if (table_cursor_previous(c, &record) != 1 || !sample_is_same(&m->records[i - 1], &record)) {
            CU_FAIL("the cursor gives another record than the model");
            return;
        }
    }
    if (i == 0) {
        CU_ASSERT_EQUAL(table_cursor_previous(c, &record), 0);
        CU_ASSERT_EQUAL(table_cursor_previous(c, &record), 0);
    }
}

static unsigned model_lower_bound(const struct model *m, const struct record_key *key)
{
    unsigned i = 0;
    while (i < m->count && record_key_compare(&m->records[i].key, key) < 0)
        i++;
    return i;
}

static void check_seek(struct model *m, struct table_cursor *c, const struct record_key *key, unsigned count)
{
    CU_ASSERT_EQUAL_FATAL(table_cursor_seek(c, key), 0);
    check_run(m, c, model_lower_bound(m, key), count);
}

/* All records are found by gets. */
static void check_gets(struct model *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct record found;
        struct cache_pin pin;
        const struct record_key *key = &m->records[i].key;
        int rc = table_get(m->table, key, table_key_hash(key), &found, &pin);
        CU_ASSERT_TRUE(rc == TABLE_FOUND && sample_is_same(&m->records[i], &found));
        cache_unpin(&pin);
    }
}

static void check_whole(struct model *m, enum table_cursor_mode mode)
{
    struct table_cursor c;
    table_cursor_init(&c, m->table, mode);
    check_run(m, &c, 0, MODEL_MAX);
    table_cursor_deinit(&c);
}

TEST_IN_REACTOR(a_seek_stands_before_the_first_key_not_below_at_every_boundary)
{
    struct model *m = model_new();
    struct table_cursor c;
    for (unsigned i = 0; i < 500; i++) { /* some 20 blocks */
        struct sample s;
        sample_fill(&s, 10 + 2 * i, values, 100);
        model_add(m, s.record);
    }
    model_write(m, r);
    for (unsigned mode = 0; mode < 2; mode++) {
        table_cursor_init(&c, m->table, mode ? TABLE_CURSOR_BULK : TABLE_CURSOR_SCAN);
        for (unsigned i = 0; i < 1040; i++) { /* each key, each gap, below the first and above the last */
            struct sample s;
            sample_fill(&s, i, values, 0);
            check_seek(m, &c, &s.record.key, 3);
        }
        struct record_key lowest = {.vnode = 7}, above = {.vnode = 8},
                          below = {.vnode = 6, .namespace_id = 9};
        check_seek(m, &c, &lowest, MODEL_MAX);
        check_seek(m, &c, &above, MODEL_MAX);
        check_seek(m, &c, &below, MODEL_MAX);
        table_cursor_deinit(&c);
    }
    check_whole(m, TABLE_CURSOR_SCAN);
    model_free(m);
}

static void fill_even(struct model *m, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct sample s;
        sample_fill(&s, i, values, 200);
        model_add(m, s.record);
    }
}

TEST_IN_REACTOR(a_bulk_cursor_reads_large_pieces_past_the_cache)
{
    struct model *m = model_new();
    fill_even(m, MODEL_MAX - 1);
    model_write(m, r);
    check_whole(m, TABLE_CURSOR_BULK);
    uint64_t data_bytes = table_summary(m->table)->bytes;
    CU_ASSERT_TRUE(table_counters(m->table).cursor_reads <= data_bytes / (256 * 1024) + 1);
    CU_ASSERT_EQUAL(cache_counters(m->cache).blocks, 0);
    model_free(m);
}

/* Whatever the length of blocks, windows follow upon each other, and what is behind the end stays unread. */
TEST_IN_REACTOR(a_bulk_cursor_reads_nothing_twice_and_little_behind_its_end)
{
    struct model *m = model_new();
    fill_even(m, MODEL_MAX - 1);
    for (m->block_units = 1; m->block_units <= TABLE_BLOCK_UNITS_MAX; m->block_units++) {
        struct table_cursor c;
        unsigned middle = MODEL_MAX / 2;
        model_write(m, r);
        table_cursor_init(&c, m->table, TABLE_CURSOR_BULK);
        c.end = &m->records[middle].key;
        check_run(m, &c, 0, middle);
        table_cursor_deinit(&c);
        uint64_t half = table_counters(m->table).cursor_read_bytes;
        CU_ASSERT(half > 0 && half < table_summary(m->table)->bytes * 11 / 20);
        check_whole(m, TABLE_CURSOR_BULK);
        CU_ASSERT(table_counters(m->table).cursor_read_bytes - half < table_summary(m->table)->bytes);
        table_cursor_init(&c, m->table, TABLE_CURSOR_BULK); /* goes on behind the end when it is asked to */
        c.end = &m->records[10].key;
        check_run(m, &c, 0, MODEL_MAX);
        table_cursor_deinit(&c);
    }
    model_free(m);
}

TEST_IN_REACTOR(values_of_every_size_around_the_edges_of_blocks_come_back)
{
    struct model *m = model_new();
    /* 15 bytes of key, 36 of header, 27 of trailer, offset and tag */
    static const size_t sizes[] = {0,
                                   1,
                                   2,
                                   100,
                                   2000,
                                   4096 - 78,
                                   4096 - 77,
                                   4096,
                                   8192 - 78,
                                   8192 - 77,
                                   12288 - 78,
                                   12288 - 77,
                                   16384 - 78,
                                   16384 - 77,
                                   65536,
                                   70000,
                                   VALUE_BYTES_MAX - 1,
                                   VALUE_BYTES_MAX,
                                   1,
                                   0};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes) * 3; i++) {
        struct sample s;
        sample_fill(&s, i, values, i % 3 == 1 ? 30 : sizes[i / 3]);
        if (i % 5 == 0) {
            s.record.flags = RECORD_EXPIRING;
            s.record.expiry_ms = 5000 + i;
        }
        model_add(m, s.record);
    }
    for (unsigned i = 0; i < 200; i++) { /* blocks filled to each remainder */
        struct sample s;
        sample_fill(&s, 1000 + i, values, 3700 + i * 4);
        model_add(m, s.record);
    }
    for (unsigned i = 0; i < 2 * TABLE_BLOCK_UNITS_MAX; i++) {
        m->block_units = 1 + i / 2;
        m->compression = i % 2 ? TABLE_COMPRESSION_ZSTD : TABLE_COMPRESSION_NONE;
        model_write(m, r);
        CU_ASSERT_EQUAL(table_summary(m->table)->expiry_min_ms, 5000);
        CU_ASSERT_EQUAL(table_summary(m->table)->expiring, 12);
        CU_ASSERT_EQUAL(table_summary(m->table)->expiry_max_ms, 5055);
        check_gets(m);
        check_whole(m, TABLE_CURSOR_SCAN);
        check_whole(m, TABLE_CURSOR_BULK);
    }
    model_free(m);
}

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return sample_mix(*state);
}

/* Keys of few, awkward bytes: zeros, 0xff, prefixes of one another; and now and then a very long one. */
static size_t random_text(uint8_t *to, uint64_t *state, size_t bytes_max)
{
    static const uint8_t alphabet[] = {0, 1, 0x7f, 0xff};
    uint64_t word = next_random(state);
    size_t bytes = word % 50 == 0 ? bytes_max : word % 7;
    for (size_t i = 0; i < bytes; i++)
        to[i] = alphabet[next_random(state) % sizeof alphabet];
    return bytes;
}

/* Its first `alike` bytes are those of all other such keys. */
static struct record_key random_key(uint8_t *memory, uint64_t *state, size_t alike)
{
    static const uint32_t namespaces[] = {0, 1, 254, 255, 256, UINT32_MAX};
    memset(memory, 0, alike);
    size_t key_bytes = alike + random_text(memory + alike, state, KEY_BYTES_MAX - 1 - alike) + 1;
    memory[key_bytes - 1] = (uint8_t)(next_random(state) % 3);
    size_t subkey_bytes = random_text(memory + KEY_BYTES_MAX, state, SUBKEY_BYTES_MAX);
    return (struct record_key){
        .vnode = (uint16_t)(next_random(state) % 3 * 255),
        .namespace_id = namespaces[next_random(state) % ARRAY_COUNT(namespaces)],
        .key = slice_of(memory, key_bytes),
        .subkey = slice_of(memory + KEY_BYTES_MAX, subkey_bytes),
    };
}

/* Gets and seeks of keys that may be there or not. */
static void check_random(struct model *m, unsigned count, uint64_t *state, size_t alike)
{
    uint8_t memory[KEY_BYTES_MAX + SUBKEY_BYTES_MAX];
    struct table_cursor c;
    table_cursor_init(&c, m->table, TABLE_CURSOR_SCAN);
    for (unsigned i = 0; i < count; i++) {
        struct record_key key = random_key(memory, state, next_random(state) % 8 ? alike : 0);
        struct record found;
        struct cache_pin pin;
        unsigned at = model_lower_bound(m, &key);
        bool is_there = at < m->count && record_key_compare(&m->records[at].key, &key) == 0;
        check_seek(m, &c, &key, (unsigned)(next_random(state) % 60));
        CU_ASSERT_EQUAL(table_get(m->table, &key, table_key_hash(&key), &found, &pin) == TABLE_FOUND,
                        is_there);
        cache_unpin(&pin);
    }
    table_cursor_deinit(&c);
}

static void check_random_table(struct reactor *r, size_t alike)
{
    uint8_t memory[KEY_BYTES_MAX + SUBKEY_BYTES_MAX];
    uint64_t state = 20260101 + alike;
    struct model *m = model_new();
    for (unsigned i = 0; i < MODEL_MAX - 1; i++) {
        struct record record = {.key = random_key(memory, &state, alike), .version = {i + 1, (uint16_t)i}};
        uint64_t word = next_random(&state);
        record.flags = word % 11 == 0 ? RECORD_TOMBSTONE : 0;
        record.value = slice_of(values, record.flags ? 0 : word % 40 == 0 ? word % 20000 : word % 300);
        model_add(m, record);
    }
    for (unsigned i = 0; i < 2 * TABLE_BLOCK_UNITS_MAX; i++) {
        m->block_units = 1 + i / 2;
        m->compression = i % 2 ? TABLE_COMPRESSION_ZSTD : TABLE_COMPRESSION_NONE;
        model_write(m, r);
        check_gets(m);
        check_whole(m, TABLE_CURSOR_SCAN);
        check_whole(m, TABLE_CURSOR_BULK);
        check_random(m, 800, &state, alike);
    }
    model_free(m);
}

TEST_IN_REACTOR(a_table_of_random_awkward_keys_behaves_as_the_model)
{
    check_random_table(r, 0);
}

TEST_IN_REACTOR(a_table_of_random_keys_that_begin_alike_behaves_as_the_model)
{
    check_random_table(r, 1);
    check_random_table(r, 40);
}

/* What is given out is what the writer would be given: the same bytes, whole. */
static void check_entry(const struct table_cursor *c, const struct record *record)
{
    uint8_t bytes[ENTRY_BYTES_MIN + 1000];
    struct slice entry = table_cursor_entry(c);
    CU_ASSERT_FATAL(entry_bytes(record) <= sizeof bytes);
    CU_ASSERT_TRUE(slice_equal(entry, slice_of(bytes, entry_encode(bytes, record))));
}

TEST_IN_REACTOR(a_cursor_goes_backward_from_every_boundary)
{
    struct model *m = model_new();
    struct table_cursor c;
    for (unsigned i = 0; i < 500; i++) { /* some 20 blocks, and runs among them */
        struct sample s;
        sample_fill(&s, 10 + 2 * i, values, i % 97 == 5 ? 9000 : 100);
        model_add(m, s.record);
    }
    for (unsigned mode = 0; mode < 2; mode++) {
        m->block_units = mode ? 3 : 1;
        m->compression = mode ? TABLE_COMPRESSION_ZSTD : TABLE_COMPRESSION_NONE;
        model_write(m, r);
        table_cursor_init(&c, m->table, mode ? TABLE_CURSOR_BULK : TABLE_CURSOR_SCAN);
        check_run_back(m, &c, 0, 1); /* it stands before the first one */
        for (unsigned i = 0; i < 1040; i++) {
            struct sample s;
            sample_fill(&s, i, values, 0);
            CU_ASSERT_EQUAL_FATAL(table_cursor_seek_before(&c, &s.record.key), 0);
            check_run_back(m, &c, model_lower_bound(m, &s.record.key), 3);
        }
        CU_ASSERT_EQUAL_FATAL(table_cursor_seek_before(&c, NULL), 0);
        check_run_back(m, &c, m->count, MODEL_MAX);
        check_run(m, &c, 0, MODEL_MAX); /* from the beginning to the end and back */
        check_run_back(m, &c, m->count, MODEL_MAX);
        table_cursor_deinit(&c);
    }
    model_free(m);
}

TEST_IN_REACTOR(a_cursor_that_turns_at_random_follows_the_model)
{
    struct model *m = model_new();
    struct table_cursor c;
    uint64_t state = 7;
    unsigned at = 0;
    fill_even(m, 900);
    model_write(m, r);
    table_cursor_init(&c, m->table, TABLE_CURSOR_SCAN);
    for (unsigned i = 0; i < 3000; i++) {
        struct record record;
        bool is_back = next_random(&state) % 200 < 100;
        for (uint64_t steps = next_random(&state) % 60; steps > 0; steps--) {
            unsigned wanted = is_back ? at - 1 : at;
            int rc = is_back ? table_cursor_previous(&c, &record) : table_cursor_next(&c, &record);
            if (wanted >= m->count) { /* also below 0 */
                CU_ASSERT_EQUAL(rc, 0);
                break;
            }
            CU_ASSERT_FATAL(rc == 1 && sample_is_same(&m->records[wanted], &record));
            check_entry(&c, &record);
            at = is_back ? at - 1 : at + 1;
        }
    }
    table_cursor_deinit(&c);
    model_free(m);
}

TEST_IN_REACTOR(a_backward_cursor_reads_ahead_more_and_more)
{
    struct model *m = model_new();
    struct table_cursor c;
    fill_even(m, MODEL_MAX - 1);
    model_write(m, r);
    table_cursor_init(&c, m->table, TABLE_CURSOR_SCAN);
    CU_ASSERT_EQUAL(table_cursor_seek_before(&c, NULL), 0);
    check_run_back(m, &c, m->count, MODEL_MAX);
    struct table_counters counters = table_counters(m->table);
    uint64_t data_bytes = table_summary(m->table)->bytes;
    CU_ASSERT_TRUE(counters.cursor_reads <= data_bytes / (256 * 1024) + 6);
    CU_ASSERT_TRUE(counters.cursor_read_bytes <= data_bytes);
    table_cursor_deinit(&c);
    model_free(m);
}

TEST_IN_REACTOR(a_table_of_copied_entries_is_the_same_file)
{
    char path[256];
    struct model *m = model_new();
    struct table_cursor c;
    struct record record;
    struct table_writer *w = NULL;
    struct table_summary summary;
    struct table *copy = NULL;
    for (unsigned i = 0; i < 1000; i++) {
        struct sample s;
        sample_fill(&s, i, values, i % 100 == 7 ? 10000 : 150);
        s.record.flags = i % 3 == 0 ? RECORD_EXPIRING : 0;
        s.record.expiry_ms = i % 3 == 0 ? 5000 + i : 0;
        model_add(m, s.record);
    }
    model_write(m, r);
    snprintf(path, sizeof path, "%s/copy.sst", test_directory());
    struct table_writer_options o = {.path = path, .number = NUMBER};
    CU_ASSERT_EQUAL_FATAL(table_writer_open(r, &o, &w), 0);
    table_cursor_init(&c, m->table, TABLE_CURSOR_BULK);
    while (table_cursor_next(&c, &record) == 1)
        CU_ASSERT_EQUAL_FATAL(table_writer_add_entry(w, &record, table_cursor_entry(&c)), 0);
    table_cursor_deinit(&c);
    CU_ASSERT_EQUAL_FATAL(table_writer_finish(w, &summary), 0);
    CU_ASSERT_EQUAL(summary.expiry_max_ms, table_summary(m->table)->expiry_max_ms);
    CU_ASSERT_EQUAL(summary.bytes, table_summary(m->table)->bytes);
    table_writer_close(w);
    table_close(m->table);
    CU_ASSERT_EQUAL_FATAL(table_open(r, m->cache, path, NUMBER, &copy), 0);
    m->table = copy;
    check_gets(m);
    check_whole(m, TABLE_CURSOR_BULK);
    model_free(m);
}

/* ---- a table that counts for some vnodes only ---- */

/* The first record of the model that is not below the vnode. */
static unsigned first_of_vnode(const struct model *m, uint16_t vnode)
{
    unsigned i = 0;
    while (i < m->count && m->records[i].key.vnode < vnode)
        i++;
    return i;
}

static void model_of_vnodes(struct model *m, struct reactor *r)
{
    struct sample s;
    for (unsigned i = 0; i < 900; i++) {
        sample_fill(&s, i, values, 100);
        s.record.key.vnode = (uint16_t)(i / 100);
        model_add(m, s.record);
    }
    model_write(m, r);
}

TEST_IN_REACTOR(cursor_of_a_limited_table_stays_within_its_vnodes)
{
    for (unsigned mode = TABLE_CURSOR_SCAN; mode <= TABLE_CURSOR_BULK; mode++) {
        struct model *m = model_new();
        struct table_cursor c;
        struct record record;
        model_of_vnodes(m, r);
        table_limit(m->table, 3, 5);
        unsigned begin = first_of_vnode(m, 3), end = first_of_vnode(m, 6);
        CU_ASSERT_EQUAL(table_summary(m->table)->smallest.vnode, 3);
        CU_ASSERT_EQUAL(table_summary(m->table)->largest.vnode, 6);
        m->count = end;
        table_cursor_init(&c, m->table, (enum table_cursor_mode)mode);
        check_run(m, &c, begin, UINT32_MAX);
        CU_ASSERT_EQUAL(table_cursor_seek(&c, &m->records[0].key), 0);
        check_run(m, &c, begin, UINT32_MAX);
        CU_ASSERT_EQUAL(table_cursor_seek(&c, &m->records[begin + 150].key), 0);
        check_run(m, &c, begin + 150, UINT32_MAX);
        CU_ASSERT_EQUAL(table_cursor_seek(&c, &(struct record_key){.vnode = 8}), 0);
        CU_ASSERT_EQUAL(table_cursor_next(&c, &record), 0);
        CU_ASSERT_EQUAL(table_cursor_seek_before(&c, NULL), 0);
        for (unsigned i = end; i-- > begin;)
            CU_ASSERT(table_cursor_previous(&c, &record) == 1 && sample_is_same(&m->records[i], &record));
        CU_ASSERT_EQUAL(table_cursor_previous(&c, &record), 0);
        CU_ASSERT_EQUAL(table_cursor_previous(&c, &record), 0);
        CU_ASSERT_EQUAL(table_cursor_seek_before(&c, &m->records[0].key), 0);
        CU_ASSERT_EQUAL(table_cursor_previous(&c, &record), 0);
        table_cursor_deinit(&c);
        model_free(m);
    }
}

TEST_IN_REACTOR(get_from_a_limited_table_finds_its_vnodes_only)
{
    struct model *m = model_new();
    model_of_vnodes(m, r);
    table_limit(m->table, 3, 5);
    for (unsigned i = 0; i < m->count; i += 7) {
        const struct record_key *key = &m->records[i].key;
        struct record record;
        struct cache_pin pin;
        int expected = key->vnode >= 3 && key->vnode <= 5 ? TABLE_FOUND : TABLE_ABSENT;
        CU_ASSERT_EQUAL(table_get(m->table, key, table_key_hash(key), &record, &pin), expected);
        cache_unpin(&pin);
    }
    model_free(m);
}

/* Text that zstd makes four times smaller, of changing length. */
static size_t fill_text(uint8_t *to, uint64_t *state)
{
    static const char *const words[] = {"memtable ", "quorum ", "hint ", "compaction ", "vnode ", "cursor "};
    size_t bytes = 0;
    for (uint64_t count = next_random(state) % 60; count > 0; count--) {
        struct slice word = slice_of_string(words[next_random(state) % ARRAY_COUNT(words)]);
        bytes = (size_t)(slice_put(to + bytes, word) - to);
    }
    return bytes;
}

/* Half of the values are text, then all are noise: what is known of the blocks before does not help. */
static void fill_changing(struct model *m, unsigned count)
{
    uint64_t state = 99;
    for (unsigned i = 0; i < count; i++) {
        struct sample s;
        sample_fill(&s, i, values, 300);
        size_t bytes = i / 200 % 2 ? next_random(&state) % 300 : fill_text(values, &state);
        s.record.value = slice_of(values, bytes);
        model_add(m, s.record);
    }
}

TEST_IN_REACTOR(a_compressed_table_is_smaller_and_reads_fewer_blocks)
{
    struct model *m = model_new();
    uint64_t state = 5;
    for (unsigned i = 0; i < 3000; i++) {
        struct sample s;
        sample_fill(&s, i, values, 0);
        s.record.value = slice_of(values, fill_text(values, &state));
        model_add(m, s.record);
    }
    model_write(m, r);
    uint64_t plain = table_summary(m->table)->bytes;
    m->compression = TABLE_COMPRESSION_ZSTD;
    model_write(m, r);
    CU_ASSERT_TRUE(table_summary(m->table)->bytes * 5 <= plain * 2);
    check_gets(m);
    uint64_t reads = table_counters(m->table).block_reads;
    CU_ASSERT_TRUE(reads * TABLE_UNIT_BYTES <= table_summary(m->table)->bytes);
    check_gets(m); /* out of the cache, where blocks are as they are when unpacked */
    CU_ASSERT_EQUAL(table_counters(m->table).block_reads, reads);
    check_whole(m, TABLE_CURSOR_SCAN);
    check_whole(m, TABLE_CURSOR_BULK);
    model_free(m);
}

TEST_IN_REACTOR(a_compressed_table_takes_what_does_not_become_smaller)
{
    struct model *m = model_new();
    fill_changing(m, 3000);
    m->compression = TABLE_COMPRESSION_ZSTD;
    for (m->block_units = 1; m->block_units <= TABLE_BLOCK_UNITS_MAX; m->block_units++) {
        model_write(m, r);
        check_gets(m);
        check_whole(m, TABLE_CURSOR_SCAN);
        check_whole(m, TABLE_CURSOR_BULK);
    }
    model_free(m);
}
