/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Something one actor waits for and another actor completes: room in a mailbox, an answer, an end. It lies in the
 * storage of whoever waits (its stack, or the steward's heap for an actor in another process) and on a list of the
 * actor it waits for, guarded by that actor's lock.
 *
 *     waiting (linked, under the lock) --> done (by the completer)     exactly one of the two, decided under the lock:
 *                                      \-> withdrawn (by the waiter)   that is why a time-out never loses a result
 *
 * Who completes does not touch the operation after `done` is set or `finish` has been called: the waiter may have
 * returned by then. So the actor to be woken is remembered first, with a reference (struct trp_wakes), and woken
 * after the lock has been dropped. */
#ifndef TRP_WAIT_H
#define TRP_WAIT_H

#include <stdatomic.h>
#include <troupe/actor.h>

struct trp_actor;

enum trp_wait_role { TRP_WAIT_SEND, TRP_WAIT_ASK, TRP_WAIT_JOIN };

/* (c) constant while it waits, (l) under the lock of the list it is on, (a) atomic */
struct trp_wait {
    struct trp_wait *next, *prev;          /* (l) prev NULL: on no list */
    struct trp_actor *who;                 /* (c) is woken when it is done */
    enum trp_wait_role role;               /* (c) what it lies in, for who finishes several kinds */
    void (*finish)(struct trp_wait *wait); /* (c) NULL: sets done; else called under the lock instead, takes no lock */
    troupe_status st;                      /* (l), then read by the waiter once it is done */
    atomic_bool done;                      /* (a) */
};

/* In the order in which they came, as a ring: behind the last one is the first. An actor has three of these, and seldom
 * anything in them. Zero it. */
struct trp_waits {
    struct trp_wait *last;
};

static inline struct trp_wait *trp_waits_first(const struct trp_waits *waits) {
    return waits->last ? waits->last->next : NULL;
}

static inline struct trp_wait *trp_waits_after(const struct trp_waits *waits, const struct trp_wait *wait) {
    return wait == waits->last ? NULL : wait->next;
}

static inline void trp_waits_add(struct trp_waits *waits, struct trp_wait *wait) {
    struct trp_wait *last = waits->last;
    wait->next = last ? last->next : wait;
    wait->prev = last ? last : wait;
    wait->next->prev = wait->prev->next = wait;
    waits->last = wait;
}

static inline void trp_waits_remove(struct trp_waits *waits, struct trp_wait *wait) {
    wait->prev->next = wait->next;
    wait->next->prev = wait->prev;
    if (wait == waits->last)
        waits->last = wait == wait->prev ? NULL : wait->prev;
    wait->next = wait->prev = NULL;
}

/* Is it done? Pairs with the release in trp_wait_finish: what the completer wrote can be read. */
static inline bool trp_wait_done(struct trp_wait *wait) {
    return atomic_load_explicit(&wait->done, memory_order_acquire);
}

/* A send that waits for room. */
struct trp_send {
    struct trp_wait wait;   /* first: a list of operations is a list of these */
    struct troupe_msg *msg; /* NULL once the mailbox has taken it */
};

/* A question that waits for its answer; on its asker's own list, found by number. */
struct trp_ask {
    struct trp_wait wait; /* first */
    uint64_t number;
    struct troupe_msg *answer; /* with OK */
};

/* NULL: none has that number. */
static inline struct trp_ask *trp_ask_find(const struct trp_waits *asks, uint64_t number) {
    struct trp_wait *wait = trp_waits_first(asks);
    while (wait && ((struct trp_ask *)wait)->number != number)
        wait = trp_waits_after(asks, wait);
    return (struct trp_ask *)wait;
}

/* Waits for an end. */
struct trp_join {
    struct trp_wait wait; /* first */
    troupe_exit exit;     /* with OK */
};

/* The actors to wake when the lock is dropped. */
enum { TRP_WAKES = 16 };
struct trp_wakes {
    struct trp_actor *who[TRP_WAKES];
    unsigned n;
};

/* Completes an operation that has been taken off its list: `w` has room for one. Under the list's lock. */
void trp_wait_finish(struct trp_wait *wait, troupe_status st, struct trp_wakes *w);
/* A `finish` for who goes on meanwhile: files it with those of its waiter that are done, which is the last touch. */
void trp_wait_file(struct trp_wait *wait);
/* Takes those that are filed, oldest first, linked by `next`; NULL: none. Who files wakes the actor after it. */
struct trp_wait *trp_actor_finished(struct trp_actor *a);
/* Wakes them and drops the references. No lock held. */
void trp_wakes_run(struct trp_wakes *w);

#endif
