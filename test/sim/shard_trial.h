/* shard_trial.h - one shard with tables and value logs on a simulated disk, life after life.
 *
 * A life opens it, does one thing and ends; between two lives the disk is touched. */
#ifndef TEST_SIM_SHARD_TRIAL_H
#define TEST_SIM_SHARD_TRIAL_H

#include "engine/engine.h"
#include "reactor/sim/sim.h"
#include "test/test.h"

enum {
    TRIAL_KEYS = 300,
    TRIAL_VNODES = 4,
    TRIAL_TEXT_BYTES = 256, /* of a key: more than it needs */
};
#define MS UINT64_C(1000000)

struct shard_trial {
    struct sim_world *world;
    struct sim_node *node;
    struct reactor *r;
    struct engine *engine;
    void *owner;              /* of the two below */
    void (*run)(void *owner); /* Waits; with the engine open, which it may close */
    void (*on_event)(void *owner, const char *event, const char *text); /* may be null */
    uint64_t scrub_interval_ms;
    bool is_over;
    uint32_t puts;
    uint32_t returned;
};

void shard_trial_init(struct shard_trial *t, const struct sim_world_options *options);
void shard_trial_deinit(struct shard_trial *t);

/* ---- a life ---- */

void shard_trial_run(struct shard_trial *t, void (*run)(void *owner));
/* Returns: whether it was over before. */
bool shard_trial_run_and_lose_power(struct shard_trial *t, void (*run)(void *owner), uint64_t after_ns);

/* ---- in a life; all but the first wait ---- */

struct record_key shard_trial_key(uint32_t key, char text[TRIAL_TEXT_BYTES]);
/* Puts every key, one in ten with a value for a value log; then all of them are in tables. */
void shard_trial_fill(struct shard_trial *t);
void shard_trial_close_engine(struct shard_trial *t);

#endif
