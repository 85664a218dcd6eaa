/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Threads: a body with a thread and a worker of its own. To park is to run the worker's loop, so that the connection
 * to the broker goes on while the body waits; to be woken is one wake of that loop.
 *
 * The thread that opened a system, and the one thread of a process actor, park and are woken the same way; they have
 * not been started here.
 *
 * The worker lives as long as the actor's last reference, not as its thread: somebody may be about to wake it when it
 * has just found out by itself that its time is over. */
#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"

static void *thread_main(void *arg) {
    struct trp_thread *t = arg;
    struct trp_actor *a = t->actor;
    struct trp_worker *w = a->worker;
    troupe_system *sys = a->sys;
    troupe_self self;
    trp_thread_name(a->birth->name);
    trp_worker_enter(w);
    trp_self_init(&self, a, &trp_thread_backend, &trp_local_reach);
    troupe_exit exit = trp_self_live(&self);
    trp_bus_close(&w->bus, TRP_BUS_FLUSH_MS);
    trp_worker_enter(NULL);
    trp_actor_end(a, &exit);
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
        st = trp_system_thread_start(a->sys, t, thread_main, a->birth->stack);
    }
    if (st != TROUPE_OK)
        trp_free(t);
    return st;
}

static void thread_resume(struct trp_actor *a) {
    trp_loop_wake(&a->worker->loop);
}

static bool thread_park(troupe_self *self, int64_t deadline) {
    struct trp_actor *a = self->actor;
    unsigned awake = TRP_AWAKE;
    /* Release pairs with the acquire in trp_actor_unpark. */
    if (atomic_compare_exchange_strong_explicit(&a->wake, &awake, TRP_PARKED, memory_order_release, memory_order_relaxed))
        trp_worker_turn(self->worker, deadline);
    /* Acquire pairs with the release in trp_actor_unpark: what it was woken for can be seen. */
    if (atomic_exchange_explicit(&a->wake, TRP_AWAKE, memory_order_acquire) == TRP_NOTIFIED)
        return true;
    return deadline == TRP_NEVER || trp_now() < deadline;
}

static void thread_yield(troupe_self *self) {
    trp_worker_turn(self->worker, 0);
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
    .free = thread_free,
};
