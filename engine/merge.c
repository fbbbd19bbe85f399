/* merge.c - the k-way merge of memtables and runs of tables; see merge.h. */
#include "engine/merge.h"

#include "reactor/base/mark.h"

int merge_init(struct merge *m, struct reactor *r, uint32_t source_count_max)
{
    size_t count = source_count_max ? source_count_max : 1;
    *m = (struct merge){.reactor = r, .capacity = source_count_max};
    m->sources = reactor_alloc_zeroed(r, count * sizeof *m->sources);
    m->order = reactor_alloc(r, count * sizeof(struct merge_source *));
    if (m->sources && m->order)
        return 0;
    merge_deinit(m);
    return TORC_E_NO_MEMORY;
}

void merge_deinit(struct merge *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        merge_source_deinit(&m->sources[i]);
    reactor_free(m->reactor, m->order);
    reactor_free(m->reactor, m->sources);
    *m = (struct merge){.reactor = m->reactor};
}

void merge_go_backward(struct merge *m)
{
    ASSERT(m->count == 0);
    m->is_backward = true;
}

static struct merge_source *new_source(struct merge *m)
{
    ASSERT(m->count < m->capacity);
    return &m->sources[m->count++];
}

void merge_add_memtable(struct merge *m, struct memtable *memtable, uint16_t vnode_first, uint32_t vnode_end)
{
    struct merge_source *s = new_source(m);
    merge_source_of_memtable(s, memtable, vnode_first, vnode_end);
    s->reactor = m->reactor;
    s->is_backward = m->is_backward;
}

void merge_add_memtable_until(struct merge *m, struct memtable *memtable, uint16_t vnode_first,
                              uint32_t vnode_end, struct memtable_past past)
{
    merge_add_memtable(m, memtable, vnode_first, vnode_end);
    m->sources[m->count - 1].past = past;
}

void merge_add_run(struct merge *m, const struct table_run *run, enum table_cursor_mode mode)
{
    struct merge_source *s = new_source(m);
    merge_source_of_run(s, run, mode);
    s->reactor = m->reactor;
    s->is_backward = m->is_backward;
}

void merge_for_the_last_time(struct merge *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        m->sources[i].past.is_last = true;
}

void merge_use_disk(struct merge *m, struct disk_share share)
{
    for (uint32_t i = 0; i < m->count; i++)
        m->sources[i].share = m->sources[i].cursor.share = share;
}

void merge_read_until(struct merge *m, const struct record_key *end)
{
    for (uint32_t i = 0; i < m->count; i++)
        m->sources[i].end = m->sources[i].cursor.end = end;
}

void merge_give_up(struct merge *m, struct table_losses *losses)
{
    ASSERT(m->count == 1 && m->sources[0].run && m->sources[0].run->count == 1);
    table_cursor_give_up(&m->sources[0].cursor, losses);
}

/* ---- the order of sources ---- */

static int compare_whole(struct merge_source *a, struct merge_source *b)
{
    merge_source_read(a);
    merge_source_read(b);
    return record_key_compare(&a->current.key, &b->current.key);
}

/* By what they stand on, in the direction of the merge. No wait. */
static int compare(const struct merge *m, struct merge_source *a, struct merge_source *b)
{
    int order;
    if (a->group != b->group)
        order = a->group < b->group ? -1 : 1;
    else if (a->prefix != b->prefix)
        order = a->prefix < b->prefix ? -1 : 1;
    else
        order = compare_whole(a, b);
    return m->is_backward ? -order : order;
}

/* Puts the source that is at `at` to its place among those behind it, which are in order. */
static void sift(struct merge *m, uint32_t at)
{
    struct merge_source *s = m->order[at];
    uint32_t low = at + 1;
    uint32_t high = m->order_count;
    if (low == high || compare(m, s, m->order[low]) <= 0)
        return;
    for (low++; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(m, s, m->order[middle]) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&m->order[at], &m->order[at + 1], (low - at - 1) * sizeof(struct merge_source *));
    m->order[low - 1] = s;
}

static void push_front(struct merge *m, struct merge_source *s)
{
    memmove(&m->order[1], m->order, m->order_count * sizeof(struct merge_source *));
    m->order[0] = s;
    m->order_count++;
    sift(m, 0);
}

static void pop_front(struct merge *m)
{
    m->order_count--;
    memmove(m->order, &m->order[1], m->order_count * sizeof(struct merge_source *));
}

/* ---- all of them ---- */

static struct merge_place place_of(const struct merge *m, const struct merge_source *s)
{
    return (struct merge_place){.source = (uint32_t)(s - m->sources), .table = s->table};
}

static int fail(struct merge *m, const struct merge_source *source, int code)
{
    m->place = place_of(m, source);
    m->error = code;
    return code;
}

/* Is what it stands on at or behind the key, in our direction? */
static bool is_past(const struct merge *m, struct merge_source *s, const struct record_key *to)
{
    if (s->state != SOURCE_STANDS)
        return s->state == SOURCE_ENDED;
    merge_source_read(s);
    int order = record_key_compare(&s->current.key, to);
    return m->is_backward ? order < 0 : order >= 0;
}

static int seek(struct merge *m, const struct record_key *to, bool is_anew)
{
    m->given = NULL;
    m->error = 0;
    /* When what was given out last is past it, so is all that comes. */
    if (!is_anew && m->passed > 0 && is_past(m, m->order[0], to))
        return 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct merge_source *s = &m->sources[i];
        int rc = !is_anew && is_past(m, s, to) ? 0 : merge_source_seek(s, to);
        if (rc)
            return fail(m, s, rc);
    }
    m->passed = 0;
    m->order_count = 0;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->sources[i].state == SOURCE_STANDS)
            push_front(m, &m->sources[i]);
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

/* Those not yet advanced stand on a smaller key than those that are, so each in turn is the first. */
static int advance_passed(struct merge *m)
{
    for (; m->passed > 0; m->passed--) {
        struct merge_source *s = m->order[0];
        int rc = merge_source_advance(s);
        if (rc)
            return fail(m, s, rc);
        if (s->state == SOURCE_STANDS)
            sift(m, 0);
        else
            pop_front(m);
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
    int rc = m->error ? m->error : advance_passed(m);
    if (rc)
        return rc;
    if (m->order_count == 0)
        return 0;
    /* No wait from here on: what a memtable holds now is what comes out. */
    struct merge_source *best = m->order[0];
    merge_source_read(best);
    for (m->passed = 1; m->passed < m->order_count; m->passed++) {
        struct merge_source *s = m->order[m->passed];
        if (compare(m, m->order[0], s) != 0)
            break;
        if (is_preferred(s, best))
            best = s;
    }
    if (best->is_barred) {
        MARK(scan_ends_before_an_unreadable_table);
        return fail(m, best, TORC_E_CORRUPT);
    }
    m->given = best;
    m->place = place_of(m, best);
    *out = best->current;
    return 1;
}

int merge_read_again(struct merge *m, struct record *out)
{
    ASSERT(m->given);
    if (!merge_is_stale(m))
        return 0;
    int rc = merge_source_read_again(m->given);
    if (rc < 0)
        return fail(m, m->given, rc);
    *out = m->given->current;
    return rc;
}

struct slice merge_entry(const struct merge *m)
{
    ASSERT(m->given);
    return m->given->memtable ? entry_of_decoded(&m->given->current) : table_cursor_entry(&m->given->cursor);
}
