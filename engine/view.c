/* view.c - a shard as it was at one moment; see view.h. */
#include "engine/view.h"

#include "engine/engine_internal.h"
#include "engine/merge.h"

enum {
    HELD_MAX = 16,                 /* memtables when it is opened */
    MEMTABLES_MAX = HELD_MAX + 16, /* and those that begin until it is fixed */
};

struct engine_view {
    struct list link; /* in engine.views */
    struct engine *engine;
    struct table_set *tables;
    struct memtable *memtables[MEMTABLES_MAX];
    uint64_t moments[MEMTABLES_MAX]; /* of these, when it was fixed */
    uint32_t count;
    bool is_fixed;
    bool is_overrun; /* it lacks a memtable */
    uint64_t clock;
    uint64_t now_ms;
};

static void add(struct engine_view *v, struct memtable *m)
{
    ASSERT(v->count < MEMTABLES_MAX);
    memtable_hold(m);
    memtable_keep(m);
    v->memtables[v->count++] = m;
}

int engine_view_open(struct engine *e, struct engine_view **out)
{
    *out = NULL;
    if (e->quarantine_clock != 0)
        return TORC_E_UNKNOWN;
    if (e->is_failed || !e->wal)
        return TORC_E_STORAGE;
    if (e->frozen_count + 1 > HELD_MAX)
        return TORC_E_OVERLOADED;
    struct engine_view *v = reactor_alloc_zeroed(e->reactor, sizeof *v);
    if (!v)
        return TORC_E_NO_MEMORY;
    v->engine = e;
    v->tables = e->tables;
    table_set_hold(v->tables);
    for (uint32_t i = 0; i < e->frozen_count; i++)
        add(v, e->frozen[i].memtable);
    add(v, e->active);
    list_push_back(&e->views, &v->link);
    *out = v;
    return 0;
}

void engine_views_begin_memtable(struct engine *e, struct memtable *m)
{
    for (struct list *link = e->views.next; link != &e->views; link = link->next) {
        struct engine_view *v = CONTAINER_OF(link, struct engine_view, link);
        if (v->is_fixed)
            continue;
        v->is_overrun |= v->count == MEMTABLES_MAX;
        if (!v->is_overrun)
            add(v, m);
    }
}

int engine_view_fix(struct engine_view *v, uint64_t clock, uint64_t now_ms, const bool *is_cancelled)
{
    ASSERT(!v->is_fixed);
    int rc = wal_settle(v->engine->wal, is_cancelled);
    if (rc)
        return rc;
    if (v->is_overrun)
        return TORC_E_OVERLOADED;
    for (uint32_t i = 0; i < v->count; i++)
        v->moments[i] = memtable_moment(v->memtables[i]);
    v->is_fixed = true;
    v->clock = clock;
    v->now_ms = now_ms;
    return 0;
}

void engine_view_close(struct engine_view *v)
{
    if (!v)
        return;
    list_remove(&v->link);
    for (uint32_t i = 0; i < v->count; i++) {
        memtable_keep_end(v->memtables[i]);
        memtable_release(v->memtables[i]);
    }
    table_set_release(v->tables);
    reactor_free(v->engine->reactor, v);
}

static bool is_of_engine(const struct engine *e, const struct memtable *m)
{
    bool is_held = m == e->active;
    for (uint32_t i = 0; i < e->frozen_count; i++)
        is_held = is_held || m == e->frozen[i].memtable;
    return is_held;
}

uint64_t engine_view_bytes(const struct engine_view *v)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < v->count; i++)
        if (!is_of_engine(v->engine, v->memtables[i]))
            bytes += memtable_bytes(v->memtables[i]) / memtable_keepers(v->memtables[i]);
    return bytes;
}

struct table_set *engine_view_tables(const struct engine_view *v)
{
    return v->tables;
}

uint64_t engine_view_now_ms(const struct engine_view *v)
{
    return v->now_ms;
}

uint32_t engine_view_memtables(const struct engine_view *v)
{
    return v->count;
}

void engine_view_add_sources(const struct engine_view *v, struct merge *m, uint16_t vnode_first,
                             uint32_t vnode_end)
{
    ASSERT(v->is_fixed);
    for (uint32_t i = 0; i < v->count; i++)
        merge_add_memtable_until(m, v->memtables[i], vnode_first, vnode_end,
                                 (struct memtable_past){v->clock, v->moments[i], false});
}
