/* directory.c - directories: made and synced through the ring; locked and measured by plain short calls, for
 * which the ring has no operation. They are listed in listing.c. */
#include "reactor/uring/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0755 };

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
