/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What each envelope means, and peers that come and go.
 *
 *     trp_core_feed --PUB--> publish.c --> topics.c: which targets --> an effect, or group.c: backlog --> an effect
 *                  `--ACK--> peer.c: the delivery in hand --> ask.c: settled; group.c: next, please
 *
 * A peer ends in two steps. Closed: a flag, at once, since the loop that notices may be walking over targets. Left: its
 * subscriptions end and what it held is lost or goes back, at the end of the same event, which may close others, which
 * then leave in turn. trp_core_detach is the shell's side of it and frees. */
#include "broker/core.h"
#include "broker/core_queue.h"
#include "broker/core_state.h"
#include "broker/group.h"
#include "broker/publish.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { NO_SLOT = INT32_MAX, SLOTS_MIN = 16, CREDIT_MAX = 65535 };

/* ---- the core ---- */

static struct trp_core_opts with_defaults(const struct trp_core_opts *opts) {
    struct trp_core_opts o = opts ? *opts : (struct trp_core_opts){0};
    if (!o.max_peers)
        o.max_peers = 65536;
    if (!o.max_subs)
        o.max_subs = 10000;
    if (!o.max_held)
        o.max_held = 65536;
    if (!o.backlog_messages)
        o.backlog_messages = 1000000;
    if (!o.backlog_bytes)
        o.backlog_bytes = UINT64_C(256) << 20;
    if (!o.max_payload)
        o.max_payload = 1 << 20;
    return o;
}

troupe_status trp_core_new(struct trp_core **out, const struct trp_core_opts *opts, const struct trp_sink *sink, void *ctx) {
    struct trp_core *c = trp_calloc(1, sizeof *c);
    if (!c)
        return TROUPE_NO_MEMORY;
    c->sink = *sink;
    c->ctx = ctx;
    c->opts = with_defaults(opts);
    c->key = trp_hash_key(c->opts.seed);
    c->free_slot = NO_SLOT;
    if (trp_topics_init(&c->topics, c->key) || (c->opts.queues && trp_core_queues_open(c))) {
        trp_core_free(c);
        return TROUPE_NO_MEMORY;
    }
    *out = c;
    return TROUPE_OK;
}

void trp_core_free(struct trp_core *c) {
    if (!c)
        return;
    trp_assert(c->stats.peers == 0 && c->stats.groups == 0 && c->stats.held == 0 && c->stats.backlog == 0);
    trp_core_queues_close(c);
    trp_topics_fini(&c->topics);
    trp_table_fini(&c->groups);
    trp_items_fini(&c->items);
    trp_asks_fini(&c->asks);
    trp_free(c->slots);
    trp_free(c);
}

void trp_core_drain(struct trp_core *c) {
    c->draining = true;
    if (c->queues)
        trp_queues_drain(c->queues);
    trp_obituaries_end(c);
}

uint64_t trp_core_outstanding(const struct trp_core *c) {
    return c->outstanding;
}

const struct trp_core_stats *trp_core_stats(const struct trp_core *c) {
    return &c->stats;
}

/* ---- faults ---- */

void trp_core_close(struct trp_core *c, struct trp_peer *p, const char *code, const char *text) {
    if (p->closed)
        return;
    c->sink.close(c->ctx, p->user, code, text);
    p->closed = true;
    p->next_dying = c->dying;
    c->dying = p;
}

void trp_core_fault(struct trp_core *c, struct trp_peer *p, uint64_t id, const char *code, const char *text) {
    c->stats.protocol_errors++;
    if (id)
        trp_core_err(c, p, id, code, text);
    else
        trp_core_close(c, p, code, text);
}

static void no_memory(struct trp_core *c, struct trp_peer *p, uint64_t id) {
    if (id)
        trp_core_err(c, p, id, "NO_MEMORY", "the broker is out of memory");
    else
        trp_core_close(c, p, "NO_MEMORY", "the broker is out of memory");
}

/* ---- deliveries in hand ---- */

static void sub_free_if_done(struct trp_core *c, struct trp_sub *s) {
    if (!s->gone || s->holding > 0)
        return;
    if (s->group)
        trp_group_forget(c, s);
    trp_free(s);
}

/* Takes the item out of its hand; a member may be ready for more then. */
static void unhold(struct trp_core *c, struct trp_item *it) {
    trp_peer_unhold(it);
    c->stats.held--;
    if (it->sub->group)
        trp_group_reorder(it->sub);
}

static void forget_oldest(struct trp_core *c, struct trp_peer *p) {
    struct trp_item *it = p->free.first;
    struct trp_sub *s = it->sub;
    unhold(c, it);
    trp_ask_settle(c, it->ask);
    trp_item_free(&c->items, it);
    sub_free_if_done(c, s);
    c->stats.forgotten++;
}

void trp_core_hold(struct trp_core *c, struct trp_sub *s, struct trp_item *it) {
    if (!s->credited && s->peer->free.n >= c->opts.max_held)
        forget_oldest(c, s->peer);
    trp_peer_hold(s, it);
    c->stats.held++;
}

/* Whoever held it will not answer it, and nobody else is given it. */
static void lose(struct trp_core *c, struct trp_item *it, const char *code, const char *text, uint64_t *counter) {
    if (trp_ask_lose(c, it->ask, code, text))
        ++*counter;
    trp_item_free(&c->items, it);
}

static void on_ack(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_item *it = trp_peer_held(p, e->sid, e->token);
    if (!it) {
        if (!c->queues || !trp_core_queue_ack(c, p, e))
            c->stats.stale_acks++; /* normal after an UNSUB or a reconnection */
        return;
    }
    struct trp_sub *s = it->sub;
    unhold(c, it);
    if (it->ask)
        trp_ask_settle(c, it->ask);
    trp_item_free(&c->items, it);
    if (s->gone)
        sub_free_if_done(c, s);
    else if (s->group)
        trp_group_dispatch(c, s->group);
}

static void on_nack(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_item *it = trp_peer_held(p, e->sid, e->token);
    if (!it) {
        if (!c->queues || !trp_core_queue_nack(c, p, e))
            c->stats.stale_acks++;
        return;
    }
    struct trp_sub *s = it->sub;
    struct trp_group *g = s->group;
    unhold(c, it);
    if (!g) {
        lose(c, it, "NO_RESPONDERS", "whoever got it declined", &c->stats.no_responders);
    } else {
        trp_group_put_back(c, g, it);
        trp_group_dispatch(c, g);
    }
    sub_free_if_done(c, s);
}

/* ---- subscriptions ---- */

struct sub_options {
    struct trp_slice group; /* p NULL: plain */
    uint32_t credit;        /* 0: none given */
};

/* False: they are not good. */
static bool read_sub_options(struct trp_slice map, struct sub_options *o) {
    troupe_value v;
    *o = (struct sub_options){0};
    if (trp_map_value(map, "group", &v)) {
        if (v.kind != TROUPE_TEXT || v.size == 0 || v.size > TRP_GROUP_NAME_MAX)
            return false;
        o->group = (struct trp_slice){v.data, v.size};
    }
    if (trp_map_value(map, "credit", &v)) {
        if (!o->group.p || v.kind != TROUPE_INT || v.i < 1 || v.i > CREDIT_MAX)
            return false;
        o->credit = (uint32_t)v.i;
    }
    return true;
}

static troupe_status bind_sub(struct trp_core *c, struct trp_sub *s, struct trp_slice pattern, const struct sub_options *o) {
    if (!o->group.p)
        return trp_topics_bind(&c->topics, pattern, &s->binding);
    s->credited = o->credit > 0;
    s->credit = o->credit;
    return trp_group_join(c, s, pattern, o->group);
}

static void subscribe(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e, const struct sub_options *o) {
    struct trp_sub *s = trp_peer_add_sub(p, &c->key, e->sid);
    if (!s) {
        no_memory(c, p, e->id);
        return;
    }
    if (bind_sub(c, s, e->text, o)) {
        trp_peer_remove_sub(p, &c->key, s);
        trp_free(s);
        no_memory(c, p, e->id);
        return;
    }
    c->stats.subs++;
    if (e->id)
        trp_core_ok(c, p, e->id, 0);
    if (s->group)
        trp_group_dispatch(c, s->group);
}

static void on_sub(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct sub_options o;
    if (e->sid == 0)
        trp_core_fault(c, p, e->id, "INVALID", "sid 0 is the inbox's");
    else if (trp_inbox_is_reserved(e->text))
        trp_core_fault(c, p, e->id, "RESERVED", "topics that begin with _r. are inboxes");
    else if (c->queues && trp_core_is_queue_topic(e->text))
        trp_core_queue_sub(c, p, e);
    else if (!trp_is_pattern(e->text))
        trp_core_fault(c, p, e->id, "BAD_TOPIC", "a pattern is tokens joined by '.', '*' one of them, '>' the last");
    else if (!read_sub_options(e->options, &o))
        trp_core_fault(c, p, e->id, "INVALID", "group is a text of 1 to 255 bytes; credit, 1 to 65535, needs a group");
    else if (trp_peer_find_sub(p, &c->key, e->sid))
        trp_core_fault(c, p, e->id, "EXISTS", "that sid is in use");
    else if (p->sids.count >= c->opts.max_subs)
        trp_core_fault(c, p, e->id, "LIMIT", "too many subscriptions");
    else
        subscribe(c, p, e, &o);
}

void trp_core_end_sub(struct trp_core *c, struct trp_sub *s) {
    trp_peer_remove_sub(s->peer, &c->key, s);
    c->stats.subs--;
    s->gone = true;
    if (s->consumer)
        trp_core_queue_unsub(c, s);
    else if (s->group)
        trp_group_leave(c, s);
    else
        trp_topics_unbind(&c->topics, &s->binding);
    sub_free_if_done(c, s);
}

static void on_unsub(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_sub *s = trp_peer_find_sub(p, &c->key, e->sid);
    if (!s) {
        trp_core_fault(c, p, e->id, "NOT_FOUND", "there is no subscription with that sid");
        return;
    }
    trp_core_end_sub(c, s);
    if (e->id)
        trp_core_ok(c, p, e->id, 0);
}

static void on_credit(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_sub *s = trp_peer_find_sub(p, &c->key, e->sid);
    if (e->token > CREDIT_MAX) {
        trp_core_fault(c, p, 0, "INVALID", "credit is 0 to 65535");
    } else if (s && s->consumer) {
        trp_core_queue_credit(c, s, (uint32_t)e->token);
    } else if (s && !s->credited) {
        trp_core_fault(c, p, 0, "INVALID", "credit is for a subscription that was made with some");
    } else if (s) {
        s->credit = (uint32_t)e->token;
        trp_group_reorder(s);
        trp_group_dispatch(c, s->group);
    }
}

/* ---- peers that leave ---- */

static void end_subs(struct trp_core *c, struct trp_peer *p) {
    for (struct trp_sub *s = p->first_sub, *next; s; s = next) {
        next = s->next;
        trp_core_end_sub(c, s);
    }
}

static void lose_asks(struct trp_core *c, struct trp_item_list *hand) {
    for (struct trp_item *it = hand->first, *next; it; it = next) {
        struct trp_sub *s = it->sub;
        next = it->next;
        if (!it->ask)
            continue;
        unhold(c, it);
        lose(c, it, "WORKER_LOST", "whoever had the request has left", &c->stats.worker_lost);
        sub_free_if_done(c, s);
    }
}

static void touch(struct trp_group *g, struct trp_group **touched) {
    if (g->touched)
        return;
    g->touched = true;
    g->next_touched = *touched;
    *touched = g;
}

/* From the newest to the oldest, each to the head: they wait in their old order then, and only then are given away. */
static void put_back_messages(struct trp_core *c, struct trp_item_list *hand) {
    struct trp_group *touched = NULL;
    for (struct trp_item *it; (it = hand->last);) {
        struct trp_sub *s = it->sub;
        unhold(c, it);
        if (s->group->members > 0)
            touch(s->group, &touched);
        trp_group_put_back(c, s->group, it);
        sub_free_if_done(c, s);
    }
    for (struct trp_group *g = touched; g; g = g->next_touched) {
        g->touched = false;
        trp_group_dispatch(c, g);
    }
}

static void leave(struct trp_core *c, struct trp_peer *p) {
    c->outstanding -= p->asks;
    p->asks = 0;
    end_subs(c, p);
    lose_asks(c, &p->credited);
    lose_asks(c, &p->free);
    put_back_messages(c, &p->credited);
}

void trp_core_leave_dying(struct trp_core *c) {
    for (struct trp_peer *p; (p = c->dying);) {
        c->dying = p->next_dying;
        leave(c, p);
    }
}

void trp_core_crashed(struct trp_peer *p) {
    p->crashed = true;
}

void trp_core_detach(struct trp_core *c, uint64_t now_ns, struct trp_peer *p) {
    trp_core_at(c, now_ns);
    if (!p->closed) {
        p->closed = true;
        leave(c, p);
        trp_core_leave_dying(c);
    }
    c->slots[p->slot].peer = NULL;
    c->slots[p->slot].next_free = c->free_slot;
    c->free_slot = p->slot;
    c->stats.peers--;
    trp_peer_free(p);
}

/* ---- peers that come ---- */

static troupe_status grow_slots(struct trp_core *c) {
    uint32_t n = c->n_slots ? c->n_slots * 2 : SLOTS_MIN;
    if (n > c->opts.max_peers)
        n = c->opts.max_peers;
    struct trp_core_slot *slots = trp_array(c->slots, n, sizeof *slots);
    if (!slots)
        return TROUPE_NO_MEMORY;
    for (uint32_t i = n; i-- > c->n_slots; c->free_slot = i)
        slots[i] = (struct trp_core_slot){NULL, c->free_slot};
    c->slots = slots;
    c->n_slots = n;
    return TROUPE_OK;
}

troupe_status trp_core_attach(struct trp_core *c, uint64_t now_ns, enum trp_peer_kind kind, const uint8_t nonce[12], void *user,
                              struct trp_peer **out) {
    (void)now_ns;
    if (c->stats.peers >= c->opts.max_peers)
        return TROUPE_FULL;
    if (c->free_slot == NO_SLOT && grow_slots(c))
        return TROUPE_NO_MEMORY;
    uint32_t slot = c->free_slot;
    struct trp_peer *p = trp_peer_new(user, kind, c->sessions + 1, slot, nonce);
    if (!p)
        return TROUPE_NO_MEMORY;
    c->sessions++;
    c->free_slot = c->slots[slot].next_free;
    c->slots[slot].peer = p;
    c->stats.peers++;
    *out = p;
    return TROUPE_OK;
}

/* ---- envelopes ---- */

static void on_hello(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    struct trp_slice token;
    if (p->greeted) {
        trp_core_fault(c, p, 0, "UNEXPECTED", "a second HELLO");
        return;
    }
    p->greeted = true;
    if (trp_map_str(e->options, "obituary", &token))
        p->missed = trp_obituary_token(token, p->token);
    c->sink.welcome(c->ctx, p->user, p->session, trp_peer_inbox(p));
}

/* What the narrow kinds may say. */
static bool may_say(const struct trp_peer *p, const struct trp_envelope *e) {
    switch (p->kind) {
    case TRP_PEER_FULL:
        return true;
    case TRP_PEER_ASK:
        return e->op == TRP_PUB && e->msg.reply.n > 0;
    case TRP_PEER_PUSH:
        return e->op == TRP_PUB && e->msg.reply.n == 0 && e->id == 0;
    }
    return false;
}

static void feed(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e) {
    switch (e->op) {
    case TRP_PUB:
        trp_publish(c, p, e);
        break;
    case TRP_ACK:
        on_ack(c, p, e);
        break;
    case TRP_NACK:
        on_nack(c, p, e);
        break;
    case TRP_SUB:
        on_sub(c, p, e);
        break;
    case TRP_UNSUB:
        on_unsub(c, p, e);
        break;
    case TRP_CREDIT:
        on_credit(c, p, e);
        break;
    case TRP_HELLO:
        on_hello(c, p, e);
        break;
    case TRP_PING:
        c->sink.pong(c->ctx, p->user, e->id);
        break;
    case TRP_PONG:
        break;
    case TRP_QUEUE:
        if (c->queues)
            trp_core_queue_verb(c, p, e);
        else
            trp_core_fault(c, p, e->id, "UNSUPPORTED", "this broker has no queues");
        break;
    case TRP_CLOSE:
        trp_core_close(c, p, "BYE", "goodbye");
        break;
    default: /* what only a broker says, and AUTH, for which nobody asked */
        trp_core_fault(c, p, 0, "UNEXPECTED", "that is not for a client to say");
        break;
    }
}

void trp_core_feed(struct trp_core *c, uint64_t now_ns, struct trp_peer *p, const struct trp_envelope *e) {
    trp_core_at(c, now_ns);
    if (p->closed)
        return;
    if (may_say(p, e))
        feed(c, p, e);
    else
        trp_core_fault(c, p, 0, "UNEXPECTED", "this kind of connection may not say that");
    if (c->ended)
        trp_core_end_consumers(c);
    if (c->dying)
        trp_core_leave_dying(c);
}
