/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who may take what from whom. A theft enters two guards of queues, one after the other, never both at once. Which runner
 * serves which worker is changed under the crew's lock with the guard of that worker's queue inside it. */
#include "actors/crew.h"

#include <stdio.h>

#include "actors/coroutine.h"
#include "actors/overflow.h"
#include "actors/system.h"
#include "actors/usage.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum {
    HOGS_MOST = 16,   /* threads beyond the number of workers: so many hogs at once are taken over from */
    WORTH_NS = 20000, /* who only sends and receives gives way sooner, and is best left with those it talks to */
    CROWD = 128,      /* so many that wait are worth it at any price */
    BROOD = 32,       /* so many not born yet, too: they have nobody here to talk to so far, and may have many children */
};

/* --- sleeping, helping --- */

void trp_crew_asleep(struct trp_crew *crew) {
    atomic_fetch_add(&crew->idle, 1);
}

void trp_crew_woken(struct trp_crew *crew) {
    atomic_fetch_sub(&crew->idle, 1);
}

void trp_crew_busy(struct trp_crew *crew) {
    /* Sequentially consistent, after `idle` has been lowered: the watch first says that it sleeps, and then looks at that. */
    if (atomic_load(&crew->watch_asleep) && atomic_exchange(&crew->watch_asleep, false)) {
        pthread_mutex_lock(&crew->lock);
        pthread_cond_signal(&crew->watch_cond);
        pthread_mutex_unlock(&crew->lock);
    }
}

bool trp_crew_call_help(struct trp_crew *crew) {
    if (atomic_load(&crew->idle) == 0 || atomic_exchange(&crew->searching, true))
        return false;
    for (unsigned i = 0; i < crew->count; i++) {
        if (trp_worker_rouse(crew->workers[i]))
            return true;
    }
    atomic_store(&crew->searching, false);
    return false;
}

void trp_crew_look(struct trp_crew *crew, struct trp_worker *w, int64_t ns) {
    /* Relaxed: somebody who falls asleep now can wait for the next look. */
    if (atomic_load_explicit(&crew->idle, memory_order_relaxed) == 0)
        return;
    struct trp_guest *me = &trp_runner_here()->guest;
    if (!trp_guard_enter(&w->queue.guard, me))
        return;
    unsigned n = trp_runq_roaming(&w->queue), unborn = w->queue.births.count;
    trp_guard_exit(me);
    if ((n >= 2 && ns > WORTH_NS) || n >= CROWD || unborn >= BROOD)
        (void)trp_crew_call_help(crew);
}

/* --- stealing --- */

static bool steal_from(struct trp_worker *from, struct trp_worker *w) {
    struct trp_runs loot;
    trp_guard_lock(&from->queue.guard);
    /* What waits behind a body that can't be moved is taken in full: it would not be run there. */
    unsigned n = trp_runq_split(&from->queue, from->stuck, &loot);
    trp_guard_unlock(&from->queue.guard);
    if (n == 0)
        return false;
    struct trp_guest *me = &trp_runner_here()->guest;
    /* It has nothing to run, so nobody takes it over. */
    trp_assert(trp_guard_enter(&w->queue.guard, me));
    trp_runq_join(&w->queue, &loot);
    trp_guard_exit(me);
    return true;
}

bool trp_crew_steal(struct trp_crew *crew, struct trp_worker *w) {
    unsigned first = 0;
    bool stolen = false;
    while (first < crew->count && crew->workers[first] != w)
        first++;
    for (unsigned i = 1; i < crew->count && !stolen; i++)
        stolen = steal_from(crew->workers[(first + i) % crew->count], w);
    atomic_store(&crew->searching, false);
    return stolen;
}

struct trp_worker *trp_crew_place(struct trp_crew *crew) {
    struct trp_worker *w = trp_worker_here();
    if (w && w->crew == crew)
        return w;
    /* Relaxed: any order of turns will do. */
    return crew->workers[atomic_fetch_add_explicit(&crew->placed, 1, memory_order_relaxed) % crew->count];
}

/* --- runners --- */

/* The worker that it is to serve; NULL: it is to end. */
static struct trp_worker *assignment(struct trp_runner *r) {
    struct trp_crew *crew = r->crew;
    pthread_mutex_lock(&crew->lock);
    while (!r->worker && !crew->closing)
        pthread_cond_wait(&crew->work, &crew->lock);
    struct trp_worker *w = r->worker;
    pthread_mutex_unlock(&crew->lock);
    return w;
}

static void *runner_main(void *arg) {
    struct trp_runner *r = arg;
    struct trp_worker *w = assignment(r);
    trp_runner_begin(r);
    trp_overflow_begin(NULL);
    if (w)
        trp_thread_name(w->name);
    while (w && !trp_runner_serve(r, w)) {
        pthread_mutex_lock(&r->crew->lock);
        r->worker = NULL; /* somebody else serves it now */
        r->hog = 0;
        pthread_mutex_unlock(&r->crew->lock);
        w = assignment(r);
    }
    trp_overflow_end();
    return NULL;
}

static struct trp_runner *runner_spare(struct trp_crew *crew) {
    struct trp_runner *r = crew->runners;
    while (r && r->worker)
        r = r->next;
    return r;
}

/* Under the lock, for which its thread waits before it does anything. */
static troupe_status runner_new(struct trp_crew *crew, struct trp_runner **out) {
    struct trp_runner *r = trp_calloc(1, sizeof *r);
    if (!r)
        return TROUPE_NO_MEMORY;
    r->crew = crew;
    troupe_status st = trp_thread_start(&r->thread, runner_main, r, 0);
    if (st != TROUPE_OK) {
        trp_free(r);
        return st;
    }
    r->next = crew->runners;
    crew->runners = r;
    crew->threads++;
    *out = r;
    return TROUPE_OK;
}

/* The worker's guard is taken inside the crew's lock; nobody does it the other way round. */
static bool hand_over(struct trp_worker *w, uint64_t resumes, struct trp_runner *r) {
    trp_guard_lock(&w->queue.guard);
    bool still = w->current && !w->held && w->resumes == resumes;
    if (still) {
        trp_guard_give(&w->queue.guard, &r->guest);
        w->current = NULL;
    }
    trp_guard_unlock(&w->queue.guard);
    return still;
}

bool trp_crew_take_over(struct trp_crew *crew, struct trp_worker *w, uint64_t resumes) {
    pthread_mutex_lock(&crew->lock);
    struct trp_runner *r = runner_spare(crew);
    bool got = r || (crew->threads < crew->count + HOGS_MOST && runner_new(crew, &r) == TROUPE_OK);
    bool done = got && hand_over(w, resumes, r);
    if (done) {
        trp_usage_left(crew, w);
        r->worker = w;
        pthread_cond_broadcast(&crew->work);
    }
    pthread_mutex_unlock(&crew->lock);
    return done;
}

/* --- opening, closing --- */

static troupe_status worker_open(struct trp_crew *crew, unsigned i) {
    char name[16];
    snprintf(name, sizeof name, "worker-%u", i % 1000);
    troupe_status st = trp_worker_new(&crew->workers[i], crew->sys, name);
    if (st != TROUPE_OK)
        return st;
    crew->workers[i]->crew = crew;
    /* Now, while it is nobody's: a coroutine that wants it may be one from which the worker has just been taken. */
    return trp_poller_new(&crew->workers[i]->poller, &crew->workers[i]->loop);
}

static troupe_status worker_man(struct trp_crew *crew, struct trp_worker *w) {
    pthread_mutex_lock(&crew->lock);
    struct trp_runner *r;
    troupe_status st = runner_new(crew, &r);
    if (st == TROUPE_OK) {
        r->worker = w;
        trp_guard_give(&w->queue.guard, &r->guest);
    }
    pthread_mutex_unlock(&crew->lock);
    return st;
}

troupe_status trp_crew_open(struct trp_crew *crew, troupe_system *sys, unsigned count) {
    troupe_status st = TROUPE_OK;
    *crew = (struct trp_crew){.sys = sys, .count = count};
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->work, NULL);
    crew->workers = trp_calloc(count, sizeof(struct trp_worker *));
    crew->sights = trp_calloc(count, sizeof *crew->sights);
    if (!crew->workers || !crew->sights)
        st = TROUPE_NO_MEMORY;
    for (unsigned i = 0; st == TROUPE_OK && i < count; i++)
        st = worker_open(crew, i);
    for (unsigned i = 0; st == TROUPE_OK && i < count; i++)
        st = worker_man(crew, crew->workers[i]);
    if (st == TROUPE_OK)
        st = trp_watch_start(crew);
    if (st != TROUPE_OK)
        trp_crew_close(crew);
    return st;
}

static void runners_join(struct trp_crew *crew) {
    pthread_mutex_lock(&crew->lock);
    crew->closing = true;
    pthread_cond_broadcast(&crew->work);
    pthread_mutex_unlock(&crew->lock);
    /* Nobody makes another: the watch is gone. Each may look at any other as long as one is left. */
    for (struct trp_runner *r = crew->runners; r; r = r->next)
        pthread_join(r->thread, NULL);
    while (crew->runners) {
        struct trp_runner *r = crew->runners;
        crew->runners = r->next;
        trp_coroutine_free(r->carrier, &crew->sys->stacks);
        trp_stacks_near_fini(&r->stacks, &crew->sys->stacks);
        trp_births_near_fini(&r->births);
        trp_free(r);
    }
}

void trp_crew_close(struct trp_crew *crew) {
    if (!crew->sys)
        return;
    trp_watch_stop(crew);
    for (unsigned i = 0; crew->workers && i < crew->count; i++) {
        if (crew->workers[i])
            trp_worker_stop(crew->workers[i]);
    }
    runners_join(crew);
    for (unsigned i = 0; crew->workers && i < crew->count; i++)
        trp_worker_free(crew->workers[i]);
    trp_free((void *)crew->workers);
    trp_free(crew->sights);
    pthread_cond_destroy(&crew->work);
    pthread_mutex_destroy(&crew->lock);
    *crew = (struct trp_crew){0};
}
