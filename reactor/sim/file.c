/* file.c - the files of reactor.h on a simulated disk.
 *
 * As in the other backend reads and writes are operations that the caller owns; here each has a twin in
 * memory of the world, since the caller's may go with its heap while the operation is in flight. */
#include "reactor/sim/disk_operation.h"

#include <errno.h>

enum { FILE_TRANSFER_MAX = 1 << 30 };

/* ---- reading and writing ---- */

struct transfer {
    void *to;
    const void *from;
    size_t bytes;
    uint64_t offset;
};

static struct disk_operation *transfer_new(struct reactor *r, struct file *f, enum disk_draw kind,
                                           const struct transfer *t)
{
    uintptr_t memory = kind == DISK_DRAW_READ ? (uintptr_t)t->to : (uintptr_t)t->from;
    ASSERT(t->bytes <= FILE_TRANSFER_MAX);
    ASSERT(!(f->flags & FILE_DIRECT) || (memory | t->bytes | t->offset) % FILE_ALIGNMENT == 0);
    struct disk_operation *o = disk_operation_new(r, f, kind);
    o->buffer = t->to;
    o->from = t->from;
    o->bytes = t->bytes;
    o->offset = t->offset;
    return o;
}

void file_read_start(struct reactor *r, struct file *f, struct file_operation *op, void *to, size_t bytes,
                     uint64_t offset)
{
    ASSERT(op->done);
    struct transfer t = {.to = to, .bytes = bytes, .offset = offset};
    struct disk_operation *o = transfer_new(r, f, DISK_DRAW_READ, &t);
    o->caller = op;
    disk_operation_begin(o);
}

void file_write_start(struct reactor *r, struct file *f, struct file_operation *op, const void *from,
                      size_t bytes, uint64_t offset, bool is_durable)
{
    ASSERT(op->done);
    struct transfer t = {.from = from, .bytes = bytes, .offset = offset};
    struct disk_operation *o = transfer_new(r, f, DISK_DRAW_WRITE, &t);
    o->caller = op;
    o->is_durable = is_durable;
    disk_operation_begin(o);
}

int64_t file_read(struct reactor *r, struct file *f, void *to, size_t bytes, uint64_t offset)
{
    struct transfer t = {.to = to, .bytes = bytes, .offset = offset};
    return disk_operation_wait(transfer_new(r, f, DISK_DRAW_READ, &t));
}

int file_write(struct reactor *r, struct file *f, const void *from, size_t bytes, uint64_t offset,
               bool is_durable)
{
    struct transfer t = {.from = from, .bytes = bytes, .offset = offset};
    struct disk_operation *o = transfer_new(r, f, DISK_DRAW_WRITE, &t);
    o->is_durable = is_durable;
    int64_t rc = disk_operation_wait(o);
    return rc < 0 ? (int)rc : 0;
}

/* ---- opening, closing and the rest ---- */

int file_open(struct reactor *r, const char *path, unsigned flags, struct file **out)
{
    ASSERT(flags & (FILE_READ | FILE_WRITE));
    struct disk_operation *o = disk_operation_new(r, NULL, DISK_DRAW_OPEN);
    struct disk_inode *inode = NULL;
    disk_operation_set_paths(o, path, NULL);
    o->flags = flags;
    *out = NULL;
    int rc = (int)disk_operation_wait_open(o, &inode);
    if (rc)
        return rc;
    struct file *f = sim_alloc(sizeof *f);
    f->inode = inode;
    f->flags = flags;
    list_push_back(&r->files, &f->link);
    *out = f;
    return 0;
}

void file_close(struct reactor *r, struct file *f)
{
    if (!f)
        return;
    ASSERT(f->operations == 0);
    struct disk_operation *o = disk_operation_new(r, NULL, DISK_DRAW_CLOSE);
    o->inode = f->inode;
    list_remove(&f->link);
    sim_free(f);
    int64_t rc = disk_operation_wait(o);
    ASSERT(rc == 0);
}

int file_sync(struct reactor *r, struct file *f)
{
    return (int)disk_operation_wait(disk_operation_new(r, f, DISK_DRAW_SYNC));
}

int file_size(struct reactor *r, struct file *f, uint64_t *bytes)
{
    (void)r;
    *bytes = f->inode->cached.bytes;
    return 0;
}

int file_allocate(struct reactor *r, struct file *f, uint64_t offset, uint64_t bytes)
{
    if (bytes == 0)
        return -EINVAL;
    struct disk_operation *o = disk_operation_new(r, f, DISK_DRAW_ALLOCATE);
    o->offset = offset;
    o->bytes = bytes;
    return (int)disk_operation_wait(o);
}

int file_truncate(struct reactor *r, struct file *f, uint64_t bytes)
{
    struct disk_operation *o = disk_operation_new(r, f, DISK_DRAW_TRUNCATE);
    o->bytes = bytes;
    return (int)disk_operation_wait(o);
}

int file_names(struct reactor *r, struct file *f, uint64_t *count)
{
    (void)r;
    *count = f->inode->names;
    return 0;
}

int file_give_back(struct reactor *r, struct file *f, uint64_t offset, uint64_t bytes)
{
    (void)bytes;
    return offset < f->inode->cached.bytes ? file_truncate(r, f, offset) : 0;
}

static int64_t wait_for_paths(struct reactor *r, enum disk_draw kind, const char *path, const char *to_path)
{
    struct disk_operation *o = disk_operation_new(r, NULL, kind);
    disk_operation_set_paths(o, path, to_path);
    return disk_operation_wait(o);
}

int file_rename(struct reactor *r, const char *from, const char *to)
{
    return (int)wait_for_paths(r, DISK_DRAW_RENAME, from, to);
}

int file_link(struct reactor *r, const char *from, const char *to)
{
    return (int)wait_for_paths(r, DISK_DRAW_LINK, from, to);
}

int file_remove(struct reactor *r, const char *path)
{
    return (int)wait_for_paths(r, DISK_DRAW_REMOVE, path, NULL);
}

/* ---- a core begins and ends ---- */

void files_init(struct reactor *r)
{
    list_init(&r->files);
    list_init(&r->locks);
    list_init(&r->listings);
}

uint64_t files_on_end(struct reactor *r)
{
    uint64_t open = 0;
    disk_operations_end(r);
    for (struct list *link; (link = list_pop_front(&r->files)); open++) {
        struct file *f = CONTAINER_OF(link, struct file, link);
        disk_inode_closed(r->node->disk, f->inode);
        sim_free(f);
    }
    disk_locks_release(r);
    return open;
}
