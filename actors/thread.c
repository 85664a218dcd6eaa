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
 * looks whether the answer comes at once, if that has lately been the faster way: both ways are timed, as they come, and
 * now and then the other one is tried (transports/spin.h). Where processors are scarce, looking keeps others from running,
 * the one that is waited for among them, and what it costs comes later: who has used up its time waits longest for more. So nobody
 * looks while more want to run than can.
 *
 * The worker lives as long as the actor's last reference, not as its thread: somebody may be about to wake it when it
 * has just found out by itself that its time is over. */
#include "actors/cores.h"
#include "actors/self.h"
#include "actors/overflow.h"
#include "actors/straight.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/spin.h"

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
        a->worker->patience.may_spin = trp_cores() > 1;
        st = trp_system_thread_start(a->sys, t, thread_main, a->birth->stack);
    }
    if (st != TROUPE_OK)
        trp_free(t);
    return st;
}

static void thread_resume(struct trp_actor *a) {
    if (!trp_nap_end(&a->worker->nap))
        trp_loop_wake(&a->worker->loop);
}

/* Relaxed: whoever finds it so takes it back with acquire. */
static bool is_notified(struct trp_actor *a) {
    return atomic_load_explicit(&a->wake, memory_order_relaxed) == TRP_NOTIFIED;
}

/* Looks for a while. It is not parked meanwhile, so who notifies it makes no system call. */
static bool spin(struct trp_actor *a, int64_t until) {
    do {
        for (int i = 0; i < TRP_PATIENCE_LOOKS; i++) {
            if (is_notified(a))
                return true;
            trp_spin_relax();
        }
    } while (trp_now() < until);
    return false;
}

static void sleep_until(troupe_self *self, int64_t deadline) {
    unsigned awake = TRP_AWAKE;
    /* Release pairs with the acquire in trp_actor_unpark. */
    if (atomic_compare_exchange_strong_explicit(&self->actor->wake, &awake, TRP_PARKED, memory_order_release,
                                                memory_order_relaxed))
        trp_worker_turn(self->worker, deadline);
}

/* What comes over the loop, a broker's messages or a descriptor's readiness, would have to wait for the end of the spinning. */
static bool may_spin(const struct trp_worker *w) {
    return w->patience.may_spin && !w->bus.conn && !w->poller;
}

static void wait_wisely(troupe_self *self, int64_t deadline) {
    struct trp_patience *p = &self->worker->patience;
    int64_t began = trp_now(), most = deadline < began + TRP_PATIENCE_NS ? deadline : began + TRP_PATIENCE_NS;
    bool spins = trp_patience_looks(p);
    if (!spins || !spin(self->actor, most))
        sleep_until(self, deadline);
    trp_patience_learn(p, spins, trp_now() - began);
}

static bool thread_park(troupe_self *self, int64_t deadline) {
    struct trp_actor *a = self->actor;
    bool in_time;
    if (trp_nap_park(self, deadline, &in_time))
        return in_time;
    if (!may_spin(self->worker))
        sleep_until(self, deadline);
    else if (!is_notified(a))
        wait_wisely(self, deadline);
    /* Acquire pairs with the release in trp_actor_unpark: what it was woken for can be seen. */
    if (atomic_exchange_explicit(&a->wake, TRP_AWAKE, memory_order_acquire) == TRP_NOTIFIED)
        return true;
    return deadline == TRP_NEVER || trp_now() < deadline;
}

static void thread_yield(troupe_self *self) {
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
    .measure = thread_measure,
    .free = thread_free,
};
