/* engine_script.h - one shard on a simulated disk, and scripts that say what becomes of it.
 *
 * A life opens it, does what its script says and ends; between two lives the disk is touched. Keys are
 * numbers, values follow from them. */
#ifndef TEST_SIM_ENGINE_SCRIPT_H
#define TEST_SIM_ENGINE_SCRIPT_H

#include "engine/engine.h"
#include "reactor/sim/sim.h"
#include "test/test.h"

enum {
    SCRIPT_VALUE_BYTES = 200,
    SCRIPT_SEGMENT_BYTES = 64 << 10,
    SCRIPT_EVENTS_MAX = 8,
    SCRIPT_KEYS_MAX = 40,
};
#define MS UINT64_C(1000000)

struct script {
    struct sim_world *world;
    struct sim_node *node;
    struct reactor *r;
    struct engine *engine;
    void (*run)(struct script *s); /* Waits; with the engine open. Null: there is nothing to do */
    bool is_over;                  /* of a life that is to be killed: its script has ended */
    bool is_killed;
    bool has_value_logs;
    bool has_archive;
    uint64_t table_bytes_max; /* 0: as usual */
    uint32_t runs_max;        /* the same */
    uint64_t memtable_bytes;  /* 0: as usual */
    bool is_spoiling;         /* the next value log, as soon as it is written */
    bool is_removed;          /* by that; else it is cut off */
    int opened;
    uint32_t puts;
    uint32_t returned;
    uint32_t failed;
    int results[SCRIPT_KEYS_MAX]; /* of the last put of each of the first keys */
    char events[SCRIPT_EVENTS_MAX][32];
    uint32_t event_count;
};

struct script *script_new(const struct sim_world_options *options);
void script_free(struct script *s);
/* A life. */
void script_run_to_the_end(struct script *s, void (*run)(struct script *s));
void script_run_and_lose_power(struct script *s, void (*run)(struct script *s));

/* ---- in a life; all but the first two wait ---- */

bool script_has_event(const struct script *s, const char *event);
struct record_key script_key(uint32_t key, char text[16]);
/* Returns: what engine_put does. Does not wait. */
int script_begin_put(struct script *s, uint32_t key, uint8_t flags);
void script_await_puts(struct script *s);
/* Returns: what engine_put does. */
int script_try_put(struct script *s, uint32_t key, uint8_t flags);
void script_put(struct script *s, uint32_t key); /* each its own log record */
void script_put_ten(struct script *s);
/* Returns: what engine_get_wait does. */
int script_answer(struct script *s, uint32_t key);

#endif
