/* compaction_round.c - upper runs into the bottom, one stretch of keys at a time; see compaction.h.
 *
 *   keys     position                       end
 *               v                            v
 *   uppers   [--|=====|  [=======][==========|=====]--[....]
 *   bottom      [ new tables replace these ]  [ stays ]
 *
 * A stretch begins at the first upper key that is not below the position, so bottom tables without anything
 * new are left alone; it takes bottom tables worth a table's size, and ends where the next bottom table
 * begins. Where many upper tables lie between two bottom tables, as when keys arrive in order, it ends before
 * one of them instead.
 *
 * An upper table goes when it has been passed from its first key to its last: then it was *awaited* by a
 * position that was not above its first key, and ends before the position. One that was written when the
 * position was in its midst stays for another round. So the tables of a run are in this order:
 *
 *   | not awaited: stay | awaited, end before the position: go | stay | */
#include "engine/compaction.h"
#include "engine/table_visit.h"
#include "reactor/base/mark.h"

enum {
    IDLE_SHARE = 16, /* of the bottom, or half of the trigger: so much in upper runs is merged when idle */
    HURRY_SHARE = 4, /* of the trigger: so much above it, and merges are paid eight times as fast */
    HURRY_LEAST = 8,
};

/* The stretch, in terms of the set that the merging holds. */
struct stretch {
    const struct table_run *bottom; /* null: there is none */
    uint32_t first;                 /* its tables from this one */
    uint32_t last;                  /* to before this one */
    const struct record_key *end;   /* null: to the end of all keys */
    uint64_t bytes_max;             /* of bottom tables, or of upper ones between two of them; one at least */
    uint64_t upper_bytes;           /* that it takes from upper tables, about */
};

void round_set_position(struct engine *e, const struct record_key *key)
{
    struct round *round = &e->round;
    uint8_t *subkey = round->key + key->key.bytes;
    ASSERT(key->key.bytes + key->subkey.bytes <= sizeof round->key);
    if (key->key.bytes)
        memmove(round->key, key->key.data, key->key.bytes);
    if (key->subkey.bytes)
        memmove(subkey, key->subkey.data, key->subkey.bytes);
    round->position = *key;
    round->position.key = slice_of(round->key, key->key.bytes);
    round->position.subkey = slice_of(subkey, key->subkey.bytes);
}

/* ---- when ---- */

static uint32_t count_upper_runs(const struct engine *e)
{
    uint32_t runs = 0;
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        runs += compaction_is_upper(&e->tables->runs[i]);
    return runs;
}

static bool is_due_when_idle(const struct engine *e, uint64_t upper_bytes)
{
    const struct table_run *bottom = table_set_bottom(e->tables);
    if (count_upper_runs(e) < (bottom ? 1 : 2))
        return false;
    uint64_t share = bottom ? table_run_full_bytes(bottom) / IDLE_SHARE : 0;
    uint64_t half = compaction_trigger_bytes(e) / 2;
    return e->round.is_of_idleness || upper_bytes >= (share < half ? share : half);
}

bool round_is_due(const struct engine *e)
{
    uint64_t upper_bytes = compaction_upper_bytes(e);
    return upper_bytes >= compaction_trigger_bytes(e) || (e->is_idle && is_due_when_idle(e, upper_bytes));
}

static void go_to_start(struct engine *e)
{
    const struct record_key first = {.vnode = e->options.vnode_first};
    round_set_position(e, &first);
}

static void end_round(struct engine *e)
{
    go_to_start(e);
    e->round.is_of_idleness = false;
    e->counters.rounds++;
    e->is_room_turn = true;
}

void round_end_when_nothing_is_left(struct engine *e)
{
    if (e->round.is_of_idleness && count_upper_runs(e) == 0)
        end_round(e);
}

/* ---- where ---- */

/* Waits. Moves the position to the first upper key not below it. Returns: 1; 0 when none is left; or an
 * error. */
static int find_first_key(struct engine *e, struct merging *m)
{
    struct merge merge;
    struct record record;
    int rc = merge_init(&merge, e->reactor, m->set->run_count);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < m->set->run_count; i++)
        if (compaction_is_upper(&m->set->runs[i]))
            merge_add_run(&merge, &m->set->runs[i], TABLE_CURSOR_SCAN);
    rc = merge_seek(&merge, &e->round.position);
    if (rc == 0)
        rc = merge_next(&merge, &record);
    if (rc == 1)
        round_set_position(e, &record.key);
    if (rc == TORC_E_CORRUPT || rc == TORC_E_STORAGE) {
        compaction_set_aside(e, &merge, rc);
        rc = TORC_E_CANCELLED;
    }
    merge_deinit(&merge);
    return rc;
}

static const struct record_key *smallest_of(const struct table_run *run, uint32_t table)
{
    return &table_summary(run->tables[table]->table)->smallest;
}

/* Bottom tables worth a table's size, and up to the next one. */
static struct stretch find_stretch(const struct engine *e, const struct merging *m, uint64_t bytes_max)
{
    struct stretch s = {.bottom = table_set_bottom(m->set), .bytes_max = bytes_max};
    if (!s.bottom)
        return s;
    s.first = s.last = table_run_seek(s.bottom, &e->round.position);
    for (uint64_t bytes = 0; s.last < s.bottom->count && bytes < bytes_max; s.last++)
        bytes += table_ref_full_bytes(s.bottom->tables[s.last]);
    if (s.last < s.bottom->count)
        s.end = smallest_of(s.bottom, s.last);
    return s;
}

/* The bytes of upper tables that end before `key` and not before the position. */
static uint64_t upper_bytes_before(const struct engine *e, const struct merging *m,
                                   const struct record_key *key)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (!compaction_is_upper(run))
            continue;
        uint32_t first = table_run_seek(run, &e->round.position), end = table_run_seek(run, key);
        for (uint32_t j = first; j < end; j++)
            bytes += table_ref_full_bytes(run->tables[j]);
    }
    return bytes;
}

/* Does the stretch keep whole bottom tables when it ends here? */
static bool is_between_bottom_tables(const struct stretch *s, const struct record_key *key)
{
    if (!s->bottom)
        return true;
    uint32_t table = table_run_seek(s->bottom, key);
    return table >= s->last || record_key_compare(smallest_of(s->bottom, table), key) >= 0;
}

/* Waits sometimes. Ends the stretch where an upper table begins if so much comes before it that tables are
 * full of it. */
static void cut_stretch(struct engine *e, const struct merging *m, struct stretch *s)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (!compaction_is_upper(run))
            continue;
        for (uint32_t j = table_run_seek(run, &e->round.position); j < run->count; j++) {
            const struct record_key *key = smallest_of(run, j);
            task_yield_if_due(e->reactor);
            if (record_key_compare(key, &e->round.position) <= 0)
                continue;
            if (s->end && record_key_compare(key, s->end) >= 0)
                break;
            if (!is_between_bottom_tables(s, key) || upper_bytes_before(e, m, key) < s->bytes_max)
                continue;
            MARK(stretch_of_a_round_ends_at_an_upper_table);
            s->end = key;
            s->last = s->bottom ? table_run_seek(s->bottom, key) : 0;
        }
    }
}

/* ---- what ---- */

static void remove_tables(struct merging *m, const struct table_run *run, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        m->removed[m->removed_count++] = run->tables[i];
}

static void add_older(struct merging *m, const struct table_run *run, uint32_t first, uint32_t end)
{
    if (first < end)
        m->older[m->older_count++] = merging_part(run, first, end);
}

/* Of the tables before `end`, which the position will have passed: from which one on do they go? */
static uint32_t first_to_go(const struct table_run *run, uint32_t end)
{
    uint32_t table = end;
    while (table > 0 && run->tables[table - 1]->is_awaited)
        table--;
    return table;
}

/* The share of the table's blocks that lie between the position and the end of the stretch. Requires: it does
 * not end before the position and begins before the end. */
static double share_of(const struct engine *e, const struct stretch *s, const struct table *t)
{
    const struct table_summary *bounds = table_summary(t);
    const struct record_key *position = &e->round.position;
    uint32_t blocks = table_visit_blocks(t), first = 0, end = blocks;
    if (record_key_compare(&bounds->smallest, position) < 0)
        first = table_visit_find(t, position);
    if (s->end && record_key_compare(&bounds->largest, s->end) >= 0)
        end = table_visit_find(t, s->end);
    ASSERT(first <= end);
    return (double)(end - first) / (double)blocks;
}

/* Most stretches end in the midst of upper tables, and those of all runs end in much the same places: by
 * whole tables one stretch in ten would be all that is taken in. */
static void count_upper(const struct engine *e, struct merging *m, struct stretch *s,
                        const struct table_run *run)
{
    for (uint32_t i = table_run_seek(run, &e->round.position); i < run->count; i++) {
        const struct table_ref *ref = run->tables[i];
        if (s->end && record_key_compare(smallest_of(run, i), s->end) >= 0)
            break;
        double share = share_of(e, s, ref->table);
        merging_count(e, m, ref, share);
        s->upper_bytes += (uint64_t)(share * (double)table_ref_full_bytes(ref));
    }
}

/* Of an upper run: what is wholly passed at the end of the stretch goes; what stays may hold older versions
 * of what is merged. */
static void plan_upper(const struct engine *e, struct merging *m, struct stretch *s,
                       const struct table_run *run)
{
    uint32_t first = table_run_seek(run, &e->round.position);
    uint32_t stays = s->end ? table_run_seek(run, s->end) : run->count;
    uint32_t goes = first_to_go(run, stays);
    remove_tables(m, run, goes, stays);
    add_older(m, run, 0, goes);
    add_older(m, run, stays, run->count);
    if (first < run->count)
        m->inputs[m->input_count++] = merging_part(run, first, run->count);
    count_upper(e, m, s, run);
}

static void plan_stretch(const struct engine *e, struct merging *m, struct stretch *s)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (run == s->bottom) /* no other of its tables has keys of the stretch */
            continue;
        if (compaction_is_upper(run))
            plan_upper(e, m, s, run);
        else
            m->older[m->older_count++] = *run;
    }
    if (!s->bottom || s->first >= s->last)
        return;
    remove_tables(m, s->bottom, s->first, s->last);
    m->inputs[m->input_count] = merging_part(s->bottom, s->first, s->last);
    merging_count_run(e, m, &m->inputs[m->input_count++]);
}

/* No key of theirs is left: of tables that hold keys of other shards only, too. */
static void plan_rest(struct merging *m)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (compaction_is_upper(run))
            remove_tables(m, run, first_to_go(run, run->count), run->count);
    }
}

/* The first bottom table is merged whole: it may begin before the first upper key. */
static const struct record_key *first_key(const struct engine *e, const struct stretch *s)
{
    const struct record_key *position = &e->round.position;
    if (!s->bottom || s->first >= s->last ||
        record_key_compare(position, smallest_of(s->bottom, s->first)) <= 0)
        return position;
    return smallest_of(s->bottom, s->first);
}

/* What may be written while the stretch is merged: as much as it takes from upper runs, so that they stay at
 * the trigger, and less where they are above it. */
static uint64_t room_of(const struct engine *e, const struct stretch *s)
{
    uint64_t trigger = compaction_trigger_bytes(e);
    uint64_t usual = trigger + e->options.memtable_bytes;
    uint64_t held = compaction_upper_bytes(e) + memtable_used_bytes(e->active);
    double above = held > usual ? (double)(held - usual) * HURRY_SHARE / (double)trigger : 0;
    double least = 1.0 / HURRY_LEAST;
    return (uint64_t)((double)s->upper_bytes * (1 - above > least ? 1 - above : least));
}

/* Waits sometimes. */
static void plan(struct engine *e, struct merging *m, struct stretch *s, uint64_t bytes_max)
{
    *s = find_stretch(e, m, bytes_max);
    cut_stretch(e, m, s);
    m->input_count = m->older_count = m->removed_count = 0;
    m->bytes = m->work = 0;
    plan_stretch(e, m, s);
}

static int merge_stretch(struct engine *e, struct merging *m)
{
    struct stretch s;
    const struct table_run *bottom = table_set_bottom(m->set);
    uint64_t table_bytes = build_table_bytes_of_bottom(e, bottom ? table_run_full_bytes(bottom) : 0);
    plan(e, m, &s, table_bytes);
    if (!compaction_fits(e, m))
        plan(e, m, &s, 1); /* as little as can be */
    struct build build = {
        .level = TABLE_LEVEL_BOTTOM,
        .run = TABLE_RUN_BOTTOM,
        .table_bytes = table_bytes,
        .from = first_key(e, &s),
        .end = s.end,
    };
    pace_plan(&e->pace, m->work, room_of(e, &s));
    int rc = compaction_merge(e, m, &build);
    if (rc)
        return rc;
    if (s.end)
        round_set_position(e, s.end);
    else
        end_round(e);
    return 0;
}

/* Tables of upper runs that have all of their keys before them. */
static void await_tables(const struct engine *e, const struct merging *m)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        for (uint32_t j = 0; compaction_is_upper(run) && j < run->count; j++)
            run->tables[j]->is_awaited |= record_key_compare(smallest_of(run, j), &e->round.position) >= 0;
    }
}

int round_merge_fragment(struct engine *e)
{
    struct merging m;
    struct build nothing = {.level = TABLE_LEVEL_BOTTOM};
    int rc = merging_init(e, &m);
    if (rc == 0 && e->is_idle && !e->round.is_of_idleness) {
        go_to_start(e); /* so that nothing is left of upper runs at the end */
        e->round.is_of_idleness = true;
    }
    if (rc == 0) {
        await_tables(e, &m);
        rc = find_first_key(e, &m);
    }
    if (rc == 1) {
        rc = merge_stretch(e, &m);
    } else if (rc == 0) {
        plan_rest(&m);
        end_round(e);
        if (m.removed_count > 0)
            rc = compaction_merge(e, &m, &nothing);
    }
    merging_deinit(e, &m);
    return rc;
}
