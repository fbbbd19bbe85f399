/* directory.c - directories: made and synced through the ring; listed, locked and measured by plain short
 * calls, for which the ring has no operation. */
#include "reactor/uring/uring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0755, NAMES_FIRST = 64, NAMES_MAX = 1 << 24 };

/* A directory held by this process until its core ends. */
struct lock {
    struct list link;
    int fd;
};

static int open_directory(struct reactor *r, const char *path)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return ring_await_fd(r, sqe);
}

int directory_create(struct reactor *r, const char *path)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_mkdir(sqe, path, DIRECTORY_MODE);
    return ring_await(r, sqe);
}

int directory_remove(struct reactor *r, const char *path)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_unlink(sqe, path, AT_REMOVEDIR);
    return ring_await(r, sqe);
}

int directory_sync(struct reactor *r, const char *path)
{
    int fd = open_directory(r, path);
    if (fd < 0)
        return fd;
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_fsync(sqe, fd, 0);
    int rc = ring_await(r, sqe);
    ring_close_fd(r, fd);
    return rc;
}

/* ---- listing ---- */

struct names {
    char **names;
    size_t count;
    size_t capacity;
};

static int names_add(struct reactor *r, struct names *n, const char *name)
{
    if (n->count == n->capacity) {
        size_t capacity = n->capacity ? n->capacity * 2 : NAMES_FIRST;
        char **names = capacity <= NAMES_MAX ? reactor_realloc(r, n->names, capacity * sizeof *names) : NULL;
        if (!names)
            return TORC_E_NO_MEMORY;
        n->names = names;
        n->capacity = capacity;
    }
    size_t bytes = strlen(name) + 1;
    char *copy = reactor_alloc(r, bytes);
    if (!copy)
        return TORC_E_NO_MEMORY;
    n->names[n->count++] = memcpy(copy, name, bytes);
    return 0;
}

static void names_free(struct reactor *r, struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        reactor_free(r, n->names[i]);
    reactor_free(r, n->names);
}

static int names_read(struct reactor *r, struct names *n, DIR *directory)
{
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry)
            return errno ? -errno : 0;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = names_add(r, n, entry->d_name);
    }
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int directory_list(struct reactor *r, const char *path, int (*each)(void *context, const char *name),
                   void *context)
{
    struct names n = {0};
    DIR *directory = opendir(path);
    if (!directory)
        return -errno;
    int rc = names_read(r, &n, directory);
    closedir(directory);
    if (rc == 0 && n.count > 0)
        qsort(n.names, n.count, sizeof *n.names, by_bytes);
    for (size_t i = 0; rc == 0 && i < n.count; i++)
        rc = each(context, n.names[i]);
    names_free(r, &n);
    return rc;
}

/* ---- locking and space ---- */

int directory_lock(struct reactor *r, const char *path)
{
    struct lock *lock = heap_alloc(&r->core.heap, sizeof *lock);
    if (!lock)
        return TORC_E_NO_MEMORY;
    lock->fd = open_directory(r, path);
    int rc = lock->fd < 0 ? lock->fd : 0;
    if (rc == 0 && flock(lock->fd, LOCK_EX | LOCK_NB)) {
        rc = -errno;
        ring_close_fd(r, lock->fd);
    }
    if (rc)
        heap_free(&r->core.heap, lock);
    else
        list_push_back(&r->locks, &lock->link);
    return rc;
}

void locks_close_all(struct reactor *r)
{
    for (struct list *link; (link = list_pop_front(&r->locks));)
        close(CONTAINER_OF(link, struct lock, link)->fd);
}

int directory_free_bytes(struct reactor *r, const char *path, uint64_t *bytes)
{
    struct statvfs info;
    (void)r;
    if (statvfs(path, &info))
        return -errno;
    *bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return 0;
}
