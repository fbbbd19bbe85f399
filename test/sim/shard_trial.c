/* shard_trial.c - lives of a shard that its disk fails; see shard_trial.h. */
#include "test/sim/shard_trial.h"

#include "engine/entry.h"

#include <stdio.h>

enum { VALUE_BYTES = 200, LARGE_BYTES = 3000, LARGE_EACH = 10, WAITS_MAX = 2000 };
#define HOUR_NS (UINT64_C(3600) * 1000 * MS)

void shard_trial_init(struct shard_trial *t, const struct sim_world_options *options)
{
    *t = (struct shard_trial){.world = sim_world_new(options)};
    t->node = sim_node_new(t->world, "10.0.0.1", NULL);
}

void shard_trial_deinit(struct shard_trial *t)
{
    sim_world_free(t->world);
}

/* ---- in the life ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct shard_trial *t = owner;
    (void)ticket;
    (void)times;
    CU_ASSERT_EQUAL(result, 0);
    t->returned++;
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct shard_trial *t = owner;
    if (t->on_event)
        t->on_event(t->owner, event, text);
}

static void on_turn(void *context)
{
    struct shard_trial *t = context;
    if (t->engine)
        engine_submit(t->engine);
}

struct record_key shard_trial_key(uint32_t key, char text[TRIAL_TEXT_BYTES])
{
    int bytes = snprintf(text, TRIAL_TEXT_BYTES, "key-%03u", key);
    return (struct record_key){.vnode = (uint16_t)(key % TRIAL_VNODES), .key = slice_of(text, (size_t)bytes)};
}

void shard_trial_fill(struct shard_trial *t)
{
    static const uint8_t value[LARGE_BYTES];
    for (uint32_t key = 0; key < TRIAL_KEYS; key++) {
        char text[TRIAL_TEXT_BYTES];
        struct record record = {.key = shard_trial_key(key, text),
                                .version = {.clock = ++t->puts},
                                .value = slice_of(value, key % LARGE_EACH ? VALUE_BYTES : LARGE_BYTES)};
        record.checksum = entry_checksum(&record.key, record.value);
        int rc = engine_put(t->engine, &record, &(struct engine_ticket){.words = {key}});
        CU_ASSERT_EQUAL_FATAL(rc, 0);
        for (unsigned i = 0; t->returned < t->puts && i < WAITS_MAX; i++)
            task_sleep(t->r, MS / 10);
    }
    CU_ASSERT_EQUAL(engine_flush(t->engine), 0);
    task_sleep(t->r, 1000 * MS); /* what is merged is merged */
}

void shard_trial_close_engine(struct shard_trial *t)
{
    engine_close(t->engine);
    t->engine = NULL;
}

static int live(struct reactor *r, void *context)
{
    struct shard_trial *t = context;
    char why[256];
    struct engine_options options = {
        .directory = "shard",
        .vnode_bits = 2,
        .vnode_count = TRIAL_VNODES,
        .memtable_bytes = 64 << 10,
        .segment_bytes = 64 << 10,
        .table_bytes_max = 24 << 10,
        .value_bytes_max = LARGE_BYTES,
        .value_log_bytes_min = LARGE_BYTES,
        .scrub_interval_ms = t->scrub_interval_ms,
        .on_durable = on_durable,
        .on_event = on_event,
        .owner = t,
    };
    t->r = r;
    CU_ASSERT_EQUAL_FATAL(engine_open(r, &options, &t->engine, why, sizeof why), 0);
    reactor_set_turn_hook(r, on_turn, t);
    t->run(t->owner);
    if (t->engine)
        shard_trial_close_engine(t);
    t->is_over = true;
    reactor_set_turn_hook(r, NULL, NULL);
    reactor_stop(r);
    return 0;
}

/* ---- between lives ---- */

static bool is_down(void *context)
{
    const struct shard_trial *t = context;
    return !sim_node_is_up(t->node);
}

static void start(struct shard_trial *t, void (*run)(void *owner))
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    t->run = run;
    t->is_over = false;
    t->puts = t->returned = 0;
    sim_node_start(t->node, &options, live, t);
}

void shard_trial_run(struct shard_trial *t, void (*run)(void *owner))
{
    start(t, run);
    CU_ASSERT(sim_run(t->world, sim_now_ns(t->world) + HOUR_NS, is_down, t));
}

bool shard_trial_run_and_lose_power(struct shard_trial *t, void (*run)(void *owner), uint64_t after_ns)
{
    start(t, run);
    if (sim_run(t->world, sim_now_ns(t->world) + after_ns, is_down, t))
        return true;
    sim_node_kill(t->node, SIM_END_POWER);
    t->engine = NULL;
    return t->is_over;
}
