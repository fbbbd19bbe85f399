/* gather.c - one page in the order of keys from the pages of all cores; see gather.h. */
#include "shard/gather.h"

#include "reactor/base/mark.h"
#include "shard/scan_page.h"
#include "shard/shard.h"

enum {
    SMALL_BYTES = 16 << 10, /* merged at once */
    ENTRIES_PER_YIELD = 16,
};

struct part {
    uint8_t *value;       /* of its answer */
    struct slice entries; /* not yet merged */
    struct slice key;     /* of its first entry, when has_entry */
    struct slice item;    /* its value */
    bool has_entry;
};

struct gather {
    struct shard *shard;
    uint32_t index; /* in gathers.open */
    struct reply reply;
    uint8_t flags;
    uint64_t view;
    uint32_t limit;
    uint32_t missing; /* parts without an answer */
    int code;         /* the first error */
    size_t bytes;     /* of its parts that are there */
    bool has_bound;
    struct slice bound; /* as far as every core is known */
    struct part parts[];
};

void gather_table_deinit(struct shard *s)
{
    ASSERT(s->gathers.count == 0 && s->gathers.bytes == 0);
}

/* ---- the merge ---- */

static bool is_first(const struct gather *g, struct slice a, struct slice b)
{
    int order = slice_compare(a, b);
    return (g->flags & FRAME_REVERSE) ? order > 0 : order < 0;
}

/* Forward the bound begins the next page, backward it ends this one. */
static bool is_known(const struct gather *g, struct slice key)
{
    if (!g->has_bound)
        return true;
    int order = slice_compare(key, g->bound);
    return (g->flags & FRAME_REVERSE) ? order >= 0 : order < 0;
}

static int step(struct part *part)
{
    int rc = frame_page_next(&part->entries, &part->key, &part->item);
    part->has_entry = rc == 1;
    return rc < 0 ? rc : 0;
}

static int open_part(struct gather *g, struct part *part, struct slice value)
{
    struct slice cursor;
    int rc = frame_page_parse(value, &cursor, &part->entries);
    if (rc)
        return rc;
    if (cursor.bytes > 0) {
        struct slice key = scan_cursor_key(g->flags, cursor);
        if (!g->has_bound || is_first(g, key, g->bound))
            g->bound = key;
        g->has_bound = true;
    }
    return step(part);
}

static struct part *first_part(struct gather *g, unsigned count)
{
    struct part *first = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct part *part = &g->parts[i];
        if (part->has_entry && (!first || is_first(g, part->key, first->key)))
            first = part;
    }
    return first;
}

static void yield_after_some(struct shard *s, const struct scan_page *page)
{
    if (page->entries % ENTRIES_PER_YIELD == 0 && task_current(s->reactor))
        task_yield_if_due(s->reactor);
}

/* In a task it yields. Returns: 0 with *next set, its key empty at the end; or an error. */
static int merge(struct shard *s, struct gather *g, struct scan_page *page, struct scan_place *next)
{
    struct part *part;
    int rc = 0;
    if (g->has_bound)
        next->key = g->bound;
    while (rc == 0 && (part = first_part(g, s->core_count)) && is_known(g, part->key)) {
        if (scan_page_is_full(page, g->limit, part->key, part->item)) {
            if (!(g->flags & FRAME_REVERSE))
                next->key = part->key;
            return 0;
        }
        if (g->flags & FRAME_REVERSE) /* should the page end behind it */
            next->key = part->key;
        rc = scan_page_add(page, s->reactor, part->key, part->item);
        if (rc == 0)
            rc = step(part);
        yield_after_some(s, page);
    }
    if (rc == 0)
        next->key = g->has_bound ? g->bound : slice_of(NULL, 0);
    return rc;
}

/* ---- all are there ---- */

static void drop_parts(struct shard *s, struct gather *g)
{
    for (unsigned i = 0; i < s->core_count; i++) {
        reactor_free(s->reactor, g->parts[i].value);
        g->parts[i] = (struct part){.value = NULL};
    }
    s->gathers.bytes -= g->bytes;
    g->bytes = 0;
}

static void close_gather(struct shard *s, uint32_t index)
{
    struct gather *g = s->gathers.open[index];
    drop_parts(s, g);
    reactor_free(s->reactor, g);
    s->gathers.open[index] = NULL;
    s->gathers.count--;
}

static void finish(struct reactor *r, void *context)
{
    struct gather *g = context;
    struct shard *s = g->shard;
    struct reply reply = g->reply;
    struct answer answer = {.code = g->code};
    struct scan_page page = {.data = NULL};
    struct scan_place next = {.key = slice_of(NULL, 0)};
    if (answer.code == 0)
        answer.code = scan_page_init(&page, s->reactor);
    if (answer.code == 0)
        answer.code = merge(s, g, &page, &next);
    struct scan_query query = {.flags = g->flags, .view = g->view};
    if (answer.code == 0)
        answer.value = scan_page_finish(&page, &query, next.key.bytes > 0 ? &next : NULL);
    if (answer.code == 0 && next.key.bytes == 0 && g->view)
        views_end(s, g->view);
    close_gather(s, g->index);
    shard_reply(s, &reply, &answer);
    scan_page_deinit(&page, r);
}

/* Ten thousand entries of many cores take milliseconds: then a task does it, if there is one. */
static void finish_soon(struct shard *s, struct gather *g)
{
    if (g->bytes <= SMALL_BYTES || task_spawn(s->reactor, finish, g) != 0) {
        finish(s->reactor, g);
        return;
    }
    MARK(a_large_page_of_all_cores_is_put_together_by_a_task);
}

static int keep(struct shard *s, struct gather *g, struct part *part, struct slice value)
{
    ASSERT(!part->value);
    part->value = reactor_alloc(s->reactor, value.bytes + 1);
    if (!part->value)
        return TORC_E_NO_MEMORY;
    g->bytes += value.bytes;
    s->gathers.bytes += value.bytes;
    slice_put(part->value, value);
    return open_part(g, part, slice_of(part->value, value.bytes));
}

/* Is there memory for a part to wait for the others? Other pages' parts wait, too, maybe for a core that is
 * slow: together they may have as much as answers that are to be sent. */
static bool may_wait(const struct shard *s, const struct gather *g)
{
    return !s->memory.is_short && s->gathers.bytes - g->bytes < s->memory.plan.output_bytes_max;
}

void gather_reply(struct shard *s, const struct reply *reply, const struct answer *answer)
{
    ASSERT(reply->owner < GATHERS_MAX && reply->batch_place < s->core_count);
    struct gather *g = s->gathers.open[reply->owner];
    ASSERT(g && g->missing > 0);
    int rc = answer->code;
    if (rc == 0 && g->missing > 1 && !may_wait(s, g)) {
        s->memory.refusals++;
        rc = TORC_E_OVERLOADED;
    }
    if (rc == 0 && g->code == 0)
        rc = keep(s, g, &g->parts[reply->batch_place], answer->value);
    if (rc && g->code == 0) {
        g->code = rc;
        drop_parts(s, g);
    }
    if (--g->missing == 0)
        finish_soon(s, g);
}

/* ---- the start ---- */

static int64_t open_gather(struct shard *s, const struct request *q)
{
    s->memory.refusals += s->memory.is_short;
    if (s->gathers.count == GATHERS_MAX || s->memory.is_short)
        return TORC_E_OVERLOADED;
    uint32_t index = 0;
    while (s->gathers.open[index])
        index++;
    struct gather *g = reactor_alloc_zeroed(s->reactor, sizeof *g + s->core_count * sizeof g->parts[0]);
    if (!g)
        return TORC_E_NO_MEMORY;
    g->shard = s;
    g->index = index;
    g->reply = q->reply;
    g->flags = q->frame.flags;
    g->limit = scan_limit(&q->extensions);
    g->missing = s->core_count;
    s->gathers.open[index] = g;
    s->gathers.count++;
    return index;
}

void gather_start(struct shard *s, const struct request *q, uint64_t view)
{
    int64_t index = open_gather(s, q);
    if (index < 0) {
        shard_reply_code(s, &q->reply, (int)index);
        return;
    }
    s->gathers.open[index]->view = view;
    struct request part = *q;
    part.reply = (struct reply){.owner = (uint32_t)index,
                                .core = (uint16_t)s->core,
                                .op = q->reply.op,
                                .owner_kind = REPLY_TO_GATHER};
    for (unsigned core = 0; core < s->core_count; core++) {
        part.reply.batch_place = core;
        if (core == s->core) {
            jobs_add(s, &part);
            continue;
        }
        int rc = exchange_request(s, core, &part.reply, &q->frame, &q->arrival);
        if (rc)
            shard_reply_code(s, &part.reply, rc);
    }
}
