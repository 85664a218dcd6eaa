/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An errand is what one actor does to another on behalf of somebody who is not here, a body in another process or another node:
 * it sends, asks or waits for an end, and goes on meanwhile with other things. What a body would park for becomes an
 * operation that comes back by the actor's list of finished ones.
 *
 *     begun --> under way (1 or 2 operations hang somewhere) --> finished --> done(), freed
 *                    |-- cancelled: withdrawn, done(AGAIN), freed; or finished already, and ends as ever
 *                    `-- dropped, abandoned: withdrawn, freed without a word
 *
 * A question has two operations: the send, which may wait for room, and the answer. Runner's thread only. */
#ifndef TRP_ERRAND_H
#define TRP_ERRAND_H

#include "actors/actor.h"

struct trp_errand;
struct trp_errands;

/* Called once for each errand that has ended by itself, from inside of trp_errands_finish or of the call that began it. `name`
 * is what it was begun with. `answer` is borrowed, with OK after an ask; `exit` with OK after a join; else NULL. */
typedef void trp_errand_done(struct trp_errands *all, uint64_t name, troupe_status st, const struct troupe_msg *answer,
                             const troupe_exit *exit);

struct trp_errands {
    struct trp_actor *runner;
    uint64_t asked; /* numbers of its questions: no other questions are this actor's */
    struct trp_errand *first;
    trp_errand_done *done;
};

void trp_errands_init(struct trp_errands *all, struct trp_actor *runner, trp_errand_done *done);
/* Ends what has finished. The runner is unparked whenever there is some. */
void trp_errands_finish(struct trp_errands *all);
/* The runner is about to end, or who wanted them is gone: lost(name) instead of done; NULL: nobody cares. */
void trp_errands_abandon(struct trp_errands *all, void (*lost)(uint64_t name));

/* They begin one. m, from the runner, is taken; NULL: there was no memory for it. done(name, ...) always follows, unless they
 * are given up. Send (`wait`: for room), ask: NOT_FOUND, CLOSED, FULL, DIED and so on as from troupe_send and troupe_ask. Join:
 * OK, or NOT_FOUND. NO_MEMORY. The last gives a handle, valid until done; NULL: it is done already. */
void trp_errand_send(struct trp_errands *all, uint64_t to, struct troupe_msg *m, bool wait, uint64_t name);
void trp_errand_ask(struct trp_errands *all, uint64_t to, struct troupe_msg *m, uint64_t name);
struct trp_errand *trp_errand_join(struct trp_errands *all, uint64_t whom, uint64_t name);

/* Gives one up: no done. It may be finished already, and is then ended without a word, too. */
void trp_errand_drop(struct trp_errand *e);
/* Gives the one of that name up, if it is under way: done says AGAIN if nothing has come of it, or else in a moment what has:
 * nothing that has happened is lost. */
void trp_errand_cancel(struct trp_errands *all, uint64_t name);

#endif
