/* shard_rig.h - the engine of one shard under test, with the options that the test gives it, and puts that
 * are waited for one by one.
 *
 * For tests that look at the files of a shard. It knows nothing of what the engine must hold; engine_rig.h
 * has a model of that. */
#ifndef TEST_ENGINE_SHARD_RIG_H
#define TEST_ENGINE_SHARD_RIG_H

#include "engine/engine.h"
#include "test/test.h"

enum { SHARD_RIG_VALUE_BYTES_MAX = 4096 };

struct shard_rig {
    struct reactor *reactor;
    struct engine *engine; /* null: it is not open */
    struct event durable;
};

/* Waits. Owner and on_durable are the rig's; what else is called back gets the rig as its owner. */
void shard_rig_open(struct shard_rig *rig, struct reactor *r, const struct engine_options *options);
void shard_rig_close(struct shard_rig *rig); /* Waits */

struct shard_put {
    struct record_key key;
    uint64_t clock;
    uint8_t flags;
    uint64_t expiry_ms;
    uint8_t fill; /* each byte of the value */
    uint32_t value_bytes;
};
/* Waits: until it is durable. */
void shard_rig_put(struct shard_rig *rig, const struct shard_put *put);

#endif
