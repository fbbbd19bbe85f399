/* disk_paths.c - what the calls with paths do, in the cached layer, with the errors of Linux.
 *
 * Relative paths begin at the root, as absolute ones do; "." and empty components count for nothing. */
#include "reactor/sim/disk.h"

#include <errno.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

/* The last component of a path, and the directory that holds it or would. */
struct place {
    struct disk_inode *directory;
    const char *name;
    size_t bytes;             /* 0: the path is the root itself */
    struct disk_inode *inode; /* null: there is no such name */
};

static const char *next_component(const char *path, size_t *bytes)
{
    for (;;) {
        path += strspn(path, "/");
        *bytes = strcspn(path, "/");
        if (*bytes != 1 || path[0] != '.')
            return path;
        path++;
    }
}

/* Returns: 0, even when the last component is missing; -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
static int walk(const struct sim_disk *d, const char *path, struct place *at)
{
    *at = (struct place){.inode = disk_inode(d, DISK_ROOT)};
    if (path[0] == 0)
        return -ENOENT;
    size_t bytes;
    const char *name = next_component(path, &bytes);
    for (unsigned depth = 0; bytes > 0; depth++) {
        if (!at->inode)
            return -ENOENT;
        if (!at->inode->is_directory)
            return -ENOTDIR;
        if (bytes > DISK_NAME_BYTES_MAX || depth > DEPTH_MAX)
            return -ENAMETOOLONG;
        at->directory = at->inode;
        at->name = name;
        at->bytes = bytes;
        at->inode = disk_inode(d, disk_names_find(at->directory->cached_names, name, bytes));
        name = next_component(name + bytes, &bytes);
    }
    return 0;
}

int disk_find(const struct sim_disk *d, const char *path, struct disk_inode **out)
{
    struct place at;
    int rc = walk(d, path, &at);
    *out = rc ? NULL : at.inode;
    return rc || at.inode ? rc : -ENOENT;
}

int disk_find_directory(const struct sim_disk *d, const char *path, struct disk_inode **out)
{
    int rc = disk_find(d, path, out);
    return rc || (*out)->is_directory ? rc : -ENOTDIR;
}

static void add_name(struct sim_disk *d, const struct place *at, struct disk_inode *i)
{
    disk_change_names(d, i,
                      (struct disk_name_change){.to_directory = at->directory->id,
                                                .to = disk_name_new(at->name, at->bytes)});
}

int disk_open_file(struct sim_disk *d, const char *path, unsigned flags, struct disk_inode **out)
{
    struct place at;
    int rc = walk(d, path, &at);
    if (rc)
        return rc;
    if (at.inode && (flags & FILE_CREATE) && (flags & FILE_EXCLUSIVE))
        return -EEXIST;
    if (at.inode && at.inode->is_directory)
        return -EISDIR;
    if (!at.inode && !(flags & FILE_CREATE))
        return -ENOENT;
    if (!at.inode) {
        at.inode = disk_inode_new(d, false);
        add_name(d, &at, at.inode);
    }
    *out = at.inode;
    return 0;
}

int disk_make_directory(struct sim_disk *d, const char *path)
{
    struct place at;
    int rc = walk(d, path, &at);
    if (rc || at.inode)
        return rc ? rc : -EEXIST;
    add_name(d, &at, disk_inode_new(d, true));
    return 0;
}

int disk_link(struct sim_disk *d, const char *from, const char *to)
{
    struct disk_inode *i;
    struct place at;
    int rc = disk_find(d, from, &i);
    rc = rc ? rc : walk(d, to, &at);
    if (rc || at.inode)
        return rc ? rc : -EEXIST;
    if (i->is_directory)
        return -EPERM;
    add_name(d, &at, i);
    return 0;
}

int disk_unlink(struct sim_disk *d, const char *path)
{
    struct place at;
    int rc = walk(d, path, &at);
    if (rc || !at.inode)
        return rc ? rc : -ENOENT;
    if (at.inode->is_directory)
        return -EISDIR;
    disk_change_names(d, at.inode,
                      (struct disk_name_change){.from_directory = at.directory->id,
                                                .from = disk_name_new(at.name, at.bytes)});
    return 0;
}

int disk_remove_directory(struct sim_disk *d, const char *path)
{
    struct place at;
    int rc = walk(d, path, &at);
    if (rc || !at.inode)
        return rc ? rc : -ENOENT;
    if (!at.inode->is_directory)
        return -ENOTDIR;
    if (!at.directory)
        return -EBUSY; /* the root */
    if (at.inode->cached_names && at.inode->cached_names->count > 0)
        return -ENOTEMPTY;
    disk_change_names(d, at.inode,
                      (struct disk_name_change){.from_directory = at.directory->id,
                                                .from = disk_name_new(at.name, at.bytes)});
    return 0;
}

/* Whether `to` is `from` or somewhere below it. */
static bool is_below(const struct sim_disk *d, const struct disk_inode *from, const char *path)
{
    const struct disk_inode *at = disk_inode(d, DISK_ROOT);
    size_t bytes;
    for (const char *name = next_component(path, &bytes); bytes > 0;
         name = next_component(name + bytes, &bytes)) {
        at = disk_inode(d, disk_names_find(at->cached_names, name, bytes));
        if (!at || at == from)
            return at != NULL;
    }
    return false;
}

static int check_rename(const struct sim_disk *d, const struct place *from, const struct place *to,
                        const char *path)
{
    if (!from->inode)
        return -ENOENT;
    if (!from->directory || !to->directory)
        return -EBUSY; /* the root */
    if (!from->inode->is_directory)
        return to->inode && to->inode->is_directory ? -EISDIR : 0;
    if (from->inode != to->inode && is_below(d, from->inode, path))
        return -EINVAL;
    if (to->inode && !to->inode->is_directory)
        return -ENOTDIR;
    bool is_empty = !to->inode || !to->inode->cached_names || to->inode->cached_names->count == 0;
    return is_empty || from->inode == to->inode ? 0 : -ENOTEMPTY;
}

int disk_rename(struct sim_disk *d, const char *from, const char *to)
{
    struct place old, fresh;
    int rc = walk(d, from, &old);
    rc = rc ? rc : walk(d, to, &fresh);
    rc = rc ? rc : check_rename(d, &old, &fresh, to);
    if (rc || old.inode == fresh.inode)
        return rc;
    disk_change_names(d, old.inode,
                      (struct disk_name_change){.from_directory = old.directory->id,
                                                .to_directory = fresh.directory->id,
                                                .from = disk_name_new(old.name, old.bytes),
                                                .to = disk_name_new(fresh.name, fresh.bytes)});
    return 0;
}
