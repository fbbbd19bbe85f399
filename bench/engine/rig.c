/* rig.c - one engine of one core for the harnesses. */
#include "bench/engine/rig.h"

#include <stdio.h>
#include <stdlib.h>

/* Long enough for a flush on a slow disk, short enough that a harness which hangs is noticed. */
enum { POLL_NS = 200 * 1000, POLLS_MAX = 5 * 60 * 5000, SETTLED_POLLS = 100 };

void rig_check(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, error_sentence(rc));
    exit(2);
}

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct rig *rig = owner;
    (void)ticket, (void)times;
    rig_check(result, "a put was not durable");
    if (++rig->returned_count == rig->put_count)
        event_set(rig->reactor, &rig->progress, 0);
}

static void on_room(void *owner)
{
    struct rig *rig = owner;
    event_set(rig->reactor, &rig->progress, 0);
}

static void on_event(void *owner, const char *event, const char *text)
{
    (void)owner;
    fprintf(stderr, "%s: %s\n", event, text);
}

static void on_turn(void *context)
{
    struct rig *rig = context;
    if (rig->engine)
        engine_submit(rig->engine);
}

void rig_open(struct rig *rig, struct reactor *r)
{
    char why[256] = "";
    rig->reactor = r;
    rig->options.vnode_bits = SAMPLE_VNODE_BITS;
    rig->options.vnode_count = 1 << SAMPLE_VNODE_BITS;
    rig->options.on_durable = on_durable;
    rig->options.on_room = on_room;
    rig->options.on_event = on_event;
    rig->options.owner = rig;
    event_init(&rig->progress);
    int rc = engine_open(r, &rig->options, &rig->engine, why, sizeof why);
    rig_check(rc, why[0] ? why : "engine_open");
    reactor_set_turn_hook(r, on_turn, rig);
}

void rig_close(struct rig *rig)
{
    engine_close(rig->engine);
    rig->engine = NULL;
    reactor_set_turn_hook(rig->reactor, NULL, NULL);
}

static void wait_a_little(struct rig *rig)
{
    event_init(&rig->progress);
    int rc = event_wait(rig->reactor, &rig->progress, POLL_NS);
    ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
}

void rig_put(struct rig *rig, const struct record *record)
{
    struct engine_ticket ticket = {{0}, 0, 0};
    rig->put_count++;
    int rc = engine_put(rig->engine, record, &ticket);
    for (int i = 0; rc == TORC_E_OVERLOADED && i < POLLS_MAX; i++) {
        wait_a_little(rig);
        rc = engine_put(rig->engine, record, &ticket);
    }
    rig_check(rc, "engine_put");
}

void rig_await(struct rig *rig)
{
    for (int i = 0; rig->returned_count < rig->put_count && i < POLLS_MAX; i++)
        wait_a_little(rig);
    ASSERT(rig->returned_count == rig->put_count);
}

void rig_fill(struct rig *rig, uint64_t first, uint64_t count)
{
    struct sample_memory *memory = reactor_alloc(rig->reactor, sizeof *memory);
    ASSERT(memory);
    for (uint64_t i = first; i < first + count; i++) {
        struct record record = sample_record(&rig->sample, i, rig->put_count + 1, memory);
        rig_put(rig, &record);
        task_yield_if_due(rig->reactor);
    }
    reactor_free(rig->reactor, memory);
    rig_await(rig);
}

void rig_flush(struct rig *rig)
{
    struct engine *e = rig->engine;
    rig_await(rig);
    for (int i = 0; e->frozen_count >= FROZEN_KEPT_MAX && i < POLLS_MAX; i++)
        wait_a_little(rig);
    if (memtable_entries(e->active) > 0)
        rig_check(engine_freeze(e, e->last_sequence, wal_bytes(e->wal)), "engine_freeze");
    engine_wake_flush(e);
    for (int i = 0; e->frozen_count > 0 && i < POLLS_MAX; i++)
        wait_a_little(rig);
    ASSERT(e->frozen_count == 0);
}

void rig_settle(struct rig *rig)
{
    struct engine *e = rig->engine;
    int still = 0;
    for (int i = 0; still < SETTLED_POLLS && i < POLLS_MAX; i++) {
        wait_a_little(rig);
        bool is_busy = e->is_flushing || e->is_compacting || e->is_burying;
        still = is_busy || !e->is_idle ? 0 : still + 1; /* idle: what waits for that has begun */
    }
    rig_check(still == SETTLED_POLLS ? 0 : TORC_E_TIMEOUT, "there is always something to merge");
}

bool rig_get_wait(struct rig *rig, const struct engine_key *k)
{
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    uint64_t now_ms = reactor_wall_ms(rig->reactor);
    struct engine_key key = *k;
    int answer = engine_get(rig->engine, &key, now_ms, &record);
    if (answer == ENGINE_WAITS)
        answer = engine_get_wait(rig->engine, &key, now_ms, &record, &hold);
    rig_check(answer, "engine_get");
    engine_release(rig->engine, &hold);
    return answer == ENGINE_FOUND;
}

void rig_get_any(struct rig *rig, struct random *random, uint64_t records)
{
    uint8_t memory[SAMPLE_KEY_BYTES_MAX];
    struct record_key key = sample_key(&rig->sample, random_below(random, records), memory);
    struct engine_key k;
    engine_key_init(rig->engine, &k, &key);
    bool is_found = rig_get_wait(rig, &k);
    ASSERT(is_found);
}
