/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The hot path. A plain message to plain subscriptions is one look into the cache of routes and one effect each; a
 * request adds an ask, a message that a group keeps adds an item. What the publisher hears comes last:
 *
 *     with an id, no reply    OK count, when every target took it; BUSY or NO_MEMORY, when one did not
 *     with a reply            nothing, when one target took it (the answer, or the loss of all who had it, will come);
 *                             NO_RESPONDERS, BUSY or NO_MEMORY, when none did
 *     without an id           nothing */
#include "broker/publish.h"
#include "broker/core_queue.h"
#include "broker/group.h"

/* How a message fared with its targets. */
struct outcome {
    uint64_t took;
    bool busy, no_memory;
    /* With a queue among them: what its confirmation waits for, or why it refused. */
    bool queued;
    struct trp_put_options put;
    uint64_t lsn;
    enum trp_level level;
    troupe_status refused;
    const char *why; /* the headers make no sense */
};

static void refuse(struct trp_core *c, struct trp_peer *p, uint64_t id, const char *code, const char *text) {
    if (id)
        trp_core_err(c, p, id, code, text);
}

static void refuse_faulty(struct trp_core *c, struct trp_peer *p, uint64_t id, const char *code, const char *text) {
    c->stats.protocol_errors++;
    refuse(c, p, id, code, text);
}

/* ---- one target ---- */

static troupe_status to_sub_asked(struct trp_core *c, struct trp_sub *s, struct trp_parcel *parcel, struct trp_ask *ask) {
    if (trp_peer_reserve(s->peer))
        return TROUPE_NO_MEMORY;
    struct trp_item *it = trp_item_new(&c->items, NULL);
    if (!it)
        return TROUPE_NO_MEMORY;
    it->ask = ask;
    trp_ask_share(ask);
    trp_core_hold(c, s, it);
    trp_core_msg(c, s->peer, s->sid, it->token, parcel->m);
    return TROUPE_OK;
}

static troupe_status to_sub(struct trp_core *c, struct trp_sub *s, struct trp_parcel *parcel, struct trp_ask *ask) {
    if (s->peer->closed)
        return TROUPE_CLOSED;
    if (ask)
        return to_sub_asked(c, s, parcel, ask);
    trp_core_msg(c, s->peer, s->sid, 0, parcel->m);
    return TROUPE_OK;
}

/* The headers are read for the first queue. The confirmation is the weakest that any of them gives. */
static troupe_status to_queue(struct trp_core *c, struct trp_queue *q, struct trp_parcel *parcel, struct outcome *o) {
    uint64_t lsn = 0;
    enum trp_level level = TRP_LEVEL_ROUTED;
    if (!o->queued) {
        o->queued = true;
        o->level = TRP_LEVEL_SYNCED;
        if (!trp_put_options_read(parcel->m->headers, &o->put, &o->why))
            o->refused = TROUPE_INVALID;
    }
    if (o->refused == TROUPE_INVALID)
        return TROUPE_INVALID;
    troupe_status st = trp_core_put(c, q, parcel->m, &o->put, &lsn, &level);
    if (st != TROUPE_OK) {
        o->refused = st;
        return st;
    }
    o->lsn = lsn > o->lsn ? lsn : o->lsn;
    o->level = level < o->level ? level : o->level;
    return TROUPE_OK;
}

static troupe_status to_target(struct trp_core *c, struct trp_binding *b, struct trp_parcel *parcel, struct trp_ask *ask,
                               struct outcome *o) {
    switch (b->kind) {
    case TRP_BINDING_QUEUE:
        return to_queue(c, ((struct trp_queue_route *)b)->queue, parcel, o);
    case TRP_BINDING_SUB:
        return to_sub(c, (struct trp_sub *)b, parcel, ask);
    case TRP_BINDING_GROUP:
        return trp_group_put(c, (struct trp_group *)b, parcel, ask);
    }
    return TROUPE_BUG;
}

static struct outcome to_targets(struct trp_core *c, struct trp_targets t, struct trp_parcel *parcel, struct trp_ask *ask) {
    struct outcome o;
    o.took = 0;
    o.busy = o.no_memory = o.queued = false; /* the rest is for queues, and is set with the first */
    o.refused = TROUPE_OK;
    o.lsn = 0;
    for (size_t i = 0; i < t.n; i++) {
        switch (to_target(c, t.p[i], parcel, ask, &o)) {
        case TROUPE_OK:
            o.took++;
            break;
        case TROUPE_BUSY:
            o.busy = true;
            c->stats.busy++;
            break;
        case TROUPE_NO_MEMORY:
            o.no_memory = true;
            break;
        default:
            break;
        }
    }
    return o;
}

/* ---- all targets ---- */

static void refuse_outcome(struct trp_core *c, struct trp_peer *p, uint64_t id, const struct outcome *o) {
    if (o->no_memory)
        refuse(c, p, id, "NO_MEMORY", "the broker is out of memory");
    else if (o->refused == TROUPE_INVALID && o->why)
        refuse(c, p, id, "INVALID", o->why);
    else if (o->refused)
        refuse(c, p, id, trp_put_code(o->refused), trp_put_text(c, o->refused));
    else
        refuse(c, p, id, "BUSY", "the backlog is full");
}

/* All took it: the publisher hears so when the log of the queues among them is far enough. */
static void confirm(struct trp_core *c, struct trp_peer *p, uint64_t id, const struct outcome *o) {
    if (!o->queued)
        trp_core_ok(c, p, id, o->took);
    else if (trp_confirm(c, p, id, o->level, o->lsn, o->took))
        refuse(c, p, id, "NO_MEMORY", "it is put, but the broker has no memory to confirm it");
}

static void publish_plain(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_targets t,
                          struct trp_parcel *parcel) {
    struct outcome o = to_targets(c, t, parcel, NULL);
    if (o.busy || o.no_memory || o.refused)
        refuse_outcome(c, p, id, &o);
    else if (id)
        confirm(c, p, id, &o);
}

static void publish_request(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_targets t,
                            struct trp_parcel *parcel) {
    struct trp_ask *ask = trp_ask_new(c, p, id, parcel->m->reply);
    struct outcome o = {.no_memory = true};
    if (ask)
        o = to_targets(c, t, parcel, ask);
    if (o.took == 0)
        refuse_outcome(c, p, id, &o);
    if (ask)
        trp_ask_release(c, ask);
}

static void publish_routed(struct trp_core *c, struct trp_peer *p, uint64_t id, struct trp_targets t,
                           const struct trp_message *m) {
    struct trp_parcel parcel;
    trp_parcel_init(&parcel, m);
    bool share = t.n > 1 && trp_message_is_large(m);
    if (share && trp_parcel_share(&parcel))
        refuse(c, p, id, "NO_MEMORY", "the broker is out of memory");
    else if (m->reply.n > 0)
        publish_request(c, p, id, t, &parcel);
    else
        publish_plain(c, p, id, t, &parcel);
    trp_parcel_fini(&parcel);
}

static void publish_unrouted(struct trp_core *c, struct trp_peer *p, uint64_t id, const struct trp_message *m) {
    if (m->reply.n > 0) {
        c->stats.no_responders++;
        refuse(c, p, id, "NO_RESPONDERS", "nobody listens to that topic");
        return;
    }
    c->stats.unrouted++;
    if (id)
        trp_core_ok(c, p, id, 0);
}

/* An answer. Nothing is tracked: who is asked there owes no ACK, and has no token to give one with. */
static void publish_to_inbox(struct trp_core *c, struct trp_peer *p, uint64_t id, const struct trp_message *m) {
    uint32_t slot = trp_inbox_slot(m->topic);
    struct trp_peer *owner = slot < c->n_slots ? c->slots[slot].peer : NULL;
    c->stats.published++;
    if (!owner || owner->closed || !trp_inbox_owns(owner->inbox, m->topic)) {
        c->stats.stale_replies++;
        refuse(c, p, id, "NO_RESPONDERS", "the owner of that inbox has left");
        return;
    }
    trp_core_msg(c, owner, 0, 0, m);
    if (id && m->reply.n == 0)
        trp_core_ok(c, p, id, 1);
}

static void publish_to_topic(struct trp_core *c, struct trp_peer *p, uint64_t id, const struct trp_message *m) {
    struct trp_targets targets;
    troupe_status st = trp_topics_route(&c->topics, m->topic, &targets);
    if (st == TROUPE_NO_MEMORY) {
        refuse(c, p, id, "NO_MEMORY", "the broker is out of memory");
        return;
    }
    if (st) {
        refuse_faulty(c, p, id, "BAD_TOPIC",
                      "a topic is tokens joined by '.', without wildcards, blanks or control characters");
        return;
    }
    c->stats.published++;
    if (targets.n > 0)
        publish_routed(c, p, id, targets, m);
    else
        publish_unrouted(c, p, id, m);
}

void trp_publish(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    const struct trp_message *m = &e->msg;
    if (m->payload.n > c->opts.max_payload)
        refuse_faulty(c, p, e->id, "TOO_BIG", "the payload is larger than max_payload");
    else if (trp_inbox_is_reserved(m->topic))
        publish_to_inbox(c, p, e->id, m);
    else if (c->draining)
        refuse(c, p, e->id, "SHUTDOWN", "the broker is shutting down");
    else if (c->queues && trp_core_is_queue_topic(m->topic))
        trp_core_publish_to_queue(c, p, e->id, m);
    else
        publish_to_topic(c, p, e->id, m);
}
