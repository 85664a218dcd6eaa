/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Coroutines: a body on a stack of its own, run by one of the system's workers.
 *
 *     worker                     coroutine
 *     run() -- switch -->        body ... troupe_receive ... park()
 *       <------ switch --------- (parked, yielded or gone)
 *
 * Where the next one is a coroutine, too, the way by the worker is spared: the one that waits switches to it directly, and that
 * one says of the other that it waits (only then may it be run by another thread: it has left its stack).
 *
 * What is known of a coroutine lies at the high end of its stack, which is touched anyway, and so does what it was born with:
 * an actor of this kind takes nothing else from the allocator. So it has its stack until the last reference to it is gone.
 *
 * A body that computes holds up all that share its worker, and a body that overflows its stack dies with the process
 * at the guard page. Threads and processes are for those. */
#include "actors/coroutine.h"

#include <stddef.h>

#include "actors/hop.h"
#include "actors/system.h"
#include "actors/usage.h"

/* Stacks lie at equal distances, so that the same place in each is kept in the same few lines of a processor's cache. What is
 * at their high ends, which is used at each switch, is moved by as many lines, differently in neighbours (a prime number of
 * places, so that no distance falls in with it); not further than leaves it in the page that is touched anyway. */
enum { COLORS = 31, HOUSED_MOST = 1024 };

static struct trp_coroutine *place(const struct trp_stack *stack, size_t above) {
    uintptr_t color = ((uintptr_t)stack->bottom / stack->size) % COLORS * TRP_LINE;
    uintptr_t top = (uintptr_t)stack->bottom + stack->size - above - color - sizeof(struct trp_coroutine);
    return (struct trp_coroutine *)(top / TRP_LINE * TRP_LINE);
}

static struct trp_coroutine *coroutine_of(troupe_self *self) {
    return (struct trp_coroutine *)((char *)self - offsetof(struct trp_coroutine, self));
}

static void on_deadline(struct trp_timer *t) {
    troupe_self *self = (troupe_self *)((char *)t - offsetof(troupe_self, timer));
    trp_actor_unpark(self->actor);
}

static struct trp_stacks_near *near_here(void) {
    struct trp_runner *here = trp_runner_here();
    return here ? &here->stacks : NULL;
}

troupe_status trp_coroutine_new(struct trp_coroutine **out, struct trp_stacks *stacks, size_t size, size_t above,
                                void (*main)(void *)) {
    struct trp_stack stack;
    troupe_status st = trp_stack_get_near(near_here(), stacks, size, &stack);
    if (st != TROUPE_OK)
        return st;
    struct trp_coroutine *co = place(&stack, above);
    trp_fiber_clean(stack.bottom, stack.size);
    co->stack = stack;
    co->idle = false;
    co->hops = false;
    trp_fiber_init(&co->fiber, stack.bottom, (size_t)((char *)co - (char *)stack.bottom), main, co);
    *out = co;
    return TROUPE_OK;
}

void trp_coroutine_embody(struct trp_coroutine *co, struct trp_actor *a, const struct trp_backend *backend) {
    trp_self_init(&co->self, a, backend, &trp_local_reach);
    co->self.timer.fire = on_deadline;
}

void trp_coroutine_free(struct trp_coroutine *co, struct trp_stacks *stacks) {
    if (!co)
        return;
    struct trp_stack stack = co->stack;
    trp_fiber_fini(&co->fiber);
    trp_stack_put_near(near_here(), stacks, &stack);
}

/* --- switching --- */

/* On the stack of one that has just been switched to. */
static inline void arrive(struct trp_coroutine *co) {
    struct trp_runner *r = co->self.runner;
    struct trp_coroutine *left = r->left;
    if (!left)
        return;
    struct trp_actor *a = left->self.actor;
    enum trp_ran ran = left->ran;
    r->left = NULL;
    a->deep = (uint32_t)((uintptr_t)left - (uintptr_t)trp_fiber_sp(&left->fiber));
    a = trp_worker_arrived(r, a, ran);
    if (a && !trp_worker_put_away(a, ran))
        trp_worker_push(a->worker, a);
}

void trp_coroutine_give_back(struct trp_coroutine *co, enum trp_ran why, bool last) {
    co->ran = why;
    trp_fiber_switch(&co->fiber, &trp_runner_here()->scheduler, last);
    if (co->hops)
        arrive(co);
}

static inline void go_on(struct trp_coroutine *co, enum trp_ran why, struct trp_actor *to) {
    struct trp_runner *r = co->self.runner;
    struct trp_coroutine *next = to->run;
    next->self.runner = r;
    next->self.worker = r->at;
    co->ran = why;
    r->left = co;
    r->running = next;
    trp_fiber_switch(&co->fiber, &next->fiber, false);
    arrive(co);
}

/* Until it is run again. */
static inline void wait(struct trp_coroutine *co, enum trp_ran how) {
    struct trp_actor *next = co->hops ? trp_worker_hop(co->self.runner) : NULL;
    if (next)
        go_on(co, how, next);
    else
        trp_coroutine_give_back(co, how, false);
}

struct trp_coroutine *trp_coroutine_enter(struct trp_coroutine *co) {
    struct trp_runner *r = trp_runner_here();
    r->running = co;
    trp_fiber_switch(&r->scheduler, &co->fiber, false);
    return r->running;
}

/* --- actors that have one for life --- */

static void coroutine_main(void *arg) {
    struct trp_coroutine *co = arg;
    arrive(co);
    const troupe_exit *exit = trp_self_live(&co->self);
    trp_actor_finish(co->self.actor, exit);
    trp_coroutine_give_back(co, TRP_RAN_GONE, true);
}

/* Its birth moves to the high end of its stack, if it is not too large: that page is there for as long as the actor is. */
static troupe_status coroutine_house(struct trp_actor *a) {
    struct trp_coroutine *co;
    struct trp_birth *b = a->birth;
    size_t above = b->size <= HOUSED_MOST ? (b->size + TRP_LINE - 1) / TRP_LINE * TRP_LINE : 0;
    troupe_status st = trp_coroutine_new(&co, &a->sys->stacks, b->stack, above, coroutine_main);
    if (st != TROUPE_OK)
        return st;
    if (above)
        a->birth = trp_birth_move(b, (char *)co->stack.bottom + co->stack.size - above);
    a->run = co;
    return TROUPE_OK;
}

static troupe_status coroutine_start(struct trp_actor *a) {
    struct trp_worker *w;
    troupe_status st = trp_system_worker(a->sys, &w);
    if (st != TROUPE_OK)
        return st;
    a->worker = w;
    a->roams = w->crew != NULL;
    trp_coroutine_embody(a->run, a, &trp_coroutine_backend);
    ((struct trp_coroutine *)a->run)->hops = true;
    /* Relaxed: the push publishes it. Notified: whoever sends to it meanwhile must not queue it once more. */
    atomic_store_explicit(&a->wake, TRP_NOTIFIED, memory_order_relaxed);
    trp_worker_push_birth(w, a);
    return TROUPE_OK;
}

static void coroutine_resume(struct trp_actor *a) {
    trp_worker_push(a->worker, a);
}

static enum trp_ran coroutine_run(struct trp_actor **a) {
    struct trp_coroutine *co = (*a)->run;
    co->self.runner = trp_runner_here();
    co->self.worker = (*a)->worker;
    co = trp_coroutine_enter(co);
    *a = co->self.actor;
    enum trp_ran ran = co->ran;
    if (ran == TRP_RAN_GONE)
        trp_actor_unref(*a); /* here, since its stack may go with it */
    return ran;
}

static void coroutine_free(struct trp_actor *a) {
    trp_birth_free(a->birth); /* it lies there */
    a->birth = NULL;
    trp_coroutine_free(a->run, &a->sys->stacks);
}

static void coroutine_measure(struct trp_actor *a, struct trp_measure *out) {
    const struct trp_coroutine *co = a->run;
    out->stack = co->stack.bottom;
    out->stack_size = co->stack.size;
    out->cpu_ns = trp_usage_ns(a);
}

/* --- parking --- */

static bool rest(troupe_self *self, int64_t deadline, enum trp_ran how) {
    struct trp_coroutine *co = coroutine_of(self);
    if (trp_actor_notified(self->actor))
        return true;
    if (deadline == TRP_NEVER) {
        wait(co, how);
        return true;
    }
    if (deadline <= trp_now())
        return false;
    struct trp_worker *w = self->worker; /* it may go on on another */
    trp_worker_sleeper_start(w, &self->timer, deadline);
    wait(co, how);
    return trp_worker_sleeper_stop(w, &self->timer);
}

bool trp_coroutine_park(troupe_self *self, int64_t deadline) {
    return rest(self, deadline, TRP_RAN_PARKED);
}

void trp_coroutine_await_mail(troupe_self *self) {
    if (!trp_actor_notified(self->actor))
        wait(coroutine_of(self), TRP_RAN_LISTENS);
}

bool trp_coroutine_listen(troupe_self *self, int64_t deadline) {
    return rest(self, deadline, TRP_RAN_LISTENS);
}

void trp_coroutine_yield(troupe_self *self) {
    trp_coroutine_give_back(coroutine_of(self), TRP_RAN_YIELDED, false);
}

const struct trp_backend trp_coroutine_backend = {
    .kind = TROUPE_COROUTINE,
    .house = coroutine_house,
    .start = coroutine_start,
    .resume = coroutine_resume,
    .run = coroutine_run,
    .park = trp_coroutine_park,
    .yield = trp_coroutine_yield,
    .listen = trp_coroutine_listen,
    .measure = coroutine_measure,
    .free = coroutine_free,
};
