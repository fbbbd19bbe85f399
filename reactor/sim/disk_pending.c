/* disk_pending.c - the list of what is in the cache and not durable, oldest first.
 *
 * A write is in it by its data, which clones share, and by the part of it that still matters: what was
 * written durably since then is clipped away. So whatever is kept of the list can be made in order at a loss
 * of power and never undoes what was durable. */
#include "reactor/sim/disk.h"

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

struct disk_pending *disk_pending_add(struct sim_disk *d, struct disk_inode *i, enum sim_pending_kind kind)
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

void disk_pending_name(struct sim_disk *d, struct disk_inode *i, const struct disk_name_change *change)
{
    struct disk_pending *p = disk_pending_add(d, i, SIM_PENDING_NAME);
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
        const struct disk_pending *p = disk_pending_of(link);
        struct disk_pending *copy = disk_pending_add(to, disk_inode(to, p->inode->id), p->kind);
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

/* ---- clipped and made ---- */

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

void disk_pending_clip(struct sim_disk *d, struct disk_inode *i, const struct list *until, uint64_t begin,
                       uint64_t end)
{
    for (struct list *link = i->pending.next, *next; link != until; link = next) {
        next = link->next;
        clip_one(d, disk_pending_of_inode(link), begin, end);
    }
}

void disk_pending_apply(struct sim_disk *d, struct disk_pending *p)
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
        v->items[v->count++] = disk_pending_of(link);
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
