/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Sleeping and waking. A worker that finds nothing to do says so (asleep), looks once more at what others may have
 * sent it, and only then waits in its loop. Whoever sends to it pushes first and looks at asleep afterwards:
 *
 *     worker                              other thread
 *     asleep = true                       push to inbound
 *     inbound empty? then wait            asleep? then set it to false and wake the loop
 *
 * Both sides are sequentially consistent, so at least one sees the other: no wake is lost, a busy worker is never
 * woken by a system call, and of many senders one wakes. */
#include "actors/worker.h"

#include <signal.h>
#include <stdio.h>

#include "actors/backend.h"
#include "transports/alloc.h"
#include "transports/assert.h"

/* A slice is this many resumes, and is cut short after so long (looked at now and then): the connection and the
 * deadlines wait for its end. */
enum { SLICE = 512, SLICE_LOOK = 16, SLICE_NS = 1000000 };

static _Thread_local struct trp_worker *here;

/* Not inlined: the address of a thread-local must not be kept by the compiler across a switch of stacks. */
__attribute__((noinline)) struct trp_worker *trp_worker_here(void) {
    return here;
}

__attribute__((noinline)) void trp_worker_enter(struct trp_worker *w) {
    here = w;
}

/* --- queues --- */

static void queue_init(struct trp_queue *q) {
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_add(struct trp_queue *q, struct trp_actor *a) {
    a->next = NULL;
    *q->tail = a;
    q->tail = &a->next;
}

static struct trp_actor *queue_take(struct trp_queue *q) {
    struct trp_actor *a = q->head;
    if (!a)
        return NULL;
    q->head = a->next;
    if (!q->head)
        q->tail = &q->head;
    return a;
}

static void inbound_push(struct trp_worker *w, struct trp_actor *a) {
    struct trp_actor *head = atomic_load_explicit(&w->inbound, memory_order_relaxed);
    do {
        a->next = head;
        /* Sequentially consistent: before the look at asleep. */
    } while (!atomic_compare_exchange_weak(&w->inbound, &head, a));
    if (atomic_load(&w->asleep) && atomic_exchange(&w->asleep, false))
        trp_loop_wake(&w->loop);
}

/* All at once, so that nothing can come in between; then turned round into the order of arrival. */
static void inbound_drain(struct trp_worker *w) {
    /* Relaxed: a hint; if it is empty now, the look after `asleep` is the one that counts. */
    if (!atomic_load_explicit(&w->inbound, memory_order_relaxed))
        return;
    /* Acquire pairs with the release in inbound_push. */
    struct trp_actor *a = atomic_exchange_explicit(&w->inbound, NULL, memory_order_acquire), *first = NULL;
    while (a) {
        struct trp_actor *older = a->next;
        a->next = first;
        first = a;
        a = older;
    }
    while (first) {
        struct trp_actor *next = first->next;
        queue_add(&w->ready, first);
        first = next;
    }
}

void trp_worker_push(struct trp_worker *w, struct trp_actor *a) {
    if (trp_worker_here() == w)
        queue_add(&w->ready, a);
    else
        inbound_push(w, a);
}

/* --- turns --- */

/* It has given the thread back: from now on somebody else may queue it, unless somebody wanted to already. */
static void park_commit(struct trp_worker *w, struct trp_actor *a) {
    unsigned awake = TRP_AWAKE;
    /* Release pairs with the acquire in trp_actor_unpark: all that it did comes before its next run. */
    if (!atomic_compare_exchange_strong_explicit(&a->wake, &awake, TRP_PARKED, memory_order_release, memory_order_relaxed))
        queue_add(&w->ready, a);
}

static void run_one(struct trp_worker *w, struct trp_actor *a) {
    /* Acquire pairs with the release in trp_actor_unpark: what it was woken for can be seen. */
    atomic_exchange_explicit(&a->wake, TRP_AWAKE, memory_order_acquire);
    switch (a->backend->run(a)) {
    case TRP_RAN_PARKED:
        park_commit(w, a);
        break;
    case TRP_RAN_YIELDED:
        queue_add(&w->ready, a);
        break;
    case TRP_RAN_GONE:
        break;
    }
}

static void run_slice(struct trp_worker *w) {
    struct trp_actor *a;
    int64_t began = 0;
    for (unsigned n = 1; n <= SLICE && (a = queue_take(&w->ready)); n++) {
        run_one(w, a);
        if (n % SLICE_LOOK)
            continue;
        inbound_drain(w);
        int64_t now = trp_now();
        began = began ? began : now;
        if (now - began > SLICE_NS)
            break;
    }
}

static void on_turn(void *ctx) {
    struct trp_worker *w = ctx;
    inbound_drain(w);
    if (w->timers.first)
        trp_timers_run(&w->timers, trp_now());
    if (w->ready.head)
        run_slice(w);
}

/* Says that the worker is about to wait. False: something has come meanwhile. */
static bool fall_asleep(struct trp_worker *w) {
    atomic_store(&w->asleep, true);
    if (!atomic_load(&w->inbound) && !atomic_load(&w->stop))
        return true;
    atomic_store(&w->asleep, false);
    return false;
}

void trp_worker_turn(struct trp_worker *w, int64_t deadline) {
    int64_t ms = 0;
    if (!w->ready.head && deadline != 0 && fall_asleep(w)) {
        int64_t next = trp_timers_next(&w->timers);
        int64_t until = next < deadline ? next : deadline;
        ms = until == TRP_NEVER ? TROUPE_FOREVER : trp_deadline_ms(until, trp_now());
    }
    trp_loop_once(&w->loop, ms);
    /* Relaxed: late is harmless, a wake too many. */
    atomic_store_explicit(&w->asleep, false, memory_order_relaxed);
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

static void *worker_main(void *arg) {
    struct trp_worker *w = arg;
    trp_thread_name(w->name);
    trp_worker_enter(w);
    trp_fiber_adopt(&w->scheduler);
    /* Acquire pairs with the store in trp_worker_stop. */
    while (!atomic_load_explicit(&w->stop, memory_order_acquire))
        trp_worker_turn(w, TRP_NEVER);
    trp_bus_close(&w->bus, TRP_BUS_FLUSH_MS);
    trp_worker_enter(NULL);
    return NULL;
}

troupe_status trp_worker_new(struct trp_worker **out, troupe_system *sys, const char *name) {
    struct trp_worker *w = trp_calloc(1, sizeof *w);
    if (!w)
        return TROUPE_NO_MEMORY;
    w->sys = sys;
    queue_init(&w->ready);
    snprintf(w->name, sizeof w->name, "%s", name);
    trp_bus_init(&w->bus, w);
    troupe_status st = trp_loop_init(&w->loop);
    if (st != TROUPE_OK) {
        trp_free(w);
        return st;
    }
    w->loop.turn = on_turn;
    w->loop.turn_ctx = w;
    *out = w;
    return TROUPE_OK;
}

void trp_worker_free(struct trp_worker *w) {
    if (!w)
        return;
    trp_assert(!w->ready.head && !atomic_load(&w->inbound) && !w->timers.first);
    trp_poller_free(w->poller);
    trp_loop_fini(&w->loop);
    trp_free(w);
}

troupe_status trp_worker_start(struct trp_worker *w) {
    troupe_status st = trp_thread_start(&w->thread, worker_main, w, 0);
    w->running = st == TROUPE_OK;
    return st;
}

void trp_worker_join(struct trp_worker *w) {
    if (!w || !w->running)
        return;
    atomic_store(&w->stop, true);
    trp_loop_wake(&w->loop);
    pthread_join(w->thread, NULL);
    w->running = false;
}
