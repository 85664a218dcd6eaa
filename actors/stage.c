/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The opener parks by running others: one that is drawn from all that could run, until it has been unparked and is drawn
 * itself. When nobody can run, the clock is set to the next deadline there is. Nothing here asks what time it really is,
 * and addresses are never compared: the draws are the only thing that is different from run to run. */
#include "actors/stage.h"

#include <troupe/test.h>

#include "actors/coroutine.h"
#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { BEGIN_NS = 1000000000 }; /* no time is 0 */

/* --- draws --- */

/* splitmix64: every seed is a good one. */
static uint64_t draw(struct trp_stage *s) {
    uint64_t z = s->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static unsigned draw_below(struct trp_stage *s, unsigned n) {
    return (unsigned)((draw(s) >> 32) * n >> 32);
}

bool trp_stage_goes_on(struct trp_stage *s) {
    return draw(s) >> 63;
}

/* --- the play --- */

/* Runs one drawn of all that could; with `me`, the caller is one of those: false: it is the one, or there is no other. */
static bool step(struct trp_stage *s, bool me) {
    struct trp_runq *q = &s->worker->queue;
    trp_assert(trp_guard_enter(&q->guard, &s->runner.guest)); /* there is nobody else */
    trp_runq_let_all_in(q);
    unsigned n = trp_runq_waiting(q), which = n ? draw_below(s, n + me) : 0;
    struct trp_actor *a = which < n ? trp_runq_draw(q, which) : NULL;
    trp_guard_exit(&s->runner.guest);
    if (!a)
        return false;
    a = trp_worker_run(s->worker, a);
    if (a)
        trp_worker_push(s->worker, a);
    return true;
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Sets the clock to when something happens next, but not beyond the deadline. False: nothing will. */
static bool advance(struct trp_stage *s, int64_t deadline) {
    struct trp_worker *w = s->worker;
    int64_t next = earlier(trp_worker_next_deadline(w), trp_alarms_next(&w->sys->alarms));
    int64_t to = earlier(next, deadline);
    if (to != TRP_NEVER && to > s->clock.now)
        s->clock.now = to;
    if (next == TRP_NEVER || next > deadline)
        return false;
    trp_worker_wake_sleepers(w);
    trp_alarms_run(&w->sys->alarms, s->clock.now);
    return true;
}

/* Relaxed: one thread. */
static bool is_parked(struct trp_actor *a) {
    return atomic_load_explicit(&a->wake, memory_order_relaxed) == TRP_PARKED;
}

static bool stage_park(troupe_self *self, int64_t deadline) {
    struct trp_stage *s = self->actor->sys->stage;
    struct trp_actor *a = self->actor;
    unsigned awake = TRP_AWAKE;
    (void)atomic_compare_exchange_strong(&a->wake, &awake, TRP_PARKED);
    while (is_parked(a) && (step(s, false) || advance(s, deadline)))
        ;
    while (step(s, true))
        ;
    return atomic_exchange(&a->wake, TRP_AWAKE) == TRP_NOTIFIED;
}

static void stage_yield(troupe_self *self) {
    while (step(self->actor->sys->stage, true))
        ;
}

/* That it has been notified is all: it is on the one thread there is, in a call that looks. */
static void stage_resume(struct trp_actor *a) {
    (void)a;
}

static void stage_free(struct trp_actor *a) {
    trp_worker_free(a->worker);
}

const struct trp_backend trp_stage_backend = {
    .kind = TROUPE_THREAD, .resume = stage_resume, .park = stage_park, .yield = stage_yield, .free = stage_free};

/* --- opening, closing --- */

void trp_stage_take(struct trp_stage *s, struct trp_worker *w) {
    s->worker = s->runner.at = w;
    trp_guard_give(&w->queue.guard, &s->runner.guest);
}

troupe_status trp_stage_new(struct trp_stage **out, uint64_t seed) {
    struct trp_stage *s = trp_calloc(1, sizeof *s);
    if (!s)
        return TROUPE_NO_MEMORY;
    s->clock.now = s->began = BEGIN_NS;
    s->random = seed;
    trp_clock_enter(&s->clock);
    trp_runner_begin(&s->runner);
    *out = s;
    return TROUPE_OK;
}

void trp_stage_free(struct trp_stage *s, struct trp_stacks *stacks) {
    if (!s)
        return;
    if (s->runner.carrier)
        trp_coroutine_free(s->runner.carrier, stacks);
    trp_stacks_near_fini(&s->runner.stacks, stacks);
    trp_births_near_fini(&s->runner.births);
    trp_runner_begin(NULL);
    trp_clock_enter(NULL);
    trp_free(s);
}

troupe_status troupe_test_open(troupe_system **out, uint64_t seed) {
    struct trp_stage *s;
    if (trp_clock_is_made())
        return TROUPE_INVALID;
    troupe_status st = trp_stage_new(&s, seed);
    return st == TROUPE_OK ? trp_system_open_on(out, s) : st;
}

int64_t troupe_test_now(const troupe_system *sys) {
    return sys->stage ? (sys->stage->clock.now - sys->stage->began) / TRP_NS_PER_MS : 0;
}

uint64_t troupe_test_random(troupe_system *sys) {
    return sys->stage ? draw(sys->stage) : 0;
}
