/* history.c - a history of engines from its plan to its totals; see history.h. */
#include "test/sim/history.h"

#include "test/sim/director.h"

#include <stdlib.h>

static void begin(struct history *h)
{
    struct sim_world_options options = {
        .seed = h->request->seed,
        .faults = h->plan.faults,
        .heap_fill = h->request->heap_fill,
    };
    h->world = sim_world_new(&options);
    h->node = sim_node_new(h->world, "10.0.0.1", NULL);
    sim_dice_init(&h->dice, h->request->seed, PLAN_STREAMS, 0);
    for (unsigned i = 0; i < h->plan.cores; i++)
        subject_init(&h->subjects[i], h, i);
}

/* What became of the corruptions of the disk that is there at the end. */
static void take_corruptions(struct history *h)
{
    const struct sim_disk *disk = sim_node_disk(h->node);
    struct tally *t = &h->outcome->tally;
    for (uint32_t i = 0; i < sim_disk_corruption_count(disk); i++) {
        bool is_here = sim_disk_corruption(disk, i)->fate == SIM_CORRUPTION_HERE;
        t->still_there += is_here;
        t->overwritten += !is_here;
    }
    t->corruptions = t->overwritten + t->still_there;
}

static void finish(struct history *h)
{
    struct history_outcome *out = h->outcome;
    tally_take_world(&out->tally, h->world);
    take_corruptions(h);
    out->trace_hash = sim_trace_hash(h->world);
    director_deinit(h);
    for (unsigned i = 0; i < h->plan.cores; i++)
        subject_deinit(&h->subjects[i]);
    sim_world_free(h->world);
}

void history_run(const struct history_request *request, struct history_outcome *outcome)
{
    struct history *h = calloc(1, sizeof *h);
    ASSERT(h);
    h->request = request;
    h->outcome = outcome;
    outcome->story.is_detailed = request->is_detailed;
    plan_draw(&h->plan, request);
    plan_tell(&h->plan, &outcome->story);
    begin(h);
    for (unsigned i = 0; i < h->plan.life_count && !history_has_failed(h); i++)
        director_live(h, i);
    if (!history_has_failed(h))
        director_end(h);
    finish(h);
    free(h);
}
