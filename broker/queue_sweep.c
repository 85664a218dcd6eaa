/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Emptying a queue: for purge, and after it was deleted. Both may concern a million messages, and each costs a walk to memory
 * that nobody has looked at for long; so they are done in steps, and all else goes on between two of them.
 *
 * A deleted queue is gone at once, for everybody: its name is free and its consumers have ended. What was in it still has
 * timers and a place among what lives in the log; until a step has come to it, these pass it over. */
#include "broker/queue_state.h"
#include "transports/assert.h"

enum { STEP = 1024 };

/* ---- purge ---- */

/* Messages that go together, in one record. */
struct sweep {
    struct trp_queue_item *items[256];
    size_t n, most;
    uint64_t below;
};

/* False: no more of them. */
static bool take(struct sweep *w, struct trp_queue_item *it) {
    if (it->seq < w->below)
        w->items[w->n++] = it;
    return w->n < w->most;
}

/* In the order of their numbers within a priority. */
static void gather_ready(struct sweep *w, const struct trp_queue *q) {
    for (uint32_t mask = q->ready_mask; mask; mask &= mask - 1) {
        struct trp_queue_walk walk = trp_queue_order_walk(&q->ready[__builtin_ctz(mask)]);
        for (struct trp_queue_item *it; (it = trp_queue_walk_next(&walk)) && it->seq < w->below;)
            if (!take(w, it))
                return;
    }
}

static bool gather(struct sweep *w, struct trp_queue_item *it) {
    while (it && take(w, it))
        it = it->next;
    return !it;
}

static void gather_all(struct sweep *w, const struct trp_queue *q, bool all) {
    gather_ready(w, q);
    if (w->n == w->most || !gather(w, q->delayed.first) || !all || !gather(w, q->buried.first))
        return;
    for (const struct trp_consumer *c = q->first; c && gather(w, c->hand.first); c = c->next)
        ;
}

static troupe_status log_sweep(struct trp_queue *q, const struct sweep *w, uint64_t *lsn) {
    struct trp_queue_record_batch b;
    trp_queue_record_batch_init(&b, w->items[0]->seq);
    /* Room for all: 9 bytes each at most. */
    for (size_t i = 1; i < w->n; i++)
        (void)trp_queue_record_batch_add(&b, w->items[i]->seq);
    return trp_queue_log_batch(q, &b, lsn);
}

static void snatch(struct trp_queue_item *it) {
    struct trp_consumer *c = it->holder;
    uint64_t token = it->token;
    trp_consumer_unhold(it);
    trp_consumer_reorder(c);
    c->set->sink.lapsed(c->set->ctx, c->user, token);
}

static void sweep_away(struct trp_queue *q, struct trp_queue_item *it) {
    if (it->state == TRP_QUEUE_HELD)
        snatch(it);
    else
        trp_queue_unlink(q, it);
    trp_queue_forget(q->set, it);
    q->totals.purged++;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

troupe_status trp_queue_purge(struct trp_queue *q, struct trp_when now, const struct trp_queue_purge *p, uint64_t *count,
                              uint64_t *lsn) {
    troupe_status st = TROUPE_OK;
    struct sweep w = {.below = p->below};
    *lsn = 0;
    for (*count = 0; *count < p->most; *count += w.n) {
        w.n = 0;
        w.most = least(sizeof w.items / sizeof *w.items, p->most - *count);
        gather_all(&w, q, p->all);
        if (w.n == 0 || (st = log_sweep(q, &w, lsn)))
            break;
        for (size_t i = 0; i < w.n; i++)
            sweep_away(q, w.items[i]);
    }
    trp_queue_touch(q);
    trp_queues_settle(q->set, now);
    return st;
}

uint64_t trp_queues_next_number(const struct trp_queues *s) {
    return s->next_seq;
}

/* ---- what is left of a deleted queue ---- */

/* At most so many messages and ids; how many there were. */
static size_t empty_some(struct trp_queue *q, size_t most) {
    struct trp_queue_item *it;
    size_t n = 0;
    for (; n < most && ((it = trp_queue_first_ready(q)) || (it = q->delayed.first) || (it = q->buried.first)); n++) {
        trp_queue_unlink(q, it);
        trp_queue_forget(q->set, it);
    }
    for (; n < most && q->dedup.first; n++)
        trp_queue_forget_id(q, q->dedup.first);
    return n;
}

void trp_queue_empty(struct trp_queue *q) {
    (void)empty_some(q, SIZE_MAX);
}

void trp_queue_bury_remains(struct trp_queue *q) {
    struct trp_queues *s = q->set;
    trp_assert(!q->touched && !q->first);
    q->deleted = true;
    if (empty_some(q, STEP) < STEP) {
        trp_queue_free(q);
        return;
    }
    q->next = s->deleted;
    s->deleted = q;
}

bool trp_queues_sweep(struct trp_queues *s, size_t most) {
    for (struct trp_queue *q; most > 0 && (q = s->deleted);) {
        size_t n = empty_some(q, most);
        if (n == most)
            return true;
        most -= n;
        s->deleted = q->next;
        trp_queue_free(q);
    }
    return s->deleted != NULL;
}
