/* row_cache_test.c - the row cache gives back what was put last, or nothing. */
#include "test/test.h"

#include "engine/memtable.h"
#include "engine/row_cache.h"

#include <stdio.h>

enum { KEYS = 4000, SEED = 77, VALUE_MAX = 3000 };

struct fixture {
    struct row_cache *cache;
    uint8_t value[VALUE_MAX];
    uint64_t random;
};

static uint64_t draw(struct fixture *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

/* The record of a key in its version `version`: length and bytes follow from both. */
static void make(struct fixture *f, unsigned key, unsigned version, char name[32], struct record *r,
                 struct engine_key *k)
{
    int bytes = snprintf(name, 32, "key-%06u", key);
    *r = (struct record){
        .key = {.vnode = (uint16_t)(key % 1024), .key = slice_of(name, (size_t)bytes)},
        .version = {.clock = version, .node = 1},
        .value = slice_of(f->value, (key * 7 + version * 131) % VALUE_MAX),
    };
    memset(f->value, (int)(key + version), r->value.bytes);
    *k = (struct engine_key){.key = r->key, .hash = memtable_hash(SEED, &r->key)};
}

static bool is_as_made(struct fixture *f, unsigned key, unsigned version, const struct record *got)
{
    char name[32];
    struct record r;
    struct engine_key k;
    make(f, key, version, name, &r, &k);
    return slice_equal(got->value, r.value) && slice_equal(got->key.key, r.key.key) &&
           got->version.clock == version;
}

TEST_IN_REACTOR(row_cache_gives_the_last_version_or_nothing)
{
    static unsigned versions[KEYS]; /* 0: never put, or removed */
    struct fixture f = {.random = 42};
    CU_ASSERT_EQUAL_FATAL(row_cache_open(r, 1 << 20, SEED, &f.cache), 0);
    uint64_t hits = 0, wrong = 0;
    memset(versions, 0, sizeof versions);
    for (unsigned i = 1; i < 200000; i++) {
        unsigned key = (unsigned)(draw(&f) % (draw(&f) % 2 ? KEYS : 50));
        char name[32];
        struct record record, got;
        struct engine_key k;
        make(&f, key, i, name, &record, &k);
        uint64_t what = draw(&f) % 100;
        if (what < 30) {
            row_cache_add(f.cache, &k, &record);
            versions[key] = i;
        } else if (what < 32) {
            row_cache_remove(f.cache, memtable_tag(k.hash));
            versions[key] = 0;
        } else if (row_cache_get(f.cache, &k, &got)) {
            hits++;
            wrong += versions[key] == 0 || !is_as_made(&f, key, versions[key], &got);
        }
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(hits > 50000);
    struct row_cache_counters c = row_cache_counters(f.cache);
    CU_ASSERT_EQUAL(c.hits, hits);
    CU_ASSERT(c.evictions > 10000);
    CU_ASSERT(c.bytes <= 1 << 20);
    row_cache_close(f.cache);
}

TEST_IN_REACTOR(row_cache_keeps_what_is_read_again)
{
    struct fixture f = {.random = 1};
    CU_ASSERT_EQUAL_FATAL(row_cache_open(r, ROW_CACHE_BUDGET_BYTES_MIN, SEED, &f.cache), 0);
    char name[32];
    struct record record, got;
    struct engine_key hot, k;
    make(&f, 0, 1, name, &record, &hot);
    row_cache_add(f.cache, &hot, &record);
    unsigned kept = 0;
    for (unsigned i = 1; i <= 5000; i++) {
        char other[32];
        make(&f, i, 1, other, &record, &k);
        row_cache_add(f.cache, &k, &record);
        hot.key.key = slice_of_string("key-000000");
        kept += row_cache_get(f.cache, &hot, &got);
    }
    CU_ASSERT_EQUAL(kept, 5000);
    row_cache_close(f.cache);
}

TEST_IN_REACTOR(row_cache_passes_over_what_is_too_large)
{
    struct fixture f = {.random = 1};
    CU_ASSERT_EQUAL_FATAL(row_cache_open(r, 1 << 20, SEED, &f.cache), 0);
    char name[32];
    struct record record, got;
    struct engine_key k;
    make(&f, 1, 1, name, &record, &k);
    row_cache_add(f.cache, &k, &record);
    uint8_t *large = reactor_alloc_zeroed(r, ROW_CACHE_ENTRY_BYTES_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    record.value = slice_of(large, ROW_CACHE_ENTRY_BYTES_MAX);
    record.version.clock = 2;
    row_cache_add(f.cache, &k, &record);
    CU_ASSERT_FALSE(row_cache_get(f.cache, &k, &got)); /* the older version is gone, too */
    CU_ASSERT_EQUAL(row_cache_counters(f.cache).entries, 0);
    reactor_free(r, large);
    row_cache_close(f.cache);
}

TEST_IN_REACTOR(row_cache_keeps_a_large_record_when_it_is_offered_again)
{
    struct fixture f = {.random = 1};
    CU_ASSERT_EQUAL_FATAL(row_cache_open(r, 1 << 20, SEED, &f.cache), 0);
    char name[32];
    static const uint8_t large[ROW_CACHE_OFFER_BYTES_MAX];
    struct record record, got;
    struct engine_key k;
    make(&f, 1, 1, name, &record, &k);
    row_cache_offer(f.cache, &k, &record);
    CU_ASSERT_TRUE(row_cache_get(f.cache, &k, &got)); /* a small one is kept at once */
    record.value = slice_of(large, sizeof large);
    record.version.clock = 2;
    row_cache_offer(f.cache, &k, &record); /* in place of the older version */
    CU_ASSERT_TRUE(row_cache_get(f.cache, &k, &got));
    CU_ASSERT_EQUAL(got.version.clock, 2);

    make(&f, 2, 1, name, &record, &k);
    record.value = slice_of(large, sizeof large);
    row_cache_offer(f.cache, &k, &record);
    CU_ASSERT_FALSE(row_cache_get(f.cache, &k, &got));
    row_cache_offer(f.cache, &k, &record);
    CU_ASSERT_TRUE(row_cache_get(f.cache, &k, &got));
    CU_ASSERT_EQUAL(got.value.bytes, sizeof large);
    row_cache_close(f.cache);
}

TEST_IN_REACTOR(row_cache_shrinks_a_little_at_a_time_and_grows_again)
{
    enum { BUDGET = 4 << 20, SMALLER = 1 << 20 };
    struct fixture f = {.random = 1};
    char name[32];
    struct record record, got;
    struct engine_key k;
    uint64_t before = reactor_counters(r).heap_bytes;
    CU_ASSERT_EQUAL_FATAL(row_cache_open(r, BUDGET, SEED, &f.cache), 0);
    for (unsigned i = 0; i < 4 * KEYS; i++) {
        make(&f, i % KEYS, 1, name, &record, &k);
        row_cache_add(f.cache, &k, &record);
    }
    CU_ASSERT(row_cache_counters(f.cache).bytes > BUDGET / 10 * 8);
    row_cache_resize(f.cache, SMALLER);
    unsigned steps = 0, wrong = 0;
    for (uint64_t bytes = row_cache_counters(f.cache).bytes; row_cache_trim(f.cache); steps++) {
        CU_ASSERT(bytes - row_cache_counters(f.cache).bytes <= 128 << 10);
        bytes = row_cache_counters(f.cache).bytes;
        make(&f, steps, 2, name, &record, &k);
        row_cache_add(f.cache, &k, &record);
        wrong += !row_cache_get(f.cache, &k, &got) || !is_as_made(&f, steps, 2, &got);
    }
    CU_ASSERT(steps > 10);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(row_cache_counters(f.cache).bytes <= SMALLER);
    CU_ASSERT(reactor_counters(r).heap_bytes - before <= SMALLER + 65536);
    row_cache_resize(f.cache, BUDGET);
    for (unsigned i = 0; i < 4 * KEYS; i++) {
        make(&f, i % KEYS, 3, name, &record, &k);
        row_cache_add(f.cache, &k, &record);
    }
    CU_ASSERT(row_cache_counters(f.cache).bytes > BUDGET / 10 * 8);
    CU_ASSERT(row_cache_counters(f.cache).bytes <= BUDGET);
    row_cache_close(f.cache);
}

/* Records that are read once do not push out those that are read often. */
TEST_IN_REACTOR(row_cache_keeps_the_often_read_while_many_are_read_once)
{
    enum { OFTEN = 200 };
    struct fixture f = {.random = 1};
    char name[32];
    struct record record, got;
    struct engine_key k;
    CU_ASSERT_EQUAL_FATAL(row_cache_open(r, 1 << 20, SEED, &f.cache), 0);
    unsigned misses = 0;
    for (unsigned i = 0; i < 100000; i++) {
        unsigned key = i % 2 ? OFTEN + i : i / 2 % OFTEN;
        make(&f, key, 1, name, &record, &k);
        bool is_hit = row_cache_get(f.cache, &k, &got);
        if (!is_hit)
            row_cache_add(f.cache, &k, &record);
        misses += i > 5000 && key < OFTEN && !is_hit;
    }
    CU_ASSERT(misses < 1000); /* of 47500 */
    row_cache_close(f.cache);
}
