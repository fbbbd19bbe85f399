/* compaction_lost.c - tables that point into lost value logs, when an operator gives those up; see loss.c.
 *
 * Each is merged by itself and written again where it stands: values that can be read move to its own log, a
 * record whose value cannot becomes a tombstone of its version, or goes where another table holds it: one
 * that a round has passed in part, perhaps. None of those may go with this round then: they await the next
 * one from its beginning. */
#include "engine/compaction.h"

/* Any table of them: all are merged. */
static bool pick(const struct engine *e, struct compaction_place *p)
{
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        for (uint32_t j = 0; j < e->tables->runs[i].count; j++) {
            const struct table_ref *ref = e->tables->runs[i].tables[j];
            if (ref->is_damaged || value_refs_lost_bytes(&ref->values) == 0)
                continue;
            *p = (struct compaction_place){&e->tables->runs[i], j};
            return true;
        }
    return false;
}

bool compaction_has_values_to_give_up(const struct engine *e)
{
    struct compaction_place place;
    return pick(e, &place);
}

int compaction_give_up_values(struct engine *e)
{
    struct compaction_place place;
    if (!pick(e, &place))
        return 0;
    for (uint32_t i = 0; i < e->tables->count; i++)
        e->tables->tables[i]->is_awaited = false;
    int rc = compaction_merge_table(e, &place, true);
    if (rc == 0)
        row_cache_clear(e->rows); /* it may hold a value that was read before it was damaged */
    e->give_up_fails = rc < 0 && rc != TORC_E_CANCELLED ? e->give_up_fails + 1 : 0;
    e->give_up_error = rc;
    return rc ? rc : 1;
}
