/* libfuzzer.c - one target as a program of libFuzzer; FUZZ_TARGET is its name and comes from the Makefile. */
#include "test/fuzz/fuzz.h"

#define FUZZ_JOIN(name, suffix) name##suffix
#define FUZZ_TARGET_OF(name) FUZZ_JOIN(name, _fuzz)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t capacity, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t capacity);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    FUZZ_TARGET_OF(FUZZ_TARGET).run(slice_of(data, bytes));
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t capacity, unsigned seed)
{
    const struct fuzz_target *target = &FUZZ_TARGET_OF(FUZZ_TARGET);
    struct fuzz_bytes input = {data, bytes, capacity};
    return target->mutate ? target->mutate(&input, seed) : fuzz_mutate_bytes(&input);
}

size_t fuzz_mutate_bytes(const struct fuzz_bytes *input)
{
    return LLVMFuzzerMutate(input->data, input->bytes, input->capacity);
}

/* Seeds are written by the program that replays them. */
void fuzz_seed(struct fuzz_seeds *to, const char *name, struct slice input)
{
    (void)to, (void)name, (void)input;
    ASSERT(!"not called here");
}
