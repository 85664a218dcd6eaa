/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A lock for what takes some ten instructions: one atomic operation to take it and none to give it back, where a mutex costs
 * two and five times the instructions. Who waits for it gives the processor up now and then, since its holder may have lost it.
 * Nothing is called with it held that may wait. */
#ifndef TRP_SPINLOCK_H
#define TRP_SPINLOCK_H

#include <stdatomic.h>
#include <stdbool.h>

/* Zeroed: free. */
struct trp_spinlock {
    atomic_bool held;
};

void trp_spinlock_wait(struct trp_spinlock *l);

static inline void trp_spinlock_lock(struct trp_spinlock *l) {
    /* Acquire pairs with the release in trp_spinlock_unlock. */
    if (atomic_exchange_explicit(&l->held, true, memory_order_acquire))
        trp_spinlock_wait(l);
}

static inline void trp_spinlock_unlock(struct trp_spinlock *l) {
    atomic_store_explicit(&l->held, false, memory_order_release);
}

#endif
