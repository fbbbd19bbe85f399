/* reactor.h - the event loop of one core, and the seam between torc and everything that is not deterministic.
 *
 * Clock, random numbers, files, sockets, channels between cores, timers and the start of threads: all of it
 * passes through here and nothing else of the server may call the kernel. Two backends implement this header,
 * chosen at link time: reactor/uring (one thread and one io_uring a core) and reactor/sim (many simulated
 * cores in one thread, with a virtual clock, a disk and a network that fail). So the header names no type of
 * either, every call takes the reactor of its core, and no call may be made from another core than its
 * reactor's.
 *
 *   one turn:  completions -> messages of other cores -> due timers -> new tasks -> ready tasks, some at most
 *              -> turn hook (the shard: submit the log write, one send per dirty connection)
 *              -> publish outgoing messages -> submit to the kernel, and sleep only if nothing is ready
 *
 * Waits: a function marked so may be called from a task only; it suspends that task and lets the core go on.
 * All others return at once. Whatever was looked up before a wait may have changed after it.
 *
 * Errors: 0 or a count on success, else -errno or a code of reactor/base/error.h. */
#ifndef REACTOR_REACTOR_H
#define REACTOR_REACTOR_H

#include "reactor/base/assert.h"
#include "reactor/base/error.h"
#include "reactor/base/list.h"
#include "reactor/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reactor; /* one core */
struct task;
struct file;
struct socket;
struct listener;

enum {
    REACTOR_CORES_MAX = 256,
    FILE_ALIGNMENT = 4096,     /* of buffer, offset and length for FILE_DIRECT */
    REACTOR_SLICE_NS = 200000, /* nothing runs longer without task_yield; longer ones count as stalls */
};

/* ---- start and stop ---- */

struct reactor_options {
    unsigned core_count;           /* 1 to REACTOR_CORES_MAX */
    int first_cpu;                 /* core i is pinned to cpu first_cpu + i; -1 pins nothing */
    unsigned task_count_max;       /* tasks alive at once on a core; 0 means 256 */
    unsigned task_stack_bytes;     /* 0 means 64 KiB; a guard page comes on top */
    unsigned receive_buffer_bytes; /* of the buffers all connections of a core share; 0 means 16 KiB */
    unsigned receive_buffer_count; /* a power of two; 0 means 256 */
    unsigned channel_capacity;     /* messages per ordered pair of cores, a power of two; 0 means 1,024 */
};

/* What a core runs first, as a task: it may wait. It sets the hooks below. When it returns non-zero all
 * cores stop. */
typedef int reactor_main_fn(struct reactor *r, void *context);

/* Starts the cores, runs `main` on each, and returns when all have stopped. One call at a time a process.
 * Returns: 0, or the first error of a start or of a main; TORC_E_UNSUPPORTED when the system refuses what
 * the backend needs, in which case `why` (at least 256 bytes) says in one line what to change. */
MUST_CHECK int reactor_run(const struct reactor_options *options, reactor_main_fn *main, void *context,
                           char *why, size_t why_bytes);

/* Before reactor_run: lets this process have as many files and connections open at once as the system allows.
 * Returns: how many. */
uint64_t reactor_raise_descriptors(void);

/* Ends this core's loop at the end of the turn. Tasks still suspended are dropped with the core's heap. */
void reactor_stop(struct reactor *r);
/* The same, for a core that has operations under way which do not come to their end: they are left to the
 * kernel, and reactor_run returns `error` if there was none before. The other cores go on until they stop. */
void reactor_give_up(struct reactor *r, int error);

unsigned reactor_core(const struct reactor *r); /* 0 to core_count - 1 */
unsigned reactor_core_count(const struct reactor *r);

/* The hook runs once a turn, after tasks and before the submission to the kernel. */
void reactor_set_turn_hook(struct reactor *r, void (*hook)(void *context), void *context);

/* The handler runs on core 0 when the process is asked to end (SIGTERM or SIGINT), each time it is asked. */
void reactor_set_stop_handler(struct reactor *r, void (*handler)(void *context), void *context);

/* ---- clock and random numbers ---- */

uint64_t reactor_now_ns(const struct reactor *r); /* monotonic, read once when the turn began: free */
uint64_t reactor_clock_ns(struct reactor *r);     /* monotonic, read now */
uint64_t reactor_wall_ms(struct reactor *r);      /* Unix time; read once when the turn began; may jump */
uint64_t reactor_random(struct reactor *r);       /* 64 uniform bits, not for secrets */

/* ---- the core's heap ---- */

/* All memory of a core comes from here and goes away with the core. Returns: null when memory is out.
 * Memory may be handed to another core in a message and freed there with reactor_free of that core's
 * reactor. */
void *reactor_alloc(struct reactor *r, size_t bytes);
void *reactor_alloc_zeroed(struct reactor *r, size_t bytes);
void *reactor_alloc_aligned(struct reactor *r, size_t bytes, size_t alignment);
void *reactor_realloc(struct reactor *r, void *memory, size_t bytes); /* as realloc; not for aligned memory */
void reactor_free(struct reactor *r, void *memory);                   /* null is allowed */
/* Of memory that another core is to free: the sender's heap_bytes have it no more, the receiver's from its
 * adoption on. Both before either frees or grows it. Null is allowed. */
void reactor_disown(struct reactor *r, void *memory);
void reactor_adopt(struct reactor *r, void *memory);

/* The most that all cores of this process may have together: what the machine has, or less when the system
 * limits the process (control groups, resource limits). Read now; for the start, not for each turn. */
uint64_t reactor_memory_bytes(struct reactor *r);

/* ---- tasks ----
 *
 *            spawn            its turn                 waits
 *   (free) --------> ready ------------> running ---------------> suspended
 *      ^               ^                  |    |                      |
 *      |               +---- task_yield --+    |                      |
 *      |               +-----------------------|-- the wait is over --+
 *      +---------------- the function returns -+
 *
 * A task runs on its core until it waits, yields or ends. Its stack is small: large things do not live on
 * it. */
typedef void task_fn(struct reactor *r, void *argument);

/* Makes a task; it runs later in this turn or in the next. Returns: TORC_E_OVERLOADED when task_count_max
 * are alive. */
MUST_CHECK int task_spawn(struct reactor *r, task_fn *run, void *argument);

struct task *task_current(const struct reactor *r); /* null outside of a task */
void task_yield(struct reactor *r);                 /* Waits: until the other ready tasks had their turn */
void task_yield_if_due(struct reactor *r);          /* Waits: only if this slice nears REACTOR_SLICE_NS */
void task_sleep(struct reactor *r, uint64_t ns);    /* Waits */
/* The current task is background work from here on: of all such tasks one runs a turn, after the others, and
 * its slices are half as long. */
void task_lower(struct reactor *r);

/* What one task waits for and anything else sets. Zero-initialised by event_init; reusable after a wait. */
struct event {
    struct task *waiter;
    int result;
    bool is_set;
};
void event_init(struct event *e);
void event_set(struct reactor *r, struct event *e,
               int result); /* wakes the waiter; a second set is ignored */
#define EVENT_FOREVER UINT64_MAX
/* Waits: until set or `timeout_ns` has passed. Returns: the result it was set to, or TORC_E_TIMEOUT. */
MUST_CHECK int event_wait(struct reactor *r, struct event *e, uint64_t timeout_ns);

/* ---- timers ---- */

/* Owned by the caller, who may not free it while it runs. Fires once, outside of any task. */
struct timer {
    void (*fire)(struct timer *t);
    uint64_t due_ns;
    uint64_t sequence;   /* the order of timers of one due time */
    uint32_t heap_index; /* where it is in the core's heap, plus 1; 0 when it does not run */
};
/* Returns: 0, or TORC_E_NO_MEMORY. `*t` is zeroed before its first start; a running one is restarted. */
MUST_CHECK int timer_start(struct reactor *r, struct timer *t, uint64_t delay_ns,
                           void (*fire)(struct timer *t));
void timer_stop(struct reactor *r, struct timer *t); /* does nothing when it does not run */

/* ---- channels between cores ---- */

/* A value, or memory that is handed over: after the send `payload` belongs to the receiver. */
struct message {
    uint32_t kind; /* the shard's own numbering */
    uint32_t from; /* filled by channel_send */
    uint64_t word;
    void *payload;
};
/* Queues for `core` (not this one); all that a turn queued is published at its end with one release, and a
 * sleeping receiver is woken once. Order is kept per pair. Returns: false when that channel is full: the
 * sender keeps it. */
MUST_CHECK bool channel_send(struct reactor *r, unsigned core, const struct message *m);
/* The handler takes one message; outside of any task. */
void reactor_set_message_handler(struct reactor *r, void (*handler)(void *context, const struct message *m),
                                 void *context);

/* ---- files ---- */

enum file_flag {
    FILE_READ = 1,
    FILE_WRITE = 2,
    FILE_CREATE = 4,    /* made when missing */
    FILE_EXCLUSIVE = 8, /* with FILE_CREATE: -EEXIST when there */
    FILE_DIRECT = 16,   /* past the page cache: buffer, offset and length aligned to FILE_ALIGNMENT */
    FILE_NO_LINK = 32,  /* a symbolic link is an error (-ELOOP), not followed */
};

/* Waits. `path` is borrowed. Owns: the caller closes. */
MUST_CHECK int file_open(struct reactor *r, const char *path, unsigned flags, struct file **out);
void file_close(struct reactor *r,
                struct file *f); /* Waits. No operation may be under way. Null is allowed. */
/* Waits. Returns: the bytes read (short only at the end of the file), or an error. */
MUST_CHECK int64_t file_read(struct reactor *r, struct file *f, void *to, size_t bytes, uint64_t offset);
/* Waits. Writes all or fails. `is_durable`: returns only when the bytes survive a loss of power
 * (RWF_DSYNC). */
MUST_CHECK int file_write(struct reactor *r, struct file *f, const void *from, size_t bytes, uint64_t offset,
                          bool is_durable);
MUST_CHECK int file_sync(struct reactor *r, struct file *f);                  /* Waits: fdatasync */
MUST_CHECK int file_size(struct reactor *r, struct file *f, uint64_t *bytes); /* Waits */
MUST_CHECK int file_allocate(struct reactor *r, struct file *f, uint64_t offset,
                             uint64_t bytes);                                    /* Waits: fallocate */
MUST_CHECK int file_truncate(struct reactor *r, struct file *f, uint64_t bytes); /* Waits */
MUST_CHECK int file_names(struct reactor *r, struct file *f, uint64_t *count);   /* see file_link */
/* Waits. Of a file that is to be removed: gives back the blocks of `bytes` from `offset` on. What was there
 * reads as zeros or as the end of the file, and so may all behind it. -EOPNOTSUPP where the file system
 * cannot. */
MUST_CHECK int file_give_back(struct reactor *r, struct file *f, uint64_t offset, uint64_t bytes);

/* A read or write that does not suspend anyone: `done` is called, outside of any task, when it is over.
 * The caller owns the operation and the buffer and keeps both until then. `result` is the bytes moved or
 * an error; a write that was short is an error (-EIO, or -ENOSPC). */
struct file_operation {
    void (*done)(struct file_operation *op);
    int64_t result;
    uint64_t reserved[6]; /* the backend's */
};
void file_read_start(struct reactor *r, struct file *f, struct file_operation *op, void *to, size_t bytes,
                     uint64_t offset);
void file_write_start(struct reactor *r, struct file *f, struct file_operation *op, const void *from,
                      size_t bytes, uint64_t offset, bool is_durable);

MUST_CHECK int directory_create(struct reactor *r, const char *path); /* Waits. -EEXIST when there. */
MUST_CHECK int directory_remove(struct reactor *r, const char *path); /* Waits. -ENOTEMPTY when it is not. */

/* How files go a little at a time.
 *
 *   | step | step | step | ... | step | step |
 *                        <--- pause --- gone, from the end on; then the name
 *
 * A file system that is mounted with `discard` tells the disk of every block that is given back, and all
 * blocks of a large file at once are some tens of milliseconds in which the disk does nothing else: the log's
 * writes wait for them. RocksDB's SstFileManager does the same for that reason (rate_bytes_per_sec and
 * bytes_max_delete_chunk). */
struct removal_pace {
    uint64_t step_bytes; /* 0 means 2 MiB */
    /* Waits as it likes: `gone` bytes have gone since the last call (none before the first step), `left` of
     * their file are there. Returns: false when those are to go at once. */
    bool (*pause)(void *context, uint64_t gone, uint64_t left);
    void *context;
};

/* Waits. A file with another name, as of a snapshot, loses this name and nothing else. Returns: 0, or -errno
 * of the removal; the end of the file may then be gone. */
MUST_CHECK int file_remove_in_steps(struct reactor *r, const char *path, const struct removal_pace *pace);
/* Waits. Removes the directory with all that is in it, some levels deep, at `pace`, or at once where that is
 * null. Returns: 0, also when it is not there; -errno, and a part may be left. */
MUST_CHECK int directory_remove_all(struct reactor *r, const char *path, const struct removal_pace *pace);
MUST_CHECK int directory_sync(struct reactor *r,
                              const char *path); /* Waits: names in it survive a loss of power */
MUST_CHECK int directory_sync_parent(struct reactor *r,
                                     const char *path); /* Waits: the name `path` survives a loss of power */
/* Waits. Calls `each` for every name but . and .., in byte order; stops at its first non-zero and returns
 * that. */
MUST_CHECK int directory_list(struct reactor *r, const char *path,
                              int (*each)(void *context, const char *name), void *context);
/* Waits. Can the file be opened to be read? Returns: 0; -ENOENT; -errno. */
MUST_CHECK int file_probe(struct reactor *r, const char *path);
/* Waits. Returns: 1 when there is a name in it, 0 when it is empty; -ENOENT; -errno. */
MUST_CHECK int directory_has_names(struct reactor *r, const char *path);
/* Waits. Exclusive among processes (flock), until the process ends. -EWOULDBLOCK when another holds it. */
MUST_CHECK int directory_lock(struct reactor *r, const char *path);
MUST_CHECK int directory_free_bytes(struct reactor *r, const char *path, uint64_t *bytes); /* Waits */
MUST_CHECK int file_rename(struct reactor *r, const char *from, const char *to);           /* Waits */
/* Waits. A second name of the file; it survives a loss of power when its directory was synced. -EEXIST when
 * there. */
MUST_CHECK int file_link(struct reactor *r, const char *from, const char *to);
MUST_CHECK int file_remove(struct reactor *r, const char *path); /* Waits */

/* ---- sockets: byte streams ----
 *
 * A connection on which nothing is to be sent and whose peer has vanished without an end (its host lost its
 * power, its link was cut) ends with -ETIMEDOUT some two minutes after the last word of it. reactor/sim asks
 * no peer whether it is still there: such a connection ends when something is sent on it, or never. */

struct address {
    char host[64]; /* an IPv4 or IPv6 address in text; a bare name is not resolved */
    uint16_t port; /* 0 lets the system choose when listening */
};

/* Called outside of any task. A handler may call any socket function, socket_close of its own socket too;
 * after that no handler of this socket is called any more. */
struct socket_handlers {
    /* Bytes came; borrowed for the call. They may still come after socket_pause, a bounded amount. */
    void (*on_data)(void *owner, struct slice bytes);
    /* The send that was under way is over: 0, or an error, after which the connection is of no use. */
    void (*on_sent)(void *owner, int result);
    /* The peer closed its side (TORC_E_CLOSED) or the connection failed (-errno). Called once. */
    void (*on_end)(void *owner, int reason);
};

/* Every core may listen on the same address (SO_REUSEPORT); the system spreads connections. Core 0 listens
 * first: for it an address in use is -EADDRINUSE even where it could be shared. `on_accept` owns the
 * socket it gets and calls socket_start or socket_close. */
MUST_CHECK int socket_listen(struct reactor *r, const struct address *address, unsigned backlog,
                             void (*on_accept)(void *context, struct socket *s), void *context,
                             struct listener **out);
uint16_t listener_port(const struct listener *l);
void listener_close(struct listener *l);

/* Waits. Owns: the caller, who then calls socket_start. */
MUST_CHECK int socket_connect(struct reactor *r, const struct address *address, uint64_t timeout_ns,
                              struct socket **out);

void socket_start(struct socket *s, const struct socket_handlers *handlers,
                  void *owner);      /* begins to receive */
void socket_pause(struct socket *s); /* stops receiving soon: for a peer that does not read its answers */
void socket_resume(struct socket *s);

enum { SOCKET_PARTS_MAX = 64 };
/* Sends all parts in order; one send may be under way at a time. The bytes stay untouched until on_sent;
 * the array of parts is copied. Requires: 1 <= count <= SOCKET_PARTS_MAX, no send under way. */
void socket_send(struct socket *s, const struct slice *parts, unsigned count);

/* How many bytes of all that was sent the other side has taken, or its system for it; 0 when that is not
 * known. A send of much that goes on slowly is told by it from one that does not move. */
uint64_t socket_bytes_taken(const struct socket *s);

/* Ends the connection: with a reset when a send is under way, and else in order; what was sent before is
 * delivered then. Its buffers may be reused at once only if no send was under way; else `on_closed`
 * (may be null) is called with `owner` when the kernel has let go of them: always, once, and never from
 * within this call. Exactly one of socket_close and socket_detach ends a socket's life with its owner. */
void socket_close(struct socket *s, void (*on_closed)(void *owner));

/* Takes the connection off this core so that another can attach it. Requires: no send under way.
 * `on_detached` gets a handle to put into a message, or an error when the connection ended meanwhile;
 * on_data may be called before it. */
void socket_detach(struct socket *s, void (*on_detached)(void *owner, int64_t handle_or_error));
MUST_CHECK int socket_attach(struct reactor *r, int64_t handle, struct socket **out);
void socket_discard_handle(struct reactor *r,
                           int64_t handle); /* closes a detached connection nobody attached */

/* ---- what the core says ---- */

/* One line to the log of the process; the newline is added. Never waits, never fails: what a pipe that nobody
 * reads has no room for is lost and counted. */
void reactor_log_line(struct reactor *r, const char *line, size_t bytes);

struct reactor_counters {
    uint64_t turns;
    uint64_t kernel_enters; /* io_uring_enter calls */
    uint64_t submissions;
    uint64_t completions;
    uint64_t receives;
    uint64_t sends;
    uint64_t sleeps;
    uint64_t messages_sent;
    uint64_t wakeups_sent;
    uint64_t wakeups_refused; /* by the kernel; each is sent again */
    uint64_t allocations;     /* calls of reactor_alloc* and of a growing reactor_realloc */
    uint64_t heap_bytes;      /* allocated now */
    uint64_t tasks_spawned;
    uint64_t tasks_alive;
    uint64_t stalls; /* slices longer than REACTOR_SLICE_NS */
    uint64_t stall_longest_ns;
    uint64_t sockets_open;
    uint64_t early_submits; /* enters in the middle of a turn because the submission ring was full */
    uint64_t accept_errors; /* out of descriptors or memory; accepting goes on after a pause */
    uint64_t log_lines_lost;
};
struct reactor_counters reactor_counters(const struct reactor *r);

#endif
