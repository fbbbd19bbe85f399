/* subject.c - opens, closes and writes to an engine under test; see subject.h. */
#include "test/sim/subject.h"

#include "engine/engine_internal.h"
#include "engine/wal_internal.h"
#include "test/sim/copies.h"
#include "test/sim/truth.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TURNS_PER_LOOK = 64,
    HEAP_BYTES_MAX = 64 << 20,
    TASKS_MAX = 32,
    CLOCK_COUNTER_BITS = 16,
};

/* ---- small things ---- */

uint64_t history_now_ns(const struct history *h)
{
    return sim_now_ns(h->world);
}

bool history_has_failed(const struct history *h)
{
    return h->outcome->story.failures > 0;
}

uint64_t history_hits(const struct history *h, enum sim_fault fault)
{
    return sim_fault_hits(h->world, fault) - h->fault_hits_before[fault];
}

void subject_fail(struct subject *s, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    story_fail(&s->history->outcome->story, history_now_ns(s->history), "core %u: %s", s->core, text);
}

uint64_t subject_now_ms(struct subject *s)
{
    uint64_t now_ms = reactor_wall_ms(s->reactor);
    if (now_ms > s->history->wall_max_ms)
        s->history->wall_max_ms = now_ms;
    return now_ms;
}

/* ---- what the engine calls ---- */

static void check_ticket(struct subject *s, uint32_t number, const struct engine_ticket *ticket, int result)
{
    if (s->is_putting)
        subject_fail(s, "write %u was answered before its put returned", number);
    if (result == TORC_E_TIMEOUT) {
        if (ticket->deadline_ns == 0 || ticket->deadline_ns > reactor_clock_ns(s->reactor))
            subject_fail(s, "write %u timed out before its deadline", number);
        return;
    }
    if (number <= s->ticket_last)
        subject_fail(s, "write %u was answered after write %u", number, s->ticket_last);
    s->ticket_last = number;
    if (!truth_explains(s, TRUTH_WRITE, result, 0))
        subject_fail(s, "write %u was answered with %s, and nothing had happened that explains it", number,
                     error_name(result));
}

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct subject *s = owner;
    struct tally *tally = &s->history->outcome->tally;
    uint32_t number = (uint32_t)ticket->words[0];
    (void)times;
    check_ticket(s, number, ticket, result);
    uint64_t sequence = s->engine && s->engine->wal ? s->engine->wal->durable_sequence : 0;
    model_answered(&s->model, number, result, result == 0 ? sequence : 0);
    tally->acknowledged += result == 0;
    tally->refused += result != 0;
    sim_trace(s->history->world, number, (uint64_t)(int64_t)result);
    struct driver *d = &s->drivers[ticket->words[1]];
    ASSERT(d->flying > 0);
    d->flying--;
    event_set(s->reactor, &d->progress, 0);
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct subject *s = owner;
    struct history *h = s->history;
    const char *storage = error_sentence(TORC_E_STORAGE);
    story_say(&h->outcome->story, history_now_ns(h), "core %u: %s: %s", s->core, event, text);
    if (strstr(event, "damaged"))
        h->outcome->tally.detections++;
    s->has_remains |= strcmp(event, "loss_remains") == 0;
    bool is_of_storage = strncmp(text, storage, strlen(storage)) == 0;
    if (is_of_storage && !truth_explains(s, TRUTH_WRITE, TORC_E_STORAGE, 0))
        subject_fail(s, "it says that its disk fails, and nothing had happened that explains it");
}

static void look_at_bounds(struct subject *s)
{
    struct engine_counters c = engine_counters(s->engine);
    struct reactor_counters r = reactor_counters(s->reactor);
    uint64_t batch_bytes = 2 * ((uint64_t)s->options.value_bytes_max + (64 << 10)) * 16;
    uint64_t memtables = (s->engine->frozen_count + 2) * (s->options.memtable_bytes * 3 + batch_bytes);
    if (c.memtable_bytes > memtables)
        subject_fail(s, "memtables of %llu bytes, more than %llu", (unsigned long long)c.memtable_bytes,
                     (unsigned long long)memtables);
    if (r.heap_bytes > HEAP_BYTES_MAX)
        subject_fail(s, "a heap of %llu bytes", (unsigned long long)r.heap_bytes);
    if (r.tasks_alive > TASKS_MAX)
        subject_fail(s, "%llu tasks are alive", (unsigned long long)r.tasks_alive);
}

/* What recovery found in a record that a failed sync has doomed is not durable. */
static void note_watermark(struct subject *s)
{
    uint64_t watermark = s->engine->wal ? s->engine->wal->watermark_durable : 0;
    bool is_sure = watermark > s->watermark_found || sim_fault_hits(s->history->world, SIM_SYNC_ERROR) == 0;
    if (watermark > s->watermark && is_sure)
        s->watermark = watermark;
}

static void on_turn(void *context)
{
    struct subject *s = context;
    (void)subject_now_ms(s);
    history_note_corruptions(s->history);
    if (!s->engine)
        return;
    engine_submit(s->engine);
    if (engine_deadline_ns(s->engine) <= reactor_now_ns(s->reactor))
        (void)!engine_expire(s->engine, reactor_now_ns(s->reactor));
    note_watermark(s);
    if (++s->turns % TURNS_PER_LOOK == 0 && !s->is_closing)
        look_at_bounds(s);
}

/* ---- life ---- */

void subject_init(struct subject *s, struct history *h, unsigned core)
{
    const struct plan *p = &h->plan;
    *s = (struct subject){.history = h, .core = core, .options = p->knobs};
    snprintf(s->directory, sizeof s->directory, "/shard-%u", core);
    s->options.directory = s->directory;
    s->options.vnode_first = (uint16_t)(p->knobs.vnode_first + core * p->knobs.vnode_count);
    s->options.on_durable = on_durable;
    s->options.on_event = on_event;
    s->options.owner = s;
    model_init(&s->model, p->keys, p->seed * PLAN_CORES_MAX + core);
    s->model.vnode_first = s->options.vnode_first;
    s->model.vnode_count = s->options.vnode_count;
    s->model.is_soft = p->destroys || p->faults.per_million[SIM_READ_ERROR];
    s->value = malloc(PLAN_VALUE_BYTES_MAX);
    ASSERT(s->value);
    sim_dice_init(&s->copier, p->seed, PLAN_STREAMS + 2, core);
    for (unsigned i = 0; i < PLAN_DRIVERS_MAX; i++) {
        struct driver *d = &s->drivers[i];
        *d = (struct driver){.subject = s, .number = i};
        sim_dice_init(&d->dice, p->seed, PLAN_STREAMS + 1, core * PLAN_DRIVERS_MAX + i);
    }
}

void subject_deinit(struct subject *s)
{
    copies_forget(s);
    model_deinit(&s->model);
    free(s->value);
}

void subject_task_over(struct subject *s)
{
    if (--s->tasks_alive == 0)
        event_set(s->reactor, &s->tasks_over, 0);
}

void subject_forget_life(struct subject *s)
{
    s->reactor = NULL;
    s->engine = NULL;
    s->is_putting = s->is_closing = s->was_refused = s->has_opened = s->has_remains = false;
    s->ticket_last = s->model.count;
    s->tasks_alive = 0;
    copies_forget(s);
    s->turns = 0;
    for (unsigned i = 0; i < PLAN_DRIVERS_MAX; i++) {
        s->drivers[i].flying = 0;
        event_init(&s->drivers[i].progress); /* who waited for it is gone */
    }
}

/* Damage is told when there is some, and not when there is none. */
static void check_quarantine(struct subject *s)
{
    uint64_t quarantined = engine_counters(s->engine).quarantined;
    if (quarantined > s->quarantined && !truth_explains_damaged_log(s))
        subject_fail(s, "it says that acknowledged log is damaged, and nothing had damaged it");
    s->quarantined = quarantined;
    s->watermark_found = s->engine->wal->watermark_durable;
    note_watermark(s);
}

static void tell_refused_open(struct subject *s, int rc, const char *why)
{
    struct history *h = s->history;
    story_say(&h->outcome->story, history_now_ns(h), "core %u does not start: %s: %s", s->core,
              error_name(rc), why);
    h->outcome->tally.refused_starts++;
    if (why[0] == '\0')
        subject_fail(s, "it does not start with %s, and does not say why", error_name(rc));
    if (!s->must_refuse && !truth_explains(s, TRUTH_OPEN, rc, 0))
        subject_fail(s, "it does not start, %s (%s), and nothing had happened that explains it",
                     error_name(rc), why);
}

bool subject_open(struct subject *s)
{
    char why[256] = "";
    struct engine *engine = NULL;
    reactor_set_turn_hook(s->reactor, on_turn, s);
    int rc = engine_open(s->reactor, &s->options, &engine, why, sizeof why);
    sim_trace(s->history->world, s->core, (uint64_t)(int64_t)rc);
    history_note_corruptions(s->history);
    if (rc) {
        tell_refused_open(s, rc, why);
        return false;
    }
    s->engine = engine;
    s->has_opened = true;
    if (s->is_giving_up)
        model_give_up(&s->model);
    s->is_giving_up = false;
    if (s->must_refuse)
        subject_fail(s, "it starts, with both copies of its manifest damaged");
    s->damage.has_lost_manifest = false; /* both copies are there again */
    check_quarantine(s);
    return true;
}

static void take_counters(struct subject *s)
{
    struct engine_counters c = engine_counters(s->engine);
    struct tally *tally = &s->history->outcome->tally;
    tally->flushes += c.flushes;
    tally->compactions += c.compactions;
    tally->recycled += wal_counters(s->engine->wal).recycled;
    tally->detections += c.corruptions;
}

void subject_close(struct subject *s)
{
    s->is_closing = true;
    take_counters(s);
    engine_close(s->engine); /* the turn hook goes on: it submits what gathers */
    s->engine = NULL;
    reactor_set_turn_hook(s->reactor, NULL, NULL);
    for (unsigned i = 0; i < PLAN_DRIVERS_MAX; i++)
        if (s->drivers[i].flying)
            subject_fail(s, "%u writes were not answered when it had closed", s->drivers[i].flying);
}

/* ---- writes ---- */

int subject_put(struct subject *s, const struct model_put *put, struct driver *d)
{
    char memory[MODEL_KEY_BYTES_MAX];
    struct model_put own = *put;
    uint64_t stamp = subject_now_ms(s) << CLOCK_COUNTER_BITS;
    uint64_t above = engine_version_clock_max(s->engine) + 1;
    own.clock_floor = stamp > above ? stamp : above;
    struct record record = model_record(&s->model, &own, memory, s->value);
    struct engine_ticket ticket = {.words = {s->model.count + 1, d->number}};
    if (s->history->plan.deadline_ns && !s->history->is_final && sim_dice_below(&d->dice, 2))
        ticket.deadline_ns = reactor_now_ns(s->reactor) + s->history->plan.deadline_ns;
    s->is_putting = true;
    int rc = engine_put(s->engine, &record, &ticket);
    s->is_putting = false;
    if (rc)
        return rc;
    uint32_t number = model_taken(&s->model, &own);
    ASSERT(number == ticket.words[0]);
    d->flying++;
    s->history->outcome->tally.writes++;
    return 0;
}
