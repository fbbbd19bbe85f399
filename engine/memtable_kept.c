/* memtable_kept.c - versions that were overwritten while a view may want them.
 *
 *   slot --> newest --kept--> the one before --kept--> ... until the first that was kept
 *
 * While a view keeps a memtable, a newer version never takes the place of the older one: it goes to a place
 * of its own, and the table here leads from it to the one before. Both are units of the arena. The table goes
 * with the last view; the arena keeps the bytes until the memtable is flushed, which they bring nearer. */
#include "engine/memtable_internal.h"

enum { KEPT_FIRST = 64 };

void memtable_keep(struct memtable *m)
{
    m->kept.keepers++;
}

static void forget(struct memtable *m)
{
    reactor_free(m->reactor, m->kept.pairs);
    m->kept = (struct memtable_kept){.keepers = m->kept.keepers};
}

void memtable_keep_end(struct memtable *m)
{
    ASSERT(m->kept.keepers > 0);
    if (--m->kept.keepers == 0)
        forget(m);
}

void memtable_kept_deinit(struct memtable *m)
{
    forget(m);
}

/* The place of a unit, or the free one for it. */
static uint64_t *find(const struct memtable_kept *k, uint32_t unit)
{
    uint32_t i = unit * 0x9e3779b1u & k->mask;
    while (k->pairs[i] && k->pairs[i] >> 32 != unit) /* ends: a quarter is free */
        i = (i + 1) & k->mask;
    return &k->pairs[i];
}

static bool grow(struct memtable *m)
{
    struct memtable_kept old = m->kept;
    uint32_t capacity = old.pairs ? 2 * (old.mask + 1) : KEPT_FIRST;
    uint64_t *pairs = reactor_alloc_zeroed(m->reactor, capacity * sizeof *pairs);
    if (!pairs)
        return false;
    m->kept.pairs = pairs;
    m->kept.mask = capacity - 1;
    for (uint32_t i = 0; old.pairs && i <= old.mask; i++)
        if (old.pairs[i])
            *find(&m->kept, (uint32_t)(old.pairs[i] >> 32)) = old.pairs[i];
    reactor_free(m->reactor, old.pairs);
    return true;
}

bool memtable_kept_reserve(struct memtable *m)
{
    struct memtable_kept *k = &m->kept;
    return (k->pairs && (k->count + 1) * 4 <= (k->mask + 1) * 3) || grow(m);
}

void memtable_kept_add(struct memtable *m, uint32_t unit, uint32_t older)
{
    uint64_t *pair = find(&m->kept, unit);
    ASSERT(*pair == 0);
    *pair = (uint64_t)unit << 32 | older;
    m->kept.count++;
}

/* Returns: 0 when there is none. */
static uint32_t older_of(const struct memtable *m, uint32_t unit)
{
    return m->kept.pairs ? (uint32_t)*find(&m->kept, unit) : 0;
}

bool memtable_run_get_until(const struct memtable_run *run, const struct memtable *m, uint32_t place,
                            uint64_t clock, struct record *out)
{
    ASSERT(place < run->count);
    uint32_t unit = run->list->items[place].unit;
    for (; unit; unit = older_of(m, unit)) { /* each is older than the one before */
        entry_decode_trusted(memtable_entry(m, unit), out);
        if (out->version.clock <= clock)
            return true;
    }
    return false;
}
