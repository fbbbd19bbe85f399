/* disk_layers.c - the two layers of a file: what is written, sized, allocated and synced.
 *
 * A sync makes a prefix of what is pending of one file durable. A durable write overtakes what is pending
 * before it: older writes are clipped where it wrote, and older sizes up to its end are made durable with
 * it. */
#include "reactor/sim/disk.h"

#include <errno.h>

/* ---- space ---- */

void disk_pages_added(struct sim_disk *d, struct disk_inode *i, uint64_t pages)
{
    i->pages += pages;
    d->used_pages += i->names > 0 || i->opens > 0 ? pages : 0;
}

static void pages_removed(struct sim_disk *d, struct disk_inode *i, uint64_t pages)
{
    ASSERT(i->pages >= pages);
    i->pages -= pages;
    d->used_pages -= i->names > 0 || i->opens > 0 ? pages : 0;
}

static uint64_t free_pages(const struct sim_disk *d)
{
    uint64_t capacity = d->capacity / SIM_DISK_PAGE_BYTES;
    return capacity > d->used_pages ? capacity - d->used_pages : 0;
}

/* How far a write of `begin` to `end` comes before space is out. */
static uint64_t end_in_space(const struct sim_disk *d, const struct disk_inode *i, uint64_t begin,
                             uint64_t end)
{
    uint64_t left = free_pages(d), at = begin;
    if (disk_content_holes(&i->cached, begin, end) <= left)
        return end;
    while (at < end) {
        uint64_t next = (at / SIM_DISK_PAGE_BYTES + 1) * SIM_DISK_PAGE_BYTES;
        uint64_t needed = disk_content_holes(&i->cached, at, at + 1);
        if (needed > left)
            return at;
        left -= needed;
        at = next;
    }
    return end;
}

/* ---- writes and sizes ---- */

/* Makes sizes up to `end` durable: what they would cut must not be cut later. */
static void settle_sizes(struct sim_disk *d, struct disk_inode *i, uint64_t end)
{
    struct list *last = NULL;
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next)
        if (disk_pending_of_inode(link)->kind == SIM_PENDING_SIZE &&
            disk_pending_of_inode(link)->bytes <= end)
            last = link;
    for (bool is_over = !last; !is_over;) {
        struct list *link = i->pending.next;
        while (disk_pending_of_inode(link)->kind != SIM_PENDING_SIZE)
            link = link->next;
        is_over = link == last;
        struct disk_pending *p = disk_pending_of_inode(link);
        disk_pending_clip(d, i, link, p->bytes, UINT64_MAX);
        (void)disk_content_resize(&i->durable, p->bytes);
        disk_pending_drop(d, p);
    }
}

static void need_size(struct sim_disk *d, struct disk_inode *i, uint64_t end, bool is_durable)
{
    if (is_durable) {
        settle_sizes(d, i, end);
        if (i->durable.bytes < end)
            i->durable.bytes = end;
        disk_changed(d);
    }
    if (i->cached.bytes >= end)
        return;
    i->cached.bytes = end;
    if (!is_durable && !disk_inode_is_lost(i))
        disk_pending_add(d, i, SIM_PENDING_SIZE)->bytes = end;
}

bool disk_write_is_idle(const struct disk_inode *i, const struct disk_write *w)
{
    uint64_t end = w->offset + w->bytes;
    if (!w->is_zero || !disk_content_is_zero(&i->cached, w->offset, end) ||
        !disk_content_is_zero(&i->durable, w->offset, end))
        return false;
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next) {
        const struct disk_pending *p = disk_pending_of_inode(link);
        if (p->kind == SIM_PENDING_WRITE && p->begin < end && w->offset < p->end)
            return false;
    }
    return true;
}

static void allocate_both(struct sim_disk *d, struct disk_inode *i, uint64_t begin, uint64_t end)
{
    disk_pages_added(d, i, disk_content_allocate(&i->cached, begin, end));
    (void)disk_content_allocate(&i->durable, begin, end);
}

int disk_write(struct sim_disk *d, struct disk_inode *i, struct disk_write *w, uint64_t end,
               enum disk_safety safety)
{
    uint64_t begin = w->offset, fits = end_in_space(d, i, begin, end);
    bool is_idle = disk_write_is_idle(i, w);
    int rc = fits < end ? -ENOSPC : 0;
    if (fits <= begin)
        return rc;
    need_size(d, i, fits, safety == DISK_DURABLE);
    if (is_idle) {
        allocate_both(d, i, begin, fits);
        return rc;
    }
    disk_pages_added(d, i, disk_content_write(&i->cached, w, begin, fits));
    if (safety == DISK_DURABLE) {
        disk_pending_clip(d, i, &i->pending, begin, fits);
        (void)disk_content_write(&i->durable, w, begin, fits);
    }
    if (safety == DISK_CACHED && !disk_inode_is_lost(i)) {
        struct disk_pending *p = disk_pending_add(d, i, SIM_PENDING_WRITE);
        p->write = disk_write_acquire(w);
        p->begin = begin;
        p->end = fits;
    }
    return rc;
}

int disk_grow(struct sim_disk *d, struct disk_inode *i, const struct disk_write *w, bool is_durable)
{
    uint64_t end = w->offset + w->bytes;
    if (end_in_space(d, i, w->offset, end) < end)
        return -ENOSPC;
    if (w->bytes == 0)
        return 0;
    need_size(d, i, end, is_durable);
    allocate_both(d, i, w->offset, end);
    return 0;
}

int disk_allocate(struct sim_disk *d, struct disk_inode *i, uint64_t begin, uint64_t end)
{
    if (end_in_space(d, i, begin, end) < end)
        return -ENOSPC;
    need_size(d, i, end, false);
    allocate_both(d, i, begin, end);
    return 0;
}

void disk_resize(struct sim_disk *d, struct disk_inode *i, uint64_t bytes)
{
    if (bytes == i->cached.bytes)
        return;
    pages_removed(d, i, disk_content_resize(&i->cached, bytes));
    if (!disk_inode_is_lost(i))
        disk_pending_add(d, i, SIM_PENDING_SIZE)->bytes = bytes;
}

void disk_pending_cut(struct sim_disk *d, struct disk_inode *i, uint64_t bytes)
{
    disk_pending_clip(d, i, &i->pending, bytes, UINT64_MAX);
    for (struct list *link = i->pending.next, *next; link != &i->pending; link = next) {
        next = link->next;
        if (disk_pending_of_inode(link)->kind == SIM_PENDING_SIZE)
            disk_pending_drop(d, disk_pending_of_inode(link));
    }
    pages_removed(d, i, disk_content_resize(&i->cached, bytes));
    (void)disk_content_resize(&i->durable, bytes);
    disk_changed(d);
}

void disk_patch(struct sim_disk *d, struct disk_inode *i, struct slice bytes, uint64_t offset, uint32_t tag)
{
    uint64_t in_durable = offset < i->durable.bytes ? i->durable.bytes - offset : 0;
    in_durable = in_durable < bytes.bytes ? in_durable : bytes.bytes;
    disk_pages_added(d, i, disk_content_patch(&i->cached, bytes.data, bytes.bytes, offset, tag));
    (void)disk_content_patch(&i->durable, bytes.data, in_durable, offset, tag);
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next)
        if (disk_pending_of_inode(link)->kind == SIM_PENDING_WRITE)
            disk_write_patch(&disk_pending_of_inode(link)->write, bytes.data, bytes.bytes, offset, tag);
    disk_changed(d);
}

void disk_tag_sector(struct sim_disk *d, struct disk_inode *i, uint64_t offset, uint32_t tag)
{
    disk_pages_added(d, i, disk_content_set_tag(&i->cached, offset, tag));
    if (offset < i->durable.bytes)
        (void)disk_content_set_tag(&i->durable, offset, tag);
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next)
        if (disk_pending_of_inode(link)->kind == SIM_PENDING_WRITE)
            disk_write_set_tag(&disk_pending_of_inode(link)->write, offset, tag);
    disk_changed(d);
}

/* ---- syncs ---- */

void disk_sync(struct sim_disk *d, struct disk_inode *i, uint64_t sequence)
{
    while (!list_is_empty(&i->pending)) {
        struct disk_pending *p = disk_pending_of_inode(i->pending.next);
        if (p->sequence >= sequence)
            return;
        disk_pending_apply(d, p);
        disk_pending_drop(d, p);
    }
}

/* Marks directories of a change of names; 0 is none. */
static void mark_directories(const struct sim_disk *d, const struct disk_pending *p, bool is_marked)
{
    if (p->change.from)
        disk_inode(d, p->change.from_directory)->is_marked = is_marked;
    if (p->change.to)
        disk_inode(d, p->change.to_directory)->is_marked = is_marked;
}

static bool is_in_marked(const struct sim_disk *d, const struct disk_pending *p)
{
    return (p->change.from && disk_inode(d, p->change.from_directory)->is_marked) ||
           (p->change.to && disk_inode(d, p->change.to_directory)->is_marked);
}

/* A rename between two directories is one change: it takes along what came before it in the other one. */
void disk_sync_directory(struct sim_disk *d, uint64_t directory, uint64_t sequence)
{
    disk_inode(d, directory)->is_marked = true;
    for (struct list *link = d->pending_names.previous; link != &d->pending_names; link = link->previous) {
        struct disk_pending *p = disk_pending_of_inode(link);
        p->is_due = p->sequence < sequence && is_in_marked(d, p);
        if (p->is_due)
            mark_directories(d, p, true);
    }
    disk_inode(d, directory)->is_marked = false;
    for (struct list *link = d->pending_names.next, *next; link != &d->pending_names; link = next) {
        struct disk_pending *p = disk_pending_of_inode(link);
        next = link->next;
        if (!p->is_due)
            continue;
        mark_directories(d, p, false);
        disk_pending_apply(d, p);
        disk_pending_drop(d, p);
    }
}

/* The cache holds what is durable and what is pending, and nothing else. */
static void rebuild_cache(struct sim_disk *d, struct disk_inode *i)
{
    struct disk_content fresh;
    disk_content_share(&fresh, &i->durable);
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next) {
        const struct disk_pending *p = disk_pending_of_inode(link);
        if (p->kind == SIM_PENDING_WRITE)
            (void)disk_content_write(&fresh, p->write, p->begin, p->end);
        else
            (void)disk_content_resize(&fresh, p->bytes);
    }
    (void)disk_content_resize(&fresh, i->cached.bytes);
    disk_content_free(&i->cached);
    i->cached = fresh;
    pages_removed(d, i, i->pages);
    disk_pages_added(d, i, disk_content_pages(&i->cached));
}

void disk_fail_sync(struct sim_disk *d, struct disk_inode *i, uint64_t sequence, bool is_now)
{
    for (struct list *link = i->pending.next, *next; link != &i->pending; link = next) {
        struct disk_pending *p = disk_pending_of_inode(link);
        next = link->next;
        if (p->kind == SIM_PENDING_WRITE && p->sequence < sequence)
            disk_pending_drop(d, p);
    }
    if (is_now)
        rebuild_cache(d, i);
}
