/* assert.h - a programmer's mistake ends the process, in release too.
 *
 * What the environment or a peer may cause is never asserted: it is returned as an error. */
#ifndef REACTOR_BASE_ASSERT_H
#define REACTOR_BASE_ASSERT_H

#include <assert.h>

/* Writes the place and the condition to stderr and aborts. */
_Noreturn void assert_failed(const char *condition, const char *file, int line, const char *function);

#define ASSERT(condition)                                                                                    \
    (__builtin_expect(!!(condition), 1) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__, __func__))

/* A function that can fail: its answer must be looked at. */
#define MUST_CHECK __attribute__((warn_unused_result))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member`, from a pointer to that member. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
