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
    void *ctx;
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

/* Takes the reference `on`. */
static struct trp_errand *errand_new(struct trp_errands *all, struct trp_actor *on, void *ctx) {
    struct trp_errand *e = trp_calloc(1, sizeof *e);
    if (!e) {
        trp_actor_unref(on);
        return NULL;
    }
    e->all = all;
    e->ctx = ctx;
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
void trp_errand_drop(struct trp_errand *e) {
    struct trp_actor *me = e->all->runner;
    errand_unlink(e);
    withdraw(e, e->on, &e->on->mailbox.parked, &e->send.wait);
    withdraw(e, me, &me->asks, &e->ask.wait);
    withdraw(e, e->on, &e->on->joins, &e->join.wait);
    if (e->pending == 0)
        errand_free(e);
}

static void end(struct trp_errand *e, troupe_status st) {
    if (e->link)
        e->all->done(e->ctx, st, e->ask.answer, &e->join.exit);
    trp_errand_drop(e);
}

/* --- what is finished --- */

static void send_finished(struct trp_errand *e) {
    if (e->asks && e->send.wait.st == TROUPE_OK && e->pending > 0)
        return; /* now the answer is waited for */
    end(e, e->send.wait.st);
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
        end(e, e->ask.wait.st);
        break;
    case TRP_WAIT_JOIN:
        e = ERRAND_OF(wait, join.wait);
        e->pending--;
        end(e, TROUPE_OK);
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

void trp_errands_abandon(struct trp_errands *all, void (*lost)(void *ctx)) {
    while (all->first) {
        lost(all->first->ctx);
        trp_errand_drop(all->first);
    }
    /* What could not be withdrawn had been pushed before its lock was dropped: it is all here. */
    trp_errands_finish(all);
}

/* --- beginning --- */

/* Gives an errand to do on `to`; or says why not and gives NULL. The message is the runner's: with the number that names a
 * question, also in another process. */
static struct trp_errand *begin(struct trp_errands *all, uint64_t to, struct troupe_msg *m, void *ctx) {
    m->from = trp_actor_id(all->runner);
    struct trp_actor *on = trp_registry_get(&all->runner->sys->registry, to);
    struct trp_errand *e = on ? errand_new(all, on, ctx) : NULL;
    if (!e)
        all->done(ctx, on ? TROUPE_NO_MEMORY : TROUPE_NOT_FOUND, NULL, NULL);
    return e;
}

void trp_errand_send(struct trp_errands *all, uint64_t to, struct troupe_msg *m, void *ctx) {
    struct trp_errand *e = begin(all, to, m, ctx);
    if (!e) {
        trp_msg_drop(m);
        return;
    }
    e->send.msg = m;
    e->pending = 1;
    troupe_status st = trp_actor_send(e->on, &e->send, true);
    if (st == TROUPE_AGAIN)
        return;
    e->pending = 0;
    end(e, st);
}

void trp_errand_ask(struct trp_errands *all, uint64_t to, struct troupe_msg *m, void *ctx) {
    struct trp_errand *e = begin(all, to, m, ctx);
    if (!e) {
        trp_msg_drop(m);
        return;
    }
    e->asks = true;
    e->ask.number = ++all->asked;
    e->send.msg = m;
    trp_question_make(m, all->runner, e->ask.number);
    e->pending = 2;
    trp_ask_begin(all->runner, &e->ask);
    troupe_status st = trp_actor_send(e->on, &e->send, true);
    if (st == TROUPE_AGAIN)
        return;
    e->pending = 1;
    if (st != TROUPE_OK)
        end(e, st);
}

struct trp_errand *trp_errand_join(struct trp_errands *all, uint64_t whom, void *ctx) {
    struct trp_actor *on = trp_registry_get(&all->runner->sys->registry, whom);
    struct trp_errand *e = on ? errand_new(all, on, ctx) : NULL;
    troupe_exit exit = trp_exit_noproc();
    if (on && !e) {
        all->done(ctx, TROUPE_NO_MEMORY, NULL, NULL);
        return NULL;
    }
    if (e && trp_actor_join(on, &e->join) == TROUPE_AGAIN) {
        e->pending = 1;
        return e;
    }
    bool known = trp_ends_find(&all->runner->sys->ends, whom, &exit);
    all->done(ctx, known ? TROUPE_OK : TROUPE_NOT_FOUND, NULL, &exit);
    if (e)
        errand_free(e);
    return NULL;
}
