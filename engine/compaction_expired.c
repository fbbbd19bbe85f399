/* compaction_expired.c - what has expired goes without anything being written.
 *
 * A table of which every record has expired goes without being read when nothing comes to light by it: no
 * table that stays, has keys of its range and may be older at any of them. So a set of keys that all live
 * equally long, in tables that follow each other in time, costs no merging at all at its end. What is in
 * memtables is newer.
 *
 * Of other tables those of the bottom are merged by themselves when a good part of them has expired;
 * elsewhere it would hide what the bottom has, and stay. A table knows when that is, and what stays all the
 * same for what it hides does not count there: so none is merged twice for the same records. */
#include "engine/compaction.h"
#include "reactor/base/mark.h"

enum { DROPPED_AT_ONCE = 64 };

struct candidates {
    struct table_ref *tables[DROPPED_AT_ONCE];
    uint32_t count;
};

static bool is_expired(const struct table_ref *ref, uint64_t now_ms)
{
    const struct table_summary *s = table_summary(ref->table);
    return !ref->is_damaged && s->entries > 0 && s->expiring == s->entries && s->tombstones == 0 &&
           s->expiry_max_ms <= now_ms;
}

static bool is_candidate(const struct candidates *c, const struct table_ref *ref)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->tables[i] == ref)
            return true;
    return false;
}

/* May `other` hold an older version of a key of `ref`? */
static bool may_be_hidden(const struct table_ref *ref, const struct table_ref *other)
{
    const struct table_summary *s = table_summary(ref->table), *o = table_summary(other->table);
    return other->clock_min <= ref->clock_max && record_key_compare(&o->smallest, &s->largest) <= 0 &&
           record_key_compare(&s->smallest, &o->largest) <= 0;
}

/* Waits sometimes. */
static bool hides_nothing(struct engine *e, const struct table_set *set, const struct candidates *c,
                          const struct table_ref *ref)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct table_ref *other = set->tables[i];
        if (other != ref && may_be_hidden(ref, other) && !is_candidate(c, other))
            return false;
        task_yield_if_due(e->reactor);
    }
    return true;
}

/* From where the last look ended: many that hide something must not keep the others from their turn. */
static void gather(struct engine *e, const struct table_set *set, struct candidates *c, uint64_t now_ms)
{
    uint32_t first = e->expired_place < set->count ? e->expired_place : 0;
    for (uint32_t i = 0; i < set->count && c->count < DROPPED_AT_ONCE; i++) {
        uint32_t place = (first + i) % set->count;
        if (is_expired(set->tables[place], now_ms))
            c->tables[c->count++] = set->tables[place];
        e->expired_place = place + 1;
    }
}

/* Leaves those that hide nothing, or only one another. Waits sometimes. */
static void thin_out(struct engine *e, const struct table_set *set, struct candidates *c)
{
    for (uint32_t before = c->count + 1; c->count < before;) { /* ends: there are fewer each time */
        before = c->count;
        for (uint32_t i = c->count; i-- > 0;)
            if (!hides_nothing(e, set, c, c->tables[i]))
                c->tables[i] = c->tables[--c->count];
    }
}

int compaction_drop_expired(struct engine *e, uint64_t now_ms)
{
    struct candidates c = {.count = 0};
    struct table_set *set = e->tables;
    if (e->quarantine_clock != 0) /* writes are missing: it is what is known of its keys */
        return 0;
    gather(e, set, &c, now_ms);
    if (c.count == 0)
        return 0;
    table_set_hold(set);
    thin_out(e, set, &c);
    int rc = 0;
    if (c.count > 0) {
        rc = engine_change_tables(e, &(struct tables_change){.removed = c.tables, .removed_count = c.count});
        if (rc == 0) {
            e->counters.expired_tables += c.count;
            rc = 1;
        }
    }
    table_set_release(set);
    return rc;
}

/* The table that has been due longest. Returns: whether there is one. */
static bool pick_due(const struct engine *e, uint64_t now_ms, struct compaction_place *p)
{
    uint64_t earliest_ms = now_ms;
    *p = (struct compaction_place){.run = table_set_bottom(e->tables)};
    bool is_found = false;
    for (uint32_t i = 0; p->run && i < p->run->count; i++) {
        const struct table_ref *ref = p->run->tables[i];
        uint64_t due_ms = table_summary(ref->table)->expiry_due_ms;
        if (ref->is_damaged || due_ms == 0 || due_ms > earliest_ms)
            continue;
        earliest_ms = due_ms;
        p->table = i;
        is_found = true;
    }
    return is_found;
}

int compaction_merge_expired(struct engine *e, uint64_t now_ms)
{
    struct compaction_place place;
    if (e->quarantine_clock != 0 || !pick_due(e, now_ms, &place)) /* as above */
        return 0;
    MARK(bottom_table_is_merged_for_what_has_expired);
    int rc = compaction_merge_table(e, &place, NULL);
    if (rc)
        return rc;
    e->counters.expired_merges++;
    return 1;
}
