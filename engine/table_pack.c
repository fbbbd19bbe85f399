/* table_pack.c - compressed blocks; see table_pack.h for the idea and table_format.h for the bytes. */
#define ZSTD_STATIC_LINKING_ONLY /* contexts in memory of ours */
#include "engine/table_pack.h"
#include "reactor/base/mark.h"

#include <zstd.h>

enum {
    LEVEL = 1,
    PLAIN_BYTES_MAX = TABLE_MEMORY_UNITS_MAX * TABLE_UNIT_BYTES,
    PACKED_BYTES_MAX = ZSTD_COMPRESSBOUND(PLAIN_BYTES_MAX),
    TRIES_MAX = 4,    /* then the block is stored as it is */
    AIM_PERCENT = 98, /* of a block: some are less easily compressed than those before */
    CUT_PERCENT = 96, /* of what seems to fit, when the guess was wrong */
    GUESS_WEIGHT = 4, /* of the last block in the guess: one to so many - 1 */
    FIRST_GUESS = 2,  /* times smaller */
    CONTEXT_ALIGN = 64,
};

struct table_packer {
    struct reactor *r;
    uint32_t block_units;
    size_t aim; /* bytes of entries that are likely to fit */
    ZSTD_CCtx *context;
    uint8_t *memory;
    uint8_t *packed;
    uint8_t *workspace;
};

/* Bytes of a block on disk that zstd may fill. */
static size_t room_of(const struct table_packer *p)
{
    return (size_t)p->block_units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES - TABLE_PACKED_BYTES;
}

int table_packer_open(struct reactor *r, uint32_t block_units, struct table_packer **out)
{
    struct table_packer *p = reactor_alloc_zeroed(r, sizeof *p);
    if (!p)
        return TORC_E_NO_MEMORY;
    size_t workspace_bytes = ZSTD_estimateCCtxSize(LEVEL);
    p->r = r;
    p->block_units = block_units;
    p->aim = room_of(p) * FIRST_GUESS;
    p->memory = reactor_alloc(r, PLAIN_BYTES_MAX);
    p->packed = reactor_alloc(r, PACKED_BYTES_MAX);
    p->workspace = reactor_alloc_aligned(r, workspace_bytes, CONTEXT_ALIGN);
    if (p->workspace)
        p->context = ZSTD_initStaticCCtx(p->workspace, workspace_bytes);
    if (!p->memory || !p->packed || !p->context) {
        table_packer_close(p);
        return TORC_E_NO_MEMORY;
    }
    *out = p;
    return 0;
}

void table_packer_close(struct table_packer *p)
{
    if (!p)
        return;
    reactor_free(p->r, p->memory);
    reactor_free(p->r, p->packed);
    reactor_free(p->r, p->workspace);
    reactor_free(p->r, p);
}

uint8_t *table_packer_memory(struct table_packer *p)
{
    return p->memory;
}

bool table_packer_is_full(const struct table_packer *p, const struct table_block_builder *b, size_t entry)
{
    return !table_block_fits(TABLE_MEMORY_UNITS_MAX, b->bytes, b->count, entry) ||
           (b->bytes + entry > p->aim && !table_block_fits(p->block_units, b->bytes, b->count, entry));
}

/* ---- packing ---- */

static uint32_t bytes_of(const struct table_block_builder *b, uint32_t count)
{
    return count < b->count ? b->offsets[count] : b->bytes;
}

static bool fits_plain(const struct table_packer *p, const struct table_block_builder *b, uint32_t count)
{
    return table_block_fits(p->block_units, bytes_of(b, count - 1), count - 1,
                            bytes_of(b, count) - bytes_of(b, count - 1));
}

/* The most entries, below `count` and at least 1, that have no more bytes than that. */
static uint32_t cut(const struct table_block_builder *b, uint32_t count, size_t bytes)
{
    do
        count--;
    while (count > 1 && bytes_of(b, count) > bytes);
    return count ? count : 1;
}

/* As many entries as fit without compression. */
static uint32_t pack_plain(const struct table_packer *p, const struct table_block_builder *b, uint8_t *to,
                           struct table_block_name name)
{
    uint32_t count = b->count;
    while (count > 1 && !fits_plain(p, b, count))
        count--;
    memcpy(to, b->to, bytes_of(b, count));
    table_block_finish(b, count, (struct table_block_place){to, p->block_units, name});
    return count;
}

static void learn(struct table_packer *p, size_t plain, size_t packed)
{
    size_t fits = plain * room_of(p) / packed * AIM_PERCENT / 100;
    p->aim = (p->aim * (GUESS_WEIGHT - 1) + fits) / GUESS_WEIGHT;
}

uint32_t table_packer_pack(struct table_packer *p, const struct table_block_builder *b, uint8_t *to,
                           struct table_block_name name)
{
    uint32_t count = b->count;
    ASSERT(count > 0);
    for (unsigned try = 0; try < TRIES_MAX; try++) {
        if (fits_plain(p, b, count))
            break;
        size_t plain = bytes_of(b, count);
        size_t packed = ZSTD_compressCCtx(p->context, p->packed, PACKED_BYTES_MAX, b->to, plain, LEVEL);
        ASSERT(!ZSTD_isError(packed)); /* there is room for the worst */
        if (packed <= room_of(p)) {
            learn(p, plain, packed);
            memcpy(to, p->packed, packed);
            table_block_finish_packed((struct table_block_place){to, p->block_units, name},
                                      (struct table_packed){(uint32_t)packed, (uint32_t)plain, count});
            return count;
        }
        MARK(compressed_block_is_cut);
        p->aim = plain * room_of(p) / packed * CUT_PERCENT / 100;
        count = cut(b, count, p->aim);
    }
    return pack_plain(p, b, to, name);
}

/* ---- unpacking ---- */

struct table_unpacker {
    ZSTD_DCtx *context;
    uint8_t *memory;
};

int table_unpacker_open(struct reactor *r, uint32_t units, struct table_unpacker **out)
{
    size_t read_bytes = (size_t)units * TABLE_UNIT_BYTES;
    size_t context_bytes = ZSTD_estimateDCtxSize();
    /* one piece: what is read | the context | the struct */
    size_t context_room = (context_bytes + CONTEXT_ALIGN - 1) / CONTEXT_ALIGN * CONTEXT_ALIGN;
    uint8_t *memory =
        reactor_alloc_aligned(r, read_bytes + context_room + sizeof(struct table_unpacker), FILE_ALIGNMENT);
    if (!memory)
        return TORC_E_NO_MEMORY;
    struct table_unpacker *u = (void *)(memory + read_bytes + context_room);
    *u = (struct table_unpacker){ZSTD_initStaticDCtx(memory + read_bytes, context_bytes), memory};
    ASSERT(u->context);
    *out = u;
    return 0;
}

void table_unpacker_close(struct reactor *r, struct table_unpacker *u)
{
    if (u)
        reactor_free(r, u->memory);
}

uint8_t *table_unpacker_memory(struct table_unpacker *u)
{
    return u->memory;
}

bool table_unpack(struct table_unpacker *u, const uint8_t *data, uint32_t units, uint8_t *to,
                  uint32_t to_units)
{
    struct table_packed size;
    struct slice packed;
    uint32_t plain_max = to_units * TABLE_UNIT_BYTES - TABLE_TRAILER_BYTES;
    if (!table_block_packed(data, units, &packed, &size))
        return table_block_widen(data, units, to, to_units);
    if (size.plain > plain_max ||
        ZSTD_decompressDCtx(u->context, to, size.plain, packed.data, packed.bytes) != size.plain)
        return false;
    return table_block_restore(data, units, to, to_units, size.plain);
}
