/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How a thread sleeps whose actor waits: on a word, when its loop has nothing to bring but its bell; in its loop otherwise; or
 * on the word that it shares with a process (nap.h). To wake it on its word is one system call, and to sleep there another; a
 * loop takes a write, a wait and a read.
 *
 *     the thread                                          who wakes it, once it is PARKED or LISTENING
 *     begin(where)
 *     be PARKED, or listen: from here on it may be called
 *     sleep                                               takes PARKED or LISTENING away
 *     take that back; failing, somebody else has: await   call, once
 *     over
 *
 * Whoever takes PARKED or LISTENING away calls once, and the thread does not go on before he has: no call is late, so that none
 * wakes it from its next sleep, or reaches a worker that is gone. After the word has been changed the caller touches nothing
 * any more, but for the kernel, which only looks whether somebody sleeps at that address. */
#ifndef TRP_SLUMBER_H
#define TRP_SLUMBER_H

#include <stdatomic.h>
#include <stdint.h>

#include "actors/futex.h"

enum trp_slumbers { TRP_UP, TRP_ON_WORD, TRP_IN_LOOP, TRP_NAPPING };

/* Zeroed: up. */
struct trp_slumber {
    _Atomic uint32_t where; /* enum trp_slumbers */
};

/* Its thread: it is about to be PARKED, or to listen. */
static inline void trp_slumber_begin(struct trp_slumber *s, enum trp_slumbers where) {
    /* Relaxed: what lets others call it comes after this, and is a release. */
    atomic_store_explicit(&s->where, where, memory_order_relaxed);
}

/* Its thread: nobody calls any more. */
static inline void trp_slumber_over(struct trp_slumber *s) {
    atomic_store_explicit(&s->where, TRP_UP, memory_order_relaxed);
}

/* Its thread: until it has been called, wherever it was, or the deadline is over; may return in vain. */
void trp_slumber_wait(struct trp_slumber *s, int64_t deadline);
/* Its thread, when somebody has undertaken to call: until he has. */
void trp_slumber_await(struct trp_slumber *s);

/* Wakes it if it sleeps on its word. Else he who calls has to, wherever this says. Any thread. */
static inline enum trp_slumbers trp_slumber_call(struct trp_slumber *s) {
    /* Release pairs with the acquire in trp_slumber_wait: what it was woken for can be seen. */
    enum trp_slumbers was = (enum trp_slumbers)atomic_exchange_explicit(&s->where, TRP_UP, memory_order_acq_rel);
    if (was == TRP_ON_WORD)
        trp_futex_wake_near(&s->where);
    return was;
}

#endif
