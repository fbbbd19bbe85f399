/* disk.h - the inside of a simulated disk, for the files of reactor/sim that are about it.
 *
 *   disk_pages.c     bytes: pages, tables, the data of writes
 *   disk.c           the disk as a whole: new, clone, space, what the driver reads and pokes
 *   disk_names.c     a directory: a sorted array
 *   disk_inode.c     inodes, who names and holds them
 *   disk_paths.c     open, rename, link and the like
 *   disk_pending.c   what is not durable yet: the list of it
 *   disk_layers.c    writes, sizes and space; what a sync makes durable
 *   disk_power.c     what a loss of power leaves
 *   disk_faults.c    draws, corruptions and what became of them
 *   disk_operation.c operations in flight: begin, last, end, or die with their node
 *   file.c, directory.c   the calls of reactor.h
 *
 * An inode has two layers, `durable` and `cached`: what a loss of power leaves if it drops everything, and
 * what readers see. What makes the difference stands in one list, oldest first, that of `pending`; only a
 * failed sync removes something from the list and leaves it in the cache. */
#ifndef REACTOR_SIM_DISK_H
#define REACTOR_SIM_DISK_H

#include "reactor/sim/disk_pages.h"
#include "reactor/sim/world.h"

enum { DISK_NAME_BYTES_MAX = 255, DISK_ROOT = 1 };

/* ---- names ---- */

struct disk_name {
    uint32_t references;
    uint32_t bytes;
    char text[]; /* ends with a zero */
};

struct disk_entry {
    struct disk_name *name;
    uint64_t inode;
};

/* A directory, sorted by the bytes of its names; shared between clones and layers as tables of pages are. */
struct disk_names {
    uint32_t references;
    uint32_t count;
    uint32_t capacity;
    struct disk_entry entries[];
};

/* ---- inodes ---- */

struct disk_inode {
    uint64_t id; /* from 1, never used twice on a disk */
    bool is_directory;
    bool is_locked;
    bool is_marked; /* for the length of one call */
    struct disk_content cached;
    struct disk_content durable;
    struct disk_names *cached_names; /* of a directory; null: none */
    struct disk_names *durable_names;
    uint64_t buffered_reads;
    uint64_t pages;      /* written ones of `cached` */
    uint32_t names;      /* cached names of it */
    uint32_t opens;      /* files and operations that have it open */
    uint32_t holds;      /* durable names of it, and pending changes of names that carry it */
    struct list pending; /* its writes and sizes, oldest first */
};

/* ---- what is not durable ---- */

/* `from` goes away, `to` comes to name the inode; either may be missing. */
struct disk_name_change {
    uint64_t from_directory;
    uint64_t to_directory;
    struct disk_name *from;
    struct disk_name *to;
};

struct disk_pending {
    struct list link;     /* of the disk, oldest first */
    struct list of_inode; /* of the inode; for a name: of the disk's names */
    enum sim_pending_kind kind;
    bool is_due; /* for the length of one call */
    uint64_t sequence;
    struct disk_inode *inode;
    struct disk_write *write; /* WRITE: these bytes of it */
    uint64_t begin;
    uint64_t end;
    uint64_t bytes; /* SIZE */
    struct disk_name_change change;
};

/* ---- the disk ---- */

/* What draws, each kind from streams of its own. */
enum disk_draw {
    DISK_DRAW_READ,
    DISK_DRAW_WRITE,
    DISK_DRAW_SYNC,
    DISK_DRAW_ALLOCATE,
    DISK_DRAW_TRUNCATE,
    DISK_DRAW_OPEN,
    DISK_DRAW_CLOSE,
    DISK_DRAW_DIRECTORY_CREATE,
    DISK_DRAW_DIRECTORY_SYNC,
    DISK_DRAW_RENAME,
    DISK_DRAW_LINK,
    DISK_DRAW_REMOVE,
    DISK_DRAW_REST, /* not an operation: the end of a node, a loss of power, the driver */
    DISK_DRAW_DIRECTORY_LIST,
    DISK_DRAW_COUNT
};

enum { DISK_FAULTS = SIM_FAULT_COUNT }; /* the last is a disk's */

struct disk_dice {
    struct sim_dice fault[DISK_FAULTS];
    struct sim_dice duration;
};

struct disk_view;    /* disk_pending.c's: the list of pending, to be looked at by index */
struct disk_listing; /* disk.c's: paths of files, sorted */

struct sim_disk {
    uint64_t entity;
    uint64_t capacity;
    uint64_t used_pages; /* of files that have a name or are open */
    uint64_t next_inode;
    struct disk_inode **inodes; /* sorted by id */
    uint32_t inode_count;
    uint32_t inode_capacity;

    struct list pending;
    struct list pending_names;
    uint32_t pending_count;
    bool is_reloading;         /* power is being lost: inodes stay until it is over */
    uint64_t pending_sequence; /* of the next one */
    uint64_t change_count;     /* sim_disk_change_count */
    uint64_t version;          /* changes with each change of what is pending or in flight */
    struct disk_view *view;

    struct sim_corruption *corruptions;
    uint32_t corruption_count;
    uint32_t corruption_capacity;

    struct list in_flight;   /* struct disk_operation, in the order of their submission */
    uint32_t changing_count; /* of those, how many change something */
    struct list ended;       /* over, and not yet heard of by their core or task */
    uint64_t stuck_until_ns;
    uint64_t dice_seed;  /* of the world that drew last */
    uint32_t dice_ready; /* a bit for each enum disk_draw */
    struct disk_dice dice[DISK_DRAW_COUNT];

    uint64_t names_version; /* changes with each cached name */
    struct disk_listing *listing;
};

/* ---- disk_names.c ---- */

struct disk_name *disk_name_new(const char *text, size_t bytes);
struct disk_name *disk_name_acquire(struct disk_name *name); /* null is allowed, in the next three too */
void disk_name_release(struct disk_name *name);
void disk_names_release(struct disk_names *names);
struct disk_names *disk_names_acquire(struct disk_names *names);
/* Returns: the inode's id, 0 when there is no such name. */
uint64_t disk_names_find(const struct disk_names *n, const char *text, size_t bytes);
/* Sets a name to an inode, or takes it out for 0. Returns: what it named before. */
uint64_t disk_names_set(struct disk_names **slot, struct disk_name *name, uint64_t inode);

/* ---- disk_inode.c ---- */

struct disk_inode *disk_inode(const struct sim_disk *d, uint64_t id); /* null: it is gone */
struct disk_inode *disk_inode_new(struct sim_disk *d, bool is_directory);
void disk_inode_destroy(struct sim_disk *d,
                        struct disk_inode *i); /* its pending ones too; not out of the array */
/* No crash can bring it back: what is written to it is pending no more. */
static inline bool disk_inode_is_lost(const struct disk_inode *i)
{
    return i->names == 0 && i->holds == 0;
}
/* Drops what is pending of a file that is lost, and frees it when it is not open either. */
void disk_inode_check(struct sim_disk *d, struct disk_inode *i);
void disk_inode_opened(struct sim_disk *d, struct disk_inode *i);
void disk_inode_closed(struct sim_disk *d, struct disk_inode *i);

/* Makes a change of names in the cache, pending. Takes the names over. */
void disk_change_names(struct sim_disk *d, struct disk_inode *i, struct disk_name_change change);
/* Makes a change of names in the durable layer. */
void disk_name_change_apply(struct sim_disk *d, const struct disk_name_change *change, uint64_t inode);
/* Takes each name of a file out of both layers, with what is pending about it. */
void disk_forget_file(struct sim_disk *d, struct disk_inode *i);
/* After a loss of power: the cache is what is durable, and what cannot be reached is gone. */
void disk_reload(struct sim_disk *d);
/* The first path of an inode in the cache, cut to fit; empty when it has none. */
void disk_path_of(const struct sim_disk *d, uint64_t id, char *path, size_t bytes);

/* ---- disk_paths.c ---- */

/* The inode of a path in the cache. Returns: 0, -ENOENT, -ENOTDIR or -ENAMETOOLONG. */
MUST_CHECK int disk_find(const struct sim_disk *d, const char *path, struct disk_inode **out);
MUST_CHECK int disk_find_directory(const struct sim_disk *d, const char *path, struct disk_inode **out);
/* As open would: `*out` is the file, made when FILE_CREATE asks for it. */
MUST_CHECK int disk_open_file(struct sim_disk *d, const char *path, unsigned flags, struct disk_inode **out);
MUST_CHECK int disk_make_directory(struct sim_disk *d, const char *path);
MUST_CHECK int disk_rename(struct sim_disk *d, const char *from, const char *to);
MUST_CHECK int disk_link(struct sim_disk *d, const char *from, const char *to);
MUST_CHECK int disk_unlink(struct sim_disk *d, const char *path);
MUST_CHECK int disk_remove_directory(struct sim_disk *d, const char *path);

/* ---- disk_pending.c ---- */

static inline struct disk_pending *disk_pending_of(struct list *link)
{
    return CONTAINER_OF(link, struct disk_pending, link);
}

static inline struct disk_pending *disk_pending_of_inode(struct list *of_inode)
{
    return CONTAINER_OF(of_inode, struct disk_pending, of_inode);
}

/* What a loss of power leaves may be something else now. */
void disk_changed(struct sim_disk *d);
struct disk_pending *disk_pending_add(struct sim_disk *d, struct disk_inode *i, enum sim_pending_kind kind);
void disk_pending_name(struct sim_disk *d, struct disk_inode *i, const struct disk_name_change *change);
void disk_pending_drop(struct sim_disk *d, struct disk_pending *p);
void disk_pending_clone(struct sim_disk *to, const struct sim_disk *from);
/* Bytes `begin` to `end` of the writes of `i` before `until` in its list are decided by something else. */
void disk_pending_clip(struct sim_disk *d, struct disk_inode *i, const struct list *until, uint64_t begin,
                       uint64_t end);
/* Makes it in the durable layer; it stays in the list. */
void disk_pending_apply(struct sim_disk *d, struct disk_pending *p);
struct disk_view *disk_view_new(void);
void disk_view_free(struct disk_view *v);

/* ---- disk_layers.c ---- */

enum disk_safety {
    DISK_CACHED,  /* pending */
    DISK_DURABLE, /* at once */
    DISK_DOOMED,  /* in the cache and never to be durable: what a failed sync leaves behind */
};
/* Makes the bytes of `w` up to `end`, or as many as there is space for. Returns: 0 or -ENOSPC. */
MUST_CHECK int disk_write(struct sim_disk *d, struct disk_inode *i, struct disk_write *w, uint64_t end,
                          enum disk_safety safety);
/* Whether this write, made now, could change nothing at all. */
bool disk_write_is_idle(const struct disk_inode *i, const struct disk_write *w);
MUST_CHECK int disk_allocate(struct sim_disk *d, struct disk_inode *i, uint64_t begin, uint64_t end);
void disk_resize(struct sim_disk *d, struct disk_inode *i, uint64_t bytes);
/* Only the pages and the size that a write needs. Returns: 0 or -ENOSPC, then nothing was done. */
MUST_CHECK int disk_grow(struct sim_disk *d, struct disk_inode *i, const struct disk_write *w,
                         bool is_durable);
/* What was pending before `sequence`. */
void disk_sync(struct sim_disk *d, struct disk_inode *i, uint64_t sequence);
void disk_sync_directory(struct sim_disk *d, uint64_t directory, uint64_t sequence);
/* A sync that failed: its writes are pending no more, and not durable; `is_now`: and gone from the cache.
 * Sizes stay pending. */
void disk_fail_sync(struct sim_disk *d, struct disk_inode *i, uint64_t sequence, bool is_now);
/* What is pending of writes and sizes beyond `bytes` goes. */
void disk_pending_cut(struct sim_disk *d, struct disk_inode *i, uint64_t bytes);
/* Changes bytes in every layer, and tags their sectors. */
void disk_patch(struct sim_disk *d, struct disk_inode *i, struct slice bytes, uint64_t offset, uint32_t tag);
void disk_tag_sector(struct sim_disk *d, struct disk_inode *i, uint64_t offset, uint32_t tag);
/* Counts what came into the cached layer of `i`. */
void disk_pages_added(struct sim_disk *d, struct disk_inode *i, uint64_t pages);

/* ---- disk_faults.c ---- */

struct disk_dice *disk_dice(struct sim_disk *d, const struct sim_world *w, enum disk_draw draw);
bool disk_draws_fault(struct sim_disk *d, struct sim_world *w, enum disk_draw draw, enum sim_fault fault);
/* What a drive does instead of a write. The size and the pages that the write needs are made: they are the
 * file system's. Returns: 0 or -ENOSPC. */
MUST_CHECK int disk_lose_write(struct sim_disk *d, struct sim_world *w, struct disk_inode *i,
                               struct disk_write *data, bool is_durable);
MUST_CHECK int disk_misdirect_write(struct sim_disk *d, struct sim_world *w, struct disk_inode *i,
                                    struct disk_write *data, bool is_durable);
bool disk_has_bad_sector(const struct sim_disk *d, const struct disk_content *c, uint64_t begin,
                         uint64_t end);

/* ---- disk_operation.c ---- */

/* What is in flight ends in this copy, as far as it changes something. */
void disk_operations_settle(struct sim_disk *copy, const struct sim_disk *d);

/* ---- directory.c ---- */

void disk_locks_release(struct reactor *r);

#endif
