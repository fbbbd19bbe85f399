/* tables.c - sets of tables and the end of a table; see tables.h. */
#include "engine/tables.h"

#include "engine/engine_internal.h"

struct table_ref *table_ref_new(struct engine *e, struct table *table, uint32_t level)
{
    struct table_ref *ref = reactor_alloc_zeroed(e->reactor, sizeof *ref);
    if (!ref)
        return NULL;
    list_init(&ref->link);
    ref->engine = e;
    ref->table = table;
    ref->number = table_summary(table)->number;
    ref->clock_max = table_summary(table)->clock_max;
    ref->level = level;
    return ref;
}

static void ref_release(struct table_ref *ref)
{
    ASSERT(ref->references > 0);
    if (--ref->references > 0)
        return;
    list_push_back(&ref->engine->graveyard, &ref->link);
    engine_wake_burial(ref->engine);
}

void table_set_hold(struct table_set *set)
{
    set->references++;
}

void table_set_release(struct table_set *set)
{
    if (!set || --set->references > 0)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        ref_release(set->tables[i]);
    reactor_free(set->reactor, set);
}

static bool is_among(const struct table_ref *ref, struct table_ref *const *refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (refs[i] == ref)
            return true;
    return false;
}

static void set_add(struct table_set *set, struct table_ref *ref)
{
    uint32_t at = set->count++;
    for (; at > 0 && set->tables[at - 1]->clock_max < ref->clock_max; at--)
        set->tables[at] = set->tables[at - 1];
    set->tables[at] = ref;
    ref->references++;
}

struct table_set *table_set_make(struct reactor *r, const struct table_set *from,
                                 const struct table_set_change *change)
{
    uint32_t count_max = (from ? from->count : 0) + change->added_count;
    struct table_set *set = reactor_alloc_zeroed(r, sizeof *set + count_max * sizeof(struct table_ref *));
    if (!set)
        return NULL;
    set->reactor = r;
    set->references = 1;
    for (uint32_t i = 0; from && i < from->count; i++)
        if (!is_among(from->tables[i], change->removed, change->removed_count))
            set_add(set, from->tables[i]);
    for (uint32_t i = 0; i < change->added_count; i++)
        set_add(set, change->added[i]);
    return set;
}

struct manifest_table table_description(const struct table_summary *s, uint32_t level, uint64_t created_ms)
{
    return (struct manifest_table){
        .number = s->number,
        .level = level,
        .bytes = s->bytes,
        .entries = s->entries,
        .tombstones = s->tombstones,
        .clock_min = s->clock_min,
        .clock_max = s->clock_max,
        .expiry_min_ms = s->expiry_min_ms,
        .created_ms = created_ms,
        .smallest = s->smallest,
        .largest = s->largest,
    };
}

/* ---- the end of a table ---- */

static void bury(struct reactor *r, void *context)
{
    struct engine *e = context;
    char path[ENGINE_PATH_MAX];
    struct list *link;
    while ((link = list_pop_front(&e->graveyard)) != NULL) {
        struct table_ref *ref = CONTAINER_OF(link, struct table_ref, link);
        engine_table_path(e, ref->number, path);
        table_close(ref->table);
        /* A file that stays is removed at the next start, since no manifest names it. */
        int rc = ref->is_obsolete ? file_remove(r, path) : 0;
        if (rc)
            engine_tell(e, "table_not_removed", "%s: %s", path, error_sentence(rc));
        reactor_free(r, ref);
    }
    e->is_burying = false;
    engine_task_over(e);
}

void engine_wake_burial(struct engine *e)
{
    if (e->is_burying || list_is_empty(&e->graveyard))
        return;
    e->is_burying = task_spawn(e->reactor, bury, e) == 0; /* else with the next table */
}
