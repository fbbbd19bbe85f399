/* row_cache.h - records that were read from tables, kept in memory one by one.
 *
 *   index: open addressing, 8-byte slots {u32 tag, 2 bits of uses, u30 place} --> encoded entries in:
 *
 *   small queue (a tenth) --read twice meanwhile--> main queue --read since it was looked at--+
 *     |          ^                                    |     ^                                 |
 *     |          +-- new                   forgotten <+     +---------------------------------+
 *     +--> forgotten, but the tag is kept: when it comes again it goes to the main queue at once
 *          ^
 *          +-- new, large, and its block is in the block cache
 *
 * A block of a table holds some thirty records of which one may be read often; keeping that one alone makes
 * the same memory hold more of what is wanted, and finds it with one look. S3-FIFO (Yang et al., "FIFO queues
 * are all you need for cache eviction", SOSP 2023): most records are read once, and those leave soon. A hit
 * only counts in the slot. docs/decisions/ has the figures.
 *
 * It holds only what is the newest version outside of the memtables. That stays so because the engine removes
 * every key of a memtable from here after it has become a table and before the memtable goes. */
#ifndef ENGINE_ROW_CACHE_H
#define ENGINE_ROW_CACHE_H

#include "engine/engine.h"

struct row_cache;

enum {
    ROW_CACHE_ENTRY_BYTES_MAX = 16384, /* a larger record is not kept: the block cache has it */
    ROW_CACHE_OFFER_BYTES_MAX = 512,   /* a larger one is kept when it is read again; row_cache_offer */
    ROW_CACHE_BUDGET_BYTES_MIN = 1 << 18,
};
#define ROW_CACHE_BUDGET_BYTES_MAX (8ull << 30)

/* `budget_bytes` is taken into the range above; queues and index together stay below it. It is also the most
 * that row_cache_resize can give. Memory is taken as it is needed. `seed`: of memtable_hash, with which
 * engine_key.hash was made. Returns: 0 or TORC_E_NO_MEMORY. */
MUST_CHECK int row_cache_open(struct reactor *r, uint64_t budget_bytes, uint64_t seed,
                              struct row_cache **out);
void row_cache_close(struct row_cache *c); /* null is allowed */

/* Returns: true with the record; *out points into the cache until row_cache_add is called. What it holds may
 * have gone bad in memory: the caller checks the header of the entry, then the record. */
bool row_cache_get(struct row_cache *c, const struct engine_key *k, struct record *out);
/* Keeps a record, in place of an older version. One that is too large, or not to be had memory for, is passed
 * over. */
void row_cache_add(struct row_cache *c, const struct engine_key *k, const struct record *record);
/* The same for a record whose block has come from the disk just now, and is in the block cache. A large one
 * is only remembered when it is new: its block holds few others, so it stays there about as long as the
 * record would in the small queue. Read again, it goes to the main queue. */
void row_cache_offer(struct row_cache *c, const struct engine_key *k, const struct record *record);
/* Removes the records whose hash begins with this tag (memtable_tag): the one meant, and rarely another. */
void row_cache_remove(struct row_cache *c, uint32_t tag);
/* All of them, at once: for what is rare. */
void row_cache_clear(struct row_cache *c);

/* Another budget, from now on; the index keeps its size. What is above it is given back by row_cache_trim, a
 * little with each call. */
void row_cache_resize(struct row_cache *c, uint64_t budget_bytes);
/* Returns: there is more to give back. */
MUST_CHECK bool row_cache_trim(struct row_cache *c);

/* Both only hints, as engine_prefetch_slot and engine_prefetch_entry. */
void row_cache_prefetch_slot(const struct row_cache *c, uint64_t hash);
void row_cache_prefetch_entry(const struct row_cache *c, uint64_t hash);

struct row_cache_counters {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t entries; /* now */
    uint64_t bytes;   /* of memory now, all of it */
};
struct row_cache_counters row_cache_counters(const struct row_cache *c);

#endif
