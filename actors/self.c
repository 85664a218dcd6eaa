/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The calls of a body. Each that waits has the same shape: look, and if there is nothing, park and look again, until
 * the deadline is over or the actor has been killed. What one waits for is told apart by looking, never by who woke. */
#include "actors/self.h"

#include "actors/actor.h"
#include "actors/copy.h"
#include "actors/coroutine.h"
#include "actors/hop.h"
#include "actors/letters.h"
#include "actors/own.h"
#include "actors/queueing.h"
#include "actors/stage.h"
#include "actors/system.h"

/* A turn: so many calls that do not wait, and then as many as take so long: less than what is worth moving (crew.c). */
enum { CALLS = 128, TURN_US = 15 };

void trp_self_become(troupe_self *self, struct trp_actor *a) {
    self->actor = a;
    self->plain = self->reach == &trp_local_reach && !a->sys->stage && !a->birth->max_messages && !a->mailbox.exact;
}

void trp_self_init(troupe_self *self, struct trp_actor *a, const struct trp_backend *backend, const struct trp_reach *reach) {
    static const troupe_self blank = {.given = {.how = TROUPE_END_NORMAL, .text = "normal"}};
    memcpy(self, &blank, sizeof blank);
    self->worker = a->worker;
    self->backend = backend;
    self->reach = reach;
    self->forks = trp_copy_now();
    trp_self_become(self, a);
    self->whole.left = a->sys->stage ? 0 : CALLS - 1;
    trp_self_refresh(self);
}

troupe_ref troupe_self_ref(const troupe_self *self) {
    return (troupe_ref){trp_actor_id(self->actor)};
}

const char *troupe_self_name(const troupe_self *self) {
    return self->actor->birth->name;
}

troupe_kind troupe_self_kind(const troupe_self *self) {
    return self->actor->birth->kind;
}

/* Is there nothing to be looked after but the message itself? All that troupe_send and troupe_receive otherwise do is then what
 * their short ways do; they are the ones that are called millions of times a second. */
static inline bool is_plain(const troupe_self *self) {
    return self->plain && self->turn.left > 0 && self->forks == trp_copy_now() &&
           !trp_mailbox_looks(&self->actor->mailbox, ~0U);
}

/* --- waiting --- */

static troupe_status wait(troupe_self *self, int64_t deadline, bool (*park)(troupe_self *, int64_t)) {
    if (trp_actor_killed(self->actor))
        return TROUPE_CLOSED;
    trp_self_refresh(self);
    bool in_time = park(self, deadline);
    if (trp_actor_killed(self->actor))
        return TROUPE_CLOSED;
    return in_time ? TROUPE_OK : TROUPE_TIMEOUT;
}

troupe_status trp_self_wait(troupe_self *self, int64_t deadline) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    trp_actor_settle_down(self->actor);
    return wait(self, deadline, self->backend->park);
}

bool trp_self_bind(troupe_self *self) {
    bool roamed = self->actor->roams;
    while (self->actor->roams && !trp_worker_bind(self->worker, self->actor))
        self->backend->yield(self);
    return roamed;
}

void trp_self_roam(troupe_self *self) {
    trp_worker_unbind(self->worker, self->actor);
}

/* A thread does, while its loop has nothing to bring. Of the kinds that are alone with their worker only it listens. */
static bool keeps_nobody(const troupe_self *self) {
    return self->worker->alone && self->backend->listen && trp_worker_is_quiet(self->worker);
}

/* Is its turn not over yet? Whose calls are quick goes on for a while: others hardly wait longer, and what is full of mail gets
 * empty. */
static bool goes_on(troupe_self *self) {
    if (self->actor->sys->stage)
        return trp_stage_goes_on(self->actor->sys->stage);
    if (keeps_nobody(self))
        return true;
    uint32_t now = (uint32_t)(trp_now() / 1000) | 1;
    if (!self->turn.since)
        self->turn.since = now;
    return now - self->turn.since < TURN_US;
}

void trp_self_spend(troupe_self *self) {
    if (self->turn.left > 0) {
        self->turn.left--;
    } else if (goes_on(self)) {
        self->turn.left = self->whole.left;
    } else {
        trp_self_refresh(self);
        self->backend->yield(self);
    }
}

void troupe_yield(troupe_self *self) {
    if (trp_self_is_copy(self))
        return;
    trp_self_refresh(self);
    self->backend->yield(self);
}

troupe_status troupe_sleep(troupe_self *self, int64_t ms) {
    int64_t deadline = trp_deadline(ms);
    troupe_status st = TROUPE_OK;
    while (st == TROUPE_OK)
        st = trp_self_wait(self, deadline);
    return st == TROUPE_TIMEOUT ? TROUPE_OK : st;
}

/* --- receiving --- */

static troupe_status take(troupe_self *self, bool want, struct troupe_msg **out) {
    troupe_status st;
    do
        st = trp_actor_take(self->actor, want, out);
    while (st == TROUPE_OK && self->reach->claim && !self->reach->claim(*out));
    return st;
}

/* What has arrived for this worker may be on its way to this mailbox: look there before saying that there is nothing. */
static troupe_status take_patiently(troupe_self *self, bool waits, struct troupe_msg **out) {
    troupe_status st = take(self, waits && !self->backend->listen, out);
    if (st != TROUPE_EMPTY || waits)
        return st;
    troupe_yield(self);
    return take(self, false, out);
}

static troupe_status receive(troupe_self *self, int64_t timeout_ms, struct troupe_msg **out) {
    int64_t deadline = 0;
    for (;;) {
        if (trp_actor_killed(self->actor))
            return TROUPE_CLOSED;
        if (self->thens > 0)
            trp_futures_run(self);
        troupe_status st = take_patiently(self, timeout_ms != 0, out);
        if (st != TROUPE_EMPTY)
            return st;
        if (trp_queueing_tell_lost(self))
            return TROUPE_NOT_FOUND;
        if (timeout_ms == 0)
            return TROUPE_TIMEOUT;
        if (!deadline)
            deadline = trp_deadline(timeout_ms);
        if (wait(self, deadline, self->backend->listen ? self->backend->listen : self->backend->park) == TROUPE_TIMEOUT)
            timeout_ms = 0; /* one last look */
    }
}

troupe_status trp_self_poll(troupe_self *self, struct troupe_msg **out) {
    if (trp_actor_killed(self->actor))
        return TROUPE_CLOSED;
    troupe_status st = take(self, true, out);
    if (st == TROUPE_OK) {
        trp_self_take_in_hand(self, *out);
        if (self->reach->received)
            self->reach->received(self, *out);
    }
    return st;
}

/* It has received as many as it may: what comes is for its next life. */
static bool is_used_up(troupe_self *self) {
    uint64_t most = self->actor->birth->max_messages;
    if (most && self->received >= most)
        self->used_up = true;
    return self->used_up;
}

bool trp_self_has_news(troupe_self *self) {
    uint64_t most = self->actor->birth->max_messages;
    if (self->reach->receives)
        self->reach->receives(self);
    trp_futures_run(self);
    return trp_actor_killed(self->actor) || (most && self->received >= most) || (self->queueing && self->queueing->lost) ||
           trp_actor_await(self->actor) != TROUPE_EMPTY;
}

/* The next message, in hand; NULL. */
static inline struct troupe_msg *take_plainly(troupe_self *self) {
    struct troupe_msg *m = trp_mailbox_take_small(&self->actor->mailbox);
    if (!m)
        return NULL;
    if (m->to != trp_actor_id(self->actor)) { /* somebody's who had this memory before */
        trp_letters_bury(self->actor->sys, self->actor, m, TROUPE_DIED);
        return NULL;
    }
    self->turn.left--;
    return m;
}

struct troupe_msg *trp_self_take_plainly(troupe_self *self) {
    return is_plain(self) && !self->thens ? take_plainly(self) : NULL;
}

static __attribute__((noinline)) troupe_status receive_slowly(troupe_self *self, int64_t timeout_ms, troupe_msg **out) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    trp_self_spend(self);
    struct troupe_msg *m;
    if (self->reach->receives)
        self->reach->receives(self);
    troupe_status st = is_used_up(self) ? TROUPE_CLOSED : receive(self, timeout_ms, &m);
    if (st == TROUPE_OK) {
        self->received++;
        trp_self_take_in_hand(self, m);
        if (self->reach->received)
            self->reach->received(self, m);
        *out = m;
    } else if (st == TROUPE_CLOSED && self->subs) {
        trp_bus_leave(self); /* now, for the broker: what comes after this is for others */
    }
    return st;
}

/* Waits for mail alone, and for as long as it takes. Not for one that has something else to be told of. */
static __attribute__((noinline)) troupe_status listen_plainly(troupe_self *self, troupe_msg **out) {
    struct troupe_msg *m = NULL;
    trp_self_refresh(self);
    if (self->runner)
        trp_coroutine_await_mail(self);
    else
        (void)self->backend->listen(self, TRP_NEVER);
    if (!trp_mailbox_looks(&self->actor->mailbox, ~0U))
        m = take_plainly(self);
    if (!m)
        return receive_slowly(self, TROUPE_FOREVER, out);
    *out = m;
    return TROUPE_OK;
}

troupe_status troupe_receive(troupe_self *self, int64_t timeout_ms, troupe_msg **out) {
    if (!is_plain(self) || self->thens)
        return receive_slowly(self, timeout_ms, out);
    struct troupe_msg *m = take_plainly(self);
    if (m) {
        *out = m;
        return TROUPE_OK;
    }
    /* Nothing has been fetched: what has come since is found by whoever has it listen. */
    if (!self->actor->mailbox.first && timeout_ms == TROUPE_FOREVER && !self->queueing)
        return listen_plainly(self, out);
    return receive_slowly(self, timeout_ms, out);
}

/* --- sending --- */

/* Anything, to anybody. */
static __attribute__((noinline)) troupe_status send_slowly(troupe_self *self, troupe_ref to, troupe_value v, bool wait) {
    trp_self_spend(self);
    struct troupe_msg *m;
    troupe_status st = trp_self_may(self);
    if (st != TROUPE_OK)
        return st;
    if (wait && self->reach->pack(self, to, v))
        return TROUPE_OK;
    st = trp_msg_from_value(&m, v, (struct trp_slice){0});
    if (st != TROUPE_OK)
        return st;
    m->from = trp_actor_id(self->actor);
    st = self->reach->send(self, to, &m, wait);
    trp_msg_drop(m);
    return st;
}

/* To one that rests where the caller runs. False: nothing has happened. */
static inline bool hand_over(troupe_self *self, struct trp_actor *a, struct troupe_msg *m) {
    if (!trp_worker_rests(self->runner, a))
        return false;
    bool handed = trp_mailbox_hand(&a->mailbox, m);
    trp_worker_rest_ends(self->runner, a, handed);
    return handed;
}

static inline bool post(troupe_self *self, struct trp_actor *a, struct troupe_msg *m) {
    uint64_t wake;
    if (!trp_mailbox_post(&a->mailbox, m, &wake))
        return false;
    if (!wake) {
        if (trp_worker_rests(self->runner, a))
            trp_worker_rest_ends(self->runner, a, true);
    } else if (!(wake & TRP_MAIL_LISTENING) || !trp_worker_push_near(self->runner, a)) {
        trp_actor_mail_wakes(a, wake);
    }
    return true;
}

/* False: nothing has happened. */
static inline bool send_plainly(troupe_self *self, troupe_ref to, troupe_value v) {
    struct trp_actor *a = is_plain(self) ? trp_registry_peek(&self->actor->sys->registry, to.id) : NULL;
    struct troupe_msg *m = a ? trp_msg_small(v) : NULL;
    if (!m)
        return false;
    m->from = trp_actor_id(self->actor);
    m->to = to.id;
    if (!hand_over(self, a, m) && !post(self, a, m)) {
        trp_msg_drop(m);
        return false;
    }
    self->turn.left--;
    return true;
}

troupe_status troupe_send(troupe_self *self, troupe_ref to, troupe_value v) {
    if (send_plainly(self, to, v))
        return TROUPE_OK;
    return send_slowly(self, to, v, true);
}

troupe_status troupe_try_send(troupe_self *self, troupe_ref to, troupe_value v) {
    if (send_plainly(self, to, v))
        return TROUPE_OK;
    return send_slowly(self, to, v, false);
}

troupe_ref troupe_msg_sender(const troupe_msg *m) {
    return (troupe_ref){m->from};
}

/* --- birth and death of others --- */

troupe_status troupe_spawn(troupe_self *self, const troupe_spawn_opts *opts, troupe_body *body, const void *arg,
                           size_t arg_size, troupe_ref *out) {
    struct trp_birth *birth;
    troupe_ref ref;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    troupe_status st = trp_birth_new(&birth, opts, body, arg, arg_size);
    if (st != TROUPE_OK)
        return st;
    trp_self_spend(self);
    st = self->reach->spawn(self, &birth, &ref);
    trp_birth_free(birth);
    if (st == TROUPE_OK && out)
        *out = ref;
    return st;
}

troupe_status troupe_close(troupe_self *self, troupe_ref ref) {
    return trp_self_is_copy(self) ? TROUPE_UNSUPPORTED : self->reach->close(self, ref);
}

troupe_status troupe_kill(troupe_self *self, troupe_ref ref) {
    return trp_self_is_copy(self) ? TROUPE_UNSUPPORTED : self->reach->kill(self, ref);
}

troupe_status troupe_join(troupe_self *self, troupe_ref ref, int64_t timeout_ms, troupe_exit *out) {
    troupe_exit exit;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    if (trp_actor_killed(self->actor))
        return TROUPE_CLOSED;
    if (ref.id == trp_actor_id(self->actor))
        return TROUPE_INVALID;
    troupe_status st = self->reach->join(self, ref, trp_deadline(timeout_ms), &exit);
    if (st == TROUPE_OK && out)
        *out = exit;
    return st;
}

/* --- a whole life --- */

void trp_self_leave(troupe_self *self) {
    trp_futures_leave(self);
    trp_self_empty_hand(self);
    trp_own_leave(self);
    trp_queueing_leave(self);
    trp_bus_leave(self);
    trp_birth_free(self->litter);
    self->litter = NULL;
}

void trp_self_wait_for_restart(troupe_self *self, int64_t ms) {
    int64_t deadline = trp_deadline(ms);
    while (!trp_actor_is_closing(self->actor) && trp_self_wait(self, deadline) == TROUPE_OK)
        ;
}

const troupe_exit *trp_self_live(troupe_self *self) {
    struct trp_actor *a = self->actor;
    int64_t ms;
    bool begun = false;
    while (trp_actor_enter(a)) {
        if (begun)
            self->given = trp_exit_normal();
        begun = true;
        self->received = 0;
        self->used_up = false;
        a->birth->body(self, trp_birth_arg(a->birth));
        trp_self_leave(self);
        if (trp_actor_killed(a))
            self->given = trp_exit_killed();
        if (self->used_up && self->given.how == TROUPE_END_NORMAL && trp_actor_recycle(a))
            continue;
        if (!trp_actor_leave(a, &self->given, &ms))
            return &self->given;
        trp_self_wait_for_restart(self, ms);
    }
    if (!begun)
        self->given = trp_exit_killed();
    return &self->given;
}
