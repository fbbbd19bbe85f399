/* removal.c - the pace at which an engine's files go; see removal.h.
 *
 * What waits to be removed is gone in a quarter of a second, the more the faster: so steps go on all the time
 * while merges do, and what waits stays small beside the data. */
#include "engine/removal.h"

enum { DRAIN_NS = 250 * 1000 * 1000, PAUSE_MAX_NS_PER_MIB = 30 * 1000 * 1000 };

static uint64_t waiting_bytes(const struct engine *e)
{
    uint64_t bytes = 0;
    for (const struct list *at = e->graveyard.next; at != &e->graveyard; at = at->next) {
        const struct table_ref *ref = CONTAINER_OF(at, const struct table_ref, link);
        bytes += ref->is_obsolete ? ref->bytes : 0;
    }
    return bytes;
}

static bool is_in_haste(const struct engine *e)
{
    return e->is_closing || e->is_failed || e->is_out_of_room || e->is_room_short;
}

static bool pause_after(void *context, uint64_t gone, uint64_t left)
{
    struct engine *e = context;
    if (gone > 0 && !is_in_haste(e)) {
        double share = (double)gone / (double)(gone + left + waiting_bytes(e));
        uint64_t drain_ns = (uint64_t)(DRAIN_NS * share), max_ns = (gone * PAUSE_MAX_NS_PER_MIB) >> 20;
        task_sleep(e->reactor, drain_ns < max_ns ? drain_ns : max_ns);
    }
    return !is_in_haste(e);
}

int engine_remove_file(struct engine *e, const char *path)
{
    const struct removal_pace pace = {e->options.removal_step_bytes, pause_after, e};
    return file_remove_in_steps(e->reactor, path, &pace);
}
