/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Handler actors. Every kind has the same birth: trp_handler_body, and as argument the three functions with the state behind
 * them. A thread or a process runs that body, which is a loop. A coroutine doesn't: its backend (below) keeps the state, and
 * lends the actor a carrier, a coroutine whose body handles what is in the mailbox of whatever actor it is bound to:
 *
 *     runner: carrier --bound--> handling --mailbox empty--> back to the runner          (the usual way: one carrier a runner)
 *                                  | parked in a call, or the actor holds something: the carrier stays with the actor, the
 * runner
 *                                  `- takes a new one, and keeps one of those that come back
 *
 * Actors that are alike share their birth (struct troupe_self, litter): what is left for each is the actor, and its state. */
#include <troupe/handler.h>

#include <stdalign.h>
#include <stddef.h>

#include "actors/coroutine.h"
#include "actors/handler.h"
#include "actors/system.h"
#include "actors/usage.h"
#include "transports/alloc.h"
#include "transports/assert.h"

/* Messages that one actor handles before the others of its worker have their turn. */
enum { BATCH = 64 };

/* The argument of the birth. */
struct given {
    troupe_handler calls;
    alignas(max_align_t) uint8_t state[];
};

static void *state_of(void *state, size_t arg_size) {
    return arg_size > sizeof(struct given) ? state : NULL;
}

static void call(void (*fn)(troupe_self *, void *), troupe_self *self, void *state) {
    if (fn)
        fn(self, state);
}

static void handle(const troupe_handler *calls, troupe_self *self, void *state, troupe_msg *m) {
    calls->on_message(self, state, &m);
    troupe_msg_free(&m);
}

/* --- threads and processes --- */

void trp_handler_body(troupe_self *self, void *arg) {
    struct given *given = arg;
    void *state = state_of(given->state, self->actor->birth->arg_size);
    troupe_msg *m;
    troupe_status st;
    call(given->calls.on_start, self, state);
    while ((st = troupe_receive(self, TROUPE_FOREVER, &m)) != TROUPE_CLOSED)
        if (st == TROUPE_OK)
            handle(&given->calls, self, state, m);
    call(given->calls.on_end, self, state);
}

/* --- coroutines --- */

/* What an actor has instead of a stack: its a->run. One without a state has its carrier there and nothing else. */
struct handled {
    struct trp_coroutine *carrier; /* NULL: it needs none */
    alignas(max_align_t) uint8_t state[];
};

static const struct given *given_of(const struct trp_actor *a) {
    return (const struct given *)(const void *)a->birth->arg;
}

static size_t state_size(const struct trp_actor *a) {
    return a->birth->arg_size - sizeof(struct given);
}

/* NULL: it has none. */
static void *own_state(const struct trp_actor *a) {
    return state_size(a) ? ((struct handled *)a->run)->state : NULL;
}

static struct trp_coroutine *carrier_of(const struct trp_actor *a) {
    return state_size(a) ? ((struct handled *)a->run)->carrier : a->run;
}

static void carrier_set(struct trp_actor *a, struct trp_coroutine *co) {
    if (state_size(a))
        ((struct handled *)a->run)->carrier = co;
    else
        a->run = co;
}

static bool begin(troupe_self *self) {
    struct trp_actor *a = self->actor;
    if (!trp_actor_enter(a))
        return false;
    if (trp_actor_lives(a) > 1 && state_size(a)) /* who is restarted shares its birth with nobody */
        memcpy(own_state(a), given_of(a)->state, state_size(a));
    a->begun = true;
    self->given = trp_exit_normal();
    call(given_of(a)->calls.on_start, self, own_state(a));
    return true;
}

/* The end of a life; YIELDED: another begins. */
static enum trp_ran end(troupe_self *self) {
    struct trp_actor *a = self->actor;
    troupe_exit exit = trp_exit_killed();
    int64_t ms;
    if (a->begun) {
        call(given_of(a)->calls.on_end, self, own_state(a));
        trp_self_leave(self);
        exit = trp_actor_killed(a) ? trp_exit_killed() : self->given;
        a->begun = false;
        if (trp_actor_leave(a, &exit, &ms)) {
            trp_self_wait_for_restart(self, ms);
            return TRP_RAN_YIELDED;
        }
    }
    trp_actor_end(a, &exit);
    return TRP_RAN_GONE;
}

/* Handles what is there. */
static enum trp_ran live_on(troupe_self *self) {
    struct trp_actor *a = self->actor;
    if (!a->begun && !begin(self))
        return end(self);
    void *state = own_state(a);
    for (unsigned n = 0; n < BATCH; n++) {
        struct troupe_msg *m;
        while (n < BATCH && (m = trp_self_take_plainly(self))) {
            handle(&given_of(a)->calls, self, state, m);
            trp_self_refresh(self);
            n++;
        }
        if (trp_actor_killed(a))
            return end(self);
        if (self->thens > 0)
            trp_futures_run(self);
        troupe_status st = trp_actor_take(a, false, &m);
        if (st != TROUPE_OK)
            return st == TROUPE_CLOSED ? end(self) : TRP_RAN_LISTENS;
        trp_self_refresh(self);
        trp_self_take_in_hand(self, m);
        handle(&given_of(a)->calls, self, state, m);
    }
    return TRP_RAN_YIELDED;
}

/* Does its actor have something that lies here? */
static bool is_needed(const troupe_self *self) {
    return self->hand || self->subs || self->queueing || self->futures || self->given.how != TROUPE_END_NORMAL;
}

static void forget_litter(troupe_self *self) {
    trp_birth_free(self->litter);
    self->litter = NULL;
}

static void carrier_main(void *arg) {
    struct trp_coroutine *co = arg;
    for (;;) {
        enum trp_ran ran = live_on(&co->self);
        co->idle = ran == TRP_RAN_GONE || !is_needed(&co->self);
        if (co->idle)
            forget_litter(&co->self);
        trp_coroutine_give_back(co, ran, false);
    }
}

static struct trp_coroutine *carrier_new(struct trp_actor *a) {
    /* Numbers of questions: no two carriers give the same, since an actor may ask from one and then from another. */
    static atomic_uint carriers;
    struct trp_coroutine *co;
    if (trp_coroutine_new(&co, &a->sys->stacks, a->birth->stack, 0, carrier_main) != TROUPE_OK)
        return NULL;
    trp_coroutine_embody(co, a, &trp_handler_backend);
    co->self.asked = (uint64_t)(atomic_fetch_add_explicit(&carriers, 1, memory_order_relaxed) + 1) << 32;
    return co;
}

/* NULL: no memory. */
static struct trp_coroutine *carrier_take(struct trp_actor *a) {
    struct trp_runner *r = trp_runner_here();
    struct trp_coroutine *co = r->carrier;
    if (!co || co->stack.size < a->birth->stack)
        return carrier_new(a);
    r->carrier = NULL;
    return co;
}

static void carrier_put(struct trp_coroutine *co, troupe_system *sys) {
    struct trp_runner *r = trp_runner_here();
    if (r->carrier)
        trp_coroutine_free(co, &sys->stacks);
    else
        r->carrier = co;
}

static enum trp_ran handler_run(struct trp_actor **which) {
    struct trp_actor *a = *which;
    troupe_system *sys = a->sys;
    struct trp_coroutine *co = carrier_of(a);
    if (!co) {
        co = carrier_take(a);
        if (!co)
            return TRP_RAN_YIELDED; /* perhaps there is one when it has its next turn */
        carrier_set(a, co);
        trp_self_become(&co->self, a);
    }
    co->idle = false;
    co->self.worker = a->worker;
    co->self.runner = trp_runner_here();
    enum trp_ran ran = trp_coroutine_enter(co)->ran;
    if (co->idle) {
        if (ran != TRP_RAN_GONE)
            carrier_set(a, NULL);
        carrier_put(co, sys);
    }
    return ran;
}

/* NO_MEMORY. */
static troupe_status state_new(struct trp_actor *a) {
    if (!state_size(a))
        return TROUPE_OK;
    struct handled *h = trp_malloc(sizeof *h + state_size(a));
    if (!h)
        return TROUPE_NO_MEMORY;
    h->carrier = NULL;
    memcpy(h->state, given_of(a)->state, state_size(a));
    a->run = h;
    return TROUPE_OK;
}

static troupe_status handler_start(struct trp_actor *a) {
    struct trp_worker *w;
    troupe_status st = state_new(a);
    if (st == TROUPE_OK)
        st = trp_system_worker(a->sys, &w);
    if (st != TROUPE_OK)
        return st;
    a->worker = w;
    a->roams = w->crew != NULL;
    /* Relaxed: the push publishes it. Notified: whoever sends to it meanwhile must not queue it once more. */
    atomic_store_explicit(&a->wake, TRP_NOTIFIED, memory_order_relaxed);
    trp_worker_push_birth(w, a);
    return TROUPE_OK;
}

static void handler_resume(struct trp_actor *a) {
    trp_worker_push(a->worker, a);
}

static void handler_free(struct trp_actor *a) {
    if (state_size(a))
        trp_free(a->run);
}

/* The stack that it borrows now and then is nobody's. */
static void handler_measure(struct trp_actor *a, struct trp_measure *out) {
    out->cpu_ns = trp_usage_ns(a);
}

const struct trp_backend trp_handler_backend = {
    .kind = TROUPE_COROUTINE,
    .start = handler_start,
    .resume = handler_resume,
    .run = handler_run,
    .park = trp_coroutine_park,
    .yield = trp_coroutine_yield,
    .listen = trp_coroutine_listen,
    .measure = handler_measure,
    .free = handler_free,
};

/* --- birth --- */

static bool same_calls(const troupe_handler *a, const troupe_handler *b) {
    return a->on_start == b->on_start && a->on_message == b->on_message && a->on_end == b->on_end;
}

static struct trp_birth *like_before(troupe_self *self, const troupe_spawn_opts *opts, const troupe_handler *handler,
                                     size_t size) {
    struct trp_birth *b = self->litter;
    if (!b || b->arg_size != size || !trp_birth_like(b, opts))
        return NULL;
    return same_calls(&((const struct given *)(const void *)b->arg)->calls, handler) ? trp_birth_ref(b) : NULL;
}

/* May others be born with it? Not what is given to another process, or begins anew with what it was given. */
static bool is_shared(const troupe_self *self, const struct trp_birth *b, const troupe_spawn_opts *opts) {
    return self->reach == &trp_local_reach && b->kind == TROUPE_COROUTINE && b->restart == TROUPE_TEMPORARY &&
           (!opts || !opts->name);
}

static troupe_status birth_new(troupe_self *self, const troupe_spawn_opts *opts, const troupe_handler *handler, size_t size,
                               struct trp_birth **out) {
    struct trp_birth *b = like_before(self, opts, handler, size);
    if (b) {
        *out = b;
        return TROUPE_OK;
    }
    /* Made with an argument of the right size; the state is written afterwards. */
    struct given *given = trp_calloc(1, size);
    if (!given)
        return TROUPE_NO_MEMORY;
    given->calls = *handler;
    troupe_status st = trp_birth_new(&b, opts, trp_handler_body, given, size);
    trp_free(given);
    if (st != TROUPE_OK)
        return st;
    if (is_shared(self, b, opts)) {
        trp_birth_free(self->litter);
        self->litter = trp_birth_ref(b);
    }
    *out = b;
    return TROUPE_OK;
}

troupe_status trp_handler_pack(struct trp_buf *out, const troupe_handler *handler, struct trp_slice state) {
    struct given given;
    if (!handler->on_message)
        return TROUPE_INVALID;
    memset(&given, 0, sizeof given);
    given.calls = *handler;
    troupe_status st = trp_buf_put(out, &given, sizeof given);
    return st == TROUPE_OK ? trp_buf_put(out, state.p, state.n) : st;
}

troupe_status troupe_spawn_handler(troupe_self *self, const troupe_spawn_opts *opts, const troupe_handler *handler,
                                   const void *state, size_t size, troupe_ref *out) {
    struct trp_birth *birth;
    troupe_ref ref;
    if (!handler || !handler->on_message || (size && !state) || size > SIZE_MAX / 8)
        return TROUPE_INVALID;
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    troupe_status st = birth_new(self, opts, handler, sizeof(struct given) + size, &birth);
    if (st != TROUPE_OK)
        return st;
    /* Others born with it have taken theirs from there when they were spawned, by this very actor. */
    if (size)
        memcpy(((struct given *)(void *)birth->arg)->state, state, size);
    trp_self_spend(self);
    st = self->reach->spawn(self, &birth, &ref);
    trp_birth_free(birth);
    if (st == TROUPE_OK && out)
        *out = ref;
    return st;
}
