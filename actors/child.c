/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The life of a process actor's process, from the fork to its end: one thread, one worker, one body, which parks like a
 * thread actor does, and a channel to the system that had it forked. There is no system here but what the body's
 * worker needs of one.
 *
 * It talks to the broker itself, by a connection of its own: its death is seen there at once. */
#include "actors/child.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "actors/limits.h"
#include "actors/overflow.h"
#include "transports/assert.h"
#include "transports/spin.h"

/* Received messages between two looks whether the system waits for their room; less where the mailbox is small. */
enum { TELL = 16 };

struct trp_child trp_child;

static bool stirs(void *unused) {
    (void)unused;
    return trp_channel_stirs(trp_child.channel) || trp_direct_stirs(&trp_child.direct);
}

/* In the middle of a stream the next message comes before this one could have fallen asleep, and whoever sends it would have to
 * wake it for nothing. */
static bool glance(void) {
    for (int i = 0; i < TRP_PATIENCE_LOOKS && trp_child.self.worker->patience.processors > 1; i++) {
        if (stirs(NULL))
            return true;
        trp_spin_relax();
    }
    return false;
}

/* False: there is something to be read. */
static bool lie_down(enum trp_sleep how) {
    if (!trp_channel_sleep(trp_child.channel, how))
        return false;
    if (!trp_direct_has(&trp_child.direct))
        return true;
    trp_channel_awake(trp_child.channel);
    return false;
}

/* The sender may be one of those that run first. */
static bool let_others_run(void) {
    return !stirs(NULL) && trp_drip_gives_way(&trp_child.drip, trp_child.handled) && stirs(NULL);
}

static void doze(void *unused, int64_t deadline) {
    (void)unused;
    if (!glance() && !let_others_run() && lie_down(TRP_SLEEP_FUTEX)) {
        trp_channel_doze(trp_child.channel, deadline);
        trp_channel_awake(trp_child.channel);
    }
}

/* Until something comes. With nothing but the channel and lanes to wait for it sleeps on its word; else in the loop, which the
 * socket wakes. */
static void sleep_until(struct trp_worker *w, int64_t deadline) {
    static const struct trp_patient how = {stirs, doze};
    if (trp_worker_is_quiet(w)) {
        trp_patience_wait(&w->patience, &how, NULL, deadline);
    } else if (lie_down(TRP_SLEEP_SOCKET)) {
        trp_worker_turn(w, deadline);
        trp_channel_awake(trp_child.channel);
    }
}

/* Only this thread wakes the body, from what it reads here or in its loop: it never has to be said that it is parked. */
static bool child_park(troupe_self *self, int64_t deadline) {
    _Atomic unsigned *wake = &self->actor->wake;
    trp_child_tell_taken(true);
    trp_direct_tell(&trp_child.direct);
    trp_child_read();
    trp_child_say_lost();
    /* Relaxed, here and below: see above. */
    if (atomic_load_explicit(wake, memory_order_relaxed) != TRP_NOTIFIED) {
        sleep_until(self->worker, deadline);
        trp_child_read();
    }
    if (atomic_exchange_explicit(wake, TRP_AWAKE, memory_order_relaxed) == TRP_NOTIFIED)
        return true;
    return deadline == TRP_NEVER || trp_now() < deadline;
}

static void child_yield(troupe_self *self) {
    trp_child_read();
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
    trp_child_say(*f, (struct trp_slice){0});
}

static const struct trp_direct_line line = {.say = say_of_lane, .out_of_memory = trp_child_out_of_memory, .confined = true};

/* Where it sleeps, so that other processes can wake it. */
static void open_door(const troupe_system *sys, struct trp_shared *shared) {
    unsigned door = shared->words->door;
    if (!door)
        return;
    must(trp_lanes_reach_door(&sys->lanes, door));
    shared->door = trp_lanes_door(&sys->lanes, door);
}

static void child_open(const troupe_system *sys, struct trp_birth *birth, uint64_t id, int channel) {
    struct trp_actor *a = &trp_child.actor;
    struct trp_shared shared;
    int memory = trp_shared_receive(channel);
    must(memory < 0 ? TROUPE_SYSTEM : trp_shared_map(&shared, memory));
    close(memory);
    trp_child.sys.forks = trp_copy_now();
    open_door(sys, &shared);
    trp_child.sys.broker = sys->broker;
    trp_child.sys.authkey = sys->authkey;
    trp_child.sys.name = sys->name;
    trp_child.sys.epitaph = shared.words->epitaph;
    trp_child.standing = sys->standing;
    trp_child.words = shared.words;
    trp_child.sys.letters.relay = trp_child_relay_letter;
    trp_child.tell = birth->mailbox < TELL ? 1 : TELL;
    trp_actor_init(a);
    trp_actor_begin(a, &trp_child.sys, birth);
    /* Nothing is lent from here. */
    trp_mailbox_init(&a->mailbox, birth->mailbox, birth->mailbox_bytes, birth->overflow, false);
    a->backend = &child_backend;
    atomic_store(&a->id, id);
    atomic_store(&a->refs, 1);
    must(trp_worker_new(&a->worker, &trp_child.sys, birth->name));
    a->worker->alone = true;
    trp_patience_init(&a->worker->patience);
    trp_worker_enter(a->worker);
    must(trp_channel_new(&trp_child.channel, &a->worker->loop, channel, shared, TRP_SIDE_BODY, &trp_child_handler, NULL));
    trp_worker_know_quiet(a->worker);
    trp_direct_init(&trp_child.direct, &sys->lanes, a, &line);
    trp_self_init(&trp_child.self, a, &child_backend, &trp_child_reach);
    if (birth->clean_env)
        must(trp_limits_clean_env());
    must(trp_limits_apply(&birth->limits, &trp_child.words->mark));
}

static void say_given(void) {
    const troupe_exit *e = &trp_child.self.given, normal = trp_exit_normal();
    struct trp_frame f = {.type = TRP_FRAME_GIVEN, .status = e->how == TROUPE_END_LINKED, .number = (uint64_t)e->code};
    if (e->code || strcmp(e->text, normal.text) != 0)
        trp_child_say(f, trp_slice_str(e->text));
}

_Noreturn static void child_exit(void) {
    if (trp_self_is_copy(&trp_child.self)) { /* the body has forked, and both have returned from it */
        fflush(NULL);
        _exit(0);
    }
    trp_child_note_doing(TRP_DOING_OTHER);
    if (trp_child.self.used_up)
        atomic_store(&trp_child.words->mark, TRP_MARK_RECYCLE);
    trp_self_leave(&trp_child.self);
    trp_child_say_lost();
    say_given();
    trp_bus_close(&trp_child.self.worker->bus, TRP_BUS_FLUSH_MS);
    trp_channel_flush_all(trp_child.channel);
    fflush(NULL);
    /* Not exit(3): the handlers are the program's, and its to run. */
    _exit(0);
}

void trp_child_main(const troupe_system *sys, struct trp_birth *birth, uint64_t id, int channel) {
    child_open(sys, birth, id, channel);
    trp_overflow_install();
    trp_overflow_begin(birth->name);
    trp_assert(trp_actor_enter(&trp_child.actor));
    birth->body(&trp_child.self, trp_birth_arg(birth));
    child_exit();
}
