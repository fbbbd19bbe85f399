/* merge.c - the k-way merge of memtables and runs of tables; see merge.h. */
#include "engine/merge.h"

#include "reactor/base/mark.h"

int merge_init(struct merge *m, struct reactor *r, uint32_t source_count_max)
{
    *m = (struct merge){.reactor = r, .capacity = source_count_max};
    m->sources = reactor_alloc_zeroed(r, (source_count_max ? source_count_max : 1) * sizeof *m->sources);
    return m->sources ? 0 : TORC_E_NO_MEMORY;
}

void merge_deinit(struct merge *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        if (s->memtable) {
            memtable_run_deinit(&s->sorted, m->reactor);
            memtable_release(s->memtable);
        } else {
            table_cursor_deinit(&s->cursor);
        }
    }
    reactor_free(m->reactor, m->sources);
    *m = (struct merge){0};
}

void merge_add_memtable(struct merge *m, struct memtable *memtable, uint16_t vnode_first, uint32_t vnode_end)
{
    ASSERT(m->count < m->capacity);
    memtable_hold(memtable);
    m->sources[m->count++] = (struct merge_source){.memtable = memtable,
                                                   .vnode = vnode_first,
                                                   .vnode_first = vnode_first,
                                                   .vnode_end = vnode_end};
}

void merge_add_run(struct merge *m, const struct table_run *run, enum table_cursor_mode mode)
{
    ASSERT(m->count < m->capacity && run->count > 0);
    struct merge_source *s = &m->sources[m->count++];
    *s = (struct merge_source){.run = run, .mode = mode};
    table_cursor_init(&s->cursor, run->tables[0]->table, mode);
}

/* ---- one source ---- */

/* To the record at the source's place, in this vnode or the next that has any. Waits. */
static int settle_memtable(struct merge_source *s)
{
    while (s->place >= s->sorted.count && s->vnode + 1 < s->vnode_end) {
        s->vnode++;
        s->place = 0;
        int rc = memtable_run_fill(&s->sorted, s->memtable, (uint16_t)s->vnode);
        if (rc)
            return rc;
    }
    s->is_valid = s->place < s->sorted.count;
    s->is_ended = !s->is_valid;
    if (s->is_valid)
        memtable_run_get(&s->sorted, s->memtable, s->place, &s->current);
    return 0;
}

static int seek_memtable(struct merge_source *s, const struct record_key *to)
{
    s->is_ended = to->vnode >= s->vnode_end;
    if (s->is_ended)
        return 0;
    uint32_t vnode = to->vnode > s->vnode_first ? to->vnode : s->vnode_first;
    if (vnode != s->vnode || s->sorted.count == 0) {
        s->vnode = vnode;
        int rc = memtable_run_fill(&s->sorted, s->memtable, (uint16_t)s->vnode);
        if (rc)
            return rc;
    }
    s->place = memtable_run_find(&s->sorted, s->memtable, to);
    return settle_memtable(s);
}

static void enter_table(struct merge_source *s, uint32_t table)
{
    table_cursor_deinit(&s->cursor);
    s->table = table;
    table_cursor_init(&s->cursor, s->run->tables[table]->table, s->mode);
}

/* At a table that cannot be read: its smallest key stands in the way, so that what comes before it in other
 * sources is still given out. Returns: whether it is so. */
static bool is_at_bar(struct merge_source *s)
{
    const struct table *t = s->run->tables[s->table]->table;
    if (!table_is_unreadable(t))
        return false;
    s->current = (struct record){.key = table_summary(t)->smallest};
    s->is_valid = s->is_barred = true;
    return true;
}

/* To the next record of the table, or the first of the next table. Waits. */
static int settle_run(struct merge_source *s)
{
    int rc = table_cursor_next(&s->cursor, &s->current);
    while (rc == 0 && s->table + 1 < s->run->count) {
        enter_table(s, s->table + 1);
        if (is_at_bar(s))
            return 0;
        rc = table_cursor_next(&s->cursor, &s->current);
    }
    s->is_valid = rc == 1;
    s->is_ended = rc == 0;
    return rc < 0 ? rc : 0;
}

static int seek_run(struct merge_source *s, const struct record_key *to)
{
    uint32_t table = table_run_seek(s->run, to);
    s->is_ended = table == s->run->count;
    if (s->is_ended)
        return 0;
    if (table != s->table)
        enter_table(s, table);
    if (is_at_bar(s))
        return 0;
    int rc = table_cursor_seek(&s->cursor, to);
    return rc ? rc : settle_run(s);
}

static int seek_source(struct merge_source *s, const struct record_key *to)
{
    s->is_valid = s->is_consumed = s->is_barred = false;
    return s->memtable ? seek_memtable(s, to) : seek_run(s, to);
}

static int advance(struct merge_source *s)
{
    s->is_valid = s->is_consumed = false;
    if (!s->memtable)
        return settle_run(s);
    s->place++;
    return settle_memtable(s);
}

/* What a memtable holds at a place may have been written over since: is its key still where it was? */
static void refresh(struct merge_source *s)
{
    if (s->memtable)
        memtable_run_get(&s->sorted, s->memtable, s->place, &s->current);
}

/* ---- all of them ---- */

static int fail(struct merge *m, uint32_t source, int code)
{
    m->bad_source = source;
    m->error = code;
    return code;
}

static int seek(struct merge *m, const struct record_key *to, bool is_anew)
{
    m->error = 0;
    m->given = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        if (s->is_valid)
            refresh(s);
        bool is_behind = s->is_ended || (s->is_valid && record_key_compare(&s->current.key, to) >= 0);
        if (is_behind && !is_anew)
            continue;
        int rc = seek_source(s, to);
        if (rc)
            return fail(m, i, rc);
    }
    return 0;
}

int merge_seek(struct merge *m, const struct record_key *to)
{
    return seek(m, to, m->error != 0);
}

int merge_seek_anew(struct merge *m, const struct record_key *to)
{
    return seek(m, to, true);
}

static int advance_consumed(struct merge *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        int rc = s->is_consumed ? advance(s) : 0;
        if (rc)
            return fail(m, i, rc);
    }
    return 0;
}

/* Of two at one key. */
static bool is_preferred(const struct merge_source *s, const struct merge_source *other)
{
    if (s->is_barred || other->is_barred)
        return s->is_barred;
    return version_compare(s->current.version, other->current.version) > 0;
}

int merge_next(struct merge *m, struct record *out)
{
    m->given = NULL;
    int rc = m->error ? m->error : advance_consumed(m);
    if (rc)
        return rc;
    struct merge_source *best = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->is_valid)
            continue;
        /* No wait from here on: what a memtable holds now is what comes out. */
        refresh(s);
        int order = best ? record_key_compare(&s->current.key, &best->current.key) : -1;
        if (order < 0 || (order == 0 && is_preferred(s, best)))
            best = s;
    }
    if (!best)
        return 0;
    if (best->is_barred) {
        MARK(scan_ends_before_an_unreadable_table);
        return fail(m, (uint32_t)(best - m->sources), TORC_E_CORRUPT);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        s->is_consumed = s->is_valid && record_key_compare(&s->current.key, &best->current.key) == 0;
    }
    m->bad_source = (uint32_t)(best - m->sources); /* should the record turn out to be out of order */
    m->given = best;
    *out = best->current;
    return 1;
}

struct slice merge_entry(const struct merge *m)
{
    ASSERT(m->given);
    return entry_of_decoded(&m->given->current);
}
