/* table_pieces.c - a list of 64 KiB pieces that bytes are appended to; see table_pieces.h. */
#include "engine/table_pieces.h"

#include <string.h>

void table_pieces_init(struct table_pieces *p, struct reactor *r)
{
    *p = (struct table_pieces){.r = r};
}

void table_pieces_deinit(struct table_pieces *p)
{
    while (p->first) {
        struct table_piece *piece = p->first;
        p->first = piece->next;
        reactor_free(p->r, piece);
    }
    *p = (struct table_pieces){.r = p->r};
}

static int add_piece(struct table_pieces *p)
{
    struct table_piece *piece = reactor_alloc(p->r, sizeof *piece);
    if (!piece)
        return TORC_E_NO_MEMORY;
    piece->next = NULL;
    piece->used = 0;
    if (p->last)
        p->last->next = piece;
    else
        p->first = piece;
    p->last = piece;
    return 0;
}

int table_pieces_append(struct table_pieces *p, const void *from, size_t bytes)
{
    const uint8_t *rest = from;
    while (bytes > 0) {
        if (!p->last || p->last->used == TABLE_PIECE_BYTES) {
            int rc = add_piece(p);
            if (rc)
                return rc;
        }
        size_t room = TABLE_PIECE_BYTES - p->last->used;
        size_t part = bytes < room ? bytes : room;
        memcpy(p->last->bytes + p->last->used, rest, part);
        p->last->used += part;
        p->bytes += part;
        rest += part;
        bytes -= part;
    }
    return 0;
}

void table_pieces_read(struct table_pieces_reader *r, void *to, size_t bytes)
{
    uint8_t *rest = to;
    while (bytes > 0) {
        if (r->at == r->piece->used) {
            r->piece = r->piece->next;
            r->at = 0;
        }
        size_t left = r->piece->used - r->at;
        size_t part = bytes < left ? bytes : left;
        memcpy(rest, r->piece->bytes + r->at, part);
        r->at += part;
        rest += part;
        bytes -= part;
    }
}
