/* descriptors.c - how many files and connections the system lets this process have open at once. */
#include "reactor/uring/uring.h"

#include <sys/resource.h>

uint64_t reactor_raise_descriptors(void)
{
    struct rlimit limit, most;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    most = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &most) == 0 ? most.rlim_cur : limit.rlim_cur;
}
