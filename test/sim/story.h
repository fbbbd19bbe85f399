/* story.h - what happened in a history, line by line, with virtual time; and what was wrong.
 *
 * A story is kept in memory and printed by the runner when somebody wants to read it: a single seed, or one
 * that failed. */
#ifndef TEST_SIM_STORY_H
#define TEST_SIM_STORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct story {
    char *text; /* malloc'ed, ends with a zero byte; null while there is none */
    size_t bytes;
    size_t capacity;
    unsigned failures;
    bool is_detailed; /* story_detail counts too */
};

void story_deinit(struct story *s);

/* One line at a time. */
void story_say(struct story *s, uint64_t now_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, kept only when details are wanted. */
void story_detail(struct story *s, uint64_t now_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Something is wrong: the history has failed. Only the first few are told. */
void story_fail(struct story *s, uint64_t now_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
