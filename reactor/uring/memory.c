/* memory.c - how much memory the system lets this process have.
 *
 * The least of: what the machine has, the limits of the control group the process is in and of those above it
 * (version 2 and 1), and the process's own limits on its data and address space. */
#include "reactor/uring/uring.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096, PATH_BYTES = 2 * TEXT_BYTES, LEVELS_MAX = 64 };

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The first bytes of a small file as text; empty when it cannot be read. */
static void read_text(const char *path, char *to, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd >= 0 ? read(fd, to, bytes - 1) : 0;
    if (fd >= 0)
        close(fd);
    to[count > 0 ? count : 0] = '\0';
}

/* Returns: the number in the file; UINT64_MAX when it says max, or nothing. */
static uint64_t read_limit(const char *path)
{
    char text[64], *end;
    read_text(path, text, sizeof text);
    unsigned long long limit = strtoull(text, &end, 10);
    return end == text ? UINT64_MAX : limit;
}

/* The group at `path` below `root`, and all above it. */
static uint64_t limit_of_groups(const char *root, const char *path, const char *file)
{
    char group[TEXT_BYTES], name[PATH_BYTES];
    uint64_t limit = UINT64_MAX;
    snprintf(group, sizeof group, "%s", path);
    for (unsigned i = 0; i < LEVELS_MAX; i++) {
        snprintf(name, sizeof name, "%s%s/%s", root, group, file);
        limit = least(limit, read_limit(name));
        char *slash = strrchr(group, '/');
        if (!slash)
            return limit;
        *slash = '\0';
    }
    return limit;
}

/* Lines are `number:controllers:path`; of version 2 the controllers are empty. */
static uint64_t limit_of_cgroups(void)
{
    char text[TEXT_BYTES];
    uint64_t limit = UINT64_MAX;
    read_text("/proc/self/cgroup", text, sizeof text);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (controllers[1] == '\0')
            limit = least(limit, limit_of_groups("/sys/fs/cgroup", path, "memory.max"));
        else if (strcmp(controllers + 1, "memory") == 0)
            limit = least(limit, limit_of_groups("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
    return limit;
}

uint64_t reactor_memory_bytes(struct reactor *r)
{
    (void)r;
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t limit = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : UINT64_MAX;
    limit = least(limit, limit_of_cgroups());
    struct rlimit of;
    if (getrlimit(RLIMIT_DATA, &of) == 0 && of.rlim_cur != RLIM_INFINITY)
        limit = least(limit, of.rlim_cur);
    if (getrlimit(RLIMIT_AS, &of) == 0 && of.rlim_cur != RLIM_INFINITY)
        limit = least(limit, of.rlim_cur);
    return limit;
}
