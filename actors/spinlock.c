/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/spinlock.h"

#include <sched.h>

#include "transports/spin.h"

enum { PATIENCE = 128 };

void trp_spinlock_wait(struct trp_spinlock *l) {
    unsigned tries = 0;
    do {
        /* Relaxed: a look, the exchange counts. */
        while (atomic_load_explicit(&l->held, memory_order_relaxed)) {
            trp_spin_relax();
            if (++tries % PATIENCE == 0)
                sched_yield();
        }
        /* Acquire pairs with the release in trp_spinlock_unlock. */
    } while (atomic_exchange_explicit(&l->held, true, memory_order_acquire));
}
