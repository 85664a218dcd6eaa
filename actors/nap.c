/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The order of things, on the napper's side:
 *
 *     hear: read all that is there                      (under the proxy's `up`, as all that touches the reading end)
 *     look for more, for a while, if that pays
 *     say on the word that it sleeps there; hear again if something has come
 *     be PARKED for the others of this process
 *     sleep
 *     not be PARKED any more; hear; hand the word to the steward again
 *
 * While the word says nothing of sleep, the body wakes nobody, and it is this thread that owes it a look. */
#include "actors/nap.h"

#include "actors/process.h"
#include "actors/self.h"
#include "actors/system.h"
#include "transports/spin.h"

void trp_nap_init(struct trp_nap *n) {
    pthread_mutex_init(&n->lock, NULL);
}

void trp_nap_fini(struct trp_nap *n) {
    pthread_mutex_destroy(&n->lock);
}

/* With a reference; NULL: it talks to no process. */
static struct trp_actor *peer_of(troupe_self *self) {
    /* Relaxed: a hint. */
    uint64_t id = atomic_load_explicit(&self->worker->nap.peer, memory_order_relaxed);
    struct trp_actor *a = id ? trp_registry_get(&self->actor->sys->registry, id) : NULL;
    if (a && trp_proxy_of(a))
        return a;
    if (a)
        trp_actor_unref(a);
    return NULL;
}

static bool is_notified(const struct trp_actor *me) {
    return atomic_load_explicit(&me->wake, memory_order_acquire) == TRP_NOTIFIED;
}

/* Until something has come, or it has taken long enough. */
static bool look(const struct trp_actor *me, struct trp_channel *ch, int64_t began) {
    do {
        for (int i = 0; i < TRP_PATIENCE_LOOKS; i++) {
            if (trp_channel_stirs(ch) || is_notified(me))
                return true;
            trp_spin_relax();
        }
    } while (trp_now() - began < TRP_PATIENCE_NS);
    return false;
}

static void set_on(struct trp_nap *n, struct trp_channel *ch) {
    pthread_mutex_lock(&n->lock);
    n->on = ch;
    pthread_mutex_unlock(&n->lock);
}

/* Said to sleep on the word already. */
static void sleep_on(struct trp_worker *w, struct trp_actor *me, struct trp_channel *ch, int64_t deadline) {
    set_on(&w->nap, ch);
    trp_slumber_begin(&w->slumber, TRP_NAPPING);
    if (trp_actor_parks(me)) {
        trp_channel_doze(ch, deadline);
        if (!trp_actor_unparks(me))
            trp_slumber_await(&w->slumber);
    }
    trp_slumber_over(&w->slumber);
    set_on(&w->nap, NULL);
}

static void nap(troupe_self *self, struct trp_proxy *p, struct trp_channel *ch, int64_t deadline) {
    struct trp_actor *me = self->actor;
    struct trp_nap *n = &self->worker->nap;
    bool may = n->patience.may_spin = self->worker->patience.may_spin, looks = may && trp_patience_looks(&n->patience);
    int64_t began = may ? trp_now() : 0;
    if (!(looks && look(me, ch, began)) && trp_process_doze(p, ch))
        sleep_on(self->worker, me, ch, deadline);
    if (may)
        trp_patience_learn(&n->patience, looks, trp_now() - began);
}

bool trp_nap_park(troupe_self *self, int64_t deadline, bool *in_time) {
    struct trp_actor *me = self->actor, *peer = peer_of(self);
    if (!peer)
        return false;
    struct trp_channel *ch = trp_process_hear(peer->run);
    bool naps = ch && trp_worker_is_quiet(self->worker);
    if (naps && !is_notified(me))
        nap(self, peer->run, ch, deadline);
    if (ch)
        trp_process_leave(peer->run, ch);
    trp_actor_unref(peer);
    if (!naps)
        return false;
    /* Acquire pairs with the release in trp_actor_unpark: what it was woken for can be seen. */
    *in_time = atomic_exchange_explicit(&me->wake, TRP_AWAKE, memory_order_acquire) == TRP_NOTIFIED || deadline == TRP_NEVER ||
               trp_now() < deadline;
    return true;
}

void trp_nap_end(struct trp_nap *n) {
    pthread_mutex_lock(&n->lock);
    if (n->on)
        trp_channel_rouse(n->on);
    pthread_mutex_unlock(&n->lock);
}
