/* memtable_kept.c - versions that were overwritten while a view may want them.
 *
 *   slot --> newest --kept--> the one before --kept--> ... until the first that was kept
 *
 * While a view keeps a memtable, a newer version never takes the place of the older one: it goes to a place
 * of its own, and the table here leads from it to the one before. Both are units of the arena. The table goes
 * with the last view; the arena keeps the bytes until the memtable is flushed, which they bring nearer.
 *
 * When the table is full one of twice its places takes over, and with each new pair some of the old ones come
 * over: no put waits for all of them. */
#include "engine/memtable_internal.h"

enum { KEPT_BITS_FIRST = 6, MOVED_AT_ONCE = 16 };

void memtable_keep(struct memtable *m)
{
    m->kept.keepers++;
}

static void forget(struct memtable *m)
{
    reactor_free(m->reactor, m->kept.pairs);
    reactor_free(m->reactor, m->kept.older);
    m->kept = (struct memtable_kept){.keepers = m->kept.keepers};
}

void memtable_keep_end(struct memtable *m)
{
    ASSERT(m->kept.keepers > 0);
    if (--m->kept.keepers == 0)
        forget(m);
}

uint32_t memtable_keepers(const struct memtable *m)
{
    return m->kept.keepers;
}

void memtable_kept_deinit(struct memtable *m)
{
    forget(m);
}

uint64_t memtable_kept_bytes(const struct memtable *m)
{
    const struct memtable_kept *k = &m->kept;
    uint64_t places = k->pairs ? UINT64_C(1) << k->bits : 0;
    return (k->older ? places + places / 2 : places) * sizeof *k->pairs;
}

/* Among 2^bits places, that of a unit, or the free one for it. */
static uint64_t *find(uint64_t *pairs, uint32_t bits, uint32_t unit)
{
    uint32_t mask = (UINT32_C(1) << bits) - 1;
    uint32_t i = unit * UINT32_C(0x9e3779b1) >> (32 - bits); /* multiplied, the high bits are mixed best */
    while (pairs[i] && pairs[i] >> 32 != unit)               /* ends: a quarter is free */
        i = (i + 1) & mask;
    return &pairs[i];
}

static bool grow(struct memtable *m)
{
    struct memtable_kept *k = &m->kept;
    uint32_t bits = k->pairs ? k->bits + 1 : KEPT_BITS_FIRST;
    ASSERT(!k->older && bits < 32); /* the last one came over long ago; there are fewer units */
    uint64_t *pairs = reactor_alloc_zeroed(m->reactor, sizeof *pairs << bits);
    if (!pairs)
        return false;
    k->older = k->pairs;
    k->pairs = pairs;
    k->bits = bits;
    k->moved = 0;
    return true;
}

static void move_some(struct memtable *m)
{
    struct memtable_kept *k = &m->kept;
    uint32_t places = UINT32_C(1) << (k->bits - 1);
    for (uint32_t i = 0; i < MOVED_AT_ONCE && k->moved < places; i++) {
        uint64_t pair = k->older[k->moved++];
        if (pair)
            *find(k->pairs, k->bits, (uint32_t)(pair >> 32)) = pair;
    }
    if (k->moved < places)
        return;
    reactor_free(m->reactor, k->older);
    k->older = NULL;
}

bool memtable_kept_reserve(struct memtable *m)
{
    struct memtable_kept *k = &m->kept;
    return (k->pairs && (k->count + UINT64_C(1)) * 4 <= (UINT64_C(1) << k->bits) * 3) || grow(m);
}

void memtable_kept_add(struct memtable *m, uint32_t unit, uint32_t older)
{
    struct memtable_kept *k = &m->kept;
    if (k->older)
        move_some(m);
    uint64_t *pair = find(k->pairs, k->bits, unit);
    ASSERT(*pair == 0);
    *pair = (uint64_t)unit << 32 | older;
    k->count++;
}

/* Returns: 0 when there is none. */
static uint32_t older_of(const struct memtable *m, uint32_t unit)
{
    const struct memtable_kept *k = &m->kept;
    uint64_t pair = k->pairs ? *find(k->pairs, k->bits, unit) : 0;
    if (!pair && k->older)
        pair = *find(k->older, k->bits - 1, unit);
    return (uint32_t)pair;
}

bool memtable_run_get_until(const struct memtable_run *run, const struct memtable *m, uint32_t place,
                            uint64_t clock, struct record *out)
{
    ASSERT(place < run->count);
    uint32_t unit = run->list->all.items[place].unit;
    for (; unit; unit = older_of(m, unit)) { /* each is older than the one before */
        entry_decode_trusted(memtable_entry(m, unit), out);
        if (out->version.clock <= clock)
            return true;
    }
    return false;
}
