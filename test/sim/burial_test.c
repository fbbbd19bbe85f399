/* burial_test.c - files of replaced tables go, also when no task was free as their last reader left. */
#include "engine/engine_internal.h"
#include "test/engine/engine_rig.h"

enum { WRITES = 6000, REST_S = 60, LOOKS_S = 11 /* two looks whether anything is written */ };

static const uint64_t SECOND_NS = UINT64_C(1000000000);

struct crowd {
    bool must_go;
    unsigned count;
};

static void stand(struct reactor *r, void *context)
{
    struct crowd *crowd = context;
    while (!crowd->must_go)
        task_sleep(r, SECOND_NS);
    crowd->count--;
}

TEST_IN_REACTOR(replaced_tables_are_removed_when_no_task_was_free_for_it)
{
    struct engine_rig *rig = engine_rig_make();
    struct rig_mix mix = {.keys = RIG_KEYS, .value_bytes_end = 500, .deleting_one_in = 10};
    struct crowd crowd = {.count = 0};
    engine_rig_open(rig, r);
    engine_rig_put_mix(rig, &mix, WRITES);
    struct engine *e = rig->engine;
    struct table_set *read = e->tables;
    table_set_hold(read);
    engine_rig_put_mix(rig, &mix, WRITES);
    engine_rig_await(rig);
    task_sleep(r, REST_S * SECOND_NS);
    CU_ASSERT_FATAL(read != e->tables && !e->is_compacting && !e->is_flushing);
    CU_ASSERT(list_is_empty(&e->graveyard));
    while (task_spawn(r, stand, &crowd) == 0)
        crowd.count++;
    table_set_release(read);
    CU_ASSERT(!list_is_empty(&e->graveyard));
    crowd.must_go = true;
    task_sleep(r, LOOKS_S * SECOND_NS);
    CU_ASSERT_EQUAL(crowd.count, 0);
    CU_ASSERT(list_is_empty(&e->graveyard));
    engine_rig_close(rig);
    engine_rig_free(rig);
}
