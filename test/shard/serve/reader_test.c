/* reader_test.c - who is slow, and who is in the way of others. */
#include "shard/serve/reader.h"
#include "test/test.h"

enum { HELD = 64 << 20, TIME_MS = 8000, WINDOW_S = TIME_MS / 1000 / READER_LOOKS };

static const uint64_t SECOND_NS = 1000000000ull;

/* Looks once a second at a reader that takes so much in each. */
static void look_on(struct reader_pace *p, struct reader_look *look, uint64_t taken_bytes, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        look->now_ns += SECOND_NS;
        look->taken_bytes += taken_bytes;
        look->held_bytes -= (uint32_t)taken_bytes;
        reader_look(p, look, TIME_MS);
    }
}

TEST(reader_is_slow_below_what_takes_all_in_the_time_to_write)
{
    struct reader_pace p = {.is_slow = false};
    struct reader_look look = {.now_ns = 5 * SECOND_NS, .taken_bytes = 7 << 20, .held_bytes = HELD};
    reader_look(&p, &look, TIME_MS);
    CU_ASSERT_FALSE(p.is_slow);
    look_on(&p, &look, HELD * 1000ull / TIME_MS, WINDOW_S);
    CU_ASSERT_FALSE(p.is_slow);
    look_on(&p, &look, look.held_bytes * 1000ull / TIME_MS - 1, WINDOW_S);
    CU_ASSERT(p.is_slow);
    look_on(&p, &look, look.held_bytes, WINDOW_S); /* the rest: it was never too late */
    CU_ASSERT_FALSE(p.is_slow);
}

TEST(reader_counts_over_its_whole_time_and_not_by_the_look)
{
    struct reader_pace p = {.is_slow = false};
    struct reader_look look = {.now_ns = SECOND_NS, .held_bytes = HELD};
    uint64_t minute_ms = 64000;
    reader_look(&p, &look, minute_ms);
    for (unsigned i = 0; i < minute_ms / 1000 / READER_LOOKS; i++) { /* all of it in the last second */
        look.now_ns += SECOND_NS;
        look.taken_bytes += i == minute_ms / 1000 / READER_LOOKS - 1 ? HELD / READER_LOOKS : 0;
        reader_look(&p, &look, minute_ms);
        CU_ASSERT_FALSE(p.is_slow);
    }
}

TEST(reader_of_a_reader_that_was_not_looked_at_for_long_asks_for_no_more_than_it_held)
{
    struct reader_pace p = {.is_slow = false};
    struct reader_look look = {.now_ns = SECOND_NS, .held_bytes = HELD};
    reader_look(&p, &look, TIME_MS);
    look.now_ns += 100 * SECOND_NS;
    look.taken_bytes = HELD;
    reader_look(&p, &look, TIME_MS);
    CU_ASSERT_FALSE(p.is_slow);
}

TEST(reader_has_a_time_where_there_is_none_to_write)
{
    struct reader_pace p = {.is_slow = false};
    struct reader_look look = {.now_ns = 100 * SECOND_NS, .held_bytes = HELD};
    reader_look(&p, &look, 0);
    look.now_ns += READER_TIME_MS / READER_LOOKS * 1000000ull;
    look.taken_bytes = 1000;
    reader_look(&p, &look, 0);
    CU_ASSERT(p.is_slow);
}

TEST(crowd_lets_the_largest_slow_ones_go_and_no_more_of_them_than_it_takes)
{
    struct reader_crowd c = {.is_over = false};
    struct reader_pace slow = {.is_slow = true}, fast = {.is_slow = false};
    reader_begin_sweep(&c, true);
    reader_see(&c, 1000);
    reader_see(&c, HELD);
    reader_see(&c, 2000);
    CU_ASSERT_FALSE(reader_is_in_the_way(&c, &slow, HELD, 1)); /* not for a whole sweep yet */
    reader_begin_sweep(&c, true);
    CU_ASSERT(reader_is_in_the_way(&c, &slow, HELD, 1));
    CU_ASSERT(reader_is_in_the_way(&c, &slow, HELD / 2, 1));
    CU_ASSERT_FALSE(reader_is_in_the_way(&c, &slow, HELD / 2 - 1, 1));
    CU_ASSERT_FALSE(reader_is_in_the_way(&c, &fast, HELD, 1));
    CU_ASSERT_FALSE(reader_is_in_the_way(&c, &slow, HELD, 0));
    c.closed_bytes = HELD;
    CU_ASSERT_FALSE(reader_is_in_the_way(&c, &slow, HELD, HELD));
    CU_ASSERT(reader_is_in_the_way(&c, &slow, HELD, HELD + 1));
    reader_begin_sweep(&c, true); /* the others are small */
    CU_ASSERT(c.closed_bytes == 0 && reader_is_in_the_way(&c, &slow, 1, 1));
    CU_ASSERT_FALSE(reader_is_in_the_way(&c, &slow, 0, 1));
    reader_begin_sweep(&c, false);
    CU_ASSERT_FALSE(reader_is_in_the_way(&c, &slow, HELD, 1));
}
