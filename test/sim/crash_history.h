/* crash_history.h - what a client of a crash workload wrote, and which contents a recovery may show.
 *
 * Writes are numbered in the order of the log. What may be found after a crash is what a prefix of that order
 * makes, no shorter than the last acknowledged write:
 *
 *   0   1   2   3 | 4   5        a cut at 4: writes 0 to 3 happened, 4 and 5 did not
 *   A   A   F   S   S   S        acknowledged, failed, submitted
 *
 * A failed write (its disk write reported an error) may be found as long as nothing after it is: the segment
 * that comes after says that the chain goes on before it. Once a read has shown one outcome, that outcome
 * stays. */
#ifndef TEST_SIM_CRASH_HISTORY_H
#define TEST_SIM_CRASH_HISTORY_H

#include "engine/record.h"

enum {
    CRASH_KEYS = 6,
    CRASH_WRITES_MAX = 64,
    CRASH_VALUE_BYTES_MAX = 8192,
    CRASH_KEY_BYTES = 16,
    CRASH_VNODES = 2,
    CRASH_VNODE_FIRST = 4,
};

enum crash_write_state {
    CRASH_SUBMITTED,    /* taken, no answer yet */
    CRASH_ACKNOWLEDGED, /* or seen by a read */
    CRASH_FAILED,       /* its ticket came back with an error */
    CRASH_GONE,         /* never taken, or a read showed that it did not happen */
};

struct crash_write {
    uint64_t clock; /* of its version */
    uint16_t value_bytes;
    uint8_t key;
    bool is_delete;
    uint8_t state; /* enum crash_write_state */
    uint8_t group; /* FAILED: those of one failure have one number */
};

struct crash_history {
    uint32_t count;
    uint32_t failures;       /* of log writes so far */
    uint32_t snapshot_count; /* writes when the snapshot was begun; all had their answers */
    bool has_snapshot;       /* it was finished */
    /* The log was damaged: a key that would show a write below this number may answer UNKNOWN. 0: none. */
    uint32_t unknown_below;
    struct crash_write writes[CRASH_WRITES_MAX];
};

/* What the keys answer: the number of the write each shows, or one of these. */
enum { CRASH_ABSENT = -1, CRASH_FOREIGN = -2, CRASH_UNKNOWN = -3 };
struct crash_view {
    int shown[CRASH_KEYS];
};

/* Adds a write as submitted. Returns: its number. */
uint32_t crash_history_add(struct crash_history *h, const struct crash_write *write);

/* The key of that number; *to has room for CRASH_KEY_BYTES. */
struct record_key crash_key(uint32_t key, char to[CRASH_KEY_BYTES]);
/* The value of write `number`: it differs from that of every other. */
void crash_value(uint32_t number, uint32_t bytes, uint8_t *to);
/* The write that made `record`, an answer of `key`; CRASH_FOREIGN when none did. */
int crash_history_identify(const struct crash_history *h, uint32_t key, const struct record *record);

/* Is there a cut that makes this view? *cut is the first one. */
bool crash_history_allows(const struct crash_history *h, const struct crash_view *view, uint32_t *cut);
/* The view at a cut. Returns: false when acknowledged writes are behind it. */
bool crash_history_view(const struct crash_history *h, uint32_t cut, struct crash_view *out);
/* A read has shown what the cut makes: writes before it stay, the others are gone. */
void crash_history_settle(struct crash_history *h, uint32_t cut);

bool crash_view_equal(const struct crash_view *a, const struct crash_view *b);
/* In words: "key 0 shows write 3, key 1 nothing, ...". */
void crash_view_text(const struct crash_view *view, char *to, size_t bytes);
/* In words, one letter a write: "AASF". */
void crash_history_text(const struct crash_history *h, char *to, size_t bytes);

#endif
