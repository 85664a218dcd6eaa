/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How a thread waits that talks to a process actor: it reads itself what the body says, and sleeps on the word of their shared
 * memory, where the body wakes it. So a message between the two costs one wake, and none if the other is there; no third
 * thread has to run. The steward reads what comes while the thread is elsewhere.
 *
 * Only for a thread with a worker of its own whose loop has nothing else to bring. It is also woken by everybody else who
 * wakes its actor (slumber.h). */
#ifndef TRP_NAP_H
#define TRP_NAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <troupe/actor.h>

#include "actors/drip.h"
#include "actors/patience.h"

struct trp_channel;

struct trp_nap {
    _Atomic uint64_t peer;        /* the process actor it has talked to last; 0: none. A hint */
    struct trp_patience patience; /* the thread's */
    struct trp_drip drip;         /* (o) what came of its last sleeps */
    pthread_mutex_t lock;
    struct trp_channel *on; /* (m) on whose word it is about to sleep, or sleeps; it is `ch` */
    struct trp_actor *with; /* (o) that process actor, found: a reference; NULL */
    struct trp_channel *ch; /* (o) while it parks, the channel to it: a reference */
};

void trp_nap_init(struct trp_nap *n);
void trp_nap_fini(struct trp_nap *n);

/* Parks the calling body in this way, as its backend's park does, or (`mail`) listen. False: it can't, and nothing has
 * happened. *in_time is what those return. */
bool trp_nap_park(troupe_self *self, int64_t deadline, bool mail, bool *in_time);
/* It talks to nobody any more. Its thread, before the worker is freed. */
void trp_nap_leave(struct trp_nap *n);
/* Wakes the napper, if it still naps. Any thread. */
void trp_nap_end(struct trp_nap *n);

#endif
