/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the body of a process actor does to other actors: a frame, and the body parks until its RESULT comes. Time-outs are kept
 * here; a call given up is cancelled there. A send to an actor that takes mail (standing.h) waits for nothing. */
#include "actors/child.h"
#include "actors/letters.h"
#include "actors/note.h"
#include "transports/pack.h"

static troupe_status call(troupe_self *self, struct trp_frame f, struct trp_slice body, int64_t deadline) {
    trp_child.call = (struct trp_child_call){.op = ++trp_child.ops, .type = f.type};
    f.op = trp_child.call.op;
    trp_child_say(f, body);
    troupe_status st = TROUPE_OK;
    while (!trp_child.call.done && st == TROUPE_OK)
        st = trp_self_wait(self, deadline);
    if (!trp_child.call.done) {
        /* It may have been done in this moment: then its result counts, as it does between threads. */
        trp_child_say((struct trp_frame){.type = TRP_FRAME_CANCEL, .op = f.op}, (struct trp_slice){0});
        while (!trp_child.call.done)
            (void)self->backend->park(self, TRP_NEVER);
    }
    return trp_child.call.st == TROUPE_AGAIN ? st : trp_child.call.st;
}

/* Whether the receiver takes mail is known here, and that it makes senders wait instead of refusing. How many are under way is
 * bounded (one of the large ones, which do not fill the ring). */
static bool is_place_ahead(troupe_ref to, size_t size) {
    unsigned most = size < TRP_PARCEL_TO_SYSTEM ? trp_standing_ahead(&trp_child.standing, to.id) : 1;
    /* Relaxed: a number, behind which nothing is to be seen. */
    return trp_child.ahead - atomic_load_explicit(&trp_child.words->accepted, memory_order_relaxed) < most;
}

static bool is_crowded(troupe_ref to) {
    /* Relaxed: a hint. */
    return atomic_load_explicit(&trp_child.words->crowded, memory_order_relaxed) == to.id;
}

/* May it leave without waiting for its result? The one after one that found no room waits until it has some. */
static bool may_send_ahead(troupe_ref to, size_t size) {
    if (!is_place_ahead(to, size))
        return false;
    if (!is_crowded(to))
        return true;
    atomic_store_explicit(&trp_child.words->crowded, 0, memory_order_relaxed);
    return false;
}

static troupe_status send_by_system(troupe_self *self, troupe_ref to, struct trp_slice bytes, bool wait) {
    struct trp_frame f = {.type = wait ? TRP_FRAME_SEND : TRP_FRAME_TRY_SEND, .ref = to.id};
    if (!wait || !may_send_ahead(to, bytes.n))
        return call(self, f, bytes, TRP_NEVER);
    trp_child.ahead++;
    trp_child_say(f, bytes);
    return TROUPE_OK;
}

/* Straight to its process, if there is a way. *way is what became of that, with OK. */
static troupe_status send_straight(troupe_self *self, troupe_ref to, struct trp_slice bytes, enum trp_way *way) {
    int64_t deadline = 0;
    troupe_status st;
    while ((st = trp_standing_status(&trp_child.standing, to.id)) == TROUPE_OK) {
        *way = trp_direct_try(&trp_child.direct, to.id, trp_standing_ahead(&trp_child.standing, to.id), bytes, &deadline);
        if (*way != TRP_WAY_FULL)
            return TROUPE_OK;
        st = trp_self_wait(self, deadline);
        if (st == TROUPE_CLOSED)
            return st;
    }
    return st;
}

static troupe_status child_send(troupe_self *self, troupe_ref to, struct troupe_msg **m, bool wait) {
    enum trp_way way = TRP_WAY_SYSTEM;
    troupe_status st;
    if (wait) {
        st = send_straight(self, to, (*m)->payload, &way);
    } else {
        st = trp_standing_status(&trp_child.standing, to.id);
        trp_direct_leave(&trp_child.direct, to.id);
    }
    if (st == TROUPE_OK && way == TRP_WAY_SYSTEM)
        st = send_by_system(self, to, (*m)->payload, wait);
    if (st == TROUPE_OK) {
        trp_msg_drop(*m);
        *m = NULL;
    }
    return st;
}

/* The usual case of a send through the system. False: nothing has happened. */
static bool pack_ahead(troupe_ref to, troupe_value v) {
    static const struct trp_pack_limits inner = {.depth = TRP_INNER_DEPTH};
    struct trp_frame f = {.type = TRP_FRAME_SEND, .ref = to.id};
    size_t most;
    if (trp_pack_check(v, &inner, &most) != TROUPE_OK || !is_place_ahead(to, most) || is_crowded(to) ||
        !trp_channel_pack(trp_child.channel, f, v, most))
        return false;
    trp_child.ahead++;
    trp_channel_flush(trp_child.channel);
    return true;
}

static bool child_pack(troupe_self *self, troupe_ref to, troupe_value v) {
    (void)self;
    if (trp_direct_pack(&trp_child.direct, to.id, trp_standing_ahead(&trp_child.standing, to.id), v))
        return true;
    return trp_direct_lacks(&trp_child.direct, to.id) && pack_ahead(to, v);
}

static troupe_status child_ask(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline,
                               struct troupe_msg **answer) {
    trp_direct_leave(&trp_child.direct, to.id);
    troupe_status st = call(self, (struct trp_frame){.type = TRP_FRAME_ASK, .ref = to.id}, (*m)->payload, deadline);
    if (st == TROUPE_OK)
        *answer = trp_child.call.answer;
    return st;
}

static troupe_status child_question(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline,
                                    struct trp_ask *ask) {
    (void)self, (void)deadline;
    trp_direct_leave(&trp_child.direct, to.id);
    ask->number = ++trp_child.ops;
    trp_waits_add(&trp_child.actor.asks, &ask->wait);
    trp_child_say((struct trp_frame){.type = TRP_FRAME_ASK, .ref = to.id, .op = ask->number}, (*m)->payload);
    return TROUPE_OK;
}

static bool child_withdraw(troupe_self *self, struct trp_ask *ask) {
    (void)self;
    if (!ask->wait.prev)
        return false;
    trp_waits_remove(&trp_child.actor.asks, &ask->wait);
    trp_child_say((struct trp_frame){.type = TRP_FRAME_CANCEL, .op = ask->number}, (struct trp_slice){0});
    return true;
}

/* Whether the asker still waits is known over there; the answer is on its way all the same. */
static troupe_status child_reply(troupe_self *self, struct troupe_msg *m, struct troupe_msg **answer) {
    (void)self;
    trp_child_reply(m, TROUPE_OK, *answer);
    m->answered = true;
    trp_msg_drop(*answer);
    *answer = NULL;
    return TROUPE_OK;
}

static void child_settle(struct troupe_msg *m) {
    if (trp_self_is_copy(&trp_child.self))
        return;
    if (m->answered)
        return;
    struct troupe_msg *answer = trp_unanswered();
    trp_child_reply(m, answer ? TROUPE_OK : TROUPE_NO_MEMORY, answer);
    trp_msg_drop(answer);
}

static troupe_status child_spawn(troupe_self *self, struct trp_birth **birth, troupe_ref *out) {
    struct trp_birth *b = *birth;
    struct trp_buf body = {0};
    troupe_status st = trp_buf_put(&body, b, sizeof *b);
    if (st == TROUPE_OK)
        st = trp_buf_put(&body, b->arg, b->arg_size);
    if (st == TROUPE_OK)
        st = call(self, (struct trp_frame){.type = TRP_FRAME_SPAWN}, (struct trp_slice){body.p, body.n}, TRP_NEVER);
    trp_buf_fini(&body);
    if (st == TROUPE_OK) {
        out->id = trp_child.call.ref;
        trp_birth_free(b);
        *birth = NULL;
    }
    return st;
}

static troupe_status child_close(troupe_self *self, troupe_ref ref) {
    return call(self, (struct trp_frame){.type = TRP_FRAME_SHUT, .ref = ref.id}, (struct trp_slice){0}, TRP_NEVER);
}

static troupe_status child_kill(troupe_self *self, troupe_ref ref) {
    return call(self, (struct trp_frame){.type = TRP_FRAME_KILL, .ref = ref.id}, (struct trp_slice){0}, TRP_NEVER);
}

static troupe_status child_join(troupe_self *self, troupe_ref ref, int64_t deadline, troupe_exit *out) {
    troupe_status st = call(self, (struct trp_frame){.type = TRP_FRAME_JOIN, .ref = ref.id}, (struct trp_slice){0}, deadline);
    if (st == TROUPE_OK)
        *out = trp_child.call.exit;
    return st;
}

/* What has been taken back over there may be here already: the notes came before the answer. */
static void withdraw(enum trp_tie what, uint64_t id) {
    enum trp_note_kind kind = what == TRP_TIE_DEMONITOR ? TRP_NOTE_DOWN : TRP_NOTE_EXIT;
    pthread_mutex_lock(&trp_child.actor.lock);
    struct troupe_msg *note = trp_notes_withdraw(&trp_child.actor.mailbox.notes, kind, id);
    pthread_mutex_unlock(&trp_child.actor.lock);
    if (note && what == TRP_TIE_DEMONITOR)
        trp_child.call.st = TROUPE_OK; /* not received after all */
    trp_msg_drop(note);
}

static troupe_status child_tie(troupe_self *self, enum trp_tie what, uint64_t id, const char *name, uint64_t *out) {
    struct trp_frame f = {.type = TRP_FRAME_TIE, .ref = id, .number = what};
    troupe_status st = call(self, f, name ? trp_slice_str(name) : (struct trp_slice){0}, TRP_NEVER);
    if (trp_child.call.done && (what == TRP_TIE_DEMONITOR || what == TRP_TIE_UNLINK)) {
        withdraw(what, id);
        st = trp_child.call.st;
    }
    if (st == TROUPE_OK)
        *out = trp_child.call.ref;
    return st;
}

static troupe_status child_send_after(troupe_self *self, int64_t ms, troupe_ref to, struct troupe_msg **m, uint64_t *id) {
    struct trp_frame f = {.type = TRP_FRAME_SEND_AFTER, .ref = to.id, .number = (uint64_t)ms};
    troupe_status st = call(self, f, (*m)->payload, TRP_NEVER);
    if (st == TROUPE_OK) {
        *id = trp_child.call.ref;
        trp_msg_drop(*m);
        *m = NULL;
    }
    return st;
}

static troupe_status child_cancel(troupe_self *self, uint64_t id) {
    return call(self, (struct trp_frame){.type = TRP_FRAME_UNSEND, .number = id}, (struct trp_slice){0}, TRP_NEVER);
}

static void child_receives(troupe_self *self) {
    (void)self;
    trp_child_note_doing(TRP_DOING_RECEIVE);
}

static bool child_claim(struct troupe_msg *m) {
    if (trp_child_claim(m))
        return true;
    m->origin.settle = NULL; /* a question has been answered over there */
    trp_msg_drop(m);
    return false;
}

/* A letter may be from nobody, too. */
static bool is_brokers(const struct troupe_msg *m) {
    return !m->from && !trp_is_letter(m);
}

/* The broker's messages have not come over the channel, and notes are not counted. */
static void child_received(troupe_self *self, const struct troupe_msg *m) {
    (void)self;
    atomic_store_explicit(&trp_child.words->handled, ++trp_child.handled, memory_order_relaxed);
    trp_child_note_doing(TRP_DOING_MESSAGE);
    if (is_brokers(m) || trp_is_note(m) || trp_direct_received(&trp_child.direct, m))
        return;
    if (!trp_child_drops())
        trp_child.taken++;
    if (trp_child.taken - trp_child.told >= trp_child.tell)
        trp_child_tell_taken(false);
    else if (!trp_child_drops())
        /* Release pairs with the acquire in take_back; before the body sees the message, so that it is never handed out twice.
         */
        atomic_store_explicit(&trp_child.words->taken, trp_child.taken, memory_order_release);
}

const struct trp_reach trp_child_reach = {
    .send = child_send,
    .pack = child_pack,
    .ask = child_ask,
    .question = child_question,
    .withdraw = child_withdraw,
    .reply = child_reply,
    .spawn = child_spawn,
    .close = child_close,
    .kill = child_kill,
    .join = child_join,
    .tie = child_tie,
    .send_after = child_send_after,
    .cancel = child_cancel,
    .settle = child_settle,
    .claim = child_claim,
    .receives = child_receives,
    .received = child_received,
};
