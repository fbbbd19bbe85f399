/* registers.h - what the keys of a server may answer, when many clients write and read them at once.
 *
 * A key is a register: its writes have one order, and a write takes its place in it between its beginning and
 * its answer. So an answer is wrong when it is a write that another one, begun after this one was answered,
 * had overwritten for certain before the question began (Herlihy and Wing, "Linearizability", 1990, for
 * registers whose values are all different). A delete is a write, too, and so is the emptiness at first.
 *
 *   taken --> FLYING --answered--> DONE      it is there, or a later one is
 *                    |             REFUSED   it is not there and never will be
 *                    |             FAILED    it is not there, but a start may find it in the log
 *                    |             UNKNOWN   there or not, or there some time; its place is before its answer
 *                    +--no answer--> LOST    there or not, and in any place after its beginning */
#ifndef TEST_SIM_REGISTERS_H
#define TEST_SIM_REGISTERS_H

#include "reactor/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { REGISTER_KEY_BYTES_MAX = 32, REGISTER_VALUE_BYTES_MIN = 8 };

enum register_state {
    REGISTER_FLYING,
    REGISTER_DONE,
    REGISTER_REFUSED,
    REGISTER_FAILED,
    REGISTER_UNKNOWN,
    REGISTER_LOST,
};

struct register_write {
    uint64_t begin_ns;
    uint64_t placed_ns; /* its place in the order is no later; UINT64_MAX: unknown */
    uint64_t there_ns;  /* from then on it is there, or a later one; UINT64_MAX: unknown */
    uint64_t version;   /* clock of it, once seen; 0: not seen */
    uint32_t key;
    uint32_t previous; /* write of this key; 0: none */
    uint32_t bytes;
    unsigned failed_in; /* FAILED: the run of the server */
    enum register_state state;
    bool is_delete;
};

struct register_key {
    uint32_t last; /* its newest write; 0: none */
    uint64_t version_seen;
    uint64_t version_seen_ns; /* when the answer with it had come */
};

struct registers {
    struct register_write *writes; /* [0] is not used */
    uint32_t count;
    uint32_t capacity;
    struct register_key *keys;
    uint32_t key_count;
    unsigned server;  /* part of keys and values */
    bool reads_prove; /* what was read stays: no sync has lied */
};

void registers_init(struct registers *g, unsigned server, uint32_t key_count);
void registers_deinit(struct registers *g);

struct slice registers_key(const struct registers *g, uint32_t key, char to[REGISTER_KEY_BYTES_MAX]);
/* Returns: its number, or key_count. */
uint32_t registers_key_number(const struct registers *g, struct slice key);
/* The value of a write; `to` has room for its bytes. */
struct slice registers_value(const struct registers *g, uint32_t number, uint8_t *to);

/* Returns: the number of the write, FLYING from `now_ns` on. */
uint32_t registers_write(struct registers *g, uint32_t key, uint32_t bytes, uint64_t now_ns);
uint32_t registers_delete(struct registers *g, uint32_t key, uint64_t now_ns);
void registers_answered(struct registers *g, uint32_t number, int code, uint64_t now_ns, unsigned run);
void registers_lost(struct registers *g, uint32_t number);

/* A question about a key and its answer. */
struct register_answer {
    uint32_t key;
    uint64_t begin_ns;
    uint64_t end_ns;
    unsigned run; /* of the server that answered */
    bool is_found;
    bool has_value; /* when found: `value` counts */
    struct slice value;
    uint64_t version; /* 0: not told */
};
/* Returns: null, or what is wrong with it, in words; *write is the write it shows, 0 for none. */
const char *registers_judge(struct registers *g, const struct register_answer *a, uint32_t *write);

#endif
