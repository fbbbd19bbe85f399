/* ring.c - the io_uring of a core: set up, submission, completion.
 *
 *   queued entries --(one enter a turn)--> kernel --> completion queue --(ring_reap)--> completion->done()
 *
 * DEFER_TASKRUN has the kernel do its part of a completion only inside our enter, never as an interruption;
 * the TASKRUN flag in shared memory says when there is such work, so a turn without submissions need not
 * enter to ask. The submission ring's head and tail are handled here and not by liburing, to count every
 * enter and to pass wait and timeout with the submission in the one call. */
#include "reactor/uring/uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    KERNEL_MAJOR = 6,
    KERNEL_MINOR = 1,
    RING_WORKERS_MAX = 16, /* kernel threads for what would block, of each kind */
    ENTER_RETRIES_MAX = 1000,
    QUIESCE_ROUNDS_MAX = 300,
    QUIESCE_LAST_ROUNDS_MAX = 10, /* for what was given up: the rest is cancelled by then */
};
static const uint64_t QUIESCE_ROUND_NS = 100 * 1000 * 1000;
static const uint64_t QUIESCE_PAUSE_NS = 1000 * 1000;

/* ---- set up ---- */

static int check_kernel(char *why, size_t why_bytes)
{
    struct utsname name;
    char *rest = NULL;
    if (uname(&name))
        return -errno;
    unsigned long major = strtoul(name.release, &rest, 10);
    unsigned long minor = rest && *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
    if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
        return 0;
    snprintf(why, why_bytes, "Linux %s is too old: io_uring as torc uses it needs kernel 6.1 or newer",
             name.release);
    return TORC_E_UNSUPPORTED;
}

static bool is_disabled_by_sysctl(void)
{
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    int value = f ? fgetc(f) : '0';
    if (f)
        fclose(f);
    return value == '1' || value == '2';
}

static int explain(int rc, char *why, size_t why_bytes)
{
    const char *text = "io_uring could not be set up";
    switch (-rc) {
    case EPERM:
    case EACCES:
        text = is_disabled_by_sysctl() ? "io_uring is switched off: set sysctl kernel.io_uring_disabled=0"
                                       : "io_uring is refused: let the seccomp profile of the container or "
                                         "service allow io_uring_setup, "
                                         "io_uring_enter and io_uring_register";
        break;
    case ENOSYS:
        text = "io_uring is missing: use a kernel with CONFIG_IO_URING, or let the seccomp profile allow "
               "io_uring_setup, io_uring_enter and io_uring_register";
        break;
    case ENOMEM:
        text = "io_uring got no memory: raise the limit of locked memory (ulimit -l, LimitMEMLOCK=) or free "
               "memory";
        break;
    case EMFILE:
    case ENFILE:
        text = "no descriptor left for io_uring"; /* its sentence says what to do */
        break;
    case EINVAL:
        text = "io_uring lacks SINGLE_ISSUER or DEFER_TASKRUN: kernel 6.1 or newer is needed";
        break;
    }
    snprintf(why, why_bytes, "%s (%s)", text, error_sentence(rc));
    return TORC_E_UNSUPPORTED;
}

int ring_open(struct reactor *r, char *why, size_t why_bytes)
{
    int rc = check_kernel(why, why_bytes);
    if (rc)
        return rc;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = RING_COMPLETIONS,
    };
    rc = io_uring_queue_init_params(RING_SUBMISSIONS, &r->uring, &params);
    if (rc)
        return explain(rc, why, why_bytes);
    r->is_ring_open = true;
    const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
    rc = (params.features & needed) == needed ? io_uring_register_ring_fd(&r->uring) : -EINVAL;
    if (rc < 0)
        return explain(rc, why, why_bytes);
    unsigned workers[2] = {RING_WORKERS_MAX, RING_WORKERS_MAX};
    rc = io_uring_register_iowq_max_workers(&r->uring, workers);
    if (rc < 0)
        return explain(rc, why, why_bytes);
    for (unsigned i = 0; i < r->uring.sq.ring_entries; i++)
        r->uring.sq.array[i] = i;
    return 0;
}

void ring_close(struct reactor *r)
{
    if (r->is_ring_open)
        io_uring_queue_exit(&r->uring);
    r->is_ring_open = false;
}

/* ---- entering the kernel ---- */

static unsigned queued(const struct reactor *r)
{
    return r->uring.sq.sqe_tail - io_uring_smp_load_acquire(r->uring.sq.khead);
}

/* Returns: what was submitted or a negative code that the next enter may not give. */
static int enter(struct reactor *r, unsigned wait, unsigned flags, uint64_t timeout_ns)
{
    struct __kernel_timespec timeout = {.tv_sec = (long long)(timeout_ns / 1000000000),
                                        .tv_nsec = (long long)(timeout_ns % 1000000000)};
    struct io_uring_getevents_arg argument = {.ts = (uintptr_t)&timeout};
    bool has_timeout = wait && timeout_ns != UINT64_MAX;
    io_uring_smp_store_release(r->uring.sq.ktail, r->uring.sq.sqe_tail);
    flags |= IORING_ENTER_REGISTERED_RING | (has_timeout ? IORING_ENTER_EXT_ARG : 0);
    int rc = io_uring_enter2((unsigned)r->uring.enter_ring_fd, queued(r), wait, flags,
                             has_timeout ? (sigset_t *)(void *)&argument : NULL,
                             has_timeout ? sizeof argument : _NSIG / 8);
    r->core.counters.kernel_enters++;
    if (rc > 0)
        r->core.counters.submissions += (unsigned)rc;
    ASSERT(rc >= 0 || rc == -EINTR || rc == -ETIME || rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM);
    return rc;
}

static bool is_ring_full(const struct reactor *r)
{
    return queued(r) >= r->uring.sq.ring_entries;
}

static __attribute__((noinline)) void submit_early(struct reactor *r)
{
    for (unsigned i = 0; is_ring_full(r); i++) {
        ASSERT(i < ENTER_RETRIES_MAX);
        enter(r, 0, i ? IORING_ENTER_GETEVENTS : 0, 0);
        r->core.counters.early_submits++;
    }
}

struct io_uring_sqe *ring_sqe(struct reactor *r)
{
    struct io_uring_sq *sq = &r->uring.sq;
    if (is_ring_full(r))
        submit_early(r);
    return &sq->sqes[sq->sqe_tail++ & sq->ring_mask];
}

void ring_submit(struct reactor *r)
{
    if (queued(r))
        enter(r, 0, 0, 0);
}

bool ring_has_completions(const struct reactor *r)
{
    return io_uring_smp_load_acquire(r->uring.cq.ktail) != *r->uring.cq.khead;
}

void ring_turn(struct reactor *r, bool may_sleep, uint64_t timeout_ns)
{
    unsigned kernel_flags = IO_URING_READ_ONCE(*r->uring.sq.kflags);
    if (may_sleep) {
        r->core.counters.sleeps++;
        enter(r, 1, IORING_ENTER_GETEVENTS, timeout_ns);
    } else if (queued(r) || (kernel_flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))) {
        enter(r, 0, IORING_ENTER_GETEVENTS, 0);
    }
}

/* ---- completions ---- */

static void tell_failure(const struct io_uring_cqe *cqe)
{
    struct completion *c = (struct completion *)(uintptr_t)(cqe->user_data & ~RING_UNCOUNTED);
    if (c)
        c->done(c, cqe->res, cqe->flags);
}

unsigned ring_reap(struct reactor *r)
{
    struct io_uring_cq *cq = &r->uring.cq;
    const unsigned head = *cq->khead;
    unsigned count = io_uring_smp_load_acquire(cq->ktail) - head;
    if (count == 0)
        return 0;
    if (count > RING_REAP_MAX)
        count = RING_REAP_MAX;
    for (unsigned i = 0; i < count; i++) {
        const struct io_uring_cqe *cqe = &cq->cqes[(head + i) & cq->ring_mask];
        __builtin_prefetch((void *)(uintptr_t)cq->cqes[(head + i + 2) & cq->ring_mask].user_data);
        if (cqe->user_data & RING_UNCOUNTED) {
            tell_failure(cqe);
            continue;
        }
        struct completion *c = (struct completion *)(uintptr_t)cqe->user_data;
        r->in_flight -= !(cqe->flags & IORING_CQE_F_MORE);
        c->done(c, cqe->res, cqe->flags);
    }
    io_uring_smp_store_release(cq->khead, head + count);
    r->core.counters.completions += count;
    return count;
}

void ring_cancel(struct reactor *r, struct completion *c)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_cancel(sqe, c, 0);
    ring_attach_nobody(sqe);
}

void ring_close_fd(struct reactor *r, int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_close(sqe, fd);
    ring_attach_nobody(sqe);
}

struct awaited {
    struct completion completion;
    struct reactor *reactor;
    struct task *task;
    int32_t result;
};

static void on_awaited(struct completion *c, int32_t result, uint32_t flags)
{
    struct awaited *a = CONTAINER_OF(c, struct awaited, completion);
    (void)flags;
    a->result = result;
    task_wake(&a->reactor->core, a->task);
}

/* Apart from on_awaited only to be known by its address. */
static void on_awaited_fd(struct completion *c, int32_t result, uint32_t flags)
{
    on_awaited(c, result, flags);
    __asm__ volatile("");
}

static int32_t await(struct reactor *r, struct io_uring_sqe *sqe,
                     void (*done)(struct completion *c, int32_t result, uint32_t flags))
{
    struct awaited a = {.completion = {done}, .reactor = r, .task = r->core.current};
    ASSERT(a.task);
    ring_attach(r, sqe, &a.completion);
    task_suspend(&r->core);
    return a.result;
}

int32_t ring_await(struct reactor *r, struct io_uring_sqe *sqe)
{
    return await(r, sqe, on_awaited);
}

int32_t ring_await_fd(struct reactor *r, struct io_uring_sqe *sqe)
{
    return await(r, sqe, on_awaited_fd);
}

/* ---- the end ---- */

/* Whether the result is a new descriptor, which nobody will take any more. */
static bool completion_opens_fd(const struct completion *c)
{
    return c->done == on_awaited_fd || c->done == listener_on_accept;
}

static void drop_completions(struct reactor *r)
{
    struct io_uring_cq *cq = &r->uring.cq;
    unsigned head = *cq->khead;
    for (unsigned tail = io_uring_smp_load_acquire(cq->ktail); head != tail; head++) {
        const struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];
        if (cqe->user_data & RING_UNCOUNTED) {
            tell_failure(cqe);
            continue;
        }
        const struct completion *c = (const struct completion *)(uintptr_t)cqe->user_data;
        r->in_flight -= !(cqe->flags & IORING_CQE_F_MORE);
        if (cqe->res >= 0 && completion_opens_fd(c))
            close(cqe->res);
    }
    io_uring_smp_store_release(cq->khead, head);
}

/* Takes what has come. A core whose wake-up was refused would sleep on, and the others wait for it at the
 * gate: so it is tried again here, too. Returns: nothing is left. */
static bool is_quiet(struct reactor *r)
{
    drop_completions(r);
    if (r->channels.due_count > 0) {
        enter(r, 1, IORING_ENTER_GETEVENTS, QUIESCE_PAUSE_NS);
        channels_wake_again(r);
    }
    return r->in_flight == 0 && queued(r) == 0;
}

void ring_quiesce(struct reactor *r)
{
    if (!r->is_ring_open)
        return;
    unsigned rounds_max = r->gives_up ? QUIESCE_LAST_ROUNDS_MAX : QUIESCE_ROUNDS_MAX;
    for (unsigned i = 0; !is_quiet(r) && i < rounds_max; i++) {
        struct io_uring_sqe *sqe = ring_sqe(r);
        io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
        ring_attach_nobody(sqe);
        enter(r, r->in_flight ? 1 : 0, IORING_ENTER_GETEVENTS, QUIESCE_ROUND_NS);
    }
    r->is_abandoned = r->in_flight > 0;
}
