/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Looking at the messages of a state, one after the other, over many events: to page through a million by their places would
 * be a walk from the first one for each page. So a queue remembers where the last looks ended. Such a place goes on by itself
 * when its message leaves the state, so it is always good; what comes in behind it may be missed. A few are kept, and the one
 * that was used longest ago is given up for another: of more who look at once, each costs the others a walk. */
#include "broker/queue_state.h"

/* The first ready one of a priority, or of a later one. */
static void look_from(struct trp_queue *q, struct trp_queue_look *l, uint32_t priority) {
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

void trp_queue_look_past(struct trp_queue *q, struct trp_queue_look *l, struct trp_queue_item *it) {
    if (l->state != TRP_QUEUE_READY) {
        l->walk.list = behind(it);
        return;
    }
    trp_queue_walk_past(&l->walk, it);
    if (!trp_queue_walk_here(&l->walk))
        look_from(q, l, l->priority + 1);
}

/* It becomes the last one used. */
static void come_first(struct trp_queue *q, uint32_t i) {
    struct trp_queue_look l = q->looks[i];
    memmove(&q->looks[1], &q->looks[0], i * sizeof l);
    q->looks[0] = l;
}

static void look_first(struct trp_queue *q, enum trp_queue_state state) {
    struct trp_queue_look *l = &q->looks[0];
    q->n_looks += q->n_looks < TRP_QUEUE_LOOKS;
    come_first(q, q->n_looks - 1);
    *l = (struct trp_queue_look){.state = state};
    switch (state) {
    case TRP_QUEUE_READY:
        look_from(q, l, 0);
        break;
    case TRP_QUEUE_HELD:
        l->walk.list = first_held(q->first);
        break;
    case TRP_QUEUE_DELAYED:
        l->walk.list = q->delayed.first;
        break;
    default:
        l->walk.list = q->buried.first;
    }
}

void trp_queue_look_on(struct trp_queue *q) {
    struct trp_queue_item *it = trp_queue_look_here(q);
    if (!it)
        return;
    q->looks[0].last = it->seq;
    trp_queue_look_past(q, &q->looks[0], it);
}

void trp_queue_look_at(struct trp_queue *q, enum trp_queue_state state, uint64_t n) {
    look_first(q, state);
    while (n-- > 0 && trp_queue_look_here(q))
        trp_queue_look_on(q);
}

bool trp_queue_look_behind(struct trp_queue *q, enum trp_queue_state state, uint64_t number) {
    for (uint32_t i = 0; i < q->n_looks; i++) {
        if (q->looks[i].state != state || q->looks[i].last != number)
            continue;
        come_first(q, i);
        return true;
    }
    return false;
}

troupe_status trp_queue_look(const struct trp_queue *q, struct trp_queue_message *m) {
    const struct trp_queue_item *it = trp_queue_look_here(q);
    if (!it)
        return TROUPE_EMPTY;
    trp_queue_view(q, it, m);
    return TROUPE_OK;
}

troupe_status trp_queue_peek(struct trp_queue *q, enum trp_queue_state state, uint64_t n, struct trp_queue_message *m) {
    trp_queue_look_at(q, state, n);
    return trp_queue_look(q, m);
}
