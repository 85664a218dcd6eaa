/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the body of a process actor says: frames, read by the steward, or by the thread that waits for it (nap.h). */
#include "actors/process.h"

#include <stddef.h>
#include <string.h>

#include "actors/system.h"

/* --- frames of the body; under `up` --- */

static bool replied(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice body) {
    (void)trp_proxy_settle(p, false); /* it had received the question before it answered */
    struct troupe_msg *q = trp_proxy_question(p, f->ref, f->number), *answer = NULL;
    if (!q)
        return true; /* dropped on the way by the mailbox over there, or answered twice by a body that is confused */
    troupe_status st = (troupe_status)f->status;
    if (st == TROUPE_OK) {
        answer = trp_channel_message(p->channel, (struct trp_slice){0}, body);
        st = answer ? TROUPE_OK : TROUPE_NO_MEMORY;
    }
    if (answer) {
        answer->from = trp_actor_id(p->actor);
        memcpy(answer->error, f->error, sizeof answer->error);
    }
    /* NOT_FOUND: the asker waits no more. */
    (void)(trp_question_answer(q, st, &answer) == TROUPE_OK);
    trp_msg_drop(answer);
    (void)trp_messages_bury(q, TROUPE_OK);
    return true;
}

static bool given(struct trp_proxy *p, const struct trp_frame *f, struct trp_slice text) {
    char s[sizeof p->given.text];
    size_t n = text.n < sizeof s ? text.n : sizeof s - 1;
    memcpy(s, text.p, n);
    s[n] = 0;
    p->given = trp_exit_given((int)f->number, s);
    if (f->status)
        p->given = trp_exit_linked(&p->given);
    return true;
}

static bool on_frame(void *user, const struct trp_frame *f, struct trp_slice body) {
    struct trp_proxy *p = user;
    p->frames++;
    if (!trp_far_is_ahead(f))
        trp_far_arrive(p);
    switch (f->type) {
    case TRP_FRAME_REPLY:
        return replied(p, f, body);
    case TRP_FRAME_GIVEN:
        return given(p, f, body);
    case TRP_FRAME_LANE:
    case TRP_FRAME_STRETCH:
    case TRP_FRAME_LANE_OVER:
    case TRP_FRAME_RING:
        return trp_proxy_lane_frame(p, f);
    default:
        return trp_far_call(p, f, body);
    }
}

static void after_frames(void *user) {
    trp_far_arrive(user);
}

/* The other end is closed: its process has ended or is about to, and the nursery will tell how. One that makes no sense is
 * helped. */
static void on_broken(void *user) {
    struct trp_proxy *p = user;
    trp_nursery_kill(&p->actor->sys->nursery, trp_actor_id(p->actor), p->life);
}

static void on_rung(void *user) {
    struct trp_proxy *p = user;
    atomic_store(&p->rung, true);
    trp_actor_unpark(p->actor);
}

/* The body is to wake the steward from now on. False: there is something to be read first. */
static bool rest(struct trp_proxy *p) {
    /* Somebody sleeps on the word: then it is for him. */
    return trp_channel_sleeps(p->channel) == TRP_SLEEP_FUTEX || trp_channel_sleep(p->channel, TRP_SLEEP_SOCKET);
}

/* While a thread reads a stream, the body wakes nobody, so that it costs no system call: the thread looks again as soon as it
 * has handled what it has read. Should that take longer than a tick, the steward listens again. A stream is many frames at
 * once, or few if the steward is woken more than once a tick, though a thread looks as well. */
enum { TICK_MS = 1, STREAM = 16 };

static bool is_for_thread(struct trp_proxy *p) {
    int64_t now = trp_now();
    bool is = p->looked && now - p->listened < TICK_MS * TRP_NS_PER_MS;
    p->listened = now;
    p->looked = false;
    return is;
}

/* All that the body has to say. */
void trp_proxy_listen(struct trp_proxy *p) {
    bool more = false;
    pthread_mutex_lock(&p->up);
    trp_errands_finish(&p->errands);
    if (p->channel) {
        trp_channel_read(p->channel);
        p->streams = p->streams || is_for_thread(p);
        more = !p->streams && !rest(p);
    }
    pthread_mutex_unlock(&p->up);
    if (more)
        on_rung(p); /* after the others have had their turn */
}

/* --- a thread that listens to the body itself --- */

void trp_proxy_on_tick(struct trp_timer *t) {
    struct trp_proxy *p = (struct trp_proxy *)((char *)t - offsetof(struct trp_proxy, tick));
    pthread_mutex_lock(&p->up);
    p->streams = p->looked;
    p->looked = false;
    pthread_mutex_unlock(&p->up);
    on_rung(p);
}

void trp_proxy_tick(struct trp_proxy *p) {
    pthread_mutex_lock(&p->up);
    bool streams = p->streams;
    pthread_mutex_unlock(&p->up);
    if (streams && !trp_timer_runs(&p->tick))
        trp_timer_start(&p->actor->worker->timers, &p->tick, trp_deadline(TICK_MS));
}

static void unblock(struct trp_proxy *p) {
    if (!atomic_load_explicit(&p->blocked, memory_order_relaxed))
        return;
    trp_proxy_settle_line(p);
    trp_actor_unpark(p->actor);
}

enum trp_hears trp_process_hear(struct trp_proxy *p, struct trp_channel **ch) {
    enum trp_hears hears = TRP_HEARS_NOBODY;
    pthread_mutex_lock(&p->up);
    if (p->channel) {
        *ch = trp_channel_ref(p->channel);
        p->heard = p->frames;
        p->looked = true;
        trp_channel_awake(p->channel);
        trp_channel_read(p->channel);
        hears = p->streams ? TRP_HEARS_ALONE : TRP_HEARS_TOO;
    }
    pthread_mutex_unlock(&p->up);
    if (hears != TRP_HEARS_NOBODY)
        unblock(p);
    return hears;
}

/* Has the body done what it was asked to tell of: received more, or made room in the ring? Sequentially consistent, after it
 * has been said how this side sleeps. */
static bool has_told(struct trp_proxy *p) {
    pthread_mutex_lock(&p->down);
    bool told =
        p->channel && ((p->wants && atomic_load(&trp_channel_words(p->channel)->want) == 0) || trp_channel_roomy(p->channel));
    pthread_mutex_unlock(&p->down);
    return told;
}

bool trp_process_doze(struct trp_proxy *p, struct trp_channel *ch) {
    pthread_mutex_lock(&p->up);
    bool dozes = p->channel == ch && trp_channel_sleep(ch, TRP_SLEEP_FUTEX);
    if (dozes && has_told(p)) {
        trp_channel_awake(ch);
        dozes = false;
    }
    pthread_mutex_unlock(&p->up);
    return dozes;
}

/* True: the steward has to know. Under `up`. */
static bool leave(struct trp_proxy *p) {
    trp_channel_awake(p->channel);
    trp_channel_read(p->channel);
    if (p->streams)
        return false;
    p->streams = p->frames - p->heard >= STREAM;
    p->looked = true;
    return p->streams || !rest(p);
}

void trp_process_leave(struct trp_proxy *p, struct trp_channel *ch) {
    pthread_mutex_lock(&p->up);
    bool tells = p->channel == ch && leave(p);
    pthread_mutex_unlock(&p->up);
    if (tells)
        on_rung(p);
    unblock(p);
}

const struct trp_channel_handler trp_proxy_handler = {
    .frame = on_frame, .broken = on_broken, .after = after_frames, .rung = on_rung};
