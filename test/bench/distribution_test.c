/* distribution_test.c - the shapes of the distributions, against theory. */
#include "bench/distribution.h"
#include "test/test.h"

#include <math.h>

enum { DRAWS = 400000, COUNT = 1000 };

static void count_ranks(const struct distribution *d, uint32_t *seen)
{
    struct random r = random_of_seed(7);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = distribution_rank(d, &r);
        CU_ASSERT_FATAL(rank < d->count);
        seen[rank]++;
    }
}

TEST(zipfian_draws_the_first_ranks_as_often_as_theory_says)
{
    struct distribution d;
    distribution_init(&d, DISTRIBUTION_ZIPFIAN, COUNT, 0.99);
    uint32_t seen[COUNT] = {0};
    count_ranks(&d, seen);
    /* Gray's method is exact for the first two ranks and an approximation of the others. */
    for (uint64_t rank = 0; rank < 2; rank++) {
        double expected = distribution_rank_probability(&d, rank) * DRAWS;
        CU_ASSERT_DOUBLE_EQUAL(seen[rank], expected, 5.0 * sqrt(expected));
    }
}

TEST(zipfian_has_the_mass_of_theory_in_its_head_and_its_tail)
{
    struct distribution d;
    distribution_init(&d, DISTRIBUTION_ZIPFIAN, COUNT, 0.99);
    uint32_t seen[COUNT] = {0};
    count_ranks(&d, seen);
    /* Gray's method itself is off by this much at most, here and in YCSB. */
    const double tolerance = 0.05;
    double drawn = 0.0, expected = 0.0;
    for (uint64_t rank = 0; rank < COUNT; rank++) {
        drawn += seen[rank];
        expected += distribution_rank_probability(&d, rank) * DRAWS;
        if (rank == 9 || rank == 99 || rank == 499)
            CU_ASSERT_DOUBLE_EQUAL(drawn / expected, 1.0, tolerance);
    }
    CU_ASSERT_DOUBLE_EQUAL(expected, DRAWS, 1.0);
}

TEST(zipfian_of_many_keys_sums_to_one)
{
    /* Beyond a million terms the sum is an integral; both must meet. */
    struct distribution exact, beyond;
    distribution_init(&exact, DISTRIBUTION_ZIPFIAN, 1000000, 0.99);
    distribution_init(&beyond, DISTRIBUTION_ZIPFIAN, 1000001, 0.99);
    CU_ASSERT_DOUBLE_EQUAL(beyond.zeta - exact.zeta, pow(1000001.0, -0.99), 1e-9);
    /* YCSB's constant for ten thousand million items. */
    distribution_init(&beyond, DISTRIBUTION_ZIPFIAN, 10000000000ull, 0.99);
    CU_ASSERT_DOUBLE_EQUAL(beyond.zeta, 26.46902820178302, 1e-6);
}

TEST(scrambled_zipfian_scatters_the_frequent_ranks)
{
    struct distribution d;
    distribution_init(&d, DISTRIBUTION_ZIPFIAN, COUNT, 0.99);
    struct random r = random_of_seed(3);
    uint32_t seen[COUNT] = {0};
    for (int i = 0; i < DRAWS; i++)
        seen[distribution_next(&d, &r)]++;
    uint32_t first_half = 0, most = 0;
    for (int i = 0; i < COUNT; i++) {
        first_half += i < COUNT / 2 ? seen[i] : 0;
        most = seen[i] > most ? seen[i] : most;
    }
    CU_ASSERT(first_half > DRAWS / 5 && first_half < DRAWS / 5 * 4);
    CU_ASSERT(most >= distribution_rank_probability(&d, 0) * DRAWS * 0.95);
}

TEST(uniform_draws_each_alike)
{
    struct distribution d;
    distribution_init(&d, DISTRIBUTION_UNIFORM, COUNT, 0.0);
    struct random r = random_of_seed(5);
    uint32_t seen[COUNT] = {0};
    for (int i = 0; i < DRAWS; i++)
        seen[distribution_next(&d, &r)]++;
    double chi_squared = 0.0, expected = (double)DRAWS / COUNT;
    for (int i = 0; i < COUNT; i++)
        chi_squared += (seen[i] - expected) * (seen[i] - expected) / expected;
    /* 999 degrees of freedom: mean 999, standard deviation 45. */
    CU_ASSERT(chi_squared > 800.0 && chi_squared < 1200.0);
}

TEST(one_key_and_two_keys_can_be_drawn_from)
{
    struct random r = random_of_seed(1);
    for (uint64_t count = 1; count <= 3; count++) {
        struct distribution d;
        distribution_init(&d, DISTRIBUTION_LATEST, count, 0.5);
        for (int i = 0; i < 1000; i++)
            CU_ASSERT_FATAL(distribution_next(&d, &r) < count);
    }
}

TEST(the_same_seed_draws_the_same_numbers)
{
    struct random a = random_of_seed(42), b = random_of_seed(42), c = random_of_seed(43);
    bool differs = false;
    for (int i = 0; i < 100; i++) {
        uint64_t x = random_next(&a);
        CU_ASSERT_EQUAL(x, random_next(&b));
        differs = differs || x != random_next(&c);
    }
    CU_ASSERT(differs);
}
