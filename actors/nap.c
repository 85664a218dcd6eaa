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

void trp_nap_init(struct trp_nap *n) {
    pthread_mutex_init(&n->lock, NULL);
}

void trp_nap_fini(struct trp_nap *n) {
    pthread_mutex_destroy(&n->lock);
}

void trp_nap_leave(struct trp_nap *n) {
    if (n->with)
        trp_actor_unref(n->with);
    n->with = NULL;
}

/* NULL: it talks to no process. Found once, and kept as long as it is the one. */
static struct trp_actor *peer_of(troupe_self *self) {
    struct trp_nap *n = &self->worker->nap;
    /* Relaxed: a hint. */
    uint64_t id = atomic_load_explicit(&n->peer, memory_order_relaxed);
    if (n->with && trp_actor_id(n->with) == id)
        return n->with;
    trp_nap_leave(n);
    n->patience.processors = self->worker->patience.processors;
    struct trp_actor *a = id ? trp_registry_get(&self->actor->sys->registry, id) : NULL;
    if (a && trp_proxy_of(a))
        n->with = a;
    else if (a)
        trp_actor_unref(a);
    else if (id) /* it is gone for ever */
        (void)atomic_compare_exchange_strong_explicit(&n->peer, &id, 0, memory_order_relaxed, memory_order_relaxed);
    return n->with;
}

/* Has what it waits for come? Relaxed: it is fetched with acquire. */
static bool has_come(struct trp_actor *me, bool mail) {
    return atomic_load_explicit(&me->wake, memory_order_relaxed) == TRP_NOTIFIED || (mail && trp_actor_has_mail(me));
}

/* There is something to be heard, or somebody else has woken it. */
static bool stirs(void *self) {
    const struct trp_worker *w = ((troupe_self *)self)->worker;
    return trp_channel_stirs(w->nap.ch) || has_come(((troupe_self *)self)->actor, false);
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

/* What sends a stream may be one of those that run first. */
static bool let_others_run(troupe_self *self) {
    return !stirs(self) && trp_drip_gives_way(&self->worker->nap.drip, trp_mailbox_handled(&self->actor->mailbox)) &&
           stirs(self);
}

static void doze(void *who, int64_t deadline) {
    troupe_self *self = who;
    const struct trp_nap *n = &self->worker->nap;
    if (!let_others_run(self) && trp_process_doze(n->with->run, n->ch))
        sleep_on(self->worker, self->actor, n->ch, deadline);
}

static const struct trp_patient napping = {stirs, doze};

bool trp_nap_park(troupe_self *self, int64_t deadline, bool mail, bool *in_time) {
    struct trp_actor *me = self->actor, *peer = trp_worker_is_quiet(self->worker) ? peer_of(self) : NULL;
    struct trp_nap *n = &self->worker->nap;
    if (!peer)
        return false;
    enum trp_hears hears = trp_process_hear(peer->run, &n->ch);
    if (hears == TRP_HEARS_NOBODY) {
        trp_nap_leave(n);
        return false;
    }
    bool come = has_come(me, mail) || (mail && trp_actor_await(me) != TROUPE_EMPTY);
    if (!come)
        trp_patience_wait(&n->patience, &napping, self, deadline);
    if (!come || hears == TRP_HEARS_TOO)
        trp_process_leave(peer->run, n->ch);
    trp_channel_unref(n->ch);
    *in_time = trp_actor_notified(me) || come || deadline == TRP_NEVER || trp_now() < deadline;
    return true;
}

void trp_nap_end(struct trp_nap *n) {
    pthread_mutex_lock(&n->lock);
    if (n->on)
        trp_channel_rouse(n->on);
    pthread_mutex_unlock(&n->lock);
}
