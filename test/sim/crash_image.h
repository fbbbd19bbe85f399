/* crash_image.h - the images of one state, numbered, and what is in one.
 *
 * Each pending operation has a few outcomes; an image is one outcome of each. While there are no more
 * combinations than the limit, the number of an image is their mixed-radix number, and all are made. Beyond
 * the limit come: all kept, all dropped, one outcome of one operation among all others kept and among all
 * others dropped, then combinations drawn from a hash of the image's number. */
#ifndef TEST_SIM_CRASH_IMAGE_H
#define TEST_SIM_CRASH_IMAGE_H

#include "reactor/sim/sim.h"

#include <stddef.h>

enum {
    CRASH_PENDING_MAX = 256,
    CRASH_TEAR_SECTORS_MAX = 64, /* longer writes (zeros ahead of use) are torn in fewer ways */
};

struct crash_images {
    const struct sim_disk *disk;
    uint32_t pending_count;
    uint64_t combinations;               /* UINT64_MAX: more than can be counted */
    uint64_t count;                      /* of images: the combinations, or the limit if that is less */
    uint8_t outcomes[CRASH_PENDING_MAX]; /* of each pending operation */
};

void crash_images_init(struct crash_images *images, const struct sim_disk *disk, uint64_t limit);
/* One more number, `count`, is that of a kill: the process is gone and the power stays, so all is kept as it
 * is, pending. */
static inline bool crash_images_is_kill(const struct crash_images *images, uint64_t number)
{
    return number == images->count;
}

/* The choices of that image. Requires: number < count, room for pending_count. */
void crash_images_choose(const struct crash_images *images, uint64_t number, struct sim_choice *choices);
/* Owns: the caller gets the disk after the loss of power, or the kill. */
struct sim_disk *crash_images_build(const struct crash_images *images, uint64_t number);
/* The choices in words, a line for each operation. */
void crash_images_print(const struct crash_images *images, uint64_t number);

/* Of all names and bytes that can be read, and of what is pending; `seed` is mixed in. */
uint64_t crash_disk_hash(const struct sim_disk *disk, uint64_t seed);

#endif
