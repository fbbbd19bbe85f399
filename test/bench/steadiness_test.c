/* steadiness_test.c - the worst second is found, and what is no whole second is left out. */
#include "bench/steadiness.h"

#include "bench/phase.h"
#include "test/test.h"

static struct phase_second second(uint64_t p99_us, uint64_t done, double length_s)
{
    return (struct phase_second){.p99_ns = p99_us * 1000, .done = done, .length_s = length_s};
}

TEST(the_worst_second_is_told_against_the_median_of_all)
{
    const struct phase_second seconds[] = {second(200, 900, 1.0), second(1400, 300, 1.0),
                                           second(100, 1000, 1.0), second(300, 800, 1.0),
                                           second(250, 850, 1.0)};
    struct steadiness s = steadiness_of(seconds, ARRAY_COUNT(seconds));
    CU_ASSERT_EQUAL(s.seconds, 5);
    CU_ASSERT_EQUAL(s.p99_median_ns, 250 * 1000);
    CU_ASSERT_EQUAL(s.p99_worst_ns, 1400 * 1000);
    CU_ASSERT_DOUBLE_EQUAL(s.p99_worst_ratio, 5.6, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(s.ops_median_per_s, 850.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(s.ops_lowest_per_s, 300.0, 1e-9);
    CU_ASSERT_EQUAL(seconds[1].p99_ns, 1400 * 1000);
}

TEST(the_median_of_an_even_number_of_seconds_is_the_lower_one)
{
    const struct phase_second seconds[] = {second(400, 1, 1.0), second(100, 1, 1.0)};
    struct steadiness s = steadiness_of(seconds, 2);
    CU_ASSERT_EQUAL(s.p99_median_ns, 100 * 1000);
    CU_ASSERT_DOUBLE_EQUAL(s.p99_worst_ratio, 4.0, 1e-9);
}

TEST(the_rest_of_a_second_and_one_without_answers_do_not_count)
{
    const struct phase_second seconds[] = {second(100, 10, 1.0), second(0, 0, 1.0), second(9000, 4, 0.3)};
    struct steadiness s = steadiness_of(seconds, 3);
    CU_ASSERT_EQUAL(s.seconds, 1);
    CU_ASSERT_EQUAL(s.p99_worst_ns, 100 * 1000);
    CU_ASSERT_DOUBLE_EQUAL(s.ops_lowest_per_s, 10.0, 1e-9);
}

TEST(no_second_at_all_is_no_ratio)
{
    struct steadiness s = steadiness_of(NULL, 0);
    CU_ASSERT_EQUAL(s.seconds, 0);
    CU_ASSERT_EQUAL(s.p99_worst_ratio, 0.0);
}
