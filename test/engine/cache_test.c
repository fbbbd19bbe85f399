/* cache_test.c - the block cache: budget, order of eviction, pins, and reads that are shared. */
#include "engine/cache.h"

#include "test/test.h"

#include <string.h>

enum { BUDGET = 1 << 20, TABLE = 9 };

/* What load writes: its position in every byte; how often it was called, and what it answers. */
struct source {
    struct reactor *r;
    unsigned loads;
    unsigned yields; /* so long does a read take */
    int result;
};

static int load(void *context, struct cache_block block, uint8_t *to)
{
    struct source *s = context;
    s->loads++;
    for (unsigned i = 0; i < s->yields; i++)
        task_yield(s->r);
    memset(to, (int)(block.position & 0xff), (size_t)block.units * CACHE_UNIT_BYTES);
    return s->result;
}

static struct cache_block block_at(uint32_t position, uint32_t units)
{
    return (struct cache_block){.table = TABLE, .position = position, .units = units};
}

static int read_block(struct cache *c, struct source *s, uint32_t position, uint32_t units)
{
    struct cache_pin pin;
    int rc = cache_read(c, block_at(position, units), load, s, &pin);
    if (rc == 0 &&
        (pin.data[0] != (position & 0xff) || pin.data[units * CACHE_UNIT_BYTES - 1] != (position & 0xff)))
        CU_FAIL("a block holds another's bytes");
    cache_unpin(&pin);
    return rc;
}

static bool is_cached(struct cache *c, uint32_t position, uint32_t units)
{
    const uint8_t *data = cache_get(c, block_at(position, units));
    return data && data[0] == (position & 0xff);
}

/* Reads blocks from `position` on until one was evicted for another. Returns: the blocks that fit. */
static uint32_t fill(struct cache *c, struct source *s, uint32_t position)
{
    uint32_t count = 0;
    while (cache_counters(c).evictions == 0 && count < BUDGET / CACHE_UNIT_BYTES)
        CU_ASSERT_EQUAL_FATAL(read_block(c, s, position + count++, 1), 0);
    return count - 1;
}

TEST_IN_REACTOR(a_block_is_read_once_and_then_found)
{
    struct cache *c = NULL;
    struct source s = {.r = r};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    CU_ASSERT_PTR_NULL(cache_get(c, block_at(3, 1)));
    CU_ASSERT_EQUAL(read_block(c, &s, 3, 1), 0);
    CU_ASSERT_EQUAL(read_block(c, &s, 3, 1), 0);
    CU_ASSERT_TRUE(is_cached(c, 3, 1));
    CU_ASSERT_PTR_NULL(cache_get(c, (struct cache_block){.table = TABLE + 1, .position = 3, .units = 1}));
    CU_ASSERT_EQUAL(s.loads, 1);
    CU_ASSERT_EQUAL(cache_counters(c).hits, 2);
    CU_ASSERT_EQUAL(cache_counters(c).misses, 1);
    cache_close(c);
}

TEST_IN_REACTOR(the_budget_is_never_exceeded)
{
    struct cache *c = NULL;
    struct source s = {.r = r};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    uint64_t random = 1;
    for (unsigned i = 0; i < 20000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t kind = (uint32_t)(random >> 33) % 100;
        uint32_t units = kind < 70 ? 1 : kind < 95 ? 2 + kind % 5 : kind < 99 ? 20 : 100;
        uint32_t position = (uint32_t)(random >> 40) % 500 + units * 1000;
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, position, units), 0);
        if (cache_counters(c).bytes > BUDGET)
            CU_FAIL_FATAL("the budget is exceeded");
    }
    CU_ASSERT_TRUE(cache_counters(c).evictions > 0);
    CU_ASSERT_TRUE(cache_counters(c).hits > 0);
    CU_ASSERT_TRUE(cache_counters(c).bypasses > 0); /* 100 units are more than an eighth of it */
    cache_close(c);
}

/* What is evicted for a block of its size leaves it its memory. */
TEST_IN_REACTOR(large_blocks_of_one_size_use_the_same_memory)
{
    struct cache *c = NULL;
    struct source s = {.r = r};
    uint32_t position = 0;
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    for (; cache_counters(c).evictions == 0 && position < BUDGET / CACHE_UNIT_BYTES; position += 2)
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, position, 2), 0);
    uint64_t allocations = reactor_counters(r).allocations, bytes = cache_counters(c).bytes;
    for (unsigned i = 0; i < 100; i++, position += 2)
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, position, 2), 0);
    CU_ASSERT_EQUAL(reactor_counters(r).allocations, allocations);
    CU_ASSERT_EQUAL(cache_counters(c).bytes, bytes);
    CU_ASSERT_TRUE(is_cached(c, position - 2, 2));
    CU_ASSERT_EQUAL(read_block(c, &s, position, 3), 0); /* of another size: it is allocated */
    CU_ASSERT_EQUAL(reactor_counters(r).allocations, allocations + 1);
    CU_ASSERT(cache_counters(c).bytes <= BUDGET);
    cache_close(c);
}

TEST_IN_REACTOR(most_of_the_budget_holds_blocks)
{
    struct cache *c = NULL;
    struct source s = {.r = r};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    CU_ASSERT_TRUE((uint64_t)fill(c, &s, 0) * CACHE_UNIT_BYTES >= BUDGET / 100 * 80);
    cache_close(c);
}

TEST_IN_REACTOR(the_oldest_block_that_was_not_used_again_goes_first)
{
    struct cache *c = NULL;
    struct source s = {.r = r};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    CU_ASSERT_EQUAL(read_block(c, &s, 0, 1), 0);
    CU_ASSERT_EQUAL(read_block(c, &s, 1, 1), 0);
    CU_ASSERT_EQUAL(read_block(c, &s, 2, 1), 0);
    CU_ASSERT_TRUE(is_cached(c, 0, 1) && is_cached(c, 2, 1)); /* both are visited now */
    fill(c, &s, 3);
    CU_ASSERT_PTR_NULL(cache_get(c, block_at(1, 1)));
    /* the hand passed 0, stands behind 1, passes 2 now and takes 3: a visit saves once, and 0 is behind the
     * hand */
    CU_ASSERT_EQUAL(read_block(c, &s, 900, 1), 0);
    CU_ASSERT_PTR_NULL(cache_get(c, block_at(3, 1)));
    CU_ASSERT_TRUE(is_cached(c, 0, 1) && is_cached(c, 2, 1) && is_cached(c, 4, 1));
    cache_close(c);
}

TEST_IN_REACTOR(a_pinned_block_stays_where_it_is)
{
    struct cache *c = NULL;
    struct source s = {.r = r};
    struct cache_pin pin, large;
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    CU_ASSERT_EQUAL(cache_read(c, block_at(77, 1), load, &s, &pin), 0);
    CU_ASSERT_EQUAL(cache_read(c, block_at(5077, 3), load, &s, &large), 0);
    const uint8_t *where = pin.data;
    for (uint32_t i = 0; i < 3000; i++)
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, 10000 + i * 10, 1 + i % 9), 0);
    CU_ASSERT_PTR_EQUAL(cache_get(c, block_at(77, 1)), where);
    CU_ASSERT_EQUAL(where[0], 77);
    CU_ASSERT_EQUAL(large.data[0], 5077 & 0xff);
    cache_unpin(&pin);
    cache_unpin(&large);
    cache_close(c);
}

TEST_IN_REACTOR(when_all_is_pinned_a_block_is_read_past_the_cache)
{
    enum { PINS = BUDGET / CACHE_UNIT_BYTES };
    static struct cache_pin pins[PINS];
    struct cache *c = NULL;
    struct source s = {.r = r};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    for (uint32_t i = 0; i < PINS; i++) {
        CU_ASSERT_EQUAL_FATAL(cache_read(c, block_at(i, 1), load, &s, &pins[i]), 0);
        CU_ASSERT_EQUAL(pins[i].data[0], i & 0xff);
    }
    CU_ASSERT_TRUE(cache_counters(c).bypasses > 0);
    CU_ASSERT_EQUAL(cache_counters(c).evictions, 0);
    CU_ASSERT_TRUE(cache_counters(c).bytes <= BUDGET);
    for (uint32_t i = 0; i < PINS; i++)
        cache_unpin(&pins[i]);
    CU_ASSERT_EQUAL(read_block(c, &s, PINS + 1, 1), 0);
    CU_ASSERT_TRUE(is_cached(c, PINS + 1, 1));
    cache_close(c);
}

TEST_IN_REACTOR(a_forgotten_block_is_read_again_and_lasts_for_those_who_have_it_pinned)
{
    static const uint32_t units[] = {1, 3};
    struct cache *c = NULL;
    struct source s = {.r = r};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    uint64_t bytes = cache_counters(c).bytes;
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        struct cache_block block = block_at(77, units[i]);
        struct cache_pin first, second, third;
        CU_ASSERT_EQUAL(cache_read(c, block, load, &s, &first), 0);
        CU_ASSERT_EQUAL(cache_read(c, block, load, &s, &second), 0);
        CU_ASSERT_TRUE(first.is_fresh && !second.is_fresh);
        cache_forget(c, block);
        cache_forget(c, block);
        CU_ASSERT_PTR_NULL(cache_get(c, block));
        CU_ASSERT_EQUAL(cache_read(c, block, load, &s, &third), 0);
        CU_ASSERT_TRUE(third.is_fresh && third.data != first.data);
        CU_ASSERT_EQUAL(cache_counters(c).blocks, 2);
        CU_ASSERT_EQUAL(first.data[0], 77);
        cache_unpin(&first);
        CU_ASSERT_EQUAL(second.data[0], 77);
        cache_unpin(&second);
        CU_ASSERT_EQUAL(cache_counters(c).blocks, 1);
        cache_unpin(&third);
        cache_forget(c, block);
        CU_ASSERT_EQUAL(cache_counters(c).blocks, 0);
        CU_ASSERT_EQUAL(cache_counters(c).bytes, bytes);
        CU_ASSERT_EQUAL(cache_counters(c).forgotten, 2 * (i + 1));
        CU_ASSERT_EQUAL(s.loads, 2 * (i + 1));
    }
    cache_close(c);
}

static void forget_meanwhile(struct reactor *r, void *argument)
{
    (void)r;
    cache_forget(argument, block_at(5, 1));
}

TEST_IN_REACTOR(a_block_that_is_being_read_is_not_forgotten)
{
    struct cache *c = NULL;
    struct source s = {.r = r, .yields = 5};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    CU_ASSERT_EQUAL(task_spawn(r, forget_meanwhile, c), 0);
    CU_ASSERT_EQUAL(read_block(c, &s, 5, 1), 0);
    CU_ASSERT_TRUE(is_cached(c, 5, 1));
    CU_ASSERT_EQUAL(cache_counters(c).forgotten, 0);
    cache_close(c);
}

struct reader {
    struct cache *c;
    struct source *s;
    struct event done;
};

static void run_reader(struct reactor *r, void *argument)
{
    struct reader *reader = argument;
    event_set(r, &reader->done, read_block(reader->c, reader->s, 5, 1));
}

/* Ten tasks want one block; `result` is what its one read answers. */
static void share(struct reactor *r, struct source *s, struct cache *c)
{
    struct reader readers[10];
    for (unsigned i = 0; i < ARRAY_COUNT(readers); i++) {
        readers[i] = (struct reader){.c = c, .s = s};
        event_init(&readers[i].done);
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, run_reader, &readers[i]), 0);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(readers); i++)
        CU_ASSERT_EQUAL(event_wait(r, &readers[i].done, EVENT_FOREVER), s->result);
}

TEST_IN_REACTOR(tasks_that_want_one_block_share_its_read)
{
    struct cache *c = NULL;
    struct source s = {.r = r, .yields = 5};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    share(r, &s, c);
    CU_ASSERT_EQUAL(s.loads, 1);
    CU_ASSERT_EQUAL(cache_counters(c).shared, 9);
    CU_ASSERT_TRUE(is_cached(c, 5, 1));
    cache_close(c); /* asserts that no pin is left */
}

TEST_IN_REACTOR(a_read_that_fails_fails_for_all_and_is_not_kept)
{
    struct cache *c = NULL;
    struct source s = {.r = r, .yields = 5, .result = TORC_E_CORRUPT};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, BUDGET, &c), 0);
    share(r, &s, c);
    CU_ASSERT_EQUAL(s.loads, 1);
    CU_ASSERT_PTR_NULL(cache_get(c, block_at(5, 1)));
    CU_ASSERT_EQUAL(cache_counters(c).blocks, 0);
    s.result = 0;
    CU_ASSERT_EQUAL(read_block(c, &s, 5, 1), 0);
    CU_ASSERT_EQUAL(s.loads, 2);
    cache_close(c);
}

TEST_IN_REACTOR(a_smaller_budget_is_reached_a_little_at_a_time)
{
    struct cache *c = NULL;
    struct source s = {.r = r};
    struct cache_pin pin;
    CU_ASSERT_EQUAL_FATAL(cache_open(r, 4 * BUDGET, &c), 0);
    for (uint32_t i = 0; i < 2000; i++)
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, i * 10, 1 + i % 50 / 49 * 3), 0);
    CU_ASSERT_EQUAL(cache_read(c, block_at(5, 1), load, &s, &pin), 0);
    CU_ASSERT(cache_counters(c).bytes > 3 * BUDGET);
    cache_resize(c, BUDGET);
    unsigned steps = 0;
    for (uint64_t before = cache_counters(c).bytes; cache_trim(c); steps++) {
        CU_ASSERT(before - cache_counters(c).bytes <= BUDGET);
        before = cache_counters(c).bytes;
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, 100000 + steps, 1), 0); /* used meanwhile */
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, 200000 + steps * 10, 3), 0);
    }
    CU_ASSERT(steps > 2);
    CU_ASSERT(cache_counters(c).bytes <= BUDGET);
    CU_ASSERT_EQUAL(pin.data[0], 5);
    cache_unpin(&pin);
    cache_resize(c, 4 * BUDGET);
    CU_ASSERT_FALSE(cache_trim(c));
    for (uint32_t i = 0; i < 2000; i++)
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, i * 10, 1), 0);
    CU_ASSERT(cache_counters(c).bytes > 3 * BUDGET && cache_counters(c).bytes <= 4 * BUDGET);
    cache_close(c);
}

TEST_IN_REACTOR(a_cache_of_which_all_is_used_is_trimmed_in_short_steps)
{
    enum { BLOCKS = 8000, STEPS_MAX = 2048 };
    struct cache *c = NULL;
    struct source s = {.r = r};
    CU_ASSERT_EQUAL_FATAL(cache_open(r, 40 * BUDGET, &c), 0);
    for (uint32_t i = 0; i < BLOCKS; i++)
        CU_ASSERT_EQUAL_FATAL(read_block(c, &s, i, 1), 0);
    cache_resize(c, BUDGET);
    bool has_more = true;
    while (has_more) {
        uint64_t before = cache_counters(c).hand_steps;
        for (uint32_t i = 0; i < BLOCKS; i++)
            (void)is_cached(c, i, 1);
        has_more = cache_trim(c);
        CU_ASSERT(cache_counters(c).hand_steps - before <= STEPS_MAX);
    }
    CU_ASSERT(cache_counters(c).hand_steps > STEPS_MAX);
    CU_ASSERT(cache_counters(c).bytes <= BUDGET + BUDGET / 2); /* the arrays are for the larger one */
    cache_close(c);
}
