/* memory_test.c - how the memory of a node is divided. */
#include "shard/shard.h"
#include "test/test.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct memory_plan plan_of(uint64_t memory, uint32_t cores)
{
    struct options o = {.memory = memory, .cores = cores};
    return memory_plan_of(&o, 10 * GIB, VALUE_BYTES_MAX);
}

TEST(a_percentage_is_of_what_the_process_may_use)
{
    struct memory_plan half = plan_of(50, 1), bytes = plan_of(5 * GIB, 1);
    CU_ASSERT(half.heap_bytes_max <= 5 * GIB && half.heap_bytes_max > 5 * GIB / 100 * 98);
    CU_ASSERT(half.heap_bytes_max / MIB == bytes.heap_bytes_max / MIB ||
              half.heap_bytes_max < bytes.heap_bytes_max);
    CU_ASSERT(bytes.heap_bytes_max - half.heap_bytes_max < MIB);
}

TEST(all_parts_of_a_plan_fit_into_the_part_of_the_core)
{
    for (uint64_t part = OPTIONS_MEMORY_MIN; part <= 64 * GIB; part *= 2)
        for (uint32_t cores = 1; cores <= 4; cores *= 2) {
            struct memory_plan p = plan_of(part * cores, cores);
            CU_ASSERT(p.heap_bytes_max < part && p.heap_bytes_max >= part / 4 * 3);
            CU_ASSERT(p.cache_bytes < p.heap_bytes_max);
            uint64_t memtables =
                p.memtable_bytes * 11 / 10 * 5; /* one active, four that wait to be flushed */
            uint64_t jobs = (uint64_t)p.jobs_at_once_max * 2 * VALUE_BYTES_MAX;
            uint64_t sum = memtables + jobs + p.output_bytes_max + p.carry_bytes_max + p.views_bytes_max;
            CU_ASSERT(sum < p.heap_bytes_max);
        }
}

TEST(a_small_part_has_fewer_jobs_and_smaller_memtables)
{
    struct memory_plan small = plan_of(128 * MIB, 1), large = plan_of(32 * GIB, 1);
    CU_ASSERT(small.jobs_at_once_max < 16 && small.jobs_at_once_max >= 4);
    CU_ASSERT_EQUAL(large.jobs_at_once_max, JOB_TASKS_MAX);
    CU_ASSERT(small.memtable_bytes < 8 * MIB);
    CU_ASSERT_EQUAL(large.memtable_bytes, 256 * MIB);
    CU_ASSERT_EQUAL(large.output_bytes_max, OUTPUT_BYTES_MAX);
}

/* One active and one frozen, with their indexes. */
TEST(a_view_may_hold_what_was_in_memory_when_it_was_opened)
{
    for (uint64_t part = OPTIONS_MEMORY_MIN; part <= 64 * GIB; part *= 2) {
        struct memory_plan p = plan_of(part, 1);
        CU_ASSERT(p.views_bytes_max >= p.memtable_bytes * 5 / 2);
    }
    struct options o = {.memory = 4 * GIB, .cores = 1, .memtable_bytes = 512 * MIB};
    CU_ASSERT(memory_plan_of(&o, 10 * GIB, VALUE_BYTES_MAX).views_bytes_max >= 1280 * MIB);
}

TEST(what_is_asked_for_wins_over_the_plan)
{
    struct options o = {.memory = 80, .cores = 2, .memtable_bytes = 3 * MIB, .cache_bytes = 100 * MIB};
    struct memory_plan p = memory_plan_of(&o, 10 * GIB, VALUE_BYTES_MAX);
    CU_ASSERT_EQUAL(p.memtable_bytes, 3 * MIB);
    CU_ASSERT_EQUAL(p.cache_bytes, 50 * MIB);
}

TEST_IN_REACTOR(the_process_may_use_some_memory_and_not_more_than_the_machine_has)
{
    uint64_t bytes = reactor_memory_bytes(r);
    CU_ASSERT(bytes >= 64 * MIB && bytes < UINT64_C(1) << 50);
}
