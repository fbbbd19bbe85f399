/* stack.c - stacks of simulated tasks, kept when a core ends for the next that starts.
 *
 * A simulated node is started and killed thousands of times, and each mapping with a guard page costs two
 * calls of the system and the faults of its pages. So a bounded number of stacks of one size wait here for
 * whoever needs one next. What stands on them is left over from anyone: nobody reads what they have not
 * written. */
#include "reactor/sim/world.h"

enum { STACKS_KEPT_MAX = 1024 };

static struct {
    void *stacks[STACKS_KEPT_MAX];
    size_t bytes; /* of each */
    uint32_t count;
} kept;

void *backend_stack_map(size_t bytes)
{
    if (kept.count > 0 && kept.bytes == bytes)
        return kept.stacks[--kept.count];
    return stack_map(bytes);
}

void backend_stack_unmap(void *stack, size_t bytes)
{
    if (kept.count == 0)
        kept.bytes = bytes;
    if (kept.count < STACKS_KEPT_MAX && kept.bytes == bytes)
        kept.stacks[kept.count++] = stack;
    else
        stack_unmap(stack, bytes);
}
