/* process.h - processor time of another process of this machine. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdint.h>

/* User and system time of all its threads, to 10 ms. Returns: -1 when there is no such process. */
int64_t process_cpu_ns(int pid);

#endif
