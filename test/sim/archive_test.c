/* archive_test.c - the archive of the log on a file system that hangs while the shard is closed. */
#include "engine/engine.h"
#include "engine/entry.h"
#include "test/sim/disk_rig.h"

enum { SEEDS = 600, PUTS = 8, WAITS_MAX = 2000, DISK_BYTES = 16 << 20 };
#define MS UINT64_C(1000000)
#define PATIENCE_NS (500 * MS)
#define CLOSE_NS_MAX (PATIENCE_NS + 1500 * MS) /* the patience, and what a copy has to let go */

struct shard {
    struct engine *engine;
    unsigned durable;
    uint64_t patience_ns;
    unsigned late;    /* times it said that the archive is */
    unsigned awaited; /* times it said that it waits for it */
    unsigned ends[ENGINE_ARCHIVE_HANGING + 1];
};

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct shard *s = owner;
    (void)ticket, (void)times;
    s->durable += result == 0;
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct shard *s = owner;
    (void)text;
    s->late += strcmp(event, "archive_late") == 0;
    s->awaited += strcmp(event, "archive_awaited") == 0;
}

static void on_turn(void *context)
{
    struct shard *s = context;
    if (s->engine)
        engine_submit(s->engine);
}

static void open_shard(struct reactor *r, struct shard *s)
{
    char why[256];
    struct engine_options o = {
        .directory = "shard",
        .vnode_count = 1,
        .memtable_bytes = 1 << 20,
        .segment_bytes = 64 << 10,
        .cache_bytes = 64 << 10,
        .value_bytes_max = 4096,
        .archive = "archive",
        .archive_patience_ns = s->patience_ns,
        .on_durable = on_durable,
        .on_event = on_event,
        .owner = s,
    };
    s->durable = 0;
    CU_ASSERT_EQUAL_FATAL(engine_open(r, &o, &s->engine, why, sizeof why), 0);
    reactor_set_turn_hook(r, on_turn, s);
}

static void put_some(struct reactor *r, struct shard *s)
{
    uint64_t clock = engine_version_clock_max(s->engine);
    for (unsigned i = 0; i < PUTS; i++) {
        struct record record = {.key.key = slice_of_string("key"),
                                .version.clock = ++clock,
                                .value = slice_of_string("value")};
        record.checksum = entry_checksum(&record.key, record.value);
        CU_ASSERT_EQUAL(engine_put(s->engine, &record, &(struct engine_ticket){.words = {i}}), 0);
    }
    for (unsigned i = 0; s->durable < PUTS && i < WAITS_MAX; i++)
        task_sleep(r, MS);
    CU_ASSERT_EQUAL(s->durable, PUTS);
    task_sleep(r, 100 * MS); /* the watermark, the next file */
}

static void close_shard(struct reactor *r, struct shard *s)
{
    uint64_t begin_ns = reactor_now_ns(r);
    enum engine_archived archived = engine_close(s->engine);
    CU_ASSERT(s->patience_ns == 0 || reactor_now_ns(r) - begin_ns < CLOSE_NS_MAX);
    reactor_set_turn_hook(r, NULL, NULL);
    s->engine = NULL;
    s->ends[archived]++;
}

/* What is stuck by then stays so for seconds. */
static void end_fault(struct reactor *r, void *argument)
{
    task_sleep(r, 100 * MS);
    rig_set_fault(argument, SIM_FAULT_COUNT);
}

static void close_with_a_stuck_disk(struct reactor *r, struct rig *rig)
{
    struct shard *s = rig->context;
    open_shard(r, s);
    put_some(r, s);
    rig_set_fault(rig, SIM_STUCK_DISK);
    CU_ASSERT_EQUAL(task_spawn(r, end_fault, rig), 0);
    close_shard(r, s);
}

static void close_again(struct reactor *r, struct rig *rig)
{
    struct shard *s = rig->context;
    open_shard(r, s);
    close_shard(r, s);
}

TEST(archive_that_hangs_does_not_hold_up_the_end_and_gets_the_rest_from_the_next_start)
{
    struct shard s = {.patience_ns = PATIENCE_NS};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        sim_disk_set_capacity(rig.disk, DISK_BYTES);
        rig.context = &s;
        rig_run_and_stop(&rig, close_with_a_stuck_disk);
        unsigned archived = s.ends[ENGINE_ARCHIVED];
        rig_run_and_stop(&rig, close_again);
        CU_ASSERT_EQUAL(s.ends[ENGINE_ARCHIVED], archived + 1);
        rig_close(&rig);
    }
    CU_ASSERT_EQUAL(s.ends[ENGINE_ARCHIVED], SEEDS);
    CU_ASSERT(s.ends[ENGINE_ARCHIVE_HANGING] > 0 && s.ends[ENGINE_ARCHIVE_BEHIND] > 0);
    CU_ASSERT_EQUAL(s.late, SEEDS);
}

static void close_without_end_of_patience(struct reactor *r, struct rig *rig)
{
    struct shard *s = rig->context;
    uint64_t begin_ns = reactor_now_ns(r);
    unsigned awaited = s->awaited;
    close_with_a_stuck_disk(r, rig);
    bool is_long = reactor_now_ns(r) - begin_ns > 12000 * MS; /* ten seconds, and what came before */
    CU_ASSERT(s->awaited - awaited <= 1);
    CU_ASSERT(!is_long || s->awaited == awaited + 1);
}

TEST(who_waits_for_the_archive_without_end_is_told_so)
{
    struct shard s = {.patience_ns = 0};
    for (uint64_t seed = 1; seed <= SEEDS / 10; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        sim_disk_set_capacity(rig.disk, DISK_BYTES);
        rig.context = &s;
        rig_run_and_stop(&rig, close_without_end_of_patience);
        rig_close(&rig);
    }
    CU_ASSERT_EQUAL(s.ends[ENGINE_ARCHIVED], SEEDS / 10);
    CU_ASSERT_EQUAL(s.late, 0);
    CU_ASSERT(s.awaited > 0);
}
