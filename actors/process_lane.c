/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the system does for lanes between process actors (lane.h): it gives them out, tells either end of the other's death, and
 * sees to it that nothing is lost or overtaken by that. No message goes this way.
 *
 *     asked for --> both ends know it --> mute: the writer is gone; the reader empties it, says so         --> over
 *                                     `-> blind: the reader is gone; the writer is told, says that it has stopped --> over
 *
 * What a reader's body has not received when it dies goes to its mailbox: what is there at once, in its place among what the
 * same sender has sent through the system; what the writer puts there before it hears of it when it says that it has stopped,
 * before anything that it sends after that.
 *
 * A stretch begins with a mark among the messages through the system. It is in the mailbox before the record knows of it: a
 * reader's death in between leaves that stretch to be emptied after the mark. */
#include "actors/letters.h"
#include "actors/process.h"
#include "actors/system.h"

/* So many may lead to one process: it looks at all of them. */
enum { INLETS = 64 };

static struct trp_lanes *lanes_of(const struct trp_proxy *p) {
    return &p->actor->sys->lanes;
}

/* With a reference; NULL: no process actor. */
static struct trp_actor *process(troupe_system *sys, uint64_t id) {
    struct trp_actor *a = trp_registry_get(&sys->registry, id);
    if (a && a->backend == &trp_process_backend && a->run)
        return a;
    if (a)
        trp_actor_unref(a);
    return NULL;
}

/* False: it has no body now. */
static bool tell(struct trp_proxy *p, struct trp_frame f) {
    pthread_mutex_lock(&p->down);
    bool there = p->channel != NULL;
    if (there && trp_channel_put(p->channel, f, (struct trp_slice){0}) != TROUPE_OK)
        /* It would wait for ever. */
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
    if (there)
        trp_proxy_flush(p);
    pthread_mutex_unlock(&p->down);
    return there;
}

static void tell_id(troupe_system *sys, uint64_t id, struct trp_frame f) {
    struct trp_actor *a = process(sys, id);
    if (!a)
        return;
    (void)tell(a->run, f);
    trp_actor_unref(a);
}

/* --- giving one out --- */

/* Under the lock of all lanes, which keeps the door from being another's. */
static unsigned door_of(struct trp_proxy *p) {
    pthread_mutex_lock(&p->down);
    unsigned door = p->channel ? p->door : 0;
    pthread_mutex_unlock(&p->down);
    return door;
}

static unsigned inlets(const struct trp_lanes *l, uint64_t to) {
    unsigned n = 0;
    for (unsigned i = 0; i < TRP_LANES; i++)
        n += atomic_load_explicit(&l->records[i].to, memory_order_relaxed) == to;
    return n;
}

/* Its bounds have to hold without a judge: a lane is a small part of what it may hold. */
static bool may_have(const struct trp_actor *to) {
    return to->birth->overflow == TROUPE_PARK && to->birth->mailbox_bytes / 4 >= TRP_LANE_SIZE;
}

static struct trp_lane_record *give_out(struct trp_proxy *p, struct trp_actor *to) {
    struct trp_lanes *l = lanes_of(p);
    unsigned door = may_have(to) ? door_of(to->run) : 0;
    if (!p->door || !door || inlets(l, trp_actor_id(to)) >= INLETS)
        return NULL;
    struct trp_lane_record *r = trp_lanes_new(l, trp_actor_id(p->actor), p->door, trp_actor_id(to), door);
    struct trp_frame f = {.type = TRP_FRAME_LANE_IN, .ref = trp_actor_id(p->actor), .op = p->door};
    if (!r)
        return NULL;
    f.number = r->serial;
    if (tell(to->run, f))
        return r;
    trp_lanes_end(l, r);
    return NULL;
}

static void asked_for(struct trp_proxy *p, const struct trp_frame *f) {
    struct trp_lanes *l = lanes_of(p);
    struct trp_actor *to = process(p->actor->sys, f->ref);
    struct trp_frame answer = {.type = TRP_FRAME_LANE, .ref = f->ref, .status = TROUPE_FULL};
    pthread_mutex_lock(&l->lock);
    struct trp_lane_record *r = to && to != p->actor ? give_out(p, to) : NULL;
    if (r)
        answer = (struct trp_frame){.type = TRP_FRAME_LANE, .ref = f->ref, .number = r->serial, .op = r->doors[1]};
    (void)tell(p, answer);
    pthread_mutex_unlock(&l->lock);
    if (to)
        trp_actor_unref(to);
}

/* --- what is left in one --- */

/* Out of a blind lane, behind *tail; up to the stretch that the system has heard of, unless `all`. */
static struct troupe_msg **drain(struct trp_lane_record *r, bool all, struct troupe_msg **tail) {
    struct trp_slice bytes;
    uint32_t stretch;
    while (trp_lane_peek(&r->in, &stretch, &bytes) && (all || stretch <= r->stretch)) {
        struct troupe_msg *m = trp_msg_from_wire(&(struct trp_message){.payload = bytes});
        if (!m)
            break;
        trp_lane_step(&r->in, bytes);
        m->from = r->from;
        m->origin.sid = r->serial; /* until it has its place */
        m->origin.token = stretch;
        *tail = m;
        tail = &m->next;
    }
    *tail = NULL;
    return tail;
}

/* In whatever state `to` is; NULL: it is gone. */
static void deliver_one(struct trp_proxy *p, struct trp_actor *to, uint64_t id, struct troupe_msg *m) {
    m->next = NULL;
    if (to) {
        trp_actor_deliver(to, m, true);
        return;
    }
    m->to = id;
    trp_letters_bury(p->actor->sys, NULL, m, TROUPE_NOT_FOUND);
}

/* What p has sent. No lock of all lanes, nor for trp_proxy_lanes_leave: whom it wakes may need that. */
static void deliver(struct trp_proxy *p, uint64_t id, struct troupe_msg *all) {
    struct trp_actor *to = all ? trp_registry_get(&p->actor->sys->registry, id) : NULL;
    for (struct troupe_msg *m = all, *next; m; m = next) {
        next = m->next;
        m->origin.sid = m->origin.token = 0;
        deliver_one(p, to, id, m);
    }
    if (to)
        trp_actor_unref(to);
}

/* --- frames of a body --- */

static struct troupe_msg *mark(const struct trp_proxy *p, const struct trp_frame *f) {
    struct troupe_msg *m;
    if (trp_msg_from_value(&m, troupe_int(0), (struct trp_slice){0}) != TROUPE_OK)
        return NULL;
    m->kind = TRP_NOTE_STRETCH;
    m->from = trp_actor_id(p->actor);
    m->origin.sid = f->number;
    m->origin.token = f->op;
    return m;
}

/* False: no memory. */
static bool stretch_begins(struct trp_proxy *p, const struct trp_frame *f) {
    struct trp_lanes *l = lanes_of(p);
    struct trp_actor *to = process(p->actor->sys, f->ref);
    struct troupe_msg *m = to ? mark(p, f) : NULL, *left = NULL;
    if (!to)
        return true;
    if (m)
        trp_actor_deliver(to, m, true);
    pthread_mutex_lock(&l->lock);
    struct trp_lane_record *r = trp_lanes_find(l, f->number);
    if (r && r->from == trp_actor_id(p->actor)) {
        r->stretch = (uint32_t)f->op;
        if (r->blind)
            drain(r, false, &left);
    }
    pthread_mutex_unlock(&l->lock);
    deliver(p, f->ref, left);
    trp_actor_unref(to);
    return m != NULL;
}

/* The writer has stopped. */
static void writer_over(struct trp_proxy *p, struct trp_lane_record *r, struct troupe_msg **left) {
    struct trp_lanes *l = lanes_of(p);
    uint64_t to = atomic_load_explicit(&r->to, memory_order_relaxed);
    r->mute = true;
    if (!r->blind) {
        tell_id(p->actor->sys, to, (struct trp_frame){.type = TRP_FRAME_LANE_OVER, .number = r->serial});
        return;
    }
    drain(r, true, left);
    trp_lanes_end(l, r);
}

/* The reader has emptied it, or lost it. */
static void count_received(struct trp_proxy *p, const struct trp_lane_record *r) {
    uint64_t taken = atomic_load_explicit(&trp_lanes_at(lanes_of(p), r->serial).words->taken, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->straight, taken, memory_order_relaxed);
}

static void over(struct trp_proxy *p, uint64_t serial) {
    struct trp_lanes *l = lanes_of(p);
    struct troupe_msg *left = NULL;
    uint64_t me = trp_actor_id(p->actor), to = 0;
    pthread_mutex_lock(&l->lock);
    struct trp_lane_record *r = trp_lanes_find(l, serial);
    if (r)
        to = atomic_load_explicit(&r->to, memory_order_relaxed);
    if (r && r->from == me && !r->mute) {
        writer_over(p, r, &left);
    } else if (r && to == me && r->mute && !r->blind) {
        count_received(p, r);
        trp_lanes_end(l, r);
    }
    pthread_mutex_unlock(&l->lock);
    deliver(p, to, left);
}

static void ring(struct trp_proxy *p, uint64_t whom) {
    struct trp_actor *a = process(p->actor->sys, whom);
    if (!a)
        return;
    struct trp_proxy *other = a->run;
    pthread_mutex_lock(&other->down);
    if (other->channel)
        trp_channel_ring(other->channel);
    pthread_mutex_unlock(&other->down);
    trp_actor_unref(a);
}

bool trp_proxy_lane_frame(struct trp_proxy *p, const struct trp_frame *f) {
    switch (f->type) {
    case TRP_FRAME_LANE:
        asked_for(p, f);
        return true;
    case TRP_FRAME_STRETCH:
        return stretch_begins(p, f);
    case TRP_FRAME_LANE_OVER:
        over(p, f->number);
        return true;
    case TRP_FRAME_RING:
        ring(p, f->ref);
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
    tail = drain(r, r->mute, tail);
    if (r->mute)
        trp_lanes_end(lanes_of(p), r);
    else
        tell_id(p->actor->sys, r->from, (struct trp_frame){.type = TRP_FRAME_LANE_OVER, .number = r->serial});
    return tail;
}

/* The next one from *i on that leads from it and whose other end does not know. NULL: none. */
static struct trp_lane_record *next_from(struct trp_lanes *l, uint64_t from, unsigned *i) {
    while (*i < TRP_LANES) {
        struct trp_lane_record *r = &l->records[(*i)++];
        if (atomic_load_explicit(&r->to, memory_order_relaxed) && r->from == from && !r->mute)
            return r;
    }
    return NULL;
}

/* What was left in those whose readers are gone, too, is delivered without the lock. */
static void go_mute(struct trp_proxy *p) {
    struct trp_lanes *l = lanes_of(p);
    struct trp_lane_record *r;
    unsigned i = 0;
    do {
        struct troupe_msg *left = NULL;
        uint64_t to = 0;
        pthread_mutex_lock(&l->lock);
        r = next_from(l, trp_actor_id(p->actor), &i);
        if (r) {
            to = atomic_load_explicit(&r->to, memory_order_relaxed);
            writer_over(p, r, &left);
        }
        pthread_mutex_unlock(&l->lock);
        deliver(p, to, left);
    } while (r);
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
    go_mute(p);
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < TRP_LANES; i++) {
        struct trp_lane_record *r = &l->records[i];
        if (atomic_load_explicit(&r->to, memory_order_relaxed) == me && !r->blind)
            tail = go_blind(p, r, tail);
    }
    pthread_mutex_unlock(&l->lock);
    for (struct troupe_msg *m = left; m; m = next, n++) {
        next = m->next;
        deliver_one(p, p->actor, me, m);
    }
    return n;
}

void trp_proxy_lanes_closing(struct trp_proxy *p) {
    struct trp_lanes *l = lanes_of(p);
    uint64_t me = trp_actor_id(p->actor);
    if (p->lanes_told || !p->door)
        return;
    p->lanes_told = true;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < TRP_LANES; i++) {
        const struct trp_lane_record *r = &l->records[i];
        if (atomic_load_explicit(&r->to, memory_order_relaxed) == me && !r->mute)
            tell_id(p->actor->sys, r->from, (struct trp_frame){.type = TRP_FRAME_LOOK});
    }
    pthread_mutex_unlock(&l->lock);
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
