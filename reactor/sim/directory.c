/* directory.c - the directories of reactor.h on a simulated disk: made, synced and listed by operations in
 * flight; locked and measured at once, as the other backend does. */
#include "reactor/sim/disk_operation.h"

#include <errno.h>

enum { NAMES_A_SLICE = 64 }; /* between two looks at the clock */

/* A directory held by this node until the core that took it ends. */
struct lock {
    struct list link;
    struct disk_inode *directory;
};

/* What a listing holds on to. A core may end in the middle of one, and its tasks are not unwound. */
struct listing {
    struct list link;
    struct disk_names *names;
};

static void listing_release(struct listing *l)
{
    list_remove(&l->link);
    disk_names_release(l->names);
    sim_free(l);
}

int directory_create(struct reactor *r, const char *path)
{
    struct disk_operation *o = disk_operation_new(r, NULL, DISK_DRAW_DIRECTORY_CREATE);
    disk_operation_set_paths(o, path, NULL);
    return (int)disk_operation_wait(o);
}

int directory_remove(struct reactor *r, const char *path)
{
    struct disk_operation *o = disk_operation_new(r, NULL, DISK_DRAW_REMOVE);
    disk_operation_set_paths(o, path, NULL);
    o->is_of_directory = true;
    return (int)disk_operation_wait(o);
}

int directory_sync(struct reactor *r, const char *path)
{
    struct disk_operation *o = disk_operation_new(r, NULL, DISK_DRAW_DIRECTORY_SYNC);
    disk_operation_set_paths(o, path, NULL);
    return (int)disk_operation_wait(o);
}

int directory_list(struct reactor *r, const char *path, int (*each)(void *context, const char *name),
                   void *context)
{
    struct disk_inode *directory;
    struct disk_operation *o = disk_operation_new(r, NULL, DISK_DRAW_DIRECTORY_LIST);
    disk_operation_set_paths(o, path, NULL);
    int64_t waited = disk_operation_wait(o);
    ASSERT(waited == 0);
    int rc = disk_find_directory(r->node->disk, path, &directory);
    if (rc)
        return rc;
    /* Held on to: `each` may wait, and the directory may change meanwhile. */
    struct listing *listing = sim_alloc(sizeof *listing);
    struct disk_names *names = listing->names = disk_names_acquire(directory->cached_names);
    list_push_back(&r->listings, &listing->link);
    for (uint32_t i = 0; rc == 0 && names && i < names->count; i++) {
        rc = each(context, names->entries[i].name->text);
        if (i % NAMES_A_SLICE == NAMES_A_SLICE - 1)
            task_yield_if_due(r);
    }
    listing_release(listing);
    return rc;
}

int directory_lock(struct reactor *r, const char *path)
{
    struct disk_inode *directory;
    int rc = disk_find_directory(r->node->disk, path, &directory);
    if (rc || directory->is_locked)
        return rc ? rc : -EWOULDBLOCK;
    struct lock *lock = sim_alloc(sizeof *lock);
    lock->directory = directory;
    directory->is_locked = true;
    list_push_back(&r->locks, &lock->link);
    return 0;
}

void disk_locks_release(struct reactor *r)
{
    for (struct list *link; (link = list_pop_front(&r->locks));) {
        struct lock *lock = CONTAINER_OF(link, struct lock, link);
        lock->directory->is_locked = false;
        sim_free(lock);
    }
    while (!list_is_empty(&r->listings))
        listing_release(CONTAINER_OF(r->listings.next, struct listing, link));
}

int directory_free_bytes(struct reactor *r, const char *path, uint64_t *bytes)
{
    const struct sim_disk *d = r->node->disk;
    struct disk_inode *i;
    int rc = disk_find(d, path, &i);
    uint64_t used = sim_disk_used_bytes(d);
    *bytes = d->capacity > used ? (d->capacity - used) / SIM_DISK_PAGE_BYTES * SIM_DISK_PAGE_BYTES : 0;
    return rc;
}
