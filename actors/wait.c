/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Operations that one actor waits for are completed here, filed for who goes on meanwhile, and taken back. */
#include "actors/wait.h"

#include "actors/actor.h"
#include "transports/assert.h"

void trp_wait_finish(struct trp_wait *wait, troupe_status st, struct trp_wakes *w) {
    trp_assert(!wait->prev && w->n < TRP_WAKES);
    w->who[w->n++] = trp_actor_ref(wait->who);
    wait->st = st;
    if (wait->finish)
        wait->finish(wait);
    else
        /* Pairs with the acquire in trp_wait_done. The last touch: the waiter may return now. */
        atomic_store_explicit(&wait->done, true, memory_order_release);
}

void trp_wait_file(struct trp_wait *wait) {
    struct trp_wait *head = atomic_load_explicit(&wait->who->finished, memory_order_relaxed);
    do {
        wait->next = head;
        /* Release pairs with the acquire in trp_actor_finished. */
    } while (
        !atomic_compare_exchange_weak_explicit(&wait->who->finished, &head, wait, memory_order_release, memory_order_relaxed));
}

struct trp_wait *trp_actor_finished(struct trp_actor *a) {
    /* Relaxed: a hint; who has filed wakes us after it. Acquire pairs with the release in trp_wait_file. */
    if (!atomic_load_explicit(&a->finished, memory_order_relaxed))
        return NULL;
    struct trp_wait *wait = atomic_exchange_explicit(&a->finished, NULL, memory_order_acquire), *first = NULL;
    while (wait) {
        struct trp_wait *older = wait->next;
        wait->next = first;
        first = wait;
        wait = older;
    }
    return first;
}

void trp_wakes_run(struct trp_wakes *w) {
    for (unsigned i = 0; i < w->n; i++) {
        trp_actor_unpark(w->who[i]);
        trp_actor_unref(w->who[i]);
    }
    w->n = 0;
}

bool trp_wait_withdraw(struct trp_actor *a, struct trp_waits *list, struct trp_wait *wait) {
    pthread_mutex_lock(&a->lock);
    bool waiting = wait->prev != NULL;
    if (waiting)
        trp_waits_remove(list, wait);
    pthread_mutex_unlock(&a->lock);
    return waiting;
}
