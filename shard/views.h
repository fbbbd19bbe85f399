/* views.h - snapshots for scans: what all cores of the node had at one moment.
 *
 *   the core of the connection         every core, its own too
 *        OPEN  ------------------------> holds what it has, keeps what is overwritten; tells its clock
 *        S = above all of them and the time of day; waits until all cores stamp above S (moment.h)
 *        FIX S ------------------------> waits until what was put before is applied; stamps above S from now
 *        a page without entries, whose cursor names the view
 *
 * All cores read one time of day, each once a turn, and their clocks ride on what they send one another
 * (hlc.h). So who writes because it saw an acknowledged write has a higher stamp: the moment has no effect
 * without its cause. Pages of the scan may be asked for on any connection. A view ends
 * with its scan, when no page was asked for in VIEW_LEASE_NS, when it would hold too much memory, or with the
 * process; a cursor of it answers TORC_E_VIEW_ENDED then. */
#ifndef SHARD_VIEWS_H
#define SHARD_VIEWS_H

#include "engine/view.h"
#include "shard/request.h"

struct shard;
struct view_order;

enum {
    VIEWS_MAX = 16, /* on a core; more are refused */
    /* One of so many job tasks may wait for the beginning of one: a core whose log hangs holds it up for half
     * a minute, and what needs no other core is to find a task meanwhile. */
    VIEWS_TASK_SHARE = 4,
};
#define VIEW_LEASE_NS (60 * UINT64_C(1000000000))

struct view {
    uint64_t id; /* the same on all cores; 0: this place is free */
    struct engine_view *view;
    uint32_t users; /* pages in the making, or the task that fixes it */
    bool is_ended;  /* goes with its last user */
    uint64_t begun_ns;
    uint64_t used_ns; /* here or, as far as told, elsewhere */
    uint64_t told_ns; /* when other cores were told of its use */
};

struct views {
    struct view places[VIEWS_MAX];
    unsigned task_count;
    unsigned beginning_count; /* by this core */
    bool is_stopping;         /* the node ends */
};

/* Waits, in the task of a job. Returns: 0 with the id of a view of all cores; TORC_E_OVERLOADED,
 * TORC_E_TIMEOUT, or why a core has none. */
MUST_CHECK int views_begin(struct shard *s, uint64_t *id);
/* It is not needed any more, on any core. */
void views_end(struct shard *s, uint64_t id);

/* Returns: the view for one page, or null when it has ended. Every one is released. */
struct view *views_acquire(struct shard *s, uint64_t id);
void views_release(struct shard *s, struct view *v);

/* Once a second: ends those that nobody uses or that hold too much. */
void views_sweep(struct shard *s);
void views_stop(struct shard *s);
static inline bool views_are_quiet(const struct views *v)
{
    return v->task_count == 0;
}
/* Requires: quiet, and no page is in the making. */
void views_close_all(struct shard *s);

/* ---- messages ---- */

void views_take_order(struct shard *s, struct view_order *order);
void views_order_done(struct shard *s, struct view_order *order);
void views_end_here(struct shard *s, uint64_t id);
void views_touch(struct shard *s, uint64_t id); /* it was used on another core */

#endif
