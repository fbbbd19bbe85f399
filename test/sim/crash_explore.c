/* crash_explore.c - all images of one workload; see crash_explore.h. */
#include "test/sim/crash_explore.h"

#include "reactor/base/checksum.h"
#include "test/sim/crash_image.h"
#include "test/sim/crash_judge.h"
#include "test/sim/crash_seen.h"

#include <stdio.h>
#include <unistd.h>

enum {
    SECONDS_MAX = 30, /* for one image: then the process is ended, and its parent says where */
    TEXT_BYTES = 64,
};

struct explorer {
    const struct crash_exploration *x;
    struct crash_seen seen;
};

/* ---- seeds: a recording and a recovery never draw the same numbers, as in life ---- */

static uint64_t seed_of(const struct crash_workload *w, const struct crash_place *place)
{
    uint64_t seed = checksum_bytes(w->name, strlen(w->name));
    for (uint32_t i = 0; i < place->depth; i++)
        seed = XXH3_64bits_withSeed(&place->image[i], sizeof place->image[i], seed + place->state[i]);
    return seed | UINT64_C(1) << 32; /* that of a judge is below */
}

static struct crash_recording *record(const struct crash_exploration *x, const struct crash_place *at,
                                      const struct sim_disk *disk, const struct crash_state *from)
{
    struct crash_workload recovery = crash_workload_recovery(x->workload);
    struct crash_start start = {.disk = disk, .seed = seed_of(x->workload, at)};
    if (from) {
        start.history = from->history;
        start.is_full = from->is_full;
    }
    return crash_record(at->depth ? &recovery : x->workload, &start);
}

/* ---- words ---- */

static void place_text(const struct crash_place *place, char state[TEXT_BYTES], char image[TEXT_BYTES])
{
    bool is_second = place->depth > 1;
    int state_bytes = snprintf(state, TEXT_BYTES, "%u", place->state[0]);
    int image_bytes = snprintf(image, TEXT_BYTES, "%llu", (unsigned long long)place->image[0]);
    ASSERT(state_bytes > 0 && image_bytes > 0);
    if (!is_second)
        return;
    snprintf(state + state_bytes, (size_t)(TEXT_BYTES - state_bytes), "/%u", place->state[1]);
    snprintf(image + image_bytes, (size_t)(TEXT_BYTES - image_bytes), "/%llu",
             (unsigned long long)place->image[1]);
}

void crash_explain(const struct crash_workload *workload, const struct crash_place *place, const char *what)
{
    char state[TEXT_BYTES], image[TEXT_BYTES];
    if (place->depth == 0) {
        printf("FAILED %s, without a crash: %s\nreplay: build/sim --crash-points --workload %s\n",
               workload->name, what, workload->name);
        return;
    }
    place_text(place, state, image);
    printf("FAILED %s, state %s, image %s: %s\n", workload->name, state, image, what);
    printf("replay: build/sim --crash-points --workload %s --state %s --image %s\n", workload->name, state,
           image);
}

static void print_image(const struct crash_recording *recording, const struct crash_images *images,
                        const struct crash_workload *workload, uint32_t state, uint64_t image)
{
    struct crash_step steps[CRASH_STEPS_MAX];
    char writes[CRASH_WRITES_MAX + 1];
    const struct crash_state *s = &recording->states[state];
    uint32_t count = crash_workload_steps(workload, steps);
    ASSERT(s->step <= count);
    crash_history_text(&s->history, writes, sizeof writes);
    printf("  state %u of %u, in step %u of \"%s\" (%s); writes %s\n", state, recording->count, s->step,
           workload->script, crash_act_text(steps[s->step].act), writes[0] ? writes : "none");
    printf("  image %llu of %llu:\n", (unsigned long long)image, (unsigned long long)images->count);
    crash_images_print(images, image);
}

static void report_failure(const struct crash_exploration *x, const struct crash_recording *recording,
                           const struct crash_images *images, const struct crash_verdict *verdict)
{
    const struct crash_place *place = &x->progress->place;
    uint32_t level = place->depth - 1;
    struct crash_workload recovery = crash_workload_recovery(x->workload);
    crash_explain(x->workload, place, verdict->why);
    if (verdict->last_event[0])
        printf("  the engine told last: %s\n", verdict->last_event);
    print_image(recording, images, level ? &recovery : x->workload, place->state[level], place->image[level]);
    fflush(stdout);
}

/* ---- exploring ---- */

static void explore_states(struct explorer *e, const struct crash_recording *recording, uint32_t level);

/* Counts one more thing that may end the process. Returns: whether it is to be done. */
static bool begin_ordinal(struct explorer *e)
{
    e->x->progress->ordinal++;
    alarm(SECONDS_MAX);
    return e->x->progress->ordinal > e->x->skip;
}

static bool has_failed(const struct crash_progress *p)
{
    for (uint32_t i = 0; i < p->failed_count; i++)
        if (p->failed[i] == p->ordinal)
            return true;
    return false;
}

static void note_failure(struct crash_progress *p)
{
    if (p->failed_count < CRASH_FAILURES_MAX)
        p->failed[p->failed_count++] = p->ordinal;
}

static bool is_enough(const struct explorer *e)
{
    return e->x->progress->tally.failed >= e->x->failures_max;
}

/* The recovery of this image is a recording of its own. */
static void explore_recovery(struct explorer *e, const struct sim_disk *disk, const struct crash_state *from)
{
    struct crash_progress *p = e->x->progress;
    if (!begin_ordinal(e) && has_failed(p)) { /* told of before; it may have ended the process */
        p->tally.failed++;
        return;
    }
    struct crash_recording *recording = record(e->x, &p->place, disk, from);
    p->tally.again++;
    if (recording->why[0]) {
        crash_explain(e->x->workload, &p->place, recording->why);
        p->tally.failed++;
        note_failure(p);
    }
    explore_states(e, recording, 1);
    p->place.depth = 1;
    crash_recording_free(recording);
}

static bool is_to_be_crashed_again(const struct explorer *e, const struct crash_images *images)
{
    const struct crash_progress *p = e->x->progress;
    uint32_t every = e->x->workload->again_every;
    if (every == 0 || e->x->is_once || p->place.depth > 1)
        return false;
    return crash_images_is_kill(images, p->place.image[0]) || p->tally.distinct % every == 0;
}

static void judge_image(struct explorer *e, const struct crash_recording *recording,
                        const struct crash_images *images, struct sim_disk *disk)
{
    struct crash_progress *p = e->x->progress;
    const struct crash_place *place = &p->place;
    const struct crash_state *state = &recording->states[place->state[place->depth - 1]];
    bool is_again = is_to_be_crashed_again(e, images);
    struct sim_disk *copy = is_again ? sim_disk_clone(disk) : NULL;
    struct crash_verdict verdict = {.why = ""};
    bool is_good;
    if (begin_ordinal(e)) {
        is_good = crash_judge(e->x->workload, state, disk, &verdict);
    } else {
        is_good = !has_failed(p);
        sim_disk_free(disk);
    }
    p->tally.recovered += is_good;
    p->tally.failed += !is_good;
    if (verdict.why[0]) {
        note_failure(p);
        report_failure(e->x, recording, images, &verdict);
    }
    if (copy && is_good)
        explore_recovery(e, copy, state);
    if (copy)
        sim_disk_free(copy);
}

static void explore_state(struct explorer *e, const struct crash_recording *recording, uint32_t level)
{
    struct crash_progress *p = e->x->progress;
    const struct crash_state *state = &recording->states[p->place.state[level]];
    struct crash_images images;
    crash_images_init(&images, state->disk, e->x->images_max[level]);
    uint64_t seed = checksum_bytes(&state->history, sizeof state->history);
    p->tally.states++;
    p->tally.sampled += images.count < images.combinations;
    if (e->x->is_verbose)
        printf("  level %u, state %u until %llu us: %u operations pending, %llu images\n", level + 1,
               p->place.state[level], (unsigned long long)(state->at_ns / 1000), images.pending_count,
               (unsigned long long)images.count);
    uint64_t built_max = e->x->images_built_max ? e->x->images_built_max : images.count;
    uint64_t stride = (images.count + built_max - 1) / built_max;
    uint64_t end = state->has_failed_sync ? images.count : images.count + 1; /* the last one is the kill */
    for (uint64_t next, i = 0; i < end && !is_enough(e); i = next) {
        next = i < images.count && i + stride > images.count ? images.count : i + stride;
        struct sim_disk *disk = crash_images_build(&images, i);
        p->place.image[level] = i;
        p->tally.images++;
        if (crash_seen_add(&e->seen, crash_disk_hash(disk, seed))) {
            p->tally.distinct++;
            judge_image(e, recording, &images, disk);
        } else {
            sim_disk_free(disk);
        }
    }
}

static void explore_states(struct explorer *e, const struct crash_recording *recording, uint32_t level)
{
    struct crash_progress *p = e->x->progress;
    for (uint32_t i = 0; i < recording->count && !is_enough(e); i++) {
        p->place.depth = level + 1;
        p->place.state[level] = i;
        explore_state(e, recording, level);
    }
}

bool crash_explore(const struct crash_exploration *x)
{
    struct explorer e = {.x = x};
    x->progress->tally = (struct crash_tally){0};
    x->progress->place = (struct crash_place){0};
    x->progress->ordinal = 0;
    struct crash_recording *recording = record(x, &x->progress->place, NULL, NULL);
    bool is_good = recording->why[0] == '\0';
    if (is_good)
        explore_states(&e, recording, 0);
    else
        crash_explain(x->workload, &x->progress->place, recording->why);
    alarm(0);
    crash_recording_free(recording);
    crash_seen_deinit(&e.seen);
    return is_good;
}

/* ---- one image ---- */

/* Returns: null when there is no such place. Owns: the caller gets the disk. */
static struct sim_disk *build_level(const struct crash_exploration *x,
                                    const struct crash_recording *recording, const struct crash_place *place,
                                    uint32_t level)
{
    struct crash_images images;
    struct crash_workload recovery = crash_workload_recovery(x->workload);
    uint32_t state = place->state[level];
    if (state >= recording->count)
        return NULL;
    crash_images_init(&images, recording->states[state].disk, x->images_max[level]);
    if (place->image[level] > images.count)
        return NULL;
    print_image(recording, &images, level ? &recovery : x->workload, state, place->image[level]);
    return crash_images_build(&images, place->image[level]);
}

int crash_replay(const struct crash_exploration *x, const struct crash_place *place)
{
    struct crash_place at = {0};
    struct crash_verdict verdict;
    struct crash_recording *recording = record(x, &at, NULL, NULL);
    struct sim_disk *disk = build_level(x, recording, place, 0);
    for (uint32_t level = 1; disk && level < place->depth; level++) {
        at = *place;
        at.depth = level;
        struct crash_recording *next = record(x, &at, disk, &recording->states[place->state[level - 1]]);
        crash_recording_free(recording);
        sim_disk_free(disk);
        recording = next;
        if (recording->why[0])
            crash_explain(x->workload, &at, recording->why);
        disk = build_level(x, recording, place, level);
    }
    int rc = 2;
    if (disk) {
        const struct crash_state *state = &recording->states[place->state[place->depth - 1]];
        rc = crash_judge(x->workload, state, disk, &verdict) ? 0 : 1;
        printf("  %s\n", rc ? verdict.why : "recovered as it must be");
        if (verdict.last_event[0])
            printf("  the engine told last: %s\n", verdict.last_event);
    }
    crash_recording_free(recording);
    return rc;
}
