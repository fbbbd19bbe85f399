/* stages_test.c - which requests are sampled, and the places where sampled writes wait. */
#include "shard/stages.h"

#include "test/test.h"

TEST_IN_REACTOR(stages_sample_one_request_in_so_many)
{
    struct stages *st = reactor_alloc(r, sizeof *st);
    CU_ASSERT_EQUAL(stages_init(st, r, 8), 0);
    unsigned due = 0;
    for (unsigned i = 1; i <= 80; i++) {
        bool is_due = stages_is_due(st);
        CU_ASSERT_EQUAL(is_due, i % 8 == 0);
        due += is_due;
    }
    CU_ASSERT_EQUAL(due, 10);
    reactor_free(r, st->histograms);
    CU_ASSERT_EQUAL(stages_init(st, r, 0), 0);
    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT_FALSE(stages_is_due(st));
    reactor_free(r, st->histograms);
    reactor_free(r, st);
}

TEST_IN_REACTOR(stages_hold_stamps_until_their_places_are_full)
{
    struct stages *st = reactor_alloc(r, sizeof *st);
    uint64_t stamps[STAGE_SAMPLES_MAX];
    CU_ASSERT_EQUAL(stages_init(st, r, 1), 0);
    for (unsigned i = 0; i < STAGE_SAMPLES_MAX; i++) {
        stamps[i] = stages_hold(st, 1000 + i);
        CU_ASSERT_NOT_EQUAL(stamps[i], 0);
    }
    CU_ASSERT_EQUAL(stages_hold(st, 5), 0);
    for (unsigned i = 0; i < STAGE_SAMPLES_MAX; i++)
        CU_ASSERT_EQUAL(stages_release(st, stamps[i]), 1000 + i);
    CU_ASSERT_NOT_EQUAL(stages_hold(st, 5), 0);
    reactor_free(r, st->histograms);
    reactor_free(r, st);
}

TEST_IN_REACTOR(stages_record_no_time_before_zero_and_have_names)
{
    struct stages *st = reactor_alloc(r, sizeof *st);
    CU_ASSERT_EQUAL(stages_init(st, r, 1), 0);
    stages_record(st, STAGE_SENT, 100, 350);
    stages_record(st, STAGE_SENT, 100, 50);
    CU_ASSERT_EQUAL(st->histograms[STAGE_SENT].count, 2);
    CU_ASSERT_EQUAL(st->histograms[STAGE_SENT].max, 250);
    CU_ASSERT_EQUAL(st->histograms[STAGE_SENT].min, 0);
    for (int i = 0; i < STAGE_COUNT; i++) {
        CU_ASSERT(strlen(stage_name((enum stage)i)) > 0);
        for (int other = 0; other < i; other++)
            CU_ASSERT(strcmp(stage_name((enum stage)i), stage_name((enum stage)other)) != 0);
    }
    reactor_free(r, st->histograms);
    reactor_free(r, st);
}
