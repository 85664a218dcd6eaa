/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * An actor's mail: how it comes into the mailbox and wakes it, and how it is taken out. What is plain takes no lock; each of
 * the others takes the actor's lock once, decides there, and does what has effects on others (waking them, freeing their
 * messages) after it. */
#include "actors/actor.h"
#include "actors/backend.h"
#include "actors/letters.h"
#include "actors/object.h"
#include "actors/process.h"
#include "actors/registry.h"
#include "actors/system.h"
#include "transports/assert.h"

/* --- waking --- */

void trp_actor_unpark(struct trp_actor *a) {
    /* Release what was done for it, pairs with the acquire of whoever runs it next; acquire: it is parked as it said it was.
     * Sequentially consistent, see trp_actor_listen. */
    if (atomic_exchange(&a->wake, TRP_NOTIFIED) == TRP_PARKED || trp_mailbox_unlisten(&a->mailbox))
        a->backend->resume(a);
}

/* Without a reference: it may have ended, and its memory may be another actor's by now, which then looks up in vain. */
static void unpark_bare(struct trp_actor *a) {
    if (trp_registry_ref(a)) {
        trp_actor_unpark(a);
        trp_actor_unref(a);
    }
}

void trp_actor_mail_wakes(struct trp_actor *a, uint64_t wake) {
    if (wake & TRP_MAIL_LISTENING)
        a->backend->resume(a); /* it is there: nobody else can have it run */
    else if (wake)
        unpark_bare(a);
}

/* --- mail --- */

static troupe_status ear(const struct trp_actor *a) {
    switch (a->life) {
    case TRP_STARTING:
    case TRP_RUNNING:
        return TROUPE_OK;
    case TRP_CLOSING:
        return TROUPE_CLOSED;
    case TRP_ENDED:
        break;
    }
    return TROUPE_NOT_FOUND;
}

bool trp_actor_post(struct trp_actor *to, uint64_t id, struct troupe_msg *m) {
    uint64_t wake;
    m->to = id;
    if (!trp_mailbox_post(&to->mailbox, m, &wake))
        return false;
    if (wake)
        trp_actor_mail_wakes(to, wake);
    return true;
}

/* Sent to another that had this memory before, by somebody who held no reference. */
static bool is_stray(const struct trp_actor *a, const struct troupe_msg *m) {
    return m->to != trp_actor_id(a) && !trp_is_note(m);
}

/* Under the lock, of what has left the mailbox: a stray has taken an exact one for another's, which counts by itself. */
static void recount(struct trp_actor *a, const struct troupe_msg *all, bool lent) {
    for (const struct troupe_msg *m = all; m && a->mailbox.exact; m = m->next) {
        if (is_stray(a, m))
            trp_mailbox_recount(&a->mailbox, m, lent);
    }
}

static troupe_status send_once(struct trp_actor *to, struct trp_send *s, bool may_wait) {
    struct troupe_msg *dropped = NULL;
    uint64_t wake = 0;
    s->msg->to = trp_actor_id(to);
    if (to->backend == &trp_object_backend)
        return trp_object_take(to, s);
    pthread_mutex_lock(&to->lock);
    troupe_status st = ear(to);
    if (st == TROUPE_OK)
        st = trp_mailbox_put(&to->mailbox, s->msg, &dropped, &wake);
    while (st == TROUPE_FULL && may_wait && to->mailbox.overflow == TROUPE_PARK)
        st = trp_mailbox_park(&to->mailbox, s) ? TROUPE_AGAIN : trp_mailbox_put(&to->mailbox, s->msg, &dropped, &wake);
    recount(to, dropped, false);
    if (st == TROUPE_OK)
        s->msg = NULL;
    pthread_mutex_unlock(&to->lock);
    trp_actor_mail_wakes(to, wake);
    trp_letters_bury(to->sys, to, dropped, TROUPE_FULL);
    return st;
}

/* A process may have received more than is known here: that is looked up before its mailbox is said to be full, and it is told
 * that somebody waits for it to receive. What is the oldest may be on its way to it. */
static troupe_status send_far(struct trp_actor *to, struct trp_send *s, bool may_wait) {
    troupe_status st = send_once(to, s, false);
    while (st == TROUPE_FULL && to->birth->overflow == TROUPE_DROP_OLDEST) {
        trp_process_drop_oldest(to);
        st = send_once(to, s, false);
    }
    if (st == TROUPE_FULL) {
        trp_process_settle(to);
        st = send_once(to, s, may_wait);
    }
    if (st == TROUPE_AGAIN)
        trp_process_settle(to);
    return st;
}

troupe_status trp_actor_send(struct trp_actor *to, struct trp_send *s, bool may_wait) {
    return to->backend == &trp_process_backend ? send_far(to, s, may_wait) : send_once(to, s, may_wait);
}

void trp_actor_deliver(struct trp_actor *to, struct troupe_msg *m, bool credited) {
    struct troupe_msg *dropped = NULL;
    uint64_t wake = 0;
    m->to = trp_actor_id(to);
    pthread_mutex_lock(&to->lock);
    troupe_status st = ear(to);
    if (st == TROUPE_OK && credited)
        trp_mailbox_force(&to->mailbox, m, &wake);
    else if (st == TROUPE_OK)
        st = trp_mailbox_put(&to->mailbox, m, &dropped, &wake);
    recount(to, dropped, false);
    pthread_mutex_unlock(&to->lock);
    trp_actor_mail_wakes(to, wake);
    if (st == TROUPE_OK) {
        trp_letters_bury(to->sys, to, dropped, TROUPE_FULL);
    } else {
        m->next = NULL; /* who has tried in vain to push it has written there */
        trp_letters_bury(to->sys, to, m, st);
    }
}

void trp_actor_keep(struct trp_actor *me, struct troupe_msg *all) {
    if (trp_mailbox_keep(&me->mailbox, all)) {
        trp_actor_unpark(me);
        return;
    }
    for (struct troupe_msg *m = all, *next; m; m = next) {
        next = m->next;
        trp_actor_deliver(me, m, true);
    }
}

void trp_actor_restore(struct trp_actor *to, struct troupe_msg *m) {
    uint64_t wake = 0;
    m->to = trp_actor_id(to);
    m->next = NULL;
    pthread_mutex_lock(&to->lock);
    bool there = to->life != TRP_ENDED;
    if (there)
        trp_mailbox_force(&to->mailbox, m, &wake);
    pthread_mutex_unlock(&to->lock);
    trp_actor_mail_wakes(to, wake);
    if (!there)
        trp_letters_bury(to->sys, to, m, TROUPE_NOT_FOUND);
}

static bool offer_once(struct trp_actor *to, struct troupe_msg *m) {
    struct trp_mailbox *mb = &to->mailbox;
    struct troupe_msg *dropped = NULL;
    uint64_t wake = 0;
    m->to = trp_actor_id(to);
    pthread_mutex_lock(&to->lock);
    bool room = trp_mailbox_count(mb) == 0 ||
                (trp_mailbox_count(mb) < to->birth->mailbox && trp_mailbox_bytes(mb) + m->size <= to->birth->mailbox_bytes);
    /* With room nothing has to go. */
    bool in = room && ear(to) == TROUPE_OK && trp_mailbox_put(mb, m, &dropped, &wake) == TROUPE_OK;
    pthread_mutex_unlock(&to->lock);
    trp_assert(!dropped);
    trp_actor_mail_wakes(to, wake);
    return in;
}

/* As in send_far: a process may have received more than is known here. */
bool trp_actor_offer(struct trp_actor *to, struct troupe_msg *m) {
    if (offer_once(to, m))
        return true;
    struct trp_proxy *p = trp_proxy_of(to);
    if (!p)
        return false;
    (void)trp_proxy_settle(p, false); /* or somebody else just has */
    return offer_once(to, m);
}

/* Room has been made: those in line come in, in their order. False: there may be more of them. Under the lock. */
static bool admit(struct trp_actor *a, struct trp_wakes *w) {
    struct trp_send *s = NULL;
    while (w->n < TRP_WAKES && (s = trp_mailbox_admit(&a->mailbox)))
        trp_wait_finish(&s->wait, TROUPE_OK, w);
    return s == NULL;
}

/* Drops the lock, wakes who has come in, and goes on until all for whom there is room have. */
static void admit_unlock(struct trp_actor *a) {
    struct trp_wakes w;
    w.n = 0;
    for (bool all = false; !all;) {
        all = admit(a, &w);
        pthread_mutex_unlock(&a->lock);
        trp_wakes_run(&w);
        if (!all)
            pthread_mutex_lock(&a->lock);
    }
}

void trp_actor_admit(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    admit_unlock(a);
}

static troupe_status silence(struct trp_actor *a, bool want) {
    struct trp_mailbox *mb = &a->mailbox;
    unsigned flags = want ? trp_mailbox_await(mb) : trp_mailbox_flags(mb);
    if ((flags & TRP_MAIL_CROWDED) && !(flags & TRP_MAIL_SHUT)) {
        trp_actor_admit(a);
        return TROUPE_AGAIN;
    }
    if (!trp_mailbox_empty(mb))
        return TROUPE_AGAIN;
    return flags & TRP_MAIL_SHUT ? TROUPE_CLOSED : TROUPE_EMPTY;
}

/* The way with the lock: for a mailbox that wants it, and while there are notes, which go first. */
static troupe_status take_locked(struct trp_actor *a, bool want, bool lend, struct troupe_msg **out) {
    struct trp_mailbox *mb = &a->mailbox;
    pthread_mutex_lock(&a->lock);
    struct troupe_msg *m = lend ? trp_mailbox_lend(mb) : trp_mailbox_take_note(mb);
    if (!m && !lend)
        m = trp_mailbox_take_mail(mb);
    recount(a, m, lend);
    troupe_status st = TROUPE_OK;
    if (!m)
        st = a->life != TRP_STARTING && a->life != TRP_RUNNING ? TROUPE_CLOSED : TROUPE_EMPTY;
    if (st == TROUPE_EMPTY && want && !(trp_mailbox_await(mb) & TRP_MAIL_WAITING) && !mb->exact)
        st = TROUPE_AGAIN; /* pushed without the lock, just now */
    if (mb->parked.last)
        admit_unlock(a);
    else
        pthread_mutex_unlock(&a->lock);
    if (m)
        *out = m;
    return st;
}

static troupe_status take_once(struct trp_actor *a, bool want, bool lend, struct troupe_msg **out) {
    struct trp_mailbox *mb = &a->mailbox;
    if (mb->exact || trp_mailbox_looks(mb, TRP_LOOK_NOTES | TRP_LOOK_MORE))
        return take_locked(a, want, lend, out);
    struct troupe_msg *m = trp_mailbox_take(mb);
    if (!m)
        return silence(a, want);
    *out = m;
    if (trp_mailbox_looks(mb, TRP_LOOK_LINE))
        trp_actor_admit(a);
    return TROUPE_OK;
}

/* AGAIN: once more; a stray may have come in front of *strays. */
static troupe_status take_own(struct trp_actor *a, bool want, bool lend, struct troupe_msg **out, struct troupe_msg **strays) {
    struct troupe_msg *m = NULL;
    troupe_status st = take_once(a, want, lend, &m);
    if (st != TROUPE_OK)
        return st;
    if (!is_stray(a, m)) {
        *out = m;
        return TROUPE_OK;
    }
    m->next = *strays;
    *strays = m;
    return TROUPE_AGAIN;
}

troupe_status trp_actor_take(struct trp_actor *a, bool want, struct troupe_msg **out) {
    troupe_status st;
    do {
        struct troupe_msg *stray = NULL;
        st = take_own(a, want, false, out, &stray);
        if (stray)
            trp_letters_bury(a->sys, a, stray, TROUPE_DIED);
    } while (st == TROUPE_AGAIN);
    return st;
}

static troupe_status await_once(struct trp_actor *a) {
    struct trp_mailbox *mb = &a->mailbox;
    if (trp_actor_has_mail(a))
        return TROUPE_OK;
    if (!mb->exact && !trp_mailbox_looks(mb, TRP_LOOK_NOTES | TRP_LOOK_MORE))
        return silence(a, true);
    pthread_mutex_lock(&a->lock);
    troupe_status st = a->life != TRP_STARTING && a->life != TRP_RUNNING ? TROUPE_CLOSED : TROUPE_EMPTY;
    if (st == TROUPE_EMPTY && !(trp_mailbox_await(mb) & TRP_MAIL_WAITING) && !mb->exact)
        st = TROUPE_AGAIN; /* as in take_locked */
    if (mb->parked.last)
        admit_unlock(a);
    else
        pthread_mutex_unlock(&a->lock);
    return st;
}

troupe_status trp_actor_await(struct trp_actor *a) {
    troupe_status st;
    do
        st = await_once(a);
    while (st == TROUPE_AGAIN);
    return st;
}

void trp_actor_settle_down(struct trp_actor *a) {
    if (trp_mailbox_fence(&a->mailbox) & TRP_MAIL_CROWDED)
        trp_actor_admit(a);
}

bool trp_actor_has_mail(struct trp_actor *a) {
    struct trp_mailbox *mb = &a->mailbox;
    if (!mb->exact)
        return !trp_mailbox_empty(mb) || trp_mailbox_looks(mb, TRP_LOOK_NOTES);
    pthread_mutex_lock(&a->lock);
    bool has = !trp_mailbox_empty(mb) || mb->notes.head;
    pthread_mutex_unlock(&a->lock);
    return has;
}

struct troupe_msg *trp_actor_take_note(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    struct troupe_msg *note = trp_mailbox_take_note(&a->mailbox);
    pthread_mutex_unlock(&a->lock);
    return note;
}

void trp_actor_tell(struct trp_actor *a, struct troupe_msg *note) {
    pthread_mutex_lock(&a->lock);
    trp_mailbox_note(&a->mailbox, note);
    pthread_mutex_unlock(&a->lock);
    trp_actor_unpark(a);
}

troupe_status trp_actor_lend(struct trp_actor *a, struct troupe_msg **out, struct troupe_msg **strays) {
    troupe_status st;
    do
        st = take_own(a, true, true, out, strays);
    while (st == TROUPE_AGAIN);
    return st;
}

bool trp_actor_settle(struct trp_actor *a, size_t count, size_t bytes) {
    pthread_mutex_lock(&a->lock);
    bool ok = trp_mailbox_settle(&a->mailbox, count, bytes);
    pthread_mutex_unlock(&a->lock);
    return ok;
}

bool trp_actor_has_line(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    bool line = a->mailbox.parked.last != NULL;
    pthread_mutex_unlock(&a->lock);
    return line;
}

void trp_actor_return(struct trp_actor *a, struct troupe_msg *all, struct troupe_msg **end, size_t count, size_t bytes) {
    if (!all)
        return;
    pthread_mutex_lock(&a->lock);
    trp_mailbox_return(&a->mailbox, all, end, count, bytes);
    pthread_mutex_unlock(&a->lock);
}
