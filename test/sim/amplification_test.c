/* amplification_test.c - what merging costs: bytes written for a byte put, bytes kept for a byte that lives,
 * and how long a put waits. In virtual time, so the figures are the same in every run; a little of them hangs
 * on what ran before on the same disk. */
#include "engine/compaction.h"
#include "test/engine/engine_rig.h"

enum {
    VALUE_BYTES = 1000,
    OVERWRITES = 20, /* of the whole key space */
    IN_FLIGHT = 8,
    MS = 1000000,
    SETTLE_NS_MAX = 60,
    PRICE_BURST = 50, /* bytes of merging for one written; rounds cost five */
};

struct trial {
    struct engine_rig *rig;
    uint64_t put_bytes;
    uint64_t wait_max_ns; /* of a batch of puts */
    double triggers_max;  /* in upper runs */
    double price;         /* of merging, seen last */
    uint32_t prices;      /* seen, and of them those that are a burst */
    uint32_t bursts;
};

static void put_batch(struct trial *t, bool is_random, uint32_t first)
{
    struct reactor *r = t->rig->reactor;
    uint64_t begun_ns = reactor_clock_ns(r);
    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
        uint32_t key = is_random ? (uint32_t)engine_rig_random(t->rig, RIG_KEYS) : (first + i) % RIG_KEYS;
        engine_rig_put(t->rig, &(struct rig_put){.key = key, .value_bytes = VALUE_BYTES});
    }
    engine_rig_await(t->rig);
    uint64_t took_ns = reactor_clock_ns(r) - begun_ns;
    t->wait_max_ns = took_ns > t->wait_max_ns ? took_ns : t->wait_max_ns;
}

static void put_large(struct trial *t, uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(t->rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
    if (key % IN_FLIGHT == 0)
        engine_rig_await(t->rig);
}

static struct engine_rig *make_rig(struct reactor *r)
{
    struct engine_rig *rig = engine_rig_make();
    rig->options.memtable_bytes = 96 << 10;
    rig->options.value_bytes_max = 4096;
    rig->options.table_bytes_max = 256 << 10;
    rig->options.cache_bytes = 1 << 20;
    rig->options.value_log_bytes_min = UINT32_MAX;
    engine_rig_open(rig, r);
    return rig;
}

/* Until merges have nothing left to do; idle ones begin when nothing was written for some seconds. */
static void settle(struct trial *t)
{
    for (unsigned i = 0; i < SETTLE_NS_MAX; i++)
        task_sleep(t->rig->reactor, UINT64_C(1000) * MS);
}

TEST_IN_REACTOR(twenty_overwrites_cost_seven_writes_a_byte_and_a_third_of_space)
{
    struct trial t = {.rig = make_rig(r)};
    for (uint32_t first = 0; first < RIG_KEYS; first += IN_FLIGHT)
        put_batch(&t, false, first);
    struct engine_counters before = engine_counters(t.rig->engine);
    double busy_bytes = 0; /* on the average: it goes up and down with the fragment in the making */
    for (uint32_t i = 0; i < OVERWRITES; i++) {
        for (uint32_t k = 0; k < RIG_KEYS / IN_FLIGHT; k++)
            put_batch(&t, true, 0);
        busy_bytes += (double)engine_counters(t.rig->engine).table_bytes / OVERWRITES;
    }
    struct engine_counters after = engine_counters(t.rig->engine);
    double user = (double)(after.user_bytes - before.user_bytes);
    double written = (double)(after.flushed_bytes + after.compacted_bytes) -
                     (double)(before.flushed_bytes + before.compacted_bytes);
    settle(&t);
    struct engine_counters end = engine_counters(t.rig->engine);
    double live = (double)RIG_KEYS * (VALUE_BYTES + 50); /* an entry has a header and a key */
    CU_ASSERT(written / user < 7.5);
    CU_ASSERT((double)end.table_bytes < 1.3 * live);
    CU_ASSERT(busy_bytes < 1.55 * live);
    CU_ASSERT(after.write_delays > 0);
    CU_ASSERT(t.wait_max_ns < UINT64_C(50) * MS); /* slowed, never stopped */
    CU_ASSERT(engine_rig_check_all(t.rig));
    engine_rig_close(t.rig);
    engine_rig_free(t.rig);
}

static void look(struct trial *t)
{
    const struct engine *e = t->rig->engine;
    double triggers = (double)compaction_upper_bytes(e) / (double)compaction_trigger_bytes(e);
    t->triggers_max = triggers > t->triggers_max ? triggers : t->triggers_max;
    if (e->pace.price == t->price)
        return;
    t->price = e->pace.price;
    t->prices++;
    t->bursts += t->price > PRICE_BURST;
}

/* So many values in random order, at no more than 1 MB a second. */
static void put_steadily(struct trial *t, uint32_t count, uint32_t value_bytes)
{
    struct engine_rig *rig = t->rig;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t key = (uint32_t)engine_rig_random(rig, RIG_KEYS);
        engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
        if (i % IN_FLIGHT == 0) {
            engine_rig_await(rig);
            task_sleep(rig->reactor, 16 * MS);
            look(t);
        }
    }
}

/* A fragment reads twice the bytes that its files have, and most begin and end in the midst of all upper
 * tables. Nothing but writes pays, so merges fall behind for good if these pay too little; and all are paid
 * for alike, though a stretch that takes in next to nothing may be merged at once. */
TEST_IN_REACTOR(writes_alone_pay_evenly_for_merges_of_compressed_tables)
{
    enum { HALF_FLAT = 2000 };
    struct trial t = {.rig = engine_rig_make()};
    t.rig->has_flat_values = true;
    t.rig->options.compresses_merges = true;
    t.rig->options.idle_merge_rate = 1;
    t.rig->options.memtable_bytes = 512 << 10;
    t.rig->options.value_log_bytes_min = UINT32_MAX;
    engine_rig_open(t.rig, r);
    put_steadily(&t, 2 * RIG_KEYS, HALF_FLAT);
    t.triggers_max = 0;
    t.prices = t.bursts = 0;
    put_steadily(&t, 3 * RIG_KEYS, HALF_FLAT);
    CU_ASSERT(t.triggers_max < 1.6);
    CU_ASSERT(t.prices > 50);
    CU_ASSERT(t.bursts * 10 < t.prices);
    CU_ASSERT(engine_rig_check_all(t.rig));
    engine_rig_close(t.rig);
    engine_rig_free(t.rig);
}

/* Where most of a record is in a value log rounds are short, so garbage is found soon, and space stays near
 * what lives while writers write as fast as they may. */
TEST_IN_REACTOR(overwrites_of_values_in_value_logs_keep_to_their_space)
{
    enum { KEYS = 1500, LARGE = 4000, SAMPLES = 16 };
    struct trial t = {.rig = engine_rig_make()};
    t.rig->options.memtable_bytes = 96 << 10;
    t.rig->options.table_bytes_max = 256 << 10;
    t.rig->options.value_log_bytes_min = 2000;
    engine_rig_open(t.rig, r);
    for (uint32_t key = 0; key < KEYS; key++)
        put_large(&t, key, LARGE);
    struct engine_counters before = engine_counters(t.rig->engine);
    double live = (double)KEYS * LARGE, held = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        for (uint32_t k = 0; k < OVERWRITES * KEYS / SAMPLES; k++)
            put_large(&t, (uint32_t)engine_rig_random(t.rig, KEYS), LARGE);
        struct engine_counters c = engine_counters(t.rig->engine);
        held += (double)(c.value_bytes + c.table_bytes) / SAMPLES;
    }
    struct engine_counters after = engine_counters(t.rig->engine);
    double user = (double)(after.user_bytes - before.user_bytes);
    double written = (double)(after.flushed_bytes + after.compacted_bytes + after.value_bytes_written) -
                     (double)(before.flushed_bytes + before.compacted_bytes + before.value_bytes_written);
    CU_ASSERT(held < 1.35 * live);
    CU_ASSERT(written / user < 6);
    CU_ASSERT(engine_rig_check_all(t.rig));
    engine_rig_close(t.rig);
    engine_rig_free(t.rig);
}
