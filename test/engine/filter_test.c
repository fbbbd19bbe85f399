/* filter_test.c - the blocked Bloom filter: no key is missed, and few strangers pass. */
#include "engine/filter.h"

#include "test/test.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(uint64_t i)
{
    i = (i ^ i >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    i = (i ^ i >> 27) * UINT64_C(0x94d049bb133111eb);
    return i ^ i >> 31;
}

/* Of 100,000 strangers, those that a filter of `count` keys lets through; every key of its own must pass. */
static unsigned count_false_positives(uint64_t count)
{
    uint64_t bytes = filter_bytes(count);
    uint8_t *lines = aligned_alloc(FILTER_LINE_BYTES, bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(lines);
    memset(lines, 0, bytes);
    unsigned missed = 0, passed = 0;
    for (uint64_t i = 0; i < count; i++)
        filter_add(lines, bytes / FILTER_LINE_BYTES, hash_of(i));
    for (uint64_t i = 0; i < count; i++)
        missed += !filter_may_contain(lines, bytes / FILTER_LINE_BYTES, hash_of(i));
    for (uint64_t i = 0; i < 100000; i++)
        passed += filter_may_contain(lines, bytes / FILTER_LINE_BYTES, hash_of(UINT64_C(1) << 40 | i));
    free(lines);
    CU_ASSERT_EQUAL(missed, 0);
    return passed;
}

TEST(a_filter_passes_at_most_one_stranger_in_a_hundred)
{
    CU_ASSERT_TRUE(count_false_positives(100000) <= 1000);
    CU_ASSERT_TRUE(count_false_positives(1000000) <= 1000);
}

TEST(a_filter_of_few_keys_misses_none)
{
    CU_ASSERT_EQUAL(count_false_positives(0), 0);
    CU_ASSERT_TRUE(count_false_positives(1) <= 1000);
    CU_ASSERT_TRUE(count_false_positives(60) <= 2000);
}

TEST(a_filter_takes_ten_bits_a_key)
{
    CU_ASSERT_EQUAL(filter_bytes(0), FILTER_LINE_BYTES);
    CU_ASSERT_EQUAL(filter_bytes(51), FILTER_LINE_BYTES);
    CU_ASSERT_EQUAL(filter_bytes(52), 2 * FILTER_LINE_BYTES);
    CU_ASSERT_TRUE(filter_bytes(1000000) <= 1250000 + FILTER_LINE_BYTES);
}
