/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The watch: a thread that looks at the workers of a crew now and then, and otherwise sleeps. At each tick, for each worker:
 *
 *     it has run many bodies since the last tick     all is well
 *     it has run few, and others wait for it         its bodies are long: an idle worker is woken to take some (so it is
 *                                                    if others would, had it had time to hear their descriptors)
 *     it has run none: it is still with the same     for HOG_MS: it is told once, and the worker is taken over; if the body
 *                                                    is bound to the worker, others are let to take what is not
 *
 * What all of them have used of the processors is put down to whom they are found with (usage.c). Ticks get rarer while nothing
 * is the matter, and stop when all workers have been asleep for a while: an idle system does not wake up. A worker that goes on
 * after that wakes the watch, once. */
#include <time.h>

#include "actors/crew.h"
#include "actors/system.h"
#include "actors/usage.h"
#include "transports/log.h"

enum {
    TICK_MS = 2,      /* while something is the matter */
    TICK_MOST_MS = 8, /* and when all has been well for a while */
    LINGER_MS = 1000, /* before it sleeps */
    HOG_MS = 20,      /* a thread that gets no processor looks the same, so not less */
    LONG_NS = 20000,  /* a body that takes longer is worth moving at once */
};

/* What a tick finds of one worker. */
struct glance {
    struct trp_actor *rested; /* was found to wait for mail, and is to listen */
    bool busy, held, waiting;
    bool others; /* its deadlines or its connection may want it */
    uint64_t resumes, id;
};

static struct glance look(struct trp_worker *w, uint64_t resumes) {
    struct glance g = {0};
    pthread_mutex_lock(&w->sleepers_lock);
    g.others = w->sleepers.first != NULL;
    pthread_mutex_unlock(&w->sleepers_lock);
    trp_guard_lock(&w->queue.guard);
    g.others |= w->tied || trp_poller_used(w->poller);
    g.busy = w->current != NULL;
    g.held = w->held;
    trp_runq_fetch(&w->queue);
    g.waiting = trp_runq_waiting(&w->queue) > 0;
    g.resumes = w->resumes;
    if (g.busy && g.resumes == resumes)
        g.rested = trp_worker_rested(w);
    /* It may end meanwhile; its memory stays that of an actor. */
    g.id = g.busy ? trp_actor_id(w->current) : 0;
    trp_guard_unlock(&w->queue.guard);
    return g;
}

/* Thieves may take even the only one that waits, or all: until the worker runs its next. */
static void open_to_thieves(struct trp_crew *crew, struct trp_worker *w, bool generous, bool stuck) {
    trp_guard_lock(&w->queue.guard);
    w->queue.generous = generous;
    w->stuck = stuck && w->current;
    trp_guard_unlock(&w->queue.guard);
    if (generous || stuck)
        (void)trp_crew_call_help(crew);
}

static void tell(struct trp_crew *crew, struct trp_worker *w, uint64_t id, int64_t ms) {
    struct trp_actor *a = trp_registry_get(&crew->sys->registry, id);
    if (!a)
        return;
    trp_log(TROUPE_LOG_WARN, "actor.hog", "%s has kept %s for %lld ms without a call", a->birth->name, w->name, (long long)ms);
    trp_actor_unref(a);
}

/* What it would hear itself between two bodies. */
static void serve(struct trp_worker *w) {
    trp_worker_wake_sleepers(w);
    trp_poller_serve(w->poller);
}

/* The same body as at the last tick. */
static void on_hog(struct trp_crew *crew, struct trp_worker *w, struct trp_sight *s, const struct glance *g, int64_t now) {
    int64_t ms = (now - s->since) / TRP_NS_PER_MS;
    if (ms < HOG_MS) {
        open_to_thieves(crew, w, g->waiting, false);
        return;
    }
    if (!s->told)
        tell(crew, w, g->id, ms);
    s->told = true;
    if (g->held) {
        open_to_thieves(crew, w, true, true);
        serve(w);
    } else if ((g->waiting || g->others) && !trp_crew_take_over(crew, w, g->resumes)) {
        open_to_thieves(crew, w, true, true); /* too many of them, or no thread to be had */
    }
}

/* Its bodies are long, and nobody waits in its queue: but what descriptors and deadlines have to say it would hear only between
 * two of them, and may then find one at a time, for ever, while others sleep. True: somebody has waited. */
static bool hear(struct trp_crew *crew, struct trp_worker *w) {
    if (atomic_load(&crew->idle) == 0)
        return false;
    serve(w);
    trp_guard_lock(&w->queue.guard);
    trp_runq_fetch(&w->queue);
    bool waiting = trp_runq_waiting(&w->queue) > 0;
    trp_guard_unlock(&w->queue.guard);
    return waiting;
}

/* True: something is the matter. */
static bool visit(struct trp_crew *crew, unsigned i, int64_t now, int64_t tick_ms) {
    struct trp_worker *w = crew->workers[i];
    struct trp_sight *s = &crew->sights[i];
    struct glance g = look(w, s->resumes);
    if (g.rested)
        trp_worker_listens(g.rested);
    uint64_t ran = g.resumes - s->resumes;
    bool slow = g.busy && ran * LONG_NS < (uint64_t)tick_ms * TRP_NS_PER_MS;
    s->id = g.id;
    g.waiting = g.waiting || (slow && hear(crew, w));
    if (g.busy && ran == 0) {
        on_hog(crew, w, s, &g, now);
        return true;
    }
    slow = slow && g.waiting;
    *s = (struct trp_sight){.resumes = g.resumes, .since = now, .id = g.id};
    open_to_thieves(crew, w, slow, false);
    return slow;
}

/* With the lock; true: it is to end. */
static bool rest(struct trp_crew *crew, int64_t ms) {
    int64_t until = trp_now() + ms * TRP_NS_PER_MS;
    struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    if (!crew->closing_watch)
        pthread_cond_timedwait(&crew->watch_cond, &crew->lock, &t);
    return crew->closing_watch;
}

/* Until a worker goes on. With the lock. */
static void sleep_long(struct trp_crew *crew) {
    atomic_store(&crew->watch_asleep, true);
    /* After that, sequentially consistent: see trp_crew_busy. */
    while (!crew->closing_watch && atomic_load(&crew->watch_asleep) && atomic_load(&crew->idle) == crew->count)
        pthread_cond_wait(&crew->watch_cond, &crew->lock);
    atomic_store(&crew->watch_asleep, false);
}

static void *watch_main(void *arg) {
    struct trp_crew *crew = arg;
    int64_t tick = TICK_MS, quiet = 0;
    trp_thread_name("watch");
    pthread_mutex_lock(&crew->lock);
    while (!rest(crew, tick)) {
        bool matter = false;
        quiet = atomic_load(&crew->idle) == crew->count && !trp_usage_goes_on(crew) ? quiet + tick : 0;
        pthread_mutex_unlock(&crew->lock);
        for (unsigned i = 0; i < crew->count; i++)
            matter |= visit(crew, i, trp_now(), tick);
        trp_usage_sample(crew);
        tick = matter || tick * 2 > TICK_MOST_MS ? (matter ? TICK_MS : TICK_MOST_MS) : tick * 2;
        pthread_mutex_lock(&crew->lock);
        if (quiet >= LINGER_MS) {
            sleep_long(crew);
            quiet = 0;
            tick = TICK_MS;
        }
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

troupe_status trp_watch_start(struct trp_crew *crew) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->watch_cond, &attr);
    pthread_condattr_destroy(&attr);
    troupe_status st = trp_thread_start(&crew->watch, watch_main, crew, 0);
    if (st != TROUPE_OK)
        pthread_cond_destroy(&crew->watch_cond);
    crew->watched = st == TROUPE_OK;
    return st;
}

void trp_watch_stop(struct trp_crew *crew) {
    if (!crew->watched)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->closing_watch = true;
    pthread_cond_signal(&crew->watch_cond);
    pthread_mutex_unlock(&crew->lock);
    pthread_join(crew->watch, NULL);
    pthread_cond_destroy(&crew->watch_cond);
    crew->watched = false;
}
