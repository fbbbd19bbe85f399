/* oracle_test.c - the oracle itself finds what it is there to find. */
#include "test/process/oracle.h"

#include "test/test.h"

static struct slice value_of(uint32_t key, uint64_t number)
{
    static uint8_t value[ORACLE_VALUE_BYTES_MAX];
    return slice_of(value, oracle_value(key, number, value));
}

static const struct slice nothing = {NULL, 0};

TEST(oracle_finds_a_lost_write)
{
    struct oracle o;
    oracle_init(&o, 2, 1);
    CU_ASSERT(oracle_observe(&o, 0, nothing));
    uint64_t first = oracle_start(&o, 0, false);
    CU_ASSERT(oracle_observe(&o, 0, nothing));
    CU_ASSERT(oracle_observe(&o, 0, value_of(0, first)));
    oracle_acknowledge(&o, 0, first);
    CU_ASSERT_FALSE(oracle_observe(&o, 0, nothing));
    CU_ASSERT_PTR_NOT_NULL(strstr(o.problem, "is gone"));
    uint64_t second = oracle_start(&o, 0, false);
    CU_ASSERT(oracle_observe(&o, 0, value_of(0, first)));
    oracle_acknowledge(&o, 0, second);
    CU_ASSERT_FALSE(oracle_observe(&o, 0, value_of(0, first)));
    CU_ASSERT(oracle_observe(&o, 0, value_of(0, second)));
    oracle_deinit(&o);
}

TEST(oracle_finds_what_came_back_or_never_was)
{
    struct oracle o;
    oracle_init(&o, 2, 1);
    uint64_t put = oracle_start(&o, 1, false);
    oracle_acknowledge(&o, 1, put);
    uint64_t gone = oracle_start(&o, 1, true);
    oracle_acknowledge(&o, 1, gone);
    CU_ASSERT_FALSE(oracle_observe(&o, 1, value_of(1, put)));
    CU_ASSERT(oracle_observe(&o, 1, nothing));
    CU_ASSERT_FALSE(oracle_observe(&o, 1, value_of(0, put)));
    CU_ASSERT_FALSE(oracle_observe(&o, 1, slice_of_string("rubbish that is long enough")));
    uint64_t refused = oracle_start(&o, 1, false);
    oracle_refuse(&o, 1, refused);
    CU_ASSERT_FALSE(oracle_observe(&o, 1, value_of(1, refused)));
    oracle_deinit(&o);
}

TEST(oracle_lets_writes_in_flight_together_end_in_any_order)
{
    struct oracle o;
    oracle_init(&o, 1, 1);
    uint64_t a = oracle_start(&o, 0, false), b = oracle_start(&o, 0, false), c = oracle_start(&o, 0, true);
    oracle_acknowledge(&o, 0, b);
    oracle_acknowledge(&o, 0, a);
    CU_ASSERT(oracle_observe(&o, 0, value_of(0, a)));
    CU_ASSERT(oracle_observe(&o, 0, value_of(0, b)));
    CU_ASSERT(oracle_observe(&o, 0, nothing));
    oracle_lose(&o, 0, c);
    CU_ASSERT(oracle_observe(&o, 0, nothing)); /* it was done after all, and stays so */
    CU_ASSERT_FALSE(oracle_observe(&o, 0, value_of(0, a)));
    oracle_deinit(&o);
}
