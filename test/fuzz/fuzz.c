/* fuzz.c - what targets share. */
#include "test/fuzz/fuzz.h"

#include <stdlib.h>

uint8_t *fuzz_copy(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.bytes ? bytes.bytes : 1);
    ASSERT(copy);
    slice_put(copy, bytes);
    return copy;
}
