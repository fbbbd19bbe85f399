/* child.h - the end of a process that was forked: at once, without what an exit of the parent's would do.
 *
 * Only the counts of a build for coverage are written (make coverage), which an _exit alone would lose. */
#ifndef TEST_SIM_CHILD_H
#define TEST_SIM_CHILD_H

#include <unistd.h>

#ifdef TORC_COVERAGE
void __gcov_dump(void);
#endif

_Noreturn static inline void child_exit(int status)
{
#ifdef TORC_COVERAGE
    __gcov_dump();
#endif
    _exit(status);
}

#endif
