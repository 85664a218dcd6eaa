/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Lists linked through the actors themselves: nothing here allocates, nothing can fail. The lists take turns, so none
 * of them starves another. Who has lived already comes first: parents take what their children have brought, and end,
 * before more children are begun. */
#include "actors/runq.h"

enum {
    BIRTH_TURNS = 4, /* one of so many is a newborn's, while there are others */
    LOOT_MOST = 64,  /* how far a thief walks, inside the guard */
};

static void runs_init(struct trp_runs *r) {
    r->head = NULL;
    r->tail = &r->head;
    r->count = 0;
}

static void runs_add_first(struct trp_runs *r, struct trp_actor *a) {
    a->next = r->head;
    r->head = a;
    if (!a->next)
        r->tail = &a->next;
    r->count++;
}

static void runs_join(struct trp_runs *to, struct trp_runs *from) {
    if (!from->head)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    to->count += from->count;
    runs_init(from);
}

/* Leaves the first `keep` where they are; takes at most LOOT_MOST of what follows. */
static void runs_cut(struct trp_runs *from, unsigned keep, struct trp_runs *out) {
    struct trp_runs kept;
    runs_init(&kept);
    while (keep-- && from->head)
        trp_runs_add(&kept, trp_runs_take(from));
    for (unsigned n = 0; n < LOOT_MOST && from->head; n++)
        trp_runs_add(out, trp_runs_take(from));
    runs_join(&kept, from);
    runs_join(from, &kept);
}

void trp_runq_init(struct trp_runq *q) {
    trp_guard_init(&q->guard);
    runs_init(&q->births);
    runs_init(&q->ready);
    runs_init(&q->bound);
    runs_init(&q->arrived);
    q->turn = 0;
    q->generous = false;
    atomic_init(&q->inbox, NULL);
}

/* --- the inbox --- */

bool trp_runq_post(struct trp_runq *q, struct trp_actor *a) {
    struct trp_actor *head = atomic_load_explicit(&q->inbox, memory_order_relaxed);
    do {
        a->next = head == TRP_RUNQ_ASLEEP ? NULL : head;
        /* Release pairs with the acquire in fetch. */
    } while (!atomic_compare_exchange_weak_explicit(&q->inbox, &head, a, memory_order_release, memory_order_relaxed));
    return head == TRP_RUNQ_ASLEEP;
}

bool trp_runq_rouse(struct trp_runq *q) {
    struct trp_actor *asleep = TRP_RUNQ_ASLEEP;
    return atomic_compare_exchange_strong(&q->inbox, &asleep, NULL);
}

bool trp_runq_sleep(struct trp_runq *q) {
    struct trp_actor *empty = NULL;
    return trp_runq_waiting(q) == 0 && atomic_compare_exchange_strong(&q->inbox, &empty, TRP_RUNQ_ASLEEP);
}

/* All of it, the last first. */
static struct trp_actor *empty_inbox(struct trp_runq *q) {
    struct trp_actor *a = atomic_load_explicit(&q->inbox, memory_order_relaxed);
    do {
        if (!a || a == TRP_RUNQ_ASLEEP)
            return NULL;
        /* Acquire pairs with the release in post. */
    } while (!atomic_compare_exchange_weak_explicit(&q->inbox, &a, NULL, memory_order_acquire, memory_order_relaxed));
    return a;
}

/* Turned round in one go: each is still in another processor's cache, and there may be hundreds of thousands. */
void trp_runq_fetch(struct trp_runq *q) {
    struct trp_runs roam, stay;
    runs_init(&roam);
    runs_init(&stay);
    for (struct trp_actor *a = empty_inbox(q), *older; a; a = older) {
        older = a->next;
        runs_add_first(a->roams ? &roam : &stay, a);
    }
    runs_join(&q->arrived, &roam);
    runs_join(&q->bound, &stay);
}

void trp_runq_let_all_in(struct trp_runq *q) {
    trp_runq_fetch(q);
    runs_join(&q->ready, &q->arrived);
}

/* --- the lists --- */

void trp_runq_add(struct trp_runq *q, struct trp_actor *a, enum trp_run how) {
    switch (how) {
    case TRP_RUN_BIRTH:
        runs_add_first(&q->births, a);
        break;
    case TRP_RUN_READY:
        trp_runs_add(&q->ready, a);
        break;
    case TRP_RUN_BOUND:
        trp_runs_add(&q->bound, a);
        break;
    }
}

struct trp_actor *trp_runq_take(struct trp_runq *q) {
    /* Relaxed: a look. */
    if (atomic_load_explicit(&q->inbox, memory_order_relaxed))
        trp_runq_fetch(q);
    trp_runq_let_in(q);
    bool older = q->ready.head || q->bound.head;
    if (q->births.head && (!older || ++q->turn % BIRTH_TURNS == 0))
        return trp_runs_take(&q->births);
    if (q->ready.head && (!q->bound.head || ++q->turn % 2))
        return trp_runs_take(&q->ready);
    if (q->bound.head)
        return trp_runs_take(&q->bound);
    return NULL;
}

static struct trp_actor *runs_draw(struct trp_runs *r, unsigned n) {
    struct trp_actor **at = &r->head, *a;
    while (n--)
        at = &(*at)->next;
    a = *at;
    *at = a->next;
    if (!a->next)
        r->tail = at;
    r->count--;
    return a;
}

struct trp_actor *trp_runq_draw(struct trp_runq *q, unsigned n) {
    if (n < q->births.count)
        return runs_draw(&q->births, n);
    n -= q->births.count;
    return n < q->ready.count ? runs_draw(&q->ready, n) : runs_draw(&q->bound, n - q->ready.count);
}

unsigned trp_runq_split(struct trp_runq *q, bool all, struct trp_runs *out) {
    runs_init(out);
    trp_runq_let_all_in(q);
    if (trp_runq_roaming(q) < 2 && !q->generous && !all)
        return 0;
    /* The oldest births are the roots of what is yet to be born, and worth the way. */
    unsigned keep = all ? 0 : q->births.count / 2;
    runs_cut(&q->births, keep < LOOT_MOST ? keep : LOOT_MOST, out);
    unsigned half = (q->ready.count + 1) / 2;
    for (unsigned n = all ? q->ready.count : half; n > 0 && out->count < 2 * LOOT_MOST; n--)
        trp_runs_add(out, trp_runs_take(&q->ready));
    return out->count;
}

void trp_runq_join(struct trp_runq *q, struct trp_runs *loot) {
    runs_join(&q->ready, loot);
}
