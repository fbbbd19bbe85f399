/* oracle.h - what a server may hold after a crash, kept outside of it.
 *
 * Every write has a number, and its value tells key and number, so what is read names the write it came
 * from. Writes in flight together take effect in any order; one that was started after another was
 * acknowledged comes after it. So a key may hold
 *
 *   - any write whose outcome is unknown, or
 *   - an acknowledged one, unless another was started after its acknowledgement and acknowledged, too,
 *
 * and nothing else. Deletes are writes; that the key was never there is write 0. */
#ifndef TEST_PROCESS_ORACLE_H
#define TEST_PROCESS_ORACLE_H

#include "reactor/base/slice.h"

enum {
    ORACLE_WRITES_MAX = 12,   /* of one key that may be its state */
    ORACLE_IN_FLIGHT_MAX = 4, /* of one key */
    ORACLE_KEY_BYTES = 24,    /* with the null byte */
    ORACLE_VALUE_BYTES_MAX = 4096,
};

struct oracle_write {
    uint64_t number;
    uint64_t started;      /* on the oracle's own clock, which counts events */
    uint64_t acknowledged; /* 0: not, or unknown whether */
    bool is_delete;
    bool is_in_flight;
};

struct oracle_key {
    struct oracle_write writes[ORACLE_WRITES_MAX];
    uint32_t count;
    uint32_t in_flight;
};

struct oracle {
    struct oracle_key *keys;
    uint32_t key_count;
    uint64_t clock;
    uint64_t next_number;
    uint64_t random;
    uint64_t acknowledged_count;
    char problem[256]; /* the first thing found wrong; empty while there is none */
};

void oracle_init(struct oracle *o, uint32_t key_count, uint64_t seed);
void oracle_deinit(struct oracle *o);
uint64_t oracle_random(struct oracle *o);

void oracle_key_name(uint32_t key, char name[ORACLE_KEY_BYTES]);
/* Returns: the bytes of the value of write `number` of `key`, 0 to ORACLE_VALUE_BYTES_MAX. */
size_t oracle_value(uint32_t key, uint64_t number, uint8_t value[ORACLE_VALUE_BYTES_MAX]);

/* Begins a write. Returns: its number, or 0 when too much is in flight for the key. */
uint64_t oracle_start(struct oracle *o, uint32_t key, bool is_delete);
void oracle_acknowledge(struct oracle *o, uint32_t key, uint64_t number);
void oracle_refuse(struct oracle *o, uint32_t key, uint64_t number); /* it was certainly not done */
void oracle_lose(struct oracle *o, uint32_t key, uint64_t number);   /* no one knows whether it was done */

/* What the server holds for the key; `value.data` null: nothing. With no write in flight for it that is
 * its state from now on. Returns: false, and says so in o->problem, when it may not be. */
bool oracle_observe(struct oracle *o, uint32_t key, struct slice value);

#endif
