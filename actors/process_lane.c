/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the system does for a process actor that has lanes, as a reader: see laner.h, which is about writers, and how both die.
 */
#include "actors/laner.h"
#include "actors/process.h"
#include "actors/system.h"

static struct trp_lanes *lanes_of(const struct trp_proxy *p) {
    return &p->actor->sys->lanes;
}

static struct trp_laner laner(const struct trp_proxy *p) {
    return (struct trp_laner){p->actor->sys, trp_actor_id(p->actor), p->door};
}

/* --- frames of a body --- */

static void ask(struct trp_proxy *p, const struct trp_laner *l, uint64_t to) {
    struct trp_frame answer = trp_laner_ask(l, to);
    trp_lane_inform(p->actor->sys, trp_actor_id(p->actor), &answer);
}

/* The reader has emptied it, or lost it. */
static void count_received(struct trp_proxy *p, const struct trp_lane_record *r) {
    uint64_t taken = atomic_load_explicit(&trp_lanes_at(lanes_of(p), r->serial).words->taken, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->straight, taken, memory_order_relaxed);
}

static void reader_over(struct trp_proxy *p, uint64_t serial) {
    struct trp_lanes *l = lanes_of(p);
    pthread_mutex_lock(&l->lock);
    struct trp_lane_record *r = trp_lanes_find(l, serial);
    bool mine = r && atomic_load_explicit(&r->to, memory_order_relaxed) == trp_actor_id(p->actor);
    if (mine && r->mute && !r->blind) {
        count_received(p, r);
        trp_lanes_end(l, r);
    }
    pthread_mutex_unlock(&l->lock);
}

bool trp_proxy_lane_frame(struct trp_proxy *p, const struct trp_frame *f) {
    struct trp_laner l = laner(p);
    switch (f->type) {
    case TRP_FRAME_LANE:
        ask(p, &l, f->ref);
        return true;
    case TRP_FRAME_STRETCH:
        return trp_laner_stretch(&l, f) == TROUPE_OK;
    case TRP_FRAME_LANE_OVER:
        if (!trp_laner_over(&l, f->number))
            reader_over(p, f->number);
        return true;
    case TRP_FRAME_RING:
        trp_laner_ring(p->actor->sys, f->ref);
        return true;
    default:
        return false;
    }
}

/* --- the end of a life --- */

/* Those behind the mark of their stretch, if it has not left; in front of all otherwise: what was before it has been received.
 */
static struct troupe_msg **its_place(struct troupe_msg **first, const struct troupe_msg *m) {
    struct troupe_msg **at = first;
    for (struct troupe_msg *o = *first; o; o = o->next) {
        if (o->kind == TRP_NOTE_STRETCH && o->origin.sid == m->origin.sid && o->origin.token == m->origin.token) {
            at = &o->next;
            break;
        }
    }
    while (*at && (*at)->kind != TRP_NOTE_STRETCH && (*at)->origin.sid)
        at = &(*at)->next;
    return at;
}

/* Takes those out that come from lanes. */
static struct troupe_msg *take_out(struct troupe_msg **all) {
    struct troupe_msg *out = NULL, **tail = &out;
    while (*all) {
        struct troupe_msg *m = *all;
        if (m->kind == TRP_NOTE_STRETCH || !m->origin.sid) {
            all = &m->next;
            continue;
        }
        *all = m->next;
        m->next = NULL;
        *tail = m;
        tail = &m->next;
    }
    return out;
}

void trp_proxy_lanes_sort(struct troupe_msg **all) {
    struct troupe_msg *some = take_out(all), *next;
    for (struct troupe_msg *m = some; m; m = next) {
        next = m->next;
        struct troupe_msg **at = its_place(all, m);
        m->next = *at;
        *at = m;
    }
    for (struct troupe_msg *m = *all; m; m = m->next) {
        if (m->kind != TRP_NOTE_STRETCH)
            m->origin = (struct trp_origin){0};
    }
}

/* What is left comes behind *tail. */
static struct troupe_msg **go_blind(struct trp_proxy *p, struct trp_lane_record *r, struct troupe_msg **tail) {
    struct trp_lane lane = trp_lanes_at(lanes_of(p), r->serial);
    r->blind = true;
    /* Sequentially consistent, before the look at what has been written: the writer sees it, or we see what it wrote. */
    atomic_store(&lane.words->shut, 1);
    count_received(p, r);
    trp_lane_in_init(&r->in, lane);
    (void)trp_lane_has(&r->in);
    tail = trp_lane_drain(r, r->mute, tail);
    if (r->mute)
        trp_lanes_end(lanes_of(p), r);
    else
        trp_lane_inform(p->actor->sys, r->from, &(struct trp_frame){.type = TRP_FRAME_LANE_OVER, .number = r->serial});
    return tail;
}

/* Behind what is in the mailbox: trp_proxy_lanes_sort puts it right, also if what the same writers have left later has got
 * there before it. */
size_t trp_proxy_lanes_leave(struct trp_proxy *p) {
    struct trp_lanes *l = lanes_of(p);
    uint64_t me = trp_actor_id(p->actor);
    struct troupe_msg *left = NULL, **tail = &left, *next;
    size_t n = 0;
    if (!p->door)
        return 0;
    trp_laner_gone(&(struct trp_laner){p->actor->sys, me, p->door});
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < TRP_LANES; i++) {
        struct trp_lane_record *r = &l->records[i];
        if (atomic_load_explicit(&r->to, memory_order_relaxed) == me && !r->blind)
            tail = go_blind(p, r, tail);
    }
    pthread_mutex_unlock(&l->lock);
    for (struct troupe_msg *m = left; m; m = next, n++) {
        next = m->next;
        trp_lane_deliver(p->actor->sys, p->actor, me, m);
    }
    return n;
}

/* --- figures --- */

/* Without the lock: it may have become another's lane meanwhile, whose figures are then seen for a moment. */
void trp_proxy_lanes_look(const struct trp_proxy *p, size_t *bytes, uint64_t *received) {
    const struct trp_lanes *l = lanes_of(p);
    uint64_t me = trp_actor_id(p->actor);
    *bytes = 0;
    *received = atomic_load_explicit(&p->straight, memory_order_relaxed);
    for (unsigned i = 0; l->memory && i < TRP_LANES; i++) {
        /* Acquire pairs with the release in trp_lanes_new. */
        if (atomic_load_explicit(&l->records[i].to, memory_order_acquire) != me)
            continue;
        const struct trp_lane_words *w = trp_lanes_at(l, i).words;
        if (atomic_load_explicit(&w->shut, memory_order_relaxed))
            continue; /* counted already */
        *bytes += (size_t)(atomic_load_explicit(&w->head, memory_order_relaxed) -
                           atomic_load_explicit(&w->tail, memory_order_relaxed));
        *received += atomic_load_explicit(&w->taken, memory_order_relaxed);
    }
}
