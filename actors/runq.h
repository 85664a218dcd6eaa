/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a worker has to run. Three lists, because what is on them is treated differently:
 *
 *     births   newborn roamers, the last first: a tree of births is walked in depth, so few of it live at once
 *     ready    roamers, in the order in which they became ready; another worker that has nothing to do may take some
 *     bound    actors that stay on this worker, in that order
 *
 * Those are the owner's, who adds and takes a million times a second; thieves and the watch come now and then: hence the guard.
 * Other threads put into the inbox what is for this worker, by one compare-and-swap. In it is said, too, that the worker is
 * asleep: whoever puts something in takes that away, and wakes it.
 *
 * Roamers that are fetched from there get in line one at each take: a hundred thousand that others have woken at once do not
 * hold up whom those wake here, such as the one that collects what they say. */
#ifndef TRP_RUNQ_H
#define TRP_RUNQ_H

#include "actors/actor.h"
#include "actors/guard.h"
#include "actors/line.h"

struct trp_runs {
    struct trp_actor *head, **tail;
    unsigned count;
};

/* (g) inside the guard, (a) any thread */
struct trp_runq {
    struct trp_guard guard;
    struct trp_runs ready, births, bound; /* (g) */
    struct trp_runs arrived;              /* (g) roamers from the inbox, not in line yet */
    unsigned turn;                        /* (g) of the lists */
    bool generous;                        /* (g) thieves may take even the only one: bodies here run for long */
    char apart[TRP_APART];                /* who posts does not disturb who runs */
    struct trp_actor *_Atomic inbox;      /* (a) the last first, or TRP_RUNQ_ASLEEP */
    char apart_too[TRP_APART];
};

/* Nothing is there, and whoever adds something wakes the worker. */
#define TRP_RUNQ_ASLEEP ((struct trp_actor *)1)

enum trp_run { TRP_RUN_BIRTH, TRP_RUN_READY, TRP_RUN_BOUND };

void trp_runq_init(struct trp_runq *q);

/* --- any thread --- */

/* Through the inbox. True: the worker was asleep, and is to be woken. */
TROUPE_NODISCARD bool trp_runq_post(struct trp_runq *q, struct trp_actor *a);
/* It is asleep no more. True: it was, and is to be woken. */
TROUPE_NODISCARD bool trp_runq_rouse(struct trp_runq *q);

/* --- inside the guard --- */

static inline void trp_runs_add(struct trp_runs *r, struct trp_actor *a) {
    a->next = NULL;
    *r->tail = a;
    r->tail = &a->next;
    r->count++;
}
static inline struct trp_actor *trp_runs_take(struct trp_runs *r) {
    struct trp_actor *a = r->head;
    r->head = a->next;
    if (!r->head)
        r->tail = &r->head;
    r->count--;
    return a;
}

/* What is in the inbox has arrived. */
void trp_runq_fetch(struct trp_runq *q);
/* All of it gets in line. */
void trp_runq_let_all_in(struct trp_runq *q);
/* The next of those that have arrived does. */
static inline void trp_runq_let_in(struct trp_runq *q) {
    if (q->arrived.head)
        trp_runs_add(&q->ready, trp_runs_take(&q->arrived));
}
/* The owner is about to wait. False: there is something to do. */
TROUPE_NODISCARD bool trp_runq_sleep(struct trp_runq *q);
void trp_runq_add(struct trp_runq *q, struct trp_actor *a, enum trp_run how);
/* The next one, or NULL. */
struct trp_actor *trp_runq_take(struct trp_runq *q);
/* The next one, if it is a roamer with that backend and there is nothing to choose; else NULL. */
static inline struct trp_actor *trp_runq_take_ready(struct trp_runq *q, const struct trp_backend *backend) {
    trp_runq_let_in(q);
    if (!q->ready.head || q->births.head || q->bound.head || atomic_load_explicit(&q->inbox, memory_order_relaxed) ||
        q->ready.head->backend != backend)
        return NULL;
    return trp_runs_take(&q->ready);
}
/* The n-th of all that wait, in whatever order. */
struct trp_actor *trp_runq_draw(struct trp_runq *q, unsigned n);
/* How many could be stolen. */
static inline unsigned trp_runq_roaming(const struct trp_runq *q) {
    return q->births.count + q->ready.count + q->arrived.count;
}
static inline unsigned trp_runq_waiting(const struct trp_runq *q) {
    return trp_runq_roaming(q) + q->bound.count;
}
/* Takes about half of those that roam, the oldest, off into `out` (`all`: every one), as a list in order. A single one stays
 * where it is, unless the queue is generous: it is likely to be the partner of what runs there, and would have its turn before
 * it could be moved. How many. */
unsigned trp_runq_split(struct trp_runq *q, bool all, struct trp_runs *out);
/* Adds what was split off another. */
void trp_runq_join(struct trp_runq *q, struct trp_runs *loot);

#endif
