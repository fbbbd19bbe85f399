/* memtable_run.c - the records of one vnode of a memtable, sorted.
 *
 * Merge sort from the bottom up, so it can yield between any two merges: the list is a snapshot of places,
 * and a place always holds the same key, whatever version is written over it meanwhile. Eight bytes of the
 * key stand beside the place, from the first byte in which any two keys differ: so most comparisons touch no
 * entry, also where all keys begin alike. */
#include "engine/memtable_internal.h"

enum {
    INSERTION_SORT_MAX = 16,
    KEPT_COUNT_MIN = 1024, /* shorter lists are made again in less than a slice */
    COMPARES_PER_YIELD = 128,
    PREFETCH_ENTRIES = 8, /* so far ahead when entries are read one after the other */
};

static int compare(const struct memtable *m, const struct memtable_run_item *a,
                   const struct memtable_run_item *b)
{
    if (a->namespace_id != b->namespace_id)
        return a->namespace_id < b->namespace_id ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    struct record x, y;
    entry_decode_trusted(memtable_entry(m, a->unit), &x);
    entry_decode_trusted(memtable_entry(m, b->unit), &y);
    return record_key_compare(&x.key, &y.key);
}

static void insertion_sort(const struct memtable *m, struct memtable_run_item *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct memtable_run_item item = items[i];
        uint32_t j = i;
        for (; j > 0 && compare(m, &item, &items[j - 1]) < 0; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
}

struct span {
    const struct memtable_run_item *items;
    uint32_t begin, middle, end;
};

static void merge(const struct memtable *m, const struct span *s, struct memtable_run_item *to)
{
    uint32_t a = s->begin, b = s->middle;
    for (uint32_t i = s->begin; i < s->end; i++) {
        bool is_first = b >= s->end || (a < s->middle && compare(m, &s->items[a], &s->items[b]) <= 0);
        to[i] = is_first ? s->items[a++] : s->items[b++];
        if (i % COMPARES_PER_YIELD == 0)
            task_yield_if_due(m->reactor);
    }
}

/* Sorts items[0..count) with as much room behind it. Returns: where the result is. */
static struct memtable_run_item *sort(const struct memtable *m, struct memtable_run_item *items,
                                      uint32_t count)
{
    struct memtable_run_item *other = items + count;
    for (uint32_t i = 0; i < count; i += INSERTION_SORT_MAX) {
        uint32_t left = count - i;
        insertion_sort(m, items + i, left < INSERTION_SORT_MAX ? left : INSERTION_SORT_MAX);
        if (i % COMPARES_PER_YIELD == 0)
            task_yield_if_due(m->reactor);
    }
    for (uint64_t width = INSERTION_SORT_MAX; width < count; width *= 2) {
        for (uint64_t i = 0; i < count; i += 2 * width) {
            uint64_t middle = i + width < count ? i + width : count;
            uint64_t end = i + 2 * width < count ? i + 2 * width : count;
            merge(m, &(struct span){items, (uint32_t)i, (uint32_t)middle, (uint32_t)end}, other);
        }
        struct memtable_run_item *swapped = items;
        items = other;
        other = swapped;
    }
    return items;
}

/* Only where the entries are: without looking at them it is done in one go, before anything can change. */
static void list_slots(struct memtable_list *list, const uint64_t *slots, uint32_t from, uint32_t mask)
{
    for (uint64_t i = from; i <= mask; i++)
        if (slots[i])
            list->items[list->count++].unit = (uint32_t)slots[i];
}

static void prefetch_item(const struct memtable_list *list, const struct memtable *m, uint32_t i)
{
    if (i < list->count)
        __builtin_prefetch(memtable_entry(m, list->items[i].unit));
}

static size_t common_bytes(struct slice a, struct slice b, size_t max)
{
    size_t bytes = 0;
    max = a.bytes < max ? a.bytes : max;
    max = b.bytes < max ? b.bytes : max;
    while (bytes < max && a.data[bytes] == b.data[bytes])
        bytes++;
    return bytes;
}

/* The entry of an item. Yields now and then, before it looks. */
static void read_item(const struct memtable_list *list, const struct memtable *m, uint32_t i,
                      struct record *out)
{
    if (i % COMPARES_PER_YIELD == 0)
        task_yield_if_due(m->reactor);
    prefetch_item(list, m, i + PREFETCH_ENTRIES);
    entry_decode_trusted(memtable_entry(m, list->items[i].unit), out);
}

/* Finds how all keys begin alike. */
static void read_namespaces(struct memtable_list *list, const struct memtable *m)
{
    uint8_t first[KEY_BYTES_MAX];
    struct slice common = slice_of(first, 0);
    for (uint32_t i = 0; i < list->count; i++) {
        struct record record;
        read_item(list, m, i, &record);
        list->items[i].namespace_id = record.key.namespace_id;
        if (i == 0) {
            common.bytes = record.key.key.bytes;
            memcpy(first, record.key.key.data, common.bytes);
        }
        common.bytes = common_bytes(common, record.key.key, common.bytes);
    }
    list->common_bytes = (uint32_t)common.bytes;
    list->common_prefix = record_key_prefix(&(struct record_key){.key = common});
}

static void read_prefixes(struct memtable_list *list, const struct memtable *m)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct record record;
        read_item(list, m, i, &record);
        struct slice key = record.key.key;
        record.key.key = slice_of(key.data + list->common_bytes, key.bytes - list->common_bytes);
        list->items[i].prefix = record_key_prefix(&record.key);
    }
}

/* Waits: yields. Returns: null when memory is out. */
static struct memtable_list *list_make(struct memtable *m, uint16_t vnode)
{
    const struct partition *p = memtable_partition(m, vnode);
    uint32_t count = p->count;
    size_t bytes = sizeof(struct memtable_list) + count * sizeof(struct memtable_run_item);
    struct memtable_list *list = reactor_alloc(m->reactor, bytes + count * sizeof(struct memtable_run_item));
    if (!list)
        return NULL;
    *list = (struct memtable_list){.references = 1, .vnode = vnode, .changes = p->changes, .bytes = bytes};
    list_slots(list, p->slots, 0, p->mask);
    if (p->old_slots)
        list_slots(list, p->old_slots, p->moved, p->old_mask);
    ASSERT(list->count == count);
    read_namespaces(list, m);
    read_prefixes(list, m);
    const struct memtable_run_item *sorted = sort(m, list->items, count);
    if (sorted != list->items)
        memcpy(list->items, sorted, count * sizeof *sorted);
    struct memtable_list *shrunk = reactor_realloc(m->reactor, list, bytes);
    return shrunk ? shrunk : list;
}

void memtable_list_release(struct reactor *r, struct memtable_list *list)
{
    if (list && --list->references == 0)
        reactor_free(r, list);
}

void memtable_run_deinit(struct memtable_run *run, struct reactor *r)
{
    memtable_list_release(r, run->list);
    *run = (struct memtable_run){0};
}

int memtable_run_fill(struct memtable_run *run, struct memtable *m, uint16_t vnode)
{
    const struct partition *p = memtable_partition(m, vnode);
    memtable_run_deinit(run, m->reactor);
    if (p->count == 0)
        return 0;
    struct memtable_list *list = m->sorted;
    if (list && list->vnode == vnode && list->changes == p->changes) {
        list->references++;
    } else {
        list = list_make(m, vnode);
        if (!list)
            return TORC_E_NO_MEMORY;
        if (list->count >= KEPT_COUNT_MIN) {
            memtable_list_release(m->reactor, m->sorted);
            m->sorted = list;
            list->references++;
        }
    }
    run->list = list;
    run->count = list->count;
    return 0;
}

void memtable_run_get(const struct memtable_run *run, const struct memtable *m, uint32_t place,
                      struct record *out)
{
    ASSERT(place < run->count);
    entry_decode_trusted(memtable_entry(m, run->list->items[place].unit), out);
}

struct memtable_run_place memtable_run_place(const struct memtable_run *run, uint32_t place)
{
    ASSERT(place < run->count);
    const struct memtable_list *list = run->list;
    const struct memtable_run_item *item = &list->items[place];
    uint64_t rest = list->common_bytes < 8 ? item->prefix >> (8 * list->common_bytes) : 0;
    return (struct memtable_run_place){item->namespace_id, list->common_prefix | rest};
}

void memtable_run_prefetch(const struct memtable_run *run, const struct memtable *m, uint32_t place)
{
    if (place < run->count)
        entry_prefetch(memtable_entry(m, run->list->items[place].unit));
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
