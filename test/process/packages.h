/* packages.h - an index of Debian packages: as `torc load` reads it, and made up where the machine has
 * none. */
#ifndef TEST_PROCESS_PACKAGES_H
#define TEST_PROCESS_PACKAGES_H

#include "reactor/base/slice.h"

struct package {
    struct slice key;   /* of the field Package */
    struct slice value; /* the stanza without the newline at its end */
    uint32_t order;     /* in the file */
};

struct packages {
    char *text;
    struct package *items; /* in the order of the file, until packages_sort */
    uint32_t count;
};

/* Writes `count` stanzas of 300 to 1,500 bytes, the same for the same seed. */
void packages_generate(const char *path, uint32_t count, uint64_t seed);
/* What apt knows. Returns: false when that is nothing, or there is no apt. */
bool packages_from_apt(const char *path);
/* Copies an index; each stanza gets one line more. */
void packages_add_line(const char *from, const char *to, const char *line);

void packages_read(struct packages *p, const char *path);
void packages_free(struct packages *p);
/* By key, those of one key in the order of the file. */
void packages_sort(struct packages *p);
/* In a sorted index: the first item of this key, and how many there are. Returns: their number, 0 when
 * there is none. */
uint32_t packages_find(const struct packages *p, struct slice key, uint32_t *first);

#endif
