/* cache_policies.c - which policy of eviction keeps more of what is read again: hit ratios on made traces.
 *
 *   cache_policies [REQUESTS]
 *
 * CLOCK is FIFO with reinsertion. SIEVE: Zhang et al., "SIEVE is Simpler than LRU" (NSDI 2024). S3-FIFO: Yang
 * et al., "FIFO queues are all you need for cache eviction" (SOSP 2023), with a small queue of a tenth and as
 * many ghosts as the main queue holds. Things have one size; each trace is drawn again for each policy.
 *
 * Rows are read by gets. Blocks are read by gets that found no row, as they are scattered over the blocks,
 * and by scans. docs/decisions says what was chosen. */
#include "bench/distribution.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 1000000, ROWS_IN_BLOCK = 25, REQUESTS_DEFAULT = 8000000, NONE = -1, SHIFTS = 20 };

/* ---- queues of things ---- */

enum place { NOWHERE, SMALL, MAIN, GHOST };

struct thing {
    int32_t newer, older;
    uint8_t place; /* enum place */
    uint8_t uses;
};

struct queue {
    int32_t newest, oldest;
    uint32_t count;
};

struct cache {
    struct thing *things;
    struct queue small, main, ghost;
    uint32_t capacity;
    int32_t hand;
};

static struct queue *queue_of(struct cache *c, enum place place)
{
    return place == SMALL ? &c->small : place == MAIN ? &c->main : &c->ghost;
}

static void push(struct cache *c, int32_t id, enum place place)
{
    struct queue *q = queue_of(c, place);
    struct thing *t = &c->things[id];
    *t = (struct thing){.newer = NONE, .older = q->newest, .place = (uint8_t)place, .uses = t->uses};
    if (q->newest != NONE)
        c->things[q->newest].newer = id;
    else
        q->oldest = id;
    q->newest = id;
    q->count++;
}

static void take(struct cache *c, int32_t id)
{
    struct thing *t = &c->things[id];
    struct queue *q = queue_of(c, (enum place)t->place);
    if (t->newer != NONE)
        c->things[t->newer].older = t->older;
    else
        q->newest = t->older;
    if (t->older != NONE)
        c->things[t->older].newer = t->newer;
    else
        q->oldest = t->newer;
    t->place = NOWHERE;
    q->count--;
}

/* ---- policies: make room for one, and put it in ---- */

static void clock_add(struct cache *c, int32_t id)
{
    while (c->main.count >= c->capacity) {
        int32_t oldest = c->main.oldest;
        take(c, oldest);
        if (c->things[oldest].uses) {
            c->things[oldest].uses = 0;
            push(c, oldest, MAIN);
        }
    }
    c->things[id].uses = 0;
    push(c, id, MAIN);
}

static void sieve_add(struct cache *c, int32_t id)
{
    if (c->main.count >= c->capacity) {
        int32_t at = c->hand != NONE ? c->hand : c->main.oldest;
        while (c->things[at].uses) {
            c->things[at].uses = 0;
            at = c->things[at].newer != NONE ? c->things[at].newer : c->main.oldest;
        }
        c->hand = c->things[at].newer;
        take(c, at);
    }
    c->things[id].uses = 0;
    push(c, id, MAIN);
}

static void s3_evict_small(struct cache *c)
{
    int32_t oldest = c->small.oldest;
    take(c, oldest);
    if (c->things[oldest].uses > 1) {
        c->things[oldest].uses = 0;
        push(c, oldest, MAIN);
        return;
    }
    if (c->ghost.count >= c->capacity - c->capacity / 10)
        take(c, c->ghost.oldest);
    push(c, oldest, GHOST);
}

static void s3_evict_main(struct cache *c)
{
    int32_t oldest = c->main.oldest;
    take(c, oldest);
    if (c->things[oldest].uses) {
        c->things[oldest].uses--;
        push(c, oldest, MAIN);
    }
}

static void s3_add(struct cache *c, int32_t id)
{
    bool was_seen = c->things[id].place == GHOST;
    if (was_seen)
        take(c, id);
    while (c->small.count + c->main.count >= c->capacity)
        if (c->small.count >= c->capacity / 10 || c->main.count == 0)
            s3_evict_small(c);
        else
            s3_evict_main(c);
    c->things[id].uses = 0;
    push(c, id, was_seen ? MAIN : SMALL);
}

/* ---- traces ---- */

enum trace { ZIPF, ZIPF_SCANS, SHIFTING, TRACES };
static const char *const trace_names[TRACES] = {"zipf 0.99", "zipf and scans", "shifting zipf"};

struct reader {
    enum trace trace;
    struct distribution zipf;
    struct random random;
    uint64_t requests;
    uint64_t at;
    uint32_t scan_left;
    uint32_t scan_at;
};

/* Returns: a row. One request in a hundred and fifty begins a scan of 100 rows: 40 % of all are of scans. */
static uint32_t next_row(struct reader *r)
{
    r->at++;
    if (r->scan_left > 0) {
        r->scan_left--;
        return r->scan_at++ % ROWS;
    }
    if (r->trace == ZIPF_SCANS && random_scale(random_next(&r->random), 150) == 0) {
        r->scan_left = 100;
        r->scan_at = (uint32_t)random_scale(random_next(&r->random), ROWS);
    }
    uint64_t row = distribution_next(&r->zipf, &r->random);
    if (r->trace == SHIFTING) /* the hot ones are others, twenty times in all */
        row += r->at * SHIFTS / r->requests * 7919;
    return (uint32_t)(row % ROWS);
}

/* ---- measuring ---- */

typedef void add_fn(struct cache *c, int32_t id);
struct policy {
    const char *name;
    add_fn *add;
    uint8_t uses_max;
};
static const struct policy policies[] = {{"CLOCK", clock_add, 1},
                                         {"SIEVE", sieve_add, 1},
                                         {"S3-FIFO", s3_add, 3}};

static bool is_hit(struct cache *c, const struct policy *p, int32_t id)
{
    struct thing *t = &c->things[id];
    if (t->place == SMALL || t->place == MAIN) {
        t->uses = (uint8_t)(t->uses + (t->uses < p->uses_max));
        return true;
    }
    p->add(c, id);
    return false;
}

static void cache_init(struct cache *c, uint32_t things, uint32_t capacity)
{
    struct queue empty = {NONE, NONE, 0};
    *c = (struct cache){.small = empty, .main = empty, .ghost = empty, .capacity = capacity, .hand = NONE};
    c->things = calloc(things, sizeof *c->things);
    if (!c->things)
        abort();
}

/* Rows in front of blocks, as in an engine. Counts of the second half, when both are full. */
static void measure(const struct policy *p, enum trace trace, uint32_t per_mille, uint64_t requests)
{
    struct cache rows, blocks;
    struct reader r = {.trace = trace, .random = random_of_seed(1), .requests = requests};
    distribution_init(&r.zipf, DISTRIBUTION_ZIPFIAN, ROWS, 0.99);
    cache_init(&rows, ROWS, ROWS / 1000 * per_mille);
    cache_init(&blocks, ROWS / ROWS_IN_BLOCK, ROWS / ROWS_IN_BLOCK * per_mille / 1000);
    uint64_t row_reads = 0, row_hits = 0, block_reads = 0, block_hits = 0;
    for (uint64_t i = 0; i < requests; i++) {
        bool is_scan = r.scan_left > 0, is_counted = i >= requests / 2;
        uint32_t row = next_row(&r);
        bool is_row = !is_scan && is_hit(&rows, p, (int32_t)row);
        bool is_block = !is_row && is_hit(&blocks, p, (int32_t)(row / ROWS_IN_BLOCK));
        row_reads += is_counted && !is_scan;
        row_hits += is_counted && is_row;
        block_reads += is_counted && !is_row;
        block_hits += is_counted && is_block;
    }
    printf("%-15s %3u.%u %%   %-8s rows %5.2f %%   blocks %5.2f %%\n", trace_names[trace], per_mille / 10,
           per_mille % 10, p->name, 100.0 * (double)row_hits / (double)row_reads,
           100.0 * (double)block_hits / (double)block_reads);
    free(rows.things);
    free(blocks.things);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {5, 20, 100};
    uint64_t requests = argc > 1 ? strtoull(argv[1], NULL, 10) : REQUESTS_DEFAULT;
    for (enum trace trace = 0; trace < TRACES; trace++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            for (size_t j = 0; j < sizeof policies / sizeof policies[0]; j++)
                measure(&policies[j], trace, sizes[i], requests);
    return 0;
}
