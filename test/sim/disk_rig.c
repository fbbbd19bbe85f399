/* disk_rig.c - a world with one node, for the tests of its disk. */
#include "test/sim/disk_rig.h"

#include <stdlib.h>
#include <string.h>

enum { DISK_BYTES = 1 << 20, PENDING_MAX = 256 };

static const uint64_t LONG_NS = 1000ull * 3600 * 1000 * 1000 * 1000;

void rig_open(struct rig *rig, uint64_t seed)
{
    struct sim_world_options options = {.seed = seed};
    *rig = (struct rig){.world = sim_world_new(&options)};
    rig->disk = sim_disk_new(DISK_BYTES, 1);
    rig->node = sim_node_new(rig->world, "10.0.0.1", rig->disk);
}

void rig_close(struct rig *rig)
{
    sim_world_free(rig->world);
}

void rig_set_fault(struct rig *rig, enum sim_fault fault)
{
    struct sim_faults faults = {0};
    if (fault < SIM_FAULT_COUNT)
        faults.per_million[fault] = 1000 * 1000;
    sim_world_set_faults(rig->world, &faults);
}

static int run_body(struct reactor *r, void *context)
{
    struct rig *rig = context;
    rig->bytes = reactor_alloc_aligned(r, RIG_PAGES * RIG_PAGE, FILE_ALIGNMENT);
    ASSERT(rig->bytes);
    rig->body(r, rig);
    rig->is_done = true;
    if (!rig->is_asked_to_stop)
        task_sleep(r, LONG_NS);
    reactor_free(r, rig->bytes);
    reactor_stop(r);
    return 0;
}

static bool is_done(void *context)
{
    return ((struct rig *)context)->is_done;
}

void rig_run(struct rig *rig, void (*body)(struct reactor *r, struct rig *rig))
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    rig->body = body;
    rig->is_done = false;
    sim_node_start(rig->node, &options, run_body, rig);
    bool is_over = sim_run(rig->world, sim_now_ns(rig->world) + LONG_NS, is_done, rig);
    CU_ASSERT_TRUE(is_over);
}

static bool is_down(void *context)
{
    return !sim_node_is_up(((struct rig *)context)->node);
}

void rig_run_and_stop(struct rig *rig, void (*body)(struct reactor *r, struct rig *rig))
{
    rig->is_asked_to_stop = true;
    rig_run(rig, body);
    CU_ASSERT_TRUE(sim_run(rig->world, sim_now_ns(rig->world) + LONG_NS, is_down, rig));
    rig->is_asked_to_stop = false;
}

void rig_try(uint64_t seed, void (*body)(struct reactor *r, struct rig *rig))
{
    struct rig rig;
    rig_open(&rig, seed);
    rig_run_and_stop(&rig, body);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.node).files, 0);
    CU_ASSERT_EQUAL(sim_node_leaks(rig.node).heap_bytes, 0);
    rig_close(&rig);
}

void rig_kill(struct rig *rig, enum sim_end how)
{
    sim_node_kill(rig->node, how);
}

const uint8_t *rig_fill(struct rig *rig, uint8_t byte, unsigned pages)
{
    ASSERT(pages <= RIG_PAGES);
    return memset(rig->bytes, byte, (size_t)pages * RIG_PAGE);
}

int disk_byte(const struct sim_disk *d, const char *path, uint64_t offset)
{
    uint8_t byte;
    int64_t got = sim_disk_peek(d, path, &byte, 1, offset);
    return got == 1 ? byte : got == 0 ? -1 : -2;
}

int64_t disk_bytes(const struct sim_disk *d, const char *path)
{
    for (uint32_t i = 0; i < sim_disk_file_count(d); i++)
        if (strcmp(sim_disk_file_at(d, i).path, path) == 0)
            return (int64_t)sim_disk_file_at(d, i).bytes;
    return -1;
}

struct sim_disk *disk_after_power_loss(const struct sim_disk *d, int what)
{
    struct sim_choice choices[PENDING_MAX] = {0};
    struct sim_disk *copy = sim_disk_clone(d);
    ASSERT(sim_disk_pending_count(copy) <= PENDING_MAX);
    for (uint32_t i = 0; i < sim_disk_pending_count(copy); i++)
        choices[i].what = what == SIM_DROP ? SIM_DROP : SIM_KEEP;
    sim_disk_lose_power(copy, choices);
    return copy;
}

struct file *must_open(struct reactor *r, const char *path, unsigned flags)
{
    struct file *f;
    int rc = file_open(r, path, flags, &f);
    ASSERT(rc == 0);
    return f;
}

void must_write(struct reactor *r, struct rig *rig, struct file *f, uint8_t byte, uint64_t page)
{
    int rc = file_write(r, f, rig_fill(rig, byte, 1), RIG_PAGE, page * RIG_PAGE, false);
    ASSERT(rc == 0);
}

void must_write_durably(struct reactor *r, struct rig *rig, struct file *f, uint8_t byte, uint64_t page)
{
    int rc = file_write(r, f, rig_fill(rig, byte, 1), RIG_PAGE, page * RIG_PAGE, true);
    ASSERT(rc == 0);
}
