/* core.c - the calls of reactor.h that need no backend: hooks, random numbers, the heap's names, counters. */
#include "reactor/core.h"

#include <string.h>

/* splitmix64, for a seed of any quality: https://prng.di.unimi.it/splitmix64.c */
static uint64_t next_of_seed(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static void init_tasks(struct reactor_core *c)
{
    for (unsigned i = 0; i < c->task_count_max; i++) {
        c->tasks[i].core = c;
        list_push_back(&c->free_tasks, &c->tasks[i].link);
    }
}

int core_init(struct reactor_core *c, const struct core_options *options)
{
    memset(c, 0, sizeof *c);
    c->core = options->core;
    c->core_count = options->core_count;
    c->task_count_max = options->task_count_max ? options->task_count_max : TASK_COUNT_DEFAULT;
    c->stack_bytes = options->task_stack_bytes ? options->task_stack_bytes : TASK_STACK_BYTES_DEFAULT;
    c->stack_bytes = (c->stack_bytes + FILE_ALIGNMENT - 1) / FILE_ALIGNMENT * FILE_ALIGNMENT;
    list_init(&c->spawned);
    list_init(&c->ready);
    list_init(&c->ready_lowered);
    list_init(&c->free_tasks);
    stack_context_of_thread(&c->loop_context);
    uint64_t seed = options->seed;
    for (unsigned i = 0; i < ARRAY_COUNT(c->random_state); i++)
        c->random_state[i] = next_of_seed(&seed);
    int rc = heap_init(&c->heap);
    if (rc)
        return rc;
    c->heap.fill = options->heap_fill;
    c->tasks = heap_alloc_zeroed(&c->heap, c->task_count_max * sizeof *c->tasks);
    if (!c->tasks)
        return TORC_E_NO_MEMORY;
    init_tasks(c);
    return timers_init(c);
}

void core_deinit(struct reactor_core *c)
{
    for (unsigned i = 0; c->tasks && i < c->task_count_max; i++) {
        stack_context_discard(&c->tasks[i].context);
        if (!c->tasks[i].stack)
            continue;
        UNPOISON(c->tasks[i].stack, c->stack_bytes);
        backend_stack_unmap(c->tasks[i].stack, c->stack_bytes);
    }
    c->tasks = NULL;
    heap_deinit(&c->heap);
}

void core_begin_slice(struct reactor_core *c)
{
    c->slice_start_ns = reactor_clock_ns(core_reactor(c));
}

void core_end_slice(struct reactor_core *c)
{
    uint64_t now = reactor_clock_ns(core_reactor(c));
    uint64_t lasted = now - c->slice_start_ns;
    if (lasted > REACTOR_SLICE_NS) {
        c->counters.stalls++;
        if (lasted > c->counters.stall_longest_ns)
            c->counters.stall_longest_ns = lasted;
    }
    c->slice_start_ns = now;
}

void reactor_stop(struct reactor *r)
{
    core_of(r)->is_stopping = true;
}

unsigned reactor_core(const struct reactor *r)
{
    return ((const struct reactor_core *)r)->core;
}

unsigned reactor_core_count(const struct reactor *r)
{
    return ((const struct reactor_core *)r)->core_count;
}

void reactor_set_turn_hook(struct reactor *r, void (*hook)(void *context), void *context)
{
    core_of(r)->turn_hook = hook;
    core_of(r)->turn_context = context;
}

void reactor_set_stop_handler(struct reactor *r, void (*handler)(void *context), void *context)
{
    core_of(r)->stop_handler = handler;
    core_of(r)->stop_context = context;
}

void reactor_set_message_handler(struct reactor *r, void (*handler)(void *context, const struct message *m),
                                 void *context)
{
    core_of(r)->message_handler = handler;
    core_of(r)->message_context = context;
}

uint64_t reactor_now_ns(const struct reactor *r)
{
    return ((const struct reactor_core *)r)->now_ns;
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* xoshiro256**: https://prng.di.unimi.it/xoshiro256starstar.c */
uint64_t reactor_random(struct reactor *r)
{
    uint64_t *s = core_of(r)->random_state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

void *reactor_alloc(struct reactor *r, size_t bytes)
{
    return heap_alloc(&core_of(r)->heap, bytes);
}

void *reactor_alloc_zeroed(struct reactor *r, size_t bytes)
{
    return heap_alloc_zeroed(&core_of(r)->heap, bytes);
}

void *reactor_alloc_aligned(struct reactor *r, size_t bytes, size_t alignment)
{
    return heap_alloc_aligned(&core_of(r)->heap, bytes, alignment);
}

void *reactor_realloc(struct reactor *r, void *memory, size_t bytes)
{
    return heap_realloc(&core_of(r)->heap, memory, bytes);
}

void reactor_free(struct reactor *r, void *memory)
{
    heap_free(&core_of(r)->heap, memory);
}

void reactor_disown(struct reactor *r, void *memory)
{
    heap_disown(&core_of(r)->heap, memory);
}

void reactor_adopt(struct reactor *r, void *memory)
{
    heap_adopt(&core_of(r)->heap, memory);
}

struct reactor_counters reactor_counters(const struct reactor *r)
{
    const struct reactor_core *c = (const struct reactor_core *)r;
    struct reactor_counters counters = c->counters;
    counters.allocations = c->heap.allocations;
    counters.heap_bytes = c->heap.bytes > 0 ? (uint64_t)c->heap.bytes : 0;
    return counters;
}
