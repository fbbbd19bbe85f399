/* image.c - images to files and back, and mutations that keep pieces pieces. */
#include "test/fuzz/image.h"

#include "reactor/base/endian.h"

#include <stdlib.h>

enum { PIECES_MAX = 4096, PIECE_BYTES_MAX = UINT16_MAX, ZEROS_MIN = 16, CELL_BYTES_MAX = 8 };

struct piece {
    size_t at; /* of its header, in the input */
    unsigned file;
    size_t offset;
    size_t bytes; /* of the body */
};

/* Takes the piece at `at`. Returns: false at the end. */
static bool next_piece(struct slice input, size_t at, struct piece *out)
{
    if (at + IMAGE_PIECE_HEADER_BYTES > input.bytes)
        return false;
    const uint8_t *header = input.data + at;
    size_t left = input.bytes - at - IMAGE_PIECE_HEADER_BYTES;
    size_t bytes = load_u16le(header + 4);
    *out = (struct piece){
        .at = at,
        .file = header[0] % IMAGE_FILES,
        .offset = header[1] | (size_t)header[2] << 8 | (size_t)header[3] << 16,
        .bytes = bytes < left ? bytes : left,
    };
    return true;
}

static size_t end_of(const struct piece *p)
{
    return p->at + IMAGE_PIECE_HEADER_BYTES + p->bytes;
}

/* ---- to files and back ---- */

void image_decode(struct image *m, struct slice input)
{
    struct piece p;
    *m = (struct image){0};
    for (size_t at = 0; next_piece(input, at, &p); at = end_of(&p))
        if (p.offset + p.bytes <= IMAGE_FILE_BYTES_MAX && p.offset + p.bytes > m->bytes[p.file])
            m->bytes[p.file] = p.offset + p.bytes;
    for (unsigned i = 0; i < IMAGE_FILES; i++) {
        m->files[i] = calloc(1, m->bytes[i] ? m->bytes[i] : 1);
        ASSERT(m->files[i]);
    }
    for (size_t at = 0; next_piece(input, at, &p); at = end_of(&p))
        if (p.offset + p.bytes <= IMAGE_FILE_BYTES_MAX)
            memcpy(m->files[p.file] + p.offset, input.data + p.at + IMAGE_PIECE_HEADER_BYTES, p.bytes);
}

void image_free(struct image *m)
{
    for (unsigned i = 0; i < IMAGE_FILES; i++)
        free(m->files[i]);
}

static uint8_t *put_piece(uint8_t *to, unsigned file, size_t offset, struct slice body)
{
    ASSERT(offset < 1 << 24 && body.bytes <= PIECE_BYTES_MAX);
    to[0] = (uint8_t)file;
    to[1] = (uint8_t)offset;
    to[2] = (uint8_t)(offset >> 8);
    to[3] = (uint8_t)(offset >> 16);
    store_u16le(to + 4, (uint16_t)body.bytes);
    return slice_put(to + IMAGE_PIECE_HEADER_BYTES, body);
}

/* Where the next zeros begin that are worth a new piece, or the file ends. */
static size_t end_of_run(struct slice file, size_t from)
{
    size_t zeros = 0;
    for (size_t i = from; i < file.bytes && i - from < PIECE_BYTES_MAX; i++) {
        zeros = file.data[i] ? 0 : zeros + 1;
        if (zeros == ZEROS_MIN)
            return i + 1 - ZEROS_MIN;
    }
    return file.bytes - from < PIECE_BYTES_MAX ? file.bytes : from + PIECE_BYTES_MAX;
}

size_t image_append(struct slice file, unsigned number, uint8_t *input, size_t used)
{
    uint8_t *to = input + used;
    for (size_t at = 0; at < file.bytes;) {
        if (file.data[at] == 0) {
            at++;
            continue;
        }
        size_t end = end_of_run(file, at);
        to = put_piece(to, number, at, slice_of(file.data + at, end - at));
        at = end;
    }
    return (size_t)(put_piece(to, number, file.bytes, slice_of(NULL, 0)) - input);
}

/* ---- mutations ---- */

static uint64_t draw(uint64_t *state, uint64_t bound)
{
    *state += 0x9e3779b97f4a7c15u; /* SplitMix64, https://prng.di.unimi.it/splitmix64.c */
    uint64_t x = *state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % bound;
}

static bool choose_piece(struct slice input, uint64_t *state, struct piece *out)
{
    struct piece p;
    uint64_t count = 0;
    for (size_t at = 0; next_piece(input, at, &p); at = end_of(&p))
        if (++count <= PIECES_MAX && draw(state, count) == 0)
            *out = p;
    return count > 0;
}

/* Sets an aligned integer of the body to what an integer elsewhere is, or near it, or to an end of its range.
 * */
static void change_cell(uint8_t *body, size_t bytes, uint64_t *state)
{
    size_t width = (size_t)1 << draw(state, 4);
    uint8_t cell[CELL_BYTES_MAX];
    if (bytes < width)
        return;
    memcpy(cell, body + draw(state, bytes / width) * width, width);
    switch (draw(state, 4)) {
    case 0:
        cell[0]++;
        break;
    case 1:
        cell[0]--;
        break;
    case 2:
        memset(cell, draw(state, 2) ? 0xff : 0, width);
        break;
    }
    memcpy(body + draw(state, bytes / width) * width, cell, width);
}

/* Lets libFuzzer change the body, with its length, and puts the rest of the input behind it again. */
static size_t change_body(const struct fuzz_bytes *pieces, const struct piece *p)
{
    uint8_t *body = pieces->data + p->at + IMAGE_PIECE_HEADER_BYTES;
    size_t tail = pieces->bytes - end_of(p);
    size_t room = pieces->capacity - (pieces->bytes - p->bytes);
    uint8_t *rest = fuzz_copy(slice_of(pieces->data + end_of(p), tail));
    struct fuzz_bytes change = {body, p->bytes, room < PIECE_BYTES_MAX ? room : PIECE_BYTES_MAX};
    size_t bytes = fuzz_mutate_bytes(&change);
    store_u16le(body - 2, (uint16_t)bytes);
    slice_put(body + bytes, slice_of(rest, tail));
    free(rest);
    return pieces->bytes - p->bytes + bytes;
}

/* Puts a copy of the piece at the end, in another place: a stale block, a misdirected write, a second copy.
 * */
static size_t move_piece(const struct fuzz_bytes *pieces, const struct piece *p, uint64_t *state)
{
    enum { STEP = 4096, STEPS_MAX = 8 };
    size_t whole = IMAGE_PIECE_HEADER_BYTES + p->bytes;
    if (whole > pieces->capacity - pieces->bytes)
        return pieces->bytes;
    unsigned file = draw(state, 2) ? p->file : (unsigned)draw(state, IMAGE_FILES);
    size_t offset = p->offset % STEP + draw(state, STEPS_MAX) * STEP;
    const uint8_t *body = pieces->data + p->at + IMAGE_PIECE_HEADER_BYTES;
    put_piece(pieces->data + pieces->bytes, file, offset, slice_of(body, p->bytes));
    return pieces->bytes + whole;
}

size_t image_mutate(const struct fuzz_bytes *input, size_t front, uint64_t seed)
{
    uint64_t state = seed;
    struct piece p = {0};
    if (input->bytes <= front || draw(&state, 8) == 0)
        return fuzz_mutate_bytes(input);
    if (draw(&state, 8) == 0) {
        input->data[draw(&state, front)] ^= (uint8_t)(1u << draw(&state, 8));
        return input->bytes;
    }
    struct fuzz_bytes pieces = {input->data + front, input->bytes - front, input->capacity - front};
    if (!choose_piece(slice_of(pieces.data, pieces.bytes), &state, &p))
        return fuzz_mutate_bytes(input);
    switch (draw(&state, 4)) {
    case 0:
        return front + move_piece(&pieces, &p, &state);
    case 1:
    case 2:
        change_cell(pieces.data + p.at + IMAGE_PIECE_HEADER_BYTES, p.bytes, &state);
        return input->bytes;
    }
    return front + change_body(&pieces, &p);
}
