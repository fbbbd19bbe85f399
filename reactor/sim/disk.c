/* disk.c - a simulated disk as a whole: made, copied, wiped, measured, and what its driver reads and changes.
 *
 * A disk belongs to no world: it has a number for its draws, and each call that draws is given the world. So
 * it outlives the runs of its node and can be moved, and a copy costs a count a file, whatever is on it. */
#include "reactor/sim/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096 };

/* Every file that has a name, in byte order of the paths. Made when it is asked for. */
struct disk_listing {
    uint64_t version;
    bool is_valid;
    uint32_t count;
    uint32_t capacity;
    struct listed {
        char *path;
        uint64_t inode;
    } * files;
};

/* ---- made and copied ---- */

static struct sim_disk *disk_bare(uint64_t capacity_bytes, uint64_t entity)
{
    struct sim_disk *d = sim_alloc(sizeof *d);
    d->entity = entity;
    d->capacity = capacity_bytes;
    d->next_inode = DISK_ROOT;
    d->view = disk_view_new();
    d->listing = sim_alloc(sizeof *d->listing);
    list_init(&d->pending);
    list_init(&d->pending_names);
    list_init(&d->in_flight);
    list_init(&d->ended);
    return d;
}

struct sim_disk *sim_disk_new(uint64_t capacity_bytes, uint64_t entity)
{
    struct sim_disk *d = disk_bare(capacity_bytes, entity);
    struct disk_inode *root = disk_inode_new(d, true);
    ASSERT(root->id == DISK_ROOT);
    return d;
}

static void listing_clear(struct disk_listing *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        sim_free(l->files[i].path);
    l->count = 0;
    l->is_valid = false;
}

static void drop_everything(struct sim_disk *d)
{
    d->is_reloading = true;
    while (!list_is_empty(&d->pending))
        disk_pending_drop(d, CONTAINER_OF(d->pending.next, struct disk_pending, link));
    for (uint32_t i = 0; i < d->inode_count; i++)
        disk_inode_destroy(d, d->inodes[i]);
    d->inode_count = 0;
    d->is_reloading = false;
}

void sim_disk_free(struct sim_disk *d)
{
    if (!d)
        return;
    ASSERT(list_is_empty(&d->in_flight) && list_is_empty(&d->ended));
    drop_everything(d);
    listing_clear(d->listing);
    sim_free(d->listing->files);
    sim_free(d->listing);
    disk_view_free(d->view);
    sim_free(d->inodes);
    sim_free(d->corruptions);
    sim_free(d);
}

void sim_disk_wipe(struct sim_disk *d)
{
    ASSERT(list_is_empty(&d->in_flight));
    drop_everything(d);
    d->used_pages = 0;
    uint64_t next = d->next_inode;
    d->next_inode = DISK_ROOT;
    (void)disk_inode_new(d, true);
    d->next_inode = next;
    d->stuck_until_ns = 0;
    d->names_version++;
    disk_changed(d);
}

static void inode_copy(struct sim_disk *to, const struct disk_inode *i)
{
    struct disk_inode *copy = sim_alloc(sizeof *copy);
    copy->id = i->id;
    copy->is_directory = i->is_directory;
    disk_content_share(&copy->cached, &i->cached);
    disk_content_share(&copy->durable, &i->durable);
    copy->cached_names = disk_names_acquire(i->cached_names);
    copy->durable_names = disk_names_acquire(i->durable_names);
    copy->pages = i->pages;
    copy->names = i->names;
    copy->holds = i->holds;
    list_init(&copy->pending);
    to->used_pages += copy->names > 0 ? copy->pages : 0;
    to->inodes[to->inode_count++] = copy;
}

/* Files that are open there and have no name and no hold are not in the copy, but what is in flight for them
 * is to find them: they go at its end. */
static void drop_unnamed(struct sim_disk *d)
{
    for (uint32_t k = d->inode_count; k > 0; k--)
        disk_inode_check(d, d->inodes[k - 1]);
}

struct sim_disk *sim_disk_clone(const struct sim_disk *d)
{
    struct sim_disk *copy = disk_bare(d->capacity, d->entity);
    copy->inode_capacity = d->inode_count + 1;
    copy->inodes = sim_realloc(NULL, copy->inode_capacity * sizeof(struct disk_inode *));
    for (uint32_t i = 0; i < d->inode_count; i++)
        inode_copy(copy, d->inodes[i]);
    disk_pending_clone(copy, d);
    copy->corruption_count = copy->corruption_capacity = d->corruption_count;
    if (d->corruption_count > 0) {
        size_t bytes = d->corruption_count * sizeof *d->corruptions;
        copy->corruptions = memcpy(sim_realloc(NULL, bytes), d->corruptions, bytes);
    }
    copy->next_inode = d->next_inode;
    copy->pending_sequence = d->pending_sequence;
    copy->dice_seed = d->dice_seed;
    copy->dice_ready = d->dice_ready;
    memcpy(copy->dice, d->dice, sizeof copy->dice);
    disk_operations_settle(copy, d);
    drop_unnamed(copy);
    copy->change_count = d->change_count;
    return copy;
}

void sim_disk_set_capacity(struct sim_disk *d, uint64_t bytes)
{
    d->capacity = bytes;
}

uint64_t sim_disk_used_bytes(const struct sim_disk *d)
{
    return d->used_pages * SIM_DISK_PAGE_BYTES;
}

/* ---- the files on it ---- */

static void list_file(struct disk_listing *l, const char *prefix, const struct disk_entry *e)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->files = sim_realloc(l->files, l->capacity * sizeof *l->files);
    }
    size_t before = strlen(prefix);
    char *path = sim_realloc(NULL, before + e->name->bytes + 2);
    memcpy(path, prefix, before);
    path[before] = '/';
    memcpy(path + before + (before > 0), e->name->text, e->name->bytes + 1);
    l->files[l->count++] = (struct listed){path, e->inode};
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct listed *)a)->path, ((const struct listed *)b)->path);
}

static const struct disk_listing *listing_of(const struct sim_disk *d)
{
    struct disk_listing *l = d->listing;
    if (l->is_valid && l->version == d->names_version)
        return l;
    listing_clear(l);
    for (uint32_t k = 0; k < d->inode_count; k++) {
        const struct disk_inode *in = d->inodes[k];
        char prefix[PATH_BYTES_MAX] = "";
        if (!in->cached_names || in->cached_names->count == 0)
            continue;
        disk_path_of(d, in->id, prefix, sizeof prefix);
        for (uint32_t e = 0; e < in->cached_names->count; e++)
            if (!disk_inode(d, in->cached_names->entries[e].inode)->is_directory)
                list_file(l, prefix, &in->cached_names->entries[e]);
    }
    if (l->count > 0)
        qsort(l->files, l->count, sizeof *l->files, by_path);
    l->version = d->names_version;
    l->is_valid = true;
    return l;
}

uint32_t sim_disk_file_count(const struct sim_disk *d)
{
    return listing_of(d)->count;
}

struct sim_file_info sim_disk_file_at(const struct sim_disk *d, uint32_t index)
{
    const struct disk_listing *l = listing_of(d);
    ASSERT(index < l->count);
    const struct disk_inode *i = disk_inode(d, l->files[index].inode);
    return (struct sim_file_info){.path = l->files[index].path,
                                  .id = i->id,
                                  .bytes = i->cached.bytes,
                                  .buffered_reads = i->buffered_reads};
}

int64_t sim_disk_peek(const struct sim_disk *d, const char *path, void *to, size_t bytes, uint64_t offset)
{
    struct disk_inode *i;
    int rc = disk_find(d, path, &i);
    if (rc || i->is_directory)
        return rc ? rc : -EISDIR;
    return (int64_t)disk_content_read(&i->cached, to, bytes, offset);
}

static struct disk_inode *file_that_is_there(const struct sim_disk *d, const char *path)
{
    struct disk_inode *i;
    int rc = disk_find(d, path, &i);
    ASSERT(rc == 0 && !i->is_directory);
    return i;
}

void sim_disk_poke(struct sim_disk *d, const char *path, const void *from, size_t bytes, uint64_t offset)
{
    struct disk_inode *i = file_that_is_there(d, path);
    ASSERT(offset <= i->cached.bytes && bytes <= i->cached.bytes - offset);
    disk_patch(d, i, (struct slice){from, bytes}, offset, 0);
}

void sim_disk_remove_file(struct sim_disk *d, const char *path)
{
    disk_forget_file(d, file_that_is_there(d, path));
}

void sim_disk_truncate_file(struct sim_disk *d, const char *path, uint64_t bytes)
{
    disk_pending_cut(d, file_that_is_there(d, path), bytes);
}
