/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A connection's subscriptions: kept across reconnects, each with the number (sid) that it has in every session. */
#ifndef TRP_SUBS_H
#define TRP_SUBS_H

#include "clients/conn.h"
#include "clients/idmap.h"

enum trp_sub_state {
    TRP_SUB_IDLE, /* no session knows it: to be sent when there is one */
    TRP_SUB_SENT, /* its receipt is awaited */
    TRP_SUB_MADE,
    TRP_SUB_STOPPING, /* a queue's: it has been told to send no more */
    TRP_SUB_STOPPED,  /* it does not, and waits for what is in hand */
    TRP_SUB_ENDING,   /* UNSUB has been sent */
};

struct trp_sub {
    struct trp_sub *next, **link;
    struct trp_conn *conn;
    uint64_t sid;
    void *user;
    enum trp_sub_state state;
    struct trp_request made, ended; /* the receipts of SUB; of the words that stop it, then of UNSUB */
    uint32_t credit;
    bool queue;             /* it consumes a queue; credit 0: by pulls alone */
    bool told;              /* its end has been: only debts keep it */
    uint64_t owed;          /* messages in hand that a queue waits for, of this session */
    struct trp_slice group; /* n == 0: none */
    struct trp_slice pattern;
    uint8_t bytes[];
};

/* Zero-initialise. */
struct trp_subs {
    struct trp_idmap sids;
    struct trp_sub *first, **end; /* in the order they were made */
};

/* Frees all, telling nobody. */
void trp_subs_fini(struct trp_subs *s);
/* For a subscription that a delivery names; NULL: none (any more). */
static inline struct trp_sub *trp_subs_find(const struct trp_subs *s, uint64_t sid) {
    return trp_idmap_get(&s->sids, sid);
}
/* A message of this one has been settled, in the session in which it came. */
void trp_subs_settled(struct trp_conn *c, uint64_t sid);
/* The broker has ended it: its queue was deleted. */
void trp_subs_cancel(struct trp_sub *sub, const char *why);
/* Sends all in a new session. NO_MEMORY; DISCONNECTED. */
TROUPE_NODISCARD troupe_status trp_subs_renew(struct trp_conn *c);

#endif
