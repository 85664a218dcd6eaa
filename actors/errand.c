/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * `link` NULL: nobody wants to hear of it any more; it is freed when nothing of it hangs anywhere. */
#include "actors/errand.h"

#include <stddef.h>

#include "actors/system.h"
#include "transports/alloc.h"

struct trp_errand {
    struct trp_errand *next, **link;
    struct trp_errands *all;
    uint64_t name;        /* the owner's */
    struct trp_actor *on; /* whom the send or the join hangs on; a reference */
    struct trp_send send;
    struct trp_ask ask;
    struct trp_join join;
    unsigned pending; /* operations that hang somewhere, or are finished and not looked at */
    bool asks;
};

/* --- one --- */

static void wait_init(struct trp_wait *wait, struct trp_actor *who, enum trp_wait_role role) {
    wait->who = who;
    wait->role = role;
    wait->finish = trp_wait_file;
}

/* Takes the reference `on`, if there is memory. */
static struct trp_errand *errand_new(struct trp_errands *all, struct trp_actor *on, uint64_t name) {
    struct trp_errand *e = trp_calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->all = all;
    e->name = name;
    e->on = on;
    wait_init(&e->send.wait, all->runner, TRP_WAIT_SEND);
    wait_init(&e->ask.wait, all->runner, TRP_WAIT_ASK);
    wait_init(&e->join.wait, all->runner, TRP_WAIT_JOIN);
    e->next = all->first;
    e->link = &all->first;
    if (e->next)
        e->next->link = &e->next;
    all->first = e;
    return e;
}

static void errand_unlink(struct trp_errand *e) {
    if (!e->link)
        return;
    *e->link = e->next;
    if (e->next)
        e->next->link = e->link;
    e->link = NULL;
}

static void errand_free(struct trp_errand *e) {
    errand_unlink(e);
    if (e->send.msg && e->send.msg->owner)
        trp_question_unmake(e->send.msg);
    trp_msg_drop(e->send.msg);
    trp_msg_drop(e->ask.answer);
    trp_actor_unref(e->on);
    trp_free(e);
}

static void withdraw(struct trp_errand *e, struct trp_actor *on, struct trp_waits *list, struct trp_wait *wait) {
    if (trp_wait_withdraw(on, list, wait))
        e->pending--;
}

/* What cannot be withdrawn is finished, and on its way here. */
static void withdraw_all(struct trp_errand *e) {
    struct trp_actor *me = e->all->runner;
    withdraw(e, e->on, &e->on->mailbox.parked, &e->send.wait);
    withdraw(e, me, &me->asks, &e->ask.wait);
    withdraw(e, e->on, &e->on->joins, &e->join.wait);
}

void trp_errand_drop(struct trp_errand *e) {
    errand_unlink(e);
    withdraw_all(e);
    if (e->pending == 0)
        errand_free(e);
}

static void end(struct trp_errand *e, troupe_status st, const troupe_exit *exit) {
    if (e->link)
        e->all->done(e->all, e->name, st, st == TROUPE_OK ? e->ask.answer : NULL, exit);
    trp_errand_drop(e);
}

void trp_errand_cancel(struct trp_errands *all, uint64_t name) {
    struct trp_errand *e = all->first;
    while (e && e->name != name)
        e = e->next;
    if (!e)
        return;
    withdraw_all(e);
    if (e->pending == 0)
        end(e, TROUPE_AGAIN, NULL);
}

/* --- what is finished --- */

static void send_finished(struct trp_errand *e) {
    bool sent = e->send.wait.st == TROUPE_OK;
    if (e->asks && sent && e->pending > 0)
        return; /* now the answer is waited for */
    end(e, e->asks && sent ? TROUPE_AGAIN /* cancelled meanwhile */ : e->send.wait.st, NULL);
}

#define ERRAND_OF(wait, member) ((struct trp_errand *)(void *)((char *)(wait)-offsetof(struct trp_errand, member)))

static void wait_finished(struct trp_wait *wait) {
    struct trp_errand *e;
    switch (wait->role) {
    case TRP_WAIT_SEND:
        e = ERRAND_OF(wait, send.wait);
        e->pending--;
        send_finished(e);
        break;
    case TRP_WAIT_ASK:
        e = ERRAND_OF(wait, ask.wait);
        e->pending--;
        end(e, e->ask.wait.st, NULL);
        break;
    case TRP_WAIT_JOIN:
        e = ERRAND_OF(wait, join.wait);
        e->pending--;
        end(e, TROUPE_OK, &e->join.exit);
        break;
    }
}

void trp_errands_finish(struct trp_errands *all) {
    struct trp_wait *first = trp_actor_finished(all->runner);
    while (first) {
        struct trp_wait *next = first->next;
        first->next = NULL;
        wait_finished(first);
        first = next;
    }
}

void trp_errands_init(struct trp_errands *all, struct trp_actor *runner, trp_errand_done *done) {
    *all = (struct trp_errands){.runner = runner, .done = done};
}

void trp_errands_abandon(struct trp_errands *all, void (*lost)(uint64_t name)) {
    while (all->first) {
        if (lost)
            lost(all->first->name);
        trp_errand_drop(all->first);
    }
    /* What could not be withdrawn had been pushed before its lock was dropped: it is all here. */
    trp_errands_finish(all);
}

/* --- beginning --- */

static struct trp_actor *whom(struct trp_errands *all, uint64_t id) {
    return trp_registry_get(&all->runner->sys->registry, id);
}

static void tell(struct trp_errands *all, uint64_t name, troupe_status st) {
    all->done(all, name, st, NULL, NULL);
}

/* An errand that has a message, which it takes; or says why there is none and gives NULL. */
static struct trp_errand *begin(struct trp_errands *all, uint64_t to, struct troupe_msg *m, uint64_t name) {
    struct trp_actor *on = whom(all, to);
    struct trp_errand *e = on && m ? errand_new(all, on, name) : NULL;
    if (e) {
        e->send.msg = m;
        return e;
    }
    tell(all, name, on ? TROUPE_NO_MEMORY : TROUPE_NOT_FOUND);
    trp_msg_drop(m);
    if (on)
        trp_actor_unref(on);
    return NULL;
}

/* Its message, the first operation. AGAIN: that hangs. */
static troupe_status hand_over(struct trp_errand *e) {
    troupe_status st = trp_actor_send(e->on, &e->send, true);
    if (st != TROUPE_AGAIN)
        e->pending--;
    return st;
}

static void send_later(struct trp_errands *all, uint64_t to, struct troupe_msg *m, uint64_t name) {
    struct trp_errand *e = begin(all, to, m, name);
    if (!e)
        return;
    e->pending = 1;
    troupe_status st = hand_over(e);
    if (st != TROUPE_AGAIN)
        end(e, st, NULL);
}

/* There is room, as a rule, and then there is nothing to remember. */
void trp_errand_send(struct trp_errands *all, uint64_t to, struct troupe_msg *m, bool wait, uint64_t name) {
    struct trp_actor *on = whom(all, to);
    struct trp_send send = {.msg = m};
    troupe_status st = on ? TROUPE_NO_MEMORY : TROUPE_NOT_FOUND;
    if (on && m)
        st = trp_actor_send(on, &send, false);
    if (st == TROUPE_FULL && wait) {
        send_later(all, to, send.msg, name);
    } else {
        trp_msg_drop(send.msg);
        tell(all, name, st);
    }
    if (on)
        trp_actor_unref(on);
}

void trp_errand_ask(struct trp_errands *all, uint64_t to, struct troupe_msg *m, uint64_t name) {
    struct trp_errand *e = begin(all, to, m, name);
    if (!e)
        return;
    e->asks = true;
    e->ask.number = ++all->asked;
    e->pending = 2;
    trp_question_make(m, all->runner, e->ask.number);
    trp_ask_begin(all->runner, &e->ask);
    troupe_status st = hand_over(e);
    if (st != TROUPE_OK && st != TROUPE_AGAIN)
        end(e, st, NULL);
}

/* It has ended already: that may be remembered. */
static void join_ended(struct trp_errands *all, uint64_t whom, uint64_t name) {
    troupe_exit exit;
    bool known = trp_ends_find(&all->runner->sys->ends, whom, &exit);
    all->done(all, name, known ? TROUPE_OK : TROUPE_NOT_FOUND, NULL, known ? &exit : NULL);
}

struct trp_errand *trp_errand_join(struct trp_errands *all, uint64_t id, uint64_t name) {
    struct trp_actor *on = whom(all, id);
    struct trp_errand *e = on ? errand_new(all, on, name) : NULL;
    if (e && trp_actor_join(on, &e->join) == TROUPE_AGAIN) {
        e->pending = 1;
        return e;
    }
    if (e) {
        errand_free(e);
    } else if (on) {
        trp_actor_unref(on);
        tell(all, name, TROUPE_NO_MEMORY);
        return NULL;
    }
    join_ended(all, id, name);
    return NULL;
}
