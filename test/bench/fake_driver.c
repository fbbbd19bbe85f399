/* fake_driver.c - a target in a time of its own. */
#include "test/bench/fake_driver.h"

#include "bench/load.h"

static int fake_send(struct driver *d, uint32_t slot, const struct driver_request *q)
{
    struct fake_driver *f = CONTAINER_OF(d, struct fake_driver, head);
    ASSERT(slot < FAKE_SLOTS_MAX && f->count < FAKE_SLOTS_MAX);
    ASSERT(q->key.bytes <= FAKE_KEY_BYTES_MAX && q->value.bytes <= FAKE_VALUE_BYTES_MAX);
    if (f->refused_sends > 0) {
        f->refused_sends--;
        return TORC_E_OVERLOADED;
    }
    struct fake_request *r = &f->requests[slot];
    r->op = q->op;
    r->key_bytes = q->key.bytes;
    memcpy(r->key, q->key.data, q->key.bytes);
    r->value_bytes = q->value.bytes;
    if (q->value.bytes)
        memcpy(r->value, q->value.data, q->value.bytes);
    uint64_t begin_ns = f->now_ns > f->busy_until_ns ? f->now_ns : f->busy_until_ns;
    if (begin_ns >= f->stall_begin_ns && begin_ns < f->stall_begin_ns + f->stall_ns)
        begin_ns = f->stall_begin_ns + f->stall_ns;
    f->busy_until_ns = r->done_ns = begin_ns + f->service_ns;
    f->sent++;
    if (slot != f->lost_slot)
        f->order[(f->first + f->count++) % FAKE_SLOTS_MAX] = slot;
    return 0;
}

static int fake_poll(struct driver *d, uint64_t timeout_ns)
{
    struct fake_driver *f = CONTAINER_OF(d, struct fake_driver, head);
    uint64_t end_ns = f->now_ns + (timeout_ns > 0 ? timeout_ns : 1000);
    if (f->count > 0 && f->requests[f->order[f->first]].done_ns < end_ns)
        end_ns = f->requests[f->order[f->first]].done_ns;
    f->now_ns = (end_ns > f->now_ns ? end_ns : f->now_ns) + f->poll_ns;
    while (f->count > 0 && f->requests[f->order[f->first]].done_ns <= f->now_ns) {
        uint32_t slot = f->order[f->first];
        f->first = (f->first + 1) % FAKE_SLOTS_MAX;
        f->count--;
        struct driver_reply reply = {.slot = slot, .now_ns = f->now_ns};
        if (f->answer)
            reply.code = f->answer(f->context, &f->requests[slot], &reply.value);
        f->on_reply(f->owner, &reply);
    }
    return 0;
}

static uint64_t fake_clock(struct driver *d)
{
    return CONTAINER_OF(d, struct fake_driver, head)->now_ns;
}

static const struct driver_class fake_class = {
    .name = "fake",
    .has_scan = true,
    .send = fake_send,
    .poll = fake_poll,
    .clock = fake_clock,
};

void fake_driver_init(struct fake_driver *f, void *owner)
{
    memset(f, 0, sizeof *f);
    f->head.class = &fake_class;
    f->on_reply = load_on_reply;
    f->owner = owner;
    f->now_ns = 1000000000;
    f->service_ns = 10000;
    f->lost_slot = FAKE_SLOTS_MAX;
    f->stall_begin_ns = UINT64_MAX / 2;
}
