/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A second stack to run on, and the one function that switches between stacks. The switch itself is Boost.Context's;
 * AddressSanitizer and ThreadSanitizer are told of it here and nowhere else. */
#ifndef TRP_FIBER_H
#define TRP_FIBER_H

#include <stdbool.h>
#include <stddef.h>

struct trp_fiber {
    void *context;        /* where it goes on; valid while it does not run */
    struct trp_fiber *to; /* whom it was left for */
    const void *bottom;   /* the low end of its stack, for the sanitizers; a thread's own stack: learnt at the first switch */
    size_t size;
    void *fake;              /* AddressSanitizer's stack of its own */
    void *tsan;              /* ThreadSanitizer's idea of it */
    void (*main)(void *arg); /* must not return: its last switch goes away for good */
    void *arg;
};

/* `bottom` is the low end of size bytes of stack. main(arg) is called at the first switch to it. */
void trp_fiber_init(struct trp_fiber *f, void *bottom, size_t size, void (*main)(void *arg), void *arg);
/* The thread's own stack, to switch away from. */
void trp_fiber_adopt(struct trp_fiber *f);
/* It will not be switched to again. Not on its own stack. */
void trp_fiber_fini(struct trp_fiber *f);
/* Goes on with `to`; returns when somebody switches back. `last`: never. */
void trp_fiber_switch(struct trp_fiber *from, struct trp_fiber *to, bool last);

#endif
