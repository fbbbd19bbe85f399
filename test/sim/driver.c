/* driver.c - does operations as the plan has them; see driver.h. */
#include "test/sim/driver.h"

#include "test/sim/checks.h"
#include "test/sim/copies.h"
#include "test/sim/truth.h"

enum {
    US = 1000,
    MS = 1000000,
    OVERLOAD_PAUSE_NS = 500 * US, /* and twice that each time */
    OVERLOADS_MAX = 5000,
    REFUSED_PAUSE_NS = 5 * MS,
    CALM_PAUSE_NS = 200 * MS,
    SILENT_PAUSE_NS = 50 * MS,
    WAIT_NS = 1000 * MS,
    WAITS_MAX = 3000, /* of WAIT_NS: a flush of many tables on a bad disk is tried often */
};

static bool is_over(const struct driver *d)
{
    const struct history *h = d->subject->history;
    return h->is_stopping || d->subject->is_closing || history_has_failed(h);
}

/* ---- writes ---- */

void driver_await(struct driver *d, uint32_t count)
{
    for (unsigned i = 0; d->flying >= count && i < WAITS_MAX; i++) {
        event_init(&d->progress);
        int rc = event_wait(d->subject->reactor, &d->progress, WAIT_NS);
        ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
        if (rc == 0)
            i = 0;
    }
    if (d->flying >= count)
        subject_fail(d->subject, "a write is not answered within %d s", WAITS_MAX);
}

void driver_put(struct driver *d, const struct model_put *put)
{
    struct subject *s = d->subject;
    int rc = subject_put(s, put, d);
    uint64_t pause_ns = OVERLOAD_PAUSE_NS;
    for (unsigned i = 0; rc == TORC_E_OVERLOADED && !is_over(d); i++) {
        if (i > OVERLOADS_MAX) {
            subject_fail(s, "puts are refused as OVERLOADED without end");
            return;
        }
        task_sleep(s->reactor, pause_ns);
        pause_ns = pause_ns * 2 < WAIT_NS ? pause_ns * 2 : WAIT_NS;
        rc = subject_put(s, put, d);
    }
    if (rc == 0 || rc == TORC_E_OVERLOADED)
        return;
    s->history->outcome->tally.refused++;
    s->was_refused |= rc == TORC_E_STORAGE;
    if (!truth_explains(s, TRUTH_PUT, rc, 0))
        subject_fail(s, "a put is refused with %s, and nothing had happened that explains it",
                     error_name(rc));
    task_sleep(s->reactor, REFUSED_PAUSE_NS);
}

uint32_t driver_draw_key(struct driver *d)
{
    const struct plan *p = &d->subject->history->plan;
    bool is_hot = sim_dice_below(&d->dice, 100) < p->hot_per_cent;
    return (uint32_t)sim_dice_below(&d->dice, is_hot ? p->hot_keys : p->keys);
}

uint32_t driver_draw_value_bytes(struct driver *d)
{
    enum { LARGEST_IN = 32 };
    const struct plan *p = &d->subject->history->plan;
    if (sim_dice_below(&d->dice, LARGEST_IN) == 0)
        return (uint32_t)sim_dice_between(&d->dice, 0, p->knobs.value_bytes_max);
    return (uint32_t)sim_dice_between(&d->dice, 0, p->value_bytes_usual);
}

static uint64_t draw_expiry(struct driver *d)
{
    enum { FAR_MS = 7200 * 1000 };
    uint64_t ttl_ms = sim_dice_below(&d->dice, UINT64_C(1) << sim_dice_between(&d->dice, 0, 12));
    if (sim_dice_below(&d->dice, 4) == 0)
        ttl_ms = sim_dice_below(&d->dice, FAR_MS);
    return subject_now_ms(d->subject) + ttl_ms;
}

static void write_something(struct driver *d, uint64_t kind)
{
    const struct plan *p = &d->subject->history->plan;
    struct model_put w = {.key = driver_draw_key(d)};
    if (kind < p->delete_per_cent) {
        w.flags = RECORD_TOMBSTONE;
    } else {
        w.value_bytes = driver_draw_value_bytes(d);
        if (kind < p->delete_per_cent + p->expiring_per_cent) {
            w.flags = RECORD_EXPIRING;
            w.expiry_ms = draw_expiry(d);
        }
    }
    driver_put(d, &w);
    driver_await(d, p->pipeline);
}

/* ---- operations ---- */

static void scan(struct driver *d)
{
    struct subject *s = d->subject;
    struct checks_scan options = {.from = s->model.key_count, .to = s->model.key_count};
    options.is_backward = sim_dice_below(&d->dice, 2) == 0;
    if (sim_dice_below(&d->dice, 3) == 0)
        options.to = (uint32_t)sim_dice_below(&d->dice, s->model.key_count);
    if (sim_dice_below(&d->dice, 2))
        options.from = (uint32_t)sim_dice_below(&d->dice, s->model.key_count);
    if (sim_dice_below(&d->dice, 4))
        options.count_max = (uint32_t)sim_dice_between(&d->dice, 1, 64);
    if (sim_dice_below(&d->dice, 4) == 0)
        options.pauses = &d->dice;
    checks_scan(s, &options);
}

static void operate(struct driver *d)
{
    struct history *h = d->subject->history;
    const struct plan *p = &h->plan;
    uint64_t kind = sim_dice_below(&d->dice, 100);
    h->life_operations++;
    h->outcome->tally.operations++;
    uint32_t writes = p->delete_per_cent + p->expiring_per_cent + p->put_per_cent;
    writes = writes < 95 ? writes : 95;
    if (kind < writes)
        write_something(d, kind);
    else if (kind >= 100 - p->scan_per_cent)
        scan(d);
    else
        checks_get(d->subject, driver_draw_key(d));
}

static void drive(struct reactor *r, void *argument)
{
    struct driver *d = argument;
    const struct plan *p = &d->subject->history->plan;
    while (!is_over(d)) {
        if (d->subject->history->is_silent) {
            task_sleep(r, SILENT_PAUSE_NS);
            continue;
        }
        uint64_t burst = d->subject->history->is_calm ? 1 : sim_dice_between(&d->dice, 1, p->burst);
        for (uint64_t i = 0; i < burst && !is_over(d) && !d->subject->history->is_silent; i++)
            operate(d);
        uint64_t pause_ns = d->subject->history->is_calm ? CALM_PAUSE_NS : p->pause_ns;
        task_sleep(r, sim_dice_below(&d->dice, pause_ns) + 1);
    }
    subject_task_over(d->subject);
}

static void begin(struct subject *s, task_fn *run, void *argument)
{
    int rc = task_spawn(s->reactor, run, argument);
    ASSERT(rc == 0);
    s->tasks_alive++;
}

void drivers_run(struct subject *s)
{
    const struct plan *p = &s->history->plan;
    event_init(&s->tasks_over);
    for (unsigned i = 0; i < p->drivers; i++)
        begin(s, drive, &s->drivers[i]);
    if (p->has_copies)
        begin(s, copies_drive, s);
    int rc = event_wait(s->reactor, &s->tasks_over, EVENT_FOREVER);
    ASSERT(rc == 0 && s->tasks_alive == 0);
}
