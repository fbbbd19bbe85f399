/* compaction_lost.c - tables that point into lost value logs, when an operator gives those up; see loss.c.
 *
 * Each is merged by itself and written again where it stands: values that can be read move to its own log, a
 * record whose value cannot becomes a tombstone of its version. Others may hold the same version meanwhile,
 * and none of those may go as one that a round has passed: so a round that goes on is dropped, and begins
 * anew later. */
#include "engine/compaction.h"

struct lost_place {
    const struct table_run *run; /* null: there is none */
    uint32_t table;
};

/* Any table of them: all are merged. */
static struct lost_place pick(const struct engine *e)
{
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        for (uint32_t j = 0; j < e->tables->runs[i].count; j++) {
            const struct table_ref *ref = e->tables->runs[i].tables[j];
            if (!ref->is_damaged && value_refs_lost_bytes(&ref->values) > 0)
                return (struct lost_place){&e->tables->runs[i], j};
        }
    return (struct lost_place){.run = NULL};
}

bool compaction_has_values_to_give_up(const struct engine *e)
{
    return pick(e).run != NULL;
}

/* No other table of the run can have its keys. */
static void plan(const struct engine *e, struct merging *m, const struct lost_place *p)
{
    for (uint32_t i = 0; i < m->set->run_count; i++)
        if (&m->set->runs[i] != p->run)
            m->older[m->older_count++] = m->set->runs[i];
    m->inputs[m->input_count++] = merging_part(p->run, p->table, p->table + 1);
    m->removed[m->removed_count++] = p->run->tables[p->table];
    m->bytes = compaction_bytes_of(e, &m->inputs[0]);
    m->bytes += value_refs_lost_bytes(&p->run->tables[p->table]->values);
}

static int merge_table(struct engine *e, const struct lost_place *p)
{
    const struct table_ref *ref = p->run->tables[p->table];
    struct merging m;
    struct build build = {.level = ref->level, .run = ref->run, .gives_up = true};
    int rc = merging_init(e, &m);
    if (rc == 0) {
        plan(e, &m, p);
        pace_plan(&e->pace, m.bytes, e->options.memtable_bytes);
        rc = compaction_merge(e, &m, &build);
    }
    if (rc == 0)
        row_cache_clear(e->rows); /* it may hold a value that was read before it was damaged */
    merging_deinit(e, &m);
    return rc;
}

int compaction_give_up_values(struct engine *e)
{
    struct lost_place place = pick(e);
    e->round.is_active = false;
    if (!place.run)
        return 0;
    int rc = merge_table(e, &place);
    e->give_up_fails = rc < 0 && rc != TORC_E_CANCELLED ? e->give_up_fails + 1 : 0;
    e->give_up_error = rc;
    return rc ? rc : 1;
}
