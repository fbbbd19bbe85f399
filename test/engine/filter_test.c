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
static unsigned count_false_positives(uint64_t count, uint32_t bits_x2)
{
    uint64_t bytes = filter_bytes(count, bits_x2);
    struct filter f = {aligned_alloc(FILTER_LINE_BYTES, bytes), bytes / FILTER_LINE_BYTES,
                       filter_probes(bits_x2)};
    CU_ASSERT_PTR_NOT_NULL_FATAL(f.lines);
    memset(f.lines, 0, bytes);
    unsigned missed = 0, passed = 0;
    for (uint64_t i = 0; i < count; i++)
        filter_add(&f, hash_of(i));
    for (uint64_t i = 0; i < count; i++)
        missed += !filter_may_contain(&f, hash_of(i));
    for (uint64_t i = 0; i < 100000; i++)
        passed += filter_may_contain(&f, hash_of(UINT64_C(1) << 40 | i));
    free(f.lines);
    CU_ASSERT_EQUAL(missed, 0);
    return passed;
}

TEST(a_filter_passes_at_most_one_stranger_in_a_hundred)
{
    CU_ASSERT_TRUE(count_false_positives(100000, FILTER_BITS_X2_DEFAULT) <= 800);
    CU_ASSERT_TRUE(count_false_positives(1000000, FILTER_BITS_X2_DEFAULT) <= 800);
}

TEST(a_filter_of_more_bits_passes_fewer_strangers)
{
    CU_ASSERT_TRUE(count_false_positives(100000, 10) <= 10000); /* 5 bits a key */
    CU_ASSERT_TRUE(count_false_positives(100000, 20) <= 1000);
    CU_ASSERT_TRUE(count_false_positives(100000, 32) <= 120);
    CU_ASSERT_TRUE(count_false_positives(100000, FILTER_BITS_X2_MAX) <= 20);
}

TEST(a_filter_of_few_keys_misses_none)
{
    CU_ASSERT_EQUAL(count_false_positives(0, FILTER_BITS_X2_DEFAULT), 0);
    CU_ASSERT_TRUE(count_false_positives(1, FILTER_BITS_X2_DEFAULT) <= 1000);
    CU_ASSERT_TRUE(count_false_positives(60, FILTER_BITS_X2_MIN) <= 60000);
}

TEST(a_filter_takes_the_bits_it_is_given)
{
    CU_ASSERT_EQUAL(filter_bytes(0, FILTER_BITS_X2_DEFAULT), FILTER_LINE_BYTES);
    CU_ASSERT_EQUAL(filter_bytes(51, 20), FILTER_LINE_BYTES);
    CU_ASSERT_EQUAL(filter_bytes(52, 20), 2 * FILTER_LINE_BYTES);
    CU_ASSERT_TRUE(filter_bytes(1000000, 20) <= 1250000 + FILTER_LINE_BYTES);
    for (uint32_t bits_x2 = FILTER_BITS_X2_MIN; bits_x2 <= FILTER_BITS_X2_MAX; bits_x2++)
        CU_ASSERT_TRUE(filter_probes(bits_x2) >= filter_probes(FILTER_BITS_X2_MIN) &&
                       filter_probes(bits_x2) <= FILTER_PROBES_MAX);
}
