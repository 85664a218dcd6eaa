/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A peer: one connection, its subscriptions by their ids, and what it has in hand. Mechanism only: what becomes of a
 * message that comes back is decided in core.c.
 *
 * In hand: a delivery that wants an ACK has a token, which only grows, and stands in `held` at token & mask. A token
 * whose place is taken is skipped, so that one delivery held for an hour does not make the array follow the tokens.
 *
 *     held:  [   ][ 9 ][   ][ 3 ]      next 11: 11 & 3 is taken by 3, so 12 is given
 *
 * A subscription that has ended while deliveries of it are in hand stays (gone, without credit) until the last is settled. */
#ifndef TRP_BROKER_PEER_H
#define TRP_BROKER_PEER_H

#include "broker/core.h"
#include "broker/hash.h"
#include "broker/inbox.h"
#include "broker/item.h"
#include "broker/obituary.h"
#include "broker/table.h"
#include "broker/topics.h"

struct trp_group;
struct trp_consumer;

enum { TRP_NOT_READY = INT32_MAX };

struct trp_sub {
    struct trp_binding binding; /* bound when it is plain; a member's group is bound in its place */
    struct trp_peer *peer;
    uint64_t sid;
    struct trp_sub *prev, *next;   /* of the peer's, in the order of their SUBs */
    struct trp_group *group;       /* NULL: plain */
    struct trp_consumer *consumer; /* of a queue; NULL: it is none */
    uint64_t pull;                 /* consumer: the QUEUE get that waits for a message; 0: none */
    struct trp_sub *next_ended;    /* consumer: its queue was deleted in this event */
    uint64_t served;               /* member: the group's count when it was last given a message */
    uint32_t holding;              /* deliveries in hand */
    uint32_t credit;               /* member with credit: how many it may hold */
    uint32_t ready_at;             /* member: its place in the group's heap, or TRP_NOT_READY */
    bool credited;                 /* member that gave credit; else it takes what comes */
    bool gone;                     /* ended; only what it holds keeps it */
};

struct trp_peer {
    void *user;
    uint64_t session;
    uint32_t slot;
    enum trp_peer_kind kind;
    bool closed; /* nothing is emitted for it any more, nothing taken from it */
    bool greeted;
    bool crashed; /* it ended without a goodbye: what it had of queues is told so */
    bool missed;  /* somebody will say how it died, by that token */
    uint8_t token[TRP_OBITUARY_TOKEN];
    struct trp_peer *next_dying;
    struct trp_sub *first_sub, *last_sub;
    struct trp_table sids;
    struct trp_item **held; /* by token & held_mask; NULL: nothing was ever held */
    uint64_t held_mask;
    uint64_t next_token;
    struct trp_item_list credited; /* in hand on credit, oldest first */
    struct trp_item_list free;     /* in hand without, oldest first: bounded by max_held */
    uint64_t asks;                 /* its own requests under way */
    uint8_t inbox[TRP_INBOX_PREFIX];
};

struct trp_peer *trp_peer_new(void *user, enum trp_peer_kind kind, uint64_t session, uint32_t slot,
                              const uint8_t nonce[TRP_INBOX_NONCE]);
/* It has no subscription and nothing in hand. Accepts NULL. */
void trp_peer_free(struct trp_peer *p);

/* ---- subscriptions ---- */

struct trp_sub *trp_peer_find_sub(const struct trp_peer *p, const struct trp_hash_key *k, uint64_t sid);
/* A new subscription, bound to nothing yet. NULL: no memory. The sid is not in use. */
struct trp_sub *trp_peer_add_sub(struct trp_peer *p, const struct trp_hash_key *k, uint64_t sid);
/* Takes it out of the peer's books; it may live on as `gone`. */
void trp_peer_remove_sub(struct trp_peer *p, const struct trp_hash_key *k, struct trp_sub *s);

/* ---- in hand ---- */

/* The next trp_peer_hold will succeed. */
TROUPE_NODISCARD troupe_status trp_peer_reserve(struct trp_peer *p);
/* Puts the item into the sub's hand and gives it its token. */
void trp_peer_hold(struct trp_sub *s, struct trp_item *it);
/* What was delivered with that token on that sid and is not settled; NULL: nothing. */
struct trp_item *trp_peer_held(const struct trp_peer *p, uint64_t sid, uint64_t token);
/* Takes it out of its holder's hand; it->sub stays for the caller to look at. */
void trp_peer_unhold(struct trp_item *it);

static inline uint64_t trp_peer_holding(const struct trp_peer *p) {
    return p->credited.n + p->free.n;
}

#endif
