/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Threads: a body with a thread and a worker of its own. To park is to run the worker's loop, so that the connection
 * to the broker goes on while the body waits; to be woken is one wake of that loop.
 *
 * The thread that opened a system, and the one thread of a process actor, park and are woken the same way; they have
 * not been started here.
 *
 * To wake a thread that sleeps costs a system call, and up to 40 us until its processor is up. So before it sleeps it
 * looks whether the answer comes at once, if that has lately been the faster way (patience.h).
 *
 * The worker lives as long as the actor's last reference, not as its thread: somebody may be about to wake it when it
 * has just found out by itself that its time is over. */
#include "actors/overflow.h"
#include "actors/self.h"
#include "actors/straight.h"
#include "actors/system.h"
#include "transports/alloc.h"

#include <sched.h>

/* Where the calling thread's figures are, for as long as it runs. */
static void measure_me(struct trp_measure *m) {
    pthread_attr_t attr;
    *m = (struct trp_measure){.clock = CLOCK_REALTIME, .cpu_ns = -1};
    (void)pthread_getcpuclockid(pthread_self(), &m->clock);
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    (void)pthread_attr_getstack(&attr, &m->stack, &m->stack_size);
    pthread_attr_destroy(&attr);
}

static void *thread_main(void *arg) {
    struct trp_thread *t = arg;
    struct trp_actor *a = t->actor;
    struct trp_worker *w = a->worker;
    troupe_system *sys = a->sys;
    troupe_self self;
    trp_thread_name(a->birth->name);
    trp_worker_enter(w);
    trp_overflow_begin(a->birth->name);
    measure_me(&w->figures);
    trp_self_init(&self, a, &trp_thread_backend, &trp_local_reach);
    const troupe_exit *exit = trp_self_live(&self);
    trp_bus_close(&w->bus, TRP_BUS_FLUSH_MS);
    trp_straight_free(&w->straight);
    trp_nap_leave(&w->nap);
    trp_overflow_end();
    trp_worker_enter(NULL);
    trp_actor_end(a, exit);
    trp_system_thread_over(sys, t);
    return NULL;
}

static troupe_status thread_start(struct trp_actor *a) {
    struct trp_thread *t = trp_calloc(1, sizeof *t);
    if (!t)
        return TROUPE_NO_MEMORY;
    troupe_status st = trp_worker_new(&a->worker, a->sys, a->birth->name);
    t->actor = a;
    if (st == TROUPE_OK) {
        a->worker->alone = true;
        trp_patience_init(&a->worker->patience);
        st = trp_system_thread_start(a->sys, t, thread_main, a->birth->stack);
    }
    if (st != TROUPE_OK)
        trp_free(t);
    return st;
}

static void thread_resume(struct trp_actor *a) {
    struct trp_worker *w = a->worker;
    switch (trp_slumber_call(&w->slumber)) {
    case TRP_IN_LOOP:
        trp_loop_wake(&w->loop);
        break;
    case TRP_NAPPING:
        trp_nap_end(&w->nap);
        break;
    case TRP_ON_WORD: /* it may be gone by now */
    case TRP_UP:
        break;
    }
}

/* --- what it waits for: whatever unparks it, or mail --- */

/* Relaxed: whoever finds it so takes it back with acquire. */
static bool is_notified(void *self) {
    const struct trp_actor *a = ((troupe_self *)self)->actor;
    return atomic_load_explicit(&a->wake, memory_order_relaxed) == TRP_NOTIFIED;
}

/* Relaxed, as that: what has come is fetched with acquire. Who looks is neither parked nor listening meanwhile, so it costs
 * nobody a system call, nor a change of a word that it looks at. */
static bool has_mail(void *self) {
    struct trp_mailbox *mb = &((troupe_self *)self)->actor->mailbox;
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed);
    return trp_mail_new(mb, head) || (head & (TRP_MAIL_SHUT | TRP_MAIL_CROWDED)) || is_notified(self);
}

/* --- sleeping --- */

static void sleep_parked(void *who, int64_t deadline) {
    troupe_self *self = who;
    struct trp_worker *w = self->worker;
    bool quiet = trp_worker_is_quiet(w);
    trp_slumber_begin(&w->slumber, quiet ? TRP_ON_WORD : TRP_IN_LOOP);
    if (trp_actor_parks(self->actor)) {
        if (quiet)
            trp_slumber_wait(&w->slumber, deadline);
        else
            trp_worker_turn(w, deadline);
        if (!trp_actor_unparks(self->actor))
            trp_slumber_await(&w->slumber);
    }
    trp_slumber_over(&w->slumber);
}

/* Who takes LISTENING away holds no reference, so it is waited for until he has called. */
static void sleep_listening(void *who, int64_t deadline) {
    troupe_self *self = who;
    struct trp_worker *w = self->worker;
    trp_slumber_begin(&w->slumber, TRP_ON_WORD);
    if (trp_actor_listen(self->actor)) {
        trp_slumber_wait(&w->slumber, deadline);
        if (!trp_mailbox_unlisten(&self->actor->mailbox))
            trp_slumber_await(&w->slumber);
    }
    trp_slumber_over(&w->slumber);
}

/* --- waiting --- */

static const struct trp_patient parked = {is_notified, sleep_parked}, listening = {has_mail, sleep_listening};

/* What comes over the loop, a broker's messages or a descriptor's readiness, would have to wait for the end of the looking. */
static bool may_look(const struct trp_worker *w) {
    return !w->bus.conn && !w->poller;
}

static bool wait_so(troupe_self *self, int64_t deadline, const struct trp_patient *how) {
    struct trp_worker *w = self->worker;
    if (!may_look(w))
        how->sleep(self, deadline);
    else if (!how->come(self))
        trp_patience_wait(&w->patience, how, self, deadline);
    return trp_actor_notified(self->actor) || deadline == TRP_NEVER || trp_now() < deadline;
}

static bool thread_park(troupe_self *self, int64_t deadline) {
    bool in_time;
    return trp_nap_park(self, deadline, false, &in_time) ? in_time : wait_so(self, deadline, &parked);
}

static bool thread_listen(troupe_self *self, int64_t deadline) {
    bool in_time;
    if (trp_nap_park(self, deadline, true, &in_time))
        return in_time;
    if (trp_worker_is_quiet(self->worker))
        return wait_so(self, deadline, &listening);
    return trp_actor_await(self->actor) != TROUPE_EMPTY || wait_so(self, deadline, &parked);
}

static void thread_yield(troupe_self *self) {
    if (trp_worker_is_quiet(self->worker))
        sched_yield();
    else
        trp_worker_turn(self->worker, 0);
}

static void thread_measure(struct trp_actor *a, struct trp_measure *out) {
    *out = a->worker->figures;
}

static void thread_free(struct trp_actor *a) {
    trp_worker_free(a->worker);
}

const struct trp_backend trp_thread_backend = {
    .kind = TROUPE_THREAD,
    .start = thread_start,
    .resume = thread_resume,
    .park = thread_park,
    .yield = thread_yield,
    .listen = thread_listen,
    .measure = thread_measure,
    .free = thread_free,
};
