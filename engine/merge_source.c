/* merge_source.c - memtables and runs of tables as sorted sources; see merge_source.h. */
#include "engine/merge_source.h"

enum { PREFETCH_RECORDS = 6 }; /* so far ahead an entry of a memtable is asked for */

void merge_source_of_memtable(struct merge_source *s, struct memtable *memtable, uint32_t vnode_first,
                              uint32_t vnode_end)
{
    memtable_hold(memtable);
    *s = (struct merge_source){.memtable = memtable,
                               .vnode = vnode_first,
                               .vnode_first = vnode_first,
                               .vnode_end = vnode_end,
                               .past = {UINT64_MAX, memtable_moment(memtable), false}};
}

void merge_source_of_run(struct merge_source *s, const struct table_run *run, enum table_cursor_mode mode)
{
    ASSERT(run->count > 0);
    *s = (struct merge_source){.run = run, .mode = mode};
    table_cursor_init(&s->cursor, run->tables[0]->table, mode);
}

void merge_source_deinit(struct merge_source *s)
{
    if (s->memtable) {
        memtable_run_deinit(&s->sorted);
        memtable_release(s->memtable);
    } else {
        table_cursor_deinit(&s->cursor);
    }
}

static void stand(struct merge_source *s, uint32_t vnode, uint32_t namespace_id, uint64_t prefix)
{
    s->state = SOURCE_STANDS;
    s->group = (uint64_t)vnode << 32 | namespace_id;
    s->prefix = prefix;
}

/* ---- a memtable ---- */

static bool has_record(const struct merge_source *s)
{
    return s->is_backward ? s->place > 0 : s->place < s->sorted.count;
}

static int enter_vnode(struct merge_source *s, uint32_t vnode)
{
    s->vnode = vnode;
    int rc = memtable_run_fill(&s->sorted, s->memtable, (uint16_t)vnode, &s->past);
    s->place = s->is_backward ? s->sorted.count : 0;
    return rc;
}

static void move_place(struct merge_source *s)
{
    if (s->is_backward)
        s->place--;
    else
        s->place++;
}

/* Past keys of which all versions are newer than the view. Yields. */
static void skip_newer(struct merge_source *s)
{
    struct record record;
    while (s->past.clock_max != UINT64_MAX && has_record(s)) {
        uint32_t at = s->is_backward ? s->place - 1 : s->place;
        if (memtable_run_get_until(&s->sorted, s->memtable, at, s->past.clock_max, &record))
            return;
        move_place(s);
        task_yield_if_due(s->reactor);
    }
}

/* Stands on the record at the source's place, in this vnode or the next that has any. Waits. */
static int settle_memtable(struct merge_source *s)
{
    for (skip_newer(s); !has_record(s); skip_newer(s)) {
        bool is_last = s->is_backward ? s->vnode <= s->vnode_first : s->vnode + 1 >= s->vnode_end;
        if (is_last) {
            s->state = SOURCE_ENDED;
            return 0;
        }
        int rc = enter_vnode(s, s->is_backward ? s->vnode - 1 : s->vnode + 1);
        if (rc)
            return rc;
    }
    uint32_t at = s->is_backward ? s->place - 1 : s->place;
    uint32_t ahead = s->is_backward ? at - PREFETCH_RECORDS : at + PREFETCH_RECORDS;
    memtable_run_prefetch(&s->sorted, s->memtable, ahead);
    struct memtable_run_place place = memtable_run_place(&s->sorted, at);
    stand(s, s->vnode, place.namespace_id, place.prefix);
    return 0;
}

/* Which vnode a seek goes to. Returns: nothing of the source is on that side of the key. */
static bool choose_vnode(const struct merge_source *s, const struct record_key *to, uint32_t *vnode)
{
    *vnode = to->vnode;
    if (s->is_backward) {
        if (*vnode >= s->vnode_end)
            *vnode = s->vnode_end - 1;
        return to->vnode < s->vnode_first || s->vnode_first == s->vnode_end;
    }
    if (*vnode < s->vnode_first)
        *vnode = s->vnode_first;
    return *vnode >= s->vnode_end;
}

static int seek_memtable(struct merge_source *s, const struct record_key *to)
{
    uint32_t vnode;
    if (choose_vnode(s, to, &vnode)) {
        s->state = SOURCE_ENDED;
        return 0;
    }
    if (vnode != s->vnode || s->sorted.count == 0) {
        int rc = enter_vnode(s, vnode);
        if (rc)
            return rc;
    }
    if (vnode == to->vnode)
        s->place = memtable_run_find(&s->sorted, s->memtable, to);
    else
        s->place = s->is_backward ? s->sorted.count : 0;
    return settle_memtable(s);
}

/* ---- a run of tables ---- */

static void stand_on_current(struct merge_source *s)
{
    const struct record_key *k = &s->current.key;
    stand(s, k->vnode, k->namespace_id, record_key_prefix(k));
}

static void enter_table(struct merge_source *s, uint32_t table)
{
    table_cursor_deinit(&s->cursor);
    s->table = table;
    table_cursor_init(&s->cursor, s->run->tables[table]->table, s->mode);
    s->cursor.share = s->share;
    s->cursor.end = s->end;
}

/* At a table that cannot be read: the key it begins with stands in the way, so that what comes before it in
 * other sources is still given out. Returns: whether it is so. */
static bool is_at_bar(struct merge_source *s)
{
    const struct table *t = s->run->tables[s->table]->table;
    if (!table_is_unreadable(t))
        return false;
    const struct table_summary *summary = table_summary(t);
    s->current = (struct record){.key = s->is_backward ? summary->largest : summary->smallest};
    s->is_barred = true;
    stand_on_current(s);
    return true;
}

/* Is all that the table may hold past the end of the scan? */
static bool is_past_end(const struct merge_source *s, uint32_t table)
{
    if (!s->end || s->mode != TABLE_CURSOR_SCAN)
        return false;
    const struct table_summary *summary = table_summary(s->run->tables[table]->table);
    return s->is_backward ? record_key_compare(&summary->largest, s->end) < 0
                          : record_key_compare(&summary->smallest, s->end) >= 0;
}

static bool has_table_left(const struct merge_source *s)
{
    bool is_last = s->is_backward ? s->table == 0 : s->table + 1 == s->run->count;
    return !is_last && !is_past_end(s, s->is_backward ? s->table - 1 : s->table + 1);
}

/* To the beginning of the next table, seen in our direction. Waits. */
static int next_table(struct merge_source *s)
{
    enter_table(s, s->is_backward ? s->table - 1 : s->table + 1);
    if (is_at_bar(s) || !s->is_backward)
        return 0;
    return table_cursor_seek_before(&s->cursor, NULL);
}

static int step(struct merge_source *s)
{
    return s->is_backward ? table_cursor_previous(&s->cursor, &s->current)
                          : table_cursor_next(&s->cursor, &s->current);
}

/* To the next record of the table, or the first of the next table. Waits. */
static int settle_run(struct merge_source *s)
{
    int rc = step(s);
    while (rc == 0 && has_table_left(s)) {
        rc = next_table(s);
        if (rc || s->is_barred)
            return rc;
        rc = step(s);
    }
    if (rc < 0)
        return rc;
    s->state = SOURCE_ENDED;
    if (rc == 1)
        stand_on_current(s);
    return 0;
}

/* The table that a seek goes to. Returns: nothing of the run is on that side of the key. */
static bool choose_table(const struct merge_source *s, const struct record_key *to, uint32_t *table)
{
    *table = table_run_seek(s->run, to);
    if (!s->is_backward)
        return *table == s->run->count;
    bool begins_below = *table < s->run->count &&
                        record_key_compare(&table_summary(s->run->tables[*table]->table)->smallest, to) < 0;
    if (begins_below)
        return false;
    return (*table)-- == 0;
}

static int seek_run(struct merge_source *s, const struct record_key *to)
{
    uint32_t table;
    if (choose_table(s, to, &table) || is_past_end(s, table)) {
        s->state = SOURCE_ENDED;
        return 0;
    }
    if (table != s->table)
        enter_table(s, table);
    if (is_at_bar(s))
        return 0;
    int rc = s->is_backward ? table_cursor_seek_before(&s->cursor, to) : table_cursor_seek(&s->cursor, to);
    return rc ? rc : settle_run(s);
}

/* ---- either ---- */

int merge_source_seek(struct merge_source *s, const struct record_key *to)
{
    s->is_barred = false;
    return s->memtable ? seek_memtable(s, to) : seek_run(s, to);
}

int merge_source_read_again(struct merge_source *s)
{
    ASSERT(!s->memtable && s->state == SOURCE_STANDS);
    uint64_t hash = table_key_hash(&s->current.key);
    uint16_t vnode = s->current.key.vnode;
    int rc = table_cursor_read_again(&s->cursor, &s->current);
    if (rc != 1)
        return rc;
    return s->current.key.vnode == vnode && table_key_hash(&s->current.key) == hash ? 1 : TORC_E_CORRUPT;
}

int merge_source_advance(struct merge_source *s)
{
    ASSERT(s->state == SOURCE_STANDS);
    s->is_barred = false;
    if (!s->memtable)
        return settle_run(s);
    move_place(s);
    return settle_memtable(s);
}
