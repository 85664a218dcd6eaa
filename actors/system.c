/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Opening, spawning, closing.
 *
 * The order of opening matters: the nursery is forked before there is anything that a fork would copy half (threads,
 * loops, buffers of stdio). The order of closing is the other way round, and each step waits for the one before:
 * bodies return, threads are joined, workers stop, the nursery goes, memory is freed. */
#include "actors/system.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/log.h"

/* --- workers --- */

static void workers_stop(struct trp_worker **workers, unsigned count) {
    for (unsigned i = 0; workers && i < count; i++)
        trp_worker_stop(workers[i]);
    trp_free((void *)workers);
}

static troupe_status worker_launch(troupe_system *sys, struct trp_worker **out, const char *name) {
    troupe_status st = trp_worker_new(out, sys, name);
    if (st != TROUPE_OK)
        return st;
    st = trp_worker_start(*out);
    if (st != TROUPE_OK) {
        trp_worker_free(*out);
        *out = NULL;
    }
    return st;
}

/* Under the lock, which nobody else waits for but other first coroutines. */
static troupe_status workers_launch(troupe_system *sys) {
    struct trp_worker **workers = trp_calloc(sys->count, sizeof *workers);
    troupe_status st = workers ? TROUPE_OK : TROUPE_NO_MEMORY;
    for (unsigned i = 0; st == TROUPE_OK && i < sys->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "worker-%u", i % 1000);
        st = worker_launch(sys, &workers[i], name);
    }
    if (st != TROUPE_OK) {
        workers_stop(workers, sys->count);
        return st;
    }
    sys->workers = workers;
    /* Release pairs with the acquire in trp_system_worker. */
    atomic_store_explicit(&sys->ready, workers, memory_order_release);
    return TROUPE_OK;
}

troupe_status trp_system_worker(troupe_system *sys, struct trp_worker **out) {
    struct trp_worker **workers = atomic_load_explicit(&sys->ready, memory_order_acquire);
    if (!workers) {
        pthread_mutex_lock(&sys->lock);
        troupe_status st = sys->workers ? TROUPE_OK : workers_launch(sys);
        workers = sys->workers;
        pthread_mutex_unlock(&sys->lock);
        if (st != TROUPE_OK)
            return st;
    }
    /* Relaxed: any order of turns will do. */
    *out = workers[atomic_fetch_add_explicit(&sys->placed, 1, memory_order_relaxed) % sys->count];
    return TROUPE_OK;
}

static troupe_status steward_launch(troupe_system *sys) {
    struct trp_worker *w;
    troupe_status st = trp_worker_new(&w, sys, "steward");
    if (st == TROUPE_OK && (st = trp_nursery_attach(&sys->nursery, &w->loop)) == TROUPE_OK)
        st = trp_worker_start(w);
    else
        w = NULL;
    if (st != TROUPE_OK) {
        trp_nursery_detach(&sys->nursery);
        trp_worker_free(w);
        return st;
    }
    sys->steward = w;
    /* Release pairs with the acquire in trp_system_steward. */
    atomic_store_explicit(&sys->steady, w, memory_order_release);
    return TROUPE_OK;
}

troupe_status trp_system_steward(troupe_system *sys, struct trp_worker **out) {
    struct trp_worker *w = atomic_load_explicit(&sys->steady, memory_order_acquire);
    if (!w) {
        pthread_mutex_lock(&sys->lock);
        troupe_status st = sys->steward ? TROUPE_OK : steward_launch(sys);
        w = sys->steward;
        pthread_mutex_unlock(&sys->lock);
        if (st != TROUPE_OK)
            return st;
    }
    *out = w;
    return TROUPE_OK;
}
