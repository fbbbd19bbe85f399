/* crash_record.c - steps a world and keeps the states of its disk; see crash_record.h.
 *
 * A task on the simulated core performs the steps. What only the driver may do (faults, capacity, kill) the
 * task wishes for; the driver grants it between two events of the world. */
#include "test/sim/crash_record.h"
#include "test/sim/crash_copy.h"

#include "engine/manifest.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    EVENTS_MAX = 4 * 1000 * 1000, /* of one recording: a workload that does not end is a failure */
    TURN_NS = 1000,
    STATES_FIRST = 64,
};

struct run {
    struct crash_step steps[CRASH_STEPS_MAX];
    struct crash_recording *out;
    struct sim_world *world;
    struct sim_node *node;
    struct crash_shard shard;
    struct crash_history history;
    uint32_t step;                 /* under way, or next */
    const struct crash_step *wish; /* null: none */
    uint64_t wished_ns;
    enum sim_fault fault;
    uint64_t fault_at_ns; /* when it goes on; UINT64_MAX: not */
    uint32_t fault_times;
    uint64_t fault_until; /* hits at which it goes off; 0: it is not on */
    bool is_recording;
    bool is_full; /* the disk */
    bool is_over;
    uint64_t change_count; /* of the disk, when the last state was taken */
};

/* ---- the task's part ---- */

/* Waits: until the driver has granted it. */
static void wish(struct run *run, struct reactor *r, const struct crash_step *step)
{
    run->wished_ns = reactor_clock_ns(r);
    run->wish = step;
    while (run->wish)
        task_sleep(r, TURN_NS);
}

static void edit_numbers(void *context, struct manifest_numbers *n)
{
    (void)context;
    n->file_counter += 3;
}

static void change_manifest(struct run *run, struct reactor *r)
{
    struct manifest *m;
    char why[256];
    int rc = manifest_open(r, CRASH_DIRECTORY, NULL, &m, why, sizeof why);
    if (rc == 0) {
        rc = manifest_commit(m, &(struct manifest_change){.edit = edit_numbers});
        manifest_close(m);
    }
    if (rc)
        crash_shard_complain(&run->shard, "the manifest does not change: %s", error_sentence(rc));
}

/* Waits. Those acts that need no driver. */
static void perform(struct run *run, struct reactor *r, const struct crash_step *step)
{
    struct crash_shard *s = &run->shard;
    switch (step->act) {
    case CRASH_OPEN:
        if (crash_shard_open(s, r) != 0)
            return; /* it has complained */
        break;
    case CRASH_CLOSE:
        crash_shard_close(s);
        break;
    case CRASH_RECORD:
        run->is_recording = true;
        break;
    case CRASH_PUT:
        crash_shard_put(s, step->a, step->b, false);
        break;
    case CRASH_DELETE:
        crash_shard_put(s, step->a, 0, true);
        break;
    case CRASH_AWAIT:
        crash_shard_await(s);
        break;
    case CRASH_TURN:
        task_sleep(r, TURN_NS);
        break;
    case CRASH_REST:
        task_sleep(r, step->a * UINT64_C(1000000));
        break;
    case CRASH_OBSERVE:
        crash_shard_observe(s);
        break;
    case CRASH_TAKE_SNAPSHOT:
        crash_copy_take(s, step->a != 0);
        break;
    case CRASH_CHANGE_MANIFEST:
        change_manifest(run, r);
        break;
    case CRASH_FAIL_WRITES:
    case CRASH_FAIL_SYNCS:
    case CRASH_FILL_DISK:
    case CRASH_FREE_DISK:
    case CRASH_KILL:
    case CRASH_ROT:
        wish(run, r, step);
        break;
    case CRASH_END:
        break;
    }
}

static int run_steps(struct reactor *r, void *context)
{
    struct run *run = context;
    const struct crash_step *step = &run->steps[run->step];
    for (; step->act != CRASH_END && run->shard.why[0] == '\0'; step = &run->steps[++run->step])
        perform(run, r, step);
    if (run->shard.engine)
        crash_shard_close(&run->shard);
    run->is_over = true;
    reactor_stop(r);
    return 0;
}

/* ---- the driver's part ---- */

static void start_node(struct run *run)
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    sim_node_start(run->node, &options, run_steps, run);
}

/* Switches the fault that was asked for on and off again. */
static void tend_fault(struct run *run)
{
    struct sim_faults faults = {0};
    uint64_t hits = sim_fault_hits(run->world, run->fault);
    if (run->fault_until > 0 && hits >= run->fault_until) {
        run->fault_until = 0;
        sim_world_set_faults(run->world, &faults);
    } else if (run->fault_at_ns <= sim_now_ns(run->world)) {
        run->fault_at_ns = UINT64_MAX;
        run->fault_until = hits + run->fault_times;
        faults.per_million[run->fault] = 1000000;
        sim_world_set_faults(run->world, &faults);
    }
}

static void ask_for_fault(struct run *run, enum sim_fault fault, const struct crash_step *step)
{
    ASSERT(run->fault_until == 0 && run->fault_at_ns == UINT64_MAX);
    run->fault = fault;
    run->fault_times = step->a;
    run->fault_at_ns = sim_now_ns(run->world) + step->b * UINT64_C(1000);
}

static void kill_and_restart(struct run *run)
{
    crash_shard_forget(&run->shard);
    sim_node_kill(run->node, SIM_END_KILL);
    run->step++;
    run->wish = NULL;
    start_node(run);
}

static void rot(struct run *run, uint32_t block)
{
    struct sim_disk *disk = sim_node_disk(run->node);
    uint8_t bytes[SIM_SECTOR_BYTES];
    uint64_t offset = block * UINT64_C(4096);
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        const char *path = sim_disk_file_at(disk, i).path;
        if (!strstr(path, "/wal-"))
            continue;
        int64_t got = sim_disk_peek(disk, path, bytes, sizeof bytes, offset);
        ASSERT(got == sizeof bytes);
        for (uint32_t k = 0; k < sizeof bytes; k++)
            bytes[k] ^= 0x5a;
        sim_disk_poke(disk, path, bytes, sizeof bytes, offset);
        break;
    }
    run->history.unknown_below = run->history.count;
}

static void grant(struct run *run)
{
    struct sim_disk *disk = sim_node_disk(run->node);
    const struct crash_step *step = run->wish;
    if (step->act == CRASH_KILL) {
        if (sim_now_ns(run->world) >= run->wished_ns + step->a * UINT64_C(1000))
            kill_and_restart(run);
        return;
    }
    if (step->act == CRASH_FAIL_WRITES)
        ask_for_fault(run, SIM_WRITE_ERROR, step);
    else if (step->act == CRASH_FAIL_SYNCS)
        ask_for_fault(run, SIM_SYNC_ERROR, step);
    else if (step->act == CRASH_ROT)
        rot(run, step->a);
    else if (step->act == CRASH_FILL_DISK)
        sim_disk_set_capacity(disk, sim_disk_used_bytes(disk) + step->a * UINT64_C(1024));
    else if (step->act == CRASH_FREE_DISK)
        sim_disk_set_capacity(disk, CRASH_DISK_BYTES);
    run->is_full = step->act == CRASH_FILL_DISK || (run->is_full && step->act != CRASH_FREE_DISK);
    run->wish = NULL;
}

static void take_state(struct run *run)
{
    struct crash_recording *out = run->out;
    struct sim_disk *disk = sim_node_disk(run->node);
    uint64_t change_count = sim_disk_change_count(disk);
    if (out->count == 0 || change_count != run->change_count) {
        ASSERT(out->count < CRASH_STATES_MAX);
        if (out->count == out->capacity) {
            out->capacity = out->capacity ? out->capacity * 2 : STATES_FIRST;
            out->states = realloc(out->states, out->capacity * sizeof out->states[0]);
            ASSERT(out->states);
        }
        out->states[out->count++].disk = sim_disk_clone(disk);
        run->change_count = change_count;
    }
    struct crash_state *state = &out->states[out->count - 1];
    state->history = run->history;
    state->step = run->step;
    state->is_full = run->is_full;
    state->has_failed_sync = sim_fault_hits(run->world, SIM_SYNC_ERROR) > 0;
    state->at_ns = sim_now_ns(run->world);
}

static void drive(struct run *run)
{
    uint32_t events = 0;
    start_node(run);
    while (sim_node_is_up(run->node) && events++ < EVENTS_MAX && sim_step(run->world)) {
        if (run->is_recording)
            take_state(run);
        if (run->wish)
            grant(run);
        tend_fault(run);
    }
    if (sim_node_is_up(run->node) || !run->is_over)
        crash_shard_complain(&run->shard, "the workload does not end");
    struct sim_leaks leaks = sim_node_leaks(run->node);
    char text[SIM_LEAKS_TEXT_BYTES];
    if (sim_leaks_tell(&leaks, text))
        crash_shard_complain(&run->shard, "a tidy end leaves %s", text);
}

struct crash_recording *crash_record(const struct crash_workload *workload, const struct crash_start *start)
{
    struct crash_recording *out = calloc(1, sizeof *out);
    struct run *run = calloc(1, sizeof *run);
    ASSERT(out && run);
    struct sim_disk *disk = start->disk ? sim_disk_clone(start->disk) : sim_disk_new(CRASH_DISK_BYTES, 0);
    crash_workload_steps(workload, run->steps);
    run->out = out;
    run->history = start->history;
    run->is_full = start->is_full;
    run->fault_at_ns = UINT64_MAX;
    run->shard = (struct crash_shard){.knobs = workload->knobs, .history = &run->history};
    run->world = sim_world_new(&(struct sim_world_options){.seed = start->seed});
    run->node = sim_node_new(run->world, "10.0.0.1", disk);
    drive(run);
    snprintf(out->why, sizeof out->why, "%s", run->shard.why);
    sim_world_free(run->world);
    free(run);
    return out;
}

void crash_recording_free(struct crash_recording *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        sim_disk_free(r->states[i].disk);
    free(r->states);
    free(r);
}
