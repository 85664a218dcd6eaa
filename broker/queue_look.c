/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Looking at the messages of a state, one after the other, over many events: to page through a million by their places would
 * be a walk from the first one for each page. So a queue remembers where the last look ended. That place goes on by itself
 * when its message leaves the state, so it is always good; what comes in behind it may be missed. There is one for a queue:
 * of two who look at once, each costs the other a walk. */
#include "broker/queue_state.h"

/* The first ready one of a priority, or of a later one. */
static void look_from(struct trp_queue *q, uint32_t priority) {
    struct trp_queue_look *l = &q->look;
    uint32_t mask = priority < TRP_QUEUE_PRIORITIES ? q->ready_mask >> priority << priority : 0;
    l->priority = mask ? (uint32_t)__builtin_ctz(mask) : TRP_QUEUE_PRIORITIES;
    l->walk = mask ? trp_queue_order_walk(&q->ready[l->priority]) : (struct trp_queue_walk){0};
}

static struct trp_queue_item *first_held(const struct trp_consumer *c) {
    while (c && !c->hand.first)
        c = c->next;
    return c ? c->hand.first : NULL;
}

/* Behind one that is not ready. */
static struct trp_queue_item *behind(const struct trp_queue_item *it) {
    if (it->next || it->state != TRP_QUEUE_HELD)
        return it->next;
    return first_held(it->holder->next);
}

void trp_queue_look_past(struct trp_queue *q, struct trp_queue_item *it) {
    struct trp_queue_look *l = &q->look;
    if (l->state != TRP_QUEUE_READY) {
        l->walk.list = behind(it);
        return;
    }
    trp_queue_walk_past(&l->walk, it);
    if (!trp_queue_walk_here(&l->walk))
        look_from(q, l->priority + 1);
}

static void look_first(struct trp_queue *q, enum trp_queue_state state) {
    q->look = (struct trp_queue_look){.on = true, .state = state};
    switch (state) {
    case TRP_QUEUE_READY:
        look_from(q, 0);
        break;
    case TRP_QUEUE_HELD:
        q->look.walk.list = first_held(q->first);
        break;
    case TRP_QUEUE_DELAYED:
        q->look.walk.list = q->delayed.first;
        break;
    default:
        q->look.walk.list = q->buried.first;
    }
}

void trp_queue_look_on(struct trp_queue *q) {
    struct trp_queue_item *it = trp_queue_walk_here(&q->look.walk);
    if (!it)
        return;
    q->look.last = it->seq;
    trp_queue_look_past(q, it);
}

void trp_queue_look_at(struct trp_queue *q, enum trp_queue_state state, uint64_t n) {
    look_first(q, state);
    while (n-- > 0 && trp_queue_walk_here(&q->look.walk))
        trp_queue_look_on(q);
}

bool trp_queue_look_behind(const struct trp_queue *q, enum trp_queue_state state, uint64_t number) {
    return q->look.on && q->look.state == state && q->look.last == number;
}

troupe_status trp_queue_look(const struct trp_queue *q, struct trp_queue_message *m) {
    const struct trp_queue_item *it = trp_queue_walk_here(&q->look.walk);
    if (!it)
        return TROUPE_EMPTY;
    trp_queue_view(q, it, m);
    return TROUPE_OK;
}

troupe_status trp_queue_peek(struct trp_queue *q, enum trp_queue_state state, uint64_t n, struct trp_queue_message *m) {
    trp_queue_look_at(q, state, n);
    return trp_queue_look(q, m);
}
