/* compaction_round.c - upper runs into the bottom, one stretch of keys at a time; see compaction.h.
 *
 *   keys     position                       end
 *               v                            v
 *   uppers   ---|=====|  [=======][==========|=====]--[....]
 *   bottom      [ new tables replace these ]  [ stays ]
 *
 * A stretch begins at the first upper key that has not been passed, so bottom tables without anything new are
 * left alone; it takes bottom tables worth a table's size, and ends where the next bottom table begins. Where
 * many upper tables lie between two bottom tables, as when keys arrive in order, it ends before one of them
 * instead. */
#include "engine/compaction.h"
#include "reactor/base/mark.h"

enum {
    IDLE_SHARE = 16, /* of the bottom: so much in upper runs is merged when there is nothing else to do */
    ROOM_LEAST_SHARE = 16, /* of the trigger */
};

/* The stretch, in terms of the set that the merging holds. */
struct stretch {
    const struct table_run *bottom; /* null: there is none */
    uint32_t first;                 /* its tables from this one */
    uint32_t last;                  /* to before this one */
    const struct record_key *end;   /* null: to the end of all keys */
    uint64_t bytes_max;             /* of bottom tables, or of upper ones between two of them; one at least */
};

static void set_position(struct round *round, const struct record_key *key)
{
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

static bool is_of_round(const struct round *round, const struct table_run *run)
{
    for (uint32_t i = 0; i < round->run_count; i++)
        if (round->runs[i] == run->tables[0]->run)
            return true;
    return false;
}

static const struct table_run *find_bottom(const struct table_set *set)
{
    for (uint32_t i = 0; i < set->run_count; i++)
        if (table_run_is_bottom(&set->runs[i]))
            return &set->runs[i];
    return NULL;
}

/* A run of the round with a table that is still to be taken out of it: the whole would be passed over, and
 * its other tables removed unmerged. */
static bool is_torn(const struct engine *e, const struct merging *m)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (run->count > 1 && is_of_round(&e->round, run) && compaction_is_damaged(run))
            return true;
    }
    return false;
}

/* ---- when ---- */

bool round_is_due(const struct engine *e)
{
    uint64_t bytes = 0;
    uint32_t runs = 0;
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        if (compaction_is_fresh(e, &e->tables->runs[i])) {
            bytes += table_run_full_bytes(&e->tables->runs[i]);
            runs++;
        }
    if (bytes >= compaction_trigger_bytes(e))
        return true;
    const struct table_run *bottom = find_bottom(e->tables);
    return e->is_idle && runs + (bottom != NULL) >= 2 &&
           bytes >= (bottom ? table_run_full_bytes(bottom) / IDLE_SHARE : 0);
}

void round_begin(struct engine *e)
{
    struct round *round = &e->round;
    const struct record_key first = {.vnode = e->options.vnode_first};
    ASSERT(!round->is_active);
    round->run_count = 0;
    for (uint32_t i = e->tables->run_count; i-- > 0 && round->run_count < ROUND_RUNS_MAX;)
        if (compaction_is_fresh(e, &e->tables->runs[i]))
            round->runs[round->run_count++] = e->tables->runs[i].tables[0]->run;
    set_position(round, &first);
    round->is_active = true;
    e->counters.rounds++;
    compaction_refresh_debt(e);
}

uint64_t round_bytes_left(const struct engine *e)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < e->tables->run_count; i++) {
        const struct table_run *run = &e->tables->runs[i];
        if (is_of_round(&e->round, run))
            bytes += run->bytes;
        else if (table_run_is_bottom(run))
            bytes += merging_part(run, table_run_seek(run, &e->round.position), run->count).bytes;
    }
    return bytes;
}

static void end_round(struct engine *e)
{
    e->round.is_active = false;
    e->is_values_turn = true;
}

/* ---- where ---- */

/* Waits. Moves the position to the first upper key not below it. Returns: 1; 0 when none is left; or an
 * error. */
static int find_first_key(struct engine *e, struct merging *m)
{
    struct merge merge;
    struct record record;
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->set->run_count; i++)
        count += is_of_round(&e->round, &m->set->runs[i]) && !compaction_is_damaged(&m->set->runs[i]);
    int rc = merge_init(&merge, e->reactor, count);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < m->set->run_count; i++)
        if (is_of_round(&e->round, &m->set->runs[i]) && !compaction_is_damaged(&m->set->runs[i]))
            merge_add_run(&merge, &m->set->runs[i], TABLE_CURSOR_SCAN);
    rc = merge_seek(&merge, &e->round.position);
    if (rc == 0)
        rc = merge_next(&merge, &record);
    if (rc == 1)
        set_position(&e->round, &record.key);
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
    struct stretch s = {.bottom = find_bottom(m->set), .bytes_max = bytes_max};
    if (!s.bottom)
        return s;
    s.first = s.last = table_run_seek(s.bottom, &e->round.position);
    for (uint64_t bytes = 0; s.last < s.bottom->count && bytes < bytes_max; s.last++)
        bytes += s.bottom->tables[s.last]->bytes;
    if (s.last < s.bottom->count)
        s.end = smallest_of(s.bottom, s.last);
    return s;
}

/* The bytes of upper tables of the round that end before `key` and not before the position. */
static uint64_t upper_bytes_before(const struct engine *e, const struct merging *m,
                                   const struct record_key *key)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (!is_of_round(&e->round, run) || compaction_is_damaged(run))
            continue;
        uint32_t first = table_run_seek(run, &e->round.position), end = table_run_seek(run, key);
        for (uint32_t j = first; j < end; j++)
            bytes += run->tables[j]->bytes;
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
        if (!is_of_round(&e->round, run) || compaction_is_damaged(run))
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

/* An upper run of the round: tables up to the end of the stretch go, those that stay may hold older versions
 * of what is merged. */
static void plan_upper(const struct engine *e, struct merging *m, const struct stretch *s,
                       const struct table_run *run)
{
    uint32_t first = table_run_seek(run, &e->round.position);
    uint32_t stays = s->end ? table_run_seek(run, s->end) : run->count;
    remove_tables(m, run, 0, stays);
    if (first < run->count)
        m->inputs[m->input_count++] = merging_part(run, first, run->count);
    if (stays < run->count)
        m->older[m->older_count++] = merging_part(run, stays, run->count);
    struct table_run part = merging_part(run, first, stays > first ? stays : first);
    m->bytes += compaction_bytes_of(e, &part);
}

static void plan_stretch(const struct engine *e, struct merging *m, const struct stretch *s)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (run == s->bottom) /* no other of its tables has keys of the stretch */
            continue;
        if (is_of_round(&e->round, run) && !compaction_is_damaged(run))
            plan_upper(e, m, s, run);
        else
            m->older[m->older_count++] = *run;
    }
    if (!s->bottom || s->first >= s->last)
        return;
    remove_tables(m, s->bottom, s->first, s->last);
    m->inputs[m->input_count] = merging_part(s->bottom, s->first, s->last);
    m->bytes += compaction_bytes_of(e, &m->inputs[m->input_count++]);
}

/* Nothing is left: what is still there of the upper runs goes. */
static void plan_rest(const struct engine *e, struct merging *m)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (is_of_round(&e->round, run) && !compaction_is_damaged(run))
            remove_tables(m, run, 0, run->count);
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

/* What may be written until the next round is due: this one should be over by then. */
static uint64_t room_left(const struct engine *e)
{
    uint64_t trigger = compaction_trigger_bytes(e);
    uint64_t taken = compaction_fresh_bytes(e) + memtable_used_bytes(e->active);
    uint64_t least = trigger / ROOM_LEAST_SHARE;
    return trigger > taken + least ? trigger - taken : least;
}

/* Waits sometimes. Returns: 0, or TORC_E_CANCELLED when a table of the round was found damaged meanwhile. */
static int plan(struct engine *e, struct merging *m, struct stretch *s, uint64_t bytes_max)
{
    *s = find_stretch(e, m, bytes_max);
    cut_stretch(e, m, s);
    if (is_torn(e, m))
        return TORC_E_CANCELLED;
    m->input_count = m->older_count = m->removed_count = 0;
    m->bytes = 0;
    plan_stretch(e, m, s);
    return 0;
}

static int merge_stretch(struct engine *e, struct merging *m)
{
    struct stretch s;
    int rc = plan(e, m, &s, e->options.table_bytes_max);
    if (rc == 0 && !compaction_fits(e, m))
        rc = plan(e, m, &s, 1); /* as little as can be */
    if (rc)
        return rc;
    struct build build = {
        .level = TABLE_LEVEL_BOTTOM,
        .run = TABLE_RUN_BOTTOM,
        .from = first_key(e, &s),
        .end = s.end,
    };
    pace_plan(&e->pace, round_bytes_left(e), room_left(e));
    rc = compaction_merge(e, m, &build);
    if (rc)
        return rc;
    if (s.end)
        set_position(&e->round, s.end);
    else
        end_round(e);
    return 0;
}

int round_merge_fragment(struct engine *e)
{
    struct merging m;
    struct build nothing = {.level = TABLE_LEVEL_BOTTOM};
    int rc = merging_init(e, &m);
    if (rc == 0 && is_torn(e, &m))
        rc = TORC_E_CANCELLED;
    if (rc == 0)
        rc = find_first_key(e, &m);
    if (rc == 1) {
        rc = merge_stretch(e, &m);
    } else if (rc == 0) {
        plan_rest(e, &m);
        end_round(e);
        if (m.removed_count > 0)
            rc = compaction_merge(e, &m, &nothing);
    }
    merging_deinit(e, &m);
    return rc;
}
