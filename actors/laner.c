/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/laner.h"

#include "actors/letters.h"
#include "actors/process.h"
#include "actors/system.h"

/* So many may lead to one process: it looks at all of them. */
enum { INLETS = 64 };

/* With a reference; NULL: no process actor. */
static struct trp_actor *process(troupe_system *sys, uint64_t id) {
    struct trp_actor *a = trp_registry_get(&sys->registry, id);
    if (a && trp_proxy_of(a))
        return a;
    if (a)
        trp_actor_unref(a);
    return NULL;
}

/* False: it has no body now. */
static bool tell(struct trp_proxy *p, const struct trp_frame *f) {
    pthread_mutex_lock(&p->down);
    bool there = p->channel != NULL;
    if (there && trp_channel_put(p->channel, *f, (struct trp_slice){0}) != TROUPE_OK)
        /* It would wait for ever. */
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
    if (there)
        trp_proxy_flush(p);
    pthread_mutex_unlock(&p->down);
    return there;
}

void trp_lane_inform(troupe_system *sys, uint64_t id, const struct trp_frame *f) {
    struct trp_actor *a = trp_registry_get(&sys->registry, id);
    if (!a)
        return;
    struct trp_proxy *p = trp_proxy_of(a);
    if (p)
        (void)tell(p, f);
    else
        trp_actor_unpark(a);
    trp_actor_unref(a);
}

/* --- giving one out; with the lock of all --- */

/* The lock keeps the door from being another's. */
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

/* NULL: there is none for it. */
static struct trp_lane_record *give_out(const struct trp_laner *l, struct trp_actor *to) {
    struct trp_lanes *all = &l->sys->lanes;
    unsigned door = may_have(to) ? door_of(to->run) : 0;
    if (!l->door || !door || inlets(all, trp_actor_id(to)) >= INLETS)
        return NULL;
    struct trp_lane_record *r = trp_lanes_new(all, l->id, l->door, trp_actor_id(to), door);
    if (!r)
        return NULL;
    struct trp_frame f = {.type = TRP_FRAME_LANE_IN, .ref = l->id, .number = r->serial, .op = l->door};
    if (tell(to->run, &f))
        return r;
    trp_lanes_end(all, r);
    return NULL;
}

struct trp_frame trp_laner_ask(const struct trp_laner *l, uint64_t to) {
    struct trp_lanes *all = &l->sys->lanes;
    struct trp_actor *a = to == l->id ? NULL : process(l->sys, to);
    struct trp_frame answer = {.type = TRP_FRAME_LANE, .ref = to, .status = TROUPE_FULL};
    if (!a)
        return answer;
    pthread_mutex_lock(&all->lock);
    const struct trp_lane_record *r = give_out(l, a);
    if (r) {
        answer.status = TROUPE_OK;
        answer.number = r->serial;
        answer.op = r->doors[1];
    }
    pthread_mutex_unlock(&all->lock);
    trp_actor_unref(a);
    return answer;
}

void trp_laner_ring(troupe_system *sys, uint64_t whom) {
    struct trp_actor *a = trp_registry_get(&sys->registry, whom);
    struct trp_proxy *p = a ? trp_proxy_of(a) : NULL;
    if (p) {
        pthread_mutex_lock(&p->down);
        if (p->channel)
            trp_channel_ring(p->channel);
        pthread_mutex_unlock(&p->down);
    } else if (a) {
        trp_actor_unpark(a);
    }
    if (a)
        trp_actor_unref(a);
}

/* --- what is left in one --- */

struct troupe_msg **trp_lane_drain(struct trp_lane_record *r, bool all, struct troupe_msg **tail) {
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

void trp_lane_deliver(troupe_system *sys, struct trp_actor *to, uint64_t id, struct troupe_msg *m) {
    if (to) {
        trp_actor_restore(to, m);
        return;
    }
    m->next = NULL;
    m->to = id;
    trp_letters_bury(sys, NULL, m, TROUPE_NOT_FOUND);
}

/* Behind what is in its mailbox. */
static void deliver(troupe_system *sys, uint64_t id, struct troupe_msg *all) {
    struct trp_actor *to = all ? trp_registry_get(&sys->registry, id) : NULL;
    for (struct troupe_msg *m = all, *next; m; m = next) {
        next = m->next;
        m->origin.sid = m->origin.token = 0;
        trp_lane_deliver(sys, to, id, m);
    }
    if (to)
        trp_actor_unref(to);
}

/* --- stretches --- */

static struct troupe_msg *mark(const struct trp_laner *l, const struct trp_frame *f) {
    struct troupe_msg *m;
    if (trp_msg_from_value(&m, troupe_int(0), (struct trp_slice){0}) != TROUPE_OK)
        return NULL;
    m->kind = TRP_NOTE_STRETCH;
    m->from = l->id;
    m->origin.sid = f->number;
    m->origin.token = f->op;
    return m;
}

/* From now on it counts as sent, also where the reader is gone. */
static void begin(const struct trp_laner *l, const struct trp_frame *f, struct troupe_msg **left) {
    struct trp_lanes *all = &l->sys->lanes;
    pthread_mutex_lock(&all->lock);
    struct trp_lane_record *r = trp_lanes_find(all, f->number);
    if (r && r->from == l->id) {
        r->stretch = (uint32_t)f->op;
        if (r->blind)
            trp_lane_drain(r, false, left);
    }
    pthread_mutex_unlock(&all->lock);
}

troupe_status trp_laner_stretch(const struct trp_laner *l, const struct trp_frame *f) {
    struct trp_actor *to = process(l->sys, f->ref);
    struct troupe_msg *m = to ? mark(l, f) : NULL, *left = NULL;
    if (!to)
        return TROUPE_OK;
    if (m) {
        trp_actor_deliver(to, m, true);
        begin(l, f, &left);
        deliver(l->sys, f->ref, left);
    }
    trp_actor_unref(to);
    return m ? TROUPE_OK : TROUPE_NO_MEMORY;
}

/* --- the end --- */

/* With the lock of all. */
static void go_mute(const struct trp_laner *l, struct trp_lane_record *r, struct troupe_msg **left) {
    uint64_t to = atomic_load_explicit(&r->to, memory_order_relaxed);
    struct trp_frame f = {.type = TRP_FRAME_LANE_OVER, .number = r->serial};
    r->mute = true;
    if (r->blind) {
        trp_lane_drain(r, true, left);
        trp_lanes_end(&l->sys->lanes, r);
    } else {
        trp_lane_inform(l->sys, to, &f);
    }
}

bool trp_laner_over(const struct trp_laner *l, uint64_t serial) {
    struct trp_lanes *all = &l->sys->lanes;
    struct troupe_msg *left = NULL;
    uint64_t to = 0;
    pthread_mutex_lock(&all->lock);
    struct trp_lane_record *r = trp_lanes_find(all, serial);
    bool mine = r && r->from == l->id;
    if (mine && !r->mute) {
        to = atomic_load_explicit(&r->to, memory_order_relaxed);
        go_mute(l, r, &left);
    }
    pthread_mutex_unlock(&all->lock);
    deliver(l->sys, to, left);
    return mine;
}

/* The next one from *i on that leads from it and is not mute. 0: none. With the lock of all. */
static uint64_t next_of(const struct trp_laner *l, unsigned *i) {
    while (*i < TRP_LANES) {
        const struct trp_lane_record *r = &l->sys->lanes.records[(*i)++];
        if (atomic_load_explicit(&r->to, memory_order_relaxed) && r->from == l->id && !r->mute)
            return r->serial;
    }
    return 0;
}

void trp_laner_gone(const struct trp_laner *l) {
    struct trp_lanes *all = &l->sys->lanes;
    unsigned i = 0;
    uint64_t serial;
    if (!l->door)
        return;
    do {
        pthread_mutex_lock(&all->lock);
        serial = next_of(l, &i);
        pthread_mutex_unlock(&all->lock);
        if (serial)
            (void)trp_laner_over(l, serial);
    } while (serial);
}
