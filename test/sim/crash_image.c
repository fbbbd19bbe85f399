/* crash_image.c - numbers the images of a state and builds them; see crash_image.h. */
#include "test/sim/crash_image.h"

#include "reactor/base/assert.h"
#include "reactor/base/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUTCOME_KEEP,
    OUTCOME_DROP,
    OUTCOME_FIRST_HALF,
    OUTCOME_LAST_HALF,
    OUTCOME_FIRST_SECTOR,
    OUTCOME_ALL_BUT_FIRST,
    OUTCOME_ALL_BUT_LAST,
    OUTCOME_FIRST_BLOCK, /* a segment's header without its first record; a record's header without the rest */
    OUTCOME_ALL_BUT_FIRST_BLOCK,
    OUTCOME_COUNT,
    OUTCOMES_NAME = OUTCOME_DROP + 1,
    OUTCOMES_LONG_WRITE = OUTCOME_LAST_HALF + 1,
    OUTCOMES_ONE_BLOCK = OUTCOME_ALL_BUT_LAST + 1,
    OUTCOMES_NONE = 1, /* it makes no difference */
    BLOCK_SECTORS = SIM_DISK_PAGE_BYTES / SIM_SECTOR_BYTES,
};

/* ---- numbers ---- */

static uint32_t sectors_of(const struct sim_pending *p)
{
    return (uint32_t)((p->bytes + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES);
}

static uint8_t outcomes_of(const struct sim_pending *p)
{
    uint32_t sectors = sectors_of(p);
    if (p->kind != SIM_PENDING_WRITE || sectors < 2)
        return OUTCOMES_NAME;
    if (sectors == 2)
        return OUTCOMES_LONG_WRITE; /* the other tears are the same as these */
    if (sectors > CRASH_TEAR_SECTORS_MAX)
        return OUTCOMES_LONG_WRITE;
    return sectors > BLOCK_SECTORS && sectors / 2 != BLOCK_SECTORS ? OUTCOME_COUNT : OUTCOMES_ONE_BLOCK;
}

/* A size that a durable write has made durable is still pending, alone of its file. */
static bool is_idle(const struct sim_disk *disk, uint32_t index)
{
    struct sim_choice choices[CRASH_PENDING_MAX] = {0};
    struct sim_pending p = sim_disk_pending(disk, index);
    uint32_t count = sim_disk_pending_count(disk);
    if (p.kind != SIM_PENDING_SIZE)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct sim_pending other = sim_disk_pending(disk, i);
        if (i != index && other.kind != SIM_PENDING_NAME && other.file == p.file)
            return false;
    }
    uint64_t hashes[2];
    for (unsigned k = 0; k < 2; k++) {
        struct sim_disk *image = sim_disk_clone(disk);
        choices[index].what = k ? SIM_DROP : SIM_KEEP;
        sim_disk_lose_power(image, choices);
        hashes[k] = crash_disk_hash(image, 0);
        sim_disk_free(image);
    }
    return hashes[0] == hashes[1];
}

void crash_images_init(struct crash_images *images, const struct sim_disk *disk, uint64_t limit)
{
    *images = (struct crash_images){.disk = disk, .combinations = 1};
    images->pending_count = sim_disk_pending_count(disk);
    ASSERT(images->pending_count <= CRASH_PENDING_MAX);
    for (uint32_t i = 0; i < images->pending_count; i++) {
        struct sim_pending pending = sim_disk_pending(disk, i);
        uint8_t outcomes = is_idle(disk, i) ? OUTCOMES_NONE : outcomes_of(&pending);
        images->outcomes[i] = outcomes;
        bool is_too_many = images->combinations > UINT64_MAX / outcomes;
        images->combinations = is_too_many ? UINT64_MAX : images->combinations * outcomes;
    }
    images->count = images->combinations < limit ? images->combinations : limit;
}

static struct sim_choice choice_of(const struct sim_pending *p, unsigned outcome)
{
    uint32_t sectors = sectors_of(p);
    struct sim_choice c = {.what = SIM_TEAR, .sector_begin = 0, .sector_end = sectors};
    if (outcome == OUTCOME_KEEP)
        c.what = SIM_KEEP;
    else if (outcome == OUTCOME_DROP)
        c.what = SIM_DROP;
    else if (outcome == OUTCOME_FIRST_HALF)
        c.sector_end = sectors / 2;
    else if (outcome == OUTCOME_LAST_HALF)
        c.sector_begin = sectors / 2;
    else if (outcome == OUTCOME_FIRST_SECTOR)
        c.sector_end = 1;
    else if (outcome == OUTCOME_ALL_BUT_FIRST)
        c.sector_begin = 1;
    else if (outcome == OUTCOME_FIRST_BLOCK)
        c.sector_end = BLOCK_SECTORS;
    else if (outcome == OUTCOME_ALL_BUT_FIRST_BLOCK)
        c.sector_begin = BLOCK_SECTORS;
    else
        c.sector_end = sectors - 1;
    return c;
}

/* Every combination has a number. */
static void outcomes_of_all(const struct crash_images *images, uint64_t number, uint8_t *outcomes)
{
    for (uint32_t i = 0; i < images->pending_count; i++) {
        outcomes[i] = (uint8_t)(number % images->outcomes[i]);
        number /= images->outcomes[i];
    }
}

/* One operation differs from all others. Returns: false behind the last of these. */
static bool outcomes_of_one(const struct crash_images *images, uint64_t number, uint8_t *outcomes)
{
    uint8_t others = number % 2 ? OUTCOME_DROP : OUTCOME_KEEP;
    uint64_t left = number / 2;
    for (uint32_t i = 0; i < images->pending_count; i++)
        outcomes[i] = others < images->outcomes[i] ? others : OUTCOME_KEEP;
    if (left == 0)
        return true;
    left--;
    for (uint32_t i = 0; i < images->pending_count; i++) {
        if (left < images->outcomes[i]) {
            outcomes[i] = (uint8_t)left;
            return true;
        }
        left -= images->outcomes[i];
    }
    return false;
}

static void outcomes_drawn(const struct crash_images *images, uint64_t number, uint8_t *outcomes)
{
    struct sim_dice dice;
    sim_dice_init(&dice, images->pending_count, SIM_STREAMS, number);
    for (uint32_t i = 0; i < images->pending_count; i++)
        outcomes[i] = (uint8_t)sim_dice_below(&dice, images->outcomes[i]);
}

void crash_images_choose(const struct crash_images *images, uint64_t number, struct sim_choice *choices)
{
    uint8_t outcomes[CRASH_PENDING_MAX];
    ASSERT(number < images->count);
    if (images->count == images->combinations)
        outcomes_of_all(images, number, outcomes);
    else if (!outcomes_of_one(images, number, outcomes))
        outcomes_drawn(images, number, outcomes);
    for (uint32_t i = 0; i < images->pending_count; i++) {
        struct sim_pending pending = sim_disk_pending(images->disk, i);
        choices[i] = choice_of(&pending, outcomes[i]);
    }
}

struct sim_disk *crash_images_build(const struct crash_images *images, uint64_t number)
{
    struct sim_choice choices[CRASH_PENDING_MAX];
    struct sim_disk *disk = sim_disk_clone(images->disk);
    if (crash_images_is_kill(images, number))
        return disk;
    crash_images_choose(images, number, choices);
    sim_disk_lose_power(disk, choices);
    return disk;
}

/* ---- words ---- */

static const char *path_of(const struct sim_disk *disk, uint64_t file)
{
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info info = sim_disk_file_at(disk, i);
        if (info.id == file)
            return info.path;
    }
    return "(no name now)";
}

static void print_choice(const struct sim_pending *p, const struct sim_choice *c, const char *path)
{
    const char *what = c->what == SIM_KEEP ? "keep" : c->what == SIM_DROP ? "drop" : "tear";
    if (p->kind == SIM_PENDING_WRITE)
        printf("    %s the write of %llu bytes at %llu of %s", what, (unsigned long long)p->bytes,
               (unsigned long long)p->offset, path);
    else if (p->kind == SIM_PENDING_SIZE)
        printf("    %s the size of %llu bytes of %s", what, (unsigned long long)p->bytes, path);
    else
        printf("    %s a change of a name: %s", what, path);
    if (c->what == SIM_TEAR)
        printf(": sectors %u to %u of %u are kept", c->sector_begin, c->sector_end - 1, sectors_of(p));
    printf("\n");
}

void crash_images_print(const struct crash_images *images, uint64_t number)
{
    struct sim_choice choices[CRASH_PENDING_MAX] = {0};
    if (crash_images_is_kill(images, number))
        printf("    the process is killed; the power stays, and all this is in the cache:\n");
    else
        crash_images_choose(images, number, choices);
    for (uint32_t i = 0; i < images->pending_count; i++) {
        struct sim_pending pending = sim_disk_pending(images->disk, i);
        print_choice(&pending, &choices[i], path_of(images->disk, pending.file));
    }
}

/* ---- hash ---- */

uint64_t crash_disk_hash(const struct sim_disk *disk, uint64_t seed)
{
    uint8_t piece[16 * SIM_DISK_PAGE_BYTES];
    uint64_t hash = seed;
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info info = sim_disk_file_at(disk, i);
        hash = XXH3_64bits_withSeed(info.path, strlen(info.path) + 1, hash);
        hash = XXH3_64bits_withSeed(&info.bytes, sizeof info.bytes, hash);
        for (uint64_t offset = 0; offset < info.bytes; offset += sizeof piece) {
            int64_t got = sim_disk_peek(disk, info.path, piece, sizeof piece, offset);
            ASSERT(got > 0);
            hash = XXH3_64bits_withSeed(piece, (size_t)got, hash);
        }
    }
    for (uint32_t i = 0; i < sim_disk_pending_count(disk); i++) {
        struct sim_pending p = sim_disk_pending(disk, i);
        const uint64_t fields[] = {p.kind, p.file, p.offset, p.bytes};
        hash = XXH3_64bits_withSeed(fields, sizeof fields, hash);
    }
    return hash;
}
