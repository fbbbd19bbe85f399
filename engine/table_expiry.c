/* table_expiry.c - a sample of when the records of a table expire; see table_expiry.h. */
#include "engine/table_expiry.h"
#include "reactor/base/assert.h"

void table_expiry_init(struct table_expiry *x, uint64_t now_ms)
{
    *x = (struct table_expiry){.now_ms = now_ms, .stride = 1};
}

/* The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t scatter(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Of two neighbours either may stay. */
static void thin_out(struct table_expiry *x)
{
    ASSERT(x->count == TABLE_EXPIRY_SAMPLES);
    x->count = TABLE_EXPIRY_SAMPLES / 2;
    for (uint32_t i = 0; i < x->count; i++)
        x->samples_ms[i] = x->samples_ms[2 * i + (scatter(x->stride + i) & 1)];
    x->stride *= 2;
}

/* One of the stretch that begins there. */
static void choose(struct table_expiry *x, uint64_t begin)
{
    x->next = begin + (scatter(begin) & (x->stride - 1));
}

void table_expiry_take(struct table_expiry *x, const struct record *record)
{
    uint64_t place = x->next;
    if (x->count == TABLE_EXPIRY_SAMPLES) {
        thin_out(x);
        choose(x, place);
        if (x->next != place)
            return;
    }
    bool counts = (record->flags & RECORD_EXPIRING) && record_is_live(record, x->now_ms);
    x->samples_ms[x->count++] = counts ? record->expiry_ms : UINT64_MAX;
    uint64_t end = (place & ~(x->stride - 1)) + x->stride;
    if (x->count < TABLE_EXPIRY_SAMPLES)
        choose(x, end);
    else
        x->next = end; /* if there is one more, there are too many */
}

static void sort(uint64_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint64_t moved = values[i];
        uint32_t at = i;
        for (; at > 0 && values[at - 1] > moved; at--)
            values[at] = values[at - 1];
        values[at] = moved;
    }
}

uint64_t table_expiry_due(struct table_expiry *x)
{
    if (x->count == 0)
        return 0;
    sort(x->samples_ms, x->count);
    uint64_t due_ms = x->samples_ms[(x->count - 1) / TABLE_EXPIRY_SHARE];
    return due_ms == UINT64_MAX ? 0 : due_ms;
}
