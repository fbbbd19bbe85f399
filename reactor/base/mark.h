/* mark.h - coverage marks: which rare branches a test run has come through.
 *
 *   MARK(a_torn_tail_is_cut);     in the branch that cuts it
 *
 * A branch that only a fault can reach has a mark whose name says what happens there. In a normal build a
 * mark is nothing. With -DTORC_MARKS it counts how often it is passed, and the simulator, which sums the
 * counts over all its seeds, fails when one is zero: so no recovery goes untested because no history ever
 * needed it. (After Alex Kladov, "Use of Coverage Marks", 2018, and TigerBeetle's src/testing/marks.zig.)
 *
 * The linker gathers the marks of a program: each leaves a pointer in the section torc_marks. Not for header
 * files, where a mark would be as many as there are includers. One thread: counts are plain integers. */
#ifndef REACTOR_BASE_MARK_H
#define REACTOR_BASE_MARK_H

#include <stddef.h>
#include <stdint.h>

struct mark {
    const char *name;
    const char *file;
    uint32_t line;
    uint64_t count;
};

#ifdef TORC_MARKS

#define MARK(sentence)                                                                                       \
    do {                                                                                                     \
        static struct mark mark_here = {#sentence, __FILE__, __LINE__, 0};                                   \
        static struct mark *const mark_place __attribute__((section("torc_marks"), used)) = &mark_here;      \
        mark_here.count++;                                                                                   \
    } while (0)

/* Weak: a program may have none. */
extern struct mark *const __start_torc_marks[] __attribute__((weak));
extern struct mark *const __stop_torc_marks[] __attribute__((weak));

/* The marks of this program. */
static inline size_t marks_count(void)
{
    return (size_t)(__stop_torc_marks - __start_torc_marks);
}

/* By the order of linking: the same in every run of one program. Requires: index < marks_count(). */
static inline struct mark *mark_at(size_t index)
{
    return __start_torc_marks[index];
}

#else

#define MARK(sentence)                                                                                       \
    do {                                                                                                     \
    } while (0)

#endif

#endif
