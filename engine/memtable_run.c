/* memtable_run.c - sorted lists of a memtable's vnodes: who makes one, and who shares it.
 *
 *   fill --short--> made (memtable_list.c)
 *     | long
 *     +--> kept list is good --------------------------------> shared
 *     +--> nobody lists the vnode --> made, kept, handed out --> shared
 *     +--> another task does --> wait --> begun after my moment --> shared
 *                                    \--> begun before it --> once more: the next one is good
 *
 * A list is good when it was begun after the moment of who asks, or nothing has come to its vnode since. So
 * however many ask at once for a long vnode that is written to, it is sorted twice, never by two at one time.
 */
#include "engine/memtable_internal.h"
#include "reactor/base/mark.h"

enum { WAITS_MAX = 2 };

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
    const struct memtable_list *kept = m->lists.kept;
    bool is_idle = kept && kept->references == 1;
    return m->lists.bytes - (is_idle ? sizeof *kept + kept->all.capacity * sizeof *kept->all.items : 0);
}

/* ---- sharing ---- */

static struct memtable_list *share(struct memtable_list *list)
{
    list->references++;
    return list;
}

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
        if (list && making->number > w->moment) {
            MARK(a_vnode_is_listed_for_more_than_one);
            w->list = share(list);
        }
        event_set(m->reactor, &w->is_over, result);
    }
}

/* Waits: yields. */
static int make(struct memtable *m, uint16_t vnode, struct memtable_list **out)
{
    struct making making = {.number = ++m->lists.begun, .vnode = vnode};
    struct memtable_list *kept = m->lists.kept;
    struct memtable_list *older = kept && kept->vnode == vnode ? share(kept) : NULL;
    list_init(&making.waiters);
    list_push_back(&m->lists.makings, &making.link);
    int rc = memtable_list_make(m, vnode, older, out);
    list_remove(&making.link);
    memtable_list_release(older);
    if (rc == 0) {
        (*out)->number = making.number;
        memtable_list_release(m->lists.kept);
        m->lists.kept = share(*out);
    }
    hand_out(m, &making, *out, rc);
    return rc;
}

static int acquire(struct memtable *m, uint16_t vnode, uint64_t moment, struct memtable_list **out)
{
    for (unsigned waits = 0;; waits++) {
        struct memtable_list *kept = m->lists.kept;
        if (kept && kept->vnode == vnode && is_good(kept, moment)) {
            *out = share(kept);
            return 0;
        }
        struct making *making = find_making(m, vnode);
        if (!making)
            return make(m, vnode, out);
        ASSERT(waits < WAITS_MAX); /* what is made after the first was begun after the moment */
        int rc = await(m, making, moment, out);
        if (rc || *out)
            return rc;
    }
}

/* ---- runs ---- */

int memtable_run_fill(struct memtable_run *run, struct memtable *m, uint16_t vnode, uint64_t moment)
{
    uint32_t count = memtable_partition(m, vnode)->count;
    struct memtable_list *list = NULL;
    int rc = 0;
    ASSERT(moment <= m->lists.begun);
    memtable_run_deinit(run);
    if (count >= m->options.list_shared_min)
        rc = acquire(m, vnode, moment, &list);
    else if (count > 0)
        rc = memtable_list_make(m, vnode, NULL, &list);
    if (rc == 0 && list)
        *run = (struct memtable_run){.list = list, .count = list->all.count};
    return rc;
}

void memtable_run_deinit(struct memtable_run *run)
{
    memtable_list_release(run->list);
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
