/* removal.c - the steps in which a file goes; see removal.h.
 *
 * What waits to be removed is gone in a quarter of a second, the more the faster: so steps go on all the time
 * while merges do, and what waits stays small beside the data. */
#include "engine/removal.h"

#include "reactor/base/mark.h"

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

/* Waits. So many bytes are gone, and so many of their file are left. */
static void pause_after(struct engine *e, uint64_t gone, uint64_t left)
{
    if (gone == 0 || is_in_haste(e))
        return;
    double share = (double)gone / (double)(gone + left + waiting_bytes(e));
    uint64_t drain_ns = (uint64_t)(DRAIN_NS * share), max_ns = (gone * PAUSE_MAX_NS_PER_MIB) >> 20;
    task_sleep(e->reactor, drain_ns < max_ns ? drain_ns : max_ns);
}

/* All but a step of it, from the end on. Returns: what is left, and goes with its name. */
static uint64_t give_back(struct engine *e, struct file *f, uint64_t bytes)
{
    uint64_t step = e->options.removal_step_bytes, names;
    if (file_names(e->reactor, f, &names) != 0 || names != 1) {
        MARK(file_with_another_name_is_left_whole);
        return 0;
    }
    while (bytes > step && !is_in_haste(e)) {
        uint64_t from = (bytes - 1) / step * step;
        if (file_give_back(e->reactor, f, from, bytes - from) != 0)
            break;
        MARK(file_is_removed_in_steps);
        pause_after(e, bytes - from, from);
        bytes = from;
    }
    return bytes;
}

int engine_remove_file(struct engine *e, const char *path, uint64_t bytes)
{
    struct file *f;
    if (bytes > e->options.removal_step_bytes && !is_in_haste(e) &&
        file_open(e->reactor, path, FILE_WRITE, &f) == 0) {
        bytes = give_back(e, f, bytes);
        file_close(e->reactor, f);
    }
    int rc = file_remove(e->reactor, path);
    if (rc == 0)
        pause_after(e, bytes, 0);
    return rc;
}
