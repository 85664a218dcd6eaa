/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a body in another process asks of this system: to send, ask, join and so on. The steward does it on the body's
 * behalf and never waits: what a local body would park for becomes an operation in a struct trp_far, which comes back
 * by the proxy's list of finished ones when it is done. A send may want no result (op 0).
 *
 *     frame --> call under way (1 or 2 operations pending) --> finished --> RESULT, free
 *                    `-- CANCEL, or the body's end: withdrawn, free; what is finished already is freed when it comes
 *
 * A question has two operations: the send, which may wait for room, and the answer. */
#include <stddef.h>

#include "actors/process.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

struct trp_far {
    struct trp_far *next, **link; /* of the proxy's calls; link NULL: nobody wants its result */
    struct trp_proxy *proxy;
    uint64_t op;
    struct trp_actor *on; /* whom the send or the join hangs on; a reference */
    struct trp_send send;
    struct trp_ask ask;
    struct trp_join join;
    unsigned pending; /* operations that hang somewhere, or are finished and not looked at */
    bool asks;
};

/* --- results --- */

static void result(struct trp_proxy *p, struct trp_frame f, struct trp_slice body) {
    troupe_status st = TROUPE_OK;
    f.type = TRP_FRAME_RESULT;
    pthread_mutex_lock(&p->down);
    if (p->channel && (st = trp_channel_put(p->channel, f, body)) == TROUPE_OK)
        trp_proxy_flush(p);
    pthread_mutex_unlock(&p->down);
    if (st != TROUPE_OK)
        /* It would wait for ever. */
        trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

static void result_status(struct trp_proxy *p, uint64_t op, troupe_status st) {
    result(p, (struct trp_frame){.op = op, .status = (int16_t)st}, (struct trp_slice){0});
}

static void result_answer(struct trp_proxy *p, uint64_t op, const struct troupe_msg *answer) {
    struct trp_frame f = {.op = op, .status = TROUPE_OK, .ref = answer->from};
    memcpy(f.error, answer->error, sizeof f.error);
    result(p, f, answer->payload);
}

static void result_exit(struct trp_proxy *p, uint64_t op, const troupe_exit *exit) {
    result(p, (struct trp_frame){.op = op, .status = TROUPE_OK}, (struct trp_slice){(const uint8_t *)exit, sizeof *exit});
}

/* --- calls under way --- */

static void wait_init(struct trp_wait *wait, struct trp_actor *who, enum trp_wait_role role) {
    wait->who = who;
    wait->role = role;
    wait->finish = trp_wait_file;
}

static struct trp_far *far_new(struct trp_proxy *p, uint64_t op, struct trp_actor *on) {
    struct trp_far *far = trp_calloc(1, sizeof *far);
    if (!far)
        return NULL;
    far->proxy = p;
    far->op = op;
    far->on = trp_actor_ref(on);
    wait_init(&far->send.wait, p->actor, TRP_WAIT_SEND);
    wait_init(&far->ask.wait, p->actor, TRP_WAIT_ASK);
    wait_init(&far->join.wait, p->actor, TRP_WAIT_JOIN);
    far->next = p->calls;
    far->link = &p->calls;
    if (far->next)
        far->next->link = &far->next;
    p->calls = far;
    return far;
}

static void far_unlink(struct trp_far *far) {
    if (!far->link)
        return;
    *far->link = far->next;
    if (far->next)
        far->next->link = far->link;
    far->link = NULL;
}

static void far_free(struct trp_far *far) {
    far_unlink(far);
    if (far->send.msg && far->send.msg->owner)
        trp_question_unmake(far->send.msg);
    trp_msg_drop(far->send.msg);
    trp_msg_drop(far->ask.answer);
    trp_actor_unref(far->on);
    trp_free(far);
}

static void withdraw(struct trp_far *far, struct trp_actor *on, struct trp_waits *list, struct trp_wait *wait) {
    if (trp_wait_withdraw(on, list, wait))
        far->pending--;
}

/* What cannot be withdrawn is finished, and on its way here. */
static void withdraw_all(struct trp_far *far) {
    struct trp_actor *me = far->proxy->actor;
    withdraw(far, far->on, &far->on->mailbox.parked, &far->send.wait);
    withdraw(far, me, &me->asks, &far->ask.wait);
    withdraw(far, far->on, &far->on->joins, &far->join.wait);
}

/* Nobody wants its result. */
static void far_drop(struct trp_far *far) {
    far_unlink(far);
    withdraw_all(far);
    if (far->pending == 0)
        far_free(far);
}

/* --- what is finished --- */

static void send_finished(struct trp_far *far) {
    troupe_status st = far->send.wait.st;
    if (far->asks && st == TROUPE_OK) {
        if (far->pending > 0)
            return;        /* now the answer is waited for */
        st = TROUPE_AGAIN; /* cancelled meanwhile */
    }
    if (far->link)
        result_status(far->proxy, far->op, st);
    far_drop(far);
}

static void ask_finished(struct trp_far *far) {
    if (far->link && far->ask.wait.st == TROUPE_OK)
        result_answer(far->proxy, far->op, far->ask.answer);
    else if (far->link)
        result_status(far->proxy, far->op, far->ask.wait.st);
    far_drop(far);
}

static void join_finished(struct trp_far *far) {
    if (far->link)
        result_exit(far->proxy, far->op, &far->join.exit);
    far_drop(far);
}

#define FAR_OF(wait, member) ((struct trp_far *)(void *)((char *)(wait)-offsetof(struct trp_far, member)))

static void wait_finished(struct trp_wait *wait) {
    struct trp_far *far;
    switch (wait->role) {
    case TRP_WAIT_SEND:
        far = FAR_OF(wait, send.wait);
        far->pending--;
        send_finished(far);
        break;
    case TRP_WAIT_ASK:
        far = FAR_OF(wait, ask.wait);
        far->pending--;
        ask_finished(far);
        break;
    case TRP_WAIT_JOIN:
        far = FAR_OF(wait, join.wait);
        far->pending--;
        join_finished(far);
        break;
    }
}

void trp_far_finish(struct trp_proxy *p) {
    struct trp_wait *first = trp_actor_finished(p->actor);
    while (first) {
        struct trp_wait *next = first->next;
        first->next = NULL;
        wait_finished(first);
        first = next;
    }
}

void trp_far_abandon(struct trp_proxy *p) {
    while (p->calls)
        far_drop(p->calls);
    /* What could not be withdrawn had been pushed before its lock was dropped: it is all here. */
    trp_far_finish(p);
}

/* --- the calls --- */

static struct trp_actor *whom(struct trp_proxy *p, const struct trp_frame *f) {
    return trp_registry_get(&p->actor->sys->registry, f->ref);
}

static struct troupe_msg *message(struct trp_proxy *p, struct trp_slice payload) {
    struct troupe_msg *m = trp_channel_message(p->channel, (struct trp_slice){0}, payload);
    if (m)
        m->from = trp_actor_id(p->actor);
    return m;
}

/* Waits for room; takes the message. */
static void send_later(struct trp_proxy *p, uint64_t op, struct trp_actor *to, struct troupe_msg *m) {
    struct trp_far *far = far_new(p, op, to);
    if (!far) {
        trp_msg_drop(m);
        result_status(p, op, TROUPE_NO_MEMORY);
        return;
    }
    far->send.msg = m;
    troupe_status st = trp_actor_send(to, &far->send, true);
    if (st == TROUPE_AGAIN) {
        far->pending = 1;
        return;
    }
    result_status(p, op, st);
    far_free(far);
}

/* A send that nobody waits for. The body has been told that it has arrived, so it has, beyond the bounds if need be: how many
 * there can be is bounded by the body, which waits with the next one. Taken. */
static troupe_status arrive(struct trp_proxy *p, struct trp_actor *to, struct trp_send *send) {
    troupe_status st = trp_actor_send(to, send, false);
    if (st != TROUPE_FULL)
        return st;
    /* Relaxed: a hint. */
    atomic_store_explicit(&trp_channel_words(p->channel)->crowded, trp_actor_id(to), memory_order_relaxed);
    trp_actor_deliver(to, send->msg, true);
    send->msg = NULL;
    return TROUPE_OK;
}

/* Whoever has a thread of his own may listen to the body himself. */
static void introduce(struct trp_proxy *p, struct trp_actor *to) {
    /* Relaxed: a hint. */
    if (to->backend == &trp_thread_backend)
        atomic_store_explicit(&to->worker->nap.peer, trp_actor_id(p->actor), memory_order_relaxed);
}

/* What the body was told is not true any more, if the receiver has ended since: a dead letter. */
static void call_send_ahead(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct trp_actor *to = whom(p, f);
    struct trp_send send = {.msg = message(p, body)};
    troupe_status st = to && send.msg ? arrive(p, to, &send) : TROUPE_NOT_FOUND;
    if (st == TROUPE_OK) {
        introduce(p, to);
    } else if (send.msg) {
        send.msg->to = f->ref;
        send.msg->next = NULL;
        trp_letters_bury(p->actor->sys, to, send.msg, st);
    }
    if (to)
        trp_actor_unref(to);
    /* Relaxed: a number, behind which nothing is to be seen. */
    atomic_store_explicit(&trp_channel_words(p->channel)->accepted, ++p->accepted, memory_order_relaxed);
}

static void call_send(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct trp_actor *to = whom(p, f);
    struct trp_send send = {.msg = to ? message(p, body) : NULL};
    troupe_status st = to ? TROUPE_NO_MEMORY : TROUPE_NOT_FOUND;
    if (send.msg)
        st = trp_actor_send(to, &send, false);
    if (st == TROUPE_FULL && f->type == TRP_FRAME_SEND) {
        send_later(p, f->op, to, send.msg);
    } else {
        trp_msg_drop(send.msg);
        result_status(p, f->op, st);
    }
    if (to)
        trp_actor_unref(to);
}

/* Takes the message. */
static void ask_begin(struct trp_proxy *p, uint64_t op, struct trp_actor *to, struct troupe_msg *m) {
    struct trp_actor *me = p->actor;
    struct trp_far *far = far_new(p, op, to);
    if (!far) {
        trp_msg_drop(m);
        result_status(p, op, TROUPE_NO_MEMORY);
        return;
    }
    far->asks = true;
    far->ask.number = ++p->asked;
    far->send.msg = m;
    trp_question_make(m, me, far->ask.number);
    far->pending = 1;
    trp_ask_begin(me, &far->ask);
    troupe_status st = trp_actor_send(to, &far->send, true);
    if (st == TROUPE_AGAIN)
        far->pending = 2;
    if (st == TROUPE_OK || st == TROUPE_AGAIN)
        return;
    result_status(p, op, st);
    far_drop(far);
}

static void call_ask(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct trp_actor *to = whom(p, f);
    struct troupe_msg *m = to ? message(p, body) : NULL;
    if (m)
        ask_begin(p, f->op, to, m);
    else
        result_status(p, f->op, to ? TROUPE_NO_MEMORY : TROUPE_NOT_FOUND);
    if (to)
        trp_actor_unref(to);
}

static void join_ended(struct trp_proxy *p, const struct trp_frame *f) {
    troupe_exit exit;
    if (trp_ends_find(&p->actor->sys->ends, f->ref, &exit))
        result_exit(p, f->op, &exit);
    else
        result_status(p, f->op, TROUPE_NOT_FOUND);
}

static void call_join(struct trp_proxy *p, const struct trp_frame *f) {
    struct trp_actor *a = whom(p, f);
    struct trp_far *far = a ? far_new(p, f->op, a) : NULL;
    if (a && !far) {
        result_status(p, f->op, TROUPE_NO_MEMORY);
    } else if (far && trp_actor_join(a, &far->join) == TROUPE_AGAIN) {
        far->pending = 1;
    } else {
        join_ended(p, f);
        if (far)
            far_free(far);
    }
    if (a)
        trp_actor_unref(a);
}

static void call_shut(struct trp_proxy *p, const struct trp_frame *f) {
    struct trp_actor *a = whom(p, f);
    troupe_status st = TROUPE_NOT_FOUND;
    if (a) {
        st = f->type == TRP_FRAME_KILL ? trp_actor_kill(a) : trp_actor_close(a);
        trp_actor_unref(a);
    }
    result_status(p, f->op, st);
}

/* The body's address is what it says: it is the same program, and a body may do here what it likes, anyway. */
static bool call_spawn(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct trp_birth given, *birth;
    troupe_ref ref = {0};
    if (body.n < sizeof given)
        return false;
    memcpy(&given, body.p, sizeof given);
    given.name[TRP_NAME_MAX] = 0;
    if (given.arg_size != body.n - sizeof given)
        return false;
    troupe_spawn_opts opts = trp_birth_opts(&given);
    troupe_status st = trp_birth_new(&birth, &opts, given.body, body.p + sizeof given, given.arg_size);
    if (st == TROUPE_OK) {
        birth->parent = trp_actor_id(p->actor);
        birth->supervised = given.supervised;
        birth->restarts = given.restarts;
        st = trp_system_spawn(p->actor->sys, &birth, &ref);
        trp_birth_free(birth);
    }
    result(p, (struct trp_frame){.op = f->op, .status = (int16_t)st, .ref = ref.id}, (struct trp_slice){0});
    return true;
}

/* No more than a name of any length: it is cut here and refused there. */
static void call_tie(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    char name[TROUPE_NAME_MAX + 2] = {0};
    uint64_t out = 0;
    memcpy(name, body.p, body.n < sizeof name ? body.n : sizeof name - 1);
    troupe_status st = trp_tie(p->actor, (enum trp_tie)f->number, f->ref, name, &out);
    result(p, (struct trp_frame){.op = f->op, .status = (int16_t)st, .ref = out}, (struct trp_slice){0});
}

/* From a body's own mailbox. */
static bool call_letter(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct trp_slice topic = {body.p, f->op};
    if (f->number) {
        trp_letters_count(p->actor, f->number);
        return true;
    }
    if (f->op > 0 && f->op >= body.n)
        return false;
    if (f->op > 0)
        body = (struct trp_slice){body.p + f->op + 1, body.n - f->op - 1};
    struct troupe_msg *m = trp_msg_from_wire(&(struct trp_message){.topic = topic, .payload = body});
    if (!m) {
        trp_letters_count(p->actor, 1);
        return true;
    }
    m->from = f->ref;
    m->to = trp_actor_id(p->actor);
    m->ask = f->error[0] != 0;
    trp_letters_bury(p->actor->sys, p->actor, m, (troupe_status)f->status);
    return true;
}

static void call_send_after(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct troupe_msg *m = message(p, body);
    uint64_t id = 0;
    troupe_status st = m ? trp_alarm_set(&p->actor->sys->alarms, (int64_t)f->number, f->ref, &m, &id) : TROUPE_NO_MEMORY;
    trp_msg_drop(m);
    result(p, (struct trp_frame){.op = f->op, .status = (int16_t)st, .ref = id}, (struct trp_slice){0});
}

/* AGAIN: it has been given up. What is done already has a result, which is on its way to the body, or finished and about to
 * be: a time-out there never loses what has happened here. */
static void call_cancel(struct trp_proxy *p, const struct trp_frame *f) {
    struct trp_far *far = p->calls;
    while (far && far->op != f->op)
        far = far->next;
    if (!far)
        return;
    withdraw_all(far);
    if (far->pending > 0)
        return;
    result_status(p, far->op, TROUPE_AGAIN);
    far_free(far);
}

bool trp_far_call(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    switch (f->type) {
    case TRP_FRAME_SEND:
    case TRP_FRAME_TRY_SEND:
        if (f->op == 0)
            call_send_ahead(p, f, body);
        else
            call_send(p, f, body);
        return true;
    case TRP_FRAME_ASK:
        call_ask(p, f, body);
        return true;
    case TRP_FRAME_JOIN:
        call_join(p, f);
        return true;
    case TRP_FRAME_SHUT:
    case TRP_FRAME_KILL:
        call_shut(p, f);
        return true;
    case TRP_FRAME_SPAWN:
        return call_spawn(p, f, body);
    case TRP_FRAME_TIE:
        call_tie(p, f, body);
        return true;
    case TRP_FRAME_LETTER:
        return call_letter(p, f, body);
    case TRP_FRAME_SEND_AFTER:
        call_send_after(p, f, body);
        return true;
    case TRP_FRAME_UNSEND:
        result_status(p, f->op, trp_alarm_cancel(&p->actor->sys->alarms, f->number));
        return true;
    case TRP_FRAME_CANCEL:
        call_cancel(p, f);
        return true;
    default:
        return false;
    }
}
