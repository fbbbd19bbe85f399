/* tables.c - sets of tables and the end of a table; see tables.h. */
#include "engine/tables.h"

#include "engine/removal.h"
#include "reactor/base/mark.h"

struct table_ref *table_ref_new(struct engine *e, struct table *table, uint64_t run, uint32_t level)
{
    struct table_ref *ref = reactor_alloc_zeroed(e->reactor, sizeof *ref);
    if (!ref)
        return NULL;
    list_init(&ref->link);
    ref->engine = e;
    ref->table = table;
    ref->number = table_summary(table)->number;
    ref->run = run;
    ref->bytes = table_summary(table)->bytes;
    ref->clock_min = table_summary(table)->clock_min;
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

/* Among the tables of one run, from `low` to before `high`: the first that does not begin before `key`. */
static uint32_t place_in_run(const struct table_set *set, uint32_t low, uint32_t high,
                             const struct record_key *key)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (record_key_compare(&table_summary(set->tables[middle]->table)->smallest, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Puts the table among those of its run, in the order of keys, or behind all when it is the first of its
 * run. */
static void set_add(struct table_set *set, struct table_ref *ref)
{
    uint32_t high = set->count;
    while (high > 0 && set->tables[high - 1]->run != ref->run)
        high--;
    uint32_t low = high;
    while (low > 0 && set->tables[low - 1]->run == ref->run)
        low--;
    uint32_t at = high == 0 ? set->count : place_in_run(set, low, high, &table_summary(ref->table)->smallest);
    memmove(&set->tables[at + 1], &set->tables[at], (set->count - at) * sizeof set->tables[0]);
    set->tables[at] = ref;
    set->count++;
    ref->references++;
}

static void add_run(struct table_set *set, const struct table_run *run)
{
    uint32_t at = set->run_count++;
    for (; at > 0 && set->runs[at - 1].clock_max < run->clock_max; at--)
        set->runs[at] = set->runs[at - 1];
    set->runs[at] = *run;
}

static void find_runs(struct table_set *set)
{
    uint32_t end;
    for (uint32_t begin = 0; begin < set->count; begin = end) {
        struct table_run run = {.tables = &set->tables[begin]};
        for (end = begin; end < set->count && set->tables[end]->run == set->tables[begin]->run; end++) {
            const struct table_ref *ref = set->tables[end];
            run.clock_max = ref->clock_max > run.clock_max ? ref->clock_max : run.clock_max;
            run.bytes += ref->bytes;
            run.value_bytes += value_refs_bytes(&ref->values);
        }
        run.count = end - begin;
        add_run(set, &run);
    }
}

struct table_set *table_set_make(struct reactor *r, const struct table_set *from,
                                 const struct table_set_change *change)
{
    uint32_t count_max = (from ? from->count : 0) + change->added_count;
    size_t tables_bytes = count_max * sizeof(struct table_ref *);
    struct table_set *set =
        reactor_alloc_zeroed(r, sizeof *set + tables_bytes + count_max * sizeof(struct table_run));
    if (!set)
        return NULL;
    set->reactor = r;
    set->number = from ? from->number + 1 : 1;
    set->references = 1;
    set->runs = (struct table_run *)(void *)&set->tables[count_max];
    for (uint32_t i = 0; from && i < from->count; i++)
        if (!is_among(from->tables[i], change->removed, change->removed_count)) {
            set->tables[set->count++] = from->tables[i];
            from->tables[i]->references++;
        }
    for (uint32_t i = 0; i < change->added_count; i++)
        set_add(set, change->added[i]);
    find_runs(set);
    return set;
}

const struct table_run *table_set_bottom(const struct table_set *set)
{
    for (uint32_t i = 0; i < set->run_count; i++)
        if (table_run_is_bottom(&set->runs[i]))
            return &set->runs[i];
    return NULL;
}

uint32_t table_run_seek(const struct table_run *run, const struct record_key *key)
{
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (record_key_compare(&table_summary(run->tables[middle]->table)->largest, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct table_ref *table_run_find(const struct table_run *run, const struct record_key *key)
{
    if (run->count == 1)
        return run->tables[0]; /* its filter knows better than its bounds */
    uint32_t place = table_run_seek(run, key);
    return place < run->count ? run->tables[place] : NULL;
}

struct manifest_table table_description(const struct table_ref *ref)
{
    const struct table_summary *s = table_summary(ref->table);
    const struct engine_options *o = &ref->engine->options;
    return (struct manifest_table){
        .number = s->number,
        .origin = s->number,
        .vnode_first = o->vnode_first,
        .vnode_last = (uint16_t)(o->vnode_first + o->vnode_count - 1),
        .level = ref->level,
        .order = ref->run,
        .bytes = s->bytes,
        .entries = s->entries,
        .tombstones = s->tombstones,
        .expiring = s->expiring,
        .clock_min = s->clock_min,
        .clock_max = s->clock_max,
        .expiry_min_ms = s->expiry_min_ms,
        .expiry_max_ms = s->expiry_max_ms,
        .smallest = s->smallest,
        .largest = s->largest,
    };
}

/* ---- the end of a table ---- */

void table_ref_keep_counters(struct table_ref *ref)
{
    struct table_counters c = table_take_counters(ref->table);
    ref->engine->counters.table_block_reads += c.block_reads;
    ref->engine->counters.corruptions += c.corruptions;
}

/* What an older copy of the manifest still names stays until both copies are of the new generation. */
static struct table_ref *next_to_bury(struct engine *e)
{
    bool is_named_by_none = manifest_copies(e->manifest) == 2;
    for (struct list *at = e->graveyard.next; at != &e->graveyard; at = at->next) {
        struct table_ref *ref = CONTAINER_OF(at, struct table_ref, link);
        if (is_named_by_none || ref->is_unnamed) {
            list_remove(&ref->link);
            return ref;
        }
    }
    if (!list_is_empty(&e->graveyard))
        MARK(replaced_table_is_kept_for_the_older_manifest_copy);
    return NULL;
}

static void bury(struct reactor *r, void *context)
{
    struct engine *e = context;
    char path[ENGINE_PATH_MAX];
    struct table_ref *ref;
    while ((ref = next_to_bury(e)) != NULL) {
        engine_table_path(e, ref->number, path);
        table_ref_keep_counters(ref);
        table_close(ref->table);
        values_release(e, &ref->values, ref->is_obsolete);
        int rc = ref->is_obsolete ? engine_remove_file(e, path) : 0;
        if (rc)
            engine_tell(e, "table_not_removed", "%s: %s; it goes at the next start", path,
                        error_sentence(rc));
        reactor_free(r, ref);
    }
    e->is_burying = false;
    engine_task_over(e);
}

void engine_wake_burial(struct engine *e)
{
    if (e->is_burying || list_is_empty(&e->graveyard))
        return;
    e->is_burying = task_spawn(e->reactor, bury, e) == 0; /* else with the next look */
}
