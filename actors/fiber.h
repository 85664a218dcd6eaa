/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A second stack to run on, and the one function that switches between stacks. The switch itself is Boost.Context's, but for
 * the processors that most people have: there it is a few instructions in place (below). AddressSanitizer and ThreadSanitizer
 * are told of it here and nowhere else. */
#ifndef TRP_FIBER_H
#define TRP_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#include "actors/sanitizer.h"

#if defined(__x86_64__) && !defined(__ILP32__) && !TRP_ASAN && !TRP_TSAN
#define TRP_FIBER_IN_PLACE 1
#else
#define TRP_FIBER_IN_PLACE 0
#endif

/* Where it goes on; valid while it does not run. */
struct trp_context {
    void *sp, *fp, *pc; /* in place */
    void *fcontext;     /* Boost's */
};

struct trp_fiber {
    struct trp_context context; /* first */
    struct trp_fiber *to;       /* whom it was left for */
    const void *bottom;         /* the low end of its stack, for the sanitizers; a thread's own: learnt at the first switch */
    size_t size;
    void *fake;              /* AddressSanitizer's stack of its own */
    void *tsan;              /* ThreadSanitizer's idea of it */
    void (*main)(void *arg); /* must not return: its last switch goes away for good */
    void *arg;
};

/* A stack is about to be used, perhaps once more. */
void trp_fiber_clean(void *bottom, size_t size);
/* `bottom` is the low end of size bytes of stack, a clean one. main(arg) is called at the first switch to it. */
void trp_fiber_init(struct trp_fiber *f, void *bottom, size_t size, void (*main)(void *arg), void *arg);
/* The thread's own stack, to switch away from. */
void trp_fiber_adopt(struct trp_fiber *f);
/* It will not be switched to again. Not on its own stack. */
void trp_fiber_fini(struct trp_fiber *f);
/* Goes on with `to`; returns when somebody switches back. `last`: never. How the floating-point unit rounds is the thread's,
 * not the fiber's: who changes that changes it back before he waits. */
#if TRP_FIBER_IN_PLACE
/* The compiler saves what it needs (all registers are said to change), so what is left is the stack, the frame and the way
 * back. There is no call and no return: the processor guesses where a return leads by the calls that it has seen, and a switch
 * that is called sets it wrong for each return that follows. Who is entered first finds `from` and `to` as its arguments. */
static inline void trp_fiber_switch(struct trp_fiber *from, struct trp_fiber *to, bool last) {
    (void)last;
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rsp, 0(%%rdi)\n\t"
                     "movq %%rbp, 8(%%rdi)\n\t"
                     "movq %%rax, 16(%%rdi)\n\t"
                     "movq 16(%%rsi), %%rax\n\t"
                     "movq 0(%%rsi), %%rsp\n\t"
                     "movq 8(%%rsi), %%rbp\n\t"
                     "jmpq *%%rax\n\t"
                     "1:"
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
                       "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15", "cc", "memory");
}
#else
void trp_fiber_switch(struct trp_fiber *from, struct trp_fiber *to, bool last);
#endif
/* Its stack pointer, while it does not run. */
static inline const void *trp_fiber_sp(const struct trp_fiber *f) {
    return TRP_FIBER_IN_PLACE ? f->context.sp : f->context.fcontext;
}

#endif
