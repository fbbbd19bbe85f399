/* node.c - one world, one node, one core, for as long as a body runs. */
#include "test/fuzz/node.h"

#include "reactor/sim/sim.h"

#include <stdio.h>

#define HOUR_NS (UINT64_C(3600) * 1000000000)

struct body {
    void (*run)(struct reactor *r, void *context);
    void *context;
};

static int run_main(struct reactor *r, void *context)
{
    const struct body *body = context;
    int rc = directory_create(r, FUZZ_DIRECTORY);
    ASSERT(rc == 0);
    body->run(r, body->context);
    reactor_stop(r);
    return 0;
}

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

void fuzz_run_node(void (*run)(struct reactor *r, void *context), void *context)
{
    struct body body = {run, context};
    struct sim_world_options world_options = {.seed = 1, .heap_fill = 0xa5};
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    struct sim_world *world = sim_world_new(&world_options);
    struct sim_node *node = sim_node_new(world, "10.0.0.1", NULL);
    sim_node_start(node, &options, run_main, &body);
    bool has_ended = sim_run(world, sim_now_ns(world) + HOUR_NS, is_down, node);
    ASSERT(has_ended && sim_node_result(node) == 0);
    struct sim_leaks leaks = sim_node_leaks(node);
    ASSERT(leaks.files == 0 && leaks.tasks == 0 && leaks.timers == 0 && leaks.heap_bytes == 0);
    sim_world_free(world);
}

void fuzz_write_file(struct reactor *r, const char *path, struct slice bytes)
{
    struct file *f = NULL;
    int rc = file_open(r, path, FILE_WRITE | FILE_CREATE, &f);
    ASSERT(rc == 0);
    if (bytes.bytes)
        rc = file_write(r, f, bytes.data, bytes.bytes, 0, false);
    ASSERT(rc == 0);
    file_close(r, f);
}

uint8_t *fuzz_read_file(struct reactor *r, const char *path, size_t *bytes)
{
    struct file *f = NULL;
    uint64_t size = 0;
    int rc = file_open(r, path, FILE_READ, &f);
    if (rc == 0)
        rc = file_size(r, f, &size);
    ASSERT(rc == 0);
    size_t padded = (size + FILE_ALIGNMENT) / FILE_ALIGNMENT * FILE_ALIGNMENT;
    uint8_t *data = reactor_alloc_zeroed(r, padded);
    ASSERT(data);
    int64_t got = file_read(r, f, data, size, 0);
    ASSERT(got == (int64_t)size);
    file_close(r, f);
    *bytes = size;
    return data;
}
