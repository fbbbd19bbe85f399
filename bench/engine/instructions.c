/* instructions.c - runs one operation so many rounds, for a counter of instructions around it.
 *
 *   build/instructions --list          the names, one a line
 *   build/instructions NAME ROUNDS     prints how many operations were run
 *
 * It runs on the simulated reactor: no kernel, a clock and random numbers that are the same in every run, and
 * a disk that is memory. What the simulated disk costs is in the counts of puts, merges and scans, a few
 * instructions a record, and the same each time. */
#include "bench/engine/instructions.h"
#include "reactor/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define HOUR_NS (UINT64_C(3600) * 1000000000)
#define DISK_BYTES (UINT64_C(1) << 30)
#define SETTLING_NS (UINT64_C(10) * 1000000000) /* simulated */

const struct counted_operation counted_operations[COUNTED_OPERATIONS] = {
    {"frame-parse", "a PUT frame taken apart and its check verified", prepare_frames, run_parse},
    {"put", "a put, from engine_put to its ticket back", prepare_puts, run_put},
    {"get-memtable", "a get that the memtable answers", prepare_memtable_gets, run_gets},
    {"get-block", "the first get of a key in a cached block", prepare_block_gets, run_block_gets},
    {"get-row", "a get that the row cache answers", prepare_row_gets, run_gets},
    {"log-encode", "a record encoded for the log, with its share of the checksum", prepare_entries,
     run_encode},
    {"merge", "a record read by a merge of two runs into one", prepare_runs, run_merge},
    {"scan-memtable", "a record of a scan, from the memtable", prepare_memtable_scan, run_scan},
    {"scan-table", "a record of a scan, from a table", prepare_table_scan, run_scan},
};

struct call {
    const struct counted_operation *operation;
    uint32_t rounds;
    uint64_t done;
    bool is_over;
};

void harness_open(struct harness *h)
{
    struct rig *rig = &h->rig;
    rig->sample = (struct sample){.key_bytes = 20, .value_bytes = 100};
    rig->options = (struct engine_options){
        .directory = "shard",
        .memtable_bytes = 64 << 20,
        .segment_bytes = 8 << 20,
        .cache_bytes = 64 << 20,
        .list_shared_min = UINT32_MAX, /* each scan sorts */
    };
    rig_open(rig, rig->reactor);
}

void harness_fill(struct harness *h, uint64_t first, uint64_t count)
{
    rig_fill(&h->rig, first, count);
    task_sleep(h->rig.reactor, SETTLING_NS);
}

/* The engine is not closed: what the end costs is not to be counted, and the world goes with the process. */
static int run_main(struct reactor *r, void *context)
{
    struct call *call = context;
    struct harness *h = reactor_alloc_zeroed(r, sizeof *h);
    ASSERT(h);
    h->rig.reactor = r;
    call->operation->prepare(h);
    for (uint32_t i = 0; i < call->rounds; i++)
        call->done += call->operation->run(h, i);
    call->is_over = true;
    task_sleep(r, HOUR_NS);
    return 0;
}

static bool is_over(void *context)
{
    return ((struct call *)context)->is_over;
}

static void run_call(struct call *call)
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    struct sim_world_options world_options = {.seed = 1};
    struct sim_world *world = sim_world_new(&world_options);
    struct sim_node *node = sim_node_new(world, "10.0.0.1", sim_disk_new(DISK_BYTES, 1));
    sim_node_start(node, &options, run_main, call);
    bool has_ended = sim_run(world, sim_now_ns(world) + HOUR_NS, is_over, call);
    ASSERT(has_ended);
    printf("%lu\n", call->done);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < COUNTED_OPERATIONS; i++)
            printf("%s\t%s\n", counted_operations[i].name, counted_operations[i].what);
        return 0;
    }
    long rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    for (size_t i = 0; i < COUNTED_OPERATIONS && rounds > 0 && rounds <= INSTRUCTIONS_ROUNDS_MAX; i++)
        if (strcmp(argv[1], counted_operations[i].name) == 0) {
            struct call call = {.operation = &counted_operations[i], .rounds = (uint32_t)rounds};
            run_call(&call);
            return 0;
        }
    fprintf(stderr, "usage: instructions --list | NAME ROUNDS (1 to %d)\n", INSTRUCTIONS_ROUNDS_MAX);
    return 2;
}
