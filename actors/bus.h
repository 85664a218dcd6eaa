/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A worker's line to the broker: one connection for all actors on it, dialled when the first of them needs it. Owner
 * thread only. */
#ifndef TRP_BUS_H
#define TRP_BUS_H

#include <troupe/actor.h>

struct trp_bus_sub;
struct trp_bus_wait;
struct trp_conn;
struct trp_worker;

enum { TRP_BUS_FLUSH_MS = 1000 }; /* last words of a worker */

struct trp_bus {
    struct trp_worker *worker;
    struct trp_conn *conn;      /* NULL: nobody has needed it yet */
    struct trp_bus_sub *subs;   /* those of all actors, and those whose end the broker has not confirmed */
    struct trp_bus_wait *waits; /* who waits for the connection to be up */
    bool gone;
};

void trp_bus_init(struct trp_bus *bus, struct trp_worker *w);
/* Ends the connection; what has been said leaves first, within flush_ms. Not from inside a turn; its actors are gone, or in no call of it. */
void trp_bus_close(struct trp_bus *bus, int64_t flush_ms);

/* Ends all subscriptions of a body. */
void trp_bus_leave(troupe_self *self);
/* A body has freed a message that the broker counts. On the thread of its worker. */
void trp_bus_freed(struct troupe_msg *m, bool nack);
/* Answers a message that came from the broker; code NULL: not an error. */
TROUPE_NODISCARD troupe_status trp_bus_reply(troupe_self *self, troupe_msg *m, const char *code, troupe_value v);

#endif
