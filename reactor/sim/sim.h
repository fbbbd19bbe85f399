/* sim.h - a world that fails on demand: many nodes, one thread, one seed.
 *
 * reactor/sim implements reactor.h for cores that exist only in this process: a virtual clock, disks and a
 * network that fail as they are told to, and a crash that destroys a node's memory and keeps its disk. All
 * that happens follows from the options of the world, so a run can be repeated exactly.
 *
 *   world --> node --> core (struct reactor): heap, tasks, timers, as in any backend
 *     |         +----> disk: outlives the node's runs, can be cloned and moved to another world
 *     +-------> events: a heap by (time, tie-break, sequence); what is due runs, time jumps to the next
 *
 * Random draws are counter-based: hash(seed, stream, entity, ordinal). Each kind of fault draws from a stream
 * of its own, so switching one off leaves all others where they were. (After the simulators of FoundationDB,
 * Zhou et al., SIGMOD 2021, and of TigerBeetle, docs/internals/testing.md.)
 *
 * Who uses this header drives the world: test/sim. Its calls are made from outside of any core, unless marked
 * otherwise. They have no errors: out of memory ends the process. */
#ifndef REACTOR_SIM_SIM_H
#define REACTOR_SIM_SIM_H

#include "reactor/reactor.h"

struct sim_world;
struct sim_node;
struct sim_disk;

/* ---- faults ---- */

/* X(NAME, "words"). Rates are per opportunity, named here. The driver itself decides about those marked
 * (driver) and counts them with sim_fault_count. */
#define SIM_FAULT_LIST(X)                                                                                    \
    X(KILL, "process killed")                 /* (driver) memory is gone, the page cache stays */            \
    X(POWER_LOSS, "power lost")               /* (driver) memory is gone, what was not synced is at risk */  \
    X(DROPPED_WRITE, "dropped write")         /* each unsynced write at a loss of power */                   \
    X(TORN_WRITE, "torn write")               /* the same: some of its sectors are kept */                   \
    X(DROPPED_NAME, "dropped name")           /* each unsynced change of a directory at a loss of power */   \
    X(BIT_ROT, "bit rot")                     /* (driver) one bit or more of a sector at rest */             \
    X(LOST_WRITE, "lost write")               /* each write: reported done, never made */                    \
    X(MISDIRECTED_WRITE, "misdirected write") /* each write: made at another place of the same disk */       \
    X(READ_ERROR, "read error")               /* each read: -EIO, once */                                    \
    X(WRITE_ERROR, "write error")             /* each write: -EIO; none, some or all of it was made */       \
    X(SYNC_ERROR, "sync error")               /* each sync, each durable write: -EIO; see below */           \
    X(BAD_SECTOR, "latent bad sector")        /* (driver) reads fail with -EIO until it is overwritten */    \
    X(DISK_FULL, "full disk")                 /* (driver) less capacity for a while */                       \
    X(SLOW_DISK, "slow disk")                 /* each operation: 10 to 1,000 times as long */                \
    X(STUCK_DISK, "stuck disk")               /* each operation: not over for 1 to 60 s */                   \
    X(DISK_ROLLBACK, "disk rolled back")      /* (driver) the disk is as it was some time ago */             \
    X(DISK_WIPE, "disk wiped")                /* (driver) the disk is empty */                               \
    X(CHANNEL_FULL, "channel full")           /* each message between cores: refused */                      \
    X(CHANNEL_DELAY, "channel delayed")       /* each publication: up to 10 ms */                            \
    X(NETWORK_SEGMENT, "short segment")       /* each send: cut into several, down to one byte */            \
    X(NETWORK_DELAY, "network delay")         /* each segment: up to 500 ms */                               \
    X(NETWORK_STALL, "network stall")         /* each segment: the connection moves nothing for 1 to 30 s */ \
    X(NETWORK_RESET, "connection reset") /* each segment: -ECONNRESET on both sides, bytes under way lost */ \
    X(NETWORK_REFUSE, "connection refused") /* each connect: -ECONNREFUSED or a timeout */                   \
    X(WALL_JUMP, "wall clock jumps")        /* each turn of a core: by up to an hour, either way */          \
    X(WALL_DRIFT, "wall clock drifts")      /* at the start of a node: up to 1 part in 1,000, either way */  \
    X(WALL_FREEZE, "wall clock freezes")    /* each turn: stands for up to 10 s */                           \
    X(TURN_DELAY, "late turn")              /* each turn: the core gets no processor for up to 100 ms */     \
    X(NO_DESCRIPTORS, "no descriptors")     /* each open, each sync of a directory: -EMFILE, not tried */    \
    X(NO_READ_MEMORY, "no memory to read")  /* each read: -ENOMEM, not tried */

/* A sync that fails: what it was to make durable is dropped from the cache at once or at the next crash, and
 * later syncs report nothing of it (fsyncgate). But the names of a directory are journaled: they stay
 * pending, and a later sync makes them durable. */
enum sim_fault {
#define SIM_FAULT_ENUM(name, words) SIM_##name,
    SIM_FAULT_LIST(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULT_COUNT
};

const char *sim_fault_name(enum sim_fault fault); /* the words */

struct sim_faults {
    uint32_t per_million[SIM_FAULT_COUNT]; /* 0: never */
};

/* ---- draws ---- */

/* One stream of draws of one entity. */
struct sim_dice {
    uint64_t key;
    uint64_t ordinal;
};

/* Streams that are no fault's begin here, however many faults there are: a new one leaves all other draws
 * where they were. */
enum { SIM_STREAMS = 28 };
/* `stream` is a fault, or SIM_STREAMS + a number of the user's own. */
void sim_dice_init(struct sim_dice *d, uint64_t seed, uint64_t stream, uint64_t entity);
uint64_t sim_dice_next(struct sim_dice *d);
uint64_t sim_dice_below(struct sim_dice *d, uint64_t bound);                /* 0 to bound - 1; bound > 0 */
bool sim_dice_hits(struct sim_dice *d, uint32_t per_million);               /* always draws once */
uint64_t sim_dice_between(struct sim_dice *d, uint64_t low, uint64_t high); /* both included */

/* ---- the world ---- */

struct sim_world_options {
    uint64_t seed;
    struct sim_faults faults;
    uint8_t heap_fill; /* what new memory of cores is full of, freed memory of its complement; 0: as it is */
    void *context;     /* of the call below */
    /* reactor_log_line; may be null */
    void (*on_log)(void *context, struct sim_node *node, const char *line, size_t bytes);
};

struct sim_world *sim_world_new(const struct sim_world_options *options);
/* Its nodes too, killed where they stand, and the disks they have. */
void sim_world_free(struct sim_world *w);

void sim_world_set_faults(struct sim_world *w, const struct sim_faults *faults);
uint64_t sim_now_ns(const struct sim_world *w); /* of the world; begins at 1 s */

/* Runs what is due next. Returns: false when nothing will ever happen any more. */
MUST_CHECK bool sim_step(struct sim_world *w);
/* Runs until `is_done` (null: never) or the clock passes `until_ns`. Returns: whether is_done. */
bool sim_run(struct sim_world *w, uint64_t until_ns, bool (*is_done)(void *context), void *context);
/* Calls `call` once, at that time, between turns. It may kill and start nodes. */
void sim_call_at(struct sim_world *w, uint64_t at_ns, void (*call)(void *context), void *context);

void sim_fault_count(struct sim_world *w, enum sim_fault fault);
uint64_t sim_fault_hits(const struct sim_world *w, enum sim_fault fault); /* so far */
uint64_t sim_events(const struct sim_world *w);                           /* run so far */
/* Everything that happened, in order, rolled into 64 bits: the same for the same options, whatever the
 * addresses. */
uint64_t sim_trace_hash(const struct sim_world *w);
/* Adds something of the driver's to it. */
void sim_trace(struct sim_world *w, uint64_t what, uint64_t value);

/* ---- nodes ---- */

/* `host` is its address in the network ("10.0.0.1"). Owns: the disk, which may be null for an empty one of
 * 1 GiB; sim_node_take_disk gives it back. The node is down. */
struct sim_node *sim_node_new(struct sim_world *w, const char *host, struct sim_disk *disk);

/* Starts it as reactor_run would. Requires: it is down. options->first_cpu counts for nothing. */
void sim_node_start(struct sim_node *n, const struct reactor_options *options, reactor_main_fn *main,
                    void *context);
bool sim_node_is_up(const struct sim_node *n);
/* Of the last run that ended by itself: what reactor_run would have returned. */
int sim_node_result(const struct sim_node *n);
/* What that run had not given back when it ended; all zero after a tidy end. Heap bytes are those above what
 * a core of this backend has when its main begins. */
struct sim_leaks {
    uint64_t files;
    uint64_t sockets;
    uint64_t listeners;
    uint64_t tasks;
    uint64_t timers;
    uint64_t heap_bytes;
};
struct sim_leaks sim_node_leaks(const struct sim_node *n);
enum { SIM_LEAKS_TEXT_BYTES = 192 };
/* In words. Returns: whether anything is left. */
bool sim_leaks_tell(const struct sim_leaks *l, char text[SIM_LEAKS_TEXT_BYTES]);

enum sim_end {
    SIM_END_KILL,  /* the process: its memory goes, connections are reset, the page cache stays */
    SIM_END_POWER, /* the machine: connections go silent, what was not synced is kept, dropped or torn */
};
/* Counts the fault; the disk stays. Does nothing when down. */
void sim_node_kill(struct sim_node *n, enum sim_end how);
void sim_node_ask_to_stop(struct sim_node *n); /* as SIGTERM */

/* Its wall clock is set, forward or back, by somebody who saw that it was wrong. */
void sim_node_move_wall(struct sim_node *n, int64_t by_ns);

/* The reactor of a core, to look at; null when the node is down. */
struct reactor *sim_node_core(struct sim_node *n, unsigned core);
struct sim_world *sim_node_world(const struct sim_node *n);
struct sim_disk *sim_node_disk(struct sim_node *n);
/* Requires: it is down. Afterwards it has none until sim_node_give_disk. */
struct sim_disk *sim_node_take_disk(struct sim_node *n);
void sim_node_give_disk(struct sim_node *n, struct sim_disk *disk);

/* ---- disks (reactor/sim/disk.c and what stands beside it) ----
 *
 *                 write over              sync, or a durable write over
 *   in flight ---------------> cached ----------------------------------> durable
 *        |                        |
 *        +--- power lost: each one kept, dropped or torn into its sectors ---> durable or gone
 *
 * Reads see what is durable with all that is cached on top. Names have the same two states, made durable by
 * directory_sync. A durable write makes durable its own bytes and the size they need, and nothing else. */

enum { SIM_SECTOR_BYTES = 512, SIM_DISK_PAGE_BYTES = 4096 };

struct sim_disk *sim_disk_new(uint64_t capacity_bytes, uint64_t entity); /* entity: of its draws */
void sim_disk_free(struct sim_disk *d);
/* What is cached stays cached in the copy, what is in flight is cached in it. Cheap: pages are shared. */
struct sim_disk *sim_disk_clone(const struct sim_disk *d);
void sim_disk_wipe(struct sim_disk *d);
void sim_disk_set_capacity(struct sim_disk *d, uint64_t bytes);
uint64_t sim_disk_used_bytes(const struct sim_disk *d);

/* The whole disk stands still for so long, whatever is asked of it; what is in flight ends after that. */
void sim_disk_hold(struct sim_disk *d, struct sim_world *w, uint64_t ns);

/* Files as a reader would find them now, in byte order of their paths. */
struct sim_file_info {
    const char *path; /* borrowed: until the disk changes */
    uint64_t id;      /* of the inode: stays when it is renamed */
    uint64_t bytes;
    uint64_t buffered_reads; /* without FILE_DIRECT: a page cache may answer them */
};
uint32_t sim_disk_file_count(const struct sim_disk *d);
struct sim_file_info sim_disk_file_at(const struct sim_disk *d, uint32_t index);
/* Returns: bytes read, short at the end; -ENOENT. Fails for no fault, and counts as no access. */
int64_t sim_disk_peek(const struct sim_disk *d, const char *path, void *to, size_t bytes, uint64_t offset);
/* Overwrites bytes at rest, durably, unseen by anyone. Requires: inside the file. */
void sim_disk_poke(struct sim_disk *d, const char *path, const void *from, size_t bytes, uint64_t offset);
void sim_disk_remove_file(struct sim_disk *d, const char *path); /* as if it had never been */
void sim_disk_truncate_file(struct sim_disk *d, const char *path, uint64_t bytes);

/* A corruption that was injected, by the driver or by a fault, and what became of it. */
enum sim_corruption_fate {
    SIM_CORRUPTION_HERE,        /* still there */
    SIM_CORRUPTION_OVERWRITTEN, /* the sector was written again, or its file is gone */
};
struct sim_corruption {
    enum sim_fault fault; /* BIT_ROT, BAD_SECTOR, LOST_WRITE, MISDIRECTED_WRITE */
    char path[128];       /* when it was injected */
    uint64_t file;        /* sim_file_info.id */
    uint64_t offset;      /* of the first sector */
    uint64_t bytes;       /* whole sectors */
    uint64_t at_ns;
    enum sim_corruption_fate fate;
};
uint32_t sim_disk_corruption_count(const struct sim_disk *d);
const struct sim_corruption *sim_disk_corruption(const struct sim_disk *d, uint32_t index);
/* Is the sector at `offset` one that a corruption is in? Requires: inside the file. */
bool sim_disk_is_damaged(struct sim_disk *d, const char *path, uint64_t offset);
/* Flips 1 to 8 bits of the sector at `offset`, or makes it unreadable. Requires: inside the file. */
void sim_disk_rot(struct sim_disk *d, struct sim_world *w, const char *path, uint64_t offset);
void sim_disk_break_sector(struct sim_disk *d, struct sim_world *w, const char *path, uint64_t offset);

/* Crash images. What a loss of power now would put at risk, oldest first: unsynced writes, changes of size,
 * changes of names. */
enum sim_pending_kind { SIM_PENDING_WRITE, SIM_PENDING_SIZE, SIM_PENDING_NAME };
struct sim_pending {
    enum sim_pending_kind kind;
    uint64_t file;
    uint64_t offset; /* WRITE */
    uint64_t bytes;  /* WRITE; SIZE: the new size */
};
uint32_t sim_disk_pending_count(const struct sim_disk *d);
struct sim_pending sim_disk_pending(const struct sim_disk *d, uint32_t index);
/* What becomes of each at a loss of power. TEAR is for writes of more than one sector: sectors begin to end -
 * 1 of it are kept, the others dropped. */
struct sim_choice {
    enum { SIM_KEEP, SIM_DROP, SIM_TEAR } what;
    uint32_t sector_begin;
    uint32_t sector_end;
};
/* Loses power with these outcomes, one for each pending. Requires: no node runs on it. */
void sim_disk_lose_power(struct sim_disk *d, const struct sim_choice *choices);
/* Changes with each operation that can change what a loss of power leaves: when it is the same, so are the
 * images. */
uint64_t sim_disk_change_count(const struct sim_disk *d);

#endif
