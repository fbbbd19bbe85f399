/* disk_pages.c - pages, tables of pages and the data of writes, counted and copied on change.
 *
 * A page of zeros is never allocated: one constant page stands for all of them, and no page at all for what
 * was never written. Whole pages go from a write into a file by their address. */
#include "reactor/sim/disk_pages.h"

#include "reactor/sim/world.h"

#include <string.h>

enum { TABLE_FIRST = 16 };

static_assert(SIM_DISK_PAGE_BYTES % SIM_SECTOR_BYTES == 0, "whole sectors");
static_assert(FILE_ALIGNMENT % SIM_DISK_PAGE_BYTES == 0, "direct writes are whole pages");

static struct disk_page zeros; /* never written to: it counts as shared */

struct range {
    uint64_t begin;
    uint64_t end;
};

static uint64_t first_page(uint64_t begin)
{
    return begin / SIM_DISK_PAGE_BYTES;
}

/* One past the last. */
static uint64_t end_page(uint64_t end)
{
    return (end + SIM_DISK_PAGE_BYTES - 1) / SIM_DISK_PAGE_BYTES;
}

/* The part of `begin` to `end` that is in page `index`, counted from its start. */
static struct range part_of_page(uint64_t begin, uint64_t end, uint64_t index)
{
    uint64_t base = index * SIM_DISK_PAGE_BYTES;
    return (struct range){.begin = begin > base ? begin - base : 0,
                          .end = end - base < SIM_DISK_PAGE_BYTES ? end - base : SIM_DISK_PAGE_BYTES};
}

static bool is_whole(struct range part)
{
    return part.begin == 0 && part.end == SIM_DISK_PAGE_BYTES;
}

static unsigned sector_in_page(uint64_t offset)
{
    return (unsigned)(offset % SIM_DISK_PAGE_BYTES / SIM_SECTOR_BYTES);
}

static bool are_zeros(const uint8_t *bytes, uint64_t count)
{
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

/* ---- pages ---- */

static struct disk_page *page_acquire(struct disk_page *p)
{
    if (p && p != &zeros)
        p->references++;
    return p;
}

static void page_release(struct disk_page *p)
{
    if (!p || p == &zeros)
        return;
    ASSERT(p->references > 0);
    if (--p->references == 0)
        sim_free(p);
}

static struct disk_page *page_new(void)
{
    struct disk_page *p = sim_realloc(NULL, sizeof *p);
    p->references = 1;
    p->is_tagged = false;
    memset(p->tags, 0, sizeof p->tags);
    return p;
}

static const uint8_t *page_bytes(const struct disk_page *p)
{
    return p ? p->bytes : zeros.bytes;
}

/* A page that only this slot holds. */
static struct disk_page *page_own(struct disk_page **slot)
{
    struct disk_page *p = *slot;
    if (p && p != &zeros && p->references == 1)
        return p;
    struct disk_page *copy = page_new();
    memcpy(copy->bytes, page_bytes(p), sizeof copy->bytes);
    if (p) {
        memcpy(copy->tags, p->tags, sizeof copy->tags);
        copy->is_tagged = p->is_tagged;
    }
    page_release(p);
    *slot = copy;
    return copy;
}

static void page_set_tag(struct disk_page *p, unsigned sector, uint32_t tag)
{
    p->tags[sector] = tag;
    p->is_tagged = false;
    for (unsigned i = 0; i < DISK_SECTORS_A_PAGE; i++)
        p->is_tagged |= p->tags[i] != 0;
}

/* Sectors that `part` covers wholly get the tags of `from`, or none. */
static void page_take_tags(struct disk_page *p, const struct disk_page *from, struct range part)
{
    if (!p->is_tagged && !from->is_tagged)
        return;
    for (unsigned i = 0; i < DISK_SECTORS_A_PAGE; i++)
        if (part.begin <= i * SIM_SECTOR_BYTES && (i + 1) * SIM_SECTOR_BYTES <= part.end)
            page_set_tag(p, i, from->tags[i]);
}

static void page_patch(struct disk_page *p, const uint8_t *from, struct range part, uint32_t tag)
{
    memcpy(p->bytes + part.begin, from, part.end - part.begin);
    for (uint64_t i = part.begin / SIM_SECTOR_BYTES; i * SIM_SECTOR_BYTES < part.end; i++)
        page_set_tag(p, (unsigned)i, tag);
}

/* ---- tables ---- */

static void table_release(struct disk_table *t)
{
    if (!t)
        return;
    ASSERT(t->references > 0);
    if (--t->references > 0)
        return;
    for (uint32_t i = 0; i < t->count; i++)
        page_release(t->pages[i]);
    sim_free(t);
}

static size_t table_bytes(uint64_t capacity)
{
    return sizeof(struct disk_table) + (size_t)capacity * sizeof(struct disk_page *);
}

static struct disk_table *table_copy(struct disk_table *t, uint64_t capacity)
{
    struct disk_table *copy = sim_realloc(NULL, table_bytes(capacity));
    copy->references = 1;
    copy->count = t ? t->count : 0;
    copy->capacity = (uint32_t)capacity;
    for (uint32_t i = 0; i < copy->count; i++)
        copy->pages[i] = page_acquire(t->pages[i]);
    table_release(t);
    return copy;
}

/* The table of this content alone, with at least `count` slots. */
static struct disk_table *table_own(struct disk_content *c, uint64_t count)
{
    ASSERT(count < UINT32_MAX / 2);
    struct disk_table *t = c->table;
    uint64_t capacity = t ? t->capacity : TABLE_FIRST;
    while (capacity < count)
        capacity *= 2;
    if (!t || t->references > 1)
        t = table_copy(t, capacity);
    else if (capacity > t->capacity)
        t = sim_realloc(t, table_bytes(capacity));
    t->capacity = (uint32_t)capacity;
    while (t->count < count)
        t->pages[t->count++] = NULL;
    c->table = t;
    return t;
}

static struct disk_page *page_at(const struct disk_content *c, uint64_t index)
{
    return c->table && index < c->table->count ? c->table->pages[index] : NULL;
}

/* ---- writes ---- */

static struct disk_page *page_of_data(const uint8_t *from, struct range part)
{
    if (are_zeros(from, part.end - part.begin))
        return &zeros;
    struct disk_page *p = page_new();
    memset(p->bytes, 0, part.begin);
    memcpy(p->bytes + part.begin, from, part.end - part.begin);
    memset(p->bytes + part.end, 0, SIM_DISK_PAGE_BYTES - part.end);
    return p;
}

struct disk_write *disk_write_new(const void *from, uint64_t bytes, uint64_t offset)
{
    uint64_t end = offset + bytes, first = first_page(offset), count = bytes ? end_page(end) - first : 0;
    struct disk_write *w = sim_realloc(NULL, sizeof *w + (size_t)count * sizeof(struct disk_page *));
    const uint8_t *next = from;
    *w =
        (struct disk_write){.references = 1, .page_count = (uint32_t)count, .offset = offset, .bytes = bytes};
    w->is_zero = true;
    for (uint64_t i = 0; i < count; i++) {
        struct range part = part_of_page(offset, end, first + i);
        w->pages[i] = page_of_data(next, part);
        w->is_zero &= w->pages[i] == &zeros;
        next += part.end - part.begin;
    }
    return w;
}

struct disk_write *disk_write_acquire(struct disk_write *w)
{
    w->references++;
    return w;
}

void disk_write_release(struct disk_write *w)
{
    if (!w || --w->references > 0)
        return;
    for (uint32_t i = 0; i < w->page_count; i++)
        page_release(w->pages[i]);
    sim_free(w);
}

bool disk_write_equals(const struct disk_write *w, const void *from)
{
    const uint8_t *next = from;
    for (uint32_t i = 0; i < w->page_count; i++) {
        struct range part = part_of_page(w->offset, w->offset + w->bytes, first_page(w->offset) + i);
        if (memcmp(page_bytes(w->pages[i]) + part.begin, next, part.end - part.begin) != 0)
            return false;
        next += part.end - part.begin;
    }
    return true;
}

static struct disk_write *write_copy(struct disk_write *w)
{
    struct disk_write *copy = sim_realloc(NULL, sizeof *w + w->page_count * sizeof(struct disk_page *));
    *copy = *w;
    copy->references = 1;
    for (uint32_t i = 0; i < w->page_count; i++)
        copy->pages[i] = page_acquire(w->pages[i]);
    disk_write_release(w);
    return copy;
}

void disk_write_patch(struct disk_write **w, const void *from, uint64_t bytes, uint64_t offset, uint32_t tag)
{
    uint64_t begin = offset > (*w)->offset ? offset : (*w)->offset;
    uint64_t end = (*w)->offset + (*w)->bytes;
    end = offset + bytes < end ? offset + bytes : end;
    if (begin >= end)
        return;
    if ((*w)->references > 1)
        *w = write_copy(*w);
    (*w)->is_zero = false;
    const uint8_t *next = (const uint8_t *)from + (begin - offset);
    for (uint64_t i = first_page(begin); i < end_page(end); i++) {
        struct range part = part_of_page(begin, end, i);
        page_patch(page_own(&(*w)->pages[i - first_page((*w)->offset)]), next, part, tag);
        next += part.end - part.begin;
    }
}

void disk_write_set_tag(struct disk_write **w, uint64_t offset, uint32_t tag)
{
    if (offset < (*w)->offset || offset + SIM_SECTOR_BYTES > (*w)->offset + (*w)->bytes)
        return;
    if ((*w)->references > 1)
        *w = write_copy(*w);
    (*w)->is_zero = false;
    struct disk_page **slot = &(*w)->pages[first_page(offset) - first_page((*w)->offset)];
    page_set_tag(page_own(slot), sector_in_page(offset), tag);
}

/* ---- contents ---- */

void disk_content_free(struct disk_content *c)
{
    table_release(c->table);
    *c = (struct disk_content){0};
}

void disk_content_share(struct disk_content *to, const struct disk_content *from)
{
    *to = *from;
    if (to->table)
        to->table->references++;
}

static void write_part(struct disk_page **slot, struct disk_page *from, struct range part)
{
    if (is_whole(part)) {
        struct disk_page *old = *slot;
        *slot = page_acquire(from);
        page_release(old);
        return;
    }
    if (from == &zeros && (!*slot || *slot == &zeros)) {
        *slot = &zeros;
        return;
    }
    struct disk_page *p = page_own(slot);
    memcpy(p->bytes + part.begin, from->bytes + part.begin, part.end - part.begin);
    page_take_tags(p, from, part);
}

uint64_t disk_content_write(struct disk_content *c, const struct disk_write *w, uint64_t begin, uint64_t end)
{
    ASSERT(begin >= w->offset && end <= w->offset + w->bytes);
    if (begin >= end)
        return 0;
    struct disk_table *t = table_own(c, end_page(end));
    uint64_t first = first_page(w->offset), added = 0;
    for (uint64_t i = first_page(begin); i < end_page(end); i++) {
        added += !t->pages[i];
        write_part(&t->pages[i], w->pages[i - first], part_of_page(begin, end, i));
    }
    return added;
}

uint64_t disk_content_holes(const struct disk_content *c, uint64_t begin, uint64_t end)
{
    uint64_t holes = 0;
    for (uint64_t i = first_page(begin); begin < end && i < end_page(end); i++)
        holes += !page_at(c, i);
    return holes;
}

uint64_t disk_content_allocate(struct disk_content *c, uint64_t begin, uint64_t end)
{
    if (disk_content_holes(c, begin, end) == 0)
        return 0;
    struct disk_table *t = table_own(c, end_page(end));
    uint64_t added = 0;
    for (uint64_t i = first_page(begin); i < end_page(end); i++) {
        added += !t->pages[i];
        t->pages[i] = t->pages[i] ? t->pages[i] : &zeros;
    }
    return added;
}

/* Bytes of the last page that are beyond the size become zeros. */
static void trim_last_page(struct disk_content *c)
{
    uint64_t kept = c->bytes % SIM_DISK_PAGE_BYTES, index = first_page(c->bytes);
    struct disk_page *p = page_at(c, index);
    if (kept == 0 || !p || p == &zeros)
        return;
    if (!p->is_tagged && are_zeros(p->bytes + kept, SIM_DISK_PAGE_BYTES - kept))
        return;
    p = page_own(&table_own(c, index + 1)->pages[index]);
    memset(p->bytes + kept, 0, SIM_DISK_PAGE_BYTES - kept);
    for (unsigned i = 0; i < DISK_SECTORS_A_PAGE; i++)
        if (i * SIM_SECTOR_BYTES >= kept)
            page_set_tag(p, i, 0);
}

uint64_t disk_content_resize(struct disk_content *c, uint64_t bytes)
{
    uint64_t removed = 0;
    c->bytes = bytes;
    if (c->table && c->table->count > end_page(bytes)) {
        struct disk_table *t = table_own(c, end_page(bytes));
        while (t->count > end_page(bytes)) {
            struct disk_page *p = t->pages[--t->count];
            removed += p != NULL;
            page_release(p);
        }
    }
    trim_last_page(c);
    return removed;
}

uint64_t disk_content_pages(const struct disk_content *c)
{
    uint64_t count = 0;
    for (uint32_t i = 0; c->table && i < c->table->count; i++)
        count += c->table->pages[i] != NULL;
    return count;
}

uint64_t disk_content_read(const struct disk_content *c, void *to, uint64_t bytes, uint64_t offset)
{
    if (offset >= c->bytes)
        return 0;
    uint64_t end = bytes < c->bytes - offset ? offset + bytes : c->bytes;
    uint8_t *next = to;
    for (uint64_t i = first_page(offset); offset < end && i < end_page(end); i++) {
        struct range part = part_of_page(offset, end, i);
        memcpy(next, page_bytes(page_at(c, i)) + part.begin, part.end - part.begin);
        next += part.end - part.begin;
    }
    return end - offset;
}

uint64_t disk_content_patch(struct disk_content *c, const void *from, uint64_t bytes, uint64_t offset,
                            uint32_t tag)
{
    uint64_t end = offset + bytes, added = 0;
    const uint8_t *next = from;
    if (bytes == 0)
        return 0;
    struct disk_table *t = table_own(c, end_page(end));
    for (uint64_t i = first_page(offset); i < end_page(end); i++) {
        struct range part = part_of_page(offset, end, i);
        added += !t->pages[i];
        page_patch(page_own(&t->pages[i]), next, part, tag);
        next += part.end - part.begin;
    }
    return added;
}

/* ---- tags and comparisons ---- */

uint32_t disk_content_tag(const struct disk_content *c, uint64_t offset)
{
    const struct disk_page *p = page_at(c, first_page(offset));
    return p ? p->tags[sector_in_page(offset)] : 0;
}

uint64_t disk_content_set_tag(struct disk_content *c, uint64_t offset, uint32_t tag)
{
    uint64_t index = first_page(offset);
    struct disk_table *t = table_own(c, index + 1);
    uint64_t added = !t->pages[index];
    page_set_tag(page_own(&t->pages[index]), sector_in_page(offset), tag);
    return added;
}

bool disk_content_is_zero(const struct disk_content *c, uint64_t begin, uint64_t end)
{
    for (uint64_t i = first_page(begin); begin < end && i < end_page(end); i++) {
        const struct disk_page *p = page_at(c, i);
        if (p && p != &zeros)
            return false;
    }
    return true;
}

bool disk_content_has_tags(const struct disk_content *c, uint64_t begin, uint64_t end)
{
    for (uint64_t i = first_page(begin); begin < end && i < end_page(end); i++) {
        const struct disk_page *p = page_at(c, i);
        if (p && p->is_tagged)
            return true;
    }
    return false;
}

bool disk_content_differs(const struct disk_content *c, const struct disk_write *w, uint64_t begin,
                          uint64_t end)
{
    uint64_t index = first_page(begin), at = begin % SIM_DISK_PAGE_BYTES;
    ASSERT(begin < end && end_page(end) == index + 1);
    const struct disk_page *is = page_at(c, index), *should_be = w->pages[index - first_page(w->offset)];
    return is != should_be && memcmp(page_bytes(is) + at, page_bytes(should_be) + at, end - begin) != 0;
}
