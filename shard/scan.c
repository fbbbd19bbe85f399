/* scan.c - the start of a scan, and one page vnode by vnode, in a task; see scan.h. */
#include "shard/scan.h"

#include "reactor/base/mark.h"
#include "shard/scan_ordered.h"
#include "shard/scan_page.h"
#include "shard/shard.h"

void scan_start(struct shard *s, const struct reply *reply, const struct frame *frame,
                const struct arrival *arrival)
{
    struct request request = {.reply = *reply, .frame = *frame, .arrival = *arrival};
    struct scan_query query;
    bool is_part = reply->owner_kind == REPLY_TO_GATHER;
    int rc = shard_parse_extensions(frame->extensions, &request.extensions);
    if (rc == 0)
        rc = scan_query_parse(s, frame->flags, frame->key, frame->value, &query);
    if (rc == 0 && query.is_ordered && !query.wants_view && !is_part && s->core_count > 1) {
        gather_start(s, &request, query.view);
        return;
    }
    unsigned core = rc == 0 && !query.is_ordered && !query.wants_view ? scan_query_core(s, &query) : s->core;
    if (rc == 0 && core != s->core) {
        rc = exchange_request(s, core, reply, frame, arrival);
        if (rc == 0)
            return;
    }
    if (rc)
        shard_reply_code(s, reply, rc);
    else
        jobs_add(s, &request);
}

/* ---- one page, vnode by vnode ---- */

/* Where the next page begins, or how far this one is. */
struct position {
    bool is_end;
    uint16_t vnode;
    uint16_t key_bytes;
    uint8_t key[KEY_BYTES_MAX];
};

struct walk {
    struct shard *shard;
    const struct job *job;
    const struct scan_query *query;
    struct engine_cursor *cursor;
    struct scan_page page;
    struct position next;
    struct position last; /* backward: the last key that was looked at */
    uint16_t entry_vnode; /* of the page's last entry */
    bool has_moved;       /* however slow the disk is, each page gets further than the last */
    uint64_t end_ns;
};

static void position_set(struct position *p, uint16_t vnode, struct slice key)
{
    p->is_end = false;
    p->vnode = vnode;
    p->key_bytes = (uint16_t)key.bytes;
    slice_put(p->key, key);
}

/* Out of the range, at `key` of `vnode`: on to where it begins, here or in the next vnode. Returns: 1; 0 when
 * there is no vnode left; or an error. Waits. */
static int skip(struct walk *w, uint16_t vnode, struct slice key)
{
    const struct scan_query *q = w->query;
    bool is_before = q->is_backward ? scan_is_above(q, key) : scan_is_below(q, key);
    uint32_t vnode_count = 1u << w->shard->vnode_bits;
    bool is_last = q->is_one_vnode || (q->is_backward ? vnode == 0 : vnode + 1u == vnode_count);
    if (!is_before && is_last)
        return 0;
    struct record_key to = {.vnode = vnode, .key = q->is_backward ? q->to : q->from};
    if (!is_before && !q->is_backward)
        to.vnode++;
    else if (!is_before && q->to.bytes > 0)
        to.vnode--;
    int rc = engine_cursor_seek(w->cursor, &to);
    return rc ? rc : 1;
}

/* One record, dead or alive. Returns: 1 to go on; 0 when the page is over; or an error. Waits. */
static int take(struct walk *w, int step, const struct record *record)
{
    const struct scan_query *q = w->query;
    struct slice key = record->key.key;
    uint16_t vnode = record->key.vnode;
    struct slice value = (q->flags & FRAME_KEYS_ONLY) ? slice_of(NULL, 0) : record->value;
    if (w->job->is_answered) { /* too late: nobody waits for the page */
        MARK(a_late_scan_stops);
        return TORC_E_TIMEOUT;
    }
    bool is_inside = !scan_is_below(q, key) && !scan_is_above(q, key);
    bool is_entry = is_inside && step == ENGINE_CURSOR_RECORD;
    if ((is_entry && scan_page_is_full(&w->page, w->job->limit, key, value)) ||
        (w->has_moved && reactor_clock_ns(w->shard->reactor) > w->end_ns)) {
        if (q->is_backward)
            w->next = w->last;
        else
            position_set(&w->next, vnode, key);
        return 0;
    }
    w->has_moved = true;
    if (q->is_backward)
        position_set(&w->last, vnode, key);
    if (!is_inside)
        return skip(w, vnode, key);
    if (!is_entry)
        return 1;
    w->entry_vnode = vnode;
    int rc = scan_page_add(&w->page, w->shard->reactor, key, value);
    return rc ? rc : 1;
}

/* Where this core's vnodes end the next core goes on, unless it was the last. */
static void set_after_last(struct walk *w)
{
    const struct shard *s = w->shard;
    bool is_backward = w->query->is_backward;
    uint32_t after = scan_first_vnode(s, is_backward ? s->core : s->core + 1);
    position_set(&w->next, (uint16_t)after, slice_of(NULL, 0));
    w->next.is_end = w->query->is_one_vnode || after == (is_backward ? 0 : 1u << s->vnode_bits);
}

static void set_range(const struct walk *w, const struct engine_view *view, struct engine_range *range)
{
    const struct scan_query *q = w->query;
    const struct shard *s = w->shard;
    struct record_key place = {.vnode = q->place.vnode, .key = q->place.key};
    uint32_t first = q->is_one_vnode ? q->only_vnode : scan_first_vnode(s, s->core);
    uint32_t end = q->is_one_vnode ? q->only_vnode + 1u : scan_first_vnode(s, s->core + 1);
    *range = (struct engine_range){
        .from = q->is_backward ? (struct record_key){.vnode = (uint16_t)first} : place,
        .to = q->is_backward ? place : (struct record_key){.vnode = (uint16_t)end},
        .is_backward = q->is_backward,
        .is_keys_only = (q->flags & FRAME_KEYS_ONLY) != 0,
        .dead_max = SCAN_LOOKED_IN_ROW,
        .now_ms = reactor_wall_ms(s->reactor),
        .view = view,
    };
}

/* Fills a page from the cursor on. Returns: 0 with the next position set, or an error. Waits. */
static int fill_page(struct walk *w, const struct engine_view *view)
{
    struct engine_range range;
    struct record record;
    set_range(w, view, &range);
    set_after_last(w);
    w->end_ns = reactor_clock_ns(w->shard->reactor) + SCAN_PAGE_NS_MAX;
    int rc = engine_cursor_open_range(w->shard->engine, &range, &w->cursor);
    if (rc)
        return rc;
    int step;
    while ((rc = step = engine_cursor_next(w->cursor, &record)) > 0 && (rc = take(w, step, &record)) > 0)
        continue;
    engine_cursor_close(w->cursor);
    return rc;
}

/* What comes before damage is answered: the page ends there, and the next one says what is wrong. Returns:
 * whether the page is so, with the next position set. */
static bool ends_at_damage(struct walk *w, int code)
{
    if ((code != TORC_E_CORRUPT && code != TORC_E_STORAGE) || w->page.entries == 0)
        return false;
    if (w->query->is_backward) {
        w->next = w->last;
        return true;
    }
    struct slice key = scan_page_last_key(&w->page);
    if (key.bytes == KEY_BYTES_MAX)
        return false; /* no cursor stands just behind it */
    MARK(a_page_ends_before_damage);
    position_set(&w->next, w->entry_vnode, key);
    w->next.key[w->next.key_bytes++] = 0;
    return true;
}

static void run_by_vnode(struct shard *s, struct job *job, const struct scan_query *query,
                         const struct engine_view *view)
{
    struct walk *w = reactor_alloc_zeroed(s->reactor, sizeof *w);
    int rc = w ? scan_page_init(&w->page, s->reactor) : TORC_E_NO_MEMORY;
    struct answer answer = {.code = rc};
    if (rc == 0) {
        w->shard = s;
        w->job = job;
        w->query = query;
        answer.code = fill_page(w, view);
        if (ends_at_damage(w, answer.code))
            answer.code = 0;
    }
    if (answer.code == 0) {
        struct scan_place next = {w->next.vnode, slice_of(w->next.key, w->next.key_bytes)};
        answer.value = scan_page_finish(&w->page, query, w->next.is_end ? NULL : &next);
        if (w->next.is_end && query->view && !job->is_answered) /* else the page is asked for again */
            views_end(s, query->view);
    }
    job_reply(s, job, &answer);
    if (w)
        scan_page_deinit(&w->page, s->reactor);
    reactor_free(s->reactor, w);
}

/* The first page of a snapshot has no entries: its cursor names the view. Waits. */
static void run_first(struct shard *s, struct job *job, struct scan_query *query)
{
    struct scan_page page;
    int rc = scan_page_init(&page, s->reactor);
    if (rc == 0)
        rc = views_begin(s, &query->view);
    struct answer answer = {.code = rc};
    if (rc == 0 && job->is_answered) {
        MARK(a_view_that_comes_too_late_ends);
        views_end(s, query->view);
    }
    if (rc == 0)
        answer.value = scan_page_finish(&page, query, &query->place);
    job_reply(s, job, &answer);
    scan_page_deinit(&page, s->reactor);
}

static void run_page(struct shard *s, struct job *job, const struct scan_query *query)
{
    struct view *v = query->view ? views_acquire(s, query->view) : NULL;
    const struct engine_view *view = v ? v->view : NULL;
    if (query->view && !v)
        job_reply(s, job, &(struct answer){.code = TORC_E_VIEW_ENDED});
    else if (query->is_ordered)
        scan_ordered_run(s, job, query, view);
    else
        run_by_vnode(s, job, query, view);
    if (v)
        views_release(s, v);
}

void scan_run(struct shard *s, struct job *job)
{
    struct scan_query query;
    struct slice key = slice_of(job->bytes, job->key_bytes);
    struct slice value = slice_of(job->bytes + job->key_bytes, job->value_bytes);
    int rc = scan_query_parse(s, job->flags, key, value, &query);
    ASSERT(rc == 0); /* scan_start has parsed it */
    if (query.wants_view)
        run_first(s, job, &query);
    else
        run_page(s, job, &query);
}
