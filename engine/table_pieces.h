/* table_pieces.h - bytes that gather while a table is written, of unknown length, without ever moving.
 *
 * A growing array would copy megabytes at once when it doubles and stall its core; a list of 64 KiB pieces
 * does not. */
#ifndef ENGINE_TABLE_PIECES_H
#define ENGINE_TABLE_PIECES_H

#include "reactor/reactor.h"

/* A multiple of 8, so that words of one size never straddle two pieces; with its header a piece fills 64 KiB.
 * */
enum { TABLE_PIECE_BYTES = 64 * 1024 - 16 };

struct table_piece {
    struct table_piece *next;
    uint64_t used;
    uint8_t bytes[TABLE_PIECE_BYTES];
};
static_assert(sizeof(struct table_piece) == 64 * 1024, "a piece is 64 KiB");
static_assert(TABLE_PIECE_BYTES % 8 == 0, "words do not straddle");

struct table_pieces {
    struct reactor *r;
    struct table_piece *first;
    struct table_piece *last;
    uint64_t bytes;
};

void table_pieces_init(struct table_pieces *p, struct reactor *r);
void table_pieces_deinit(struct table_pieces *p);
/* Returns: 0 or TORC_E_NO_MEMORY. */
MUST_CHECK int table_pieces_append(struct table_pieces *p, const void *from, size_t bytes);

/* A word, as it is in memory; pieces of words only. */
MUST_CHECK static inline int table_pieces_append_word(struct table_pieces *p, uint64_t word)
{
    struct table_piece *last = p->last;
    if (!last || last->used + sizeof word > TABLE_PIECE_BYTES)
        return table_pieces_append(p, &word, sizeof word);
    memcpy(last->bytes + last->used, &word, sizeof word);
    last->used += sizeof word;
    p->bytes += sizeof word;
    return 0;
}

/* From front to back. */
struct table_pieces_reader {
    const struct table_piece *piece;
    uint64_t at;
};

static inline void table_pieces_reader_init(struct table_pieces_reader *r, const struct table_pieces *p)
{
    *r = (struct table_pieces_reader){.piece = p->first};
}

/* Requires: so many bytes are left. */
void table_pieces_read(struct table_pieces_reader *r, void *to, size_t bytes);

#endif
