/* table_test.c - SSTables: what was written comes back, and nothing else ever does. */
#include "engine/table.h"

#include "engine/entry.h"
#include "engine/table_format.h"
#include "test/engine/table_sample.h"
#include "test/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 42, VALUE_BYTES = 100 };

static uint8_t value_memory[VALUE_BYTES_MAX];

static void path_in(char *path, size_t bytes, const char *directory, const char *name)
{
    CU_ASSERT_FATAL(snprintf(path, bytes, "%s/%s", directory, name) < (int)bytes);
}

/* A table of `count` samples with keys 2 * i, so that odd ones are absent. */
static void write_samples(struct reactor *r, const char *path, uint64_t count, size_t value_bytes,
                          struct table_summary *summary)
{
    struct table_writer *w = NULL;
    CU_ASSERT_EQUAL_FATAL(table_writer_open(r, &(struct table_writer_options){.path = path, .number = NUMBER},
                                            &w),
                          0);
    for (uint64_t i = 0; i < count; i++) {
        struct sample s;
        sample_fill(&s, 2 * i, value_memory, value_bytes);
        CU_ASSERT_EQUAL_FATAL(table_writer_add(w, &s.record), 0);
    }
    CU_ASSERT_EQUAL_FATAL(table_writer_finish(w, summary), 0);
    summary->smallest = summary->largest = (struct record_key){0}; /* the writer's, about to go */
    table_writer_close(w);
}

struct fixture {
    struct cache *cache;
    struct table *table;
    struct table_summary summary;
    char path[256];
};

static void fixture_open(struct fixture *f, struct reactor *r, uint64_t count, size_t value_bytes)
{
    *f = (struct fixture){0};
    path_in(f->path, sizeof f->path, test_directory(), "table.sst");
    write_samples(r, f->path, count, value_bytes, &f->summary);
    CU_ASSERT_EQUAL_FATAL(cache_open(r, 0, &f->cache), 0);
    CU_ASSERT_EQUAL_FATAL(table_open(r, f->cache, f->path, NUMBER, &f->table), 0);
}

static void fixture_close(struct fixture *f)
{
    table_close(f->table);
    cache_close(f->cache);
}

static int get(struct fixture *f, const struct record_key *key, struct record *out, struct cache_pin *pin)
{
    return table_get(f->table, key, table_key_hash(key), out, pin);
}

static bool holds_sample(struct fixture *f, uint64_t i, size_t value_bytes)
{
    struct sample s;
    struct record found;
    struct cache_pin pin;
    sample_fill(&s, i, value_memory, value_bytes);
    bool is_same = get(f, &s.record.key, &found, &pin) == TABLE_FOUND && sample_is_same(&s.record, &found);
    cache_unpin(&pin);
    return is_same;
}

TEST_IN_REACTOR(a_table_of_nothing_holds_nothing)
{
    struct fixture f;
    fixture_open(&f, r, 0, 0);
    struct sample s;
    struct record found;
    struct cache_pin pin;
    struct table_cursor c;
    sample_fill(&s, 1, value_memory, 1);
    CU_ASSERT_EQUAL(table_summary(f.table)->entries, 0);
    CU_ASSERT_TRUE(table_summary(f.table)->clock_min > table_summary(f.table)->clock_max);
    CU_ASSERT_EQUAL(get(&f, &s.record.key, &found, &pin), TABLE_ABSENT);
    table_cursor_init(&c, f.table, TABLE_CURSOR_SCAN);
    CU_ASSERT_EQUAL(table_cursor_next(&c, &found), 0);
    CU_ASSERT_EQUAL(table_cursor_seek(&c, &s.record.key), 0);
    CU_ASSERT_EQUAL(table_cursor_next(&c, &found), 0);
    table_cursor_deinit(&c);
    fixture_close(&f);
}

TEST_IN_REACTOR(a_table_takes_no_key_that_is_not_above_the_last)
{
    static const unsigned seconds[] = {5, 4};
    char path[256];
    snprintf(path, sizeof path, "%s/table.sst", test_directory());
    for (unsigned i = 0; i < ARRAY_COUNT(seconds); i++) {
        struct table_writer *w = NULL;
        struct sample first, second, third;
        struct table_summary summary;
        sample_fill(&first, 5, NULL, 0);
        sample_fill(&second, seconds[i], NULL, 0);
        sample_fill(&third, 6, NULL, 0);
        CU_ASSERT_EQUAL_FATAL(table_writer_open(r, &(struct table_writer_options){.path = path, .number = 1},
                                                &w),
                              0);
        CU_ASSERT_EQUAL(table_writer_add(w, &first.record), 0);
        CU_ASSERT_EQUAL(table_writer_add(w, &second.record), TORC_E_CORRUPT);
        CU_ASSERT_EQUAL(table_writer_add(w, &third.record), TORC_E_CORRUPT);
        CU_ASSERT_EQUAL(table_writer_finish(w, &summary), TORC_E_CORRUPT);
        table_writer_close(w);
        struct file *file = NULL;
        CU_ASSERT_EQUAL(file_open(r, path, FILE_READ, &file), -ENOENT);
    }
}

TEST_IN_REACTOR(a_table_of_one_record_gives_it_back)
{
    struct fixture f;
    fixture_open(&f, r, 1, 1);
    const struct table_summary *summary = table_summary(f.table);
    struct sample s;
    struct record found;
    struct cache_pin pin;
    CU_ASSERT_TRUE(holds_sample(&f, 0, 1));
    sample_fill(&s, 0, value_memory, 1);
    CU_ASSERT_EQUAL(record_key_compare(&summary->smallest, &s.record.key), 0);
    CU_ASSERT_EQUAL(record_key_compare(&summary->largest, &s.record.key), 0);
    CU_ASSERT_EQUAL(summary->bytes, 4 * TABLE_UNIT_BYTES); /* of data, index, filter, footer */
    sample_fill(&s, 1, value_memory, 1);
    CU_ASSERT_EQUAL(get(&f, &s.record.key, &found, &pin), TABLE_ABSENT);
    fixture_close(&f);
}

TEST_IN_REACTOR(a_hundred_thousand_records_are_each_found_with_one_read_a_block)
{
    enum { COUNT = 100000 };
    struct fixture f;
    fixture_open(&f, r, COUNT, VALUE_BYTES);
    for (uint64_t i = 0; i < COUNT; i++)
        if (!holds_sample(&f, 2 * i, VALUE_BYTES))
            CU_FAIL_FATAL("a record is missing");
    struct table_counters counters = table_counters(f.table);
    const struct table_summary *summary = table_summary(f.table);
    CU_ASSERT_EQUAL(counters.gets, COUNT);
    CU_ASSERT_EQUAL(counters.false_positives, 0);
    /* in order, so each block is read once */
    CU_ASSERT_EQUAL(counters.block_reads, (COUNT + 25) / 26); /* 26 entries of 151 bytes a block */
    CU_ASSERT_EQUAL(summary->entries, COUNT);
    CU_ASSERT_EQUAL(summary->clock_min, 1000);
    CU_ASSERT_EQUAL(summary->clock_max, 1000 + (COUNT - 1) * 2 * 3);
    CU_ASSERT_EQUAL(summary->payload_bytes, COUNT * (15 + VALUE_BYTES));
    fixture_close(&f);
}

/* ---- what is pinned ---- */

enum { LONG_KEY_BYTES = 64, LONG_KEYS = 30000 };

/* As kvbench makes them: "user" and a number in decimal, padded in front; vnodes follow from the key. */
struct long_key {
    uint16_t vnode;
    char bytes[LONG_KEY_BYTES + 1];
};

static int by_vnode_and_bytes(const void *a, const void *b)
{
    const struct long_key *x = a, *y = b;
    return x->vnode != y->vnode ? x->vnode - y->vnode : memcmp(x->bytes, y->bytes, LONG_KEY_BYTES);
}

static struct long_key *make_long_keys(void)
{
    struct long_key *keys = malloc(LONG_KEYS * sizeof *keys);
    CU_ASSERT_PTR_NOT_NULL_FATAL(keys);
    for (unsigned i = 0; i < LONG_KEYS; i++) {
        uint64_t number = sample_mix(i);
        snprintf(keys[i].bytes, sizeof keys[i].bytes, "user%060llu", (unsigned long long)number);
        keys[i].vnode = (uint16_t)(sample_mix(number) % 256);
    }
    qsort(keys, LONG_KEYS, sizeof *keys, by_vnode_and_bytes);
    return keys;
}

/* Hundredths of a byte of index and filter for each key, all that is pinned. */
static uint64_t pinned_per_key(struct reactor *r, size_t value_bytes)
{
    struct fixture f = {0};
    struct table_writer *w = NULL;
    struct long_key *keys = make_long_keys();
    path_in(f.path, sizeof f.path, test_directory(), "table.sst");
    struct table_writer_options o = {
        .path = f.path,
        .number = NUMBER,
        .block_units = table_block_units_for(ENTRY_HEADER_BYTES + LONG_KEY_BYTES + value_bytes),
    };
    CU_ASSERT_EQUAL_FATAL(table_writer_open(r, &o, &w), 0);
    for (unsigned i = 0; i < LONG_KEYS; i++) {
        struct record record = {.key = {.vnode = keys[i].vnode,
                                        .key = slice_of(keys[i].bytes, LONG_KEY_BYTES)},
                                .value = slice_of(value_memory, value_bytes)};
        CU_ASSERT_EQUAL_FATAL(table_writer_add(w, &record), 0);
    }
    CU_ASSERT_EQUAL_FATAL(table_writer_finish(w, &f.summary), 0);
    table_writer_close(w);
    free(keys);
    CU_ASSERT_EQUAL_FATAL(cache_open(r, 0, &f.cache), 0);
    CU_ASSERT_EQUAL_FATAL(table_open(r, f.cache, f.path, NUMBER, &f.table), 0);
    uint64_t bytes = table_pinned_bytes(f.table);
    fixture_close(&f);
    return bytes * 100 / LONG_KEYS;
}

TEST_IN_REACTOR(keys_of_64_bytes_take_at_most_two_bytes_of_index_and_filter_with_values_of_a_thousand)
{
    CU_ASSERT_TRUE(pinned_per_key(r, 1000) <= 200);
}

TEST_IN_REACTOR(keys_of_64_bytes_take_at_most_one_and_three_quarters_with_values_of_a_hundred)
{
    CU_ASSERT_TRUE(pinned_per_key(r, 100) <= 175);
}

TEST(blocks_are_as_large_as_their_entries_need)
{
    static const struct {
        uint64_t entry_bytes;
        uint32_t units;
    } rows[] = {{37, 1},   {150, 1},  {400, 1},  {1100, 3}, {1300, 1},
                {1900, 1}, {2500, 2}, {3000, 3}, {4000, 1}, {ENTRY_BYTES_MAX, 1}};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        CU_ASSERT_EQUAL(table_block_units_for(rows[i].entry_bytes), rows[i].units);
}

TEST_IN_REACTOR(absent_keys_cost_a_read_in_at_most_one_of_a_hundred)
{
    enum { COUNT = 100000 };
    struct fixture f;
    fixture_open(&f, r, COUNT, 1);
    struct sample s;
    struct record found;
    struct cache_pin pin;
    for (uint64_t i = 0; i < COUNT; i++) {
        sample_fill(&s, 2 * i + 1, value_memory, 1);
        if (get(&f, &s.record.key, &found, &pin) != TABLE_ABSENT)
            CU_FAIL_FATAL("an absent key was found");
    }
    struct table_counters counters = table_counters(f.table);
    CU_ASSERT_EQUAL(counters.filter_refusals + counters.false_positives, COUNT);
    CU_ASSERT_TRUE(counters.false_positives * 100 <= COUNT);
    CU_ASSERT_TRUE(counters.block_reads <= counters.false_positives);
    fixture_close(&f);
}
