/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the process of a process actor says to the system and hears from it, frame by frame. A frame is written before the body
 * goes on, whatever the other end does: it always reads. */
#include <sysexits.h>
#include <unistd.h>

#include "actors/child.h"
#include "actors/letters.h"
#include "actors/note.h"

/* --- said --- */

_Noreturn static void orphaned(void) {
    _exit(EX_UNAVAILABLE);
}

_Noreturn void trp_child_out_of_memory(void) {
    if (trp_child.actor.birth->limits.memory)
        atomic_store(&trp_child.words->mark, TRP_MARK_MEMORY);
    _exit(EX_OSERR);
}

void trp_child_relay_letter(const struct troupe_msg *m, troupe_status why) {
    struct trp_frame f = {.type = TRP_FRAME_LETTER, .status = (int16_t)why, .ref = m->from, .op = m->topic.n};
    struct trp_slice topic = {m->topic.p, m->topic.n ? m->topic.n + 1 : 0};
    if (!trp_child_claim(m))
        return;
    if (!trp_standing_heeds(&trp_child.standing)) {
        trp_child.lost++;
        return;
    }
    f.error[0] = m->ask ? '?' : 0;
    if (trp_channel_put_parts(trp_child.channel, f, topic, m->payload) != TROUPE_OK)
        trp_child_out_of_memory();
    trp_channel_flush_all(trp_child.channel);
}

void trp_child_say_lost(void) {
    if (trp_child.lost)
        trp_child_say((struct trp_frame){.type = TRP_FRAME_LETTER, .number = trp_child.lost}, (struct trp_slice){0});
    trp_child.lost = 0;
}

/* Its number lies in its origin, which nothing else of this body's needs. Those before it that have gone another way are
 * counted with it. */
bool trp_child_claim(const struct troupe_msg *m) {
    uint64_t number = m->origin.conn ? 0 : m->origin.token, at;
    if (!trp_child_drops() || number == 0)
        return true;
    trp_child.taken = number;
    at = atomic_load_explicit(&trp_child.words->taken, memory_order_relaxed);
    while (at < number) {
        if (atomic_compare_exchange_weak(&trp_child.words->taken, &at, number))
            return true;
    }
    return false;
}

/* Sequentially consistent on both sides: either the system sees it taken, or it is seen here that the system wants to be told.
 */
void trp_child_tell_taken(bool parks) {
    struct trp_shared_words *w = trp_child.words;
    trp_child.told = trp_child.taken;
    if (!trp_child_drops())
        atomic_store(&w->taken, trp_child.taken);
    uint64_t want = atomic_load(&w->want);
    if (want == 0 || (trp_child.taken < want && !parks))
        return;
    atomic_store(&w->want, 0);
    trp_channel_ring(trp_child.channel);
}

void trp_child_reply(const struct troupe_msg *question, troupe_status st, const struct troupe_msg *answer) {
    struct trp_frame f = {.type = TRP_FRAME_REPLY, .status = (int16_t)st, .ref = question->from, .number = question->ask};
    if (answer)
        memcpy(f.error, answer->error, sizeof f.error);
    trp_child_say(f, answer ? answer->payload : (struct trp_slice){0});
}

/* Dropped by the mailbox before the body has seen it. */
static void question_lost(struct troupe_msg *m, bool nack) {
    (void)nack;
    trp_child_reply(m, TROUPE_FULL, NULL);
}

/* --- heard --- */

/* Dropped by the system while it was on its way: nothing has to be made of it. */
static bool is_dropped(void) {
    /* Relaxed: a hint, see trp_child_claim. */
    return trp_child_drops() && atomic_load_explicit(&trp_child.words->taken, memory_order_relaxed) >= ++trp_child.heard;
}

/* So that it can be claimed. */
static void number(struct troupe_msg *m) {
    if (!trp_child_drops())
        return;
    m->plain = false;
    m->origin.token = trp_child.heard;
}

/* The system keeps the bounds: it has let it in. */
static bool on_message(const struct trp_frame *f, struct trp_slice payload) {
    struct trp_slice topic = {payload.p, f->op};
    if (f->op >= payload.n)
        return false;
    if (is_dropped())
        return true;
    if (f->op > 0)
        payload = (struct trp_slice){payload.p + f->op + 1, payload.n - f->op - 1};
    struct troupe_msg *m = trp_channel_message(trp_child.channel, topic, payload);
    if (!m)
        trp_child_out_of_memory();
    m->from = f->ref;
    m->ask = f->number;
    if (m->ask)
        m->origin.settle = question_lost;
    number(m);
    trp_actor_deliver(&trp_child.actor, m, true);
    return true;
}

static bool on_note(const struct trp_frame *f, struct trp_slice body) {
    troupe_down down;
    if (body.n != sizeof down || (f->number != TRP_NOTE_DOWN && f->number != TRP_NOTE_EXIT))
        return false;
    struct troupe_msg *note = trp_note_new((enum trp_note_kind)f->number);
    if (!note)
        trp_child_out_of_memory();
    memcpy(&down, body.p, sizeof down);
    trp_note_write(note, &down);
    trp_actor_tell(&trp_child.actor, note);
    return true;
}

static struct troupe_msg *answer_of(const struct trp_frame *f, struct trp_slice payload) {
    struct troupe_msg *m = trp_channel_message(trp_child.channel, (struct trp_slice){0}, payload);
    if (m) {
        m->from = f->ref;
        memcpy(m->error, f->error, sizeof m->error);
    }
    return m;
}

/* What comes with an OK. */
static bool result_body(struct trp_child_call *c, const struct trp_frame *f, struct trp_slice body) {
    if (c->type == TRP_FRAME_JOIN) {
        if (body.n != sizeof c->exit)
            return false;
        memcpy(&c->exit, body.p, sizeof c->exit);
    } else if (c->type == TRP_FRAME_ASK) {
        c->answer = answer_of(f, body);
        c->st = c->answer ? TROUPE_OK : TROUPE_NO_MEMORY;
    }
    return true;
}

/* Of a question whose body did not wait. */
static void on_answer(const struct trp_frame *f, struct trp_slice body) {
    struct trp_waits *asks = &trp_child.actor.asks;
    struct trp_ask *ask = trp_ask_find(asks, f->op);
    if (!ask)
        return; /* given up */
    trp_waits_remove(asks, &ask->wait);
    ask->wait.st = (troupe_status)f->status;
    if (ask->wait.st == TROUPE_OK && !(ask->answer = answer_of(f, body)))
        ask->wait.st = TROUPE_NO_MEMORY;
    atomic_store_explicit(&ask->wait.done, true, memory_order_relaxed); /* there is one thread */
    trp_actor_unpark(&trp_child.actor);
}

static bool on_result(const struct trp_frame *f, struct trp_slice body) {
    struct trp_child_call *c = &trp_child.call;
    if (f->op != c->op || c->done) {
        on_answer(f, body);
        return true;
    }
    c->st = (troupe_status)f->status;
    c->ref = f->ref;
    if (c->st == TROUPE_OK && !result_body(c, f, body))
        return false;
    c->done = true;
    trp_actor_unpark(&trp_child.actor);
    return true;
}

static bool on_frame(void *user, const struct trp_frame *f, struct trp_slice body) {
    (void)user;
    switch (f->type) {
    case TRP_FRAME_MSG:
        return on_message(f, body);
    case TRP_FRAME_NOTE:
        return on_note(f, body);
    case TRP_FRAME_RESULT:
        return on_result(f, body);
    case TRP_FRAME_CLOSE:
        return trp_actor_close(&trp_child.actor) == TROUPE_OK;
    default:
        return trp_direct_frame(&trp_child.direct, f);
    }
}

static void on_broken(void *user) {
    (void)user;
    if (trp_channel_why(trp_child.channel) == TROUPE_NO_MEMORY)
        trp_child_out_of_memory();
    orphaned();
}

/* What is there is read when the loop's turn is over. */
static void on_rung(void *user) {
    (void)user;
}

/* What others had sent straight to here before they did what a frame tells of, comes before it. */
static void before_frames(void *user) {
    (void)user;
    trp_direct_read(&trp_child.direct);
}

const struct trp_channel_handler trp_child_handler = {
    .frame = on_frame, .broken = on_broken, .rung = on_rung, .before = before_frames};

void trp_child_read(void) {
    trp_channel_read(trp_child.channel);
    trp_direct_read_some(&trp_child.direct);
}
