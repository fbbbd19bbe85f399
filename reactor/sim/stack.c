/* stack.c - stacks of simulated tasks, kept when a core ends for the next that starts.
 *
 * A simulated node is started and killed thousands of times, and each mapping with a guard page costs two
 * calls of the system and the faults of its pages. So a bounded number of stacks of one size wait here for
 * whoever needs one next. What stands on them is left over from anyone: nobody reads what they have not
 * written. */
#include "reactor/sim/world.h"

#include <sys/mman.h>
#include <unistd.h>

enum { STACKS_KEPT_MAX = 1024 };

static struct {
    void *stacks[STACKS_KEPT_MAX];
    size_t bytes; /* of each */
    uint32_t count;
} kept;

static size_t guard_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *backend_stack_map(size_t bytes)
{
    size_t guard = guard_bytes();
    if (kept.count > 0 && kept.bytes == bytes)
        return kept.stacks[--kept.count];
    char *memory =
        mmap(NULL, bytes + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (mprotect(memory, guard, PROT_NONE)) {
        munmap(memory, bytes + guard);
        return NULL;
    }
    return memory + guard;
}

void backend_stack_unmap(void *stack, size_t bytes)
{
    if (kept.count == 0)
        kept.bytes = bytes;
    if (kept.count < STACKS_KEPT_MAX && kept.bytes == bytes)
        kept.stacks[kept.count++] = stack;
    else
        munmap((char *)stack - guard_bytes(), bytes + guard_bytes());
}
