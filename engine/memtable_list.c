/* memtable_list.c - the entries of one vnode of a memtable, listed and sorted.
 *
 *   all places -------------------> sorted ------------------------> list      700,000 entries: some 200 ms
 *   places behind the older one --> sorted --merged with the older--> list      some 5 ms
 *
 * Merge sort from the bottom up, so it can yield between any two merges: the list is a snapshot of places,
 * and a place always holds the same key, whatever version is written over it meanwhile. Eight bytes of the
 * key stand beside the place, from the first byte in which any two keys differ: so most comparisons touch no
 * entry, also where all keys begin alike.
 *
 * Places are given out in one order, so what came or moved since another list of the vnode was begun lies
 * behind all that this one has to have: only that is sorted. A key that does not begin as all of its keys do
 * makes the eight bytes useless; then all is sorted anew. */
#include "engine/memtable_internal.h"

enum {
    INSERTION_SORT_MAX = 16,
    ITEMS_PER_YIELD = 128,
    PREFETCH_ENTRIES = 8, /* so far ahead when entries are read one after the other */
    SLOTS_AT_ONCE = 64,
    MORE_MEANWHILE_SHARE = 16, /* room for so many keys that come while a vnode is listed */
};

/* ---- items ---- */

static __attribute__((noinline)) bool grow(struct memtable *m, struct memtable_items *i, uint32_t count)
{
    uint32_t capacity = i->count + i->count / 4 + count;
    size_t bytes = capacity * sizeof *i->items;
    struct memtable_item *items =
        i->items ? reactor_realloc(m->reactor, i->items, bytes) : reactor_alloc(m->reactor, bytes);
    if (!items)
        return false;
    m->lists.bytes += (capacity - i->capacity) * sizeof *items;
    i->items = items;
    i->capacity = capacity;
    return true;
}

/* Room for `count` more. */
static inline bool reserve(struct memtable *m, struct memtable_items *i, uint32_t count)
{
    return i->count + count <= i->capacity || grow(m, i, count);
}

static void free_items(struct memtable *m, struct memtable_items *i)
{
    reactor_free(m->reactor, i->items);
    m->lists.bytes -= i->capacity * sizeof *i->items;
    *i = (struct memtable_items){0};
}

static int compare(const struct memtable *m, const struct memtable_item *a, const struct memtable_item *b)
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

/* ---- sorting ---- */

static void insertion_sort(const struct memtable *m, struct memtable_item *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct memtable_item item = items[i];
        uint32_t j = i;
        for (; j > 0 && compare(m, &item, &items[j - 1]) < 0; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
}

struct span {
    const struct memtable_item *items;
    uint32_t begin, middle, end;
};

static void merge(const struct memtable *m, const struct span *s, struct memtable_item *to)
{
    uint32_t a = s->begin, b = s->middle;
    for (uint32_t i = s->begin; i < s->end; i++) {
        bool is_first = b >= s->end || (a < s->middle && compare(m, &s->items[a], &s->items[b]) <= 0);
        to[i] = is_first ? s->items[a++] : s->items[b++];
        if (i % ITEMS_PER_YIELD == 0)
            task_yield_if_due(m->reactor);
    }
}

/* Sorts `count` items with the help of as many others. Returns: which of the two has the result. */
static struct memtable_item *sort(const struct memtable *m, struct memtable_item *items,
                                  struct memtable_item *other, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += INSERTION_SORT_MAX) {
        uint32_t left = count - i;
        insertion_sort(m, items + i, left < INSERTION_SORT_MAX ? left : INSERTION_SORT_MAX);
        if (i % ITEMS_PER_YIELD == 0)
            task_yield_if_due(m->reactor);
    }
    for (uint64_t width = INSERTION_SORT_MAX; width < count; width *= 2) {
        for (uint64_t i = 0; i < count; i += 2 * width) {
            uint64_t middle = i + width < count ? i + width : count;
            uint64_t end = i + 2 * width < count ? i + 2 * width : count;
            merge(m, &(struct span){items, (uint32_t)i, (uint32_t)middle, (uint32_t)end}, other);
        }
        struct memtable_item *swapped = items;
        items = other;
        other = swapped;
    }
    return items;
}

static int sort_items(struct memtable *m, struct memtable_items *items)
{
    struct memtable_items other = {.count = 0};
    m->lists.sorted += items->count;
    if (items->count <= INSERTION_SORT_MAX) {
        insertion_sort(m, items->items, items->count);
        return 0;
    }
    if (!reserve(m, &other, items->count))
        return TORC_E_NO_MEMORY;
    if (sort(m, items->items, other.items, items->count) == other.items) {
        struct memtable_items sorted = other;
        sorted.count = items->count;
        other = *items;
        *items = sorted;
    }
    free_items(m, &other);
    return 0;
}

/* ---- listing ---- */

/* Only where the entries are, and only those at `unit_min` or behind it. Waits: yields. Returns: false when
 * memory is out. */
static bool list_slots(const struct memtable_list *list, uint32_t unit_min, struct memtable_items *to)
{
    uint64_t slots[SLOTS_AT_ONCE];
    struct memtable_walk walk = {.vnode = list->vnode};
    for (uint32_t count; (count = memtable_walk(list->memtable, &walk, slots, SLOTS_AT_ONCE)) > 0;) {
        if (!reserve(list->memtable, to, count))
            return false;
        for (uint32_t i = 0; i < count; i++) {
            to->items[to->count].unit = slot_unit(slots[i]);
            to->count += slot_unit(slots[i]) >= unit_min;
        }
        task_yield_if_due(list->memtable->reactor);
    }
    return true;
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
static void read_item(const struct memtable *m, const struct memtable_items *items, uint32_t i,
                      struct record *out)
{
    if (i % ITEMS_PER_YIELD == 0)
        task_yield_if_due(m->reactor);
    if (i + PREFETCH_ENTRIES < items->count)
        __builtin_prefetch(memtable_entry(m, items->items[i + PREFETCH_ENTRIES].unit));
    entry_decode_trusted(memtable_entry(m, items->items[i].unit), out);
}

/* The key of the first item, copied to `bytes`: the entry may be written over. */
static struct slice first_key(const struct memtable *m, const struct memtable_items *items,
                              uint8_t bytes[KEY_BYTES_MAX])
{
    struct record record;
    entry_decode_trusted(memtable_entry(m, items->items[0].unit), &record);
    slice_put(bytes, record.key.key);
    return slice_of(bytes, record.key.key.bytes);
}

/* Shortens `common` to what all keys begin with. */
static void read_namespaces(const struct memtable *m, struct memtable_items *items, struct slice *common)
{
    for (uint32_t i = 0; i < items->count; i++) {
        struct record record;
        read_item(m, items, i, &record);
        items->items[i].namespace_id = record.key.namespace_id;
        common->bytes = common_bytes(*common, record.key.key, common->bytes);
    }
}

static void read_prefixes(const struct memtable *m, struct memtable_items *items, uint32_t common)
{
    for (uint32_t i = 0; i < items->count; i++) {
        struct record record;
        read_item(m, items, i, &record);
        record.key.key = slice_of(record.key.key.data + common, record.key.key.bytes - common);
        items->items[i].prefix = record_key_prefix(&record.key);
    }
}

static int list_all(struct memtable_list *list)
{
    struct memtable *m = list->memtable;
    uint8_t first[KEY_BYTES_MAX];
    uint32_t count = memtable_partition(m, list->vnode)->count;
    if (!reserve(m, &list->all, count + count / MORE_MEANWHILE_SHARE + 1) || !list_slots(list, 0, &list->all))
        return TORC_E_NO_MEMORY;
    ASSERT(list->all.count >= count);
    struct slice common = first_key(m, &list->all, first);
    read_namespaces(m, &list->all, &common);
    list->common_bytes = (uint32_t)common.bytes;
    list->common_prefix = record_key_prefix(&(struct record_key){.key = common});
    read_prefixes(m, &list->all, list->common_bytes);
    return sort_items(m, &list->all);
}

/* ---- from an older list ---- */

/* What may be missing in the older list, or has moved since, sorted. Returns: 1; 0 when a key begins in
 * another way than those of the older list; or an error. */
static int list_newer(const struct memtable_list *list, const struct memtable_list *older,
                      struct memtable_items *newer)
{
    struct memtable *m = list->memtable;
    uint8_t first[KEY_BYTES_MAX];
    if (!list_slots(list, older->unit_end, newer))
        return TORC_E_NO_MEMORY;
    struct slice common = first_key(m, &older->all, first);
    common.bytes = older->common_bytes;
    read_namespaces(m, newer, &common);
    if (common.bytes < older->common_bytes)
        return 0;
    read_prefixes(m, newer, older->common_bytes);
    int rc = sort_items(m, newer);
    return rc ? rc : 1;
}

/* Of a key that both have, the newer place counts. Requires: room. */
static void merge_newer(const struct memtable *m, const struct memtable_items *older,
                        const struct memtable_items *newer, struct memtable_items *to)
{
    uint32_t a = 0, b = 0;
    while (a < older->count || b < newer->count) {
        int order = a < older->count ? -1 : 1;
        if (a < older->count && b < newer->count)
            order = compare(m, &older->items[a], &newer->items[b]);
        to->items[to->count++] = order < 0 ? older->items[a] : newer->items[b];
        a += order <= 0;
        b += order >= 0;
        if (to->count % ITEMS_PER_YIELD == 0)
            task_yield_if_due(m->reactor);
    }
}

/* Returns: 1; 0 when the older list does not help; or an error. */
static int list_from(struct memtable_list *list, const struct memtable_list *older)
{
    struct memtable *m = list->memtable;
    struct memtable_items newer = {.count = 0};
    uint32_t count = memtable_partition(m, list->vnode)->count;
    int rc = list_newer(list, older, &newer);
    if (rc == 1 && !reserve(m, &list->all, older->all.count + newer.count))
        rc = TORC_E_NO_MEMORY;
    if (rc == 1) {
        merge_newer(m, &older->all, &newer, &list->all);
        list->common_bytes = older->common_bytes;
        list->common_prefix = older->common_prefix;
        ASSERT(list->all.count >= count);
    }
    free_items(m, &newer);
    return rc;
}

int memtable_list_make(struct memtable *m, uint16_t vnode, const struct memtable_list *older,
                       struct memtable_list **out)
{
    struct memtable_list *list = reactor_alloc(m->reactor, sizeof *list);
    *out = NULL;
    if (!list)
        return TORC_E_NO_MEMORY;
    *list = (struct memtable_list){
        .memtable = m,
        .references = 1,
        .vnode = vnode,
        .unit_end = memtable_unit_end(m),
        .changes = memtable_partition(m, vnode)->changes,
    };
    m->lists.bytes += sizeof *list;
    int rc = older ? list_from(list, older) : 0;
    if (rc == 0)
        rc = list_all(list);
    if (rc < 0) {
        memtable_list_free(list);
        return rc;
    }
    *out = list;
    return 0;
}

uint64_t memtable_list_size(const struct memtable_list *list)
{
    return sizeof *list + list->all.capacity * sizeof *list->all.items;
}

void memtable_list_free(struct memtable_list *list)
{
    struct memtable *m = list->memtable;
    free_items(m, &list->all);
    m->lists.bytes -= sizeof *list;
    reactor_free(m->reactor, list);
}
