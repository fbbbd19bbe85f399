/* memtable.h - the newest records of a shard, in memory.
 *
 *   vnode --> partition: open addressing, 8-byte slots {u32 tag, u32 unit}, in the order of the tags
 *                                                              |
 *   arena of chunks  [ entry | entry | entry ... ] <-----------+   unit: 2 bytes; entries are as in the log
 *
 * One partition a vnode, so a vnode can be listed and dropped alone, and a growing table is a small one
 * (memtable_index.c). A put is a copy of the log's bytes into the arena; a newer version that fits is written
 * over the older. All that is beside the entries is less than 10 % of entries of 150 bytes, and 15 bytes for
 * each of any size, once there are a hundred in each vnode.
 *
 * Belongs to one core. Frozen, it is read only; it is freed when the last of its holders lets go. */
#ifndef ENGINE_MEMTABLE_H
#define ENGINE_MEMTABLE_H

#include "engine/engine.h"
#include "engine/entry.h"

struct memtable;

struct memtable_options {
    uint64_t seed; /* of memtable_hash */
    uint16_t vnode_first;
    uint16_t vnode_count;     /* at least 1 */
    uint32_t entries_hint;    /* how many there may be in all; 0: unknown */
    uint32_t list_shared_min; /* of entries: vnodes of fewer are listed by each for itself; 0 means 128 */
};

/* Returns: 0 with one reference held by the caller, or TORC_E_NO_MEMORY. */
MUST_CHECK int memtable_new(struct reactor *r, const struct memtable_options *options, struct memtable **out);
void memtable_hold(struct memtable *m);
void memtable_release(struct memtable *m); /* null is allowed; in a task it yields */

static inline uint64_t memtable_hash(uint64_t seed, const struct record_key *k)
{
    uint64_t hash = XXH3_64bits_withSeed(k->key.data, k->key.bytes, seed ^ k->namespace_id);
    return k->subkey.bytes ? XXH3_64bits_withSeed(k->subkey.data, k->subkey.bytes, hash) : hash;
}

/* The part of a hash that slots keep. */
static inline uint32_t memtable_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* Applies an encoded record: `entry` decodes to `record`. Returns: 0, also when this very version is held
 * already; TORC_E_SUPERSEDED when a newer one is; TORC_E_NO_MEMORY. */
MUST_CHECK int memtable_put(struct memtable *m, uint64_t hash, const struct record *record,
                            struct slice entry);

/* Returns: true and the record as it is held, dead or alive; *out points into the memtable until its next
 * put. */
bool memtable_get(const struct memtable *m, const struct engine_key *k, struct record *out);

void memtable_prefetch_slot(const struct memtable *m, uint16_t vnode, uint64_t hash);
void memtable_prefetch_entry(const struct memtable *m, uint16_t vnode, uint64_t hash);

uint64_t memtable_entries(const struct memtable *m);
uint64_t memtable_used_bytes(const struct memtable *m);  /* of the arena, overwritten records included */
uint64_t memtable_index_bytes(const struct memtable *m); /* of the partitions */
uint64_t memtable_bytes(const struct memtable *m);       /* of memory, all of it */
uint64_t memtable_list_bytes(const struct memtable *m);  /* of sorted lists, made or in the making */
/* Of them what goes when nobody lists it any more. */
uint64_t memtable_list_bytes_in_use(const struct memtable *m);
uint64_t memtable_clock_max(const struct memtable *m); /* highest version clock; 0 when empty */

/* Calls `each` with the tag of every key of a vnode, in ascending order; it may wait. Requires: the memtable
 * is frozen, or it does not wait. */
void memtable_each_tag(const struct memtable *m, uint16_t vnode, void (*each)(void *context, uint32_t tag),
                       void *context);

/* ---- moments ---- */

/* From now on what is overwritten stays for memtable_run_get_until, until as many calls of the other. */
void memtable_keep(struct memtable *m);
void memtable_keep_end(struct memtable *m);
uint32_t memtable_keepers(const struct memtable *m); /* who have not ended */

/* Now, for memtable_run_fill. */
uint64_t memtable_moment(const struct memtable *m);

/* What is seen of a memtable that goes on. */
struct memtable_past {
    uint64_t clock_max; /* no version above it; UINT64_MAX: whatever is newest */
    uint64_t moment;    /* all that was put before; of a clock_max, what comes later is above it */
    bool is_last;       /* nobody comes back: lists are not kept */
};

/* ---- in order: the records of one vnode ---- */

struct memtable_list;

/* A sorted list of the entries of a vnode. Caller's memory, zeroed before its first use. Holds no reference
 * to the memtable: its holder does. A long list is shared: by all who ask while it is made, and later, for
 * the memtable keeps it, by whoever wants no more than it has. So a scan that comes page by page sorts once,
 * when it is of a view or nothing is written; else what is new is sorted and merged into it. What is kept
 * has a quarter of the memory of the entries at most, but for one list. */
struct memtable_run {
    struct memtable_list *list;
    uint32_t count;
};

/* Waits: yields, or for another task that lists this vnode. The run has all keys that were put before
 * the moment of `past`, and of those that came later some. Requires: the caller holds the memtable until the
 * run's deinit. Returns: 0 or TORC_E_NO_MEMORY, and the run is empty. */
MUST_CHECK int memtable_run_fill(struct memtable_run *run, struct memtable *m, uint16_t vnode,
                                 const struct memtable_past *past);
void memtable_run_deinit(struct memtable_run *run);
/* The record at a place, as it is held now: a newer version may have been written over it. Lives until the
 * next put. */
void memtable_run_get(const struct memtable_run *run, const struct memtable *m, uint32_t place,
                      struct record *out);
/* The newest version at a place that is not above `clock`; it lives as long as the memtable is kept, or until
 * the next put when `clock` is UINT64_MAX. Returns: there is one. */
bool memtable_run_get_until(const struct memtable_run *run, const struct memtable *m, uint32_t place,
                            uint64_t clock, struct record *out);
/* What is known of the key at a place without a look at its entry. */
struct memtable_run_place {
    uint32_t namespace_id;
    uint64_t prefix; /* record_key_prefix */
};
struct memtable_run_place memtable_run_place(const struct memtable_run *run, uint32_t place);
/* Only a hint: the entry at a place will be read soon. The place need not be one of the run. */
void memtable_run_prefetch(const struct memtable_run *run, const struct memtable *m, uint32_t place);
/* Returns: the first place whose key is not below `key`; run->count when there is none. */
uint32_t memtable_run_find(const struct memtable_run *run, const struct memtable *m,
                           const struct record_key *key);

#endif
