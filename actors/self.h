/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A running body's own side: what only the thread that runs it touches. It lies on the body's stack and lives as long
 * as the actor's lives follow each other there.
 *
 * How a body reaches other actors is a table: directly (local.c), or through the channel to the system that forked it
 * (child_calls.c). Everything else is the same for all. */
#ifndef TRP_SELF_H
#define TRP_SELF_H

#include "actors/actor.h"
#include "actors/backend.h"
#include "actors/copy.h"
#include "actors/future.h"
#include "actors/tie.h"
#include "actors/worker.h"

/* Called from the public functions by the body's thread. All may park, but reply, settle and received. */
struct trp_reach {
    /* Takes *m with OK, leaves it otherwise. `wait`: parks while the mailbox is full. */
    troupe_status (*send)(troupe_self *self, troupe_ref to, struct troupe_msg **m, bool wait);
    /* Plain, and by a way that wants no message made, if there is one. False: nothing has happened. */
    bool (*pack)(troupe_self *self, troupe_ref to, troupe_value v);
    /* As send, then waits for the answer. */
    troupe_status (*ask)(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline, struct troupe_msg **answer);
    /* Asks, and the answer comes to *ask, which stays where it is until it is done or withdrawn; takes *m with OK. */
    troupe_status (*question)(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline, struct trp_ask *ask);
    /* False: it is done. */
    bool (*withdraw)(troupe_self *self, struct trp_ask *ask);
    /* Answers an actor's question; takes *answer with OK. */
    troupe_status (*reply)(troupe_self *self, struct troupe_msg *m, struct troupe_msg **answer);
    /* Takes *birth with OK. */
    troupe_status (*spawn)(troupe_self *self, struct trp_birth **birth, troupe_ref *out);
    troupe_status (*close)(troupe_self *self, troupe_ref ref);
    troupe_status (*kill)(troupe_self *self, troupe_ref ref);
    troupe_status (*join)(troupe_self *self, troupe_ref ref, int64_t deadline, troupe_exit *out);
    /* What an actor has to do with others' ends and names: see trp_tie. */
    troupe_status (*tie)(troupe_self *self, enum trp_tie what, uint64_t id, const char *name, uint64_t *out);
    /* A message to be sent later; takes *m with OK. And not after all. */
    troupe_status (*send_after)(troupe_self *self, int64_t ms, troupe_ref to, struct troupe_msg **m, uint64_t *id);
    troupe_status (*cancel)(troupe_self *self, uint64_t id);
    /* A question that the body had in hand is freed: without an answer, it is answered. */
    void (*settle)(struct troupe_msg *m);
    /* Is this one still the body's to receive? Freed if not. NULL: each is. */
    bool (*claim)(struct troupe_msg *m);
    /* The body is about to receive. NULL: nobody is interested. */
    void (*receives)(troupe_self *self);
    /* The body has been given a message. NULL: nobody counts. */
    void (*received)(troupe_self *self, const struct troupe_msg *m);
};

extern const struct trp_reach trp_local_reach, trp_child_reach;

/* A body's turn: some calls that do not wait, and more of them until the time is over. */
struct trp_turn {
    uint32_t left;  /* calls, until the clock is looked at */
    uint32_t since; /* microseconds, modulo; when that was for the first time; 0: not yet */
};

struct troupe_self {
    /* What each message looks at: one line of the cache. */
    struct trp_actor *actor;
    struct trp_runner *runner; /* of a coroutine: whose thread it runs on; NULL: of none */
    struct trp_worker *worker;
    struct trp_turn whole, turn;   /* how long it may go on, and still may, before the others of this worker have their turn */
    struct trp_queueing *queueing; /* what it has to do with queues; NULL: nothing yet */
    unsigned forks;                /* when it was made: see copy.h */
    unsigned thens;                /* futures that are waited for by a function */
    bool plain;                    /* it reaches others directly, nobody counts or draws what it does: it has the short ways */
    bool used_up;                  /* it has received as many as it may, and has been told */
    unsigned subs;                 /* its subscriptions on the worker's connection */

    const struct trp_backend *backend;
    const struct trp_reach *reach;
    struct trp_timer timer;   /* its deadline, where the worker has others to run meanwhile */
    struct troupe_msg *hand;  /* received, not freed, and somebody waits to hear of them */
    uint64_t asked;           /* questions so far: their numbers */
    struct trp_birth *litter; /* what the latest handler actor was born with, for others like it; NULL: none */
    troupe_future *futures;   /* questions whose answers it has not fetched */
    uint64_t received;        /* messages, in this life */
    troupe_exit given;        /* how this life will have ended, if nothing else ends it */
};

void trp_self_init(troupe_self *self, struct trp_actor *a, const struct trp_backend *backend, const struct trp_reach *reach);

/* In a child that the program has forked: nothing that it shares with the original may be touched. */
static inline bool trp_self_is_copy(const troupe_self *self) {
    return self->forks != trp_copy_now();
}

/* What every call sees to first. UNSUPPORTED: it is a copy; CLOSED: it was killed. */
TROUPE_NODISCARD static inline troupe_status trp_self_may(const troupe_self *self) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    return trp_actor_killed(self->actor) ? TROUPE_CLOSED : TROUPE_OK;
}

/* It is this actor's from now on, in the same system and of the same backend. */
void trp_self_become(troupe_self *self, struct trp_actor *a);

/* Runs the actor's lives, one after the other: what a thread or a coroutine does from its start to its end. How the last one
 * ended: there. */
const troupe_exit *trp_self_live(troupe_self *self);
/* Between two lives: until the back-off is over, unless it is closed or killed before. */
void trp_self_wait_for_restart(troupe_self *self, int64_t ms);
/* After a body: gives up what it still holds. */
void trp_self_leave(troupe_self *self);

/* A message is the body's now: if somebody waits to hear of it, it is in hand until it is freed or taken out (hand.c). */
void trp_self_take_in_hand(troupe_self *self, struct troupe_msg *m);
void trp_self_take_out_of_hand(struct troupe_msg *m);
/* All that is there is given up. */
void trp_self_empty_hand(troupe_self *self);

/* The next message, if that is all there is to look after; NULL: take the long way. */
struct troupe_msg *trp_self_take_plainly(troupe_self *self);
/* The next message, in hand, without waiting; EMPTY: the next one to come will unpark. CLOSED as troupe_receive. */
TROUPE_NODISCARD troupe_status trp_self_poll(troupe_self *self, struct troupe_msg **out);

/* Has troupe_receive something to say, a message or a status? False: whatever it will be unparks. */
TROUPE_NODISCARD bool trp_self_has_news(troupe_self *self);

/* Parks once. OK: look again at what you wait for; TIMEOUT; CLOSED: it was killed. */
TROUPE_NODISCARD troupe_status trp_self_wait(troupe_self *self, int64_t deadline);
/* It stays with its worker from now on: it is about to use what is the worker's, its connection or its loop. May park. True:
 * until now it roamed. */
bool trp_self_bind(troupe_self *self);
/* It has nothing on its worker any more that is bound to it. */
void trp_self_roam(troupe_self *self);
/* A body that finds something to do at each call would never let others run: each call that does not wait counts. */
void trp_self_spend(troupe_self *self);
/* The others have had their turn, or have it now. */
static inline void trp_self_refresh(troupe_self *self) {
    self->turn = self->whole;
}

#endif
