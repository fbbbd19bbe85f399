/* shard_rig.c - the engine of one shard under test; see shard_rig.h. */
#include "test/engine/shard_rig.h"

#include "engine/entry.h"

#define DURABLE_NS_MAX UINT64_C(10000000000)

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct shard_rig *rig = owner;
    (void)ticket, (void)times;
    event_set(rig->reactor, &rig->durable, result);
}

static void on_turn(void *context)
{
    struct shard_rig *rig = context;
    if (rig->engine)
        engine_submit(rig->engine);
}

void shard_rig_open(struct shard_rig *rig, struct reactor *r, const struct engine_options *options)
{
    char why[256] = "";
    struct engine_options ours = *options;
    ours.on_durable = on_durable;
    ours.owner = rig;
    *rig = (struct shard_rig){.reactor = r};
    reactor_set_turn_hook(r, on_turn, rig);
    int rc = engine_open(r, &ours, &rig->engine, why, sizeof why);
    CU_ASSERT_STRING_EQUAL(why, "");
    CU_ASSERT_EQUAL_FATAL(rc, 0);
}

void shard_rig_close(struct shard_rig *rig)
{
    engine_close(rig->engine);
    rig->engine = NULL;
    reactor_set_turn_hook(rig->reactor, NULL, NULL);
}

void shard_rig_put(struct shard_rig *rig, const struct shard_put *put)
{
    uint8_t value[SHARD_RIG_VALUE_BYTES_MAX];
    ASSERT(put->value_bytes <= sizeof value);
    memset(value, put->fill, put->value_bytes);
    struct record record = {
        .key = put->key,
        .version = {.clock = put->clock, .node = 1},
        .flags = put->flags,
        .expiry_ms = put->expiry_ms,
        .value = slice_of(value, put->value_bytes),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    event_init(&rig->durable);
    CU_ASSERT_EQUAL_FATAL(engine_put(rig->engine, &record, &(struct engine_ticket){.words = {0}}), 0);
    CU_ASSERT_EQUAL_FATAL(event_wait(rig->reactor, &rig->durable, DURABLE_NS_MAX), 0);
}
