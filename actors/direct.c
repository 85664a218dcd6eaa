/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/direct.h"

#include <limits.h>

#include "actors/deadline.h"
#include "actors/futex.h"
#include "transports/assert.h"
#include "transports/pack.h"

enum {
    WORTH = 8,            /* sends in a row, to ask for a lane */
    AGAIN = 16,           /* to use it again after something has gone through the system */
    NOT_SO_SOON = 100000, /* to ask again, after there was none */
    TELL = 16,
};

void trp_direct_init(struct trp_direct *d, const struct trp_lanes *lanes, struct trp_actor *actor,
                     const struct trp_direct_line *line) {
    size_t most = actor->birth->mailbox / TELL;
    d->lanes = lanes;
    d->actor = actor;
    d->line = line;
    d->tell = most < 1 ? 1 : most < TELL ? most : TELL;
}

static void say(struct trp_direct *d, struct trp_frame f) {
    d->line->say(d, &f);
}

/* Sequentially consistent, after what it is woken for. Who sleeps in its loop is woken by the system, once. */
static void wake(struct trp_direct *d, _Atomic uint32_t *door, uint64_t whom) {
    uint32_t how = atomic_load(door);
    while (how == TRP_SLEEP_FUTEX || how == TRP_SLEEP_SOCKET) {
        uint32_t then = how == TRP_SLEEP_FUTEX ? TRP_SLEEP_NOT : TRP_SLEEP_CALLED;
        if (!atomic_compare_exchange_strong(door, &how, then))
            continue;
        if (how == TRP_SLEEP_FUTEX)
            trp_futex_wake(door);
        else
            say(d, (struct trp_frame){.type = TRP_FRAME_RING, .ref = whom});
        return;
    }
}

static bool reach_memory(const struct trp_direct *d, const struct trp_frame *f) {
    return !d->line->confined ||
           (trp_lanes_reach(d->lanes, f->number) == TROUPE_OK && trp_lanes_reach_door(d->lanes, (unsigned)f->op) == TROUPE_OK);
}

static void leave_memory(const struct trp_direct *d, uint64_t serial) {
    if (d->line->confined)
        trp_lanes_leave(d->lanes, serial);
}

/* --- outlets --- */

static struct trp_outlet *outlet_find(struct trp_direct *d, uint64_t to) {
    for (unsigned i = 0; i < d->outlets; i++) {
        if (d->outlet[i].to == to)
            return &d->outlet[i];
    }
    return NULL;
}

static struct trp_near *near_of(struct trp_direct *d, uint64_t to) {
    struct trp_near *n = &d->near[(uint32_t)to % TRP_NEAR];
    if (n->to != to)
        *n = (struct trp_near){.to = to, .outlet = outlet_find(d, to)};
    return n;
}

/* It is touched no more. */
static void outlet_over(struct trp_direct *d, struct trp_outlet *o) {
    uint64_t to = o->to, serial = o->serial;
    o->to = 0;
    o->open = false;
    if (d->awaits == o)
        d->awaits = NULL;
    if (near_of(d, to)->outlet == o)
        d->near[(uint32_t)to % TRP_NEAR] = (struct trp_near){.to = to};
    leave_memory(d, serial);
    say(d, (struct trp_frame){.type = TRP_FRAME_LANE_OVER, .number = serial});
}

static bool is_shut(const struct trp_outlet *o) {
    /* Sequentially consistent, after what has been written: see process_lane.c. */
    return o->out.broken || atomic_load(&o->out.lane.words->shut);
}

static void outlet_leave(struct trp_direct *d, struct trp_outlet *o) {
    o->open = false;
    if (is_shut(o))
        outlet_over(d, o);
}

static struct trp_outlet *outlet_place(struct trp_direct *d) {
    struct trp_outlet *o = outlet_find(d, 0);
    if (!o && d->outlets < TRP_OUTLETS)
        o = &d->outlet[d->outlets++];
    return o;
}

/* The answer to what it has asked for. */
static bool outlet_new(struct trp_direct *d, const struct trp_frame *f) {
    struct trp_near *n = near_of(d, f->ref);
    n->plain = -NOT_SO_SOON;
    if (f->status != TROUPE_OK)
        return true;
    struct trp_outlet *o = n->outlet ? NULL : outlet_place(d);
    if (!o || !reach_memory(d, f)) {
        say(d, (struct trp_frame){.type = TRP_FRAME_LANE_OVER, .number = f->number});
        return true;
    }
    *o = (struct trp_outlet){.to = f->ref, .serial = f->number, .door = trp_lanes_door(d->lanes, (unsigned)f->op)};
    trp_lane_out_init(&o->out, trp_lanes_at(d->lanes, f->number), 1);
    n->outlet = o;
    n->plain = AGAIN;
    if (is_shut(o))
        outlet_over(d, o);
    return true;
}

static bool asks(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    bool some = a->asks.last != NULL;
    pthread_mutex_unlock(&a->lock);
    return some;
}

/* Is the lane the way for this one? Not while a question that nobody waits for is in line over there: it would be overtaken. */
static bool goes(struct trp_direct *d, struct trp_near *n, size_t size) {
    struct trp_outlet *o = n->outlet;
    if (size > TRP_LANE_PIECE) {
        trp_direct_leave(d, n->to);
        return false;
    }
    if (o->open)
        return true;
    if (++n->plain < AGAIN || !trp_lane_has_been_received(&o->out) || asks(d->actor))
        return false;
    o->open = true;
    o->stretch++;
    say(d, (struct trp_frame){.type = TRP_FRAME_STRETCH, .ref = o->to, .number = o->serial, .op = o->stretch});
    return true;
}

static enum trp_way put(struct trp_direct *d, struct trp_outlet *o, struct trp_slice bytes) {
    while (!trp_lane_write(&o->out, o->stretch, bytes)) {
        if (trp_lane_want(&o->out, bytes.n))
            return TRP_WAY_FULL;
    }
    wake(d, o->door, o->to);
    return TRP_WAY_SENT;
}

/* Full for longer than it pays to wait. */
static bool is_late(int64_t *deadline) {
    if (*deadline)
        return trp_now() >= *deadline;
    *deadline = trp_deadline(TRP_DIRECT_PATIENCE_MS);
    return false;
}

/* The lane is its way. */
static enum trp_way put_or_leave(struct trp_direct *d, struct trp_outlet *o, struct trp_slice bytes, int64_t *deadline) {
    enum trp_way way = put(d, o, bytes);
    if (way == TRP_WAY_FULL && is_late(deadline)) {
        trp_direct_leave(d, o->to);
        return TRP_WAY_SYSTEM;
    }
    if (way == TRP_WAY_FULL)
        d->awaits = o;
    if (is_shut(o)) {
        outlet_over(d, o);
        way = way == TRP_WAY_FULL ? TRP_WAY_SYSTEM : way;
    }
    return way;
}

enum trp_way trp_direct_try(struct trp_direct *d, uint64_t to, unsigned ahead, struct trp_slice bytes, int64_t *deadline) {
    struct trp_near *n = near_of(d, to);
    d->awaits = NULL;
    if (ahead == 0)
        return TRP_WAY_SYSTEM;
    if (n->outlet && goes(d, n, bytes.n)) {
        n->outlet->out.most = ahead;
        return put_or_leave(d, n->outlet, bytes, deadline);
    }
    if (!n->outlet && ++n->plain == WORTH)
        say(d, (struct trp_frame){.type = TRP_FRAME_LANE, .ref = to});
    return TRP_WAY_SYSTEM;
}

bool trp_direct_pack(struct trp_direct *d, uint64_t to, unsigned ahead, troupe_value v) {
    static const struct trp_pack_limits inner = {.depth = TRP_INNER_DEPTH};
    const struct trp_near *n = &d->near[(uint32_t)to % TRP_NEAR];
    struct trp_outlet *o = n->to == to ? n->outlet : NULL;
    size_t most;
    if (!o || !o->open || ahead == 0 || trp_pack_check(v, &inner, &most) != TROUPE_OK)
        return false;
    o->out.most = ahead;
    uint8_t *at = trp_lane_place(&o->out, most);
    if (!at)
        return false;
    d->awaits = NULL;
    trp_lane_publish(&o->out, o->stretch, (size_t)(trp_pack_checked(at, v) - at));
    wake(d, o->door, to);
    if (is_shut(o))
        outlet_over(d, o);
    return true;
}

void trp_direct_meet(struct trp_direct *d, uint64_t to) {
    (void)near_of(d, to);
}

void trp_direct_leave(struct trp_direct *d, uint64_t to) {
    struct trp_near *n = &d->near[(uint32_t)to % TRP_NEAR];
    struct trp_outlet *o = n->to == to ? n->outlet : outlet_find(d, to);
    if (n->to == to && n->plain > 0)
        n->plain = 0;
    if (o)
        outlet_leave(d, o);
}

/* --- inlets --- */

static struct trp_inlet *inlet_find(struct trp_direct *d, uint64_t serial) {
    for (unsigned i = 0; i < d->inlets; i++) {
        if (d->inlet[i].serial == serial)
            return &d->inlet[i];
    }
    return NULL;
}

static bool inlet_new(struct trp_direct *d, const struct trp_frame *f) {
    struct trp_inlet *in = inlet_find(d, 0);
    if (!in && d->inlets < TRP_INLETS)
        in = &d->inlet[d->inlets++];
    if (!in || !reach_memory(d, f))
        return false;
    *in = (struct trp_inlet){.from = f->ref, .serial = f->number, .door = trp_lanes_door(d->lanes, (unsigned)f->op)};
    trp_lane_in_init(&in->in, trp_lanes_at(d->lanes, f->number));
    return true;
}

/* The writer is gone, and all has been received. */
static void inlet_over_if_empty(struct trp_direct *d, struct trp_inlet *in) {
    if (!in->over || !trp_lane_is_empty(&in->in))
        return;
    leave_memory(d, in->serial);
    say(d, (struct trp_frame){.type = TRP_FRAME_LANE_OVER, .number = in->serial});
    in->serial = 0;
}

static struct troupe_msg *copy(struct trp_direct *d, struct trp_inlet *in, struct trp_slice bytes) {
    struct troupe_msg *m = trp_msg_from_wire(&(struct trp_message){.payload = bytes});
    if (!m)
        d->line->out_of_memory();
    m->from = in->from;
    m->to = trp_actor_id(d->actor);
    m->origin.sid = (uint64_t)(in - d->inlet) + 1;
    trp_lane_step(&in->in, bytes);
    return m;
}

static void inlet_read(struct trp_direct *d, struct trp_inlet *in, unsigned most) {
    struct troupe_msg *all = NULL, **tail = &all;
    struct trp_slice bytes;
    uint32_t stretch;
    for (; most > 0 && !in->held && trp_lane_peek(&in->in, &stretch, &bytes); most--) {
        in->held = stretch > in->stretch;
        if (in->held)
            break;
        *tail = copy(d, in, bytes);
        tail = &(*tail)->next;
    }
    *tail = NULL;
    if (all)
        trp_actor_keep(d->actor, all);
}

/* What would come after the end stays where it is, and is the system's to bury. */
static bool is_closing(const struct trp_direct *d) {
    return trp_mailbox_flags(&d->actor->mailbox) & TRP_MAIL_SHUT;
}

static void read_each(struct trp_direct *d, unsigned most) {
    if (is_closing(d))
        return;
    for (unsigned i = 0; i < d->inlets; i++) {
        struct trp_inlet *in = &d->inlet[i];
        if (in->serial && trp_lane_stirs(&in->in))
            inlet_read(d, in, most);
    }
}

void trp_direct_read(struct trp_direct *d) {
    read_each(d, UINT_MAX);
}

void trp_direct_read_some(struct trp_direct *d) {
    read_each(d, trp_mailbox_empty(&d->actor->mailbox) ? TRP_DIRECT_SOME : UINT_MAX);
}

bool trp_direct_received(struct trp_direct *d, const struct troupe_msg *m) {
    if (!m->origin.sid || m->origin.conn)
        return false;
    struct trp_inlet *in = &d->inlet[m->origin.sid - 1];
    trp_lane_received(&in->in, m->payload.n);
    if (in->in.taken - in->in.told >= d->tell && trp_lane_tell(&in->in, false))
        wake(d, in->door, in->from);
    inlet_over_if_empty(d, in);
    return true;
}

/* What can be read now will be, and nobody sleeps before. */
static bool is_drained(const struct trp_direct *d, const struct trp_inlet *in) {
    return in->held || is_closing(d) || !trp_lane_stirs(&in->in);
}

void trp_direct_tell(struct trp_direct *d) {
    for (unsigned i = 0; i < d->inlets; i++) {
        struct trp_inlet *in = &d->inlet[i];
        if (in->serial && trp_lane_tell(&in->in, is_drained(d, in)))
            wake(d, in->door, in->from);
    }
}

/* --- frames --- */

static void over(struct trp_direct *d, uint64_t serial) {
    for (unsigned i = 0; i < d->outlets; i++) {
        if (d->outlet[i].to && d->outlet[i].serial == serial) {
            outlet_over(d, &d->outlet[i]);
            trp_actor_unpark(d->actor);
            return;
        }
    }
    struct trp_inlet *in = inlet_find(d, serial);
    if (!in)
        return;
    in->over = true;
    inlet_over_if_empty(d, in);
}

static void stretch(struct trp_direct *d, const struct trp_frame *f) {
    struct trp_inlet *in = inlet_find(d, f->number);
    if (!in)
        return; /* of a life before this one */
    in->stretch = (uint32_t)f->op;
    in->held = false;
    inlet_read(d, in, UINT_MAX);
}

bool trp_direct_frame(struct trp_direct *d, const struct trp_frame *f) {
    switch (f->type) {
    case TRP_FRAME_LANE:
        return outlet_new(d, f);
    case TRP_FRAME_LANE_IN:
        return inlet_new(d, f);
    case TRP_FRAME_STRETCH:
        stretch(d, f);
        return true;
    case TRP_FRAME_LANE_OVER:
        over(d, f->number);
        return true;
    default:
        return false;
    }
}

/* --- before sleeping --- */

static bool has_room(const struct trp_outlet *o) {
    return atomic_load(&o->out.lane.words->want) == 0;
}

bool trp_direct_has(struct trp_direct *d) {
    for (unsigned i = 0; i < d->inlets; i++) {
        struct trp_inlet *in = &d->inlet[i];
        if (in->serial && !in->held && trp_lane_has(&in->in) && !is_closing(d))
            return true;
    }
    return d->awaits && has_room(d->awaits);
}

bool trp_direct_stirs(const struct trp_direct *d) {
    for (unsigned i = 0; i < d->inlets; i++) {
        const struct trp_inlet *in = &d->inlet[i];
        if (in->serial && !in->held && trp_lane_stirs(&in->in))
            return true;
    }
    return d->awaits && has_room(d->awaits);
}
