/* scrub_fault_test.c - what looks for damage reads past the page cache, and again when it could not.
 *
 * One shard with tables and value logs, that reads itself over and over in some seconds. */
#include "engine/engine.h"

#include "engine/entry.h"
#include "offline/check.h"
#include "reactor/sim/sim.h"
#include "test/engine/engine_rig.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    KEYS = 300,
    VNODES = 4,
    VALUE_BYTES = 200,
    LARGE_BYTES = 3000,
    LARGE_EACH = 10,
    WAITS_MAX = 2000,
    TEXT_BYTES = 256
};
#define MS UINT64_C(1000000)
#define INTERVAL_NS (1000 * MS)
#define HOUR_NS (UINT64_C(3600) * 1000 * MS)

struct life {
    struct sim_world *world;
    struct sim_node *node;
    struct reactor *r;
    struct engine *engine;
    void (*run)(struct life *l); /* Waits; with the engine open and full */
    uint32_t returned;
};

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct life *l = owner;
    (void)ticket;
    (void)times;
    CU_ASSERT_EQUAL(result, 0);
    l->returned++;
}

static void on_turn(void *context)
{
    struct life *l = context;
    if (l->engine)
        engine_submit(l->engine);
}

static void fill(struct life *l)
{
    static const uint8_t value[LARGE_BYTES];
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[TEXT_BYTES]; /* more than it needs */
        int bytes = snprintf(text, sizeof text, "key-%03u", i);
        struct record record = {
            .key = {.vnode = (uint16_t)(i % VNODES), .key = slice_of(text, (size_t)bytes)},
            .version = {.clock = i + 1},
            .value = slice_of(value, i % LARGE_EACH ? VALUE_BYTES : LARGE_BYTES),
        };
        record.checksum = entry_checksum(&record.key, record.value);
        int rc = engine_put(l->engine, &record, &(struct engine_ticket){.words = {i}});
        CU_ASSERT_EQUAL_FATAL(rc, 0);
        for (unsigned waits = 0; l->returned <= i && waits < WAITS_MAX; waits++)
            task_sleep(l->r, MS / 10);
    }
    CU_ASSERT_EQUAL(engine_flush(l->engine), 0);
    task_sleep(l->r, 1000 * MS); /* what is merged is merged */
}

static int live(struct reactor *r, void *context)
{
    struct life *l = context;
    char why[256];
    struct engine_options options = {
        .directory = "shard",
        .vnode_bits = 2,
        .vnode_count = VNODES,
        .memtable_bytes = 64 << 10,
        .segment_bytes = 64 << 10,
        .table_bytes_max = 24 << 10,
        .value_bytes_max = LARGE_BYTES,
        .value_log_bytes_min = LARGE_BYTES,
        .scrub_interval_ms = INTERVAL_NS / MS,
        .on_durable = on_durable,
        .owner = l,
    };
    l->r = r;
    CU_ASSERT_EQUAL_FATAL(engine_open(r, &options, &l->engine, why, sizeof why), 0);
    reactor_set_turn_hook(r, on_turn, l);
    fill(l);
    l->run(l);
    reactor_set_turn_hook(r, NULL, NULL);
    reactor_stop(r);
    return 0;
}

static bool is_down(void *context)
{
    const struct life *l = context;
    return !sim_node_is_up(l->node);
}

static void run(struct life *l, uint64_t seed, void (*what)(struct life *l))
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    *l = (struct life){.world = sim_world_new(&(struct sim_world_options){.seed = seed}), .run = what};
    l->node = sim_node_new(l->world, "10.0.0.1", NULL);
    sim_node_start(l->node, &options, live, l);
    CU_ASSERT(sim_run(l->world, sim_now_ns(l->world) + HOUR_NS, is_down, l));
}

static void close_engine(struct life *l)
{
    engine_close(l->engine);
    l->engine = NULL;
}

/* ---- past the page cache ---- */

static void look_in_every_way(struct life *l)
{
    struct check check = {.reactor = l->r, .is_silent = true};
    task_sleep(l->r, 3 * INTERVAL_NS);
    CU_ASSERT(engine_counters(l->engine).scrub_passes > 1);
    CU_ASSERT_EQUAL(engine_accept_loss(l->engine), 0);
    close_engine(l);
    CU_ASSERT_EQUAL(check_shard(&check, "shard",
                                &(struct manifest_shard){.vnode_bits = 2, .vnode_count = VNODES}),
                    0);
    CU_ASSERT(check.problems == 0 && check.tables > 0 && check.value_bytes > 0);
}

/* What that has is as it was read once: the medium may have rotted since. */
TEST(what_looks_for_damage_reads_nothing_through_the_page_cache)
{
    struct life l;
    unsigned tables = 0, value_logs = 0;
    run(&l, 1, look_in_every_way);
    const struct sim_disk *disk = sim_node_disk(l.node);
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        tables += strstr(file.path, "table-") != NULL;
        value_logs += strstr(file.path, "values-") != NULL;
        CU_ASSERT_EQUAL(file.buffered_reads, 0);
    }
    CU_ASSERT(tables > 0 && value_logs > 0);
    sim_world_free(l.world);
}

/* ---- what could not be looked at ---- */

static void scrub_without_descriptors(struct life *l)
{
    struct sim_faults faults = {.per_million[SIM_NO_DESCRIPTORS] = 1000 * 1000};
    sim_world_set_faults(l->world, &faults);
    task_sleep(l->r, INTERVAL_NS); /* the pass that was begun ends */
    uint64_t before = engine_counters(l->engine).scrub_passes;
    task_sleep(l->r, 5 * INTERVAL_NS);
    CU_ASSERT(sim_fault_hits(l->world, SIM_NO_DESCRIPTORS) > 0);
    CU_ASSERT_EQUAL(engine_counters(l->engine).scrub_passes, before);
    sim_world_set_faults(l->world, &(struct sim_faults){{0}});
    task_sleep(l->r, 5 * INTERVAL_NS);
    CU_ASSERT(engine_counters(l->engine).scrub_passes > before + 1);
    CU_ASSERT_EQUAL(engine_counters(l->engine).scrub_damages, 0);
    close_engine(l);
}

TEST(scrub_does_not_count_a_pass_in_which_it_could_open_nothing)
{
    struct life l;
    run(&l, 2, scrub_without_descriptors);
    sim_world_free(l.world);
}
