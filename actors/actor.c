/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An actor's identity and its life, whatever kind it is. Each function takes the actor's lock once, decides there, and does
 * what has effects on others (waking them, freeing their messages) after it. */
#include "actors/actor.h"

#include "actors/backend.h"
#include "actors/letters.h"
#include "actors/registry.h"
#include "actors/system.h"
#include "actors/topics.h"
#include "transports/assert.h"

/* --- identity --- */

void trp_actor_init(struct trp_actor *a) {
    pthread_mutex_init(&a->lock, NULL);
}

void trp_actor_fini(struct trp_actor *a) {
    pthread_mutex_destroy(&a->lock);
}

void trp_actor_begin(struct trp_actor *a, troupe_system *sys, struct trp_birth *birth) {
    a->next = NULL;
    a->backend = NULL;
    a->sys = sys;
    a->worker = NULL;
    a->roams = false;
    a->birth = birth;
    a->run = NULL;
    a->deep = 0;
    a->life = TRP_RUNNING;
    atomic_init(&a->lives, 0);
    a->again = a->begun = false;
    atomic_init(&a->dropped, 0);
    atomic_init(&a->cpu_ms, 0);
    a->backoff_ms = 0;
    a->born = 0;
    /* A late unpark without a reference may touch it now (trp_actor_unpark_bare). */
    atomic_store_explicit(&a->wake, TRP_AWAKE, memory_order_relaxed);
    atomic_init(&a->killed, false);
    atomic_init(&a->finished, NULL);
    /* What moves on at once (a process's mail, an object's) is looked at under the lock. */
    bool exact = (int)birth->kind >= (int)TROUPE_PROCESS;
    trp_mailbox_init(&a->mailbox, birth->mailbox, birth->mailbox_bytes, birth->overflow, exact);
    a->asks = a->joins = (struct trp_waits){NULL};
    atomic_init(&a->bonds, NULL);
}

struct trp_actor *trp_actor_ref(struct trp_actor *a) {
    /* Relaxed: whoever takes a reference holds one already. */
    unsigned before = atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    trp_assert(before > 0 && before < UINT32_MAX);
    return a;
}

static void actor_free(struct trp_actor *a) {
    trp_assert(trp_mailbox_empty(&a->mailbox) && !a->mailbox.parked.last && !a->asks.last && !a->joins.last);
    const struct trp_backend *backend = a->backend;
    if (backend && backend->free)
        backend->free(a);
    trp_birth_free(a->birth);
    a->birth = NULL;
    trp_bonds_free(a->bonds);
    trp_registry_put(&a->sys->registry, a);
}

void trp_actor_unref(struct trp_actor *a) {
    /* Release what this thread did with it, acquire what the others did, before its slot is used again. */
    unsigned before = atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel);
    trp_assert(before > 0);
    if (before == 1)
        actor_free(a);
}

/* --- life --- */

static void life_set(struct trp_actor *a, enum trp_life next) {
    static const bool allowed[][TRP_ENDED + 1] = {
        [TRP_STARTING] = {[TRP_RUNNING] = true, [TRP_CLOSING] = true, [TRP_ENDED] = true},
        [TRP_RUNNING] = {[TRP_STARTING] = true, [TRP_CLOSING] = true, [TRP_ENDED] = true},
        [TRP_CLOSING] = {[TRP_ENDED] = true},
        [TRP_ENDED] = {false},
    };
    trp_assert(allowed[a->life][next]);
    a->life = next;
    trp_standing_set(&a->sys->standing, a);
}

/* Sends away senders in line. False: there are more. Under the lock. */
static bool expel(struct trp_actor *a, troupe_status st, struct trp_wakes *w) {
    struct trp_send *s = NULL;
    while (w->n < TRP_WAKES && (s = trp_mailbox_expel(&a->mailbox)))
        trp_wait_finish(&s->wait, st, w);
    return s == NULL;
}

/* A closing actor takes nothing more, so nobody comes to the line while this goes on. */
static void expel_all_unlock(struct trp_actor *a, troupe_status st) {
    struct trp_wakes w;
    w.n = 0;
    for (bool all = false; !all;) {
        all = expel(a, st, &w);
        pthread_mutex_unlock(&a->lock);
        trp_wakes_run(&w);
        if (!all)
            pthread_mutex_lock(&a->lock);
    }
}

static troupe_status shut(struct trp_actor *a, bool kill) {
    pthread_mutex_lock(&a->lock);
    if (a->life == TRP_ENDED) {
        pthread_mutex_unlock(&a->lock);
        return TROUPE_NOT_FOUND;
    }
    if (kill) {
        /* Relaxed: who must see it with something else looks under the lock. */
        atomic_store_explicit(&a->killed, true, memory_order_relaxed);
        trp_mailbox_kill(&a->mailbox);
    }
    if (a->life != TRP_CLOSING)
        life_set(a, TRP_CLOSING);
    trp_mailbox_shut(&a->mailbox);
    expel_all_unlock(a, TROUPE_CLOSED);
    trp_actor_unpark(a);
    return TROUPE_OK;
}

troupe_status trp_actor_close(struct trp_actor *a) {
    return shut(a, false);
}

troupe_status trp_actor_kill(struct trp_actor *a) {
    return shut(a, true);
}

bool trp_actor_is_closing(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    bool closing = a->life == TRP_CLOSING || a->life == TRP_ENDED;
    pthread_mutex_unlock(&a->lock);
    return closing;
}

/* Closed before its first life: it lives for what is queued. */
static bool enter_first(const struct trp_actor *a) {
    return !trp_actor_killed(a);
}

static bool enter_again(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    bool enter = !trp_actor_killed(a) && (a->life == TRP_STARTING || a->again);
    a->again = false;
    if (enter && a->life == TRP_STARTING)
        life_set(a, TRP_RUNNING);
    pthread_mutex_unlock(&a->lock);
    return enter;
}

bool trp_actor_enter(struct trp_actor *a) {
    unsigned lives = trp_actor_lives(a);
    bool enter = lives == 0 ? enter_first(a) : enter_again(a);
    if (!enter)
        return false;
    atomic_store_explicit(&a->lives, lives + 1, memory_order_release);
    if (a->birth->restart != TROUPE_TEMPORARY)
        a->born = trp_now();
    return true;
}

static bool wants_restart(const struct trp_birth *b, const troupe_exit *exit) {
    switch (b->restart) {
    case TROUPE_TEMPORARY:
        return false;
    case TROUPE_TRANSIENT:
        return trp_exit_is_crash(exit);
    case TROUPE_PERMANENT:
        break;
    }
    return true;
}

/* Doubles from one crash to the next, and begins anew after a life that was long enough. */
static int64_t next_backoff(struct trp_actor *a) {
    const struct trp_birth *b = a->birth;
    bool anew = a->backoff_ms == 0 || trp_now() - a->born > b->backoff_max_ms * TRP_NS_PER_MS;
    int64_t ms = anew ? b->backoff_min_ms : a->backoff_ms * 2;
    a->backoff_ms = ms < b->backoff_max_ms ? ms : b->backoff_max_ms;
    return a->backoff_ms;
}

bool trp_actor_recycle(struct trp_actor *a) {
    bool mail = trp_actor_has_mail(a);
    pthread_mutex_lock(&a->lock);
    a->again = !trp_actor_killed(a) && (a->life == TRP_RUNNING || (a->life == TRP_CLOSING && mail));
    if (a->again && a->life == TRP_RUNNING)
        life_set(a, TRP_STARTING);
    pthread_mutex_unlock(&a->lock);
    return a->again;
}

bool trp_actor_leave(struct trp_actor *a, const troupe_exit *exit, int64_t *delay_ms) {
    if (!wants_restart(a->birth, exit))
        return false;
    pthread_mutex_lock(&a->lock);
    bool again = a->life == TRP_RUNNING;
    if (again)
        life_set(a, TRP_STARTING);
    pthread_mutex_unlock(&a->lock);
    if (again) {
        trp_topics_forget(a);
        (void)(trp_letters_listen(a, false) == TROUPE_OK);
        *delay_ms = next_backoff(a);
        trp_system_restarting(a->sys, a, exit, *delay_ms);
    }
    return again;
}

troupe_status trp_actor_join(struct trp_actor *a, struct trp_join *j) {
    troupe_status st = TROUPE_OK;
    pthread_mutex_lock(&a->lock);
    if (a->life != TRP_ENDED) {
        trp_waits_add(&a->joins, &j->wait);
        st = TROUPE_AGAIN;
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

/* Under the lock. */
static bool tell_joins(struct trp_actor *a, const troupe_exit *exit, struct trp_wakes *w) {
    while (w->n < TRP_WAKES && a->joins.last) {
        struct trp_join *j = (struct trp_join *)trp_waits_first(&a->joins);
        trp_waits_remove(&a->joins, &j->wait);
        j->exit = *exit;
        trp_wait_finish(&j->wait, TROUPE_OK, w);
    }
    return a->joins.last == NULL;
}

static void tell_all_joins(struct trp_actor *a, const troupe_exit *exit) {
    struct trp_wakes w;
    w.n = 0;
    for (bool all = false; !all;) {
        pthread_mutex_lock(&a->lock);
        all = tell_joins(a, exit, &w);
        pthread_mutex_unlock(&a->lock);
        trp_wakes_run(&w);
    }
}

void trp_actor_finish(struct trp_actor *a, const troupe_exit *said) {
    troupe_exit told;
    const troupe_exit *exit = said;
    /* A hint: who binds himself to it from here on finds that it has ended as it says; who has killed it may have done so
     * before it was seen. */
    if (trp_actor_bound(a) || said->how == TROUPE_END_KILLED) {
        told = *said;
        trp_bonds_judge(a, &told);
        exit = &told;
    }
    /* Before a join can find that it has ended. */
    if (trp_actor_bound(a))
        trp_names_end(&a->sys->names, a);
    /* First, so that a join that finds it ended finds how. */
    trp_ends_add(&a->sys->ends, trp_actor_id(a), exit);
    pthread_mutex_lock(&a->lock);
    life_set(a, TRP_ENDED);
    trp_mailbox_shut(&a->mailbox);
    struct troupe_msg *mail = trp_mailbox_drain(&a->mailbox);
    /* From here on nobody binds himself to it, and nobody waits for its end who does not yet. */
    bool bound = a->bonds != NULL, joined = a->joins.last != NULL;
    expel_all_unlock(a, TROUPE_NOT_FOUND);
    if (mail)
        trp_letters_bury(a->sys, a, mail, TROUPE_DIED);
    if (bound) {
        trp_names_end(&a->sys->names, a); /* what it has been given meanwhile */
        trp_bonds_end(a, exit);
    }
    if (joined)
        tell_all_joins(a, exit);
    trp_system_ended(a->sys, a, exit);
}

void trp_actor_end(struct trp_actor *a, const troupe_exit *said) {
    trp_actor_finish(a, said);
    trp_actor_unref(a);
}

void trp_actor_abort(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    life_set(a, TRP_ENDED);
    trp_mailbox_shut(&a->mailbox);
    struct troupe_msg *mail = trp_mailbox_drain(&a->mailbox);
    pthread_mutex_unlock(&a->lock);
    (void)trp_messages_bury(mail, TROUPE_NOT_FOUND);
    trp_names_end(&a->sys->names, a);
    trp_bonds_abort(a);
    trp_actor_unref(a);
}
