/* cache.h - the block cache of a shard: blocks of tables as they are on disk, verified, in a fixed budget of
 * memory.
 *
 *   index: hash of (table, position) --> frame --> 4 KiB of a slab, or memory of its own for a larger block
 *
 *   queue (SIEVE):  newest <-> ... <-> hand <-> ... <-> oldest
 *
 *   A hit only sets the frame's visited bit; the hand walks from the oldest to the newest, clears visited
 *   bits and takes the first frame without one.
 *
 * SIEVE: Zhang et al., "SIEVE is Simpler than LRU" (NSDI 2024). A hit moves nothing, so it costs one lookup
 * and one store. The budget covers blocks, frames and index together and is never exceeded; a block that
 * finds no room because everything is pinned is read into memory of its pin. Table numbers are never used
 * twice, so the blocks of a removed table are not looked for any more and the hand finds them. */
#ifndef ENGINE_CACHE_H
#define ENGINE_CACHE_H

#include "reactor/reactor.h"

enum {
    CACHE_UNIT_BYTES = 4096,
    CACHE_BUDGET_BYTES_MIN = 1 << 20,
};

struct cache;

struct cache_counters {
    uint64_t hits;
    uint64_t misses; /* blocks that had to be read; waiting for another's read counts as neither */
    uint64_t shared; /* waited for a read that was under way */
    uint64_t evictions;
    uint64_t bypasses;   /* found no room and were not kept */
    uint64_t forgotten;  /* by cache_forget */
    uint64_t hand_steps; /* past frames that stay */
    uint64_t bytes;      /* of memory now, all of it */
    uint64_t blocks;     /* now */
};

/* Which block: `position` and `units` count CACHE_UNIT_BYTES in the file of the table. */
struct cache_block {
    uint64_t table;
    uint32_t position;
    uint32_t units;
};

/* Keeps a block where it is until cache_unpin. All zeros is a pin of nothing. */
struct cache_pin {
    struct cache *cache;
    const uint8_t *data;
    uint8_t *private_memory; /* not null when the block is this pin's alone */
    uint32_t frame;
    bool is_fresh; /* the block was read for this pin, or while it waited */
};

/* `budget_bytes` below CACHE_BUDGET_BYTES_MIN is taken as that. It is also the most that cache_resize can
 * give. */
MUST_CHECK int cache_open(struct reactor *r, uint64_t budget_bytes, struct cache **out);
void cache_close(struct cache *c); /* Requires: nothing pinned, no read under way. Null is allowed. */

/* Another budget, from now on; the index keeps its size. What is above it is given back by cache_trim, a
 * little with each call. */
void cache_resize(struct cache *c, uint64_t budget_bytes);
/* Outside of reads. Returns: there is more to give back. */
MUST_CHECK bool cache_trim(struct cache *c);

/* Returns: the block, which stays until the caller waits or cache_read is called by anyone, or cache_forget
 * for it; null when it is not there (or still being read). */
const uint8_t *cache_get(struct cache *c, struct cache_block block);

/* Reads a block from its file into `to` and verifies it. Waits. */
typedef int cache_load_fn(void *context, struct cache_block block, uint8_t *to);

/* Waits. Pins the block, reading it by `load` when it is not there; tasks that want one block share one read
 * and its result. A block whose load fails is not kept. Returns: 0, what `load` returned, or
 * TORC_E_NO_MEMORY. */
MUST_CHECK int cache_read(struct cache *c, struct cache_block block, cache_load_fn *load, void *context,
                          struct cache_pin *pin);
void cache_unpin(struct cache_pin *pin); /* Does nothing for a pin of nothing; `*pin` is zeroed. */

/* For a block that was found bad: should it be there, it is not any more, and who asks next reads it. Those
 * who have it pinned keep it as it is. */
void cache_forget(struct cache *c, struct cache_block block);

struct cache_counters cache_counters(const struct cache *c);

#endif
