/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "actors/usage.h"

#include <time.h>

#include "actors/system.h"

static struct trp_sight *sight_of(const struct trp_crew *crew, const struct trp_worker *w) {
    unsigned i = 0;
    while (crew->workers[i] != w)
        i++;
    return &crew->sights[i];
}

/* Whom it is with; 0: nobody. */
static uint64_t found_with(struct trp_crew *crew, const struct trp_runner *r) {
    pthread_mutex_lock(&crew->lock);
    uint64_t id = r->hog ? r->hog : r->worker ? sight_of(crew, r->worker)->id : 0;
    pthread_mutex_unlock(&crew->lock);
    return id;
}

/* Since the last time. */
static int64_t used(struct trp_runner *r) {
    struct timespec t;
    clockid_t clock;
    if (pthread_getcpuclockid(r->thread, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec, ns = now - r->used;
    r->used = now;
    return ns;
}

static void put_down(troupe_system *sys, uint64_t id, uint32_t ms) {
    struct trp_actor *a = trp_registry_get(&sys->registry, id);
    if (!a)
        return;
    /* Relaxed, one writer: a figure to be looked at. */
    uint32_t before = atomic_load_explicit(&a->cpu_ms, memory_order_relaxed), sum = before + ms;
    atomic_store_explicit(&a->cpu_ms, sum < before ? UINT32_MAX : sum, memory_order_relaxed);
    trp_actor_unref(a);
}

void trp_usage_sample(struct trp_crew *crew) {
    pthread_mutex_lock(&crew->lock);
    struct trp_runner *r = crew->runners; /* what is behind the first does not change */
    pthread_mutex_unlock(&crew->lock);
    for (; r; r = r->next) {
        uint64_t id = found_with(crew, r);
        int64_t ns = used(r);
        if (!id)
            continue;
        ns += crew->unused_ns;
        crew->unused_ns = ns % TRP_NS_PER_MS;
        if (ns >= TRP_NS_PER_MS)
            put_down(crew->sys, id, (uint32_t)(ns / TRP_NS_PER_MS));
    }
}

void trp_usage_left(struct trp_crew *crew, const struct trp_worker *w) {
    struct trp_sight *s = sight_of(crew, w);
    for (struct trp_runner *r = crew->runners; r; r = r->next) {
        if (r->worker == w && !r->hog)
            r->hog = s->id;
    }
    s->id = 0;
}

bool trp_usage_goes_on(const struct trp_crew *crew) {
    const struct trp_runner *r = crew->runners;
    while (r && !r->hog)
        r = r->next;
    return r != NULL;
}

int64_t trp_usage_ns(struct trp_actor *a) {
    int64_t ms = atomic_load_explicit(&a->cpu_ms, memory_order_relaxed);
    return a->sys->stage ? -1 : ms * TRP_NS_PER_MS;
}
