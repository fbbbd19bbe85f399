/* model.h - what one shard must hold: every write with what became of it, as far as anybody can know.
 *
 * Writes are numbered from 1 in the order of the puts; versions ascend with the numbers, so a record that
 * comes back names its write, and its value is made again from its clock. A question about a key begins with
 * its floor, the newest write that is known to be there; the answer must be that write or a later one that
 * can be there by now.
 *
 *             put               ticket 0
 *   (none) ---------> FLYING ---------------> ACKED
 *                      |  |  ticket TIMEOUT           seen
 *                      |  +-----------------> LATE -----------> ACKED
 *                      |  ticket UNKNOWN
 *                      +--------------------> FAILED
 *                      |  ticket, other error
 *                      +--------------------> GONE
 *   at a crash: FLYING, LATE and FAILED become OPEN: there or not. But a FAILED one with an ACKED one behind
 *   it is GONE: the log goes on elsewhere, and says so, unless a lie of the disk may have cost that.
 *   at a read afterwards:  OPEN --> RECOVERED: it is there, and stays
 *                               --> RULED_OUT: an older one is the newest; GONE as soon as the log goes on
 *
 * What is GONE never comes back, unless the disk lies about the log. */
#ifndef TEST_SIM_MODEL_H
#define TEST_SIM_MODEL_H

#include "engine/engine.h"

enum write_state {
    WRITE_FLYING,
    WRITE_LATE,
    WRITE_ACKED,
    WRITE_FAILED,
    WRITE_OPEN,
    WRITE_RECOVERED,
    WRITE_RULED_OUT,
    WRITE_GONE,
};

struct model_write {
    uint64_t clock;
    uint64_t expiry_ms;
    uint64_t sequence; /* of its log record, when it was acknowledged; 0: not known */
    uint32_t key;
    uint32_t previous; /* write of this key; 0: none */
    uint32_t value_bytes;
    uint16_t life; /* in which it was put */
    uint8_t flags; /* of the record */
    uint8_t state; /* enum write_state */
    bool may_have_failed;
    bool is_nowhere; /* it was not written, or the disk that had it is gone */
};

struct model_key {
    uint32_t last;  /* its newest write; 0: none */
    uint32_t floor; /* the newest that is known to be there; 0: none */
};

/* A log write that the disk reported done and did not make, or destroyed another one with. */
struct model_lie {
    uint64_t watermark;   /* log records up to this sequence were then known as durable from later ones */
    uint32_t count_at;    /* writes put by then */
    uint32_t count_until; /* writes put when all of those had been answered; UINT32_MAX: they have not */
};

enum { MODEL_LIES_MAX = 1024 };

struct model {
    uint64_t salt; /* of values */
    uint16_t vnode_first;
    uint16_t vnode_count;
    struct model_write *writes; /* [0] is not used */
    uint32_t count;
    uint32_t capacity;
    struct model_key *keys;
    uint32_t key_count;
    uint64_t clock_last;
    uint32_t flying_first; /* no write before it is FLYING */
    uint32_t acked_last;
    uint16_t life;
    /* A recovery may have been kept from reading what is there: what is RULED_OUT may be OPEN in the next
     * life. */
    bool is_soft;
    struct model_lie lies[MODEL_LIES_MAX];
    uint32_t lie_count;
};

void model_init(struct model *m, uint32_t key_count, uint64_t salt);
void model_deinit(struct model *m);
void model_copy(struct model *to, const struct model *from); /* `to` is uninitialised */

/* ---- keys ---- */

enum { MODEL_KEY_BYTES_MAX = 1100 };

/* The key as the engine has it; its slices point into `memory`. */
struct record_key model_key(const struct model *m, uint32_t key, char memory[MODEL_KEY_BYTES_MAX]);
/* Returns: its number, or key_count when it is none of ours. */
uint32_t model_key_number(const struct model *m, const struct record_key *key);

/* ---- writes ---- */

struct model_put {
    uint32_t key;
    uint32_t value_bytes;
    uint8_t flags;
    uint64_t expiry_ms;
    uint64_t clock_floor; /* the version's clock will be at least this */
};
/* Makes the record of a put. `memory` holds its key, `value` at least put->value_bytes. Nothing is
 * remembered. */
struct record model_record(struct model *m, const struct model_put *put, char memory[MODEL_KEY_BYTES_MAX],
                           uint8_t *value);
/* The engine has taken the record made last. Returns: the number of the write. */
uint32_t model_taken(struct model *m, const struct model_put *put);
/* Its ticket came back. */
void model_answered(struct model *m, uint32_t number, int result, uint64_t sequence);

/* The node has ended, and what was under way with it. */
void model_end_life(struct model *m);
/* The disk is as it was when `then` was copied from this model. */
void model_roll_back(struct model *m, const struct model *then);
void model_wipe(struct model *m);
/* What was lost is given up: of all that was written each write may be there or not. */
void model_give_up(struct model *m);
/* The disk lied about a write to the log. */
void model_lied(struct model *m, uint64_t watermark);
/* A misdirected write has wiped out many records of the log at once, those that vouched for others too. */
void model_wiped_log(struct model *m);

/* ---- answers ---- */

/* X(NAME, is_good, "words") */
#define MODEL_VERDICTS(X)                                                                                    \
    X(RIGHT, true, "right")                                                                                  \
    X(EXCUSED, true, "older than what was acknowledged, which lay in a write that the disk did not make")    \
    X(NEVER_WRITTEN, false, "a version that was never written")                                              \
    X(OTHER_KEY, false, "a record of another key")                                                           \
    X(WRONG_BYTES, false, "not the bytes that were written with this version")                               \
    X(CAME_BACK, false, "a write that was gone has come back")                                               \
    X(NOT_DURABLE, false, "a write that is not acknowledged yet: a crash would take it back")                \
    X(FAILED_APPLIED, false, "a write that was answered with an error")                                      \
    X(STALE, false, "an older version than one that was acknowledged or seen before")                        \
    X(DELETED, false, "a tombstone")                                                                         \
    X(EXPIRED, false, "a record that has expired")                                                           \
    X(MISSING, false, "nothing, though a write was acknowledged or seen before")

enum model_verdict {
#define MODEL_VERDICT_ENUM(name, is_good, words) MODEL_##name,
    MODEL_VERDICTS(MODEL_VERDICT_ENUM)
#undef MODEL_VERDICT_ENUM
};
const char *model_verdict_words(enum model_verdict v);
bool model_verdict_is_good(enum model_verdict v);

struct model_question {
    uint32_t key;
    uint32_t floor;   /* model_floor when it was asked */
    uint64_t now_ms;  /* what the engine was told */
    uint64_t dead_ms; /* the latest time that any clock of the node has shown */
};
uint32_t model_floor(const struct model *m, uint32_t key);

struct model_finding {
    enum model_verdict verdict;
    uint32_t got;      /* the write that was answered; 0: none, or none of ours */
    uint32_t expected; /* the oldest one that it may have been; 0: none is fine too */
    uint32_t excused;  /* writes that turned out as lost with an excuse */
};
/* Compares an answer, a record or null for absence, and learns from it. */
struct model_finding model_judge(struct model *m, const struct model_question *q,
                                 const struct record *answer);

/* Could this write, acknowledged or recovered, be lost without a word, because the disk lied about the
 * log? */
bool model_may_be_lost(const struct model *m, uint32_t number);

/* After every key was asked once and nothing was put since the start: what has come back of the last life
 * must be a beginning of it, in the order of the puts. Returns: true, or false with a write that is there
 * and an earlier one that is not. */
bool model_is_prefix(const struct model *m, uint32_t *there, uint32_t *missing);

#endif
