/* scrub_fault_test.c - what looks for damage reads past the page cache, and again when it could not.
 *
 * One shard with tables and value logs, that reads itself over and over in some seconds. */
#include "offline/check.h"
#include "test/sim/shard_trial.h"

enum { INTERVAL_MS = 1000 };
#define INTERVAL_NS (INTERVAL_MS * MS)

struct scrubbed {
    struct shard_trial shard;
    void (*then)(struct shard_trial *t);
};

static void fill_and_then(void *owner)
{
    struct scrubbed *s = owner;
    shard_trial_fill(&s->shard);
    s->then(&s->shard);
}

static void run(struct scrubbed *s, uint64_t seed, void (*then)(struct shard_trial *t))
{
    shard_trial_init(&s->shard, &(struct sim_world_options){.seed = seed});
    s->shard.owner = s;
    s->shard.scrub_interval_ms = INTERVAL_MS;
    s->then = then;
    shard_trial_run(&s->shard, fill_and_then);
}

/* ---- past the page cache ---- */

static void look_in_every_way(struct shard_trial *t)
{
    struct check check = {.reactor = t->r, .is_silent = true};
    task_sleep(t->r, 3 * INTERVAL_NS);
    CU_ASSERT(engine_counters(t->engine).scrub_passes > 1);
    CU_ASSERT_EQUAL(engine_accept_loss(t->engine), 0);
    shard_trial_close_engine(t);
    CU_ASSERT_EQUAL(check_shard(&check, "shard",
                                &(struct manifest_shard){.vnode_bits = 2, .vnode_count = TRIAL_VNODES}),
                    0);
    CU_ASSERT(check.problems == 0 && check.tables > 0 && check.value_bytes > 0);
}

/* What that has is as it was read once: the medium may have rotted since. */
TEST(what_looks_for_damage_reads_nothing_through_the_page_cache)
{
    struct scrubbed s;
    unsigned tables = 0, value_logs = 0;
    run(&s, 1, look_in_every_way);
    const struct sim_disk *disk = sim_node_disk(s.shard.node);
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        tables += strstr(file.path, "table-") != NULL;
        value_logs += strstr(file.path, "values-") != NULL;
        CU_ASSERT_EQUAL(file.buffered_reads, 0);
    }
    CU_ASSERT(tables > 0 && value_logs > 0);
    shard_trial_deinit(&s.shard);
}

/* ---- what could not be looked at ---- */

static void scrub_beside(struct shard_trial *t, enum sim_fault fault)
{
    struct sim_faults faults = {{0}};
    faults.per_million[fault] = 1000 * 1000;
    sim_world_set_faults(t->world, &faults);
    task_sleep(t->r, INTERVAL_NS); /* the pass that was begun ends */
    uint64_t before = engine_counters(t->engine).scrub_passes;
    task_sleep(t->r, 5 * INTERVAL_NS);
    CU_ASSERT(sim_fault_hits(t->world, fault) > 0);
    CU_ASSERT_EQUAL(engine_counters(t->engine).scrub_passes, before);
    sim_world_set_faults(t->world, &(struct sim_faults){{0}});
    task_sleep(t->r, 5 * INTERVAL_NS);
    CU_ASSERT(engine_counters(t->engine).scrub_passes > before + 1);
    CU_ASSERT_EQUAL(engine_counters(t->engine).scrub_damages, 0);
    shard_trial_close_engine(t);
}

static void scrub_without_descriptors(struct shard_trial *t)
{
    scrub_beside(t, SIM_NO_DESCRIPTORS);
}

static void scrub_without_memory_to_read(struct shard_trial *t)
{
    scrub_beside(t, SIM_NO_READ_MEMORY);
}

TEST(scrub_does_not_count_a_pass_in_which_it_could_open_nothing)
{
    struct scrubbed s;
    run(&s, 2, scrub_without_descriptors);
    shard_trial_deinit(&s.shard);
}

TEST(scrub_tells_of_no_damage_where_there_is_no_memory_to_read)
{
    struct scrubbed s;
    run(&s, 3, scrub_without_memory_to_read);
    shard_trial_deinit(&s.shard);
}
