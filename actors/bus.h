/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A worker's line to the broker: one connection for all actors on it, dialled when the first of them needs it. Owner
 * thread only. */
#ifndef TRP_BUS_H
#define TRP_BUS_H

#include <troupe/actor.h>

#include "actors/epitaph.h"
#include "clients/conn.h"

struct trp_bus_wait;
struct trp_worker;

enum { TRP_BUS_FLUSH_MS = 1000 }; /* last words of a worker */

/* The broker's word about a subscription, on the stack of the body that waits for it. */
struct trp_bus_receipt {
    bool done;
    troupe_status st;
};

struct trp_bus_sub {
    struct trp_bus_sub *next, **link;
    struct trp_bus_sub *next_get; /* of those that are there for gets: its body's */
    troupe_self *self;            /* NULL: ended; messages may still come until the broker says so */
    uint64_t sid;
    bool credited;
    bool queue;                      /* it consumes one, or is there for gets from one */
    struct trp_bus_receipt *receipt; /* NULL: nobody waits for it */
    char pattern[];
};

struct trp_bus {
    struct trp_worker *worker;
    struct trp_conn *conn;        /* NULL: nobody has needed it yet */
    struct trp_bus_sub *subs;     /* those of all actors, and those whose end the broker has not confirmed */
    struct trp_bus_wait *waits;   /* who waits for the connection to be up */
    struct trp_epitaphs epitaphs; /* to be said when it is up */
    bool gone;
};

void trp_bus_init(struct trp_bus *bus, struct trp_worker *w);
/* Dials, if that has not been done. Faults as trp_conn_new. */
TROUPE_NODISCARD troupe_status trp_bus_dial(struct trp_bus *bus, const char **why);
/* Ends the connection; what has been said leaves first, within flush_ms. Not from inside a turn; its actors are gone, or in no
 * call of it. */
void trp_bus_close(struct trp_bus *bus, int64_t flush_ms);

/* Ends all subscriptions of a body. */
void trp_bus_leave(troupe_self *self);
/* A body has freed a message that the broker counts. On the thread of its worker. */
void trp_bus_freed(struct troupe_msg *m, bool nack);
/* Answers a message that came from the broker; code NULL: not an error. */
TROUPE_NODISCARD troupe_status trp_bus_reply(troupe_self *self, troupe_msg *m, const char *code, troupe_value v);

/* --- for what else a body says to the broker (queue.c, queue_put.c) --- */

/* Until the connection is up, which is dialled if it has not been. DISCONNECTED: not in time, or never. */
TROUPE_NODISCARD troupe_status trp_bus_up(troupe_self *self, int64_t deadline);
/* After something was said: who has its worker for itself writes it at once. */
void trp_bus_push(troupe_self *self);
/* Parks while too much is unsent: a broker that does not read must not fill our memory. */
void trp_bus_drain(troupe_self *self);

/* A request whose end a body waits for; lies on its stack. Made with trp_bus_call, sent, then waited for. */
struct trp_bus_call {
    struct trp_request r; /* first */
    struct trp_actor *who;
    troupe_status st;
    troupe_msg *answer; /* with OK; may be NULL */
    bool done;
};
struct trp_bus_call trp_bus_call(troupe_self *self);
/* What the broker said; TIMEOUT, CLOSED: the request has been forgotten. */
TROUPE_NODISCARD troupe_status trp_bus_call_wait(troupe_self *self, struct trp_bus_call *call, int64_t deadline);

/* Consumes a queue; credit 0: for gets alone. Linked to the body, and ended with it. */
TROUPE_NODISCARD troupe_status trp_bus_consume(troupe_self *self, const char *queue, uint32_t credit, struct trp_bus_sub **out);
/* A body's consumer of a queue. NULL: none. */
struct trp_bus_sub *trp_bus_find(troupe_self *self, const char *queue);
/* It is freed when the broker has confirmed its end: until then messages come for it. */
void trp_bus_sub_end(struct trp_bus *bus, struct trp_bus_sub *sub);

#endif
