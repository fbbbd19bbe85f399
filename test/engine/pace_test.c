/* pace_test.c - what merges may spend, and how writers are slowed. */
#include "engine/pace.h"

#include "test/test.h"

enum { MIB = 1 << 20, MS = 1000000 };
#define SECOND_NS UINT64_C(1000000000)

/* Writes `written` bytes in 1,000 steps while a merge spends all it may. Returns: what it has merged. */
static uint64_t merge_while_writing(struct pace *p, uint64_t written)
{
    uint64_t merged = 0, now_ns = p->seen_ns;
    for (unsigned i = 0; i < 1000; i++) {
        p->ingested += written / 1000;
        now_ns += MS / 100;
        while (pace_earn(p, now_ns) == 0 && p->grant > 0) {
            pace_spend(p, 4096, 1000, now_ns);
            merged += 4096;
        }
    }
    return merged;
}

TEST(merge_is_over_when_its_room_is_written_full)
{
    struct pace p = {.idle_rate = 0};
    pace_resume(&p, SECOND_NS);
    pace_plan(&p, 700 * MIB, 100 * MIB);
    uint64_t half = merge_while_writing(&p, 50 * MIB);
    CU_ASSERT(half > 340 * (uint64_t)MIB && half < 360 * (uint64_t)MIB);
    uint64_t all = half + merge_while_writing(&p, 50 * MIB);
    CU_ASSERT(all > 690 * (uint64_t)MIB && all < 710 * (uint64_t)MIB);
}

TEST(merge_goes_on_at_the_idle_rate_when_nothing_is_written)
{
    struct pace p = {.idle_rate = 10 * MIB};
    uint64_t now_ns = SECOND_NS, merged = 0;
    pace_resume(&p, now_ns);
    pace_plan(&p, 700 * MIB, 100 * MIB);
    while (now_ns < 3 * SECOND_NS) {
        uint64_t pause = pace_spend(&p, 64 << 10, 0, now_ns);
        merged += 64 << 10;
        while (pause) {
            now_ns += pause;
            pause = pace_earn(&p, now_ns);
        }
    }
    CU_ASSERT(merged >= 20 * MIB && merged < 21 * MIB);
}

TEST(merge_that_was_planned_too_small_goes_on_at_the_same_price)
{
    struct pace p = {.idle_rate = 0};
    pace_resume(&p, SECOND_NS);
    pace_plan(&p, 100 * MIB, 100 * MIB);
    uint64_t merged = merge_while_writing(&p, 300 * MIB);
    CU_ASSERT(merged > 290 * (uint64_t)MIB && merged < 310 * (uint64_t)MIB);
}

TEST(values_count_for_the_rate_and_are_paid_for_once_when_they_are_moved)
{
    struct pace p = {.idle_rate = 10 * MIB};
    pace_resume(&p, SECOND_NS);
    pace_plan(&p, 200 * MIB, 100 * MIB);
    pace_note_values(&p, 10 * MIB, 4 * MIB);
    uint64_t pause = pace_spend(&p, MIB + 4 * MIB, 100 * MS, SECOND_NS);
    CU_ASSERT_EQUAL(p.merge_rate, 110 * MIB); /* 1 of tables and 10 of values in a tenth of a second */
    CU_ASSERT(pause > 0);
    CU_ASSERT_EQUAL(p.grant, -5 * MIB);
    p.ingested = 2 * MIB; /* they are in the plan, so in the price that it began with */
    CU_ASSERT(pace_earn(&p, SECOND_NS) > 0);
    CU_ASSERT_EQUAL(p.grant, -MIB);
}

TEST(grants_are_not_saved_up_for_a_burst)
{
    struct pace p = {.idle_rate = 10 * MIB};
    pace_resume(&p, SECOND_NS);
    pace_plan(&p, 700 * MIB, 100 * MIB);
    p.ingested = 90 * (uint64_t)MIB;
    CU_ASSERT_EQUAL(pace_earn(&p, 100 * SECOND_NS), 0);
    CU_ASSERT(p.grant <= 8 * MIB);
}

TEST(writers_are_slowed_from_what_is_free_to_the_limit)
{
    struct pace_debt debt = {.free = 50 * MIB, .limit = 100 * MIB, .rate = 10 * MIB};
    uint64_t before = 0;
    for (uint64_t per_cent = 0; per_cent <= 200; per_cent++) {
        debt.bytes = per_cent * MIB;
        uint64_t delay = pace_delay_ns(&debt, 4096);
        CU_ASSERT(per_cent > 50 || delay == 0);
        CU_ASSERT(delay >= before); /* smoothly, and always more */
        CU_ASSERT(delay - before < 200 * 1000);
        before = delay;
    }
    /* Half way to the limit they may write what is worked off: beyond it the debt shrinks. */
    debt.bytes = debt.limit / 4 * 3;
    uint64_t delay = pace_delay_ns(&debt, 10 * MIB / 1024); /* what is worked off in 0.98 ms */
    CU_ASSERT(delay > 95 * MS / 100 && delay < MS);
    debt.bytes = 100 * debt.limit;
    CU_ASSERT_EQUAL(pace_delay_ns(&debt, MIB), PACE_DELAY_MAX_NS); /* and never stopped */
    /* A batch of large values rests for all its bytes. */
    debt = (struct pace_debt){.bytes = 100 * MIB, .free = 50 * MIB, .limit = 100 * MIB, .rate = 128 * MIB};
    CU_ASSERT_EQUAL(pace_delay_ns(&debt, 16 * MIB), 16 * pace_delay_ns(&debt, MIB));
    CU_ASSERT(pace_delay_ns(&debt, MIB) > PACE_PIECE_NS);
}

TEST(rates_are_those_that_were_measured)
{
    struct pace p = {.idle_rate = 0};
    pace_flushed(&p, 10 * MIB, SECOND_NS);
    CU_ASSERT_EQUAL(p.flush_rate, 10 * MIB);
    for (unsigned i = 0; i < 50; i++)
        pace_flushed(&p, 10 * MIB, SECOND_NS / 10);
    CU_ASSERT(p.flush_rate > 99 * MIB);
    pace_plan(&p, 700 * MIB, 100 * MIB);
    for (unsigned i = 0; i < 100; i++)
        pace_spend(&p, 64 << 10, MS, SECOND_NS);
    CU_ASSERT(p.merge_rate > 62 * MIB && p.merge_rate < 66 * MIB);
}
