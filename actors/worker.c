/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Sleeping and waking. A worker that finds nothing to do says so in the inbox of its queue, and waits in its
 * loop. Who puts something in finds that out by the same step, and rings: no wake is lost, a busy worker is never
 * woken by a system call, and of many senders one wakes.
 *
 * Slices. After each resume the guard is entered once, for all that there is to decide: is the worker still ours, does
 * what has just run go back on the queue, what comes next. A body that has lost the worker meanwhile (it computed for too
 * long) is put on the queue by its old thread like by any other, and that thread goes. A coroutine that waits decides the same
 * by itself where that is simple, and goes on to the next without a turn of the runner (hop), but not more than LOOK times in a
 * row. */
#include "actors/worker.h"
#include "actors/straight.h"

#include <signal.h>
#include <stdio.h>

#include "actors/backend.h"
#include "actors/crew.h"
#include "actors/hop.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/assert.h"

/* A slice is this many resumes, and is cut short after so long (looked at now and then): the connection and the
 * deadlines wait for its end. */
enum { SLICE = 1024, LOOK = 16, LOOK_QUICK = 64, QUICK_NS = 1000, SLICE_NS = 1000000 };

static _Thread_local struct trp_worker *here;
static _Thread_local struct trp_runner *me;

/* Not inlined: the address of a thread-local must not be kept by the compiler across a switch of stacks, after which the thread
 * may be another. */
__attribute__((noinline)) struct trp_worker *trp_worker_here(void) {
    __asm__ volatile("");
    return here;
}

__attribute__((noinline)) void trp_worker_enter(struct trp_worker *w) {
    here = w;
}

__attribute__((noinline)) struct trp_runner *trp_runner_here(void) {
    __asm__ volatile("");
    return me;
}

/* --- queueing --- */

static void ring(struct trp_worker *w) {
    if (w->crew)
        trp_crew_woken(w->crew);
    trp_loop_wake(&w->loop);
}

/* Onto the list of the worker that the calling thread serves. False: it doesn't, or not any more. */
static bool push_here(struct trp_worker *w, struct trp_actor *a, enum trp_run how) {
    struct trp_runner *r = trp_runner_here();
    if (!r || !r->at)
        return false;
    /* Roamers come to where they are called: a pair that talks ends up on one worker, and nobody has to be woken. */
    if (r->at != w && (!a->roams || !w->crew || r->at->crew != w->crew))
        return false;
    struct trp_runq *q = &r->at->queue;
    if (!trp_guard_enter(&q->guard, &r->guest))
        return false;
    trp_runq_add(q, a, how);
    trp_guard_exit(&r->guest);
    return true;
}

static void push(struct trp_worker *w, struct trp_actor *a, enum trp_run how) {
    if (!push_here(w, a, how) && trp_runq_post(&w->queue, a))
        ring(w);
}

void trp_worker_push(struct trp_worker *w, struct trp_actor *a) {
    push(w, a, a->roams ? TRP_RUN_READY : TRP_RUN_BOUND);
}

void trp_worker_push_birth(struct trp_worker *w, struct trp_actor *a) {
    push(w, a, TRP_RUN_BIRTH);
}

bool trp_worker_rouse(struct trp_worker *w) {
    bool asleep = trp_runq_rouse(&w->queue);
    if (asleep)
        ring(w);
    return asleep;
}

bool trp_worker_bind(struct trp_worker *w, struct trp_actor *a) {
    struct trp_runner *r = trp_runner_here();
    if (!trp_guard_enter(&w->queue.guard, &r->guest))
        return false;
    a->roams = false;
    w->held = w->tied = true;
    trp_guard_exit(&r->guest);
    return true;
}

void trp_worker_unbind(struct trp_worker *w, struct trp_actor *a) {
    struct trp_runner *r = trp_runner_here();
    /* It was held, so nobody has taken it over. */
    trp_assert(trp_guard_enter(&w->queue.guard, &r->guest));
    a->roams = true;
    w->held = false;
    trp_guard_exit(&r->guest);
}

/* --- deadlines of coroutines --- */

void trp_worker_sleeper_start(struct trp_worker *w, struct trp_timer *t, int64_t deadline) {
    pthread_mutex_lock(&w->sleepers_lock);
    trp_timer_start(&w->sleepers, t, deadline);
    bool first = w->sleepers.first == t;
    pthread_mutex_unlock(&w->sleepers_lock);
    /* The worker may have been taken from the caller meanwhile, and be asleep until what was the first before. */
    if (first)
        (void)trp_worker_rouse(w);
}

bool trp_worker_sleeper_stop(struct trp_worker *w, struct trp_timer *t) {
    pthread_mutex_lock(&w->sleepers_lock);
    bool ran = trp_timer_runs(t);
    trp_timer_stop(&w->sleepers, t);
    pthread_mutex_unlock(&w->sleepers_lock);
    return ran;
}

/* With the lock held over the calls: a coroutine that is woken by something else at the same time must get it to stop its
 * timer, and so can't end before its timer has done with it. All that they do is to unpark, which takes no lock but those of
 * run queues. */
void trp_worker_wake_sleepers(struct trp_worker *w) {
    pthread_mutex_lock(&w->sleepers_lock);
    if (w->sleepers.first)
        trp_timers_run(&w->sleepers, trp_now());
    pthread_mutex_unlock(&w->sleepers_lock);
}

int64_t trp_worker_next_deadline(struct trp_worker *w) {
    pthread_mutex_lock(&w->sleepers_lock);
    int64_t sleepers = trp_timers_next(&w->sleepers);
    pthread_mutex_unlock(&w->sleepers_lock);
    int64_t timers = trp_timers_next(&w->timers);
    return sleepers < timers ? sleepers : timers;
}

/* --- slices --- */

struct trp_actor *trp_worker_run(struct trp_worker *w, struct trp_actor *a) {
    trp_worker_make_awake(w, a);
    enum trp_ran ran = a->backend->run(&a);
    return trp_worker_put_away(a, ran) ? NULL : a;
}

struct trp_actor *trp_worker_rested(struct trp_worker *w) {
    struct trp_actor *a = atomic_load_explicit(&w->resting, memory_order_relaxed);
    if (a)
        atomic_store_explicit(&w->resting, NULL, memory_order_relaxed);
    return a;
}

void trp_worker_listens(struct trp_actor *a) {
    if (!trp_worker_put_away(a, TRP_RAN_LISTENS))
        trp_worker_push(a->worker, a);
}

/* Puts back what has just run (NULL: nothing), and takes the next unless the slice is over. False: the worker has been taken
 * away. */
static bool next(struct trp_runner *r, struct trp_worker *w, struct trp_actor *back, bool over, struct trp_actor **out) {
    struct trp_runq *q = &w->queue;
    if (!trp_guard_enter(&q->guard, &r->guest)) {
        if (back)
            trp_worker_push(w, back);
        return false;
    }
    struct trp_actor *rested = trp_worker_rested(w);
    if (rested && !trp_worker_put_away(rested, TRP_RAN_LISTENS))
        trp_runq_add(q, rested, TRP_RUN_READY);
    if (back)
        trp_runq_add(q, back, back->roams ? TRP_RUN_READY : TRP_RUN_BOUND);
    *out = over ? NULL : trp_runq_take(q);
    trp_worker_make_current(w, *out);
    trp_guard_exit(&r->guest);
    return true;
}

/* (o) */
struct slice {
    unsigned n;     /* resumes so far */
    unsigned told;  /* how many at the last look */
    unsigned first; /* and at the first */
    int64_t began;  /* when that was; 0: not yet */
};

static bool slice_over(struct trp_runner *r, struct trp_worker *w, struct slice *s) {
    if (s->n - s->told < r->look)
        return false;
    int64_t now = trp_now();
    if (s->began) {
        int64_t each = (now - s->began) / (s->n - s->first);
        r->look = each < QUICK_NS ? LOOK_QUICK : LOOK;
        if (w->crew)
            trp_crew_look(w->crew, w, each);
    } else {
        s->began = now;
        s->first = s->n;
    }
    s->told = s->n;
    return s->n >= SLICE || now - s->began > SLICE_NS;
}

static bool run_slice(struct trp_runner *r, struct trp_worker *w) {
    struct trp_actor *a = NULL;
    struct slice slice = {0};
    if (!r->look)
        r->look = LOOK;
    bool over = false;
    while (next(r, w, a, over, &a)) {
        if (!a)
            return true;
        unsigned most = r->look;
        r->hops = most - 1;
        a = trp_worker_run(w, a);
        slice.n += most - r->hops;
        over = slice_over(r, w, &slice);
    }
    return false;
}

/* Says that the worker is about to wait. False: there is something to do. */
static bool fall_asleep(struct trp_runner *r, struct trp_worker *w) {
    if (atomic_load(&w->stop) || !trp_guard_enter(&w->queue.guard, &r->guest))
        return false;
    /* First: whoever wakes it counts it out again. */
    if (w->crew)
        trp_crew_asleep(w->crew);
    bool asleep = trp_runq_sleep(&w->queue);
    trp_guard_exit(&r->guest);
    if (!asleep && w->crew)
        trp_crew_woken(w->crew);
    return asleep;
}

static bool nothing_to_do(struct trp_runner *r, struct trp_worker *w) {
    if (w->crew)
        trp_system_settle(w->sys);
    return fall_asleep(r, w) && !(w->crew && trp_crew_steal(w->crew, w));
}

static int64_t wait_ms(struct trp_worker *w, int64_t deadline) {
    int64_t next = trp_worker_next_deadline(w);
    int64_t until = next < deadline ? next : deadline;
    return until == TRP_NEVER ? TROUPE_FOREVER : trp_deadline_ms(until, trp_now());
}

bool trp_runner_serve(struct trp_runner *r, struct trp_worker *w) {
    trp_worker_enter(w);
    r->at = w;
    while (!atomic_load_explicit(&w->stop, memory_order_acquire)) { /* pairs with the store in trp_worker_stop */
        trp_loop_once(&w->loop, nothing_to_do(r, w) ? wait_ms(w, TRP_NEVER) : 0);
        if (trp_runq_rouse(&w->queue) && w->crew)
            trp_crew_woken(w->crew);
        if (w->crew)
            trp_crew_busy(w->crew);
        if (w->timers.first)
            trp_timers_run(&w->timers, trp_now());
        trp_worker_wake_sleepers(w);
        if (!run_slice(r, w)) {
            trp_system_settle(w->sys);
            r->at = NULL;
            trp_worker_enter(NULL);
            return false;
        }
        trp_loop_flush(&w->loop);
    }
    trp_bus_close(&w->bus, TRP_BUS_FLUSH_MS);
    r->at = NULL;
    trp_worker_enter(NULL);
    return true;
}

void trp_worker_turn(struct trp_worker *w, int64_t deadline) {
    trp_loop_once(&w->loop, deadline == 0 ? 0 : wait_ms(w, deadline));
    if (w->timers.first)
        trp_timers_run(&w->timers, trp_now());
}

bool trp_worker_is_quiet(const struct trp_worker *w) {
    return w->loop.uv.active_handles == w->quiet && w->loop.uv.active_reqs.count == 0 && !w->loop.uv.closing_handles &&
           !w->timers.first;
}

void trp_worker_know_quiet(struct trp_worker *w) {
    w->quiet = w->loop.uv.active_handles;
}

/* --- its thread --- */

void trp_thread_name(const char *name) {
    char cut[16];
    snprintf(cut, sizeof cut, "%s", name);
    pthread_setname_np(pthread_self(), cut);
}

troupe_status trp_thread_start(pthread_t *out, void *(*fn)(void *), void *arg, size_t stack) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF};
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0)
        return TROUPE_NO_MEMORY;
    if (stack && pthread_attr_setstacksize(&attr, stack < 64 * 1024 ? 64 * 1024 : (stack + 4095) & ~(size_t)4095) != 0) {
        pthread_attr_destroy(&attr);
        return TROUPE_INVALID;
    }
    /* A new thread inherits the mask. What a thread does to itself stays open: blocked, it would end the process past any
     * handler of the program. */
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(out, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return err ? TROUPE_SYSTEM : TROUPE_OK;
}

void trp_runner_begin(struct trp_runner *r) {
    me = r;
    if (r)
        trp_fiber_adopt(&r->scheduler);
}

static void *worker_main(void *arg) {
    struct trp_worker *w = arg;
    trp_thread_name(w->name);
    trp_runner_begin(w->runner);
    (void)trp_runner_serve(w->runner, w);
    return NULL;
}

troupe_status trp_worker_new(struct trp_worker **out, troupe_system *sys, const char *name) {
    struct trp_worker *w = trp_calloc(1, sizeof *w);
    if (!w)
        return TROUPE_NO_MEMORY;
    w->sys = sys;
    trp_runq_init(&w->queue);
    snprintf(w->name, sizeof w->name, "%s", name);
    trp_bus_init(&w->bus, w);
    troupe_status st = trp_loop_init(&w->loop);
    if (st != TROUPE_OK) {
        trp_free(w);
        return st;
    }
    pthread_mutex_init(&w->sleepers_lock, NULL);
    trp_worker_know_quiet(w);
    trp_nap_init(&w->nap);
    *out = w;
    return TROUPE_OK;
}

void trp_worker_free(struct trp_worker *w) {
    if (!w)
        return;
    trp_assert(trp_runq_waiting(&w->queue) == 0 && !w->timers.first && !w->sleepers.first);
    trp_straight_free(&w->straight);
    trp_poller_free(w->poller);
    trp_loop_fini(&w->loop);
    pthread_mutex_destroy(&w->sleepers_lock);
    trp_nap_fini(&w->nap);
    trp_free(w);
}

troupe_status trp_worker_start(struct trp_worker *w) {
    struct trp_runner *r = trp_calloc(1, sizeof *r);
    if (!r)
        return TROUPE_NO_MEMORY;
    w->runner = r;
    trp_guard_give(&w->queue.guard, &r->guest);
    troupe_status st = trp_thread_start(&r->thread, worker_main, w, 0);
    if (st != TROUPE_OK) {
        w->runner = NULL;
        trp_free(r);
    }
    return st;
}

void trp_worker_stop(struct trp_worker *w) {
    atomic_store(&w->stop, true);
    trp_loop_wake(&w->loop);
}

void trp_worker_join(struct trp_worker *w) {
    if (!w || !w->runner)
        return;
    trp_worker_stop(w);
    pthread_join(w->runner->thread, NULL);
    trp_births_near_fini(&w->runner->births);
    trp_free(w->runner);
    w->runner = NULL;
}
