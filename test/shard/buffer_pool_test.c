/* buffer_pool_test.c - buffers that are kept as long as they are needed. */
#include "shard/buffer_pool.h"

#include "test/test.h"

enum { BYTES = 100, KEPT_MAX = 8, TAKEN_MAX = 10 };

static void use(struct buffer_pool *p, unsigned count)
{
    void *taken[TAKEN_MAX];
    for (unsigned i = 0; i < count; i++) {
        taken[i] = buffer_pool_take(p);
        CU_ASSERT_PTR_NOT_NULL_FATAL(taken[i]);
        memset(taken[i], (int)i, BYTES);
    }
    for (unsigned i = 0; i < count; i++)
        buffer_pool_give(p, taken[i]);
}

TEST_IN_REACTOR(pool_keeps_what_was_needed_since_the_last_trim_and_no_more)
{
    struct buffer_pool p;
    buffer_pool_init(&p, r, BYTES, KEPT_MAX);
    use(&p, TAKEN_MAX);
    CU_ASSERT_EQUAL(p.count, KEPT_MAX);
    buffer_pool_trim(&p); /* all were in use since the beginning */
    CU_ASSERT_EQUAL(p.count, KEPT_MAX);
    uint64_t allocations = reactor_counters(r).allocations;
    use(&p, 3);
    use(&p, 2);
    CU_ASSERT_EQUAL(reactor_counters(r).allocations, allocations);
    buffer_pool_trim(&p);
    CU_ASSERT_EQUAL(p.count, 3);
    buffer_pool_trim(&p);
    CU_ASSERT_EQUAL(p.count, 0);
    use(&p, 1);
    buffer_pool_deinit(&p);
    CU_ASSERT_EQUAL(p.count, 0);
}
