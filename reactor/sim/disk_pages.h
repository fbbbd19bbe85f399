/* disk_pages.h - the bytes of files: tables of pages that clones, layers and writes share.
 *
 *   content --> table --> page, page, zero, -, page       "-" was never written, "zero" was, with zeros
 *                 ^                     ^
 *       a clone's content            a write under way or pending, another layer of the same file
 *
 * Tables and pages are counted and copied when one of several holders changes them, so a clone costs one
 * count a file, and zeros cost no memory at all. A tag on a sector names the corruption that is in it; it
 * goes where the bytes go, so what is still damaged after any crash, clone or truncation can be read off the
 * pages. */
#ifndef REACTOR_SIM_DISK_PAGES_H
#define REACTOR_SIM_DISK_PAGES_H

#include "reactor/sim/sim.h"

enum { DISK_SECTORS_A_PAGE = SIM_DISK_PAGE_BYTES / SIM_SECTOR_BYTES };

struct disk_page {
    uint32_t references;
    bool is_tagged;                     /* some tag is not 0 */
    uint32_t tags[DISK_SECTORS_A_PAGE]; /* 0, or the number of a corruption plus 1 */
    uint8_t bytes[SIM_DISK_PAGE_BYTES];
};

struct disk_table {
    uint32_t references;
    uint32_t count;
    uint32_t capacity;
    struct disk_page *pages[]; /* null: never written */
};

/* One layer of a file. Pages beyond its bytes may hold something only until disk_content_trim. */
struct disk_content {
    struct disk_table *table; /* null: no pages */
    uint64_t bytes;
};

/* What a write carries: never changed once it is shared. */
struct disk_write {
    uint32_t references;
    uint32_t page_count;
    uint64_t offset;
    uint64_t bytes;
    bool is_zero;              /* nothing but zeros, no tags */
    struct disk_page *pages[]; /* the first holds `offset` */
};

struct disk_write *disk_write_new(const void *from, uint64_t bytes, uint64_t offset);
struct disk_write *disk_write_acquire(struct disk_write *w);
void disk_write_release(struct disk_write *w); /* null is allowed */
bool disk_write_equals(const struct disk_write *w, const void *from);
/* Changes bytes of it, in a copy when it is shared: `*w` is replaced. Bytes outside of it are left out. */
void disk_write_patch(struct disk_write **w, const void *from, uint64_t bytes, uint64_t offset, uint32_t tag);

/* Tags the sector that begins at `offset`, if it is in there as a whole. */
void disk_write_set_tag(struct disk_write **w, uint64_t offset, uint32_t tag);

void disk_content_free(struct disk_content *c);
void disk_content_share(struct disk_content *to, const struct disk_content *from); /* `to` is overwritten */
/* Makes bytes `begin` to `end` of `w` its own; its size stays. Returns: pages that were never written
 * before. */
uint64_t disk_content_write(struct disk_content *c, const struct disk_write *w, uint64_t begin, uint64_t end);
/* Returns: pages of `begin` to `end` that were never written. */
uint64_t disk_content_holes(const struct disk_content *c, uint64_t begin, uint64_t end);
/* Turns those into zeros. Returns: how many there were. */
uint64_t disk_content_allocate(struct disk_content *c, uint64_t begin, uint64_t end);
/* Sets the size; what is beyond it is gone. Returns: pages given up. */
uint64_t disk_content_resize(struct disk_content *c, uint64_t bytes);
uint64_t disk_content_pages(const struct disk_content *c); /* written ones */
/* Returns: bytes read, short at the end. */
uint64_t disk_content_read(const struct disk_content *c, void *to, uint64_t bytes, uint64_t offset);
/* Changes bytes and tags each sector it touches. Returns: pages that were never written before. */
uint64_t disk_content_patch(struct disk_content *c, const void *from, uint64_t bytes, uint64_t offset,
                            uint32_t tag);
/* Of the sector that begins at `offset`. */
uint32_t disk_content_tag(const struct disk_content *c, uint64_t offset);
/* Returns: pages that were never written before. */
uint64_t disk_content_set_tag(struct disk_content *c, uint64_t offset, uint32_t tag);
/* Whether all pages of the range are zeros, without tags. */
bool disk_content_is_zero(const struct disk_content *c, uint64_t begin, uint64_t end);
bool disk_content_has_tags(const struct disk_content *c, uint64_t begin, uint64_t end);
/* Whether these bytes of `w`, all within one page, are others than what is there. */
bool disk_content_differs(const struct disk_content *c, const struct disk_write *w, uint64_t begin,
                          uint64_t end);

#endif
