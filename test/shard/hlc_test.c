/* hlc_test.c - the clock of a core only goes forward. */
#include "shard/hlc.h"

#include "test/test.h"

TEST(hlc_stamps_hold_the_wall_clock_and_the_node)
{
    struct hlc h = {.node = 7};
    struct version v = hlc_stamp(&h, 1700000000000);
    CU_ASSERT_EQUAL(v.clock >> HLC_COUNTER_BITS, 1700000000000);
    CU_ASSERT_EQUAL(v.clock & 0xffff, 0);
    CU_ASSERT_EQUAL(v.node, 7);
}

TEST(hlc_counts_while_the_wall_clock_stands_still_or_jumps_back)
{
    struct hlc h = {0};
    uint64_t last = hlc_stamp(&h, 1000).clock;
    for (unsigned i = 0; i < 200000; i++) { /* more than the counter has bits for */
        uint64_t clock = hlc_stamp(&h, i % 3 ? 1000 : 10).clock;
        CU_ASSERT(clock > last);
        last = clock;
    }
    CU_ASSERT_EQUAL(last, (1000u << HLC_COUNTER_BITS) + 200000);
    CU_ASSERT(hlc_stamp(&h, 2000).clock == 2000u << HLC_COUNTER_BITS);
}

TEST(hlc_goes_past_what_it_has_seen)
{
    struct hlc h = {0};
    uint64_t seen = (UINT64_C(5000) << HLC_COUNTER_BITS) + 9;
    hlc_observe(&h, seen);
    hlc_observe(&h, 17); /* older: changes nothing */
    CU_ASSERT_EQUAL(hlc_stamp(&h, 1000).clock, seen + 1);
    CU_ASSERT_EQUAL(hlc_stamp(&h, 5001).clock, UINT64_C(5001) << HLC_COUNTER_BITS);
}

TEST(hlc_tells_another_core_of_all_it_has_seen)
{
    struct hlc sender = {0}, receiver = {0};
    uint64_t stamp = hlc_stamp(&sender, 3000).clock;
    hlc_observe(&receiver, hlc_seen(&sender, 2000)); /* the wall clock went back */
    CU_ASSERT(hlc_stamp(&receiver, 1000).clock > stamp);
    hlc_observe(&receiver, hlc_seen(&sender, 7000)); /* bytes came then; nothing was stamped since */
    CU_ASSERT(hlc_stamp(&receiver, 6999).clock > UINT64_C(7000) << HLC_COUNTER_BITS);
}
