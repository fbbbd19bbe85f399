/* task_switch.c - the assembly for x86-64 and aarch64, and the annotations for ASan and TSan. */
#include "reactor/task_switch.h"

#include "reactor/base/assert.h"

#include <stdint.h>
#include <string.h>

/* Pushes what a callee keeps, stores the stack pointer in *save, takes `load` for it, pops and returns
 * there. */
void stack_switch_raw(void **save, void *load);
void stack_entry_raw(void);

#if defined(__x86_64__)

/* prepared stack, upwards:  r15 r14 r13(argument) r12(entry) rbx rbp  return address = stack_entry_raw */
enum { FRAME_WORDS = 7, FRAME_ENTRY = 3, FRAME_ARGUMENT = 2, FRAME_RETURN = 6 };

__asm__(".text\n"
        ".globl stack_switch_raw\n"
        ".type stack_switch_raw, @function\n"
        "stack_switch_raw:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size stack_switch_raw, . - stack_switch_raw\n"
        ".globl stack_entry_raw\n"
        ".type stack_entry_raw, @function\n"
        "stack_entry_raw:\n"
        "    movq %r13, %rdi\n"
        "    xorl %ebp, %ebp\n"
        "    callq *%r12\n"
        "    ud2\n"
        ".size stack_entry_raw, . - stack_entry_raw\n");

#elif defined(__aarch64__)

/* prepared stack, upwards:  x19(entry) x20(argument) x21..x28  x29 x30(return address)  d8..d15 */
enum { FRAME_WORDS = 20, FRAME_ENTRY = 0, FRAME_ARGUMENT = 1, FRAME_RETURN = 11 };

__asm__(".text\n"
        ".globl stack_switch_raw\n"
        ".type stack_switch_raw, %function\n"
        "stack_switch_raw:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size stack_switch_raw, . - stack_switch_raw\n"
        ".globl stack_entry_raw\n"
        ".type stack_entry_raw, %function\n"
        "stack_entry_raw:\n"
        "    mov x0, x20\n"
        "    mov x29, xzr\n"
        "    blr x19\n"
        "    brk #1\n"
        ".size stack_entry_raw, . - stack_entry_raw\n");

#else
#error "no context switch for this processor"
#endif

#if REACTOR_HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if REACTOR_HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

void stack_context_prepare(struct stack_context *c, void *stack, size_t bytes, void (*entry)(void *argument),
                           void *argument)
{
    ASSERT((uintptr_t)stack % 16 == 0 && bytes % 16 == 0 && bytes >= 4096);
    UNPOISON(stack, bytes);
    memset(c, 0, sizeof *c);
    /* After the frame is popped the stack pointer is 16-aligned, as both conventions want it at a call. */
    uintptr_t *frame = (uintptr_t *)stack + bytes / sizeof(uintptr_t) - 16 / sizeof(uintptr_t) - FRAME_WORDS;
    if (((uintptr_t)(frame + FRAME_WORDS)) % 16)
        frame--;
    memset(frame, 0, FRAME_WORDS * sizeof *frame);
    frame[FRAME_ENTRY] = (uintptr_t)entry;
    frame[FRAME_ARGUMENT] = (uintptr_t)argument;
    frame[FRAME_RETURN] = (uintptr_t)stack_entry_raw;
    c->stack_pointer = frame;
#if REACTOR_HAS_ASAN
    c->stack_bottom = stack;
    c->stack_bytes = bytes;
#endif
#if REACTOR_HAS_TSAN
    c->fiber = __tsan_create_fiber(0);
#endif
}

void stack_context_entered(struct stack_context *from)
{
    (void)from;
#if REACTOR_HAS_ASAN
    __sanitizer_finish_switch_fiber(NULL, &from->stack_bottom, &from->stack_bytes);
#endif
}

void stack_context_switch(struct stack_context *from, struct stack_context *to)
{
#if REACTOR_HAS_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack_bottom, to->stack_bytes);
#endif
#if REACTOR_HAS_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    stack_switch_raw(&from->stack_pointer, to->stack_pointer);
#if REACTOR_HAS_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

_Noreturn void stack_context_leave(struct stack_context *from, struct stack_context *to)
{
#if REACTOR_HAS_ASAN
    __sanitizer_start_switch_fiber(NULL, to->stack_bottom, to->stack_bytes);
#endif
#if REACTOR_HAS_TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    stack_switch_raw(&from->stack_pointer, to->stack_pointer);
    __builtin_unreachable();
}

void stack_context_of_thread(struct stack_context *c)
{
    memset(c, 0, sizeof *c);
#if REACTOR_HAS_TSAN
    c->fiber = __tsan_get_current_fiber();
#endif
}

void stack_context_discard(struct stack_context *c)
{
    (void)c;
#if REACTOR_HAS_TSAN
    if (c->fiber)
        __tsan_destroy_fiber(c->fiber);
    c->fiber = NULL;
#endif
}
