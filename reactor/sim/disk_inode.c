/* disk_inode.c - inodes: who names them, who holds them, and what is left of them after a loss of power.
 *
 * A change of names is made in the cached layer and becomes pending; it carries the inode, so a rename that
 * survives a crash makes its name even when the create before it did not survive. `names` counts the cached
 * entries of an inode, `holds` the durable ones and the pending changes. */
#include "reactor/sim/disk.h"

#include <string.h>

enum { INODES_FIRST = 32, DEPTH_MAX = 64 };

/* ---- inodes ---- */

static uint32_t inode_place(const struct sim_disk *d, uint64_t id)
{
    uint32_t low = 0, high = d->inode_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (d->inodes[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct disk_inode *disk_inode(const struct sim_disk *d, uint64_t id)
{
    uint32_t place = inode_place(d, id);
    return place < d->inode_count && d->inodes[place]->id == id ? d->inodes[place] : NULL;
}

struct disk_inode *disk_inode_new(struct sim_disk *d, bool is_directory)
{
    struct disk_inode *i = sim_alloc(sizeof *i);
    i->id = d->next_inode++;
    i->is_directory = is_directory;
    list_init(&i->pending);
    if (d->inode_count == d->inode_capacity) {
        d->inode_capacity = d->inode_capacity ? d->inode_capacity * 2 : INODES_FIRST;
        d->inodes = sim_realloc(d->inodes, d->inode_capacity * sizeof(struct disk_inode *));
    }
    d->inodes[d->inode_count++] = i;
    return i;
}

static void drop_pending(struct sim_disk *d, struct disk_inode *i)
{
    while (!list_is_empty(&i->pending))
        disk_pending_drop(d, CONTAINER_OF(i->pending.next, struct disk_pending, of_inode));
}

void disk_inode_destroy(struct sim_disk *d, struct disk_inode *i)
{
    drop_pending(d, i);
    disk_content_free(&i->cached);
    disk_content_free(&i->durable);
    disk_names_release(i->cached_names);
    disk_names_release(i->durable_names);
    sim_free(i);
}

static bool is_counted(const struct disk_inode *i)
{
    return i->names > 0 || i->opens > 0;
}

/* A directory stays until the next loss of power: nothing but a rename can take its name. */
void disk_inode_check(struct sim_disk *d, struct disk_inode *i)
{
    if (i->is_directory || !disk_inode_is_lost(i) || d->is_reloading)
        return;
    drop_pending(d, i);
    if (i->opens > 0)
        return;
    uint32_t place = inode_place(d, i->id);
    ASSERT(place < d->inode_count && d->inodes[place] == i);
    memmove(&d->inodes[place], &d->inodes[place + 1],
            (--d->inode_count - place) * sizeof(struct disk_inode *));
    disk_inode_destroy(d, i);
}

void disk_inode_opened(struct sim_disk *d, struct disk_inode *i)
{
    d->used_pages += is_counted(i) ? 0 : i->pages;
    i->opens++;
}

void disk_inode_closed(struct sim_disk *d, struct disk_inode *i)
{
    ASSERT(i->opens > 0);
    i->opens--;
    d->used_pages -= is_counted(i) ? 0 : i->pages;
    disk_inode_check(d, i);
}

/* Sets a name in the cache: what it named before loses one, `inode` gains one. */
static void set_cached(struct sim_disk *d, uint64_t directory, struct disk_name *name,
                       struct disk_inode *inode)
{
    struct disk_inode *in = disk_inode(d, directory);
    struct disk_inode *before = disk_inode(d, disk_names_set(&in->cached_names, name, inode ? inode->id : 0));
    d->names_version++;
    if (inode) {
        d->used_pages += is_counted(inode) ? 0 : inode->pages;
        inode->names++;
    }
    if (before) {
        before->names--;
        d->used_pages -= is_counted(before) ? 0 : before->pages;
    }
}

static void set_durable(struct sim_disk *d, uint64_t directory, struct disk_name *name,
                        struct disk_inode *inode)
{
    struct disk_inode *in = disk_inode(d, directory);
    if (!in)
        return; /* its own name was lost */
    struct disk_inode *before =
        disk_inode(d, disk_names_set(&in->durable_names, name, inode ? inode->id : 0));
    if (inode)
        inode->holds++;
    if (before) {
        before->holds--;
        disk_inode_check(d, before);
    }
}

void disk_name_change_apply(struct sim_disk *d, const struct disk_name_change *change, uint64_t inode)
{
    if (change->to)
        set_durable(d, change->to_directory, change->to, disk_inode(d, inode));
    if (change->from)
        set_durable(d, change->from_directory, change->from, NULL);
}

void disk_change_names(struct sim_disk *d, struct disk_inode *i, struct disk_name_change change)
{
    disk_pending_name(d, i, &change);
    struct disk_inode *replaced = NULL;
    if (change.to) {
        const struct disk_names *n = disk_inode(d, change.to_directory)->cached_names;
        replaced = disk_inode(d, disk_names_find(n, change.to->text, change.to->bytes));
        set_cached(d, change.to_directory, change.to, i);
    }
    if (change.from)
        set_cached(d, change.from_directory, change.from, NULL);
    disk_name_release(change.to);
    disk_name_release(change.from);
    if (replaced && replaced != i)
        disk_inode_check(d, replaced);
}

/* ---- the driver's ---- */

/* Takes all names of `inode` out of one layer of a directory. Returns: how many there were. */
static uint32_t forget_in(struct disk_names **slot, uint64_t inode)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; *slot && i < (*slot)->count;) {
        if ((*slot)->entries[i].inode != inode) {
            i++;
            continue;
        }
        struct disk_name *name = disk_name_acquire((*slot)->entries[i].name);
        disk_names_set(slot, name, 0);
        disk_name_release(name);
        taken++;
    }
    return taken;
}

void disk_forget_file(struct sim_disk *d, struct disk_inode *i)
{
    ASSERT(!i->is_directory);
    i->holds++; /* until the end of this function */
    for (struct list *link = d->pending.next, *next; link != &d->pending; link = next) {
        struct disk_pending *p = CONTAINER_OF(link, struct disk_pending, link);
        next = link->next;
        if (p->inode == i)
            disk_pending_drop(d, p);
    }
    bool was_counted = is_counted(i);
    for (uint32_t k = 0; k < d->inode_count; k++) {
        i->names -= forget_in(&d->inodes[k]->cached_names, i->id);
        i->holds -= forget_in(&d->inodes[k]->durable_names, i->id);
    }
    d->used_pages -= was_counted && !is_counted(i) ? i->pages : 0;
    d->names_version++;
    d->change_count++;
    i->holds--;
    disk_inode_check(d, i);
}

void disk_path_of(const struct sim_disk *d, uint64_t id, char *path, size_t bytes)
{
    size_t at = bytes - 1; /* it is written from its end */
    path[at] = 0;
    for (unsigned depth = 0; id != DISK_ROOT && depth < DEPTH_MAX; depth++) {
        const struct disk_name *name = NULL;
        uint64_t directory = 0;
        for (uint32_t k = 0; !name && k < d->inode_count; k++) {
            const struct disk_names *n = d->inodes[k]->cached_names;
            for (uint32_t e = 0; n && !name && e < n->count; e++)
                name = n->entries[e].inode == id ? n->entries[e].name : NULL;
            directory = d->inodes[k]->id;
        }
        if (!name || at < name->bytes + (path[at] != 0))
            break;
        if (path[at] != 0)
            path[--at] = '/';
        at -= name->bytes;
        memcpy(path + at, name->text, name->bytes);
        id = directory;
    }
    memmove(path, path + at, bytes - at);
}

/* ---- after a loss of power ---- */

/* Marks in `names` what can be reached through durable directories. Parents are found before their children,
 * as the marks are repeated until nothing is new: as often as directories are deep. */
static void mark_reachable(struct sim_disk *d)
{
    bool is_new = true;
    disk_inode(d, DISK_ROOT)->opens = 1; /* a mark, until disk_reload is over */
    while (is_new) {
        is_new = false;
        for (uint32_t k = 0; k < d->inode_count; k++) {
            struct disk_inode *in = d->inodes[k];
            if (in->opens != 1)
                continue;
            in->opens = 2;
            for (uint32_t e = 0; in->durable_names && e < in->durable_names->count; e++) {
                struct disk_inode *i = disk_inode(d, in->durable_names->entries[e].inode);
                ASSERT(i);
                i->names++;
                i->holds++;
                is_new |= i->opens == 0;
                i->opens = i->opens ? i->opens : 1;
            }
        }
    }
}

/* What is in the cache was never there. */
static void forget_cache(struct sim_disk *d, struct disk_inode *i)
{
    (void)disk_content_resize(&i->durable, i->durable.bytes);
    disk_content_free(&i->cached);
    disk_content_share(&i->cached, &i->durable);
    struct disk_names *names = disk_names_acquire(i->durable_names);
    disk_names_release(i->cached_names);
    i->cached_names = names;
    i->pages = disk_content_pages(&i->cached);
    d->used_pages += i->pages;
}

void disk_reload(struct sim_disk *d)
{
    ASSERT(d->pending_count == 0);
    for (uint32_t k = 0; k < d->inode_count; k++) {
        ASSERT(d->inodes[k]->opens == 0);
        d->inodes[k]->names = d->inodes[k]->holds = 0;
        d->inodes[k]->is_locked = false;
    }
    mark_reachable(d);
    uint32_t kept = 0, count = d->inode_count;
    d->used_pages = 0;
    for (uint32_t k = 0; k < count; k++) {
        struct disk_inode *i = d->inodes[k];
        if (i->opens == 0) {
            disk_inode_destroy(d, i);
            continue;
        }
        i->opens = 0;
        forget_cache(d, i);
        d->inodes[kept++] = i;
    }
    d->inode_count = kept;
    d->names_version++;
    d->change_count++;
}
