/* engine_rig.h - one engine under test, and a model of what it must hold.
 *
 * The model is the list of all writes, each with its number; the version's clock is the number, so any record
 * that comes back says which write it is, and its value is made again from that number. What a key answers
 * must be the write that was acknowledged last when the question began, or a later one: a crash may lose
 * those that were not acknowledged. */
#ifndef TEST_ENGINE_ENGINE_RIG_H
#define TEST_ENGINE_ENGINE_RIG_H

#include "engine/engine.h"
#include "test/test.h"

enum {
    RIG_KEYS = 3000,
    RIG_WRITES_MAX = 200000,
    RIG_VNODES = 8,
    RIG_VNODE_FIRST = 16,
    RIG_VALUE_BYTES_MAX = VALUE_BYTES_MAX,
};

struct rig_write {
    uint32_t key;
    uint32_t previous; /* write of this key; 0: none */
    uint32_t value_bytes;
    uint8_t flags;
    bool is_acknowledged;
    uint64_t expiry_ms;
};

/* Outlives the reactor: a test may crash one and look with the next. */
struct engine_rig {
    struct reactor *reactor;
    struct engine *engine;
    struct engine_options options;
    struct rig_write *writes; /* by number, from 1 */
    uint32_t count;
    uint32_t last[RIG_KEYS];
    uint32_t returned; /* tickets */
    uint32_t failed;   /* of them with an error */
    uint32_t events;
    char last_event[64];
    bool is_one_vnode;
    bool has_flat_values; /* that take half the space when they are compressed */
    bool is_putting;      /* no ticket may come back meanwhile */
    uint64_t random;
    struct event progress;
    uint8_t *value;
};

struct engine_rig *engine_rig_make(void); /* tiny memtables, log files and cache */
void engine_rig_free(struct engine_rig *rig);

void engine_rig_open(struct engine_rig *rig, struct reactor *r);
/* The same, when its clock may be above the last write: at most `clock_max`. */
void engine_rig_open_at(struct engine_rig *rig, struct reactor *r, uint64_t clock_max);
void engine_rig_close(struct engine_rig *rig);
void engine_rig_reopen(struct engine_rig *rig); /* its next life, on the same reactor */
void engine_rig_crash(struct engine_rig *rig);  /* forgets the engine; its core is about to stop */

uint64_t engine_rig_random(struct engine_rig *rig, uint64_t below);

struct rig_put {
    uint32_t key;
    uint32_t value_bytes;
    uint8_t flags;
    uint64_t expiry_ms;
};
/* Waits while the log is full. Does not wait until it is durable. */
void engine_rig_put(struct engine_rig *rig, const struct rig_put *put);

struct rig_mix {
    uint32_t keys;
    uint32_t value_bytes_end; /* values are shorter */
    uint32_t deleting_one_in;
};
/* So many random puts and deletes. Waits: now and then, not until the last are durable. */
void engine_rig_put_mix(struct engine_rig *rig, const struct rig_mix *mix, uint32_t count);

void engine_rig_await(struct engine_rig *rig);                         /* Waits: until every ticket is back */
void engine_rig_await_flushes(struct engine_rig *rig, uint64_t count); /* Waits */
void engine_rig_await_compactions(struct engine_rig *rig, uint64_t count); /* Waits */
/* Waits: until neither flush nor compaction has anything to do, by the counters standing still. */
void engine_rig_settle(struct engine_rig *rig);

/* The key as the engine has it; *to is memory of at least RIG_KEY_BYTES_MAX. */
enum { RIG_KEY_BYTES_MAX = 64 };
struct record_key engine_rig_key(const struct engine_rig *rig, uint32_t key, char to[RIG_KEY_BYTES_MAX]);
uint32_t engine_rig_key_number(const struct record_key *key);

/* Waits. Returns: what engine_get_wait answers for the key. Its record lives until
 * engine_release of `*hold`. */
int engine_rig_get(struct engine_rig *rig, uint32_t key, struct record *record, struct engine_hold *hold);
/* Waits. The answer alone. */
int engine_rig_answer(struct engine_rig *rig, uint32_t key);
/* Waits. The same of any engine. */
int engine_answer(struct engine *e, const struct record_key *key, uint64_t now_ms);
/* Waits. Gets the key and compares with the model. Returns: whether that holds. */
bool engine_rig_check(struct engine_rig *rig, uint32_t key);
bool engine_rig_check_all(struct engine_rig *rig);
/* Waits. Begins a snapshot and ends it. Returns: what engine_snapshot_begin did. */
int engine_rig_try_snapshot(struct engine_rig *rig);
/* Waits. The same by a scan. */
bool engine_rig_check_scan(struct engine_rig *rig);
/* The last acknowledged write of the key; 0 for none. An answer may be as old as that was when the question
 * began. */
uint32_t engine_rig_acknowledged(const struct engine_rig *rig, uint32_t key);
/* Does the model allow this record (null: absence) as the answer of the key, when no write before `oldest`
 * counts? */
bool engine_rig_allows(struct engine_rig *rig, uint32_t key, const struct record *record, uint32_t oldest);
uint64_t engine_rig_now_ms(struct engine_rig *rig);

#endif
