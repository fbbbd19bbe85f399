/* file.c - files through the ring.
 *
 * Reads and writes are operations that the caller owns; the waiting calls put one on the task's stack. What
 * the kernel moved only in part is asked for again from there, so a short read means the end of the file and
 * a write is whole or an error. Size and truncation are plain system calls: the ring has no truncate before
 * 6.9, and its statx always costs a kernel thread where fstat reads memory. */
#include "reactor/uring/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_TRANSFER_MAX = 1 << 30, FILE_MODE = 0644 };

struct file {
    struct list link;
    int fd;
    bool is_direct;
};

/* What `reserved` of a file_operation holds. */
struct __attribute__((may_alias)) request {
    struct completion completion;
    struct reactor *reactor;
    uint8_t *memory;
    uint64_t offset;
    struct file *file;
    uint32_t left;
    uint16_t opcode;
    uint16_t is_durable;
};
static_assert(sizeof(struct request) <= sizeof(((struct file_operation *)0)->reserved), "it fits");

static struct request *request_of(struct file_operation *op)
{
    return (struct request *)(void *)op->reserved;
}

/* ---- reading and writing ---- */

static void submit(struct request *q)
{
    struct io_uring_sqe *sqe = ring_sqe(q->reactor);
    io_uring_prep_rw(q->opcode, sqe, q->file->fd, q->memory, q->left, q->offset);
    if (q->is_durable)
        sqe->rw_flags = RWF_DSYNC;
    ring_attach(q->reactor, sqe, &q->completion);
}

static bool is_misaligned(const struct request *q)
{
    return q->file->is_direct && ((q->offset | q->left) % FILE_ALIGNMENT) != 0;
}

/* A disk of smaller blocks may be full within one of ours: that one is written again, whole. */
static int32_t part_of_block(const struct request *q, int32_t moved)
{
    bool is_short = q->file->is_direct && q->opcode == IORING_OP_WRITE && (uint32_t)moved < q->left;
    return is_short ? moved % FILE_ALIGNMENT : 0;
}

static void on_moved(struct completion *c, int32_t result, uint32_t flags)
{
    struct request *q = CONTAINER_OF(c, struct request, completion);
    struct file_operation *op = CONTAINER_OF((uint64_t(*)[6])(void *)q, struct file_operation, reserved);
    (void)flags;
    if (result == -EINTR || result == -EAGAIN) {
        submit(q);
        return;
    }
    int32_t part = result > 0 ? part_of_block(q, result) : 0;
    if (result > 0) {
        ASSERT((uint32_t)result <= q->left);
        result -= part;
        op->result += result;
        q->memory += result;
        q->offset += (uint32_t)result;
        q->left -= (uint32_t)result;
    }
    if (result > 0 && q->left > 0 && !is_misaligned(q)) {
        submit(q);
        return;
    }
    if (result < 0)
        op->result = result;
    else if (q->left > 0 && q->opcode == IORING_OP_WRITE)
        op->result = part ? -ENOSPC : -EIO;
    q->reactor->core.reads_in_flight -= q->opcode == IORING_OP_READ;
    op->done(op);
}

static void start(struct reactor *r, struct file_operation *op, struct request request, size_t bytes)
{
    ASSERT(bytes <= FILE_TRANSFER_MAX && op->done);
    ASSERT(!request.file->is_direct ||
           ((uintptr_t)request.memory | bytes | request.offset) % FILE_ALIGNMENT == 0);
    struct request *q = request_of(op);
    *q = request;
    q->completion.done = on_moved;
    q->reactor = r;
    q->left = (uint32_t)bytes;
    op->result = 0;
    r->core.reads_in_flight += q->opcode == IORING_OP_READ;
    submit(q);
}

void file_read_start(struct reactor *r, struct file *f, struct file_operation *op, void *to, size_t bytes,
                     uint64_t offset)
{
    start(r, op, (struct request){.file = f, .memory = to, .offset = offset, .opcode = IORING_OP_READ},
          bytes);
}

void file_write_start(struct reactor *r, struct file *f, struct file_operation *op, const void *from,
                      size_t bytes, uint64_t offset, bool is_durable)
{
    start(r, op,
          (struct request){.file = f,
                           .memory = (uint8_t *)(uintptr_t)from,
                           .offset = offset,
                           .opcode = IORING_OP_WRITE,
                           .is_durable = is_durable},
          bytes);
}

struct waiting_operation {
    struct file_operation op;
    struct reactor *reactor;
    struct task *task;
};

static void on_operation_done(struct file_operation *op)
{
    struct waiting_operation *w = CONTAINER_OF(op, struct waiting_operation, op);
    task_wake(&w->reactor->core, w->task);
}

int64_t file_read(struct reactor *r, struct file *f, void *to, size_t bytes, uint64_t offset)
{
    struct waiting_operation w = {.op.done = on_operation_done, .reactor = r, .task = r->core.current};
    ASSERT(w.task);
    file_read_start(r, f, &w.op, to, bytes, offset);
    task_suspend(&r->core);
    return w.op.result;
}

int file_write(struct reactor *r, struct file *f, const void *from, size_t bytes, uint64_t offset,
               bool is_durable)
{
    struct waiting_operation w = {.op.done = on_operation_done, .reactor = r, .task = r->core.current};
    ASSERT(w.task);
    file_write_start(r, f, &w.op, from, bytes, offset, is_durable);
    task_suspend(&r->core);
    return w.op.result < 0 ? (int)w.op.result : 0;
}

/* ---- opening, closing and the rest ---- */

static int open_flags(unsigned flags)
{
    int result = O_CLOEXEC;
    result |= flags & FILE_WRITE ? (flags & FILE_READ ? O_RDWR : O_WRONLY) : O_RDONLY;
    result |= flags & FILE_CREATE ? O_CREAT : 0;
    result |= flags & FILE_EXCLUSIVE ? O_EXCL : 0;
    result |= flags & FILE_DIRECT ? O_DIRECT : 0;
    result |= flags & FILE_NO_LINK ? O_NOFOLLOW : 0;
    return result;
}

int file_open(struct reactor *r, const char *path, unsigned flags, struct file **out)
{
    ASSERT(flags & (FILE_READ | FILE_WRITE));
    struct file *f = heap_alloc(&r->core.heap, sizeof *f);
    *out = NULL;
    if (!f)
        return TORC_E_NO_MEMORY;
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_openat(sqe, AT_FDCWD, path, open_flags(flags), FILE_MODE);
    int fd = ring_await_fd(r, sqe);
    if (fd < 0) {
        heap_free(&r->core.heap, f);
        return fd;
    }
    f->fd = fd;
    f->is_direct = flags & FILE_DIRECT;
    list_push_back(&r->files, &f->link);
    *out = f;
    return 0;
}

void file_close(struct reactor *r, struct file *f)
{
    if (!f)
        return;
    int fd = f->fd;
    list_remove(&f->link);
    heap_free(&r->core.heap, f);
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_close(sqe, fd);
    int32_t rc = ring_await(r, sqe);
    ASSERT(rc != -EBADF); /* any other error is of an earlier write, which file_sync has reported */
}

void files_close_all(struct reactor *r)
{
    for (struct list *link; (link = list_pop_front(&r->files));)
        close(CONTAINER_OF(link, struct file, link)->fd);
}

int file_sync(struct reactor *r, struct file *f)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
    return ring_await(r, sqe);
}

int file_size(struct reactor *r, struct file *f, uint64_t *bytes)
{
    struct stat info;
    (void)r;
    if (fstat(f->fd, &info))
        return -errno;
    *bytes = (uint64_t)info.st_size;
    return 0;
}

static int change_blocks(struct reactor *r, struct file *f, int mode, uint64_t offset, uint64_t bytes)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_fallocate(sqe, f->fd, mode, (off_t)offset, (off_t)bytes);
    return ring_await(r, sqe);
}

int file_allocate(struct reactor *r, struct file *f, uint64_t offset, uint64_t bytes)
{
    return change_blocks(r, f, 0, offset, bytes);
}

int file_give_back(struct reactor *r, struct file *f, uint64_t offset, uint64_t bytes)
{
    return change_blocks(r, f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

int file_truncate(struct reactor *r, struct file *f, uint64_t bytes)
{
    (void)r;
    return ftruncate(f->fd, (off_t)bytes) ? -errno : 0;
}

int file_names(struct reactor *r, struct file *f, uint64_t *count)
{
    struct stat info;
    (void)r;
    if (fstat(f->fd, &info))
        return -errno;
    *count = (uint64_t)info.st_nlink;
    return 0;
}

int file_rename(struct reactor *r, const char *from, const char *to)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_rename(sqe, from, to);
    return ring_await(r, sqe);
}

int file_link(struct reactor *r, const char *from, const char *to)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_link(sqe, from, to, 0);
    return ring_await(r, sqe);
}

int file_remove(struct reactor *r, const char *path)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_unlink(sqe, path, 0);
    return ring_await(r, sqe);
}
