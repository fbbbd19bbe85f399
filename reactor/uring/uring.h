/* uring.h - one core on Linux: a thread, its io_uring and what hangs on it. Internal to reactor/uring.
 *
 * Every operation in flight is named in the ring by a pointer to a `struct completion` inside whatever waits
 * for it, so taking a completion is one indirect call and no look-up. RING_UNCOUNTED in that name says that
 * only a failure is told: of a wake-up to its `struct wakeup`, of cancels and closes to nobody. */
#ifndef REACTOR_URING_URING_H
#define REACTOR_URING_URING_H

#include "reactor/core.h"

#include <liburing.h>
#include <stdalign.h>
#include <stdatomic.h>

enum {
    RING_SUBMISSIONS = 1024,  /* a fuller one is submitted early, which is counted */
    RING_COMPLETIONS = 16384, /* more are kept by the kernel and flushed by the next enter */
    RING_REAP_MAX = 1024,     /* completions taken in one turn, so that answers go out between */
    CACHE_LINE = 64,
};

struct completion {
    void (*done)(struct completion *c, int32_t result, uint32_t flags);
};

#define RING_UNCOUNTED UINT64_C(1)
static_assert(alignof(struct completion) > RING_UNCOUNTED, "a bit that no pointer to one has");

struct process;
struct channel;

/* The receive buffers that all connections of a core share. */
struct buffers {
    struct io_uring_buf_ring *ring; /* mapped apart: the kernel pins it */
    uint8_t *memory;
    uint32_t buffer_bytes;
    uint32_t count;
    uint16_t returned; /* since the last buffers_publish */
    bool is_registered;
};

/* The wake-ups that this core sends to another one. */
struct wakeup {
    struct completion refused;
    struct reactor *reactor;
    unsigned core;  /* the one that is woken */
    unsigned tries; /* that were refused in a row */
    bool is_due;    /* once more, at again_ns */
};

/* This core's ends of the channels; the arrays are by the other core's number. */
struct channel_ends {
    struct channel **out;
    struct channel **in;
    uint16_t *dirty; /* the targets that have unpublished messages */
    unsigned dirty_count;
    unsigned capacity;
    struct wakeup *wakeups;
    unsigned due_count; /* of wake-ups that were refused */
    uint64_t again_ns;
    struct list detached;                        /* connections on their way to another core, oldest first */
    alignas(CACHE_LINE) atomic_bool is_sleeping; /* read by those who send to this core */
};

/* The connections and listeners of this core. */
struct sockets {
    struct list open; /* every struct socket in use */
    struct list listeners;
    struct list free;       /* of struct socket */
    struct list free_parts; /* of struct send_parts */
};

struct reactor {
    struct reactor_core core; /* first: the shared code sees only this */
    struct process *process;
    struct io_uring uring;
    bool is_ring_open;
    bool gives_up;      /* what is under way does not end: it has had its time */
    bool is_abandoned;  /* the kernel would not let go in time: the heap is left alone */
    uint32_t in_flight; /* completions still to come, RING_UNCOUNTED ones left out */
    uint64_t wall_ms;
    uint64_t wall_turn; /* the turn in which wall_ms was read */
    struct buffers buffers;
    struct channel_ends channels;
    struct sockets sockets;
    struct list files;
    struct list locks;
    struct list listings; /* under way */
    int signal_fd;
    struct completion signal_completion;
};

/* ---- ring.c ---- */

/* Returns: 0, or TORC_E_UNSUPPORTED or another error and says in `why` what to change. */
MUST_CHECK int ring_open(struct reactor *r, char *why, size_t why_bytes);
/* Cancels all that is in flight and takes the completions without acting on them; but a wake-up that is
 * refused is tried again. */
void ring_quiesce(struct reactor *r);
void ring_close(struct reactor *r);

/* A free submission entry, to be prepared and attached before the next is asked for. */
struct io_uring_sqe *ring_sqe(struct reactor *r);

static inline void ring_attach(struct reactor *r, struct io_uring_sqe *sqe, struct completion *c)
{
    sqe->user_data = (uintptr_t)c;
    r->in_flight++;
}

/* For an operation of which `c` is to hear only when it fails. */
static inline void ring_attach_failure(struct io_uring_sqe *sqe, struct completion *c)
{
    sqe->user_data = (uintptr_t)c | RING_UNCOUNTED;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* For an operation that nobody needs to hear of. */
static inline void ring_attach_nobody(struct io_uring_sqe *sqe)
{
    ring_attach_failure(sqe, NULL);
}

/* Asks the kernel to end the operation of `c`; its completion comes in any case. */
void ring_cancel(struct reactor *r, struct completion *c);
/* Closes a descriptor with the next submission. */
void ring_close_fd(struct reactor *r, int fd);
/* Waits: until the prepared operation is over. Returns: its result. */
MUST_CHECK int32_t ring_await(struct reactor *r, struct io_uring_sqe *sqe);
/* The same for an operation whose result is a new descriptor. */
MUST_CHECK int32_t ring_await_fd(struct reactor *r, struct io_uring_sqe *sqe);

/* Takes the completions that have come and calls their owners. Returns: how many. */
unsigned ring_reap(struct reactor *r);
bool ring_has_completions(const struct reactor *r);
/* Submits what is queued, without a look at completions. */
void ring_submit(struct reactor *r);
/* Submits what is queued and, when `may_sleep`, waits for a completion, at most `timeout_ns`. At most one
 * enter. */
void ring_turn(struct reactor *r, bool may_sleep, uint64_t timeout_ns);

/* ---- file.c, directory.c, listing.c ---- */

/* When a core ends: what is open is closed. */
void files_close_all(struct reactor *r);
void locks_close_all(struct reactor *r);
/* What still reads a directory goes on and ends by itself. */
void listings_drop_all(struct reactor *r);

/* ---- buffers.c ---- */

enum { BUFFERS_GROUP = 0 };
MUST_CHECK int buffers_open(struct reactor *r, char *why, size_t why_bytes);
void buffers_close(struct reactor *r);
/* The bytes of a completion that took a buffer; lent until buffers_return. */
struct slice buffers_lend(struct reactor *r, uint32_t flags, int32_t bytes);
void buffers_return(struct reactor *r, uint32_t flags);
/* Shows the kernel what came back in this turn. */
void buffers_publish(struct reactor *r);

/* ---- channel.c ---- */

MUST_CHECK int channels_map(struct process *p);
void channels_unmap(struct process *p);
MUST_CHECK int channels_open(struct reactor *r);
/* Closes what was detached here and attached nowhere. Requires: all cores have stopped. */
void channels_close(struct reactor *r);
/* Hands the messages that have come to the handler. Returns: how many. */
unsigned channels_receive(struct reactor *r);
/* Shows the others what was queued in this turn, and wakes those who sleep. */
void channels_publish(struct reactor *r);
/* Says that this core is about to sleep. Returns: false when a message has come meanwhile: it must not. */
bool channels_may_sleep(struct reactor *r);
void channels_awake(struct reactor *r);
/* Queues a wake-up of another core, asleep or not. One that the kernel refuses is tried again until it is
 * taken or that core is awake, a bounded number of times. */
void channel_wake(struct reactor *r, unsigned core);
/* Queues those again that were refused. */
void channels_wake_again(struct reactor *r);
/* A descriptor travels as a handle; see socket_detach. */
MUST_CHECK int handle_make(struct reactor *r, int fd, int64_t *handle);
int handle_take(int64_t handle);

/* ---- socket.c, listener.c ---- */

void sockets_init(struct reactor *r);
void sockets_close_all(struct reactor *r);
void listeners_close_all(struct reactor *r);
/* A socket over a connected descriptor, which is its from now on. Null when memory is out. */
struct socket *socket_new(struct reactor *r, int fd);
/* Closes and frees a socket that was never started. */
void socket_drop(struct socket *s);
void listener_on_accept(struct completion *c, int32_t result, uint32_t flags);

/* ---- signal.c ---- */

/* Core 0 reads the requests to end from a descriptor; SIGTERM and SIGINT are blocked by then. */
MUST_CHECK int signals_open(struct reactor *r);
void signals_close(struct reactor *r);

/* ---- run.c ---- */

const struct reactor_options *reactor_options_of(const struct reactor *r);
/* Wakes all cores and has them end; the first error is what reactor_run returns. */
void process_fail(struct reactor *r, int error);

#endif
