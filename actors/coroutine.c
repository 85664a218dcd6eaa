/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Coroutines: a body on a stack of its own, run by one of the system's workers.
 *
 *     worker                     coroutine
 *     run() -- switch -->        body ... troupe_receive ... park()
 *       <------ switch --------- (parked, yielded or gone)
 *
 * What is known of a coroutine lies at the high end of its stack, which is touched anyway: an actor of this kind
 * takes nothing else from the allocator.
 *
 * A body that computes holds up all that share its worker, and a body that overflows its stack dies with the process
 * at the guard page. Threads and processes are for those. */
#include <stddef.h>

#include "actors/self.h"
#include "actors/system.h"

struct coroutine {
    troupe_self self;
    struct trp_fiber fiber;
    struct trp_stack stack;
    enum trp_ran ran; /* why it has switched back */
};

enum { ALIGN = 64 };

static struct coroutine *place(const struct trp_stack *stack) {
    uintptr_t top = (uintptr_t)stack->bottom + stack->size - sizeof(struct coroutine);
    return (struct coroutine *)(top / ALIGN * ALIGN);
}

static void give_back(struct coroutine *co, enum trp_ran why, bool last) {
    co->ran = why;
    trp_fiber_switch(&co->fiber, &trp_runner_here()->scheduler, last);
}

static void coroutine_main(void *arg) {
    struct coroutine *co = arg;
    troupe_exit exit = trp_self_live(&co->self);
    trp_actor_end(co->self.actor, &exit);
    give_back(co, TRP_RAN_GONE, true);
}

static void on_deadline(struct trp_timer *t) {
    troupe_self *self = (troupe_self *)((char *)t - offsetof(troupe_self, timer));
    trp_actor_unpark(self->actor);
}

static troupe_status coroutine_start(struct trp_actor *a) {
    struct trp_stack stack;
    struct trp_worker *w;
    troupe_status st = trp_system_worker(a->sys, &w);
    if (st == TROUPE_OK)
        st = trp_stack_get(&a->sys->stacks, a->birth->stack, &stack);
    if (st != TROUPE_OK)
        return st;
    struct coroutine *co = place(&stack);
    a->worker = w;
    a->roams = true;
    a->run = co;
    trp_self_init(&co->self, a, &trp_coroutine_backend, &trp_local_reach);
    co->self.timer.fire = on_deadline;
    co->stack = stack;
    trp_fiber_init(&co->fiber, stack.bottom, (size_t)((char *)co - (char *)stack.bottom), coroutine_main, co);
    /* Relaxed: the push publishes it. Notified: whoever sends to it meanwhile must not queue it once more. */
    atomic_store_explicit(&a->wake, TRP_NOTIFIED, memory_order_relaxed);
    trp_worker_push_birth(w, a);
    return TROUPE_OK;
}

static void coroutine_resume(struct trp_actor *a) {
    trp_worker_push(a->worker, a);
}

static void coroutine_free(struct coroutine *co, troupe_system *sys) {
    struct trp_stack stack = co->stack;
    trp_fiber_fini(&co->fiber);
    trp_stack_put(&sys->stacks, &stack);
}

static enum trp_ran coroutine_run(struct trp_actor *a) {
    struct coroutine *co = a->run;
    troupe_system *sys = a->sys;
    co->self.worker = a->worker;
    trp_fiber_switch(&trp_runner_here()->scheduler, &co->fiber, false);
    enum trp_ran ran = co->ran;
    if (ran == TRP_RAN_GONE)
        coroutine_free(co, sys);
    return ran;
}

/* Has somebody notified it since it last parked? Then it need not. */
static bool notified(struct trp_actor *a) {
    unsigned expected = TRP_NOTIFIED;
    /* Acquire pairs with the release in trp_actor_unpark. */
    return atomic_load_explicit(&a->wake, memory_order_relaxed) == TRP_NOTIFIED &&
           atomic_compare_exchange_strong_explicit(&a->wake, &expected, TRP_AWAKE, memory_order_acquire, memory_order_relaxed);
}

static bool coroutine_park(troupe_self *self, int64_t deadline) {
    struct coroutine *co = self->actor->run;
    if (notified(self->actor))
        return true;
    if (deadline == TRP_NEVER) {
        give_back(co, TRP_RAN_PARKED, false);
        return true;
    }
    if (deadline <= trp_now())
        return false;
    struct trp_worker *w = self->worker; /* it may go on on another */
    trp_worker_sleeper_start(w, &self->timer, deadline);
    give_back(co, TRP_RAN_PARKED, false);
    return trp_worker_sleeper_stop(w, &self->timer);
}

static void coroutine_yield(troupe_self *self) {
    give_back(self->actor->run, TRP_RAN_YIELDED, false);
}

const struct trp_backend trp_coroutine_backend = {
    .kind = TROUPE_COROUTINE,
    .run_by_push = true,
    .start = coroutine_start,
    .resume = coroutine_resume,
    .run = coroutine_run,
    .park = coroutine_park,
    .yield = coroutine_yield,
};
