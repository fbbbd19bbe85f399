/* memtable_run.c - sorted lists of a memtable's vnodes: who makes one, and who shares it.
 *
 *   fill --short--> made (memtable_list.c)
 *     | long
 *     +--> kept list is good ---------------------------------> shared
 *     +--> nobody lists the vnode --> made, kept, handed out --> shared
 *     +--> another task does --> wait --> begun after my moment --> shared
 *                                    \--> begun before it --> once more: the next one is good
 *
 * A list is good when it was begun after the moment of who asks, or nothing has come to its vnode since. So
 * however many ask at once for a long vnode that is written to, it is sorted twice, never by two at a time.
 *
 * Scans in the order of keys go through all vnodes for each page, again and again: when there is no room for
 * the lists of all, those made first stay, and the last place goes from hand to hand. */
#include "engine/memtable_internal.h"

enum {
    WAITS_MAX = 2,
    FORGOTTEN_AT_ONCE = 16,
    KEPT_SHARE = 4, /* of the memory of entries: all lists, when those have 64 bytes */
};

/* A long list, by the task that makes it. */
struct making {
    struct list link; /* in lists.makings */
    struct list waiters;
    uint64_t number; /* of the list */
    uint16_t vnode;
};

struct waiter {
    struct list link;
    struct event is_over;
    uint64_t moment;
    struct memtable_list *list; /* null: it was begun too early */
};

uint64_t memtable_moment(const struct memtable *m)
{
    return m->lists.begun;
}

uint64_t memtable_list_bytes(const struct memtable *m)
{
    return m->lists.bytes;
}

uint64_t memtable_list_bytes_in_use(const struct memtable *m)
{
    return m->lists.bytes - m->lists.idle_bytes;
}

/* ---- references ---- */

static struct memtable_list *share(struct memtable_list *list)
{
    if (list->is_kept && list->references == 1)
        list->memtable->lists.idle_bytes -= memtable_list_size(list);
    list->references++;
    return list;
}

static void release(struct memtable_list *list)
{
    ASSERT(list->references > 0);
    if (--list->references == 0)
        memtable_list_free(list);
    else if (list->is_kept && list->references == 1)
        list->memtable->lists.idle_bytes += memtable_list_size(list);
}

static void forget(struct memtable *m, struct memtable_list *list)
{
    struct memtable_lists *l = &m->lists;
    memtable_partition(m, list->vnode)->kept = NULL;
    list_remove(&list->link);
    l->kept_bytes -= memtable_list_size(list);
    l->idle_bytes -= list->references == 1 ? memtable_list_size(list) : 0;
    list->is_kept = false;
    release(list);
}

static bool has_room(const struct memtable *m, uint64_t bytes)
{
    const struct memtable_lists *l = &m->lists;
    return list_is_empty(&l->kept) || l->kept_bytes + bytes <= m->used_bytes / KEPT_SHARE;
}

/* Without room it is not kept; the next one has more. */
static void keep(struct memtable *m, struct memtable_list *list)
{
    struct memtable_lists *l = &m->lists;
    struct partition *p = memtable_partition(m, list->vnode);
    uint64_t bytes = memtable_list_size(list);
    if (p->kept)
        forget(m, p->kept);
    for (unsigned i = 0; i < FORGOTTEN_AT_ONCE && !has_room(m, bytes); i++)
        forget(m, CONTAINER_OF(l->kept.previous, struct memtable_list, link));
    if (!has_room(m, bytes))
        return;
    p->kept = share(list);
    list->is_kept = true; /* and in use */
    list_push_back(&l->kept, &list->link);
    l->kept_bytes += bytes;
}

void memtable_lists_init(struct memtable *m)
{
    list_init(&m->lists.kept);
    list_init(&m->lists.makings);
}

void memtable_lists_deinit(struct memtable *m)
{
    while (!list_is_empty(&m->lists.kept)) {
        forget(m, CONTAINER_OF(m->lists.kept.next, struct memtable_list, link));
        if (task_current(m->reactor))
            task_yield_if_due(m->reactor);
    }
    ASSERT(m->lists.bytes == 0 && m->lists.idle_bytes == 0);
}

/* ---- sharing ---- */

static bool is_good(const struct memtable_list *list, uint64_t moment)
{
    return list->number > moment || list->changes == memtable_partition(list->memtable, list->vnode)->changes;
}

static struct making *find_making(struct memtable *m, uint16_t vnode)
{
    for (struct list *link = m->lists.makings.next; link != &m->lists.makings; link = link->next) {
        struct making *making = CONTAINER_OF(link, struct making, link);
        if (making->vnode == vnode)
            return making;
    }
    return NULL;
}

/* Waits: until it is made. Returns: 0, with *out null when it was begun too early; or an error. */
static int await(struct memtable *m, struct making *making, uint64_t moment, struct memtable_list **out)
{
    struct waiter w = {.moment = moment};
    event_init(&w.is_over);
    list_push_back(&making->waiters, &w.link);
    int rc = event_wait(m->reactor, &w.is_over, EVENT_FOREVER); /* who makes it needs nothing but its turns */
    *out = w.list;
    return rc;
}

/* Each waiter has a reference of its own, since it runs later. `list` is null after an error. */
static void hand_out(struct memtable *m, struct making *making, struct memtable_list *list, int result)
{
    struct list *link;
    while ((link = list_pop_front(&making->waiters)) != NULL) {
        struct waiter *w = CONTAINER_OF(link, struct waiter, link);
        if (list && making->number > w->moment)
            w->list = share(list);
        event_set(m->reactor, &w->is_over, result);
    }
}

/* Waits: yields. */
static int make(struct memtable *m, uint16_t vnode, bool is_last, struct memtable_list **out)
{
    struct making making = {.number = ++m->lists.begun, .vnode = vnode};
    struct memtable_list *kept = memtable_partition(m, vnode)->kept;
    struct memtable_list *older = kept ? share(kept) : NULL;
    list_init(&making.waiters);
    list_push_back(&m->lists.makings, &making.link);
    int rc = memtable_list_make(m, vnode, older, out);
    list_remove(&making.link);
    if (older)
        release(older);
    if (rc == 0)
        (*out)->number = making.number;
    if (rc == 0 && !is_last)
        keep(m, *out);
    hand_out(m, &making, *out, rc);
    return rc;
}

static int acquire(struct memtable *m, uint16_t vnode, const struct memtable_past *past,
                   struct memtable_list **out)
{
    for (unsigned waits = 0;; waits++) {
        struct memtable_list *kept = memtable_partition(m, vnode)->kept;
        if (kept && is_good(kept, past->moment)) {
            *out = share(kept);
            return 0;
        }
        struct making *making = find_making(m, vnode);
        if (!making)
            return make(m, vnode, past->is_last, out);
        ASSERT(waits < WAITS_MAX); /* what is made after the first was begun after the moment */
        int rc = await(m, making, past->moment, out);
        if (rc || *out)
            return rc;
    }
}

/* ---- runs ---- */

int memtable_run_fill(struct memtable_run *run, struct memtable *m, uint16_t vnode,
                      const struct memtable_past *past)
{
    uint32_t count = memtable_partition(m, vnode)->count;
    struct memtable_list *list = NULL;
    int rc = 0;
    ASSERT(past->moment <= m->lists.begun);
    memtable_run_deinit(run);
    if (count >= m->options.list_shared_min)
        rc = acquire(m, vnode, past, &list);
    else if (count > 0)
        rc = memtable_list_make(m, vnode, NULL, &list);
    if (rc == 0 && list)
        *run = (struct memtable_run){.list = list, .count = list->all.count};
    return rc;
}

void memtable_run_deinit(struct memtable_run *run)
{
    if (run->list)
        release(run->list);
    *run = (struct memtable_run){0};
}

void memtable_run_get(const struct memtable_run *run, const struct memtable *m, uint32_t place,
                      struct record *out)
{
    ASSERT(place < run->count);
    entry_decode_trusted(memtable_entry(m, run->list->all.items[place].unit), out);
}

struct memtable_run_place memtable_run_place(const struct memtable_run *run, uint32_t place)
{
    ASSERT(place < run->count);
    const struct memtable_list *list = run->list;
    const struct memtable_item *item = &list->all.items[place];
    uint64_t rest = list->common_bytes < 8 ? item->prefix >> (8 * list->common_bytes) : 0;
    return (struct memtable_run_place){item->namespace_id, list->common_prefix | rest};
}

void memtable_run_prefetch(const struct memtable_run *run, const struct memtable *m, uint32_t place)
{
    if (place < run->count)
        entry_prefetch(memtable_entry(m, run->list->all.items[place].unit));
}

uint32_t memtable_run_find(const struct memtable_run *run, const struct memtable *m,
                           const struct record_key *key)
{
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct record record;
        memtable_run_get(run, m, middle, &record);
        if (record_key_compare(&record.key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
