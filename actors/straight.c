/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/straight.h"

#include <stddef.h>

#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

static struct trp_straight *straight_of(struct trp_direct *d) {
    return (struct trp_straight *)(void *)((char *)d - offsetof(struct trp_straight, direct));
}

/* What a process would say to the system is done here, at once. */
static void say(struct trp_direct *d, const struct trp_frame *f) {
    const struct trp_laner *l = &straight_of(d)->laner;
    struct trp_frame answer;
    switch (f->type) {
    case TRP_FRAME_LANE:
        answer = trp_laner_ask(l, f->ref);
        trp_assert(trp_direct_frame(d, &answer));
        break;
    case TRP_FRAME_STRETCH:
        (void)(trp_laner_stretch(l, f) == TROUPE_OK);
        break;
    case TRP_FRAME_LANE_OVER:
        (void)trp_laner_over(l, f->number);
        break;
    case TRP_FRAME_RING:
        trp_laner_ring(l->sys, f->ref);
        break;
    default:
        break;
    }
}

static const struct trp_direct_line line = {.say = say};

/* --- life --- */

static struct trp_straight *straight_new(struct trp_actor *self) {
    struct trp_lanes *lanes = &self->sys->lanes;
    unsigned door = trp_lanes_door_take(lanes);
    struct trp_straight *s = door ? trp_calloc(1, sizeof *s) : NULL;
    if (!s) {
        trp_lanes_door_drop(lanes, door);
        return NULL;
    }
    s->laner = (struct trp_laner){self->sys, trp_actor_id(self), door};
    s->door = trp_lanes_door(lanes, door);
    trp_direct_init(&s->direct, lanes, self, &line);
    return s;
}

struct trp_straight *trp_straight_meet(struct trp_straight **s, struct trp_actor *self, uint64_t to) {
    if (!*s)
        *s = straight_new(self);
    if (*s)
        trp_direct_meet(&(*s)->direct, to);
    return *s;
}

void trp_straight_free(struct trp_straight **straight) {
    struct trp_straight *s = *straight;
    if (!s)
        return;
    *straight = NULL;
    trp_laner_gone(&s->laner);
    trp_lanes_door_drop(&s->laner.sys->lanes, s->laner.door);
    trp_free(s);
}

/* --- sending --- */

struct room {
    struct trp_straight *s;
    troupe_self *self;
    troupe_status st; /* what the sleep said */
};

static bool has_come(void *who) {
    return trp_direct_stirs(&((struct room *)who)->s->direct);
}

/* As in a process: it says that it sleeps, and looks once more. */
static void sleep_until(void *who, int64_t deadline) {
    struct room *r = who;
    atomic_store(r->s->door, TRP_SLEEP_SOCKET);
    if (!trp_direct_has(&r->s->direct))
        r->st = trp_self_wait(r->self, deadline);
    atomic_store(r->s->door, TRP_SLEEP_NOT);
}

static troupe_status wait_for_room(struct trp_straight *s, troupe_self *self, int64_t deadline) {
    static const struct trp_patient how = {has_come, sleep_until};
    struct room room = {s, self, TROUPE_OK};
    s->patience.processors = self->worker->patience.processors;
    trp_patience_wait(&s->patience, &how, &room, deadline);
    return room.st;
}

troupe_status trp_straight_send(struct trp_straight *s, troupe_self *self, uint64_t to, struct trp_slice bytes, bool *sent) {
    const struct trp_standing *standing = &s->laner.sys->standing;
    int64_t deadline = 0;
    troupe_status st;
    *sent = false;
    while ((st = trp_standing_status(standing, to)) == TROUPE_OK) {
        enum trp_way way = trp_direct_try(&s->direct, to, trp_standing_ahead(standing, to), bytes, &deadline);
        *sent = way == TRP_WAY_SENT;
        if (way != TRP_WAY_FULL)
            return TROUPE_OK;
        if (wait_for_room(s, self, deadline) == TROUPE_CLOSED)
            return TROUPE_CLOSED;
    }
    return st;
}
