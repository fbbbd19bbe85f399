/* task_switch.h - from one stack to another, in some ten instructions, and the sanitizers told of it.
 *
 * Only what the calling convention makes a callee keep is saved, on the stack that is left; the context is
 * its stack pointer. Floating-point control words are process-wide by agreement and not switched. */
#ifndef REACTOR_TASK_SWITCH_H
#define REACTOR_TASK_SWITCH_H

#include "reactor/sanitizer.h"

#include <stdbool.h>
#include <stddef.h>

struct stack_context {
    void *stack_pointer;
#if REACTOR_HAS_ASAN
    void *fake_stack;
    const void *stack_bottom;
    size_t stack_bytes;
#endif
#if REACTOR_HAS_TSAN
    void *fiber;
#endif
};

/* Prepares a stack so that the first switch to it calls entry(argument). The entry never returns: it ends
 * with stack_context_leave. */
void stack_context_prepare(struct stack_context *c, void *stack, size_t bytes, void (*entry)(void *argument),
                           void *argument);

/* The first thing an entry does. `from` is who switched here. */
void stack_context_entered(struct stack_context *from);

/* Leaves the running context for another; returns when something switches back to `from`. */
void stack_context_switch(struct stack_context *from, struct stack_context *to);

/* Leaves for good. */
_Noreturn void stack_context_leave(struct stack_context *from, struct stack_context *to);

/* The thread's own stack, which was not prepared: called once by the thread before its first switch. */
void stack_context_of_thread(struct stack_context *c);

/* Forgets a prepared context that is not running, finished or not. */
void stack_context_discard(struct stack_context *c);

#endif
