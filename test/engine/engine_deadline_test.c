/* engine_deadline_test.c - writes that the disk keeps waiting: tickets come back by their deadline, once,
 * and the writes go on. The disk is held back by not submitting. */
#include "engine/engine.h"
#include "reactor/base/checksum.h"
#include "test/test.h"

enum { WRITES_MAX = 64, NEVER = 1 };

struct deadline_rig {
    struct reactor *reactor;
    struct engine *engine;
    bool holds;
    uint32_t returned;
    uint32_t returns[WRITES_MAX]; /* by write: how often its ticket came back */
    int results[WRITES_MAX];
    struct event progress;
};

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct deadline_rig *rig = owner;
    (void)times;
    rig->returned++;
    rig->returns[ticket->words[0]]++;
    rig->results[ticket->words[0]] = result;
    event_set(rig->reactor, &rig->progress, 0);
}

static void on_turn(void *context)
{
    struct deadline_rig *rig = context;
    if (rig->engine && !rig->holds)
        engine_submit(rig->engine);
}

static struct deadline_rig *rig_open(struct reactor *r)
{
    struct deadline_rig *rig = reactor_alloc_zeroed(r, sizeof *rig);
    char why[256] = "";
    ASSERT(rig);
    rig->reactor = r;
    rig->holds = true;
    struct engine_options options = {
        .directory = test_directory(),
        .vnode_bits = 0,
        .vnode_count = 1,
        .segment_bytes = 4 << 20,
        .on_durable = on_durable,
        .owner = rig,
    };
    ASSERT(engine_open(r, &options, &rig->engine, why, sizeof why) == 0);
    reactor_set_turn_hook(r, on_turn, rig);
    return rig;
}

static void rig_close(struct deadline_rig *rig)
{
    engine_close(rig->engine);
    reactor_set_turn_hook(rig->reactor, NULL, NULL);
    reactor_free(rig->reactor, rig);
}

static void rig_put(struct deadline_rig *rig, uint32_t n, uint64_t deadline_ns)
{
    struct record record = {
        .key = {.key = slice_of(&n, sizeof n)},
        .value = slice_of_string("value"),
        .version = {.clock = n + 1, .node = 1},
    };
    record.checksum = checksum_record(record.key.key, record.value);
    struct engine_ticket ticket = {.words = {n}, .deadline_ns = deadline_ns};
    rig->results[n] = NEVER;
    CU_ASSERT_EQUAL(engine_put(rig->engine, &record, &ticket), 0);
}

static void rig_await(struct deadline_rig *rig, uint32_t returned)
{
    rig->holds = false;
    while (rig->returned < returned) {
        event_init(&rig->progress);
        engine_submit(rig->engine);
        CU_ASSERT_EQUAL_FATAL(event_wait(rig->reactor, &rig->progress, EVENT_FOREVER), 0);
    }
}

static bool rig_has(struct deadline_rig *rig, uint32_t n)
{
    struct record_key key = {.key = slice_of(&n, sizeof n)};
    struct engine_key k;
    struct record record;
    engine_key_init(rig->engine, &k, &key);
    return engine_get(rig->engine, &k, 0, &record) == ENGINE_FOUND;
}

TEST_IN_REACTOR(engine_hands_late_tickets_back_once_and_applies_their_writes)
{
    struct deadline_rig *rig = rig_open(r);
    CU_ASSERT_EQUAL(engine_deadline_ns(rig->engine), UINT64_MAX);
    rig_put(rig, 0, 300);
    rig_put(rig, 1, 100);
    rig_put(rig, 2, 0);
    CU_ASSERT_EQUAL(engine_deadline_ns(rig->engine), 100);
    CU_ASSERT_FALSE(engine_expire(rig->engine, 99));
    CU_ASSERT_EQUAL(rig->returned, 0);
    CU_ASSERT(engine_expire(rig->engine, 100));
    CU_ASSERT_FALSE(engine_expire(rig->engine, 100));
    CU_ASSERT_EQUAL(rig->returned, 1);
    CU_ASSERT_EQUAL(rig->results[1], TORC_E_TIMEOUT);
    CU_ASSERT_EQUAL(engine_deadline_ns(rig->engine), 300);
    CU_ASSERT_FALSE(rig_has(rig, 1));
    rig_await(rig, 3);
    CU_ASSERT_EQUAL(engine_deadline_ns(rig->engine), UINT64_MAX);
    CU_ASSERT_EQUAL(rig->results[0], 0);
    CU_ASSERT_EQUAL(rig->results[2], 0);
    for (uint32_t n = 0; n < 3; n++) {
        CU_ASSERT_EQUAL(rig->returns[n], 1);
        CU_ASSERT(rig_has(rig, n));
    }
    rig_close(rig);
}

TEST_IN_REACTOR(engine_expires_writes_that_are_at_the_disk)
{
    struct deadline_rig *rig = rig_open(r);
    rig_put(rig, 0, 0);
    rig_await(rig, 1); /* the first log file is there */
    rig_put(rig, 1, 100);
    engine_submit(rig->engine); /* at the disk until this task waits */
    CU_ASSERT(engine_expire(rig->engine, 200));
    CU_ASSERT_EQUAL(rig->results[1], TORC_E_TIMEOUT);
    rig_put(rig, 2, 0);
    rig_await(rig, 3);
    CU_ASSERT_EQUAL(rig->returns[1], 1);
    CU_ASSERT_EQUAL(rig->results[1], TORC_E_TIMEOUT);
    CU_ASSERT(rig_has(rig, 1));
    rig_close(rig);
}

TEST_IN_REACTOR(engine_with_late_writes_refuses_rather_than_lets_wait)
{
    struct deadline_rig *rig = rig_open(r);
    uint8_t *value = reactor_alloc_zeroed(r, VALUE_BYTES_MAX);
    struct record record = {.value = slice_of(value, VALUE_BYTES_MAX),
                            .key = {.key = slice_of_string("key")}};
    record.checksum = checksum_record(record.key.key, record.value);
    struct engine_ticket ticket = {.words = {5}, .deadline_ns = 100};
    uint32_t count = 0;
    while (!engine_is_congested(rig->engine) && count < WRITES_MAX) {
        record.version = (struct version){.clock = ++count, .node = 1};
        CU_ASSERT_EQUAL(engine_put(rig->engine, &record, &ticket), 0);
    }
    CU_ASSERT(engine_is_congested(rig->engine));
    for (uint32_t i = 0; i < WRITES_MAX && engine_expire(rig->engine, 100); i++)
        ;
    CU_ASSERT_EQUAL(rig->returned, count);
    CU_ASSERT(engine_is_congested(rig->engine)); /* they were in a hurry: that says nothing of the disk */
    task_sleep(r, 1001 * 1000 * 1000);
    CU_ASSERT_FALSE(engine_is_congested(rig->engine));
    rig_put(rig, 0, 0);
    rig_await(rig, count + 1);
    CU_ASSERT_EQUAL(rig->results[0], 0);
    reactor_free(r, value);
    rig_close(rig);
}
