/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a worker has to run. Three lists, because what is on them is treated differently:
 *
 *     births   newborn roamers, the last first: a tree of births is walked in depth, so few of it live at once
 *     ready    roamers, in the order in which they became ready; another worker that has nothing to do may take some
 *     bound    actors that stay on this worker, in that order
 *
 * Any thread adds, the worker takes, others steal: all under one spin lock, held for some ten instructions (a theft: some
 * hundred). A mutex would cost as much again as the rest of a push, and nobody sleeps with it in hand. */
#ifndef TRP_RUNQ_H
#define TRP_RUNQ_H

#include <stdatomic.h>
#include <stdbool.h>

struct trp_actor;

struct trp_runs {
    struct trp_actor *head, **tail;
    unsigned count;
};

/* (l) under the lock */
struct trp_runq {
    atomic_bool lock;
    struct trp_runs births, ready, bound; /* (l) */
    unsigned turn;                        /* (l) of the lists */
    bool asleep;                          /* (l) its worker waits, or is about to: who adds wakes it */
    bool generous;                        /* (l) thieves may take even the only one: bodies here run for long */
};

enum trp_run { TRP_RUN_BIRTH, TRP_RUN_READY, TRP_RUN_BOUND };

void trp_runq_init(struct trp_runq *q);

/* Waits for the lock, giving the processor up when that takes long: its holder may have lost it. */
void trp_runq_lock_slow(struct trp_runq *q);

static inline void trp_runq_lock(struct trp_runq *q) {
    /* Acquire pairs with the release in trp_runq_unlock. */
    if (atomic_exchange_explicit(&q->lock, true, memory_order_acquire))
        trp_runq_lock_slow(q);
}
static inline void trp_runq_unlock(struct trp_runq *q) {
    atomic_store_explicit(&q->lock, false, memory_order_release);
}

/* --- with the lock held --- */

void trp_runq_add(struct trp_runq *q, struct trp_actor *a, enum trp_run how);
/* The next one, or NULL. */
struct trp_actor *trp_runq_take(struct trp_runq *q);
/* The n-th of all that wait, in whatever order. */
struct trp_actor *trp_runq_draw(struct trp_runq *q, unsigned n);
/* How many could be stolen. */
static inline unsigned trp_runq_roaming(const struct trp_runq *q) {
    return q->births.count + q->ready.count;
}
static inline unsigned trp_runq_waiting(const struct trp_runq *q) {
    return trp_runq_roaming(q) + q->bound.count;
}
/* Takes about half of those that roam, the oldest, off into `out` (`all`: every one), as a list in order. A single one stays where it is, unless the queue
 * is generous: it is likely to be the partner of what runs there, and would have its turn before it could be moved. How many. */
unsigned trp_runq_split(struct trp_runq *q, bool all, struct trp_runs *out);
/* Adds what was split off another. */
void trp_runq_join(struct trp_runq *q, struct trp_runs *loot);

#endif
