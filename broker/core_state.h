/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the core's files share: its state, and the ways out of it. Everything that the core says to a peer goes through
 * the functions below, so that a closed peer hears nothing more.
 *
 *     core.c      what each envelope means, peers that come and go
 *     publish.c   a PUB to its targets          topics.c, routes.c   topic -> targets
 *     group.c     members, credit, backlog      peer.c               subscriptions, deliveries in hand
 *     ask.c       requests under way            item.c               kept messages
 *     core_queue.c  queues: their verbs, consumers and puts           confirm.c   OKs that wait for the log
 *     obituary.c  how those died who consumed them */
#ifndef TRP_BROKER_CORE_STATE_H
#define TRP_BROKER_CORE_STATE_H

#include "broker/ask.h"
#include "broker/confirm.h"
#include "broker/core.h"
#include "broker/item.h"
#include "broker/obituary.h"
#include "broker/peer.h"
#include "broker/topics.h"

struct trp_core_slot {
    struct trp_peer *peer; /* NULL: free */
    uint32_t next_free;
};

struct trp_core {
    struct trp_sink sink;
    void *ctx;
    struct trp_core_opts opts; /* with defaults filled in */
    struct trp_hash_key key;
    struct trp_topics topics;
    struct trp_table groups;
    struct trp_items items;
    struct trp_asks asks;
    struct trp_core_slot *slots;
    uint32_t n_slots, free_slot;
    uint64_t sessions;
    struct trp_peer *dying; /* closed in this event, to be left at its end */
    uint64_t outstanding;
    bool draining;
    struct trp_queues *queues; /* NULL: without */
    struct trp_when when;      /* of this event */
    uint64_t wall_ahead_ms;    /* of the monotonic clock; modulo 2^64 */
    struct trp_confirms confirms;
    struct trp_chore *chores;         /* under way, oldest first */
    struct trp_sub *ended;            /* consumers whose queue was deleted in this event */
    struct trp_buf info;              /* where effects of queues are composed */
    struct trp_obituaries obituaries; /* who died how, and whom nothing was said of yet */
    const char *log_refusal;          /* the log takes no more; NULL: it does */
    struct trp_core_stats stats;
};

/* An event happens. */
static inline void trp_core_at(struct trp_core *c, uint64_t now_ns) {
    c->when = (struct trp_when){.mono_ns = now_ns, .wall_ms = now_ns / 1000000 + c->wall_ahead_ms};
}

/* The peer of that slot if it is still that session and not closed. */
static inline struct trp_peer *trp_core_find_peer(const struct trp_core *c, uint32_t slot, uint64_t session) {
    struct trp_peer *p = slot < c->n_slots ? c->slots[slot].peer : NULL;
    return p && p->session == session && !p->closed ? p : NULL;
}

static inline void trp_core_msg(struct trp_core *c, struct trp_peer *p, uint64_t sid, uint64_t token,
                                const struct trp_message *m) {
    if (p->closed)
        return;
    c->stats.delivered++;
    c->sink.msg(c->ctx, p->user, sid, token, m);
}

static inline void trp_core_ok(struct trp_core *c, struct trp_peer *p, uint64_t id, uint64_t count) {
    if (!p->closed)
        c->sink.ok(c->ctx, p->user, id, 0, count);
}

static inline void trp_core_err(struct trp_core *c, struct trp_peer *p, uint64_t id, const char *code, const char *text) {
    if (!p->closed)
        c->sink.err(c->ctx, p->user, id, code, text);
}

/* Ends a connection. What the peer had is taken apart at the end of the event, since targets may be being walked now. */
void trp_core_close(struct trp_core *c, struct trp_peer *p, const char *code, const char *text);
/* The peer broke a rule: an err if its operation had a number, else the end (id 0 belongs to the connection). */
void trp_core_fault(struct trp_core *c, struct trp_peer *p, uint64_t id, const char *code, const char *text);
/* A subscription ends: by UNSUB, with its peer, or with its queue. */
void trp_core_end_sub(struct trp_core *c, struct trp_sub *s);
/* At the end of an event: those that were closed in it leave. */
void trp_core_leave_dying(struct trp_core *c);
/* Puts an item into a hand, for which trp_peer_reserve made room. Where it is one too many of those without credit,
 * the oldest is forgotten. */
void trp_core_hold(struct trp_core *c, struct trp_sub *s, struct trp_item *it);
#endif
