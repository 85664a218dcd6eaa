/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the system does with an actor, whatever kind it is: mail, waiting, ends. Each function takes the actor's lock
 * once, decides there, and does what has effects on others (waking them, freeing their messages) after it. */
#include "actors/actor.h"

#include "actors/backend.h"
#include "actors/letters.h"
#include "actors/object.h"
#include "actors/process.h"
#include "actors/registry.h"
#include "actors/system.h"
#include "actors/topics.h"
#include "clients/conn.h"
#include "transports/assert.h"
#include "transports/log.h"

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
    trp_waits_init(&a->asks);
    trp_waits_init(&a->joins);
    atomic_init(&a->bonds, NULL);
}

struct trp_actor *trp_actor_ref(struct trp_actor *a) {
    /* Relaxed: whoever takes a reference holds one already. */
    unsigned before = atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    trp_assert(before > 0 && before < UINT32_MAX);
    return a;
}

static void actor_free(struct trp_actor *a) {
    trp_assert(trp_mailbox_empty(&a->mailbox) && !a->mailbox.parked.first && !a->asks.first && !a->joins.first);
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

/* --- waking --- */

void trp_actor_unpark(struct trp_actor *a) {
    /* Release what was done for it, pairs with the acquire of whoever runs it next; acquire: it is parked as it said it was.
     * Sequentially consistent, see trp_actor_listen. */
    if (atomic_exchange(&a->wake, TRP_NOTIFIED) == TRP_PARKED || trp_mailbox_unlisten(&a->mailbox))
        a->backend->resume(a);
}

/* Who unparks sets NOTIFIED and then looks for LISTENING; here it is the other way round, so one of us sees the other. From the moment
 * that LISTENING is set the actor may run, end, and its memory be another's: what is done then is right for whoever it is. */
bool trp_actor_listen(struct trp_actor *a) {
    if (!trp_mailbox_listen(&a->mailbox))
        return false;
    return atomic_load(&a->wake) != TRP_NOTIFIED || !trp_mailbox_unlisten(&a->mailbox);
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

void trp_wait_finish(struct trp_wait *wait, troupe_status st, struct trp_wakes *w) {
    trp_assert(!wait->link && w->n < TRP_WAKES);
    w->who[w->n++] = trp_actor_ref(wait->who);
    wait->st = st;
    if (wait->finish)
        wait->finish(wait);
    else
        /* Pairs with the acquire in trp_wait_done. The last touch: the waiter may return now. */
        atomic_store_explicit(&wait->done, true, memory_order_release);
}

void trp_wait_file(struct trp_wait *wait) {
    struct trp_wait *head = atomic_load_explicit(&wait->who->finished, memory_order_relaxed);
    do {
        wait->next = head;
        /* Release pairs with the acquire in trp_actor_finished. */
    } while (
        !atomic_compare_exchange_weak_explicit(&wait->who->finished, &head, wait, memory_order_release, memory_order_relaxed));
}

struct trp_wait *trp_actor_finished(struct trp_actor *a) {
    /* Relaxed: a hint; who has filed wakes us after it. Acquire pairs with the release in trp_wait_file. */
    if (!atomic_load_explicit(&a->finished, memory_order_relaxed))
        return NULL;
    struct trp_wait *wait = atomic_exchange_explicit(&a->finished, NULL, memory_order_acquire), *first = NULL;
    while (wait) {
        struct trp_wait *older = wait->next;
        wait->next = first;
        first = wait;
        wait = older;
    }
    return first;
}

void trp_wakes_run(struct trp_wakes *w) {
    for (unsigned i = 0; i < w->n; i++) {
        trp_actor_unpark(w->who[i]);
        trp_actor_unref(w->who[i]);
    }
    w->n = 0;
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
    if (st == TROUPE_OK)
        s->msg = NULL;
    pthread_mutex_unlock(&to->lock);
    trp_actor_mail_wakes(to, wake);
    trp_letters_bury(to->sys, to, dropped, TROUPE_FULL);
    return st;
}

/* A process may have received more than is known here: that is looked up before its mailbox is said to be full, and it is told that somebody
 * waits for it to receive. */
static troupe_status send_far(struct trp_actor *to, struct trp_send *s, bool may_wait) {
    troupe_status st = send_once(to, s, false);
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

bool trp_actor_offer(struct trp_actor *to, struct troupe_msg *m) {
    struct trp_mailbox *mb = &to->mailbox;
    struct troupe_msg *dropped = NULL;
    uint64_t wake = 0;
    m->to = trp_actor_id(to);
    pthread_mutex_lock(&to->lock);
    bool room = trp_mailbox_count(mb) == 0 || (trp_mailbox_count(mb) < to->birth->mailbox &&
                                               trp_mailbox_bytes(mb) + m->size <= to->birth->mailbox_bytes);
    /* With room nothing has to go. */
    bool in = room && ear(to) == TROUPE_OK && trp_mailbox_put(mb, m, &dropped, &wake) == TROUPE_OK;
    pthread_mutex_unlock(&to->lock);
    trp_assert(!dropped);
    trp_actor_mail_wakes(to, wake);
    return in;
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

static void admit_line(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    admit_unlock(a);
}

/* Sent to another that had this memory before, by somebody who held no reference. */
static bool is_stray(const struct trp_actor *a, const struct troupe_msg *m) {
    return m->to != trp_actor_id(a) && !trp_is_note(m);
}

static troupe_status silence(struct trp_actor *a, bool want) {
    struct trp_mailbox *mb = &a->mailbox;
    unsigned flags = want ? trp_mailbox_await(mb) : trp_mailbox_flags(mb);
    if ((flags & TRP_MAIL_CROWDED) && !(flags & TRP_MAIL_SHUT)) {
        admit_line(a);
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
    troupe_status st = TROUPE_OK;
    if (!m)
        st = a->life != TRP_STARTING && a->life != TRP_RUNNING ? TROUPE_CLOSED : TROUPE_EMPTY;
    if (st == TROUPE_EMPTY && want && !(trp_mailbox_await(mb) & TRP_MAIL_WAITING) && !mb->exact)
        st = TROUPE_AGAIN; /* pushed without the lock, just now */
    if (mb->parked.first)
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
        admit_line(a);
    return TROUPE_OK;
}

static troupe_status take(struct trp_actor *a, bool want, bool lend, struct troupe_msg **out) {
    for (;;) {
        struct troupe_msg *m = NULL;
        troupe_status st = take_once(a, want, lend, &m);
        if (st == TROUPE_AGAIN)
            continue;
        if (st == TROUPE_OK && is_stray(a, m)) {
            trp_letters_bury(a->sys, a, m, TROUPE_DIED);
            continue;
        }
        if (st == TROUPE_OK)
            *out = m;
        return st;
    }
}

troupe_status trp_actor_take(struct trp_actor *a, bool want, struct troupe_msg **out) {
    return take(a, want, false, out);
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
    if (mb->parked.first)
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
        admit_line(a);
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

troupe_status trp_actor_lend(struct trp_actor *a, struct troupe_msg **out) {
    return take(a, true, true, out);
}

bool trp_actor_settle(struct trp_actor *a, size_t count, size_t bytes) {
    pthread_mutex_lock(&a->lock);
    bool ok = trp_mailbox_settle(&a->mailbox, count, bytes);
    admit_unlock(a);
    return ok;
}

bool trp_actor_has_line(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    bool line = a->mailbox.parked.first != NULL;
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

/* --- questions --- */

void trp_question_make(struct troupe_msg *m, struct trp_actor *asker, uint64_t number) {
    m->ask = number;
    m->owner = trp_actor_ref(asker);
}

void trp_question_unmake(struct troupe_msg *m) {
    struct trp_actor *asker = m->owner;
    m->owner = NULL;
    m->ask = 0;
    trp_actor_unref(asker);
}

void trp_ask_begin(struct trp_actor *asker, struct trp_ask *ask) {
    pthread_mutex_lock(&asker->lock);
    trp_waits_add(&asker->asks, &ask->wait);
    pthread_mutex_unlock(&asker->lock);
}

/* NULL: the asker waits no more. Under the lock. */
static struct trp_ask *ask_find(struct trp_actor *asker, uint64_t number) {
    for (struct trp_wait *wait = asker->asks.first; wait; wait = wait->next) {
        struct trp_ask *ask = (struct trp_ask *)wait;
        if (ask->number == number)
            return ask;
    }
    return NULL;
}

bool trp_question_waits(const struct troupe_msg *m) {
    struct trp_actor *asker = m->owner;
    if (!asker || m->answered)
        return false;
    pthread_mutex_lock(&asker->lock);
    bool waits = ask_find(asker, m->ask) != NULL;
    pthread_mutex_unlock(&asker->lock);
    return waits;
}

/* Errors of questions that nobody asks for any more: said here, since nobody else will. */
static void unheard(const struct troupe_msg *answer) {
    if (answer && answer->error[0] && strcmp(answer->error, "UNANSWERED") != 0)
        trp_log(TROUPE_LOG_WARN, "actor.error_unread", "an answer that nobody waits for is an error: %s: %.*s", answer->error,
                (int)troupe_msg_value(answer).size, (const char *)troupe_msg_value(answer).data);
}

troupe_status trp_question_answer(struct troupe_msg *m, troupe_status st, struct troupe_msg **answer) {
    struct trp_actor *asker = m->owner;
    struct trp_wakes w;
    w.n = 0;
    if (!asker || m->answered)
        return TROUPE_NOT_FOUND;
    m->answered = true;
    pthread_mutex_lock(&asker->lock);
    struct trp_ask *ask = ask_find(asker, m->ask);
    if (ask) {
        trp_waits_remove(&asker->asks, &ask->wait);
        ask->answer = *answer;
        *answer = NULL;
        trp_wait_finish(&ask->wait, st, &w);
    }
    pthread_mutex_unlock(&asker->lock);
    trp_wakes_run(&w);
    if (!ask)
        unheard(*answer);
    return ask ? TROUPE_OK : TROUPE_NOT_FOUND;
}

/* The asker is told a status, and forgotten. */
static void question_end(struct troupe_msg *m, troupe_status st, struct troupe_msg *answer) {
    struct trp_actor *asker = m->owner;
    /* NOT_FOUND: it has its answer, or does not wait any more. Either is fine. */
    (void)(trp_question_answer(m, st, &answer) == TROUPE_OK);
    trp_msg_drop(answer);
    m->owner = NULL;
    trp_actor_unref(asker);
}

struct troupe_msg *trp_unanswered(void) {
    struct troupe_msg *m;
    if (trp_msg_from_value(&m, troupe_text("the question was freed without an answer"), (struct trp_slice){0}) != TROUPE_OK)
        return NULL;
    memcpy(m->error, "UNANSWERED", sizeof "UNANSWERED");
    return m;
}

void trp_question_settle(struct troupe_msg *m) {
    struct troupe_msg *answer = m->answered ? NULL : trp_unanswered();
    question_end(m, answer ? TROUPE_OK : TROUPE_NO_MEMORY, answer);
}

size_t trp_messages_bury(struct troupe_msg *all, troupe_status st) {
    size_t n = 0;
    for (struct troupe_msg *m = all, *next; m; m = next, n++) {
        next = m->next;
        if (m->owner)
            question_end(m, st, NULL);
        else if (m->origin.settle)
            m->origin.settle(m, true);
        trp_msg_drop(m);
    }
    return n;
}

/* --- waiting --- */

bool trp_wait_withdraw(struct trp_actor *a, struct trp_waits *list, struct trp_wait *wait) {
    pthread_mutex_lock(&a->lock);
    bool waiting = wait->link != NULL;
    if (waiting)
        trp_waits_remove(list, wait);
    pthread_mutex_unlock(&a->lock);
    return waiting;
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

/* Under the lock. */
static bool tell_joins(struct trp_actor *a, const troupe_exit *exit, struct trp_wakes *w) {
    while (w->n < TRP_WAKES && a->joins.first) {
        struct trp_join *j = (struct trp_join *)a->joins.first;
        trp_waits_remove(&a->joins, &j->wait);
        j->exit = *exit;
        trp_wait_finish(&j->wait, TROUPE_OK, w);
    }
    return a->joins.first == NULL;
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
    /* A hint: who binds himself to it from here on finds that it has ended as it says; who has killed it may have done so before it was seen. */
    if (trp_actor_bound(a) || said->how == TROUPE_END_KILLED) {
        told = *said;
        trp_bonds_judge(a, &told);
        exit = &told;
    }
    /* First, so that a join that finds it ended finds how. */
    trp_ends_add(&a->sys->ends, trp_actor_id(a), exit);
    pthread_mutex_lock(&a->lock);
    life_set(a, TRP_ENDED);
    trp_mailbox_shut(&a->mailbox);
    struct troupe_msg *mail = trp_mailbox_drain(&a->mailbox);
    /* From here on nobody binds himself to it, and nobody waits for its end who does not yet. */
    bool bound = a->bonds != NULL, joined = a->joins.first != NULL;
    expel_all_unlock(a, TROUPE_NOT_FOUND);
    if (mail)
        trp_letters_bury(a->sys, a, mail, TROUPE_DIED);
    if (bound) {
        trp_names_end(&a->sys->names, a);
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
