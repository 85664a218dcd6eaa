/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The lanes to process actors of an actor that has a thread of its own in this process (direct.h): it puts its messages where
 * they are read, and no mailbox here, nor a list of what is lent, has to know of them.
 *
 * It belongs to that thread's worker, and begins with the first plain send to a process actor. That thread alone uses it. */
#ifndef TRP_STRAIGHT_H
#define TRP_STRAIGHT_H

#include "actors/direct.h"
#include "actors/laner.h"
#include "actors/patience.h"

struct trp_straight {
    struct trp_direct direct;
    struct trp_laner laner;
    struct trp_patience patience;
    _Atomic uint32_t *door; /* the thread sleeps elsewhere: who waits for it here calls the system */
};

/* One plain send of that actor to a process actor is about to be made: *s, made if it is NULL. NULL: there are no lanes. */
struct trp_straight *trp_straight_meet(struct trp_straight **s, struct trp_actor *self, uint64_t to);
/* Nothing is written any more. Accepts NULL inside. */
void trp_straight_free(struct trp_straight **s);

/* A plain send by a lane; parks while that has no room. OK with *sent false: it has to go the other way. CLOSED, NOT_FOUND, and
 * what trp_self_wait says. */
TROUPE_NODISCARD troupe_status trp_straight_send(struct trp_straight *s, troupe_self *self, uint64_t to, struct trp_slice bytes,
                                                 bool *sent);
/* Something to it is about to go the other way. Accepts NULL. */
static inline void trp_straight_leave(struct trp_straight *s, uint64_t to) {
    if (s)
        trp_direct_leave(&s->direct, to);
}

#endif
