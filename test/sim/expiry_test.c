/* expiry_test.c - what has expired leaves the disk though nothing is written any more. */
#include "engine/compaction.h"
#include "test/engine/engine_rig.h"

enum { VALUE_BYTES = 500, LIFE_S = 600, REST_S = 60, LARGE = 128 << 10, SMALL = 32 << 10 };

static void sleep_s(struct reactor *r, uint64_t seconds)
{
    task_sleep(r, seconds * UINT64_C(1000000000));
}

/* One key in `one_in` expires. All of them are in the bottom then. */
static struct engine_rig *begin(struct reactor *r, uint32_t one_in, uint32_t table_bytes_max)
{
    struct engine_rig *rig = engine_rig_make();
    rig->options.table_bytes_max = table_bytes_max;
    engine_rig_open(rig, r);
    uint64_t expiry_ms = engine_rig_now_ms(rig) + UINT64_C(1000) * LIFE_S;
    for (uint32_t key = 0; key < RIG_KEYS; key++) {
        struct rig_put p = {.key = key, .value_bytes = VALUE_BYTES};
        if (key % one_in == 0) {
            p.flags = RECORD_EXPIRING;
            p.expiry_ms = expiry_ms;
        }
        engine_rig_put(rig, &p);
    }
    engine_rig_await(rig);
    sleep_s(r, REST_S);
    CU_ASSERT_EQUAL_FATAL(rig->engine->tables->run_count, 1);
    CU_ASSERT_FATAL(engine_rig_now_ms(rig) < expiry_ms);
    return rig;
}

static void end(struct engine_rig *rig)
{
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static uint64_t expiring(const struct engine_rig *rig)
{
    uint64_t entries = 0;
    for (uint32_t i = 0; i < rig->engine->tables->count; i++)
        entries += table_summary(rig->engine->tables->tables[i]->table)->expiring;
    return entries;
}

TEST_IN_REACTOR(expired_records_leave_tables_that_nothing_is_written_to)
{
    struct engine_rig *rig = begin(r, 2, LARGE);
    uint64_t bytes = engine_counters(rig->engine).table_bytes;
    uint32_t tables = rig->engine->tables->count;
    CU_ASSERT(expiring(rig) > RIG_KEYS / 4); /* the rest is in the memtable */
    sleep_s(r, LIFE_S);
    struct engine_counters after = engine_counters(rig->engine);
    CU_ASSERT_EQUAL(expiring(rig), 0);
    CU_ASSERT(after.table_bytes < bytes * 3 / 4);
    CU_ASSERT(after.expired_merges > 0);
    CU_ASSERT(after.expired_merges <= tables); /* each is merged once for it */
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    end(rig);
}

/* A start must know what the life before has known of its tables. */
TEST_IN_REACTOR(expired_records_leave_tables_after_a_restart)
{
    struct engine_rig *rig = begin(r, 2, LARGE);
    engine_rig_reopen(rig);
    CU_ASSERT(expiring(rig) > 0);
    sleep_s(r, LIFE_S);
    CU_ASSERT_EQUAL(expiring(rig), 0);
    end(rig);
}

TEST_IN_REACTOR(few_expired_records_are_left_where_they_are)
{
    struct engine_rig *rig = begin(r, 10, LARGE);
    struct engine_counters before = engine_counters(rig->engine);
    sleep_s(r, LIFE_S);
    struct engine_counters after = engine_counters(rig->engine);
    CU_ASSERT(expiring(rig) > 0);
    CU_ASSERT_EQUAL(after.expired_merges, 0);
    CU_ASSERT_EQUAL(after.compactions, before.compactions);
    end(rig);
}

/* A round of many fragments, and more to merge behind it: what makes room does not wait for that. */
TEST_IN_REACTOR(expired_records_leave_the_bottom_while_more_is_due)
{
    struct engine_rig *rig = begin(r, 2, SMALL);
    struct engine *e = rig->engine;
    e->is_compacting = true; /* it waits until all is there */
    for (uint32_t key = 0; key < RIG_KEYS / 2; key++)
        engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = VALUE_BYTES});
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_flush(e), 0);
    sleep_s(r, LIFE_S);
    e->is_compacting = false;
    CU_ASSERT_FATAL(round_is_due(e));
    CU_ASSERT_EQUAL_FATAL(engine_counters(e).expired_merges, 0);
    e->is_idle = false;
    engine_wake_compaction(e);
    for (int i = 0; engine_counters(e).expired_merges == 0 && i < 20000; i++)
        task_sleep(r, 100000);
    CU_ASSERT(engine_counters(e).expired_merges > 0);
    CU_ASSERT(compaction_upper_bytes(e) >= compaction_trigger_bytes(e));
    end(rig);
}
