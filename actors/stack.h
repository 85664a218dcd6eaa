/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Stacks for coroutines. Each has a guard below it, so that a body that needs more dies with SIGSEGV instead of
 * overwriting its neighbour. Memory is touched, and so costs, as deep as a body has gone. Used ones of the usual size
 * are kept for the next; new ones come several at a time. */
#ifndef TRP_STACK_H
#define TRP_STACK_H

#include <pthread.h>
#include <stddef.h>
#include <troupe/status.h>

struct trp_stack {
    void *bottom; /* the low end, above the guard */
    size_t size;
};

struct trp_stacks {
    pthread_mutex_t lock;
    size_t usual;    /* (c) */
    void *spare;     /* (m) linked through their highest word, which is warm */
    unsigned spares; /* (m) */
    char *slab;      /* (m) the lowest of those that nobody has used so far */
    unsigned left;   /* (m) how many they are */
};

/* Some of the usual size that one thread keeps at hand: zero it. */
struct trp_stacks_near {
    void *spare;
    unsigned spares;
};

void trp_stacks_init(struct trp_stacks *s);
void trp_stacks_fini(struct trp_stacks *s);

/* size 0: the usual, 64 KiB; others are rounded up to pages. NO_MEMORY. Any thread. */
TROUPE_NODISCARD troupe_status trp_stack_get(struct trp_stacks *s, size_t size, struct trp_stack *out);
void trp_stack_put(struct trp_stacks *s, const struct trp_stack *stack);
/* The same by way of what the calling thread keeps (NULL: it keeps none). */
TROUPE_NODISCARD troupe_status trp_stack_get_near(struct trp_stacks_near *near, struct trp_stacks *s, size_t size,
                                                  struct trp_stack *out);
void trp_stack_put_near(struct trp_stacks_near *near, struct trp_stacks *s, const struct trp_stack *stack);
void trp_stacks_near_fini(struct trp_stacks_near *near, struct trp_stacks *s);

#endif
