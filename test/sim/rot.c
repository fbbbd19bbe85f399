/* rot.c - draws a sector and damages it; see rot.h.
 *
 * Two places are spared, because no storage can tell what happened there from an innocent crash:
 *
 *   the end of the log, from the first record on that no later durable record covers with its watermark: a
 *   damaged last record is a torn one. The log writes the watermark when it has been idle for 10 ms
 *   a copy of the manifest, while the other one is damaged or may be in the making: both gone is the end
 *   of the shard, which is what one damage in so many is allowed to be */
#include "test/sim/rot.h"

#include "engine/wal_format.h"
#include "test/sim/truth.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEADERS_BACK_MAX = 64 }; /* blocks of the largest record */

struct target {
    struct subject *subject;
    struct sim_file_info file;
    const char *name; /* in the shard's directory */
    uint64_t offset;
};

/* ---- the log ---- */

static bool read_block(const struct target *t, struct sim_disk *d, uint64_t offset, uint8_t *to)
{
    return sim_disk_peek(d, t->file.path, to, WAL_BLOCK_BYTES, offset) == WAL_BLOCK_BYTES;
}

/* Would the damage be in a record that nothing covers, or in the header of a segment that begins with one? */
static bool is_end_of_log(const struct target *t, struct sim_disk *d)
{
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_segment_header segment;
    struct wal_record_header record;
    uint64_t id;
    uint64_t at = t->offset / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    if (!wal_segment_name_parse(t->name, &id) || !read_block(t, d, 0, block))
        return false;
    bool has_header = wal_segment_header_decode(block, &segment) == WAL_HEADER_VALID && segment.id == id;
    if (at == 0)
        return has_header && segment.first_sequence > t->subject->watermark;
    for (unsigned back = 0; back < HEADERS_BACK_MAX && at >= WAL_BLOCK_BYTES; back++, at -= WAL_BLOCK_BYTES) {
        if (!read_block(t, d, at, block))
            return false;
        if (!wal_record_header_decode(block, &record) || record.segment_id != id)
            continue;
        uint64_t end = at + wal_record_bytes(record.payload_bytes);
        return end > t->offset && record.sequence > t->subject->watermark;
    }
    return false;
}

/* ---- the manifest ---- */

static bool is_manifest_due(const struct target *t, struct history *h)
{
    enum { SECOND_IN = 40 };
    return t->subject->damage.manifests == 0 || sim_dice_below(&h->dice, SECOND_IN) == 0;
}

/* ---- any file ---- */

static struct subject *subject_of(struct history *h, const char *path, const char **name)
{
    path += path[0] == '/';
    for (unsigned i = 0; i < h->plan.cores; i++) {
        const char *directory = h->subjects[i].directory + 1; /* after the root's slash */
        size_t bytes = strlen(directory);
        if (strncmp(path, directory, bytes) == 0 && path[bytes] == '/') {
            *name = path + bytes + 1;
            return &h->subjects[i];
        }
    }
    return NULL;
}

static bool may_be_hit(const struct target *t, struct history *h)
{
    if (strncmp(t->name, "wal-", 4) == 0)
        return !is_end_of_log(t, sim_node_disk(h->node));
    if (strncmp(t->name, "MANIFEST", 8) == 0)
        return is_manifest_due(t, h);
    return true;
}

/* The bytes of a segment that are in use: behind them are zeros, or what an earlier use left. */
static uint64_t used_bytes(const struct target *t, struct sim_disk *d)
{
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_record_header record;
    uint64_t id, used = WAL_BLOCK_BYTES;
    if (!wal_segment_name_parse(t->name, &id))
        return t->file.bytes;
    for (uint64_t at = WAL_BLOCK_BYTES; at < t->file.bytes && read_block(t, d, at, block);
         at += WAL_BLOCK_BYTES)
        if (wal_record_header_decode(block, &record) && record.segment_id == id)
            used = at + wal_record_bytes(record.payload_bytes);
    return used < t->file.bytes ? used : t->file.bytes;
}

/* Anywhere, or where it hurts: in what is in use of a log, in the sector of a block that holds its header
 * or its checksum. */
static uint64_t draw_offset(const struct target *t, struct history *h, uint64_t sectors)
{
    enum { SECTORS_PER_BLOCK = WAL_BLOCK_BYTES / SIM_SECTOR_BYTES };
    bool is_aimed = sim_dice_below(&h->dice, 4) != 0;
    uint64_t within = is_aimed ? used_bytes(t, sim_node_disk(h->node)) / SIM_SECTOR_BYTES : sectors;
    uint64_t sector = sim_dice_below(&h->dice, within > 0 ? within : sectors);
    uint64_t edge = sim_dice_below(&h->dice, 4);
    uint64_t first = sector / SECTORS_PER_BLOCK * SECTORS_PER_BLOCK;
    if (is_aimed && edge == 0)
        sector = first;
    if (is_aimed && edge == 1 && first + SECTORS_PER_BLOCK <= sectors)
        sector = first + SECTORS_PER_BLOCK - 1;
    return sector * SIM_SECTOR_BYTES;
}

/* A sector of a shard's file that is whole so far. Returns: false when none was found. */
static bool draw_target(struct history *h, struct target *t)
{
    enum { TRIES = 8 };
    struct sim_disk *disk = sim_node_disk(h->node);
    uint32_t count = sim_disk_file_count(disk);
    for (unsigned i = 0; i < TRIES && count > 0; i++) {
        *t = (struct target){.file = sim_disk_file_at(disk, (uint32_t)sim_dice_below(&h->dice, count))};
        uint64_t sectors = t->file.bytes / SIM_SECTOR_BYTES;
        t->subject = subject_of(h, t->file.path, &t->name);
        if (!t->subject || sectors == 0)
            continue;
        t->offset = draw_offset(t, h, sectors);
        if (!sim_disk_is_damaged(disk, t->file.path, t->offset))
            return true;
    }
    return false;
}

void rot_something(struct history *h, enum sim_fault fault)
{
    struct sim_disk *disk = sim_node_disk(h->node);
    struct target t;
    if (!draw_target(h, &t) || !may_be_hit(&t, h))
        return;
    if (fault == SIM_BIT_ROT)
        sim_disk_rot(disk, h->world, t.file.path, t.offset);
    else
        sim_disk_break_sector(disk, h->world, t.file.path, t.offset);
    sim_fault_count(h->world, fault);
    history_note_corruptions(h);
}

bool rot_flip_manifests(struct subject *s)
{
    static const char *const names[] = {"MANIFEST-A", "MANIFEST-B"};
    struct sim_disk *disk = sim_node_disk(s->history->node);
    char paths[ARRAY_COUNT(names)][64];
    uint8_t byte;
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s", s->directory, names[i]);
        if (sim_disk_peek(disk, paths[i], &byte, 1, 0) != 1)
            return false;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        int64_t got = sim_disk_peek(disk, paths[i], &byte, 1, 0);
        ASSERT(got == 1);
        byte ^= 0x20;
        sim_disk_poke(disk, paths[i], &byte, 1, 0);
    }
    return true;
}

uint64_t rot_hash_of_files(const struct subject *s)
{
    struct sim_disk *disk = sim_node_disk(s->history->node);
    uint64_t hash = 0;
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        const char *name;
        if (subject_of(s->history, file.path, &name) != s)
            continue;
        uint8_t *bytes = malloc(file.bytes + 1);
        ASSERT(bytes);
        int64_t got = sim_disk_peek(disk, file.path, bytes, file.bytes, 0);
        ASSERT(got == (int64_t)file.bytes);
        hash = hash * 31 + checksum_bytes(name, strlen(name)) + checksum_bytes(bytes, file.bytes);
        free(bytes);
    }
    return hash;
}

static bool is_zero(const struct sim_disk *disk, const char *path, uint64_t offset)
{
    uint8_t sector[SIM_SECTOR_BYTES];
    int64_t got = sim_disk_peek(disk, path, sector, sizeof sector, offset);
    for (int64_t i = 0; i < got; i++)
        if (sector[i])
            return false;
    return true;
}

/* A write to the end of a file that was never made, or not there: when the power goes, nothing is there for
 * good, and no mark either. */
static bool is_hole(const struct sim_disk *disk, const struct sim_corruption *c)
{
    bool is_elsewhere = c->fault == SIM_LOST_WRITE || c->fault == SIM_MISDIRECTED_WRITE;
    for (uint32_t i = 0; is_elsewhere && i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        if (file.id == c->file)
            return is_zero(disk, file.path, c->offset);
    }
    return false;
}

uint32_t rot_damage_here(const struct subject *s, const char *beginning)
{
    const struct sim_disk *disk = sim_node_disk(s->history->node);
    uint32_t here = 0;
    for (uint32_t i = 0; i < sim_disk_corruption_count(disk); i++) {
        const struct sim_corruption *c = sim_disk_corruption(disk, i);
        const char *name;
        here += subject_of(s->history, c->path, &name) == s &&
                strncmp(name, beginning, strlen(beginning)) == 0 &&
                (c->fate == SIM_CORRUPTION_HERE || is_hole(disk, c));
    }
    return here;
}

static void note_hit(struct subject *s, const char *name)
{
    s->damage.log += strncmp(name, "wal-", 4) == 0;
    s->damage.tables += strncmp(name, "table-", 6) == 0;
    s->damage.values += strncmp(name, "values-", 7) == 0;
    s->damage.manifests += strncmp(name, "MANIFEST", 8) == 0;
}

static bool is_manifest(const char *name)
{
    return strncmp(name, "MANIFEST", 8) == 0;
}

/* Would nothing be left that says that there was a shard? No tables, no log, and of the manifest nothing but
 * what the very first commit leaves when it is cut short: an engine must take that for a new shard. */
static bool is_all_there_is(const struct target *t, const struct history *h)
{
    const struct sim_disk *disk = sim_node_disk(h->node);
    const char *name;
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        if (file.id != t->file.id && subject_of(t->subject->history, file.path, &name) == t->subject &&
            !is_manifest(name))
            return false;
    }
    return is_manifest(t->name) || t->subject->manifests_lost > 0 || t->subject->damage.manifests > 0;
}

/* Of those that are cut off value logs come first: a table without its end is as good as gone. */
static struct sim_file_info draw_file(struct history *h, bool is_cut)
{
    enum { TRIES = 3 };
    const struct sim_disk *disk = sim_node_disk(h->node);
    uint32_t count = sim_disk_file_count(disk);
    struct sim_file_info file = sim_disk_file_at(disk, (uint32_t)sim_dice_below(&h->dice, count));
    for (unsigned i = 1; is_cut && i < TRIES && !strstr(file.path, "/values-"); i++)
        file = sim_disk_file_at(disk, (uint32_t)sim_dice_below(&h->dice, count));
    return file;
}

void rot_lose_file(struct history *h, bool is_cut)
{
    struct sim_disk *disk = sim_node_disk(h->node);
    if (sim_disk_file_count(disk) == 0)
        return;
    struct target t = {.file = draw_file(h, is_cut)};
    char path[128];
    t.subject = subject_of(h, t.file.path, &t.name);
    bool is_log = t.subject && strncmp(t.name, "wal-", 4) == 0;
    if (!t.subject ||
        (is_log && is_cut)) /* the end of the log again: nothing says how long a file of it was */
        return;
    if (t.subject->manifests_lost == 2 || is_all_there_is(&t, h)) /* it would be a new shard */
        return;
    t.subject->manifests_lost += is_manifest(t.name);
    /* What was in the newest file is bounded by the present. Versions are ahead of it after a clock was
     * set back, and after an earlier loss, above whose bound they had to be. */
    const uint32_t *rates = h->plan.faults.per_million;
    bool is_ahead = rates[SIM_WALL_JUMP] || rates[SIM_WALL_FREEZE] || t.subject->quarantined > 0;
    if (is_log && is_ahead)
        model_wiped_log(&t.subject->model);
    snprintf(path, sizeof path, "%s", t.file.path);
    story_say(&h->outcome->story, history_now_ns(h), "%s: %s", is_cut ? "cut off" : "lost file", path);
    note_hit(t.subject, t.name);
    t.subject->damage.lost_tables += strncmp(t.name, "table-", 6) == 0;
    t.subject->damage.lost_values += strncmp(t.name, "values-", 7) == 0;
    t.subject->damage.has_lost_manifest |= is_manifest(t.name);
    h->outcome->tally.lost_files++;
    if (is_cut)
        sim_disk_truncate_file(disk, path, sim_dice_below(&h->dice, t.file.bytes + 1));
    else
        sim_disk_remove_file(disk, path);
}

/* ---- what was hit ---- */

/* Does it hit more than one record? One write leaves several corruptions where it met bytes that were the
 * same. */
static bool is_wide(const struct sim_corruption *c, const struct sim_corruption *before)
{
    if (c->fault != SIM_MISDIRECTED_WRITE)
        return false;
    bool is_same_write =
        before && before->fault == c->fault && before->file == c->file && before->at_ns == c->at_ns;
    return c->bytes > WAL_BLOCK_BYTES || is_same_write;
}

/* `before`: the corruption before it, or null. */
static void note(struct history *h, const struct sim_corruption *c, const struct sim_corruption *before)
{
    const char *name;
    struct subject *s = subject_of(h, c->path, &name);
    if (!s)
        return;
    story_detail(&h->outcome->story, history_now_ns(h), "%s: %s at byte %llu, %llu bytes",
                 sim_fault_name(c->fault), c->path, (unsigned long long)c->offset,
                 (unsigned long long)c->bytes);
    bool is_log = strncmp(name, "wal-", 4) == 0;
    note_hit(s, name);
    s->damage.bad_sectors += c->fault == SIM_BAD_SECTOR;
    if (is_log && is_wide(c, before))
        model_wiped_log(&s->model);
    else if (is_log && (c->fault == SIM_LOST_WRITE || c->fault == SIM_MISDIRECTED_WRITE))
        model_lied(&s->model, s->watermark);
}

void history_note_corruptions(struct history *h)
{
    const struct sim_disk *disk = sim_node_disk(h->node);
    uint32_t count = disk ? sim_disk_corruption_count(disk) : 0;
    for (; h->corruptions_seen < count; h->corruptions_seen++) {
        uint32_t i = h->corruptions_seen;
        note(h, sim_disk_corruption(disk, i), i > 0 ? sim_disk_corruption(disk, i - 1) : NULL);
    }
}
