/* plan.c - draws the plan of a seed; see plan.h.
 *
 * Each knob draws from a stream of its own, so that a new one changes no other. */
#include "test/sim/plan.h"

#include "test/sim/history.h"

#include <stdio.h>

enum {
    STREAM_KNOBS = SIM_STREAMS + 200,
    MS = 1000000,
    US = 1000,
    PER_MILLION = 1000000,
    TABLES_PER_FLUSH = 4,
    TABLE_BYTES_MIN = 24 << 10 /* of which half is data */
};

enum knob {
    KNOB_CORES,
    KNOB_VNODES,
    KNOB_MEMTABLE,
    KNOB_SEGMENT,
    KNOB_LOG,
    KNOB_TABLE,
    KNOB_CACHE,
    KNOB_VALUE_MAX,
    KNOB_IN_FLIGHT,
    KNOB_IDLE_RATE,
    KNOB_KEYS,
    KNOB_HOT,
    KNOB_VALUE_USUAL,
    KNOB_SHARES,
    KNOB_DRIVERS,
    KNOB_PIPELINE,
    KNOB_BURST,
    KNOB_PAUSE,
    KNOB_DEADLINE,
    KNOB_OPERATIONS,
    KNOB_LIVES,
    KNOB_VALUE_LOG,
    KNOB_COMPRESSION,
    KNOB_SCRUB,
    KNOB_ARCHIVE,
    KNOB_LIFE, /* and more, one a life */
    KNOB_APPLY = KNOB_LIFE + PLAN_LIVES_MAX,
    KNOB_COPIES,
    KNOB_LISTS,
    KNOB_PADDING,
    KNOB_RUNS,
    KNOB_REMOVAL,
};

static struct sim_dice dice_of(const struct plan *p, unsigned knob)
{
    struct sim_dice d;
    sim_dice_init(&d, p->seed, STREAM_KNOBS, knob);
    return d;
}

static uint64_t between(const struct plan *p, enum knob knob, uint64_t low, uint64_t high)
{
    struct sim_dice d = dice_of(p, knob);
    return sim_dice_between(&d, low, high);
}

/* low * 2^n, at most `high`. */
static uint64_t doubled(const struct plan *p, enum knob knob, uint64_t low, uint64_t high)
{
    unsigned doublings = 0;
    while (low << (doublings + 1) <= high)
        doublings++;
    return low << between(p, knob, 0, doublings);
}

static bool hits(const struct plan *p, enum sim_fault fault, struct sim_dice *d)
{
    return sim_dice_hits(d, p->faults.per_million[fault]);
}

/* ---- knobs ---- */

static void draw_knobs(struct plan *p)
{
    struct engine_options *k = &p->knobs;
    uint64_t cores = between(p, KNOB_CORES, 0, 9);
    p->cores = cores < 6 ? 1 : cores < 9 ? 2 : 3;
    k->vnode_bits = 10;
    k->vnode_first = 16;
    k->vnode_count = (uint16_t)doubled(p, KNOB_VNODES, 1, 64);
    k->memtable_bytes = doubled(p, KNOB_MEMTABLE, 8 << 10, 128 << 10);
    k->segment_bytes = doubled(p, KNOB_SEGMENT, 64 << 10, 512 << 10);
    k->log_bytes_max = doubled(p, KNOB_LOG, 64 << 10, 2 << 20);
    k->table_bytes_max = doubled(p, KNOB_TABLE, TABLE_BYTES_MIN, 192 << 10);
    if (k->table_bytes_max < k->memtable_bytes / TABLES_PER_FLUSH)
        k->table_bytes_max = k->memtable_bytes / TABLES_PER_FLUSH; /* a flush that fails begins anew */
    k->cache_bytes = doubled(p, KNOB_CACHE, 64 << 10, 512 << 10);
    k->value_bytes_max = (uint32_t)doubled(p, KNOB_VALUE_MAX, 128, PLAN_VALUE_BYTES_MAX);
    k->log_writes_in_flight = (uint32_t)between(p, KNOB_IN_FLIGHT, 1, 4);
    k->idle_merge_rate = doubled(p, KNOB_IDLE_RATE, 256 << 10, 64 << 20);
    k->value_log_bytes_min = (uint32_t)doubled(p, KNOB_VALUE_LOG, 32, 8 << 10);
    k->compresses_merges = between(p, KNOB_COMPRESSION, 0, 1) != 0;
    static const uint64_t intervals_ms[] = {0, 100, 1000, 10000};
    k->scrub_interval_ms = intervals_ms[between(p, KNOB_SCRUB, 0, ARRAY_COUNT(intervals_ms) - 1)];
    k->archive = between(p, KNOB_ARCHIVE, 0, 3) == 0 ? "/archive" : NULL;
    k->apply_at_once = (uint32_t)doubled(p, KNOB_APPLY, 1, 64);
    k->list_shared_min = (uint32_t)doubled(p, KNOB_LISTS, 2, 256);
    k->log_padding_parts = (uint32_t)doubled(p, KNOB_PADDING, 1, 16);
    k->runs_max = (uint32_t)doubled(p, KNOB_RUNS, 2, 32);
    k->removal_step_bytes = doubled(p, KNOB_REMOVAL, 4 << 10, 64 << 10);
}

static void draw_work(struct plan *p)
{
    struct sim_dice d = dice_of(p, KNOB_SHARES);
    p->keys = (uint32_t)doubled(p, KNOB_KEYS, 4, 1024);
    p->hot_keys = (uint32_t)between(p, KNOB_HOT, 1, p->keys < 16 ? p->keys : 16);
    p->hot_per_cent = (uint32_t)sim_dice_between(&d, 0, 90);
    p->value_bytes_usual = (uint32_t)doubled(p, KNOB_VALUE_USUAL, 16, p->knobs.value_bytes_max);
    p->put_per_cent = (uint32_t)sim_dice_between(&d, 20, 70);
    p->delete_per_cent = (uint32_t)sim_dice_between(&d, 0, 20);
    p->expiring_per_cent = sim_dice_below(&d, 3) == 0 ? (uint32_t)sim_dice_between(&d, 1, 30) : 0;
    p->scan_per_cent = (uint32_t)sim_dice_between(&d, 0, 4);
    p->drivers = (unsigned)between(p, KNOB_DRIVERS, 1, PLAN_DRIVERS_MAX);
    p->pipeline = (uint32_t)doubled(p, KNOB_PIPELINE, 1, 32);
    p->burst = (uint32_t)doubled(p, KNOB_BURST, 1, 64);
    p->pause_ns = doubled(p, KNOB_PAUSE, 20 * US, 20 * MS);
    p->deadline_ns = between(p, KNOB_DEADLINE, 0, 2) == 0 ? doubled(p, KNOB_DEADLINE, 100 * US, 200 * MS) : 0;
    p->has_copies = between(p, KNOB_COPIES, 0, 3) == 0;
    p->operations = (uint32_t)between(p, KNOB_OPERATIONS, 400, 1000);
}

/* ---- lives ---- */

static enum life_end draw_end(const struct plan *p, struct sim_dice *d)
{
    bool is_kill = hits(p, SIM_KILL, d);
    bool is_power = hits(p, SIM_POWER_LOSS, d);
    bool is_closing = sim_dice_below(d, 6) == 0;
    if (is_power && (!is_kill || sim_dice_below(d, 2)))
        return is_closing ? LIFE_STOP_POWER : LIFE_POWER;
    if (is_kill)
        return is_closing ? LIFE_STOP_KILL : LIFE_KILL;
    return LIFE_STOP;
}

static void draw_lives(struct plan *p)
{
    bool can_crash = p->faults.per_million[SIM_KILL] || p->faults.per_million[SIM_POWER_LOSS];
    p->life_count = (unsigned)between(p, KNOB_LIVES, 1, can_crash ? PLAN_LIVES_MAX - 2 : 3);
    for (unsigned i = 0; i < p->life_count; i++) {
        struct sim_dice d = dice_of(p, KNOB_LIFE + i);
        struct life_plan *life = &p->lives[i];
        life->end = draw_end(p, &d);
        life->is_early = life->end != LIFE_STOP && i > 0 && sim_dice_below(&d, 5) == 0;
        life->operations = p->operations / p->life_count;
        life->operations = (uint32_t)sim_dice_between(&d, life->operations / 3, life->operations * 5 / 3);
        life->delay_ns = sim_dice_below(&d, UINT64_C(1) << sim_dice_between(&d, 10, 24));
    }
}

void plan_draw(struct plan *p, const struct history_request *request)
{
    *p = (struct plan){.seed = request->seed};
    swarm_draw(p->seed, HISTORY_FAULTS, &request->filter, &p->faults);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        if ((FAULTS_THAT_DESTROY >> i & 1) && p->faults.per_million[i])
            p->destroys = true;
    draw_knobs(p);
    draw_work(p);
    draw_lives(p);
}

/* ---- in words ---- */

static void tell_faults(const struct plan *p, struct story *story)
{
    bool has_any = false;
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        uint32_t rate = p->faults.per_million[i];
        if (rate)
            story_say(story, 0, "fault: %s, %u in %u", sim_fault_name((enum sim_fault)i), rate, PER_MILLION);
        has_any |= rate > 0;
    }
    if (!has_any)
        story_say(story, 0, "no faults");
}

void plan_tell(const struct plan *p, struct story *story)
{
    const struct engine_options *k = &p->knobs;
    story_say(story, 0, "plan: %u cores with %u vnodes and %u keys each, %u operations in %u lives", p->cores,
              k->vnode_count, p->keys, p->operations, p->life_count);
    story_say(story, 0,
              "knobs: memtable %llu KiB, segments %llu KiB, log %llu KiB, tables %llu KiB, cache %llu KiB",
              (unsigned long long)k->memtable_bytes >> 10, (unsigned long long)k->segment_bytes >> 10,
              (unsigned long long)k->log_bytes_max >> 10, (unsigned long long)k->table_bytes_max >> 10,
              (unsigned long long)k->cache_bytes >> 10);
    story_say(story, 0,
              "knobs: values to %u bytes, usually %u, in value logs from %u, tables %s; %u log writes in "
              "flight, a part in %u padded%s, at most %u runs, lists shared from %u, %u drivers, %u deep",
              k->value_bytes_max, p->value_bytes_usual, k->value_log_bytes_min,
              k->compresses_merges ? "compressed" : "as they are", k->log_writes_in_flight,
              k->log_padding_parts, k->archive ? ", archived" : "", k->runs_max, k->list_shared_min,
              p->drivers, p->pipeline);
    story_say(
        story, 0,
        "work: %u %% puts, %u %% deletes, %u %% expiring, %u %% scans; bursts of %u, pauses to %llu us%s",
        p->put_per_cent, p->delete_per_cent, p->expiring_per_cent, p->scan_per_cent, p->burst,
        (unsigned long long)p->pause_ns / US, p->has_copies ? "; snapshots" : "");
    tell_faults(p, story);
}
