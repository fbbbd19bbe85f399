/* table_image.h - SSTables as inputs: samples to begin with, and checksums made right in what became of them.
 * */
#ifndef TEST_FUZZ_TABLE_IMAGE_H
#define TEST_FUZZ_TABLE_IMAGE_H

#include "reactor/reactor.h"
#include "test/fuzz/fuzz.h"

/* Of the switches, besides FUZZ_CHECKSUMS. */
enum table_image_switch {
    TABLE_NAMED = 2,   /* blocks and footer name the table and their place */
    TABLE_ENTRIES = 4, /* header checks and checksums of entries are made right, too */
};

void table_image_mend(uint8_t *file, size_t bytes, uint64_t number, uint8_t switches);

struct table_image_sample {
    unsigned entries;
    bool has_run;         /* one value is larger than a block */
    uint64_t clock;       /* of the first version; later ones are above */
    uint32_t block_units; /* 0: the default */
    bool is_compressed;
};

/* Waits. Writes a table of that number. Values are zeros: they take no room in an image. */
void table_image_write(struct reactor *r, const char *path, uint64_t number,
                       const struct table_image_sample *sample);

#endif
