/* image.h - a few files as one input: what is not zero of them, in pieces.
 *
 *   piece: | u8 file | u24 offset | u16 bytes | bytes |      one after another to the end of the input
 *
 * Little-endian. A piece without bytes only makes its file reach so far. So a log or a table of mostly zeros
 * is a short input, and a mutation changes the bytes of a piece without moving the pieces behind it. Any
 * input is an image: a piece that is cut off ends with the input, and one beyond the limit is left out. */
#ifndef TEST_FUZZ_IMAGE_H
#define TEST_FUZZ_IMAGE_H

#include "test/fuzz/fuzz.h"

enum { IMAGE_FILES = 4, IMAGE_FILE_BYTES_MAX = 256 << 10, IMAGE_PIECE_HEADER_BYTES = 6 };

struct image {
    uint8_t *files[IMAGE_FILES];
    size_t bytes[IMAGE_FILES];
};

/* Freed with image_free. */
void image_decode(struct image *m, struct slice input);
void image_free(struct image *m);

/* Appends the pieces of one file to the `used` bytes of an input. Requires: they fit. Returns: the bytes used
 * now. */
size_t image_append(struct slice file, unsigned number, uint8_t *input, size_t used);

/* A struct fuzz_target's `mutate` for an input of `front` bytes of its own and an image. */
size_t image_mutate(const struct fuzz_bytes *input, size_t front, uint64_t seed);

#endif
