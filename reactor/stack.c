/* stack.c - memory for the stack of a task, with an inaccessible page below it. */
#include "reactor/core.h"

#include <sys/mman.h>
#include <unistd.h>

static size_t guard_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *stack_map(size_t bytes)
{
    size_t guard = guard_bytes();
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

void stack_unmap(void *stack, size_t bytes)
{
    munmap((char *)stack - guard_bytes(), bytes + guard_bytes());
}
