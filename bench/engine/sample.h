/* sample.h - the records of the engine's harnesses, computed from a number.
 *
 * The same in every process: no seed, no clock. Keys are 16 digits and a tail that fills them up to their
 * length, so that they come in no order; a value is words made of the number and the version. */
#ifndef BENCH_ENGINE_SAMPLE_H
#define BENCH_ENGINE_SAMPLE_H

#include "engine/record.h"

enum {
    SAMPLE_VNODE_BITS = 10,
    SAMPLE_KEY_BYTES_MIN = 16,
    SAMPLE_KEY_BYTES_MAX = 64,
    SAMPLE_VALUE_BYTES_MAX = 1024,
};

struct sample {
    uint32_t key_bytes; /* SAMPLE_KEY_BYTES_MIN to SAMPLE_KEY_BYTES_MAX */
    uint32_t value_bytes;
};

/* What a record made by sample_record lies in. */
struct sample_memory {
    uint8_t key[SAMPLE_KEY_BYTES_MAX];
    uint8_t value[SAMPLE_VALUE_BYTES_MAX];
};

/* The key of record `number`; *to keeps its bytes. */
struct record_key sample_key(const struct sample *s, uint64_t number, uint8_t to[SAMPLE_KEY_BYTES_MAX]);
/* The record with its checksum, as from a client; *to keeps its bytes. `clock`: of its version. */
struct record sample_record(const struct sample *s, uint64_t number, uint64_t clock,
                            struct sample_memory *to);

#endif
