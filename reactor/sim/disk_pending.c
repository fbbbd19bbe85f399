/* disk_pending.c - what is in the cache and not durable: how it comes there, and what becomes of it.
 *
 * All of it is one list, oldest first. A sync makes a prefix of what is pending of one file durable; a durable write
 * overtakes what is pending before it, so older writes are clipped where it wrote, and older sizes below its end
 * are made durable with it: whatever is kept at a loss of power can then be made in order and never undoes what
 * was durable. */
#include "reactor/sim/disk.h"

#include <errno.h>
#include <string.h>

/* The list as an array, and for a disk with operations in flight: that of a copy in which they are over. */
struct disk_view {
    uint64_t version;
    bool is_valid;
    struct sim_disk *settled;
    struct disk_pending **items;
    uint32_t count;
};

void disk_changed(struct sim_disk *d)
{
    d->change_count++;
    d->version++;
}

/* ---- the list ---- */

static struct disk_pending *pending_new(struct sim_disk *d, struct disk_inode *i, enum sim_pending_kind kind)
{
    struct disk_pending *p = sim_alloc(sizeof *p);
    p->kind = kind;
    p->inode = i;
    list_init(&p->link);
    list_init(&p->of_inode);
    d->pending_count++;
    disk_changed(d);
    return p;
}

static struct disk_pending *pending_add(struct sim_disk *d, struct disk_inode *i, enum sim_pending_kind kind)
{
    struct disk_pending *p = pending_new(d, i, kind);
    p->sequence = d->pending_sequence++;
    list_push_back(&d->pending, &p->link);
    list_push_back(kind == SIM_PENDING_NAME ? &d->pending_names : &i->pending, &p->of_inode);
    return p;
}

void disk_pending_drop(struct sim_disk *d, struct disk_pending *p)
{
    struct disk_inode *i = p->inode;
    bool is_name = p->kind == SIM_PENDING_NAME;
    list_remove(&p->link);
    list_remove(&p->of_inode);
    disk_write_release(p->write);
    disk_name_release(p->change.from);
    disk_name_release(p->change.to);
    sim_free(p);
    d->pending_count--;
    disk_changed(d);
    if (!is_name)
        return;
    i->holds--;
    disk_inode_check(d, i);
}

static struct disk_pending *of_link(struct list *link)
{
    return CONTAINER_OF(link, struct disk_pending, link);
}

static struct disk_pending *of_inode_link(struct list *link)
{
    return CONTAINER_OF(link, struct disk_pending, of_inode);
}

void disk_pending_name(struct sim_disk *d, struct disk_inode *i, const struct disk_name_change *change)
{
    struct disk_pending *p = pending_add(d, i, SIM_PENDING_NAME);
    p->change = *change;
    if (p->change.from)
        p->change.from->references++;
    if (p->change.to)
        p->change.to->references++;
    i->holds++;
}

void disk_pending_clone(struct sim_disk *to, const struct sim_disk *from)
{
    for (struct list *link = from->pending.next; link != &from->pending; link = link->next) {
        const struct disk_pending *p = of_link(link);
        struct disk_pending *copy = pending_add(to, disk_inode(to, p->inode->id), p->kind);
        copy->sequence = p->sequence;
        copy->write = p->write ? disk_write_acquire(p->write) : NULL;
        copy->begin = p->begin;
        copy->end = p->end;
        copy->bytes = p->bytes;
        copy->change = p->change;
        if (p->change.from)
            p->change.from->references++;
        if (p->change.to)
            p->change.to->references++;
    }
}

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

/* A part of it, behind it in both lists. */
static void split_off(struct sim_disk *d, struct disk_pending *p, uint64_t begin)
{
    struct disk_pending *rest = pending_new(d, p->inode, SIM_PENDING_WRITE);
    rest->sequence = p->sequence;
    rest->write = disk_write_acquire(p->write);
    rest->begin = begin;
    rest->end = p->end;
    list_push_back(p->link.next, &rest->link);
    list_push_back(p->of_inode.next, &rest->of_inode);
}

static void clip_one(struct sim_disk *d, struct disk_pending *p, uint64_t begin, uint64_t end)
{
    if (p->kind != SIM_PENDING_WRITE || p->end <= begin || end <= p->begin)
        return;
    if (begin <= p->begin && p->end <= end) {
        disk_pending_drop(d, p);
        return;
    }
    disk_changed(d);
    if (p->begin < begin && end < p->end)
        split_off(d, p, end);
    if (p->begin < begin)
        p->end = begin;
    else
        p->begin = end;
}

/* Bytes `begin` to `end` of the writes before `until` are decided by something else. */
static void clip(struct sim_disk *d, struct disk_inode *i, const struct list *until, uint64_t begin,
                 uint64_t end)
{
    for (struct list *link = i->pending.next, *next; link != until; link = next) {
        next = link->next;
        clip_one(d, of_inode_link(link), begin, end);
    }
}

/* Makes sizes up to `end` durable: what they would cut must not be cut later. */
static void settle_sizes(struct sim_disk *d, struct disk_inode *i, uint64_t end)
{
    struct list *last = NULL;
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next)
        if (of_inode_link(link)->kind == SIM_PENDING_SIZE && of_inode_link(link)->bytes <= end)
            last = link;
    for (bool is_over = !last; !is_over;) {
        struct list *link = i->pending.next;
        while (of_inode_link(link)->kind != SIM_PENDING_SIZE)
            link = link->next;
        is_over = link == last;
        struct disk_pending *p = of_inode_link(link);
        clip(d, i, link, p->bytes, UINT64_MAX);
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
        pending_add(d, i, SIM_PENDING_SIZE)->bytes = end;
}

bool disk_write_is_idle(const struct disk_inode *i, const struct disk_write *w)
{
    uint64_t end = w->offset + w->bytes;
    if (!w->is_zero || !disk_content_is_zero(&i->cached, w->offset, end) ||
        !disk_content_is_zero(&i->durable, w->offset, end))
        return false;
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next) {
        const struct disk_pending *p = of_inode_link(link);
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
        clip(d, i, &i->pending, begin, fits);
        (void)disk_content_write(&i->durable, w, begin, fits);
    }
    if (safety == DISK_CACHED && !disk_inode_is_lost(i)) {
        struct disk_pending *p = pending_add(d, i, SIM_PENDING_WRITE);
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
        pending_add(d, i, SIM_PENDING_SIZE)->bytes = bytes;
}

void disk_pending_cut(struct sim_disk *d, struct disk_inode *i, uint64_t bytes)
{
    clip(d, i, &i->pending, bytes, UINT64_MAX);
    for (struct list *link = i->pending.next, *next; link != &i->pending; link = next) {
        next = link->next;
        if (of_inode_link(link)->kind == SIM_PENDING_SIZE)
            disk_pending_drop(d, of_inode_link(link));
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
        if (of_inode_link(link)->kind == SIM_PENDING_WRITE)
            disk_write_patch(&of_inode_link(link)->write, bytes.data, bytes.bytes, offset, tag);
    disk_changed(d);
}

void disk_tag_sector(struct sim_disk *d, struct disk_inode *i, uint64_t offset, uint32_t tag)
{
    disk_pages_added(d, i, disk_content_set_tag(&i->cached, offset, tag));
    if (offset < i->durable.bytes)
        (void)disk_content_set_tag(&i->durable, offset, tag);
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next)
        if (of_inode_link(link)->kind == SIM_PENDING_WRITE)
            disk_write_set_tag(&of_inode_link(link)->write, offset, tag);
    disk_changed(d);
}

/* ---- syncs ---- */

/* Makes sectors `first` to `last` - 1 of a write durable. */
static void make_sectors(struct disk_pending *p, uint64_t first, uint64_t last)
{
    uint64_t base = p->begin / SIM_SECTOR_BYTES;
    uint64_t begin = (base + first) * SIM_SECTOR_BYTES, end = (base + last) * SIM_SECTOR_BYTES;
    begin = begin > p->begin ? begin : p->begin;
    end = end < p->end ? end : p->end;
    (void)disk_content_write(&p->inode->durable, p->write, begin, end);
}

static void make_durable(struct sim_disk *d, struct disk_pending *p)
{
    switch (p->kind) {
    case SIM_PENDING_WRITE:
        (void)disk_content_write(&p->inode->durable, p->write, p->begin, p->end);
        return;
    case SIM_PENDING_SIZE:
        (void)disk_content_resize(&p->inode->durable, p->bytes);
        return;
    case SIM_PENDING_NAME:
        disk_name_change_apply(d, &p->change, p->inode->id);
        return;
    }
}

void disk_sync(struct sim_disk *d, struct disk_inode *i, uint64_t sequence)
{
    while (!list_is_empty(&i->pending)) {
        struct disk_pending *p = of_inode_link(i->pending.next);
        if (p->sequence >= sequence)
            return;
        make_durable(d, p);
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
        struct disk_pending *p = of_inode_link(link);
        p->is_due = p->sequence < sequence && is_in_marked(d, p);
        if (p->is_due)
            mark_directories(d, p, true);
    }
    disk_inode(d, directory)->is_marked = false;
    for (struct list *link = d->pending_names.next, *next; link != &d->pending_names; link = next) {
        struct disk_pending *p = of_inode_link(link);
        next = link->next;
        if (!p->is_due)
            continue;
        mark_directories(d, p, false);
        make_durable(d, p);
        disk_pending_drop(d, p);
    }
}

/* The cache holds what is durable and what is pending, and nothing else. */
static void rebuild_cache(struct sim_disk *d, struct disk_inode *i)
{
    struct disk_content fresh;
    disk_content_share(&fresh, &i->durable);
    for (struct list *link = i->pending.next; link != &i->pending; link = link->next) {
        const struct disk_pending *p = of_inode_link(link);
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
        struct disk_pending *p = of_inode_link(link);
        next = link->next;
        if (p->kind == SIM_PENDING_WRITE && p->sequence < sequence)
            disk_pending_drop(d, p);
    }
    if (is_now)
        rebuild_cache(d, i);
}

void disk_fail_sync_directory(struct sim_disk *d, uint64_t directory, uint64_t sequence)
{
    disk_inode(d, directory)->is_marked = true;
    for (struct list *link = d->pending_names.next, *next; link != &d->pending_names; link = next) {
        struct disk_pending *p = of_inode_link(link);
        next = link->next;
        if (p->sequence < sequence && is_in_marked(d, p))
            disk_pending_drop(d, p);
    }
    disk_inode(d, directory)->is_marked = false;
}

/* ---- loss of power ---- */

static uint64_t sectors_of(const struct disk_pending *p)
{
    return (p->end - 1) / SIM_SECTOR_BYTES - p->begin / SIM_SECTOR_BYTES + 1;
}

static void begin_loss(struct sim_disk *d)
{
    ASSERT(list_is_empty(&d->in_flight));
    d->is_reloading = true;
}

static void end_loss(struct sim_disk *d)
{
    while (!list_is_empty(&d->pending))
        disk_pending_drop(d, of_link(d->pending.next));
    d->stuck_until_ns = 0;
    disk_reload(d);
    d->is_reloading = false;
    disk_changed(d);
}

void sim_disk_lose_power(struct sim_disk *d, const struct sim_choice *choices)
{
    begin_loss(d);
    for (struct list *link = d->pending.next; link != &d->pending; link = link->next) {
        struct disk_pending *p = of_link(link);
        const struct sim_choice *choice = choices++;
        ASSERT(choice->what != SIM_TEAR || p->kind == SIM_PENDING_WRITE);
        if (choice->what == SIM_KEEP)
            make_durable(d, p);
        if (choice->what == SIM_TEAR)
            make_sectors(p, choice->sector_begin, choice->sector_end);
    }
    end_loss(d);
}

static void tear(struct disk_pending *p, struct sim_dice *dice)
{
    uint64_t sectors = sectors_of(p);
    if (sim_dice_below(dice, 2) == 0) {
        uint64_t first = sim_dice_below(dice, sectors);
        make_sectors(p, first, sim_dice_between(dice, first + 1, sectors));
        return;
    }
    uint64_t bits = 0;
    for (uint64_t i = 0; i < sectors; i++) {
        bits = i % 64 ? bits >> 1 : sim_dice_next(dice);
        if (bits & 1)
            make_sectors(p, i, i + 1);
    }
}

void disk_on_power_loss(struct sim_disk *d, struct sim_world *w)
{
    struct sim_dice *torn = &disk_dice(d, w, DISK_DRAW_REST)->fault[SIM_TORN_WRITE];
    begin_loss(d);
    for (struct list *link = d->pending.next; link != &d->pending; link = link->next) {
        struct disk_pending *p = of_link(link);
        enum sim_fault fault = p->kind == SIM_PENDING_NAME ? SIM_DROPPED_NAME : SIM_DROPPED_WRITE;
        bool is_dropped = disk_draws_fault(d, w, DISK_DRAW_REST, fault);
        bool can_tear = p->kind == SIM_PENDING_WRITE && sectors_of(p) > 1;
        bool is_torn = can_tear && disk_draws_fault(d, w, DISK_DRAW_REST, SIM_TORN_WRITE);
        if (is_torn && !is_dropped)
            tear(p, torn);
        else if (!is_dropped)
            make_durable(d, p);
    }
    end_loss(d);
}

/* ---- looking at it ---- */

struct disk_view *disk_view_new(void)
{
    return sim_alloc(sizeof(struct disk_view));
}

void disk_view_free(struct disk_view *v)
{
    if (v->settled)
        sim_disk_free(v->settled);
    sim_free(v->items);
    sim_free(v);
}

static const struct disk_view *look(const struct sim_disk *d)
{
    struct disk_view *v = d->view;
    if (v->is_valid && v->version == d->version)
        return v;
    if (v->settled)
        sim_disk_free(v->settled);
    v->settled = d->changing_count > 0 ? sim_disk_clone(d) : NULL;
    const struct sim_disk *shown = v->settled ? v->settled : d;
    v->items = sim_realloc(v->items, shown->pending_count * sizeof(struct disk_pending *));
    v->count = 0;
    for (struct list *link = shown->pending.next; link != &shown->pending; link = link->next)
        v->items[v->count++] = of_link(link);
    v->version = d->version;
    v->is_valid = true;
    return v;
}

uint32_t sim_disk_pending_count(const struct sim_disk *d)
{
    return d->changing_count > 0 ? look(d)->count : d->pending_count;
}

struct sim_pending sim_disk_pending(const struct sim_disk *d, uint32_t index)
{
    const struct disk_view *v = look(d);
    ASSERT(index < v->count);
    const struct disk_pending *p = v->items[index];
    struct sim_pending shown = {.kind = p->kind, .file = p->inode->id};
    shown.offset = p->kind == SIM_PENDING_WRITE ? p->begin : 0;
    shown.bytes = p->kind == SIM_PENDING_WRITE ? p->end - p->begin : p->bytes;
    return shown;
}

uint64_t sim_disk_change_count(const struct sim_disk *d)
{
    return d->change_count;
}
