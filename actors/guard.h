/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A lock that costs its owner next to nothing: two plain stores and two loads, where an ordinary one costs an atomic exchange.
 * It is for what one thread does millions of times a second and others now and then (Dice and others call such locks quickly
 * reacquirable, or biased).
 *
 *     owner: says that it is inside, looks whether it is wanted      -- neither waits for the other's processor to hear of it
 * -- others: say that it is wanted, and have the kernel make every processor of the program hear of everything (membarrier(2));
 * from then on the owner either has seen it, and stays out, or is seen inside, and is waited for
 *
 * The others pay a system call and some microseconds for it. Where the kernel does not do that, the owner takes their lock each
 * time. */
#ifndef TRP_GUARD_H
#define TRP_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "actors/spinlock.h"

/* A thread that owns guards. It is inside one at a time. */
struct trp_guest {
    _Alignas(8) atomic_bool inside;
};

struct trp_guard {
    _Atomic uintptr_t owner;  /* its guest; changed under the lock; 0: nobody. The lowest bit says that it is wanted: both are
                                 looked at at once */
    struct trp_spinlock lock; /* of all others among each other */
};

#define TRP_GUARD_WANTED ((uintptr_t)1)

/* May the owner rely on the kernel? Known once trp_guards_ready has been called. Otherwise every guard is always wanted. */
extern bool trp_guards_cheap;
/* Before the first guard is shared. Any thread; more than once. */
void trp_guards_ready(void);

void trp_guard_init(struct trp_guard *g);

/* The long way of trp_guard_enter. */
bool trp_guard_enter_late(struct trp_guard *g, struct trp_guest *me);

/* The owner's thread, not for long. False: it is not the owner, or not any more, and not inside. */
static inline bool trp_guard_enter(struct trp_guard *g, struct trp_guest *me) {
    atomic_store_explicit(&me->inside, true, memory_order_relaxed);
    /* The compiler keeps the order; that the processor does is the others' business. */
    atomic_signal_fence(memory_order_seq_cst);
    /* Acquire pairs with the release in trp_guard_unlock. */
    if (atomic_load_explicit(&g->owner, memory_order_acquire) == (uintptr_t)me)
        return true;
    return trp_guard_enter_late(g, me);
}
static inline void trp_guard_exit(struct trp_guest *me) {
    /* Release pairs with the acquire in trp_guard_lock. */
    atomic_store_explicit(&me->inside, false, memory_order_release);
}

/* Any thread that is inside none. */
void trp_guard_lock(struct trp_guard *g);
void trp_guard_unlock(struct trp_guard *g);
/* Under the lock, or before anybody else knows the guard. */
void trp_guard_give(struct trp_guard *g, struct trp_guest *owner);

#endif
