/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/slumber.h"

static bool is_up(struct trp_slumber *s) {
    /* Acquire pairs with the release in trp_slumber_call. */
    return atomic_load_explicit(&s->where, memory_order_acquire) == TRP_UP;
}

void trp_slumber_wait(struct trp_slumber *s, int64_t deadline) {
    if (!is_up(s))
        trp_futex_wait_near(&s->where, TRP_ON_WORD, deadline);
}

/* Wherever it was, it sleeps on its word now: whoever calls wakes it there. */
void trp_slumber_await(struct trp_slumber *s) {
    for (;;) {
        uint32_t where = atomic_load_explicit(&s->where, memory_order_acquire);
        if (where == TRP_UP)
            return;
        /* Relaxed: a note of its own thread. Failing, it has just been called. */
        if (where == TRP_ON_WORD ||
            atomic_compare_exchange_strong_explicit(&s->where, &where, TRP_ON_WORD, memory_order_relaxed, memory_order_relaxed))
            trp_slumber_wait(s, TRP_NEVER);
    }
}
