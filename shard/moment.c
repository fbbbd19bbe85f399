/* moment.c - one moment of all cores; see moment.h. */
#include "shard/moment.h"

#include "reactor/base/mark.h"
#include "shard/shard.h"

enum {
    LOOK_NS = 500000,
    LOOKS_MAX = 400, /* then the time of day went back */
    LEAD_MS = 2,     /* turns that began before may still stamp with their time */
    NEAR_MS = 100,   /* the time of day is waited for when no more is missing */
    PASS_MS = 16,    /* a message needs less to reach a core that is not busy; each try has twice as long */
    PASS_TRIES = 6,
};

/* What the core that chooses one asks of each core. */
struct moment_order {
    struct list link;   /* in moments.pending */
    struct timer timer; /* of the core that does it */
    struct shard *shard;
    struct passing *passing;
    unsigned from; /* the core that asks */
    int result;
    uint64_t at_ns;
    uint64_t clock;
    uint64_t last; /* an answer: the clock of the core */
};

struct passing {
    struct event done;
    unsigned missing;
    struct moment_order *orders; /* one a core */
};

/* ---- every core ---- */

void moments_init(struct moments *m)
{
    list_init(&m->pending);
}

void moments_pass(struct shard *s)
{
    const struct list *pending = &s->moments.pending;
    uint64_t now_ns =
        reactor_clock_ns(s->reactor); /* not that of the turn: another core may have passed it */
    for (struct list *link = pending->next; link != pending; link = link->next) {
        const struct moment_order *order = CONTAINER_OF(link, struct moment_order, link);
        if (now_ns >= order->at_ns)
            hlc_observe(&s->clock, order->clock);
    }
}

static void give_back(struct shard *s, struct moment_order *order, int result)
{
    order->result = result;
    order->last = s->clock.last;
    if (order->from == s->core)
        moments_order_done(s, order);
    else
        exchange_send(s, order->from, &(struct message){.kind = MESSAGE_MOMENT_DONE, .payload = order});
}

static void on_time(struct timer *t)
{
    struct moment_order *order = CONTAINER_OF(t, struct moment_order, timer);
    struct shard *s = order->shard;
    hlc_observe(&s->clock, order->clock);
    list_remove(&order->link);
    give_back(s, order, 0);
}

void moments_take_order(struct shard *s, struct moment_order *order)
{
    uint64_t now_ns = reactor_now_ns(s->reactor);
    int rc = 0;
    order->shard = s;
    if (s->state == SHARD_CLOSING)
        rc = TORC_E_SHUTTING_DOWN;
    else if (reactor_clock_ns(s->reactor) >= order->at_ns || s->clock.last > order->clock)
        rc = TORC_E_TIMEOUT; /* others may be above it by now, and this one was not */
    if (rc == 0)
        rc = timer_start(s->reactor, &order->timer, order->at_ns - now_ns, on_time);
    if (rc)
        give_back(s, order, rc);
    else
        list_push_back(&s->moments.pending, &order->link);
}

void moments_order_done(struct shard *s, struct moment_order *order)
{
    struct passing *p = order->passing;
    ASSERT(p->missing > 0);
    if (--p->missing == 0)
        event_set(s->reactor, &p->done, 0);
}

/* ---- the core that chooses one ---- */

/* Waits: until the time of day is past it. Returns: false when it does not come near. */
static bool await_time_of_day(struct shard *s, uint64_t clock, const bool *is_cancelled)
{
    uint64_t clock_ms = clock >> HLC_COUNTER_BITS;
    for (unsigned i = 0; i < LOOKS_MAX && !*is_cancelled; i++) {
        uint64_t wall_ms = reactor_wall_ms(s->reactor);
        if (wall_ms > clock_ms + LEAD_MS)
            return true;
        if (wall_ms + NEAR_MS < clock_ms)
            return false;
        task_sleep(s->reactor, LOOK_NS);
    }
    return false;
}

/* Waits: until every core is above `clock`, or was too late for it. Returns: 0 or the first error. */
static int pass(struct shard *s, struct passing *p, uint64_t clock, uint64_t at_ns)
{
    int result = 0;
    event_init(&p->done);
    p->missing = s->core_count;
    for (unsigned core = s->core_count; core-- > 0;) {
        struct moment_order *order = &p->orders[core];
        *order = (struct moment_order){.passing = p, .from = s->core, .at_ns = at_ns, .clock = clock};
        if (core != s->core)
            exchange_send(s, core, &(struct message){.kind = MESSAGE_MOMENT, .payload = order});
    }
    moments_take_order(s, &p->orders[s->core]);
    int rc = event_wait(s->reactor, &p->done, EVENT_FOREVER);
    ASSERT(rc == 0);
    for (unsigned core = 0; core < s->core_count && result == 0; core++)
        result = p->orders[core].result;
    return result;
}

/* Waits. *clock is above the clocks of all; what is stamped until the cores pass it counts up from there, so
 * it is half as far above as its time is away: more stamps than there can be, and clocks that are ahead do
 * not run away from the time of day. */
static int pass_together(struct shard *s, const bool *is_cancelled, uint64_t *clock)
{
    struct passing p = {.orders = reactor_alloc(s->reactor, s->core_count * sizeof p.orders[0])};
    int rc = p.orders ? TORC_E_TIMEOUT : TORC_E_NO_MEMORY;
    MARK(cores_pass_a_moment_before_the_time_of_day);
    for (uint64_t ms = PASS_MS; rc == TORC_E_TIMEOUT && ms < PASS_MS << PASS_TRIES && !*is_cancelled;
         ms *= 2) {
        *clock += ms / 2 << HLC_COUNTER_BITS;
        rc = pass(s, &p, *clock, reactor_clock_ns(s->reactor) + ms * 1000000);
        for (unsigned core = 0; core < s->core_count && rc; core++)
            *clock = p.orders[core].last > *clock ? p.orders[core].last : *clock;
    }
    reactor_free(s->reactor, p.orders);
    return rc != TORC_E_TIMEOUT ? rc : *is_cancelled ? TORC_E_SHUTTING_DOWN : TORC_E_OVERLOADED;
}

int moment_choose(struct shard *s, uint64_t clock_max, const bool *is_cancelled, uint64_t *clock)
{
    uint64_t highest = reactor_wall_ms(s->reactor) << HLC_COUNTER_BITS;
    highest = clock_max > highest ? clock_max : highest;
    *clock = ((highest >> HLC_COUNTER_BITS) + LEAD_MS) << HLC_COUNTER_BITS | UINT16_MAX;
    if (await_time_of_day(s, *clock, is_cancelled))
        return 0;
    return *is_cancelled ? TORC_E_SHUTTING_DOWN : pass_together(s, is_cancelled, clock);
}
