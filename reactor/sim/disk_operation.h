/* disk_operation.h - an operation in flight on a simulated disk.
 *
 *   begin: faults and time are drawn, the data of a write is copied
 *     |  drawn time                        killed: made in whole, in part or not at all, and forgotten
 *   end: the disk changes, the buffer of a read is filled
 *     |  the next turn of the core
 *   over: `done` is called, or the task goes on
 *
 * It lives in memory of the world, so it may outlive the heap of the core that began it. */
#ifndef REACTOR_SIM_DISK_OPERATION_H
#define REACTOR_SIM_DISK_OPERATION_H

#include "reactor/sim/disk.h"

struct file {
    struct list link; /* of the core */
    struct disk_inode *inode;
    unsigned flags;      /* enum file_flag */
    uint32_t operations; /* in flight */
};

struct disk_operation {
    struct list link; /* of the disk: in_flight, then ended */
    struct sim_event end;
    struct sim_completion completion;
    struct reactor *reactor;
    struct sim_disk *disk;
    enum disk_draw kind;
    bool is_durable;
    bool is_of_directory;   /* REMOVE */
    bool is_changing;       /* counted in changing_count */
    enum sim_fault trouble; /* SIM_FAULT_COUNT: none */
    uint64_t trouble_draw;
    unsigned flags;           /* OPEN: of file_open; READ and others: those the file was opened with */
    struct disk_inode *inode; /* of an open file; OPEN: the one that was opened */
    uint64_t offset;
    uint64_t bytes;
    uint64_t sequence; /* what is pending before it was there when this began */
    struct disk_write *write;
    void *buffer; /* of the core, as `from` */
    const void *from;
    struct file *file;             /* where it is counted; null: of a path */
    struct file_operation *caller; /* null: a task waits for `is_over` */
    struct event is_over;
    int64_t result;
    char *path;
    char *to_path;
};

/* `f` is null for an operation on paths. */
struct disk_operation *disk_operation_new(struct reactor *r, struct file *f, enum disk_draw kind);
/* Copies them; `to_path` may be null. */
void disk_operation_set_paths(struct disk_operation *o, const char *path, const char *to_path);
void disk_operation_begin(struct disk_operation *o);
/* Begins it. Waits: until it is over. Returns: its result. */
int64_t disk_operation_wait(struct disk_operation *o);
/* Begins an OPEN. Waits: until it is over. Returns: its result; `*opened` counts one more that has it open.
 * */
int64_t disk_operation_wait_open(struct disk_operation *o, struct disk_inode **opened);
/* Of a core that is to be no more: see files_on_end. */
void disk_operations_end(struct reactor *r);

#endif
