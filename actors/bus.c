/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a body has to do with the broker. The connection belongs to the worker, and so does everything here: handlers
 * run in a turn of its loop, never while a body runs; bodies park and are unparked like for anything else.
 *
 * What a body says is written at the end of the turn, together with what its neighbours say. A body with a thread of
 * its own has no neighbours, and its turn may end much later, after a long computation: what it says is written at
 * once. */
#include "actors/bus.h"

#include <stdio.h>

#include "actors/queueing.h"
#include "actors/self.h"
#include "actors/system.h"
#include "actors/topics.h"
#include "clients/conn.h"
#include "transports/alloc.h"
#include "transports/log.h"

enum { PENDING_MOST = 1 << 20, LOOK_AGAIN_MS = 1 };

struct trp_bus_wait {
    struct trp_bus_wait *next, **link;
    struct trp_actor *who;
};

/* --- the handler --- */

static void wake_all(struct trp_bus *bus) {
    for (struct trp_bus_wait *w = bus->waits; w; w = w->next)
        trp_actor_unpark(w->who);
}

static void on_up(void *user, struct trp_conn *c) {
    struct trp_bus *bus = user;
    (void)c;
    trp_log(TROUPE_LOG_INFO, "actors.connected", "%s: connected to the broker", bus->worker->name);
    trp_epitaphs_send(bus);
    wake_all(bus);
}

/* A broker that stays away is news once, not at each try. */
static void on_lost(void *user, struct trp_conn *c, troupe_status st, const char *why, bool fatal) {
    struct trp_bus *bus = user;
    if (fatal || !trp_conn_lost_again(c))
        trp_log(fatal ? TROUPE_LOG_ERROR : TROUPE_LOG_WARN, "actors.disconnected", "%s: %s: %s", bus->worker->name,
                troupe_status_name(st), why);
    if (fatal)
        wake_all(bus);
}

static void on_msg(void *user, struct trp_conn *c, void *sub_user, struct troupe_msg *m) {
    struct trp_bus_sub *sub = sub_user;
    (void)user, (void)c;
    if (sub->self)
        trp_actor_deliver(sub->self->actor, m, sub->credited);
    else
        (void)trp_messages_bury(m, TROUPE_CLOSED); /* its actor has left: another may have it */
}

static void sub_free(struct trp_bus_sub *sub) {
    *sub->link = sub->next;
    if (sub->next)
        sub->next->link = sub->link;
    trp_free(sub);
}

/* It was refused, or its queue is gone. That there is no such queue is for its body to say. */
static void sub_lost(struct trp_bus_sub *sub, troupe_status st, const char *why) {
    sub->self->subs--;
    if (sub->queue)
        trp_queueing_lost(sub);
    if (!sub->queue || st != TROUPE_NOT_FOUND)
        trp_log(TROUPE_LOG_ERROR, "actors.refused", "%s may not %s %s: %s", troupe_self_name(sub->self),
                sub->queue ? "consume the queue" : "subscribe to", sub->pattern, why);
}

static void on_subscribed(void *user, struct trp_conn *c, void *sub_user, uint64_t sid, troupe_status st, const char *why) {
    struct trp_bus_sub *sub = sub_user;
    (void)user, (void)c, (void)sid;
    if (sub->receipt) {
        *sub->receipt = (struct trp_bus_receipt){.done = true, .st = st};
        trp_actor_unpark(sub->self->actor);
    }
    if (sub->self && st == TROUPE_OK)
        return;
    if (sub->self)
        sub_lost(sub, st, why);
    sub_free(sub);
}

static void on_gone(void *user) {
    struct trp_bus *bus = user;
    bus->gone = true;
}

static const struct trp_conn_handler handler = {
    .up = on_up, .lost = on_lost, .msg = on_msg, .subscribed = on_subscribed, .gone = on_gone};

/* --- the connection --- */

void trp_bus_init(struct trp_bus *bus, struct trp_worker *w) {
    *bus = (struct trp_bus){.worker = w};
}

void trp_bus_close(struct trp_bus *bus, int64_t flush_ms) {
    if (bus->conn) {
        trp_conn_close(&bus->conn, flush_ms);
        while (!bus->gone)
            trp_loop_once(&bus->worker->loop, TROUPE_FOREVER);
    }
    while (bus->subs)
        sub_free(bus->subs);
    trp_epitaphs_drop(bus);
}

troupe_status trp_bus_dial(struct trp_bus *bus, const char **why) {
    const troupe_system *sys = bus->worker->sys;
    char name[256];
    struct trp_conn_opts opts = {.url = sys->broker, .name = name, .authkey_file = sys->authkey, .keep_trying = true};
    if (bus->conn)
        return TROUPE_OK;
    if (sys->epitaph && trp_epitaph_make(sys->epitaph))
        opts.obituary = sys->epitaph;
    snprintf(name, sizeof name, "%s/%s", sys->name, bus->worker->name);
    return trp_conn_new(&bus->conn, &bus->worker->loop, &opts, &handler, bus, why);
}

static troupe_status bus_open(troupe_self *self) {
    const char *why = "";
    if (self->actor->sys->stage)
        return TROUPE_UNSUPPORTED;
    (void)trp_self_bind(self);
    troupe_status st = trp_bus_dial(&self->worker->bus, &why);
    if (st != TROUPE_OK)
        trp_log(TROUPE_LOG_ERROR, "actors.broker", "%s: %s", troupe_self_name(self), why);
    return st;
}

static void wait_link(struct trp_bus *bus, struct trp_bus_wait *w) {
    w->next = bus->waits;
    w->link = &bus->waits;
    if (w->next)
        w->next->link = &w->next;
    bus->waits = w;
}

static void wait_unlink(struct trp_bus_wait *w) {
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
}

troupe_status trp_bus_up(troupe_self *self, int64_t deadline) {
    troupe_status st = bus_open(self);
    struct trp_bus *bus = &self->worker->bus; /* after that it does not change any more */
    if (st != TROUPE_OK || trp_conn_is_up(bus->conn))
        return st;
    struct trp_bus_wait wait = {.who = self->actor};
    wait_link(bus, &wait);
    while (st == TROUPE_OK && !trp_conn_is_up(bus->conn) && !trp_conn_is_dead(bus->conn))
        st = trp_self_wait(self, deadline);
    wait_unlink(&wait);
    if (trp_conn_is_up(bus->conn))
        return TROUPE_OK;
    return st == TROUPE_CLOSED ? st : TROUPE_DISCONNECTED;
}

/* See the top: who shares its worker leaves it to the turn. */
void trp_bus_push(troupe_self *self) {
    if (self->worker->alone)
        trp_loop_flush(&self->worker->loop);
}

void trp_bus_freed(struct troupe_msg *m, bool nack) {
    struct trp_worker *w = trp_worker_here();
    if (w && w->sys->forks != trp_copy_now())
        return; /* the original has it, too */
    trp_conn_settle(m, nack);
    if (w && w->alone)
        trp_loop_flush(&w->loop);
}

void trp_bus_drain(troupe_self *self) {
    struct trp_bus *bus = &self->worker->bus;
    troupe_status st = TROUPE_OK;
    while (st != TROUPE_CLOSED && trp_conn_is_up(bus->conn) && trp_conn_pending(bus->conn) > PENDING_MOST)
        st = trp_self_wait(self, trp_deadline(LOOK_AGAIN_MS));
}

/* --- subscriptions --- */

static struct trp_bus_sub *sub_new(troupe_self *self, const char *pattern, bool credited) {
    size_t n = strlen(pattern) + 1;
    struct trp_bus_sub *sub = trp_malloc(sizeof *sub + n);
    if (!sub)
        return NULL;
    *sub = (struct trp_bus_sub){.self = self, .credited = credited};
    memcpy(sub->pattern, pattern, n);
    return sub;
}

/* It has been made, or not: then it is freed. Gives st. */
static troupe_status sub_made(troupe_self *self, struct trp_bus_sub *sub, troupe_status st) {
    struct trp_bus *bus = &self->worker->bus;
    if (st != TROUPE_OK) {
        trp_free(sub);
        return st;
    }
    sub->next = bus->subs;
    sub->link = &bus->subs;
    if (sub->next)
        sub->next->link = &sub->next;
    bus->subs = sub;
    self->subs++;
    trp_bus_push(self);
    return TROUPE_OK;
}

troupe_status troupe_subscribe(troupe_self *self, const char *pattern, const troupe_sub_opts *opts) {
    if (!pattern)
        return TROUPE_INVALID;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if (trp_topic_is_local(pattern))
        return trp_topics_subscribe(self, pattern, opts && opts->group ? opts->group : "");
    troupe_status st = bus_open(self);
    if (st != TROUPE_OK)
        return st;
    struct trp_bus_sub *sub = sub_new(self, pattern, opts && opts->credit);
    if (!sub)
        return TROUPE_NO_MEMORY;
    return sub_made(self, sub, trp_conn_subscribe(self->worker->bus.conn, pattern, opts, sub, &sub->sid));
}

troupe_status trp_bus_consume(troupe_self *self, const char *queue, uint32_t credit, struct trp_bus_sub **out) {
    troupe_status st = bus_open(self);
    if (st != TROUPE_OK)
        return st;
    struct trp_bus_sub *sub = sub_new(self, queue, credit > 0);
    if (!sub)
        return TROUPE_NO_MEMORY;
    sub->queue = true;
    *out = sub;
    return sub_made(self, sub, trp_conn_consume(self->worker->bus.conn, trp_slice_str(queue), credit, sub, &sub->sid));
}

static struct trp_bus_sub *sub_find(troupe_self *self, const char *pattern, bool queue) {
    struct trp_bus_sub *sub = self->subs ? self->worker->bus.subs : NULL;
    while (sub && (sub->self != self || sub->queue != queue || (queue && !sub->credited) || strcmp(sub->pattern, pattern) != 0))
        sub = sub->next;
    return sub;
}

struct trp_bus_sub *trp_bus_find(troupe_self *self, const char *queue) {
    return sub_find(self, queue, true);
}

void trp_bus_sub_end(struct trp_bus *bus, struct trp_bus_sub *sub) {
    sub->self->subs--;
    if (sub->queue)
        trp_queueing_ended(sub);
    sub->self = NULL;
    if (trp_conn_unsubscribe(bus->conn, sub->sid) != TROUPE_OK)
        sub_free(sub);
}

troupe_status troupe_unsubscribe(troupe_self *self, const char *pattern) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if (trp_topic_is_local(pattern))
        return trp_topics_unsubscribe(self, pattern);
    struct trp_bus_sub *sub = sub_find(self, pattern, false);
    if (!sub)
        return TROUPE_NOT_FOUND;
    trp_bus_sub_end(&self->worker->bus, sub);
    trp_bus_push(self);
    return TROUPE_OK;
}

void trp_bus_leave(troupe_self *self) {
    struct trp_bus *bus = &self->worker->bus;
    if (self->actor->roams)
        return; /* it has had nothing to do with it */
    for (struct trp_bus_sub *sub = bus->subs, *next; sub && self->subs; sub = next) {
        next = sub->next;
        if (sub->self == self)
            trp_bus_sub_end(bus, sub);
    }
    if (bus->conn)
        trp_bus_push(self);
}

/* --- saying --- */

troupe_status trp_bus_reply(troupe_self *self, troupe_msg *m, const char *code, troupe_value v) {
    struct trp_bus *bus = &self->worker->bus;
    if (!bus->conn)
        return TROUPE_DISCONNECTED;
    troupe_status st = trp_conn_reply(bus->conn, m, code, v);
    if (st == TROUPE_OK)
        trp_bus_push(self);
    return st;
}

troupe_status troupe_publish(troupe_self *self, const char *topic, troupe_value v, int64_t timeout_ms) {
    if (!topic)
        return TROUPE_INVALID;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    if (trp_topic_is_local(topic))
        return trp_topics_publish(self, topic, v);
    trp_self_spend(self);
    st = trp_bus_up(self, trp_deadline(timeout_ms));
    if (st == TROUPE_OK)
        st = trp_conn_publish(self->worker->bus.conn, trp_slice_str(topic), (struct trp_slice){0}, (struct trp_slice){0}, v);
    if (st != TROUPE_OK)
        return st;
    trp_bus_push(self);
    trp_bus_drain(self);
    return TROUPE_OK;
}

static void call_done(struct trp_request *r, troupe_status st, struct troupe_msg *answer, const char *why) {
    struct trp_bus_call *call = (struct trp_bus_call *)r;
    (void)why;
    call->st = st;
    call->answer = answer;
    call->done = true;
    trp_actor_unpark(call->who);
}

struct trp_bus_call trp_bus_call(troupe_self *self) {
    return (struct trp_bus_call){.r.done = call_done, .who = self->actor};
}

troupe_status trp_bus_call_wait(troupe_self *self, struct trp_bus_call *call, int64_t deadline) {
    troupe_status st = TROUPE_OK;
    trp_bus_push(self);
    while (!call->done && st == TROUPE_OK)
        st = trp_self_wait(self, deadline);
    if (call->done)
        return call->st;
    trp_conn_cancel(self->worker->bus.conn, &call->r);
    return st;
}

troupe_status troupe_request(troupe_self *self, const char *topic, troupe_value v, int64_t timeout_ms, troupe_msg **answer) {
    struct trp_bus_call call = trp_bus_call(self);
    int64_t deadline = trp_deadline(timeout_ms);
    if (!topic)
        return TROUPE_INVALID;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    if (trp_topic_is_local(topic))
        return trp_topics_request(self, topic, v, timeout_ms, answer);
    st = trp_bus_up(self, deadline);
    if (st == TROUPE_OK)
        st = trp_conn_request(self->worker->bus.conn, trp_slice_str(topic), (struct trp_slice){0}, v, &call.r);
    if (st == TROUPE_OK)
        st = trp_bus_call_wait(self, &call, deadline);
    if (st == TROUPE_OK)
        *answer = call.answer;
    return st;
}
