/* fuzz.h - how a parser is fuzzed: a target takes any bytes, and ends the process when a property does not
 * hold.
 *
 *   libFuzzer --bytes--> target.run <--bytes-- replay.c: the corpus in test/fuzz/corpus, part of make test
 *
 * A target has no state: what it did with the bytes of one input does not matter for the next. Most inputs
 * begin with one byte of switches, the lowest of which says that the checksums in the rest are made right
 * before they are parsed: without that a fuzzer sees little of a parser but its first comparison. */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include "reactor/base/assert.h"
#include "reactor/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUZZ_CHECKSUMS = 1 }; /* of the switches: make them right */

/* Where the inputs to begin with go. */
struct fuzz_seeds;
void fuzz_seed(struct fuzz_seeds *to, const char *name, struct slice input);

/* Bytes that may change and grow. */
struct fuzz_bytes {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
};

struct fuzz_target {
    const char *name; /* of the folder of its corpus */
    void (*run)(struct slice input);
    /* Changes the input in place. Returns: its new length. Null: libFuzzer does it without knowing what the
     * bytes mean. */
    size_t (*mutate)(const struct fuzz_bytes *input, uint64_t seed);
    void (*seed)(struct fuzz_seeds *to);
};

/* X(name): the target stands in name_fuzz.c. */
#define FUZZ_TARGETS(X)                                                                                      \
    X(frame)                                                                                                 \
    X(response)                                                                                              \
    X(entry)                                                                                                 \
    X(configuration)                                                                                         \
    X(command_line)                                                                                          \
    X(records)                                                                                               \
    X(log)                                                                                                   \
    X(table)                                                                                                 \
    X(manifest)                                                                                              \
    X(store)                                                                                                 \
    X(catalogue)                                                                                             \
    X(identity)                                                                                              \
    X(session)

#define FUZZ_DECLARE(name) extern const struct fuzz_target name##_fuzz;
FUZZ_TARGETS(FUZZ_DECLARE)
#undef FUZZ_DECLARE

/* libFuzzer's own mutations; a program without libFuzzer leaves the bytes as they are. Returns: the new
 * length. */
size_t fuzz_mutate_bytes(const struct fuzz_bytes *input);

/* A copy in memory of exactly that size, so that a sanitizer sees each byte read beyond it. Freed by the
 * caller. */
uint8_t *fuzz_copy(struct slice bytes);

/* Takes the byte of switches off the front; 0 when there is none. */
static inline uint8_t fuzz_take_switches(struct slice *input)
{
    if (input->bytes == 0)
        return 0;
    uint8_t switches = input->data[0];
    *input = slice_of(input->data + 1, input->bytes - 1);
    return switches;
}

#endif
