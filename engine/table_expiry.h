/* table_expiry.h - when has so much of a table expired that it is worth a merge?
 *
 * Of the records of a table in the making a sample is kept: each, then one of two, one of four ... so that it
 * is spread evenly over the table and bounded. Which one of them is a matter of chance, the same in every
 * process: keys may have a period, as where each user has a profile and a session, and no sample of every
 * second record says anything then. The time that is asked for is a quantile of the sample. */
#ifndef ENGINE_TABLE_EXPIRY_H
#define ENGINE_TABLE_EXPIRY_H

#include "engine/record.h"

enum {
    TABLE_EXPIRY_SAMPLES = 64,
    TABLE_EXPIRY_SHARE = 4, /* one in so many has expired: a merge writes three for the room of one */
};

struct table_expiry {
    /* What has expired by then is written for what it hides. It does not count: a merge of this table alone
     * would write it again. */
    uint64_t now_ms; /* Unix */
    uint64_t seen;
    uint64_t next;   /* of them, that is kept; or that makes the sample thinner */
    uint64_t stride; /* a power of two: of so many records side by side one is kept */
    uint32_t count;
    uint64_t samples_ms[TABLE_EXPIRY_SAMPLES]; /* UINT64_MAX: it does not expire, or does not count */
};

void table_expiry_init(struct table_expiry *x, uint64_t now_ms);
void table_expiry_take(struct table_expiry *x, const struct record *record); /* the next one that is kept */
/* The record is only looked at. */
static inline void table_expiry_add(struct table_expiry *x, const struct record *record)
{
    if (x->seen++ == x->next)
        table_expiry_take(x, record);
}

/* Returns: when one in TABLE_EXPIRY_SHARE of the records added will have expired, about; 0: never. Sorts the
 * sample, so it is asked once, at the end. */
uint64_t table_expiry_due(struct table_expiry *x);

#endif
