/* disk_rig.h - a world with one node, for the tests of its disk.
 *
 * A body runs as the main task of the node and may wait; when it returns, the node stays up with whatever it
 * left open, until rig_stop or rig_kill. */
#ifndef TEST_SIM_DISK_RIG_H
#define TEST_SIM_DISK_RIG_H

#include "reactor/sim/sim.h"
#include "test/test.h"

enum { RIG_PAGE = FILE_ALIGNMENT, RIG_PAGES = 16 };

struct rig {
    struct sim_world *world;
    struct sim_node *node;
    struct sim_disk *disk; /* the node's */
    void (*body)(struct reactor *r, struct rig *rig);
    bool is_done;
    bool is_asked_to_stop;
    uint8_t *bytes; /* RIG_PAGES pages, aligned, of the core's heap: valid while the node is up */
    void *context;
};

/* No faults at all, a disk of 1 MiB. */
void rig_open(struct rig *rig, uint64_t seed);
void rig_close(struct rig *rig);
/* Faults from now on: this one alone, always. SIM_FAULT_COUNT: none. */
void rig_set_fault(struct rig *rig, enum sim_fault fault);
/* Starts the node and runs the body until it returns. */
void rig_run(struct rig *rig, void (*body)(struct reactor *r, struct rig *rig));
/* The same, then the node ends by itself. */
void rig_run_and_stop(struct rig *rig, void (*body)(struct reactor *r, struct rig *rig));
void rig_kill(struct rig *rig, enum sim_end how);
/* All of it with a rig of its own: the body runs, the node ends by itself and has leaked nothing. */
void rig_try(uint64_t seed, void (*body)(struct reactor *r, struct rig *rig));

/* `pages` pages of one byte. Borrowed: rig->bytes. */
const uint8_t *rig_fill(struct rig *rig, uint8_t byte, unsigned pages);
/* Of the cache of a disk: the byte at `offset`, -1 beyond the end, -2 when there is no such file. */
int disk_byte(const struct sim_disk *d, const char *path, uint64_t offset);
int64_t disk_bytes(const struct sim_disk *d, const char *path); /* the size, or -1: no such file */
/* A copy that lost its power with the same outcome for all that was pending. */
struct sim_disk *disk_after_power_loss(const struct sim_disk *d, int what);

/* Within a body: what has to work. */
struct file *must_open(struct reactor *r, const char *path, unsigned flags);
void must_write(struct reactor *r, struct rig *rig, struct file *f, uint8_t byte, uint64_t page);
void must_write_durably(struct reactor *r, struct rig *rig, struct file *f, uint8_t byte, uint64_t page);

#endif
