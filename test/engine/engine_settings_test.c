/* engine_settings_test.c - an engine with the smallest settings: log files of a few records, memtables and
 * tables of a few blocks, one log write at a time. */
#include "engine/build.h"
#include "engine/wal_format.h"
#include "test/engine/engine_rig.h"

#include <stdlib.h>

static struct engine_rig *rig; /* of the test that runs */

static void set_smallest(uint32_t value_bytes_max)
{
    rig->options.memtable_bytes = 8 << 10;
    rig->options.table_bytes_max = 8 << 10;
    rig->options.segment_bytes = WAL_SEGMENT_BYTES_MIN;
    rig->options.log_bytes_max = 256 << 10;
    rig->options.value_bytes_max = value_bytes_max;
    rig->options.log_writes_in_flight = 1;
}

static void put_many(uint32_t count, uint32_t value_bytes_max)
{
    for (uint32_t i = 0; i < count; i++) {
        engine_rig_put(rig, &(struct rig_put){
                                .key = (uint32_t)engine_rig_random(rig, RIG_KEYS),
                                .value_bytes = (uint32_t)engine_rig_random(rig, value_bytes_max + 1),
                                .flags = engine_rig_random(rig, 10) == 0 ? RECORD_TOMBSTONE : 0,
                            });
        if (i % 16 == 0)
            engine_rig_await(rig);
    }
    engine_rig_await(rig);
}

TEST_IN_REACTOR(engine_works_with_the_smallest_settings)
{
    enum { VALUE_BYTES = 500 };
    rig = engine_rig_make();
    set_smallest(VALUE_BYTES);
    for (int life = 0; life < 3; life++) {
        engine_rig_open(rig, r);
        put_many(1000, VALUE_BYTES);
        CU_ASSERT(engine_rig_check_all(rig));
        CU_ASSERT(engine_rig_check_scan(rig));
        CU_ASSERT(engine_counters(rig->engine).flushes > 10);
        engine_rig_close(rig);
    }
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_holds_the_largest_value_of_its_settings_in_the_smallest_log_file)
{
    enum { VALUE_BYTES = 48 << 10 };
    rig = engine_rig_make();
    set_smallest(VALUE_BYTES);
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 20; i++)
        engine_rig_put(rig, &(struct rig_put){.key = i, .value_bytes = VALUE_BYTES});
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_takes_what_larger_settings_have_left)
{
    rig = engine_rig_make(); /* log files of 4 MiB, values of 1 MiB */
    engine_rig_open(rig, r);
    for (uint32_t i = 0; i < 9; i++)
        engine_rig_put(rig, &(struct rig_put){.key = i, .value_bytes = VALUE_BYTES_MAX});
    put_many(100, 3000);
    engine_rig_close(rig);
    set_smallest(200);
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    put_many(500, 200);
    engine_rig_settle(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(engine_makes_its_log_of_files_that_fit_its_memtable)
{
    static const struct {
        uint64_t memtable_bytes, log_bytes_max, segment_bytes; /* MiB */
    } cases[] = {{1, 512, 4}, {40, 512, 32}, {40, 16, 8}, {256, 1024, 64}};
    rig = engine_rig_make();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        rig->options.memtable_bytes = cases[i].memtable_bytes << 20;
        rig->options.log_bytes_max = cases[i].log_bytes_max << 20;
        rig->options.segment_bytes = 0;
        engine_rig_open(rig, r);
        CU_ASSERT_EQUAL(rig->engine->options.segment_bytes, cases[i].segment_bytes << 20);
        put_many(10, 1000);
        CU_ASSERT(engine_rig_check_all(rig));
        engine_rig_close(rig);
    }
    engine_rig_free(rig);
}

TEST(tables_of_a_bottom_are_a_small_part_of_it)
{
    static const uint64_t mib[][2] = {{0, 8}, {1024, 8}, {4096, 32}, {8192, 64}, {1 << 20, 64}};
    struct engine *e = calloc(1, sizeof *e);
    ASSERT(e);
    e->options.table_bytes_max = 64 << 20;
    for (size_t i = 0; i < ARRAY_COUNT(mib); i++)
        CU_ASSERT_EQUAL(build_table_bytes_of_bottom(e, mib[i][0] << 20), mib[i][1] << 20);
    e->options.table_bytes_max = 1 << 20;
    CU_ASSERT_EQUAL(build_table_bytes_of_bottom(e, 0), 1 << 20);
    free(e);
}
