/* disk_faults.c - what goes wrong with bytes, who drew it, and what became of it.
 *
 * A drive that lies leaves sectors that are not what they should be. Each run of them is recorded once, and
 * each such sector carries the number of its record in its page. So nobody keeps the fate of a corruption:
 * it is there as long as a reader would find a sector with its number. */
#include "reactor/sim/disk.h"

#include <string.h>

enum { CORRUPTIONS_FIRST = 16, MISDIRECT_TRIES = 8, ROT_BITS_MAX = 8, TRACE_DAMAGE = 0xd1530000 };

static const uint64_t DISK_ENTITIES = (uint64_t)0xd15c << 40; /* apart from those of other parts */

/* ---- draws ---- */

static void dice_move(struct sim_dice *d, const struct sim_dice *to)
{
    d->key = to->key; /* and goes on where it was: coming back to a world repeats nothing */
}

struct disk_dice *disk_dice(struct sim_disk *d, const struct sim_world *w, enum disk_draw draw)
{
    uint64_t entity = DISK_ENTITIES + d->entity * DISK_DRAW_COUNT + draw;
    struct disk_dice *dice = &d->dice[draw];
    struct sim_dice fresh;
    if (d->dice_seed != w->options.seed)
        d->dice_ready = 0;
    d->dice_seed = w->options.seed;
    if (d->dice_ready & 1u << draw)
        return dice;
    stream_dice_init(w, &fresh, SIM_STREAM_DISK, entity);
    dice_move(&dice->duration, &fresh);
    for (unsigned fault = 0; fault < DISK_FAULTS; fault++) {
        fault_dice_init(w, &fresh, (enum sim_fault)fault, entity);
        dice_move(&dice->fault[fault], &fresh);
    }
    d->dice_ready |= 1u << draw;
    return dice;
}

bool disk_draws_fault(struct sim_disk *d, struct sim_world *w, enum disk_draw draw, enum sim_fault fault)
{
    ASSERT((unsigned)fault < DISK_FAULTS);
    return fault_hits(w, fault, &disk_dice(d, w, draw)->fault[fault]);
}

/* ---- records ---- */

/* Returns: the tag for its sectors. */
static uint32_t record(struct sim_disk *d, struct sim_world *w, const struct sim_corruption *what)
{
    if (d->corruption_count == d->corruption_capacity) {
        d->corruption_capacity = d->corruption_capacity ? d->corruption_capacity * 2 : CORRUPTIONS_FIRST;
        d->corruptions = sim_realloc(d->corruptions, d->corruption_capacity * sizeof *d->corruptions);
    }
    struct sim_corruption *c = &d->corruptions[d->corruption_count++];
    *c = *what;
    c->at_ns = w->now_ns;
    c->fate = SIM_CORRUPTION_HERE;
    disk_path_of(d, c->file, c->path, sizeof c->path);
    sim_trace(w, TRACE_DAMAGE + (uint64_t)c->fault, c->file ^ c->offset << 16);
    return d->corruption_count;
}

/* Adds a sector to the record `*tag`, or to a new one when it does not follow the last sector of that. */
static void record_sector(struct sim_disk *d, struct sim_world *w, const struct sim_corruption *what,
                          uint32_t *tag)
{
    struct sim_corruption *last = *tag ? &d->corruptions[*tag - 1] : NULL;
    if (last && last->offset + last->bytes == what->offset)
        last->bytes += SIM_SECTOR_BYTES;
    else
        *tag = record(d, w, what);
}

static bool is_here(const struct sim_disk *d, const struct sim_corruption *c, uint32_t tag)
{
    const struct disk_inode *i = disk_inode(d, c->file);
    if (!i || i->names + i->opens == 0)
        return false;
    for (uint64_t at = c->offset; at < c->offset + c->bytes && at < i->cached.bytes; at += SIM_SECTOR_BYTES)
        if (disk_content_tag(&i->cached, at) == tag)
            return true;
    return false;
}

uint32_t sim_disk_corruption_count(const struct sim_disk *d)
{
    return d->corruption_count;
}

const struct sim_corruption *sim_disk_corruption(const struct sim_disk *d, uint32_t index)
{
    ASSERT(index < d->corruption_count);
    struct sim_corruption *c = &d->corruptions[index];
    c->fate = is_here(d, c, index + 1) ? SIM_CORRUPTION_HERE : SIM_CORRUPTION_OVERWRITTEN;
    return c;
}

/* ---- a sector that cannot be read ---- */

static bool is_bad(const struct sim_disk *d, const struct disk_content *c, uint64_t offset)
{
    uint32_t tag = disk_content_tag(c, offset);
    return tag != 0 && d->corruptions[tag - 1].fault == SIM_BAD_SECTOR;
}

bool disk_has_bad_sector(const struct sim_disk *d, const struct disk_content *c, uint64_t begin, uint64_t end)
{
    end = end < c->bytes ? end : c->bytes;
    if (!disk_content_has_tags(c, begin, end))
        return false;
    for (uint64_t at = begin / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES; at < end; at += SIM_SECTOR_BYTES)
        if (is_bad(d, c, at))
            return true;
    return false;
}

/* ---- writes that go nowhere, or elsewhere ---- */

/* Sectors of the place that a write was meant for, which are now older than they should be. */
static void record_stale(struct sim_disk *d, struct sim_world *w, struct disk_inode *i,
                         const struct disk_write *data, enum sim_fault fault)
{
    uint64_t end = data->offset + data->bytes, next;
    uint32_t tag = 0;
    for (uint64_t at = data->offset; at < end; at = next) {
        uint64_t sector = at / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES;
        next = sector + SIM_SECTOR_BYTES < end ? sector + SIM_SECTOR_BYTES : end;
        if (!disk_content_differs(&i->cached, data, at, next) || is_bad(d, &i->cached, sector))
            continue;
        record_sector(d, w,
                      &(struct sim_corruption){
                          .fault = fault, .file = i->id, .offset = sector, .bytes = SIM_SECTOR_BYTES},
                      &tag);
        disk_tag_sector(d, i, sector, tag);
    }
}

int disk_lose_write(struct sim_disk *d, struct sim_world *w, struct disk_inode *i, struct disk_write *data,
                    bool is_durable)
{
    int rc = disk_grow(d, i, data, is_durable);
    if (rc == 0)
        record_stale(d, w, i, data, SIM_LOST_WRITE);
    return rc;
}

static bool can_land_in(const struct disk_inode *i, const struct disk_write *data)
{
    return !i->is_directory && i->names > 0 && i->cached.bytes >= data->bytes;
}

/* Where a misdirected write goes: the same file, or another one that is long enough; null: nowhere. */
static struct disk_inode *landing_file(struct sim_disk *d, struct disk_inode *i,
                                       const struct disk_write *data, struct sim_dice *dice)
{
    bool is_same = sim_dice_below(dice, 2) == 0;
    uint64_t first = sim_dice_below(dice, d->inode_count);
    for (uint32_t k = 0; !is_same && k < d->inode_count; k++) {
        struct disk_inode *other = d->inodes[(first + k) % d->inode_count];
        if (other != i && can_land_in(other, data))
            return other;
    }
    return can_land_in(i, data) ? i : NULL;
}

/* Returns: whether `*offset` is a place in `to` that is not the one the write was meant for. */
static bool landing_place(const struct disk_inode *i, const struct disk_inode *to,
                          const struct disk_write *data, struct sim_dice *dice, uint64_t *offset)
{
    uint64_t unit = data->offset % SIM_DISK_PAGE_BYTES ? SIM_SECTOR_BYTES : SIM_DISK_PAGE_BYTES;
    uint64_t places = (to->cached.bytes - data->bytes) / unit + 1;
    for (unsigned try = 0; try < MISDIRECT_TRIES; try++) {
        *offset = sim_dice_below(dice, places) * unit;
        if (to != i || *offset + data->bytes <= data->offset || data->offset + data->bytes <= *offset)
            return true;
    }
    return false;
}

static uint8_t *flat_copy(const struct disk_write *data)
{
    struct disk_content c = {.bytes = data->offset + data->bytes};
    uint8_t *bytes = sim_realloc(NULL, data->bytes);
    (void)disk_content_write(&c, data, data->offset, c.bytes);
    (void)disk_content_read(&c, bytes, data->bytes, data->offset);
    disk_content_free(&c);
    return bytes;
}

/* Overwrites what is there, in every layer: the drive knows of none. */
static void land(struct sim_disk *d, struct sim_world *w, struct disk_inode *to, struct slice data,
                 uint64_t offset)
{
    uint8_t before[SIM_SECTOR_BYTES];
    uint32_t tag = 0;
    for (uint64_t at = 0; at < data.bytes; at += SIM_SECTOR_BYTES) {
        uint64_t bytes = data.bytes - at < SIM_SECTOR_BYTES ? data.bytes - at : SIM_SECTOR_BYTES;
        uint64_t had = disk_content_read(&to->cached, before, bytes, offset + at);
        ASSERT(had == bytes);
        if (memcmp(before, data.data + at, bytes) == 0)
            continue;
        record_sector(d, w,
                      &(struct sim_corruption){.fault = SIM_MISDIRECTED_WRITE,
                                               .file = to->id,
                                               .offset = offset + at,
                                               .bytes = SIM_SECTOR_BYTES},
                      &tag);
        disk_patch(d, to, (struct slice){data.data + at, bytes}, offset + at, tag);
    }
}

int disk_misdirect_write(struct sim_disk *d, struct sim_world *w, struct disk_inode *i,
                         struct disk_write *data, bool is_durable)
{
    struct sim_dice *dice = &disk_dice(d, w, DISK_DRAW_REST)->fault[SIM_MISDIRECTED_WRITE];
    int rc = disk_grow(d, i, data, is_durable);
    if (rc || data->bytes == 0)
        return rc;
    record_stale(d, w, i, data, SIM_MISDIRECTED_WRITE);
    uint64_t offset;
    struct disk_inode *to = landing_file(d, i, data, dice);
    if (!to || !landing_place(i, to, data, dice, &offset))
        return 0;
    uint8_t *bytes = flat_copy(data);
    land(d, w, to, (struct slice){bytes, data->bytes}, offset);
    sim_free(bytes);
    return 0;
}

/* ---- the driver's ---- */

/* The sector at `offset` of a file that is there. */
static struct disk_inode *sector_of(struct sim_disk *d, const char *path, uint64_t *offset)
{
    struct disk_inode *i;
    int rc = disk_find(d, path, &i);
    ASSERT(rc == 0 && !i->is_directory && *offset < i->cached.bytes);
    *offset = *offset / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES;
    return i;
}

bool sim_disk_is_damaged(struct sim_disk *d, const char *path, uint64_t offset)
{
    const struct disk_inode *i = sector_of(d, path, &offset);
    return disk_content_tag(&i->cached, offset) != 0;
}

void sim_disk_rot(struct sim_disk *d, struct sim_world *w, const char *path, uint64_t offset)
{
    struct sim_dice *dice = &disk_dice(d, w, DISK_DRAW_REST)->fault[SIM_BIT_ROT];
    struct disk_inode *i = sector_of(d, path, &offset);
    uint8_t sector[SIM_SECTOR_BYTES], was[SIM_SECTOR_BYTES];
    uint64_t bytes = disk_content_read(&i->cached, sector, sizeof sector, offset);
    uint64_t bits = sim_dice_between(dice, 1, ROT_BITS_MAX), last = 0;
    memcpy(was, sector, bytes);
    for (uint64_t k = 0; k < bits; k++) {
        last = sim_dice_below(dice, bytes * 8);
        sector[last / 8] ^= (uint8_t)(1 << last % 8);
    }
    if (memcmp(was, sector, bytes) == 0) /* each one was hit twice */
        sector[last / 8] ^= (uint8_t)(1 << last % 8);
    uint32_t tag = record(d, w,
                          &(struct sim_corruption){.fault = SIM_BIT_ROT,
                                                   .file = i->id,
                                                   .offset = offset,
                                                   .bytes = SIM_SECTOR_BYTES});
    if (is_bad(d, &i->cached, offset)) /* it stays so: nobody sees the bits */
        tag = disk_content_tag(&i->cached, offset);
    disk_patch(d, i, (struct slice){sector, bytes}, offset, tag);
}

void sim_disk_break_sector(struct sim_disk *d, struct sim_world *w, const char *path, uint64_t offset)
{
    struct disk_inode *i = sector_of(d, path, &offset);
    uint32_t tag = record(d, w,
                          &(struct sim_corruption){.fault = SIM_BAD_SECTOR,
                                                   .file = i->id,
                                                   .offset = offset,
                                                   .bytes = SIM_SECTOR_BYTES});
    disk_tag_sector(d, i, offset, tag);
}
