/* process.c - /proc/PID/stat, whose second field is the program's name in parentheses and may hold anything,
 * with the times in ticks as the 12th and 13th after it (proc(5)); and schedstat of each thread: nanoseconds
 * on a processor, nanoseconds waiting for one. */
#include "bench/process.h"

#include "bench/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 320, TASKS_MAX = 65536 };

static uint64_t wait_of(const char *path)
{
    unsigned long on = 0, waiting = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &on, &waiting) != 2)
        waiting = 0;
    fclose(f);
    return waiting;
}

void process_times_of_thread(struct process_times *out)
{
    out->cpu_ns = clock_thread_cpu_ns();
    out->wait_ns = wait_of("/proc/thread-self/schedstat");
}

static uint64_t wait_of_process(int pid)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    uint64_t sum = 0;
    const struct dirent *entry;
    for (int i = 0; tasks && i < TASKS_MAX && (entry = readdir(tasks)) != NULL; i++) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
        if (entry->d_name[0] != '.')
            sum += wait_of(path);
    }
    if (tasks)
        closedir(tasks);
    return sum;
}

bool process_times_of(int pid, struct process_times *out)
{
    char path[PATH_BYTES], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t bytes = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[bytes] = 0;
    const char *after_name = strrchr(text, ')');
    unsigned long user = 0, system = 0;
    if (!after_name ||
        sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return false;
    out->cpu_ns = (user + system) * (1000000000ul / (unsigned long)sysconf(_SC_CLK_TCK));
    out->wait_ns = wait_of_process(pid);
    return true;
}
