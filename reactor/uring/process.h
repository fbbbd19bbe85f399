/* process.h - the cores of this process together: what they share while they start and stop. Internal to
 * run.c, channel.c and listing.c. */
#ifndef REACTOR_URING_PROCESS_H
#define REACTOR_URING_PROCESS_H

#include "reactor/uring/uring.h"

#include <pthread.h>
#include <sched.h>

enum { WHY_BYTES = 256 };

/* All cores come to it before one goes on. Also guards the first error. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    unsigned expected;
    unsigned waiting;
    unsigned generation;
    int error; /* the first of any core when it opened */
};

struct process {
    struct reactor_options options;
    reactor_main_fn *main;
    void *context;
    struct reactor **cores;
    cpu_set_t cpus; /* that the process may use, its cores not yet pinned */
    struct gate gate;
    int first_error; /* written under the gate's lock */
    char why[WHY_BYTES];
    void *channel_memory; /* of all pairs; null with one core */
    size_t channel_memory_bytes;
    atomic_bool must_stop;
    atomic_bool is_abandoned; /* a core has left operations with the kernel */
    atomic_bool is_given_up;  /* a core was asked to end, and has */
    pthread_mutex_t log_lock; /* never held while anything waits */
};

#endif
