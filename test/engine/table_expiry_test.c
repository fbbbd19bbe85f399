/* table_expiry_test.c - when a table is worth a merge for what has expired in it. */
#include "engine/table_expiry.h"
#include "test/test.h"

static void add(struct table_expiry *x, uint64_t expiry_ms)
{
    table_expiry_add(x, &(struct record){.flags = expiry_ms ? RECORD_EXPIRING : 0, .expiry_ms = expiry_ms});
}

/* Of a table with these records, 0: without an expiry, that is written at `now_ms`. */
static uint64_t due(uint64_t now_ms, const uint64_t *expiries_ms, uint32_t count)
{
    struct table_expiry x;
    table_expiry_init(&x, now_ms);
    for (uint32_t i = 0; i < count; i++)
        add(&x, expiries_ms[i]);
    return table_expiry_due(&x);
}

TEST(table_is_due_when_a_quarter_of_it_has_expired)
{
    static const uint64_t records_ms[] = {0, 70, 60, 0, 50};
    CU_ASSERT_EQUAL(due(5, records_ms, 0), 0); /* there is nothing in it */
    CU_ASSERT_EQUAL(due(5, records_ms, 1), 0);
    CU_ASSERT_EQUAL(due(5, records_ms, 2), 70);
    CU_ASSERT_EQUAL(due(5, records_ms, 4), 60);
    CU_ASSERT_EQUAL(due(5, records_ms, 5), 60); /* two of five */
}

TEST(table_is_never_due_for_less_than_a_quarter)
{
    struct table_expiry x;
    table_expiry_init(&x, 5);
    for (uint64_t i = 0; i < 100000; i++)
        add(&x, i % 5 == 0 ? 60 : 0);
    CU_ASSERT_EQUAL(table_expiry_due(&x), 0);
}

/* As where each user has a profile that stays and a session that does not. */
static void add_users(struct table_expiry *x, uint64_t keys_of_one, bool is_first_half_lasting)
{
    table_expiry_init(x, 5);
    for (uint64_t i = 0; i < 100000; i++) {
        bool is_first_half = i % keys_of_one < keys_of_one / 2;
        add(x, is_first_half == is_first_half_lasting ? 0 : 60);
    }
}

TEST(table_of_keys_with_a_period_is_due_for_what_expires_of_them)
{
    for (uint64_t keys_of_one = 2; keys_of_one <= 64; keys_of_one *= 2)
        for (int is_first_half_lasting = 0; is_first_half_lasting < 2; is_first_half_lasting++) {
            struct table_expiry x;
            add_users(&x, keys_of_one, is_first_half_lasting);
            CU_ASSERT_EQUAL(table_expiry_due(&x), 60);
        }
}

/* What a merge has kept for what it hides would be kept by the next one, too. */
TEST(table_is_not_due_for_what_had_expired_when_it_was_written)
{
    static const uint64_t records_ms[] = {59, 60, 61};
    CU_ASSERT_EQUAL(due(60, records_ms, 2), 0);
    CU_ASSERT_EQUAL(due(60, records_ms, 3), 61);
}

TEST(sample_of_a_large_table_is_spread_over_all_of_it)
{
    for (uint64_t count = 1; count < 300000; count = count * 3 + 1) {
        struct table_expiry x;
        table_expiry_init(&x, 0);
        for (uint64_t i = 0; i < count; i++)
            add(&x, 1 + i);
        CU_ASSERT(x.count >= TABLE_EXPIRY_SAMPLES / 2 || x.count == count);
        CU_ASSERT(x.count <= TABLE_EXPIRY_SAMPLES);
        uint64_t due_ms = table_expiry_due(&x), step = count / (TABLE_EXPIRY_SAMPLES / 2) + 1;
        CU_ASSERT(due_ms >= count / TABLE_EXPIRY_SHARE - (step < count / 4 ? step : count / 4));
        CU_ASSERT(due_ms <= count / TABLE_EXPIRY_SHARE + step + 1);
    }
}
