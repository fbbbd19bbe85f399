/* table_visit_test.c - a table block after block: all of its records, and what of it is damaged.
 *
 * Each block stands for itself: a bad one is named, and those behind it are read all the same. */
#include "engine/table_visit.h"

#include "engine/cache.h"
#include "engine/table_format.h"
#include "test/engine/damage.h"
#include "test/engine/table_sample.h"
#include "test/test.h"

#include <errno.h>

enum { NUMBER = 11, COUNT = 200, LARGE = 100, LARGE_BYTES = 9000, VALUE_BYTES = 100 };

struct visited {
    struct reactor *r;
    char path[256];
    struct cache *cache;
    struct table *table;
    struct table_visit visit;
    uint8_t value[LARGE_BYTES];
    uint64_t next;  /* the record to come */
    uint64_t wrong; /* not those that were written */
    uint64_t unsound;
    int answer; /* of the calls for a record */
};

static size_t value_bytes_of(uint64_t i)
{
    return i == LARGE ? LARGE_BYTES : VALUE_BYTES;
}

/* Sorted blocks around a run; a record's checksum may be wrong. */
static void write_table(struct visited *v, enum table_compression compression, uint64_t unsound)
{
    struct table_writer *w = NULL;
    struct table_summary summary;
    struct table_writer_options o = {.path = v->path, .number = NUMBER, .compression = compression};
    CU_ASSERT_EQUAL_FATAL(table_writer_open(v->r, &o, &w), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct sample s;
        sample_fill(&s, i, v->value, value_bytes_of(i));
        s.record.checksum ^= i == unsound;
        CU_ASSERT_EQUAL_FATAL(table_writer_add(w, &s.record), 0);
    }
    CU_ASSERT_EQUAL_FATAL(table_writer_finish(w, &summary), 0);
    table_writer_close(w);
}

static void open_visit(struct visited *v)
{
    CU_ASSERT_EQUAL_FATAL(cache_open(v->r, 0, &v->cache), 0);
    CU_ASSERT_EQUAL_FATAL(table_open(v->r, v->cache, v->path, NUMBER, &v->table), 0);
    table_visit_init(&v->visit, v->table);
}

static struct visited *visited_make(struct reactor *r, enum table_compression compression, uint64_t unsound)
{
    struct visited *v = reactor_alloc_zeroed(r, sizeof *v);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    v->r = r;
    snprintf(v->path, sizeof v->path, "%s/table.sst", test_directory());
    write_table(v, compression, unsound);
    open_visit(v);
    return v;
}

static void visited_free(struct visited *v)
{
    table_visit_deinit(&v->visit);
    table_close(v->table);
    cache_close(v->cache);
    reactor_free(v->r, v);
}

static int look(void *owner, const struct record *record, bool is_sound)
{
    struct visited *v = owner;
    struct sample s;
    sample_fill(&s, v->next, v->value, value_bytes_of(v->next));
    v->next++;
    if (is_sound)
        v->wrong += !sample_is_same(&s.record, record);
    else
        v->wrong += record_key_compare(&s.record.key, &record->key) != 0;
    v->unsound += !is_sound;
    return v->answer;
}

/* Returns: how many blocks were not what was written. */
static uint32_t visit_all(struct visited *v)
{
    uint32_t bad = 0;
    uint64_t end = 0;
    for (uint32_t i = 0; i < table_visit_blocks(v->table); i++) {
        int rc = table_visit_block(&v->visit, i, look, v);
        CU_ASSERT(rc == 0 || rc == TORC_E_CORRUPT);
        CU_ASSERT_EQUAL(v->visit.offset, end);
        end += v->visit.bytes;
        bad += rc != 0;
    }
    return bad;
}

TEST_IN_REACTOR(a_visit_of_all_blocks_gives_all_records_in_order)
{
    for (int compression = TABLE_COMPRESSION_NONE; compression <= TABLE_COMPRESSION_ZSTD; compression++) {
        struct visited *v = visited_make(r, (enum table_compression)compression, COUNT);
        CU_ASSERT(table_visit_blocks(v->table) > 3);
        CU_ASSERT_EQUAL(visit_all(v), 0);
        CU_ASSERT_EQUAL(v->next, COUNT);
        CU_ASSERT(v->wrong == 0 && v->unsound == 0);
        CU_ASSERT_EQUAL(table_visit_block(&v->visit, 0, NULL, NULL), 0); /* verified and not looked at */
        visited_free(v);
    }
}

TEST_IN_REACTOR(a_record_that_is_not_what_its_checksum_says_is_told)
{
    struct visited *v = visited_make(r, TABLE_COMPRESSION_NONE, 7);
    CU_ASSERT_EQUAL(visit_all(v), 0);
    CU_ASSERT_EQUAL(v->next, COUNT);
    CU_ASSERT(v->unsound == 1 && v->wrong == 0);
    visited_free(v);
}

TEST_IN_REACTOR(a_bad_block_is_told_and_the_others_are_visited)
{
    struct visited *v = visited_make(r, TABLE_COMPRESSION_NONE, COUNT);
    uint32_t last = table_visit_blocks(v->table) - 1;
    CU_ASSERT_EQUAL(table_visit_block(&v->visit, last, NULL, NULL), 0);
    damage_flip(v->r, v->path, v->visit.offset + 100, 1);
    CU_ASSERT_EQUAL(visit_all(v), 1);
    CU_ASSERT(v->next > LARGE && v->next < COUNT && v->wrong == 0);
    CU_ASSERT_EQUAL(table_counters(v->table).corruptions, 1);
    visited_free(v);
}

TEST_IN_REACTOR(a_visit_ends_with_what_the_call_for_a_record_answers)
{
    struct visited *v = visited_make(r, TABLE_COMPRESSION_NONE, COUNT);
    v->answer = -ECANCELED;
    CU_ASSERT_EQUAL(table_visit_block(&v->visit, 0, look, v), -ECANCELED);
    CU_ASSERT_EQUAL(v->next, 1);
    visited_free(v);
}
