/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How coroutines go on one from the other without the runner, and how a message gets from one to the other on the way: the few
 * steps that are made tens of millions of times a second, in place.
 *
 *     ping: sends; pong rests here, so it gets the message in its hand and stands in line
 *           waits for mail: hop: pong is the next --> switch --> arrived: ping rests from now on
 *     pong: sends ...
 *
 * Who waits for mail rests before it listens: nobody else has been told, so it is in the hand of its worker's owner, and
 * neither a message to it nor its wait changes anything atomically. It listens when the next one rests, when the worker looks
 * round, or when the watch does.
 *
 * All of it is done by the runner that owns the worker, inside the guard of its queue. */
#ifndef TRP_HOP_H
#define TRP_HOP_H

#include <stddef.h>

#include "actors/coroutine.h"
#include "actors/worker.h"

/* Inside the guard: this one runs now. */
static inline void trp_worker_make_current(struct trp_worker *w, struct trp_actor *a) {
    w->current = a;
    w->held = a && !a->roams;
    w->stuck = false;
    w->resumes += a != NULL;
}

static inline void trp_worker_make_awake(struct trp_worker *w, struct trp_actor *a) {
    if (a->worker != w)
        a->worker = w;
    /* Acquire pairs with the release in trp_actor_unpark: what it was woken for can be seen. A push that found it listening
     * leaves it AWAKE, and is seen by the acquire in trp_mailbox_gather. */
    if (atomic_load_explicit(&a->wake, memory_order_relaxed) != TRP_AWAKE)
        atomic_exchange_explicit(&a->wake, TRP_AWAKE, memory_order_acquire);
}

/* --- whom one goes on to --- */

/* For a coroutine that gives its thread back: the one that runs next on the runner, taken off the queue, if it is one of those
 * that go on from each other (trp_coroutine_backend); the guard is entered then until trp_worker_arrived. NULL: the runner
 * itself has something to decide first. */
static inline struct trp_actor *trp_worker_hop(struct trp_runner *r) {
    struct trp_worker *w = r->at;
    if (r->hops == 0 || !trp_guard_enter(&w->queue.guard, &r->guest))
        return NULL;
    struct trp_actor *a = trp_runq_take_ready(&w->queue, &trp_coroutine_backend);
    if (!a) {
        trp_guard_exit(&r->guest);
        return NULL;
    }
    trp_worker_make_current(w, a);
    trp_worker_make_awake(w, a);
    r->hops--;
    return a;
}

/* On the stack of the one that has been gone on to, at once: comes out of the guard. `left` has given its thread back as `ran`
 * says; if it waits for mail, it rests. Gives the one that is to be put away now, and has waited for mail if `left` does; NULL.
 */
static inline struct trp_actor *trp_worker_arrived(struct trp_runner *r, struct trp_actor *left, enum trp_ran ran) {
    struct trp_worker *w = r->at;
    struct trp_actor *away = left;
    /* One that is bound to the worker listens at once. */
    if (ran == TRP_RAN_LISTENS && left->roams) {
        away = atomic_load_explicit(&w->resting, memory_order_relaxed);
        atomic_store_explicit(&w->resting, left, memory_order_relaxed);
    }
    trp_guard_exit(&r->guest);
    return away;
}

/* What an actor has done that has given its thread back: false: it is to be queued again. True: it is the caller's no more. */
TROUPE_NODISCARD static inline bool trp_worker_put_away(struct trp_actor *a, enum trp_ran ran) {
    switch (ran) {
    case TRP_RAN_PARKED:
        return trp_actor_parks(a);
    case TRP_RAN_LISTENS:
        return trp_actor_listen(a);
    case TRP_RAN_YIELDED:
        return false;
    case TRP_RAN_GONE:
        break;
    }
    return true;
}

/* --- who gets mail --- */

/* It is about to be gone on to: what a switch looks at, and its innermost frames with some room below them, are wanted soon and
 * may be far away. A handler that listens has no stack. */
static inline void trp_worker_foresee(const struct trp_actor *a) {
    const char *co = a->run;
    if (!co)
        return;
    __builtin_prefetch(co, 1);
    __builtin_prefetch(co + offsetof(struct trp_coroutine, self), 1);
    for (int line = 0; line < 4; line++)
        __builtin_prefetch(co - a->deep - TRP_LINE / 2 + line * TRP_LINE, 1);
}

/* As trp_worker_push, for a roamer, by a coroutine that runs on r and has taken the LISTENING bit away. False: nothing has
 * happened. */
static inline bool trp_worker_push_near(struct trp_runner *r, struct trp_actor *a) {
    if (!r || !a->roams || !r->at || a->sys != r->at->sys)
        return false;
    trp_worker_foresee(a);
    struct trp_runq *q = &r->at->queue;
    if (!trp_guard_enter(&q->guard, &r->guest))
        return false;
    trp_runs_add(&q->ready, a);
    trp_guard_exit(&r->guest);
    return true;
}

/* Does it rest where the caller runs? False: nothing has happened; true: the guard is entered until trp_worker_rest_ends. */
static inline bool trp_worker_rests(struct trp_runner *r, const struct trp_actor *a) {
    /* Relaxed: a look. */
    if (!r || !r->at || atomic_load_explicit(&r->at->resting, memory_order_relaxed) != a ||
        !trp_guard_enter(&r->at->queue.guard, &r->guest))
        return false;
    if (atomic_load_explicit(&r->at->resting, memory_order_relaxed) == a)
        return true;
    trp_guard_exit(&r->guest);
    return false;
}
/* `mail`: it has some; otherwise it rests on. */
static inline void trp_worker_rest_ends(struct trp_runner *r, struct trp_actor *a, bool mail) {
    if (mail) {
        atomic_store_explicit(&r->at->resting, NULL, memory_order_relaxed);
        trp_runs_add(&r->at->queue.ready, a);
    }
    trp_guard_exit(&r->guest);
}

#endif
