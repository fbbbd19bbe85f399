/* scan_ordered.c - the vnodes of a core in the order of keys.
 *
 *   vnode 0   [ a  f  k ]  p ..        one pass over the vnodes, each from where the page begins; what is
 *   vnode 1   [ c  m ]  q ..           kept are the first keys of all that were seen, as many as a page has
 *   vnode 2   [ b  d ]  n ..           room for: a heap with the last of them on top
 *                      ^ bound: nothing at or behind it is in this page
 *
 * The first vnode fills the heap, each further one has less to add, so a page of n entries looks at about
 * n * ln(vnodes) records and seeks once a vnode, always forward. A vnode with a long row of dead records
 * gives up after some of them and pulls the bound to where it stands: the page is smaller, every page gets
 * further, and none takes long. Backward all is mirrored; the bound is then the last key of the page. */
#include "shard/scan_ordered.h"

#include "reactor/base/mark.h"
#include "shard/scan_page.h"
#include "shard/shard.h"

enum {
    LOOKED_VNODE_MIN = 4, /* it gets past the first, which was looked at before */
    POPS_PER_YIELD = 64,
};

struct candidate {
    uint32_t key_bytes;
    uint32_t value_bytes;
    uint8_t bytes[]; /* key, value */
};

struct ordered {
    struct shard *shard;
    const struct job *job;
    const struct scan_query *query;
    const struct engine_view *view;
    struct slice low;  /* no key below it */
    struct slice high; /* nor at or behind it; empty: no end */
    uint32_t vnode_first;
    uint32_t vnode_end;
    uint32_t limit;
    struct candidate **heap; /* the one that leaves first is heap[0] */
    uint32_t count;
    size_t bytes;
    bool has_bound;
    uint16_t bound_bytes;
    uint8_t bound[KEY_BYTES_MAX];
};

static struct slice key_of(const struct candidate *c)
{
    return slice_of(c->bytes, c->key_bytes);
}

static struct slice value_of(const struct candidate *c)
{
    return slice_of(c->bytes + c->key_bytes, c->value_bytes);
}

/* ---- the heap ---- */

/* Does a leave the page before b does? */
static bool leaves_before(const struct ordered *o, const struct candidate *a, const struct candidate *b)
{
    int order = slice_compare(key_of(a), key_of(b));
    return o->query->is_backward ? order < 0 : order > 0;
}

static void push(struct ordered *o, struct candidate *c)
{
    uint32_t i = o->count++;
    for (; i > 0 && leaves_before(o, c, o->heap[(i - 1) / 2]); i = (i - 1) / 2)
        o->heap[i] = o->heap[(i - 1) / 2];
    o->heap[i] = c;
    o->bytes += scan_entry_bytes(key_of(c), value_of(c));
}

static struct candidate *pop(struct ordered *o)
{
    struct candidate *top = o->heap[0];
    struct candidate *c = o->heap[--o->count];
    uint32_t i = 0;
    for (uint32_t child = 1; child < o->count; child = 2 * i + 1) {
        if (child + 1 < o->count && leaves_before(o, o->heap[child + 1], o->heap[child]))
            child++;
        if (!leaves_before(o, o->heap[child], c))
            break;
        o->heap[i] = o->heap[child];
        i = child;
    }
    o->heap[i] = c;
    o->bytes -= scan_entry_bytes(key_of(top), value_of(top));
    return top;
}

/* ---- the bound ---- */

static bool is_within(const struct ordered *o, struct slice key)
{
    if (!o->has_bound)
        return true;
    int order = slice_compare(key, slice_of(o->bound, o->bound_bytes));
    return o->query->is_backward ? order >= 0 : order < 0;
}

static void set_bound(struct ordered *o, struct slice key)
{
    o->has_bound = true;
    o->bound_bytes = (uint16_t)key.bytes;
    slice_put(o->bound, key);
}

static void yield_after_some(const struct ordered *o)
{
    if (o->count % POPS_PER_YIELD == 0)
        task_yield_if_due(o->shard->reactor);
}

/* The page ends at `key` at the latest. Waits. */
static void cut(struct ordered *o, struct slice key)
{
    set_bound(o, key);
    while (o->count > 0 && !is_within(o, key_of(o->heap[0]))) {
        reactor_free(o->shard->reactor, pop(o));
        yield_after_some(o);
    }
}

static void drop_last(struct ordered *o)
{
    struct candidate *c = pop(o);
    set_bound(o, o->query->is_backward ? key_of(o->heap[0]) : key_of(c));
    reactor_free(o->shard->reactor, c);
}

static int add(struct ordered *o, const struct record *record)
{
    struct slice key = record->key.key;
    struct slice value = (o->query->flags & FRAME_KEYS_ONLY) ? slice_of(NULL, 0) : record->value;
    struct candidate *c = reactor_alloc(o->shard->reactor, sizeof *c + key.bytes + value.bytes);
    if (!c)
        return TORC_E_NO_MEMORY;
    c->key_bytes = (uint32_t)key.bytes;
    c->value_bytes = (uint32_t)value.bytes;
    slice_put(slice_put(c->bytes, key), value);
    push(o, c);
    while (o->count > 1 && (o->count > o->limit || o->bytes > SCAN_PAGE_BYTES))
        drop_last(o);
    return 0;
}

/* ---- the pass over the vnodes ---- */

/* Waits. To the beginning of the page in the next vnode. Returns: 1; 0 when there is none; or an error. */
static int next_vnode(struct ordered *o, struct engine_cursor *cursor, uint16_t vnode)
{
    bool is_backward = o->query->is_backward;
    if (is_backward ? vnode == o->vnode_first : vnode + 1u == o->vnode_end)
        return 0;
    struct record_key to = {.vnode = vnode, .key = is_backward ? o->high : o->low};
    if (!is_backward)
        to.vnode++;
    else if (o->high.bytes > 0)
        to.vnode--;
    int rc = engine_cursor_seek(cursor, &to);
    return rc ? rc : 1;
}

/* One record, dead or alive. Returns: 1 to go on; 0 at the end; or an error. Waits. */
static int take(struct ordered *o, struct engine_cursor *cursor, int step, const struct record *record)
{
    struct slice key = record->key.key;
    uint16_t vnode = record->key.vnode;
    bool is_backward = o->query->is_backward;
    if (o->job->is_answered) {
        MARK(a_late_scan_stops);
        return TORC_E_TIMEOUT;
    }
    bool is_below = slice_compare(key, o->low) < 0;
    bool is_above = o->high.bytes > 0 && slice_compare(key, o->high) >= 0;
    if (is_backward ? is_above : is_below) {
        struct record_key to = {.vnode = vnode, .key = is_backward ? o->high : o->low};
        int rc = engine_cursor_seek(cursor, &to);
        return rc ? rc : 1;
    }
    if (is_below || is_above || !is_within(o, key))
        return next_vnode(o, cursor, vnode);
    if (step == ENGINE_CURSOR_DEAD) {
        bool has_moved = is_backward || slice_compare(key, o->low) > 0;
        if (!has_moved)
            return 1;
        MARK(an_ordered_page_ends_in_a_row_of_dead_records);
        cut(o, key);
        return next_vnode(o, cursor, vnode);
    }
    int rc = add(o, record);
    return rc ? rc : 1;
}

static int collect(struct ordered *o)
{
    bool is_backward = o->query->is_backward;
    uint32_t looked = o->shard->scan_looked_max / (o->vnode_end - o->vnode_first + 1);
    struct engine_range range = {
        .from = {.vnode = (uint16_t)o->vnode_first, .key = is_backward ? slice_of(NULL, 0) : o->low},
        .to = {.vnode = (uint16_t)o->vnode_end},
        .is_backward = is_backward,
        .is_keys_only = (o->query->flags & FRAME_KEYS_ONLY) != 0,
        .dead_max = looked > LOOKED_VNODE_MIN ? looked : LOOKED_VNODE_MIN,
        .now_ms = reactor_wall_ms(o->shard->reactor),
        .view = o->view,
    };
    struct engine_cursor *cursor;
    struct record record;
    int step;
    int rc = engine_cursor_open_range(o->shard->engine, &range, &cursor);
    if (rc)
        return rc;
    while ((rc = step = engine_cursor_next(cursor, &record)) > 0 && (rc = take(o, cursor, step, &record)) > 0)
        continue;
    engine_cursor_close(cursor);
    return rc;
}

/* ---- the page ---- */

/* What is left on the heap last comes first. Waits. */
static int write_page(struct ordered *o, struct scan_page *page)
{
    uint32_t count = o->count;
    int rc = 0;
    for (uint32_t i = count; i > 0; i--) {
        struct candidate *last = pop(o);
        o->heap[i - 1] = last; /* its place is free now */
        yield_after_some(o);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (rc == 0)
            rc = scan_page_add(page, o->shard->reactor, key_of(o->heap[i]), value_of(o->heap[i]));
        reactor_free(o->shard->reactor, o->heap[i]);
    }
    return rc;
}

static void set_limits(struct ordered *o)
{
    const struct scan_query *q = o->query;
    struct slice place = q->place.key;
    o->low = q->from;
    o->high = q->to;
    if (!q->is_backward && slice_compare(place, o->low) > 0)
        o->low = place;
    if (q->is_backward && place.bytes > 0 && (o->high.bytes == 0 || slice_compare(place, o->high) < 0))
        o->high = place;
    o->vnode_first = scan_first_vnode(o->shard, o->shard->core);
    o->vnode_end = scan_first_vnode(o->shard, o->shard->core + 1);
    /* Keys are spread evenly, so each core has its share of what all give out together. */
    bool is_part = o->job->reply.owner_kind == REPLY_TO_GATHER;
    o->limit = is_part ? o->job->limit / o->shard->core_count + 1 : o->job->limit;
}

static int run(struct ordered *o, struct scan_page *page)
{
    set_limits(o);
    o->heap = reactor_alloc(o->shard->reactor, (o->limit + 1) * sizeof(struct candidate *));
    int rc = o->heap ? scan_page_init(page, o->shard->reactor) : TORC_E_NO_MEMORY;
    if (rc == 0)
        rc = collect(o);
    if (rc == 0)
        return write_page(o, page);
    for (; o->count > 0; o->count--)
        reactor_free(o->shard->reactor, o->heap[o->count - 1]);
    return rc;
}

void scan_ordered_run(struct shard *s, struct job *job, const struct scan_query *query,
                      const struct engine_view *view)
{
    struct ordered *o = reactor_alloc_zeroed(s->reactor, sizeof *o);
    struct scan_page page = {.data = NULL};
    struct answer answer = {.code = TORC_E_NO_MEMORY};
    if (o) {
        o->shard = s;
        o->job = job;
        o->query = query;
        o->view = view;
        answer.code = run(o, &page);
    }
    if (answer.code == 0) {
        struct scan_place next = {.key = slice_of(o->bound, o->bound_bytes)};
        answer.value = scan_page_finish(&page, query, o->has_bound ? &next : NULL);
        bool is_asked_again = job->is_answered || job->reply.owner_kind == REPLY_TO_GATHER;
        if (!o->has_bound && query->view && !is_asked_again)
            views_end(s, query->view);
    }
    job_reply(s, job, &answer);
    scan_page_deinit(&page, s->reactor);
    if (o)
        reactor_free(s->reactor, o->heap);
    reactor_free(s->reactor, o);
}
