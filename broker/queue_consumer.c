/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Consumers: what they may hold, what they have in hand, and which of them gets the next message.
 *
 * A consumer has one timer for its pull and for the ack of all its hand. All deliveries have the same time, so the first of
 * the hand ends first. An ack does not touch the timer: when it goes off too early, it is set to what is right by then.
 * Hence a delivery and its ack cost no work in the heap of timers. */
#include "broker/queue_state.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { EXPIRED_MOST = 64, ROOM_MIN = 16, MESSAGE_EXTRA = 256 };

/* ---- the heap of those that want something ---- */

/* Least in hand, then longest idle; `served` differs between any two. */
static bool comes_before(const struct trp_consumer *a, const struct trp_consumer *b) {
    return a->holding != b->holding ? a->holding < b->holding : a->served < b->served;
}

static void put_at(struct trp_queue *q, uint32_t i, struct trp_consumer *c) {
    q->open[i] = c;
    c->open_at = i;
}

static void sift_up(struct trp_queue *q, uint32_t i, struct trp_consumer *c) {
    for (; i > 0 && comes_before(c, q->open[(i - 1) / 2]); i = (i - 1) / 2)
        put_at(q, i, q->open[(i - 1) / 2]);
    put_at(q, i, c);
}

static void sift_down(struct trp_queue *q, uint32_t i, struct trp_consumer *c) {
    for (uint32_t child; (child = 2 * i + 1) < q->n_open; i = child) {
        if (child + 1 < q->n_open && comes_before(q->open[child + 1], q->open[child]))
            child++;
        if (!comes_before(q->open[child], c))
            break;
        put_at(q, i, q->open[child]);
    }
    put_at(q, i, c);
}

static void settle(struct trp_queue *q, uint32_t i, struct trp_consumer *c) {
    if (i > 0 && comes_before(c, q->open[(i - 1) / 2]))
        sift_up(q, i, c);
    else
        sift_down(q, i, c);
}

static void heap_remove(struct trp_queue *q, struct trp_consumer *c) {
    uint32_t i = c->open_at;
    struct trp_consumer *last = q->open[--q->n_open];
    c->open_at = TRP_NOT_OPEN;
    if (last != c)
        settle(q, i, last);
}

/* What it may be pushed is bounded in bytes, too: all of it may wait in its connection's output, which is bounded. A pull is
 * asked for one at a time, and an empty hand takes anything. */
static bool wants_more(const struct trp_consumer *c) {
    return !c->starved && (c->pulling || (c->holding < c->credit && c->bytes < c->set->max_hand));
}

void trp_consumer_reorder(struct trp_consumer *c) {
    struct trp_queue *q = c->queue;
    if (c->open_at == TRP_NOT_OPEN) {
        if (wants_more(c))
            sift_up(q, q->n_open++, c);
    } else if (!wants_more(c)) {
        heap_remove(q, c);
    } else {
        settle(q, c->open_at, c);
    }
}

static troupe_status reserve_open(struct trp_queue *q) {
    if (q->n_consumers < q->cap_open)
        return TROUPE_OK;
    uint32_t cap = q->cap_open ? q->cap_open * 2 : 4;
    struct trp_consumer **open = trp_array(q->open, cap, sizeof(struct trp_consumer *));
    if (!open)
        return TROUPE_NO_MEMORY;
    q->open = open;
    q->cap_open = cap;
    return TROUPE_OK;
}

/* ---- the hand ---- */

/* Room for so many in hand, and as many free places again. It grows with what is really there: credit is a peer's word. */
static troupe_status reserve_hand(struct trp_consumer *c, uint32_t want) {
    uint64_t size = c->ring ? c->mask + 1 : 0, need = 2;
    while (need < 2 * (uint64_t)want)
        need *= 2;
    if (need <= size)
        return TROUPE_OK;
    struct trp_queue_item **ring = trp_calloc(need, sizeof(struct trp_queue_item *));
    if (!ring)
        return TROUPE_NO_MEMORY;
    for (uint64_t i = 0; i < size; i++)
        if (c->ring[i])
            ring[c->ring[i]->token & (need - 1)] = c->ring[i];
    trp_free(c->ring);
    c->ring = ring;
    c->mask = need - 1;
    return TROUPE_OK;
}

static struct trp_queue_item *held(const struct trp_consumer *c, uint64_t token) {
    struct trp_queue_item *it = c->ring ? c->ring[token & c->mask] : NULL;
    return it && it->token == token ? it : NULL;
}

static uint64_t next_token(struct trp_consumer *c) {
    while (c->ring[c->next_token & c->mask])
        c->next_token++;
    return c->next_token++;
}

/* The timer may be early, never late. */
static void arm(struct trp_consumer *c, uint64_t at) {
    struct trp_timers *ts = &c->set->timers;
    if (at != TRP_QUEUE_NEVER && (!trp_timer_is_armed(&c->timer) || at < trp_timer_at(ts, &c->timer)))
        trp_timer_arm(ts, &c->timer, at);
}

static uint64_t ack_deadline(const struct trp_queue *q, struct trp_when now) {
    return q->config.ack_timeout_ms ? trp_queue_later(now, q->config.ack_timeout_ms) : TRP_QUEUE_NEVER;
}

static void hold(struct trp_consumer *c, struct trp_queue_item *it, struct trp_when now) {
    struct trp_queue *q = c->queue;
    it->state = TRP_QUEUE_HELD;
    it->holder = c;
    it->deadline = ack_deadline(q, now);
    it->token = next_token(c);
    c->ring[it->token & c->mask] = it;
    trp_queue_items_push(&c->hand, it);
    c->holding++;
    c->bytes += it->size + MESSAGE_EXTRA;
    q->messages[TRP_QUEUE_HELD]++;
    q->bytes += it->size;
    arm(c, it->deadline);
}

void trp_consumer_unhold(struct trp_queue_item *it) {
    struct trp_consumer *c = it->holder;
    struct trp_queue *q = c->queue;
    c->ring[it->token & c->mask] = NULL;
    trp_queue_look_leave(q, it);
    trp_queue_items_remove(&c->hand, it);
    c->holding--;
    c->bytes -= it->size + MESSAGE_EXTRA;
    c->starved = false;
    q->messages[TRP_QUEUE_HELD]--;
    q->bytes -= it->size;
    it->timer = (struct trp_timer){.kind = TRP_TIMER_ITEM};
    it->state = TRP_QUEUE_READY;
    it->queue = q;
}

/* ---- giving away ---- */

static void end_pull(struct trp_consumer *c) {
    c->queue->pulls -= c->pulling;
    c->pulling = false;
}

static void deliver(struct trp_consumer *c, struct trp_queue_item *it, struct trp_when now) {
    struct trp_queue *q = c->queue;
    struct trp_queue_message m;
    trp_queue_unlink(q, it);
    it->deliveries += it->deliveries < UINT32_MAX;
    hold(c, it, now);
    end_pull(c);
    c->served = ++q->served;
    trp_consumer_reorder(c);
    q->totals.delivered++;
    trp_queue_view(q, it, &m);
    q->set->sink.deliver(q->set->ctx, c->user, it->token, &m);
}

/* Without memory for one more in its hand it gets none, until it has one less. */
static bool has_room(struct trp_consumer *c) {
    c->starved = reserve_hand(c, c->holding + 1) != TROUPE_OK;
    if (c->starved)
        trp_consumer_reorder(c);
    return !c->starved;
}

/* A million that expired at once are not this event's work: their timers are due, and tick comes back here. */
static void dispatch(struct trp_queue *q, struct trp_when now, unsigned *expired) {
    for (struct trp_queue_item *it; !q->paused && !q->set->draining && q->n_open > 0 && (it = trp_queue_first_ready(q));) {
        if (trp_queue_item_expires(it) <= now.mono_ns) {
            if (*expired == EXPIRED_MOST)
                return;
            ++*expired;
            trp_queue_unlink(q, it);
            trp_queue_expire(q, it, now);
        } else if (has_room(q->open[0])) {
            deliver(q->open[0], it, now);
        }
    }
}

void trp_queues_settle(struct trp_queues *s, struct trp_when now) {
    unsigned expired = 0;
    for (struct trp_queue *q; (q = s->first_touched);) {
        s->first_touched = q->next_touched;
        q->touched = false;
        dispatch(q, now, &expired);
    }
}

static void touch_and_settle(struct trp_queue *q, struct trp_when now) {
    trp_queue_touch(q);
    trp_queues_settle(q->set, now);
}

/* ---- deadlines ---- */

static void stop_pull(struct trp_consumer *c) {
    end_pull(c);
    trp_consumer_reorder(c);
    c->set->sink.empty(c->set->ctx, c->user);
}

/* The holder goes behind its equals, lest one that hangs takes one message after the other. */
static void lapse(struct trp_consumer *c, struct trp_queue_item *it, struct trp_when now) {
    struct trp_queue *q = c->queue;
    uint64_t token = it->token;
    q->totals.lapsed++;
    trp_consumer_unhold(it);
    c->served = ++q->served;
    trp_consumer_reorder(c);
    c->set->sink.lapsed(c->set->ctx, c->user, token);
    trp_queue_come_back(q, it, now);
}

bool trp_consumer_fire(struct trp_consumer *c, struct trp_when now) {
    uint64_t ack = c->hand.first ? c->hand.first->deadline : TRP_QUEUE_NEVER;
    uint64_t pull = c->pulling ? c->pull_deadline : TRP_QUEUE_NEVER;
    uint64_t at = trp_timer_at(&c->set->timers, &c->timer), next = ack < pull ? ack : pull;
    trp_timer_disarm(&c->set->timers, &c->timer);
    if (next <= at && ack <= pull)
        lapse(c, c->hand.first, now);
    else if (next <= at)
        stop_pull(c);
    arm(c, c->hand.first ? c->hand.first->deadline : TRP_QUEUE_NEVER);
    arm(c, c->pulling ? c->pull_deadline : TRP_QUEUE_NEVER);
    return next <= at;
}

/* ---- coming and going ---- */

static void enlist(struct trp_consumer *c, struct trp_queue *q) {
    c->queue = q;
    c->prev = q->last;
    *(q->last ? &q->last->next : &q->first) = c;
    q->last = c;
    q->n_consumers++;
    c->number = ++c->set->next_consumer;
    c->served = ++q->served;
}

static void delist(struct trp_consumer *c) {
    struct trp_queue *q = c->queue;
    end_pull(c);
    if (c->open_at != TRP_NOT_OPEN)
        heap_remove(q, c);
    *(c->prev ? &c->prev->next : &q->first) = c->next;
    *(c->next ? &c->next->prev : &q->last) = c->prev;
    q->n_consumers--;
    trp_timer_disarm(&c->set->timers, &c->timer);
    c->queue = NULL;
}

static uint32_t capped(uint32_t credit) {
    return credit < TRP_QUEUE_CREDIT_MAX ? credit : TRP_QUEUE_CREDIT_MAX;
}

/* Some room for somebody with that credit. */
static troupe_status reserve_some(struct trp_consumer *c, uint32_t credit) {
    return credit ? reserve_hand(c, credit < ROOM_MIN ? credit : ROOM_MIN) : TROUPE_OK;
}

troupe_status trp_queue_attach(struct trp_queue *q, struct trp_when now, uint32_t credit, void *user,
                               struct trp_consumer **out) {
    struct trp_consumer *c = reserve_open(q) ? NULL : trp_calloc(1, sizeof *c);
    if (!c)
        return TROUPE_NO_MEMORY;
    c->set = q->set;
    c->user = user;
    c->credit = capped(credit);
    c->next_token = 1;
    c->open_at = TRP_NOT_OPEN;
    c->timer.kind = TRP_TIMER_CONSUMER;
    if (reserve_some(c, c->credit) || trp_timers_reserve(&q->set->timers)) {
        trp_free(c->ring);
        trp_free(c);
        return TROUPE_NO_MEMORY;
    }
    enlist(c, q);
    *out = c;
    trp_consumer_reorder(c);
    touch_and_settle(q, now);
    return TROUPE_OK;
}

troupe_status trp_consumer_credit(struct trp_consumer *c, struct trp_when now, uint32_t credit) {
    if (!c->queue)
        return TROUPE_CLOSED;
    if (reserve_some(c, credit))
        return TROUPE_NO_MEMORY;
    c->credit = capped(credit);
    trp_consumer_reorder(c);
    touch_and_settle(c->queue, now);
    return TROUPE_OK;
}

troupe_status trp_consumer_pull(struct trp_consumer *c, struct trp_when now, uint64_t deadline_ns) {
    struct trp_queue *q = c->queue;
    if (!q)
        return TROUPE_CLOSED;
    if (c->pulling)
        return TROUPE_AGAIN;
    if (c->holding >= TRP_QUEUE_CREDIT_MAX)
        return TROUPE_FULL;
    if (reserve_hand(c, c->holding + 1))
        return TROUPE_NO_MEMORY;
    c->pulling = true;
    q->pulls++;
    c->pull_deadline = deadline_ns;
    c->served = ++q->served;
    trp_consumer_reorder(c);
    touch_and_settle(q, now);
    if (!c->pulling)
        return TROUPE_OK;
    if (deadline_ns <= now.mono_ns)
        stop_pull(c);
    else
        arm(c, deadline_ns);
    return TROUPE_OK;
}

void trp_consumer_end(struct trp_consumer *c) {
    for (struct trp_queue_item *it; (it = c->hand.first);) {
        trp_consumer_unhold(it);
        trp_queue_forget(c->set, it);
    }
    delist(c);
    c->set->sink.ended(c->set->ctx, c->user);
}

bool trp_consumer_orphan(struct trp_consumer *c) {
    if (!c->queue || !c->hand.first)
        return false;
    c->user = NULL;
    c->credit = 0;
    end_pull(c);
    trp_consumer_reorder(c);
    return true;
}

static void let_go(struct trp_consumer *c, struct trp_when now, enum trp_consumer_loss loss, int signal) {
    struct trp_queue *q = c->queue;
    for (struct trp_queue_item *it; (it = c->hand.first);) {
        trp_consumer_unhold(it);
        if (loss == TRP_CONSUMER_CRASHED) {
            it->crashes += it->crashes < UINT16_MAX;
            it->signal = signal > 0 && signal <= UINT8_MAX ? (uint8_t)signal : 0;
            q->totals.crashed++;
        }
        trp_queue_come_back(q, it, now);
    }
}

void trp_consumer_detach(struct trp_consumer **cp, struct trp_when now, enum trp_consumer_loss loss, int signal) {
    struct trp_consumer *c = *cp;
    if (!c)
        return;
    struct trp_queues *s = c->set;
    if (c->queue) {
        let_go(c, now, loss, signal);
        delist(c);
    }
    trp_timers_release(&s->timers);
    trp_free(c->ring);
    trp_free(c);
    *cp = NULL;
    trp_queues_settle(s, now);
}

/* ---- what a consumer says ---- */

/* OK: *it is what it has in hand by that token. */
static troupe_status find(struct trp_consumer *c, uint64_t token, struct trp_queue_item **it) {
    if (!c->queue)
        return TROUPE_CLOSED;
    *it = held(c, token);
    c->queue->totals.stale += !*it;
    return *it ? TROUPE_OK : TROUPE_NOT_FOUND;
}

static void take_back(struct trp_consumer *c, struct trp_queue_item *it) {
    trp_consumer_unhold(it);
    trp_consumer_reorder(c);
    trp_queue_touch(c->queue);
}

troupe_status trp_consumer_ack(struct trp_consumer *c, struct trp_when now, uint64_t token, uint64_t *lsn) {
    struct trp_queue_item *it;
    uint64_t at = 0;
    troupe_status st = find(c, token, &it);
    if (!st)
        st = trp_queue_log_done(c->queue, it, &at);
    if (st)
        return st;
    *lsn = at;
    c->queue->totals.acked++;
    take_back(c, it);
    trp_queue_forget(c->set, it);
    trp_queues_settle(c->set, now);
    return TROUPE_OK;
}

/* All that can fail, before anything has changed. */
static troupe_status prepare_nack(struct trp_consumer *c, struct trp_queue_item *it, struct trp_when now, uint64_t delay_ms) {
    if (delay_ms && trp_queue_reserve_timer(c->set, it))
        return TROUPE_NO_MEMORY;
    return trp_queue_log_state(c->queue, it, now, delay_ms, false);
}

troupe_status trp_consumer_nack(struct trp_consumer *c, struct trp_when now, uint64_t token, uint64_t delay_ms) {
    struct trp_queue_item *it;
    troupe_status st = find(c, token, &it);
    if (st)
        return st;
    bool back = trp_queue_verdict(c->queue, it) != TRP_REASON_NONE || trp_queue_item_expires(it) <= now.mono_ns;
    st = back ? TROUPE_OK : prepare_nack(c, it, now, delay_ms);
    if (st)
        return st;
    c->queue->totals.nacked++;
    take_back(c, it);
    if (back) {
        trp_queue_come_back(c->queue, it, now);
    } else {
        c->queue->totals.returned++;
        it->state = delay_ms ? TRP_QUEUE_DELAYED : TRP_QUEUE_READY;
        if (delay_ms)
            it->due = trp_queue_later(now, delay_ms);
        trp_queue_link(c->queue, it);
    }
    trp_queues_settle(c->set, now);
    return TROUPE_OK;
}

troupe_status trp_consumer_touch(struct trp_consumer *c, struct trp_when now, uint64_t token) {
    struct trp_queue_item *it;
    troupe_status st = find(c, token, &it);
    if (st)
        return st;
    it->deadline = ack_deadline(c->queue, now);
    trp_queue_look_leave(c->queue, it);
    trp_queue_items_remove(&c->hand, it);
    trp_queue_items_push(&c->hand, it);
    return TROUPE_OK;
}

troupe_status trp_consumer_bury(struct trp_consumer *c, struct trp_when now, uint64_t token, struct trp_slice reason) {
    struct trp_queue_item *it;
    troupe_status st = find(c, token, &it);
    if (st)
        return st;
    take_back(c, it);
    if (reason.n > TRP_QUEUE_TEXT_MAX)
        reason.n = TRP_QUEUE_TEXT_MAX;
    trp_queue_die(c->queue, it, TRP_REASON_BURIED, reason, now);
    trp_queues_settle(c->set, now);
    return TROUPE_OK;
}
