/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a body in another process asks of this system: to send, ask, join and so on. The steward does it on the body's
 * behalf and never waits: what a local body would park for is an errand (errand.h), named by the number of the call. A send may
 * want no result (op 0).
 *
 *     frame --> call done at once, or an errand --> RESULT
 *                    `-- CANCEL, or the body's end: given up */
#include "actors/process.h"
#include "actors/system.h"

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

/* AGAIN: it has been given up. What is done already has a result, which is on its way to the body, or is about to be: a
 * time-out there never loses what has happened here. */
static void errand_done(struct trp_errands *all, uint64_t op, troupe_status st, const struct troupe_msg *answer,
                        const troupe_exit *exit) {
    struct trp_proxy *p = all->runner->run;
    if (answer)
        result_answer(p, op, answer);
    else if (exit)
        result_exit(p, op, exit);
    else
        result_status(p, op, st);
}

void trp_far_init(struct trp_proxy *p) {
    trp_errands_init(&p->errands, p->actor, errand_done);
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

/* Whoever has a thread of his own may listen to the body himself. He may be found, by a name, before he has his thread. */
static void introduce(struct trp_proxy *p, struct trp_actor *to) {
    /* Relaxed: a hint. */
    if (to->backend == &trp_thread_backend && trp_actor_lives(to) > 0)
        atomic_store_explicit(&to->worker->nap.peer, trp_actor_id(p->actor), memory_order_relaxed);
}

/* What the body was told is not true any more, if the receiver has ended since: a dead letter. */
static void arrive_or_bury(struct trp_proxy *p, struct trp_actor *to, struct troupe_msg *m) {
    struct trp_send send = {.msg = m};
    m->next = NULL;
    troupe_status st = to ? arrive(p, to, &send) : TROUPE_NOT_FOUND;
    if (st == TROUPE_OK)
        return;
    m->to = p->sheaf_to;
    m->next = NULL;
    trp_letters_bury(p->actor->sys, to, m, st);
}

static void accepted(struct trp_proxy *p, unsigned count) {
    p->accepted += count;
    /* Relaxed: a number, behind which nothing is to be seen. */
    atomic_store_explicit(&trp_channel_words(p->channel)->accepted, p->accepted, memory_order_relaxed);
}

void trp_far_arrive(struct trp_proxy *p) {
    unsigned count = p->sheaf.count;
    if (count == 0)
        return;
    struct trp_actor *to = trp_registry_get(&p->actor->sys->registry, p->sheaf_to);
    if (!to || !trp_sheaf_send(&p->sheaf, to)) {
        for (struct troupe_msg *m = trp_sheaf_undo(&p->sheaf), *next; m; m = next) {
            next = m->next;
            arrive_or_bury(p, to, m);
        }
    }
    if (to) {
        introduce(p, to);
        trp_actor_unref(to);
    }
    accepted(p, count);
}

static void call_send_ahead(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    struct troupe_msg *m = message(p, body);
    if (p->sheaf_to != f->ref || p->sheaf.count == TRP_SHEAF_MOST)
        trp_far_arrive(p);
    p->sheaf_to = f->ref;
    if (m) {
        m->to = f->ref;
        trp_sheaf_add(&p->sheaf, m);
        return;
    }
    trp_letters_count(p->actor, 1); /* no memory */
    accepted(p, 1);
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

bool trp_far_call(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    if (trp_far_is_ahead(f)) {
        call_send_ahead(p, f, body);
        return true;
    }
    switch (f->type) {
    case TRP_FRAME_SEND:
    case TRP_FRAME_TRY_SEND:
        trp_errand_send(&p->errands, f->ref, message(p, body), f->type == TRP_FRAME_SEND, f->op);
        return true;
    case TRP_FRAME_ASK:
        trp_errand_ask(&p->errands, f->ref, message(p, body), f->op);
        return true;
    case TRP_FRAME_JOIN:
        (void)trp_errand_join(&p->errands, f->ref, f->op);
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
        trp_errand_cancel(&p->errands, f->op);
        return true;
    default:
        return false;
    }
}
