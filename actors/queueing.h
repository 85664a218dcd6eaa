/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a body has to do with queues, made when it first has: queue.c (taking and settling) and queue_put.c (putting). The
 * body's thread only, like the connection over which it all goes. */
#ifndef TRP_QUEUEING_H
#define TRP_QUEUEING_H

#include "actors/bus.h"
#include "transports/buf.h"

struct trp_put;

struct trp_queueing {
    struct trp_bus_sub *gets; /* the subscriptions of gets, one a queue, the last used first */
    bool lost;                /* a queue that it consumed is gone, and receive has not said so yet */
    struct trp_put *spare, *under_way;
    unsigned unconfirmed;  /* how many are under way */
    bool waiting;          /* the body waits for them to be fewer */
    troupe_status failed;  /* how the first that was not confirmed ended, since put_wait has told the last */
    struct trp_buf packed; /* headers of a put, while it is written */
    int64_t held;          /* the oldest thing that was said and may not have been written; 0: there is none */
};

/* The body's. NULL: no memory. */
struct trp_queueing *trp_queueing_of(troupe_self *self);
/* The broker has ended this subscription of a queue, or refused it: its body shall hear of it. */
void trp_queueing_lost(struct trp_bus_sub *sub);
/* Its body has ended it. */
void trp_queueing_ended(struct trp_bus_sub *sub);
/* Has it to hear of one that was lost? Once. */
bool trp_queueing_tell_lost(troupe_self *self);
/* A body has said something to a queue, and may be about to say more: see the top of <troupe/actor_queue.h>. */
void trp_queueing_push(troupe_self *self);
/* The end of a body: what it has put is waited for, as that page says, and all of this is freed. */
void trp_queueing_leave(troupe_self *self);

/* queue_put.c: nobody waits for the puts of this body any longer. */
void trp_puts_abandon(struct trp_queueing *q);

#endif
