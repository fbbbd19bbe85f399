/* director.c - starts, watches, harms and ends the node of a history; see director.h.
 *
 * The world runs until so many operations are done or so much time has passed; between its events the
 * director acts. What it does it draws from dice of its own. */
#include "test/sim/director.h"

#include "test/sim/checks.h"
#include "test/sim/copies.h"
#include "test/sim/driver.h"
#include "test/sim/liveness.h"
#include "test/sim/rot.h"
#include "test/sim/truth.h"

#include <stdlib.h>

enum {
    ACTS_PER_LIFE = 4,
    ROTS_PER_ACT = 110, /* at the highest rate */
    FULL_BITS_MAX = 18, /* at most so many bytes are left when the disk gets full, as a power of two */
    CALM_IN = 8,        /* of the acts */
    MS = 1000000,
};
static const uint64_t second_ns = UINT64_C(1000) * MS;
static const uint64_t life_ns_max = UINT64_C(4 * 3600) * 1000 * MS;
static const uint64_t disk_bytes = UINT64_C(1) << 30;

/* A disk of earlier, and what was known then. */
struct snapshot {
    struct sim_disk *disk;
    struct model models[PLAN_CORES_MAX];
    uint64_t watermarks[PLAN_CORES_MAX];
    uint64_t quarantined[PLAN_CORES_MAX];
    struct damage damages[PLAN_CORES_MAX];
    unsigned cores;
};

/* ---- on the node ---- */

static void on_stop(void *context)
{
    struct history *h = context;
    h->is_stopping = true;
}

/* Core 0 hears of the stop: it is there to the end. */
static void await_others(struct history *h, struct reactor *r)
{
    while (reactor_core(r) == 0 && !h->is_stopping && !history_has_failed(h)) {
        bool has_any = false;
        for (unsigned i = 0; i < h->plan.cores; i++)
            has_any |= h->subjects[i].engine != NULL;
        if (!has_any)
            return;
        task_sleep(r, 10 * MS);
    }
}

/* Has the disk failed or been damaged in this life? */
static bool has_disk_faults(const struct history *h)
{
    static const enum sim_fault faults[] = {SIM_BIT_ROT,    SIM_LOST_WRITE,  SIM_MISDIRECTED_WRITE,
                                            SIM_READ_ERROR, SIM_WRITE_ERROR, SIM_SYNC_ERROR,
                                            SIM_BAD_SECTOR, SIM_DISK_FULL,   SIM_NO_DESCRIPTORS};
    for (unsigned i = 0; i < ARRAY_COUNT(faults); i++)
        if (history_hits(h, faults[i]) > 0)
            return true;
    return h->is_full;
}

/* As an operator would: what was lost is given up, and there are no errors any more. */
static void accept_loss(struct subject *s)
{
    enum { ACCEPT_IN = 3 };
    struct history *h = s->history;
    if ((s->errors == 0 && s->quarantined == 0) || sim_dice_below(&s->drivers[0].dice, ACCEPT_IN))
        return;
    story_say(&h->outcome->story, history_now_ns(h), "core %u: what was lost is given up", s->core);
    model_give_up(&s->model); /* before: a crash may come at any time */
    s->has_kept = false;      /* the archive may have what is gone here */
    int rc = engine_accept_loss(s->engine);
    if (!truth_explains(s, TRUTH_LOSS, rc, 0))
        subject_fail(s, "a loss cannot be accepted: %s", error_name(rc));
    s->quarantined = engine_counters(s->engine).quarantined;
    if (rc == 0 && s->quarantined)
        subject_fail(s, "the loss was accepted, and acknowledged log is damaged still");
    s->is_giving_up = rc != 0; /* what it answers from memory until its end may be gone at the next start */
    h->outcome->tally.accepted_losses += rc == 0;
    checks_audit(s, false);
    if (rc == 0 && s->errors > s->wants && !s->has_remains && !has_disk_faults(h))
        subject_fail(s, "the loss was accepted, and %u answers are errors still", s->errors - s->wants);
}

static int node_main(struct reactor *r, void *context)
{
    struct history *h = context;
    struct subject *s = &h->subjects[reactor_core(r)];
    s->reactor = r;
    if (reactor_core(r) == 0)
        reactor_set_stop_handler(r, on_stop, h);
    bool is_open = subject_open(s);
    if (is_open && h->is_trial) {
        subject_close(s);
    } else if (is_open) {
        checks_audit(s, true);
        accept_loss(s);
        if (h->is_final) {
            liveness_prove(s);
            checks_audit(s, false);
            if (h->plan.has_copies)
                copies_prove(s);
        } else {
            drivers_run(s);
        }
        subject_close(s);
    }
    reactor_set_turn_hook(r, NULL, NULL);
    await_others(h, r);
    reactor_stop(r);
    return 0;
}

static void start(struct history *h)
{
    struct reactor_options options = {.core_count = h->plan.cores, .first_cpu = -1};
    struct story *story = &h->outcome->story;
    for (unsigned i = 0; i < h->plan.cores; i++)
        subject_forget_life(&h->subjects[i]);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        h->fault_hits_before[i] = sim_fault_hits(h->world, (enum sim_fault)i);
    h->is_stopping = false;
    h->life_operations = 0;
    h->outcome->tally.starts++;
    story_say(story, history_now_ns(h), "start of life %u", h->life);
    sim_node_start(h->node, &options, node_main, h);
}

/* ---- running ---- */

static bool is_down(void *context)
{
    struct history *h = context;
    return !sim_node_is_up(h->node);
}

struct goal {
    struct history *history;
    uint32_t operations;
};

static bool is_reached(void *context)
{
    struct goal *g = context;
    return is_down(g->history) || g->history->life_operations >= g->operations ||
           history_has_failed(g->history);
}

static void run_operations(struct history *h, uint32_t operations)
{
    struct goal g = {h, operations};
    if (!sim_run(h->world, history_now_ns(h) + life_ns_max, is_reached, &g))
        story_fail(&h->outcome->story, history_now_ns(h),
                   "hours without %u operations: something waits for ever", operations);
}

static void run_time(struct history *h, uint64_t ns)
{
    sim_run(h->world, history_now_ns(h) + ns, is_down, h);
}

/* ---- acts ---- */

static bool is_drawn(struct history *h, enum sim_fault fault)
{
    return sim_dice_hits(&h->dice, h->plan.faults.per_million[fault]);
}

static void rot(struct history *h, enum sim_fault fault)
{
    enum { PER_MILLION = 1000000 };
    uint64_t most = (uint64_t)h->plan.faults.per_million[fault] * ROTS_PER_ACT;
    uint64_t count = most / PER_MILLION + (sim_dice_below(&h->dice, PER_MILLION) < most % PER_MILLION);
    uint64_t before = sim_fault_hits(h->world, fault);
    for (uint64_t i = 0; i < count; i++)
        rot_something(h, fault);
    uint64_t hits = sim_fault_hits(h->world, fault) - before;
    if (hits)
        story_say(&h->outcome->story, history_now_ns(h), "%s: %llu sectors", sim_fault_name(fault),
                  (unsigned long long)hits);
}

static void end_full(struct history *h)
{
    if (!h->is_full)
        return;
    h->is_full = false;
    h->full_end_ns = history_now_ns(h);
    sim_disk_set_capacity(sim_node_disk(h->node), disk_bytes);
    story_say(&h->outcome->story, history_now_ns(h), "the disk has room again");
}

static void fill(struct history *h)
{
    if (h->is_full) {
        if (sim_dice_below(&h->dice, 2))
            end_full(h);
        return;
    }
    if (!is_drawn(h, SIM_DISK_FULL))
        return;
    struct sim_disk *disk = sim_node_disk(h->node);
    uint64_t left = sim_dice_below(&h->dice, UINT64_C(1) << sim_dice_between(&h->dice, 0, FULL_BITS_MAX));
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk) + left);
    sim_fault_count(h->world, SIM_DISK_FULL);
    h->is_full = true;
    story_say(&h->outcome->story, history_now_ns(h), "full disk: %llu bytes are left",
              (unsigned long long)left);
}

/* ---- disks of earlier ---- */

void director_deinit(struct history *h)
{
    if (!h->snapshot)
        return;
    for (unsigned i = 0; i < h->snapshot->cores; i++)
        model_deinit(&h->snapshot->models[i]);
    if (h->snapshot->disk)
        sim_disk_free(h->snapshot->disk);
    free(h->snapshot);
    h->snapshot = NULL;
}

static void take_snapshot(struct history *h)
{
    if (!is_drawn(h, SIM_DISK_ROLLBACK))
        return;
    director_deinit(h);
    h->snapshot = calloc(1, sizeof *h->snapshot);
    ASSERT(h->snapshot);
    h->snapshot->cores = h->plan.cores;
    h->snapshot->disk = sim_disk_clone(sim_node_disk(h->node));
    for (unsigned i = 0; i < h->plan.cores; i++) {
        model_copy(&h->snapshot->models[i], &h->subjects[i].model);
        h->snapshot->watermarks[i] = h->subjects[i].watermark;
        h->snapshot->quarantined[i] = h->subjects[i].quarantined;
        h->snapshot->damages[i] = h->subjects[i].damage;
    }
    story_say(&h->outcome->story, history_now_ns(h), "the disk of this moment is kept");
}

static void roll_back(struct history *h)
{
    struct snapshot *then = h->snapshot;
    if (!then || !is_drawn(h, SIM_DISK_ROLLBACK))
        return;
    uint32_t gone = sim_disk_corruption_count(sim_node_disk(h->node)) - sim_disk_corruption_count(then->disk);
    h->outcome->tally.overwritten += gone; /* with their disk */
    sim_disk_free(sim_node_take_disk(h->node));
    sim_node_give_disk(h->node, then->disk);
    then->disk = NULL;
    h->is_full = false;
    sim_disk_set_capacity(sim_node_disk(h->node), disk_bytes);
    for (unsigned i = 0; i < h->plan.cores; i++) {
        struct subject *s = &h->subjects[i];
        model_roll_back(&s->model, &then->models[i]);
        s->watermark = then->watermarks[i];
        s->quarantined = then->quarantined[i];
        s->damage = then->damages[i];
        s->has_kept = false;
    }
    h->corruptions_seen = 0; /* those of this disk are noted again: a wipe may have been forgotten */
    history_note_corruptions(h);
    sim_fault_count(h->world, SIM_DISK_ROLLBACK);
    story_say(&h->outcome->story, history_now_ns(h), "the disk is rolled back");
    director_deinit(h);
}

static void wipe(struct history *h)
{
    if (!is_drawn(h, SIM_DISK_WIPE) || sim_dice_below(&h->dice, 3))
        return;
    sim_disk_wipe(sim_node_disk(h->node));
    for (unsigned i = 0; i < h->plan.cores; i++) {
        struct subject *s = &h->subjects[i];
        model_wipe(&s->model);
        s->watermark = s->quarantined = 0;
        s->damage = (struct damage){0};
    }
    h->corruptions_seen = sim_disk_corruption_count(sim_node_disk(h->node));
    sim_fault_count(h->world, SIM_DISK_WIPE);
    story_say(&h->outcome->story, history_now_ns(h), "the disk is wiped");
}

/* A file is not there any more, or only its beginning is. */
static void lose_file(struct history *h)
{
    if (!is_drawn(h, SIM_DISK_WIPE))
        return;
    bool is_cut = sim_dice_below(&h->dice, 3) == 0;
    rot_lose_file(h, is_cut);
    while (sim_dice_below(&h->dice, 3) == 0)
        rot_lose_file(h, is_cut);
}

static void act(struct history *h)
{
    rot(h, SIM_BIT_ROT);
    rot(h, SIM_BAD_SECTOR);
    fill(h);
    if (sim_node_is_up(h->node))
        take_snapshot(h);
}

/* Time for what waits a second. */
static void be_calm(struct history *h)
{
    enum { CALM_MS_MAX = 3000 };
    if (sim_dice_below(&h->dice, CALM_IN))
        return;
    h->is_calm = true;
    run_time(h, sim_dice_below(&h->dice, CALM_MS_MAX) * MS);
    h->is_calm = false;
}

/* For so long almost every write fails, and no file can be opened, if that happens at all. */
static void run_worse(struct history *h, uint64_t ns)
{
    enum { WORSE = 30, WORST = 700000 };
    static const enum sim_fault which[] = {SIM_WRITE_ERROR, SIM_SYNC_ERROR, SIM_NO_DESCRIPTORS};
    struct sim_faults faults = h->plan.faults;
    for (unsigned i = 0; i < ARRAY_COUNT(which); i++) {
        uint64_t rate = (uint64_t)faults.per_million[which[i]] * WORSE;
        faults.per_million[which[i]] = (uint32_t)(rate < WORST ? rate : WORST);
    }
    sim_world_set_faults(h->world, &faults);
    run_time(h, ns);
    sim_world_set_faults(h->world, &h->plan.faults);
}

/* Once more is then not enough. */
static void worsen(struct history *h)
{
    enum { WORSE_IN = 5, WORSE_NS_MAX = 60 * MS };
    if (sim_dice_below(&h->dice, WORSE_IN) == 0)
        run_worse(h, sim_dice_below(&h->dice, WORSE_NS_MAX));
}

struct progress {
    struct history *history;
    uint32_t acked[PLAN_CORES_MAX]; /* the last write acknowledged before */
};

static bool has_progress(void *context)
{
    struct progress *p = context;
    struct history *h = p->history;
    for (unsigned i = 0; i < h->plan.cores; i++) {
        const struct subject *s = &h->subjects[i];
        if (liveness_is_due(s) && s->model.acked_last == p->acked[i])
            return false;
    }
    return true;
}

static bool are_logs_covered(void *context)
{
    struct history *h = context;
    for (unsigned i = 0; i < h->plan.cores; i++)
        if (liveness_is_due(&h->subjects[i]) && !liveness_is_log_covered(&h->subjects[i]))
            return false;
    return true;
}

/* Nobody asks anything any more, and while things fail still the last writes are over. What the log owes then
 * it writes by itself, when nothing fails: else rot would take the last record for a torn one. */
static void fall_silent(struct history *h)
{
    enum { SILENT_IN = 2, SILENT_NS_MAX = 40 * MS };
    static const struct sim_faults none;
    if (sim_dice_below(&h->dice, SILENT_IN))
        return;
    h->is_silent = true;
    run_worse(h, sim_dice_below(&h->dice, SILENT_NS_MAX));
    end_full(h);
    sim_world_set_faults(h->world, &none);
    if (!sim_run(h->world, history_now_ns(h) + 200 * second_ns, are_logs_covered, h) &&
        sim_node_is_up(h->node))
        story_fail(&h->outcome->story, history_now_ns(h),
                   "nothing is written, and no record says that the last one is durable");
    h->is_silent = false;
}

/* The faults pause and there is room: whoever has not failed for good must take writes again, as it is. */
static void pause_faults(struct history *h)
{
    enum { PAUSE_IN = 6 };
    static const struct sim_faults none;
    if (sim_dice_below(&h->dice, h->is_full ? 2 : PAUSE_IN) || !sim_node_is_up(h->node))
        return;
    fall_silent(h);
    end_full(h);
    sim_world_set_faults(h->world, &none);
    h->is_calm = true;
    run_time(h, second_ns / 10); /* what has begun to fail fails */
    struct progress p = {.history = h};
    for (unsigned i = 0; i < h->plan.cores; i++)
        p.acked[i] = h->subjects[i].model.acked_last;
    if (!sim_run(h->world, history_now_ns(h) + 200 * second_ns, has_progress, &p) && sim_node_is_up(h->node))
        story_fail(&h->outcome->story, history_now_ns(h),
                   "the faults have paused, and no write is acknowledged");
    h->is_calm = false;
    sim_world_set_faults(h->world, &h->plan.faults);
}

static void act_between_lives(struct history *h)
{
    act(h);
    roll_back(h);
    lose_file(h);
    wipe(h);
}

/* ---- ends ---- */

static void end_killed(struct history *h, enum sim_end how)
{
    struct tally *t = &h->outcome->tally;
    if (!sim_node_is_up(h->node))
        return;
    story_say(&h->outcome->story, history_now_ns(h), "%s after %u operations",
              how == SIM_END_POWER ? "the power is lost" : "the process is killed", h->life_operations);
    sim_node_kill(h->node, how);
    t->kills += how == SIM_END_KILL;
    t->power_losses += how == SIM_END_POWER;
}

static void check_leaks(struct history *h)
{
    struct sim_leaks l = sim_node_leaks(h->node);
    char text[SIM_LEAKS_TEXT_BYTES];
    if (sim_leaks_tell(&l, text))
        story_fail(&h->outcome->story, history_now_ns(h), "a tidy end leaves %s", text);
}

static void ask_to_stop(struct history *h)
{
    h->is_stopping = true; /* core 0 may have ended before */
    sim_node_ask_to_stop(h->node);
}

static bool is_idle_life(const struct history *h)
{
    for (unsigned i = 0; i < h->plan.cores; i++)
        if (h->subjects[i].has_opened)
            return false;
    return true;
}

static void end_tidily(struct history *h)
{
    if (sim_node_is_up(h->node)) {
        story_say(&h->outcome->story, history_now_ns(h), "asked to stop after %u operations",
                  h->life_operations);
        ask_to_stop(h);
        if (!sim_run(h->world, history_now_ns(h) + life_ns_max, is_down, h)) {
            story_fail(&h->outcome->story, history_now_ns(h), "it does not stop within hours");
            return;
        }
    }
    bool is_idle = is_idle_life(h);
    h->outcome->tally.tidy_stops += !is_idle;
    h->outcome->tally.idle_lives += is_idle;
    if (sim_node_result(h->node) != 0)
        story_fail(&h->outcome->story, history_now_ns(h), "the node ended with %s",
                   error_name(sim_node_result(h->node)));
    check_leaks(h);
}

static void end_life(struct history *h, const struct life_plan *life)
{
    bool is_closing = life->end == LIFE_STOP_KILL || life->end == LIFE_STOP_POWER;
    if (is_closing && sim_node_is_up(h->node)) {
        story_say(&h->outcome->story, history_now_ns(h), "asked to stop");
        ask_to_stop(h);
    }
    if (life->end != LIFE_STOP)
        run_time(h, life->delay_ns);
    if (life->end == LIFE_STOP || !sim_node_is_up(h->node))
        end_tidily(h);
    else
        end_killed(h, life->end == LIFE_POWER || life->end == LIFE_STOP_POWER ? SIM_END_POWER : SIM_END_KILL);
}

static void after_life(struct history *h)
{
    history_note_corruptions(h);
    for (unsigned i = 0; i < h->plan.cores; i++) {
        subject_forget_life(&h->subjects[i]);
        model_end_life(&h->subjects[i].model);
    }
    h->life++;
}

/* Both copies of one manifest are damaged for one start: that shard must refuse, say why and change
 * nothing. The others are started and closed. Then what was damaged is put back. */
static void prove_refusal(struct history *h)
{
    enum { TRIAL_IN = 12 };
    static const struct sim_faults none;
    struct subject *s = &h->subjects[sim_dice_below(&h->dice, h->plan.cores)];
    if (sim_dice_below(&h->dice, TRIAL_IN) || s->damage.manifests || !rot_flip_manifests(s))
        return;
    uint64_t hash = rot_hash_of_files(s);
    story_say(&h->outcome->story, history_now_ns(h), "both manifests of core %u are damaged, for one start",
              s->core);
    sim_world_set_faults(h->world, &none);
    s->must_refuse = h->is_trial = true;
    start(h);
    if (!sim_run(h->world, history_now_ns(h) + life_ns_max, is_down, h))
        story_fail(&h->outcome->story, history_now_ns(h), "it neither starts nor refuses");
    else if (rot_hash_of_files(s) != hash)
        subject_fail(s, "it refused to start, and has changed its files");
    s->must_refuse = h->is_trial = false;
    sim_world_set_faults(h->world, &h->plan.faults);
    if (history_has_failed(h))
        return;
    rot_flip_manifests(s);
    after_life(h);
}

void director_live(struct history *h, unsigned index)
{
    const struct life_plan *life = &h->plan.lives[index];
    start(h);
    for (uint32_t i = 1; i <= ACTS_PER_LIFE && !life->is_early && sim_node_is_up(h->node); i++) {
        run_operations(h, life->operations * i / ACTS_PER_LIFE);
        if (history_has_failed(h))
            return;
        if (i < ACTS_PER_LIFE) {
            act(h);
            be_calm(h);
            worsen(h);
            pause_faults(h);
        }
    }
    end_life(h, life);
    if (history_has_failed(h))
        return;
    after_life(h);
    prove_refusal(h);
    act_between_lives(h);
}

/* ---- the end ---- */

static void live_without_faults(struct history *h)
{
    start(h);
    if (!sim_run(h->world, history_now_ns(h) + 600 * second_ns, is_down, h))
        story_fail(&h->outcome->story, history_now_ns(h),
                   "nothing fails any more, and it does not come to an end");
    if (history_has_failed(h))
        return;
    end_tidily(h);
    for (unsigned i = 0; i < h->plan.cores; i++)
        if (h->subjects[i].was_refused)
            story_fail(&h->outcome->story, history_now_ns(h),
                       "nothing fails any more, and core %u takes no writes", i);
    after_life(h);
}

void director_end(struct history *h)
{
    static const struct sim_faults none;
    sim_world_set_faults(h->world, &none);
    end_full(h);
    h->is_final = true;
    story_say(&h->outcome->story, history_now_ns(h), "faults end");
    for (int i = 0; i < 2 && !history_has_failed(h); i++)
        live_without_faults(h);
}
