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
    SLOTS_AT_ONCE = 64,
    MORE_MEANWHILE_SHARE = 16, /* room for so many keys that come while a vnode is listed */
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

/* Sorts `count` items with the help of as many others. Returns: which of the two has the result. */
static struct memtable_run_item *sort(const struct memtable *m, struct memtable_run_item *items,
                                      struct memtable_run_item *other, uint32_t count)
{
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

static bool list_has_room(struct memtable_list *list, struct reactor *r, uint32_t count)
{
    if (list->count + count <= list->capacity)
        return true;
    uint32_t capacity = list->count + list->count / 4 + count;
    struct memtable_run_item *items = reactor_realloc(r, list->items, capacity * sizeof *items);
    if (!items)
        return false;
    list->items = items;
    list->capacity = capacity;
    return true;
}

/* Only where the entries are. Waits: yields. Returns: false when memory is out. */
static bool list_slots(struct memtable_list *list, const struct memtable *m)
{
    uint64_t slots[SLOTS_AT_ONCE];
    struct memtable_walk walk = {.vnode = list->vnode};
    for (uint32_t count; (count = memtable_walk(m, &walk, slots, SLOTS_AT_ONCE)) > 0;) {
        if (!list_has_room(list, m->reactor, count))
            return false;
        for (uint32_t i = 0; i < count; i++)
            list->items[list->count++].unit = slot_unit(slots[i]);
        task_yield_if_due(m->reactor);
    }
    return true;
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
    struct slice common = {.data = first, .bytes = 0};
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

static int list_fill(struct memtable_list *list, const struct memtable *m)
{
    if (!list_slots(list, m))
        return TORC_E_NO_MEMORY;
    struct memtable_run_item *other = reactor_alloc(m->reactor, list->count * sizeof *other);
    if (!other)
        return TORC_E_NO_MEMORY;
    read_namespaces(list, m);
    read_prefixes(list, m);
    struct memtable_run_item *sorted = sort(m, list->items, other, list->count);
    if (sorted == other) {
        other = list->items;
        list->items = sorted;
        list->capacity = list->count;
    }
    reactor_free(m->reactor, other);
    list->bytes = sizeof *list + list->capacity * sizeof *list->items;
    return 0;
}

/* Waits: yields. Returns: null when memory is out. */
static struct memtable_list *list_make(struct memtable *m, uint16_t vnode)
{
    const struct partition *p = memtable_partition(m, vnode);
    uint32_t count = p->count;
    struct memtable_list *list = reactor_alloc(m->reactor, sizeof *list);
    if (!list)
        return NULL;
    *list = (struct memtable_list){.references = 1, .vnode = vnode, .changes = p->changes};
    list->capacity = count + count / MORE_MEANWHILE_SHARE + 1;
    list->items = reactor_alloc(m->reactor, list->capacity * sizeof *list->items);
    if (!list->items || list_fill(list, m) != 0) {
        memtable_list_release(m->reactor, list);
        return NULL;
    }
    ASSERT(list->count >= count);
    return list;
}

void memtable_list_release(struct reactor *r, struct memtable_list *list)
{
    if (!list || --list->references > 0)
        return;
    reactor_free(r, list->items);
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
