/* workload_test.c - the mixes are those of YCSB. */
#include "bench/workload.h"
#include "test/test.h"

enum { DRAWS = 200000 };

static void draw(const char *name, double read_ratio, double *shares)
{
    struct workload w;
    struct workload_mix mix;
    struct random r = random_of_seed(11);
    CU_ASSERT_FATAL(workload_find(name, read_ratio, &w));
    workload_mix_init(&mix, &w);
    for (int op = 0; op < OPERATION_COUNT; op++)
        shares[op] = 0.0;
    for (int i = 0; i < DRAWS; i++)
        shares[workload_mix_next(&mix, &r)] += 1.0 / DRAWS;
}

TEST(workloads_a_to_f_have_the_shares_of_the_paper)
{
    static const struct {
        const char *name;
        enum operation first, second;
        double share;
    } rows[] = {
        {"a", OPERATION_GET, OPERATION_PUT, 0.5},      {"b", OPERATION_GET, OPERATION_PUT, 0.95},
        {"c", OPERATION_GET, OPERATION_PUT, 1.0},      {"d", OPERATION_GET, OPERATION_INSERT, 0.95},
        {"e", OPERATION_SCAN, OPERATION_INSERT, 0.95}, {"f", OPERATION_GET, OPERATION_MODIFY, 0.5},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        double shares[OPERATION_COUNT];
        draw(rows[i].name, 0.5, shares);
        CU_ASSERT_DOUBLE_EQUAL(shares[rows[i].first], rows[i].share, 0.005);
        CU_ASSERT_DOUBLE_EQUAL(shares[rows[i].first] + shares[rows[i].second], 1.0, 1e-6);
    }
}

TEST(mixed_follows_the_read_ratio_to_its_ends)
{
    double shares[OPERATION_COUNT];
    draw("mixed", 0.7, shares);
    CU_ASSERT_DOUBLE_EQUAL(shares[OPERATION_GET], 0.7, 0.005);
    draw("mixed", 0.0, shares);
    CU_ASSERT_DOUBLE_EQUAL(shares[OPERATION_PUT], 1.0, 1e-6);
    draw("mixed", 1.0, shares);
    CU_ASSERT_DOUBLE_EQUAL(shares[OPERATION_GET], 1.0, 1e-6);
}

TEST(a_workload_that_does_not_exist_is_not_found)
{
    struct workload w;
    CU_ASSERT(!workload_find("g", 0.5, &w));
    CU_ASSERT(!workload_find("", 0.5, &w));
}

TEST(read_latest_is_over_the_latest_and_the_rest_over_zipfian)
{
    struct workload w;
    CU_ASSERT(workload_find("d", 0.5, &w) && w.distribution == DISTRIBUTION_LATEST);
    CU_ASSERT(workload_find("a", 0.5, &w) && w.distribution == DISTRIBUTION_ZIPFIAN);
}
