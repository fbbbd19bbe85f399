/* disk.c - a bound on the background's transfers, and its division; see disk.h.
 *
 * A class has a clock that runs on by bytes / weight with each grant; of the classes that wait the one with
 * the lowest clock is next. A class that comes back after a pause begins at the clock of the last grant, so
 * that it has no claim for the time it asked for nothing.
 *
 * The usual duration of a read is the least average of a window, forgotten slowly: what the disk does when it
 * is left alone. */
#include "engine/disk.h"

enum {
    BACKGROUND_BYTES_DEFAULT = 1 << 20, /* of all cores */
    BACKGROUND_BYTES_LEAST = 512 << 10,
    MINIMUM_BYTES_DEFAULT = 256 << 10, /* one transfer of a merge */
    LIMIT_STEP_BYTES = 64 << 10,
    WINDOW_NS = 5 * 1000 * 1000,
    WINDOW_READS_MIN = 16,        /* fewer say nothing: the window goes on */
    QUIET_NS = 250 * 1000 * 1000, /* so long without enough of them, and the bound rises by a step */
    USUAL_FADES = 2048,  /* windows until what was usual has grown by e, if nothing confirms it: 10 s */
    SLOW_NS = 50 * 1000, /* reads are slow when they take so much longer than usual, and half as long again */
    CLOCK_SCALE = 1024,
};

static const uint32_t weights[DISK_CLASS_COUNT] = {
    [DISK_FOREGROUND] = 1, /* never used */
    [DISK_FLUSH] = 16,     /* memory waits for it */
    [DISK_COMPACTION] = 8, [DISK_STREAMING] = 4, [DISK_SCRUB] = 1, [DISK_BACKUP] = 2,
};

struct waiter {
    struct list link;
    struct event granted;
    uint32_t bytes;
};

struct queue {
    struct list waiters;
    uint64_t clock;
};

struct disk {
    struct reactor *r;
    bool is_stopped;
    uint64_t bytes_max;
    uint64_t bytes_min;
    uint64_t limit;
    uint64_t in_flight; /* of the background */
    uint64_t clock;     /* of the class granted last, before its grant */
    struct queue queues[DISK_CLASS_COUNT];

    uint64_t adapted_ns; /* when the bound was looked at last */
    uint64_t window_begun_ns;
    uint64_t window_reads;
    uint64_t window_read_ns;
    uint64_t usual_ns; /* 0: not known yet */

    struct disk_counters counters;
};

static uint64_t bytes_max_of(struct reactor *r, const struct disk_options *o)
{
    uint64_t share = BACKGROUND_BYTES_DEFAULT / reactor_core_count(r);
    if (o->background_bytes_max)
        return o->background_bytes_max;
    return share > BACKGROUND_BYTES_LEAST ? share : BACKGROUND_BYTES_LEAST;
}

int disk_open(struct reactor *r, const struct disk_options *options, struct disk **out)
{
    struct disk *d = reactor_alloc_zeroed(r, sizeof *d);
    if (!d)
        return TORC_E_NO_MEMORY;
    d->r = r;
    d->bytes_max = bytes_max_of(r, options);
    d->bytes_min = options->background_bytes_min ? options->background_bytes_min : MINIMUM_BYTES_DEFAULT;
    if (d->bytes_min > d->bytes_max)
        d->bytes_min = d->bytes_max;
    d->limit = d->bytes_max;
    d->window_begun_ns = d->adapted_ns = reactor_now_ns(r);
    for (unsigned i = 0; i < DISK_CLASS_COUNT; i++)
        list_init(&d->queues[i].waiters);
    *out = d;
    return 0;
}

void disk_close(struct disk *d)
{
    if (!d)
        return;
    ASSERT(d->in_flight == 0);
    for (unsigned i = 0; i < DISK_CLASS_COUNT; i++)
        ASSERT(list_is_empty(&d->queues[i].waiters));
    reactor_free(d->r, d);
}

void disk_stop(struct disk *d)
{
    if (!d)
        return;
    d->is_stopped = true;
    for (unsigned i = 0; i < DISK_CLASS_COUNT; i++) {
        struct list *link;
        while ((link = list_pop_front(&d->queues[i].waiters)) != NULL)
            event_set(d->r, &CONTAINER_OF(link, struct waiter, link)->granted, TORC_E_CANCELLED);
    }
}

/* ---- grants ---- */

/* One transfer is always allowed, however large. */
static bool has_room(const struct disk *d, uint32_t bytes)
{
    return d->in_flight == 0 || d->in_flight + bytes <= d->limit;
}

static void take(struct disk *d, enum disk_class class, uint32_t bytes)
{
    struct queue *q = &d->queues[class];
    if (q->clock < d->clock)
        q->clock = d->clock;
    d->clock = q->clock;
    q->clock += (uint64_t)bytes * CLOCK_SCALE / weights[class];
    d->in_flight += bytes;
}

static bool is_anyone_waiting(const struct disk *d)
{
    for (unsigned i = 0; i < DISK_CLASS_COUNT; i++)
        if (!list_is_empty(&d->queues[i].waiters))
            return true;
    return false;
}

/* Returns: the class that waits and has had the least; DISK_CLASS_COUNT when none waits. */
static unsigned least_served(const struct disk *d)
{
    unsigned best = DISK_CLASS_COUNT;
    for (unsigned i = 0; i < DISK_CLASS_COUNT; i++)
        if (!list_is_empty(&d->queues[i].waiters) &&
            (best == DISK_CLASS_COUNT || d->queues[i].clock < d->queues[best].clock))
            best = i;
    return best;
}

static void grant(struct disk *d)
{
    unsigned class;
    while ((class = least_served(d)) < DISK_CLASS_COUNT) {
        struct waiter *w = CONTAINER_OF(d->queues[class].waiters.next, struct waiter, link);
        if (!has_room(d, w->bytes))
            return; /* none overtakes it: a large one would never have its turn */
        list_remove(&w->link);
        take(d, class, w->bytes);
        event_set(d->r, &w->granted, 0);
    }
}

static int wait_for_grant(struct disk *d, enum disk_class class, uint32_t bytes)
{
    struct waiter w = {.bytes = bytes};
    struct queue *q = &d->queues[class];
    uint64_t begun_ns = reactor_now_ns(d->r);
    event_init(&w.granted);
    list_init(&w.link);
    if (list_is_empty(&q->waiters) && q->clock < d->clock)
        q->clock = d->clock;
    list_push_back(&q->waiters, &w.link);
    int rc = event_wait(d->r, &w.granted, EVENT_FOREVER);
    d->counters.waits[class]++;
    d->counters.waited_ns[class] += reactor_now_ns(d->r) - begun_ns;
    return rc;
}

static void raise_limit(struct disk *d)
{
    d->limit = d->limit + LIMIT_STEP_BYTES < d->bytes_max ? d->limit + LIMIT_STEP_BYTES : d->bytes_max;
}

/* The reads that took so long may have been the last: the bound must not stay where they left it. */
static void recover(struct disk *d)
{
    uint64_t now_ns = reactor_now_ns(d->r);
    if (now_ns - d->adapted_ns < QUIET_NS)
        return;
    d->adapted_ns = now_ns;
    raise_limit(d);
}

bool disk_is_free(const struct disk *d, uint32_t bytes)
{
    return !d || d->is_stopped || (!is_anyone_waiting(d) && has_room(d, bytes));
}

int disk_acquire(struct disk *d, enum disk_class class, uint32_t bytes)
{
    if (!d)
        return 0;
    ASSERT(class < DISK_CLASS_COUNT);
    d->counters.transfers[class]++;
    d->counters.bytes[class] += bytes;
    if (class == DISK_FOREGROUND)
        return 0;
    if (d->is_stopped)
        return TORC_E_CANCELLED;
    recover(d);
    if (!disk_is_free(d, bytes))
        return wait_for_grant(d, class, bytes);
    take(d, class, bytes);
    return 0;
}

void disk_release(struct disk *d, enum disk_class class, uint32_t bytes)
{
    if (!d || class == DISK_FOREGROUND)
        return;
    ASSERT(d->in_flight >= bytes);
    d->in_flight -= bytes;
    recover(d);
    grant(d);
}

/* ---- how long reads take ---- */

static void adapt(struct disk *d, uint64_t average_ns)
{
    uint64_t usual = d->usual_ns;
    bool is_slow = usual && average_ns > usual + SLOW_NS && average_ns > usual + usual / 2;
    if (!is_slow) {
        raise_limit(d);
        grant(d);
    } else if (d->limit > d->bytes_min) {
        d->limit = d->limit / 2 > d->bytes_min ? d->limit / 2 : d->bytes_min;
        d->counters.limit_cuts++;
    }
    usual += usual / USUAL_FADES + 1;
    d->usual_ns = d->usual_ns == 0 || average_ns < usual ? average_ns : usual;
}

void disk_read_ends(struct disk *d, uint64_t begun_ns)
{
    if (!d)
        return;
    uint64_t now_ns = reactor_now_ns(d->r);
    uint64_t took_ns = now_ns - begun_ns;
    d->counters.reads++;
    d->counters.read_ns += took_ns;
    d->window_reads++;
    d->window_read_ns += took_ns;
    if (now_ns - d->window_begun_ns < WINDOW_NS || d->window_reads < WINDOW_READS_MIN)
        return;
    adapt(d, d->window_read_ns / d->window_reads);
    d->window_begun_ns = d->adapted_ns = now_ns;
    d->window_reads = 0;
    d->window_read_ns = 0;
}

struct disk_counters disk_counters(const struct disk *d)
{
    if (!d)
        return (struct disk_counters){0};
    struct disk_counters c = d->counters;
    c.background_bytes = d->in_flight;
    c.background_limit_bytes = d->limit;
    return c;
}
