/* merge.c - the k-way merge of memtables and tables; see merge.h. */
#include "engine/merge.h"

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
            memtable_run_deinit(&s->run, m->reactor);
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
    m->sources[m->count++] = (struct merge_source){.memtable = memtable, .vnode = vnode_first, .vnode_end = vnode_end};
}

void merge_add_table(struct merge *m, struct table *table, enum table_cursor_mode mode)
{
    ASSERT(m->count < m->capacity);
    struct merge_source *s = &m->sources[m->count++];
    *s = (struct merge_source){0};
    table_cursor_init(&s->cursor, table, mode);
}

/* ---- one source ---- */

/* To the record at the source's place, in this vnode or the next that has any. Waits. */
static int settle_memtable(struct merge_source *s)
{
    while (s->place >= s->run.count && s->vnode + 1 < s->vnode_end) {
        s->vnode++;
        s->place = 0;
        int rc = memtable_run_fill(&s->run, s->memtable, (uint16_t)s->vnode);
        if (rc)
            return rc;
    }
    s->is_valid = s->place < s->run.count;
    if (s->is_valid)
        memtable_run_get(&s->run, s->memtable, s->place, &s->current);
    return 0;
}

static int seek_memtable(struct merge_source *s, const struct record_key *to)
{
    if (to->vnode >= s->vnode_end) {
        s->is_valid = false;
        s->vnode = s->vnode_end;
        s->run.count = s->place = 0;
        return 0;
    }
    if (to->vnode != s->vnode || s->run.count == 0) {
        s->vnode = to->vnode > s->vnode ? to->vnode : s->vnode;
        int rc = memtable_run_fill(&s->run, s->memtable, (uint16_t)s->vnode);
        if (rc)
            return rc;
    }
    s->place = memtable_run_find(&s->run, s->memtable, to);
    return settle_memtable(s);
}

static int settle_table(struct merge_source *s)
{
    int rc = table_cursor_next(&s->cursor, &s->current);
    s->is_valid = rc == 1;
    return rc < 0 ? rc : 0;
}

static int seek_source(struct merge_source *s, const struct record_key *to)
{
    s->is_consumed = false;
    if (s->memtable)
        return seek_memtable(s, to);
    int rc = table_cursor_seek(&s->cursor, to);
    return rc ? rc : settle_table(s);
}

static int advance(struct merge_source *s)
{
    s->is_consumed = false;
    if (!s->memtable)
        return settle_table(s);
    s->place++;
    return settle_memtable(s);
}

/* ---- all of them ---- */

int merge_seek(struct merge *m, const struct record_key *to)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        if (s->is_valid && record_key_compare(&s->current.key, to) >= 0)
            continue;
        int rc = seek_source(s, to);
        if (rc) {
            m->bad_source = i;
            return rc;
        }
    }
    return 0;
}

static int advance_consumed(struct merge *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        int rc = s->is_consumed ? advance(s) : 0;
        if (rc) {
            m->bad_source = i;
            return rc;
        }
    }
    return 0;
}

int merge_next(struct merge *m, struct record *out)
{
    int rc = advance_consumed(m);
    if (rc)
        return rc;
    struct merge_source *best = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->is_valid)
            continue;
        /* No wait from here on: what a memtable holds now is what comes out. */
        if (s->memtable)
            memtable_run_get(&s->run, s->memtable, s->place, &s->current);
        int order = best ? record_key_compare(&s->current.key, &best->current.key) : -1;
        if (order < 0 || (order == 0 && version_compare(s->current.version, best->current.version) > 0))
            best = s;
    }
    if (!best)
        return 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        s->is_consumed = s->is_valid && record_key_compare(&s->current.key, &best->current.key) == 0;
    }
    *out = best->current;
    return 1;
}
