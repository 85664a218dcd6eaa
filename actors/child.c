/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The process of a process actor, from the fork to its end: one thread, one worker, one body, which parks like a
 * thread actor does, and a channel to the system that had it forked. There is no system here but what the body's
 * worker needs of one.
 *
 * What the body does to other actors is a call over the channel: a frame, and the body parks until its RESULT comes.
 * Time-outs are kept here; a call given up is cancelled there. Frames are written before the body goes on, whatever
 * the other end does: it always reads. A send to an actor that takes mail (standing.h) waits for nothing.
 *
 * It talks to the broker itself, by a connection of its own: its death is seen there at once. */
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "actors/channel.h"
#include "actors/cores.h"
#include "actors/direct.h"
#include "actors/limits.h"
#include "actors/overflow.h"
#include "actors/process.h"
#include "actors/self.h"
#include "actors/standing.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/spin.h"

/* Received messages between two looks whether the system waits for their room; less where the mailbox is small. */
enum { TELL = 16 };

/* The call that the body waits for; there is one at a time. */
struct call {
    uint64_t op; /* 0: none */
    unsigned type;
    bool done;
    troupe_status st;
    uint64_t ref;
    troupe_exit exit;
    struct troupe_msg *answer;
};

static struct {
    troupe_system sys;
    struct trp_actor actor;
    troupe_self self;
    struct trp_channel *channel;
    uint64_t ops;
    struct call call;
    struct trp_standing standing;   /* of the actors of the system, not of `sys` here */
    struct trp_shared_words *words; /* the channel's */
    uint64_t taken;                 /* messages of the system that the body has received */
    uint64_t handled;               /* those, and the broker's, and notes */
    uint64_t told;                  /* taken, when it was last looked whether the system waits for that */
    uint64_t tell;                  /* look when it is so many more */
    uint64_t ahead;                 /* sends without a result */
    uint64_t lost;                  /* messages that the system has not been told of */
    struct trp_direct direct;       /* the ways to and from other processes */
} child;

/* --- frames --- */

_Noreturn static void orphaned(void) {
    _exit(EX_UNAVAILABLE);
}

_Noreturn static void out_of_memory(void) {
    if (child.actor.birth->limits.memory)
        atomic_store(&child.words->mark, TRP_MARK_MEMORY);
    _exit(EX_OSERR);
}

static void say(struct trp_frame f, struct trp_slice body) {
    if (trp_channel_put(child.channel, f, body) != TROUPE_OK)
        out_of_memory(); /* no memory for what others wait for: an end is what they can be told */
    trp_channel_flush_all(child.channel);
}

/* The body's own mailbox has no room for it, or what its overflow policy drops. */
static void relay_letter(const struct troupe_msg *m, troupe_status why) {
    struct trp_frame f = {.type = TRP_FRAME_LETTER, .status = (int16_t)why, .ref = m->from, .op = m->topic.n};
    struct trp_slice topic = {m->topic.p, m->topic.n ? m->topic.n + 1 : 0};
    if (!trp_standing_heeds(&child.standing)) {
        child.lost++;
        return;
    }
    f.error[0] = m->ask ? '?' : 0;
    if (trp_channel_put_parts(child.channel, f, topic, m->payload) != TROUPE_OK)
        out_of_memory();
    trp_channel_flush_all(child.channel);
}

/* How many there were that nobody wanted to hear of. */
static void say_lost(void) {
    if (child.lost)
        say((struct trp_frame){.type = TRP_FRAME_LETTER, .number = child.lost}, (struct trp_slice){0});
    child.lost = 0;
}

/* Senders may wait for the room of what has been taken. Sequentially consistent on both sides: either the system sees it taken,
 * or it is seen here that the system wants to be told. */
static void tell_taken(bool parks) {
    struct trp_shared_words *w = child.words;
    child.told = child.taken;
    atomic_store(&w->taken, child.taken);
    uint64_t want = atomic_load(&w->want);
    if (want == 0 || (child.taken < want && !parks))
        return;
    atomic_store(&w->want, 0);
    trp_channel_ring(child.channel);
}

static void reply(const struct troupe_msg *question, troupe_status st, const struct troupe_msg *answer) {
    struct trp_frame f = {.type = TRP_FRAME_REPLY, .status = (int16_t)st, .ref = question->from, .number = question->ask};
    if (answer)
        memcpy(f.error, answer->error, sizeof f.error);
    say(f, answer ? answer->payload : (struct trp_slice){0});
}

/* Dropped by the mailbox before the body has seen it. */
static void question_lost(struct troupe_msg *m, bool nack) {
    (void)nack;
    reply(m, TROUPE_FULL, NULL);
}

static bool on_message(const struct trp_frame *f, struct trp_slice payload) {
    struct trp_slice topic = {payload.p, f->op};
    if (f->op >= payload.n)
        return false;
    if (f->op > 0)
        payload = (struct trp_slice){payload.p + f->op + 1, payload.n - f->op - 1};
    struct troupe_msg *m = trp_channel_message(child.channel, topic, payload);
    if (!m)
        out_of_memory();
    m->from = f->ref;
    m->ask = f->number;
    if (m->ask)
        m->origin.settle = question_lost;
    if (trp_is_letter(m)) {
        if (!trp_actor_offer(&child.actor, m))
            trp_msg_drop(m);
        return true;
    }
    /* The system keeps the bounds, but for dropping the oldest, which may be here. */
    trp_actor_deliver(&child.actor, m, child.actor.birth->overflow != TROUPE_DROP_OLDEST);
    return true;
}

static bool on_note(const struct trp_frame *f, struct trp_slice body) {
    troupe_down down;
    if (body.n != sizeof down || (f->number != TRP_NOTE_DOWN && f->number != TRP_NOTE_EXIT))
        return false;
    struct troupe_msg *note = trp_note_new((enum trp_note_kind)f->number);
    if (!note)
        out_of_memory();
    memcpy(&down, body.p, sizeof down);
    trp_note_write(note, &down);
    trp_actor_tell(&child.actor, note);
    return true;
}

static struct troupe_msg *answer_of(const struct trp_frame *f, struct trp_slice payload) {
    struct troupe_msg *m = trp_channel_message(child.channel, (struct trp_slice){0}, payload);
    if (m) {
        m->from = f->ref;
        memcpy(m->error, f->error, sizeof m->error);
    }
    return m;
}

/* What comes with an OK. */
static bool result_body(struct call *c, const struct trp_frame *f, struct trp_slice body) {
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
    struct trp_waits *asks = &child.actor.asks;
    struct trp_ask *ask = (struct trp_ask *)asks->first;
    while (ask && ask->number != f->op)
        ask = (struct trp_ask *)ask->wait.next;
    if (!ask)
        return; /* given up */
    trp_waits_remove(asks, &ask->wait);
    ask->wait.st = (troupe_status)f->status;
    if (ask->wait.st == TROUPE_OK && !(ask->answer = answer_of(f, body)))
        ask->wait.st = TROUPE_NO_MEMORY;
    atomic_store_explicit(&ask->wait.done, true, memory_order_relaxed); /* there is one thread */
    trp_actor_unpark(&child.actor);
}

static bool on_result(const struct trp_frame *f, struct trp_slice body) {
    struct call *c = &child.call;
    if (f->op != c->op || c->done) {
        on_answer(f, body);
        return true;
    }
    c->st = (troupe_status)f->status;
    c->ref = f->ref;
    if (c->st == TROUPE_OK && !result_body(c, f, body))
        return false;
    c->done = true;
    trp_actor_unpark(&child.actor);
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
        return trp_actor_close(&child.actor) == TROUPE_OK;
    default:
        return trp_direct_frame(&child.direct, f);
    }
}

static void on_broken(void *user) {
    (void)user;
    if (trp_channel_why(child.channel) == TROUPE_NO_MEMORY)
        out_of_memory();
    orphaned();
}

/* What is there is read when the loop's turn is over. */
static void on_rung(void *user) {
    (void)user;
}

/* What others had sent straight to here before they did what a frame tells of, comes before it. */
static void before_frames(void *user) {
    (void)user;
    trp_direct_read(&child.direct);
}

static const struct trp_channel_handler handler = {
    .frame = on_frame, .broken = on_broken, .rung = on_rung, .before = before_frames};

static void read_all(void) {
    trp_channel_read(child.channel);
    trp_direct_read_some(&child.direct);
}

/* --- calls --- */

static troupe_status call(troupe_self *self, struct trp_frame f, struct trp_slice body, int64_t deadline) {
    child.call = (struct call){.op = ++child.ops, .type = f.type};
    f.op = child.call.op;
    say(f, body);
    troupe_status st = TROUPE_OK;
    while (!child.call.done && st == TROUPE_OK)
        st = trp_self_wait(self, deadline);
    if (!child.call.done) {
        /* It may have been done in this moment: then its result counts, as it does between threads. */
        say((struct trp_frame){.type = TRP_FRAME_CANCEL, .op = f.op}, (struct trp_slice){0});
        while (!child.call.done)
            (void)self->backend->park(self, TRP_NEVER);
    }
    return child.call.st == TROUPE_AGAIN ? st : child.call.st;
}

/* May it leave without waiting for its result? Whether the receiver takes mail is known here, and that it makes senders wait
 * instead of refusing. How many are under way is bounded (one of the large ones, which do not fill the ring), and the one after
 * one that found no room waits until it has some. */
static bool may_send_ahead(troupe_ref to, size_t size) {
    unsigned most = size < TRP_PARCEL_TO_SYSTEM ? trp_standing_ahead(&child.standing, to.id) : 1;
    /* Relaxed: a number and a hint, behind which nothing is to be seen. */
    if (child.ahead - atomic_load_explicit(&child.words->accepted, memory_order_relaxed) >= most)
        return false;
    if (atomic_load_explicit(&child.words->crowded, memory_order_relaxed) != to.id)
        return true;
    atomic_store_explicit(&child.words->crowded, 0, memory_order_relaxed);
    return false;
}

static troupe_status send_by_system(troupe_self *self, troupe_ref to, struct trp_slice bytes, bool wait) {
    struct trp_frame f = {.type = wait ? TRP_FRAME_SEND : TRP_FRAME_TRY_SEND, .ref = to.id};
    if (!wait || !may_send_ahead(to, bytes.n))
        return call(self, f, bytes, TRP_NEVER);
    child.ahead++;
    say(f, bytes);
    return TROUPE_OK;
}

/* Straight to its process, if there is a way. *way is what became of that, with OK. */
static troupe_status send_straight(troupe_self *self, troupe_ref to, struct trp_slice bytes, enum trp_way *way) {
    int64_t deadline = 0;
    troupe_status st;
    while ((st = trp_standing_status(&child.standing, to.id)) == TROUPE_OK) {
        *way = trp_direct_try(&child.direct, to.id, trp_standing_ahead(&child.standing, to.id), bytes, &deadline);
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
        st = trp_standing_status(&child.standing, to.id);
        trp_direct_leave(&child.direct, to.id);
    }
    if (st == TROUPE_OK && way == TRP_WAY_SYSTEM)
        st = send_by_system(self, to, (*m)->payload, wait);
    if (st == TROUPE_OK) {
        trp_msg_drop(*m);
        *m = NULL;
    }
    return st;
}

static bool child_pack(troupe_self *self, troupe_ref to, troupe_value v) {
    (void)self;
    return trp_direct_pack(&child.direct, to.id, trp_standing_ahead(&child.standing, to.id), v);
}

static troupe_status child_ask(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline,
                               struct troupe_msg **answer) {
    trp_direct_leave(&child.direct, to.id);
    troupe_status st = call(self, (struct trp_frame){.type = TRP_FRAME_ASK, .ref = to.id}, (*m)->payload, deadline);
    if (st == TROUPE_OK)
        *answer = child.call.answer;
    return st;
}

static troupe_status child_question(troupe_self *self, troupe_ref to, struct troupe_msg **m, int64_t deadline,
                                    struct trp_ask *ask) {
    (void)self, (void)deadline;
    trp_direct_leave(&child.direct, to.id);
    ask->number = ++child.ops;
    trp_waits_add(&child.actor.asks, &ask->wait);
    say((struct trp_frame){.type = TRP_FRAME_ASK, .ref = to.id, .op = ask->number}, (*m)->payload);
    return TROUPE_OK;
}

static bool child_withdraw(troupe_self *self, struct trp_ask *ask) {
    (void)self;
    if (!ask->wait.link)
        return false;
    trp_waits_remove(&child.actor.asks, &ask->wait);
    say((struct trp_frame){.type = TRP_FRAME_CANCEL, .op = ask->number}, (struct trp_slice){0});
    return true;
}

/* Whether the asker still waits is known over there; the answer is on its way all the same. */
static troupe_status child_reply(troupe_self *self, struct troupe_msg *m, struct troupe_msg **answer) {
    (void)self;
    reply(m, TROUPE_OK, *answer);
    m->answered = true;
    trp_msg_drop(*answer);
    *answer = NULL;
    return TROUPE_OK;
}

static void child_settle(struct troupe_msg *m) {
    if (trp_self_is_copy(&child.self))
        return;
    if (m->answered)
        return;
    struct troupe_msg *answer = trp_unanswered();
    reply(m, answer ? TROUPE_OK : TROUPE_NO_MEMORY, answer);
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
        out->id = child.call.ref;
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
        *out = child.call.exit;
    return st;
}

/* What has been taken back over there may be here already: the notes came before the answer. */
static void withdraw(enum trp_tie what, uint64_t id) {
    enum trp_note_kind kind = what == TRP_TIE_DEMONITOR ? TRP_NOTE_DOWN : TRP_NOTE_EXIT;
    pthread_mutex_lock(&child.actor.lock);
    struct troupe_msg *note = trp_notes_withdraw(&child.actor.mailbox.notes, kind, id);
    pthread_mutex_unlock(&child.actor.lock);
    if (note && what == TRP_TIE_DEMONITOR)
        child.call.st = TROUPE_OK; /* not received after all */
    trp_msg_drop(note);
}

static troupe_status child_tie(troupe_self *self, enum trp_tie what, uint64_t id, const char *name, uint64_t *out) {
    struct trp_frame f = {.type = TRP_FRAME_TIE, .ref = id, .number = what};
    troupe_status st = call(self, f, name ? trp_slice_str(name) : (struct trp_slice){0}, TRP_NEVER);
    if (child.call.done && (what == TRP_TIE_DEMONITOR || what == TRP_TIE_UNLINK)) {
        withdraw(what, id);
        st = child.call.st;
    }
    if (st == TROUPE_OK)
        *out = child.call.ref;
    return st;
}

static troupe_status child_send_after(troupe_self *self, int64_t ms, troupe_ref to, struct troupe_msg **m, uint64_t *id) {
    struct trp_frame f = {.type = TRP_FRAME_SEND_AFTER, .ref = to.id, .number = (uint64_t)ms};
    troupe_status st = call(self, f, (*m)->payload, TRP_NEVER);
    if (st == TROUPE_OK) {
        *id = child.call.ref;
        trp_msg_drop(*m);
        *m = NULL;
    }
    return st;
}

static troupe_status child_cancel(troupe_self *self, uint64_t id) {
    return call(self, (struct trp_frame){.type = TRP_FRAME_UNSEND, .number = id}, (struct trp_slice){0}, TRP_NEVER);
}

/* Relaxed: these are looked at by a clock. */
static void note_doing(enum trp_doing doing) {
    atomic_store_explicit(&child.words->doing, doing, memory_order_relaxed);
}

static void child_receives(troupe_self *self) {
    (void)self;
    note_doing(TRP_DOING_RECEIVE);
}

/* The broker's messages have not come over the channel, and notes are not counted. */
static void child_received(troupe_self *self, const struct troupe_msg *m) {
    (void)self;
    atomic_store_explicit(&child.words->handled, ++child.handled, memory_order_relaxed);
    note_doing(TRP_DOING_MESSAGE);
    if (!m->from || trp_is_note(m) || trp_direct_received(&child.direct, m))
        return;
    child.taken++;
    if (child.taken - child.told >= child.tell)
        tell_taken(false);
    else
        /* Release pairs with the acquire in take_back; before the body sees the message, so that it is never handed out twice.
         */
        atomic_store_explicit(&child.words->taken, child.taken, memory_order_release);
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
    .receives = child_receives,
    .received = child_received,
};

/* --- its life --- */

static bool stirs(void) {
    return trp_channel_stirs(child.channel) || trp_direct_stirs(&child.direct);
}

static bool glance(void) {
    for (int i = 0; i < TRP_PATIENCE_LOOKS; i++) {
        if (stirs())
            return true;
        trp_spin_relax();
    }
    return false;
}

/* Looks for something: for a while, if that lately paid; for a moment in any case. In the middle of a stream the next message
 * comes before this one could have fallen asleep, and whoever sends it would have to wake it for nothing. */
static bool look(struct trp_patience *patience, int64_t began) {
    bool looks = trp_patience_looks(patience);
    while (!glance() && looks && trp_now() - began < TRP_PATIENCE_NS)
        ;
    return looks;
}

/* False: there is something to be read. */
static bool lie_down(enum trp_sleep how) {
    if (!trp_channel_sleep(child.channel, how))
        return false;
    if (!trp_direct_has(&child.direct))
        return true;
    trp_channel_awake(child.channel);
    return false;
}

/* With nothing but the channel and lanes to wait for: on its word. */
static void doze(struct trp_patience *patience, int64_t deadline) {
    int64_t began = patience->may_spin ? trp_now() : 0;
    bool looked = patience->may_spin && look(patience, began);
    if (lie_down(TRP_SLEEP_FUTEX)) {
        trp_channel_doze(child.channel, deadline);
        trp_channel_awake(child.channel);
    }
    if (patience->may_spin)
        trp_patience_learn(patience, looked, trp_now() - began);
}

/* Sleeps until something comes; in the loop, which the socket wakes, if others may come than the channel. */
static void sleep_until(struct trp_worker *w, int64_t deadline) {
    if (trp_worker_is_quiet(w)) {
        doze(&w->patience, deadline);
    } else if (lie_down(TRP_SLEEP_SOCKET)) {
        trp_worker_turn(w, deadline);
        trp_channel_awake(child.channel);
    }
}

/* Only this thread wakes the body, from what it reads here or in its loop: it never has to be said that it is parked. */
static bool child_park(troupe_self *self, int64_t deadline) {
    _Atomic unsigned *wake = &self->actor->wake;
    tell_taken(true);
    trp_direct_tell(&child.direct);
    read_all();
    say_lost();
    /* Relaxed, here and below: see above. */
    if (atomic_load_explicit(wake, memory_order_relaxed) != TRP_NOTIFIED) {
        sleep_until(self->worker, deadline);
        read_all();
    }
    if (atomic_exchange_explicit(wake, TRP_AWAKE, memory_order_relaxed) == TRP_NOTIFIED)
        return true;
    return deadline == TRP_NEVER || trp_now() < deadline;
}

static void child_yield(troupe_self *self) {
    read_all();
    if (!trp_worker_is_quiet(self->worker))
        trp_worker_turn(self->worker, 0);
}

static void child_resume(struct trp_actor *a) {
    (void)a;
}

static const struct trp_backend child_backend = {
    .kind = TROUPE_PROCESS, .resume = child_resume, .park = child_park, .yield = child_yield};

/* Nothing that fails here has anybody to be told but by the end of the process. */
static void must(troupe_status st) {
    if (st != TROUPE_OK)
        _exit(EX_OSERR);
}

static void say_of_lane(struct trp_direct *d, const struct trp_frame *f) {
    (void)d;
    say(*f, (struct trp_slice){0});
}

static const struct trp_direct_line line = {.say = say_of_lane, .out_of_memory = out_of_memory, .confined = true};

/* Where it sleeps, so that other processes can wake it. */
static void open_door(const troupe_system *sys, struct trp_shared *shared) {
    unsigned door = shared->words->door;
    if (!door)
        return;
    must(trp_lanes_reach_door(&sys->lanes, door));
    shared->door = trp_lanes_door(&sys->lanes, door);
}

static void child_open(const troupe_system *sys, struct trp_birth *birth, uint64_t id, int channel) {
    struct trp_actor *a = &child.actor;
    struct trp_shared shared;
    int memory = trp_shared_receive(channel);
    must(memory < 0 ? TROUPE_SYSTEM : trp_shared_map(&shared, memory));
    close(memory);
    child.sys.forks = trp_copy_now();
    open_door(sys, &shared);
    child.sys.broker = sys->broker;
    child.sys.authkey = sys->authkey;
    child.sys.name = sys->name;
    child.sys.epitaph = shared.words->epitaph;
    child.standing = sys->standing;
    child.words = shared.words;
    child.sys.letters.relay = relay_letter;
    child.tell = birth->mailbox < TELL ? 1 : TELL;
    trp_actor_init(a);
    trp_actor_begin(a, &child.sys, birth);
    /* Nothing is lent from here. */
    trp_mailbox_init(&a->mailbox, birth->mailbox, birth->mailbox_bytes, birth->overflow, false);
    a->backend = &child_backend;
    atomic_store(&a->id, id);
    atomic_store(&a->refs, 1);
    must(trp_worker_new(&a->worker, &child.sys, birth->name));
    a->worker->alone = true;
    a->worker->patience.may_spin = trp_cores() > 1;
    trp_worker_enter(a->worker);
    must(trp_channel_new(&child.channel, &a->worker->loop, channel, shared, TRP_SIDE_BODY, &handler, NULL));
    trp_worker_know_quiet(a->worker);
    trp_direct_init(&child.direct, &sys->lanes, a, &line);
    trp_self_init(&child.self, a, &child_backend, &trp_child_reach);
    if (birth->clean_env)
        must(trp_limits_clean_env());
    must(trp_limits_apply(&birth->limits, &child.words->mark));
}

static void say_given(void) {
    const troupe_exit *e = &child.self.given, normal = trp_exit_normal();
    if (e->code || strcmp(e->text, normal.text) != 0)
        say((struct trp_frame){.type = TRP_FRAME_GIVEN, .number = (uint64_t)e->code}, trp_slice_str(e->text));
}

_Noreturn static void child_exit(void) {
    if (trp_self_is_copy(&child.self)) { /* the body has forked, and both have returned from it */
        fflush(NULL);
        _exit(0);
    }
    note_doing(TRP_DOING_OTHER);
    if (child.self.used_up)
        atomic_store(&child.words->mark, TRP_MARK_RECYCLE);
    trp_self_leave(&child.self);
    say_lost();
    say_given();
    trp_bus_close(&child.self.worker->bus, TRP_BUS_FLUSH_MS);
    trp_channel_flush_all(child.channel);
    fflush(NULL);
    /* Not exit(3): the handlers are the program's, and its to run. */
    _exit(0);
}

void trp_child_main(const troupe_system *sys, struct trp_birth *birth, uint64_t id, int channel) {
    child_open(sys, birth, id, channel);
    trp_overflow_install();
    trp_overflow_begin(birth->name);
    trp_assert(trp_actor_enter(&child.actor));
    birth->body(&child.self, trp_birth_arg(birth));
    child_exit();
}
