/* process.h - processor time of this thread and of another process of this machine, and how long they had to
 * wait for a processor that others used. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct process_times {
    uint64_t cpu_ns;  /* user and system */
    uint64_t wait_ns; /* could have run, and another did; 0 where the kernel does not count it */
};

void process_times_of_thread(struct process_times *out);

/* Of all threads of a process. Returns: false when there is no such process. */
bool process_times_of(int pid, struct process_times *out);

#endif
