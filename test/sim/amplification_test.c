/* amplification_test.c - what merging costs: bytes written for a byte put, bytes kept for a byte that lives,
 * and how long a put waits. In virtual time, so the figures are the same in every run; a little of them hangs
 * on what ran before on the same disk. */
#include "test/engine/engine_rig.h"

enum {
    VALUE_BYTES = 1000,
    OVERWRITES = 20, /* of the whole key space */
    IN_FLIGHT = 8,
    MS = 1000000,
    SETTLE_NS_MAX = 60,
};

struct trial {
    struct engine_rig *rig;
    uint64_t put_bytes;
    uint64_t wait_max_ns; /* of a batch of puts */
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

TEST_IN_REACTOR(twenty_overwrites_cost_eight_writes_a_byte_and_a_third_of_space)
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
    CU_ASSERT(written / user < 8);
    CU_ASSERT((double)end.table_bytes < 1.3 * live);
    CU_ASSERT(busy_bytes < 1.55 * live);
    CU_ASSERT(after.write_delays > 0);
    CU_ASSERT(t.wait_max_ns < UINT64_C(50) * MS); /* slowed, never stopped */
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
    CU_ASSERT(held < 1.4 * live);
    CU_ASSERT(written / user < 6);
    CU_ASSERT(engine_rig_check_all(t.rig));
    engine_rig_close(t.rig);
    engine_rig_free(t.rig);
}
