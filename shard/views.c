/* views.c - views of all cores, their beginning and their end; see views.h. */
#include "shard/views.h"

#include "reactor/base/mark.h"
#include "shard/shard.h"

enum view_step { VIEW_OPEN, VIEW_FIX };

struct beginning {
    struct event done;
    unsigned missing;
    struct view_order *orders; /* one a core */
};

/* What the core that begins a view asks of each core. */
struct view_order {
    struct shard *shard; /* that does it */
    struct beginning *beginning;
    enum view_step step;
    unsigned from; /* the core that asks */
    int result;
    uint64_t id;
    uint64_t clock;  /* OPEN: its highest, an answer; FIX: the moment */
    uint64_t now_ms; /* FIX: the time of day then, which may be behind the clock */
};

/* ---- this core's ---- */

static struct view *find(struct shard *s, uint64_t id)
{
    for (unsigned i = 0; i < VIEWS_MAX; i++)
        if (s->views.places[i].id == id)
            return &s->views.places[i];
    return NULL;
}

struct closing {
    struct shard *shard;
    struct engine_view *view;
};

static void close_task(struct reactor *r, void *context)
{
    struct closing *c = context;
    struct shard *s = c->shard;
    engine_view_close(c->view);
    s->views.task_count--;
    reactor_free(r, c);
}

/* A memtable that only the view holds takes milliseconds to free. Returns: false when there is no task for
 * it. */
static bool close_later(struct shard *s, struct engine_view *view)
{
    struct closing *c = reactor_alloc(s->reactor, sizeof *c);
    if (!c)
        return false;
    *c = (struct closing){s, view};
    int rc = task_spawn(s->reactor, close_task, c);
    if (rc)
        reactor_free(s->reactor, c);
    else
        s->views.task_count++;
    return rc == 0;
}

static void close_view(struct shard *s, struct view *v)
{
    struct engine_view *view = v->view;
    *v = (struct view){0}; /* first: closing waits, and nobody may find it meanwhile */
    bool can_wait = task_current(s->reactor) || s->views.is_stopping;
    if (can_wait || !close_later(s, view))
        engine_view_close(view);
}

static void end(struct shard *s, struct view *v)
{
    v->is_ended = true;
    if (v->users == 0)
        close_view(s, v);
}

struct view *views_acquire(struct shard *s, uint64_t id)
{
    struct view *v = id ? find(s, id) : NULL;
    if (!v || v->is_ended)
        return NULL;
    v->users++;
    v->used_ns = reactor_now_ns(s->reactor);
    if (v->used_ns - v->told_ns > VIEW_LEASE_NS / 4) {
        v->told_ns = v->used_ns;
        exchange_broadcast(s, MESSAGE_VIEW_USED, id);
    }
    return v;
}

void views_release(struct shard *s, struct view *v)
{
    ASSERT(v->users > 0);
    v->used_ns = reactor_now_ns(s->reactor);
    if (--v->users == 0 && v->is_ended)
        close_view(s, v);
}

void views_touch(struct shard *s, uint64_t id)
{
    struct view *v = find(s, id);
    if (v)
        v->used_ns = reactor_now_ns(s->reactor);
}

void views_end_here(struct shard *s, uint64_t id)
{
    struct view *v = find(s, id);
    if (v)
        end(s, v);
}

void views_end(struct shard *s, uint64_t id)
{
    views_end_here(s, id);
    exchange_broadcast(s, MESSAGE_VIEW_END, id);
}

static struct view *oldest(struct shard *s, uint64_t *bytes)
{
    struct view *first = NULL;
    *bytes = 0;
    for (unsigned i = 0; i < VIEWS_MAX; i++) {
        struct view *v = &s->views.places[i];
        if (!v->id || v->is_ended)
            continue;
        *bytes += engine_view_bytes(v->view);
        if (!first || v->begun_ns < first->begun_ns)
            first = v;
    }
    return first;
}

void views_sweep(struct shard *s)
{
    uint64_t now_ns = reactor_now_ns(s->reactor);
    uint64_t bytes;
    for (unsigned i = 0; i < VIEWS_MAX; i++) {
        struct view *v = &s->views.places[i];
        if (v->id && v->users == 0 && now_ns - v->used_ns > VIEW_LEASE_NS) {
            MARK(a_view_that_nobody_uses_ends);
            end(s, v);
        }
    }
    struct view *first;
    while ((first = oldest(s, &bytes)) && bytes > s->memory.plan.views_bytes_max) { /* ends: one fewer */
        log_write(&s->log, LOG_LEVEL_WARN, "view_ended", "views of scans hold too much memory",
                  log_number("bytes", bytes));
        views_end(s, first->id);
    }
}

void views_stop(struct shard *s)
{
    s->views.is_stopping = true;
}

void views_close_all(struct shard *s)
{
    for (unsigned i = 0; i < VIEWS_MAX; i++) {
        struct view *v = &s->views.places[i];
        ASSERT(v->users == 0);
        if (v->id)
            close_view(s, v);
    }
}

/* ---- orders ---- */

static int open_view(struct shard *s, struct view_order *order)
{
    struct view *v = find(s, 0);
    if (!v)
        return TORC_E_OVERLOADED;
    int rc = engine_view_open(s->engine, &v->view);
    if (rc)
        return rc;
    v->id = order->id;
    v->begun_ns = v->used_ns = v->told_ns = reactor_now_ns(s->reactor);
    order->clock = s->clock.last;
    return 0;
}

static void give_back(struct shard *s, struct view_order *order, int result)
{
    order->result = result;
    if (order->from == s->core)
        views_order_done(s, order);
    else
        exchange_send(s, order->from, &(struct message){.kind = MESSAGE_VIEW_DONE, .payload = order});
}

static void fix_task(struct reactor *r, void *context)
{
    struct view_order *order = context;
    struct shard *s = order->shard;
    (void)r;
    struct view *v = views_acquire(s, order->id);
    int rc = v ? 0 : TORC_E_VIEW_ENDED;
    if (rc == 0) {
        rc = engine_view_fix(v->view, order->clock, order->now_ms, &s->views.is_stopping);
        views_release(s, v);
    }
    if (rc == TORC_E_CANCELLED)
        rc = TORC_E_SHUTTING_DOWN;
    s->views.task_count--;
    give_back(s, order, rc == TORC_E_TIMEOUT ? TORC_E_OVERLOADED : rc);
}

void views_take_order(struct shard *s, struct view_order *order)
{
    order->shard = s;
    if (s->state == SHARD_CLOSING || s->views.is_stopping) {
        give_back(s, order, TORC_E_SHUTTING_DOWN);
        return;
    }
    if (order->step == VIEW_OPEN) {
        give_back(s, order, open_view(s, order));
        return;
    }
    hlc_observe(&s->clock, order->clock);
    int rc = task_spawn(s->reactor, fix_task, order);
    if (rc)
        give_back(s, order, rc);
    else
        s->views.task_count++;
}

void views_order_done(struct shard *s, struct view_order *order)
{
    struct beginning *b = order->beginning;
    ASSERT(b->missing > 0);
    if (--b->missing == 0)
        event_set(s->reactor, &b->done, 0);
}

/* ---- the core that begins one ---- */

/* Waits: until every core has answered. Returns: 0 or the first error. */
static int ask_all(struct shard *s, struct beginning *b, enum view_step step, uint64_t clock)
{
    int result = 0;
    event_init(&b->done);
    b->missing = s->core_count;
    for (unsigned core = 0; core < s->core_count; core++) {
        struct view_order *order = &b->orders[core];
        order->step = step;
        order->clock = clock;
        order->now_ms = reactor_wall_ms(s->reactor);
        if (core == s->core)
            continue;
        exchange_send(s, core, &(struct message){.kind = MESSAGE_VIEW, .payload = order});
    }
    views_take_order(s, &b->orders[s->core]);
    int rc = event_wait(s->reactor, &b->done, EVENT_FOREVER);
    ASSERT(rc == 0);
    for (unsigned core = 0; core < s->core_count && result == 0; core++)
        result = b->orders[core].result;
    return result;
}

/* The highest clock of all cores, when each opened the view. */
static uint64_t highest_clock(const struct shard *s, const struct beginning *b)
{
    uint64_t highest = 0;
    for (unsigned core = 0; core < s->core_count; core++)
        highest = b->orders[core].clock > highest ? b->orders[core].clock : highest;
    return highest;
}

static int begin(struct shard *s, struct beginning *b)
{
    uint64_t clock = 0;
    int rc = ask_all(s, b, VIEW_OPEN, 0);
    if (rc == 0)
        rc = moment_choose(s, highest_clock(s, b), &s->views.is_stopping, &clock);
    return rc ? rc : ask_all(s, b, VIEW_FIX, clock);
}

static int begin_with_orders(struct shard *s, uint64_t id)
{
    struct beginning b = {.missing = 0};
    b.orders = reactor_alloc_zeroed(s->reactor, s->core_count * sizeof b.orders[0]);
    if (!b.orders)
        return TORC_E_NO_MEMORY;
    for (unsigned core = 0; core < s->core_count; core++) {
        b.orders[core].beginning = &b;
        b.orders[core].from = s->core;
        b.orders[core].id = id;
    }
    int rc = begin(s, &b);
    reactor_free(s->reactor, b.orders);
    if (rc)
        views_end(s, id);
    return rc;
}

int views_begin(struct shard *s, uint64_t *id)
{
    static_assert((int)JOBS_AT_ONCE_MIN >= (int)VIEWS_TASK_SHARE, "one may always begin");
    if (s->views.beginning_count >= s->memory.plan.jobs_at_once_max / VIEWS_TASK_SHARE)
        return TORC_E_OVERLOADED;
    *id = reactor_random(s->reactor) | 1;
    s->views.beginning_count++;
    int rc = begin_with_orders(s, *id);
    s->views.beginning_count--;
    return rc;
}
