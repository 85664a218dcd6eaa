/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How a body reaches the actors of its own system: it looks them up and acts on them itself, on its own thread. No
 * message passes a third thread. */
#include "actors/self.h"
#include "actors/straight.h"
#include "actors/system.h"
#include "transports/assert.h"

/* Waits until the operation, which hangs on `list` of `on`, is done; or takes it back. */
static troupe_status await(troupe_self *self, struct trp_actor *on, struct trp_waits *list, struct trp_wait *wait,
                           int64_t deadline) {
    troupe_status st = TROUPE_OK;
    while (!trp_wait_done(wait) && st == TROUPE_OK)
        st = trp_self_wait(self, deadline);
    if (!trp_wait_done(wait) && trp_wait_withdraw(on, list, wait))
        return st;
    /* Whoever has taken it off the list sets done before it drops the lock, so it is done. */
    return wait->st;
}

static troupe_status post_into(troupe_self *self, struct trp_actor *to, struct troupe_msg **m, int64_t deadline, bool wait) {
    struct trp_send send = {.wait = {.who = self->actor, .role = TRP_WAIT_SEND}, .msg = *m};
    troupe_status st = trp_actor_send(to, &send, wait);
    if (st == TROUPE_AGAIN)
        st = await(self, to, &to->mailbox.parked, &send.wait, deadline);
    *m = send.msg;
    return st;
}

/* By a lane, where there is one. True: *st says what became of it. */
static bool send_straight(troupe_self *self, uint64_t to, struct troupe_msg **m, troupe_status *st) {
    bool sent;
    *st = trp_straight_send(self->worker->straight, self, to, (*m)->payload, &sent);
    if (sent) {
        trp_msg_drop(*m);
        *m = NULL;
    }
    return sent || *st != TROUPE_OK;
}

/* From a thread: where it will listen for what that says, and how plain sends may go. */
static bool reach_process(troupe_self *self, uint64_t to, struct troupe_msg **m, bool plain, troupe_status *st) {
    struct trp_worker *w = self->worker;
    /* Relaxed: a hint. */
    atomic_store_explicit(&w->nap.peer, to, memory_order_relaxed);
    return plain && trp_straight_meet(&w->straight, self->actor, to) && send_straight(self, to, m, st);
}

/* What the short way does not take: a full mailbox or a closed one, a large message, a process. */
static troupe_status post_slowly(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline, bool wait,
                                 bool plain) {
    struct trp_actor *a = trp_registry_get(&self->actor->sys->registry, to.id);
    troupe_status st;
    if (!a)
        return TROUPE_NOT_FOUND;
    bool far = self->worker->alone && a->backend == &trp_process_backend;
    if (!far || !reach_process(self, to.id, m, plain, &st))
        st = post_into(self, a, m, deadline, wait);
    trp_actor_unref(a);
    return st;
}

static troupe_status post(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline, bool wait, bool plain) {
    struct trp_actor *a = trp_registry_peek(&self->actor->sys->registry, to.id);
    if (!a)
        return TROUPE_NOT_FOUND;
    if (!trp_actor_post(a, to.id, *m))
        return post_slowly(self, to, m, deadline, wait, plain);
    *m = NULL;
    return TROUPE_OK;
}

static troupe_status local_send(troupe_self *self, troupe_ref to, struct troupe_msg **m, bool wait) {
    struct trp_straight *s = self->worker->straight;
    troupe_status st;
    if (s && wait && trp_direct_knows(&s->direct, to.id)) {
        /* Relaxed: a hint. */
        atomic_store_explicit(&self->worker->nap.peer, to.id, memory_order_relaxed);
        if (send_straight(self, to.id, m, &st))
            return st;
        return post(self, to, m, TRP_NEVER, true, false);
    }
    if (!wait)
        trp_straight_leave(s, to.id);
    return post(self, to, m, TRP_NEVER, wait, wait);
}

static bool local_pack(troupe_self *self, troupe_ref to, troupe_value v) {
    struct trp_straight *s = self->worker->straight;
    if (!s || !trp_direct_pack(&s->direct, to.id, trp_standing_ahead(&self->actor->sys->standing, to.id), v))
        return false;
    /* Relaxed: a hint. */
    atomic_store_explicit(&self->worker->nap.peer, to.id, memory_order_relaxed);
    return true;
}

static troupe_status local_question(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline,
                                    struct trp_ask *ask) {
    struct trp_actor *me = self->actor;
    trp_straight_leave(self->worker->straight, to.id);
    ask->number = ++self->asked;
    trp_question_make(*m, me, ask->number);
    trp_ask_begin(me, ask);
    troupe_status st = post(self, to, m, deadline, true, false);
    if (st != TROUPE_OK) {
        /* Nobody has seen it, so nobody can have answered. */
        trp_assert(trp_wait_withdraw(me, &me->asks, &ask->wait));
        trp_question_unmake(*m);
    }
    return st;
}

static bool local_withdraw(troupe_self *self, struct trp_ask *ask) {
    return trp_wait_withdraw(self->actor, &self->actor->asks, &ask->wait);
}

static troupe_status local_ask(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline,
                               struct troupe_msg **answer) {
    struct trp_actor *me = self->actor;
    struct trp_ask ask = {.wait = {.who = me, .role = TRP_WAIT_ASK}};
    troupe_status st = local_question(self, to, m, deadline, &ask);
    if (st == TROUPE_OK)
        st = await(self, me, &me->asks, &ask.wait, deadline);
    if (st == TROUPE_OK)
        *answer = ask.answer;
    return st;
}

static troupe_status local_reply(troupe_self *self, struct troupe_msg *m, struct troupe_msg **answer) {
    (void)self;
    return trp_question_answer(m, TROUPE_OK, answer);
}

static troupe_status local_spawn(troupe_self *self, struct trp_birth **birth, troupe_ref *out) {
    (*birth)->parent = trp_actor_id(self->actor);
    return trp_system_spawn(self->actor->sys, birth, out);
}

static troupe_status shut(troupe_self *self, troupe_ref ref, troupe_status (*how)(struct trp_actor *)) {
    struct trp_actor *a = trp_registry_get(&self->actor->sys->registry, ref.id);
    if (!a)
        return TROUPE_NOT_FOUND;
    troupe_status st = how(a);
    trp_actor_unref(a);
    return st;
}

static troupe_status local_close(troupe_self *self, troupe_ref ref) {
    return shut(self, ref, trp_actor_close);
}

static troupe_status local_kill(troupe_self *self, troupe_ref ref) {
    return shut(self, ref, trp_actor_kill);
}

static troupe_status local_join(troupe_self *self, troupe_ref ref, int64_t deadline, troupe_exit *out) {
    troupe_system *sys = self->actor->sys;
    struct trp_actor *a = trp_registry_get(&sys->registry, ref.id);
    struct trp_join join = {.wait = {.who = self->actor, .role = TRP_WAIT_JOIN}};
    troupe_status st = a ? trp_actor_join(a, &join) : TROUPE_OK;
    if (st == TROUPE_AGAIN) {
        st = await(self, a, &a->joins, &join.wait, deadline);
        *out = join.exit;
    } else if (!trp_ends_find(&sys->ends, ref.id, out)) {
        st = TROUPE_NOT_FOUND;
    }
    if (a)
        trp_actor_unref(a);
    return st;
}

static troupe_status local_tie(troupe_self *self, enum trp_tie what, uint64_t id, const char *name, uint64_t *out) {
    return trp_tie(self->actor, what, id, name, out);
}

static troupe_status local_send_after(troupe_self *self, int64_t ms, troupe_ref to, struct troupe_msg **m, uint64_t *id) {
    return trp_alarm_set(&self->actor->sys->alarms, ms, to.id, m, id);
}

static troupe_status local_cancel(troupe_self *self, uint64_t id) {
    return trp_alarm_cancel(&self->actor->sys->alarms, id);
}

const struct trp_reach trp_local_reach = {
    .send = local_send,
    .pack = local_pack,
    .ask = local_ask,
    .question = local_question,
    .withdraw = local_withdraw,
    .reply = local_reply,
    .spawn = local_spawn,
    .close = local_close,
    .kill = local_kill,
    .join = local_join,
    .tie = local_tie,
    .send_after = local_send_after,
    .cancel = local_cancel,
    .settle = trp_question_settle,
};
