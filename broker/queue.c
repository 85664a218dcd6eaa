/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A message comes into a queue and goes through its states. */
#include "broker/queue_state.h"
#include "transports/alloc.h"
#include "transports/assert.h"

static const uint64_t SEEN_MAX = (UINT64_C(1) << 48) - 1;

/* ---- room ---- */

bool trp_queue_accepts(const struct trp_queue *q, size_t size) {
    if (trp_queue_fits(q, size))
        return true;
    return q->config.overflow == TRP_QUEUE_DROP_OLDEST &&
           trp_queue_count(q) - q->messages[TRP_QUEUE_READY] < q->config.max_messages &&
           q->bytes - q->ready_bytes + size <= q->config.max_bytes;
}

struct trp_queue_item *trp_queue_first_ready(const struct trp_queue *q) {
    return q->ready_mask ? trp_queue_order_first(&q->ready[__builtin_ctz(q->ready_mask)]) : NULL;
}

struct trp_queue_item *trp_queue_oldest_ready(const struct trp_queue *q) {
    struct trp_queue_item *oldest = NULL;
    for (uint32_t mask = q->ready_mask; mask; mask &= mask - 1) {
        struct trp_queue_item *it = trp_queue_order_first(&q->ready[__builtin_ctz(mask)]);
        if (!oldest || it->seq < oldest->seq)
            oldest = it;
    }
    return oldest;
}

/* ---- states ---- */

troupe_status trp_queue_reserve_timer(struct trp_queues *s, struct trp_queue_item *it) {
    if (it->timed)
        return TROUPE_OK;
    troupe_status st = trp_timers_reserve(&s->timers);
    it->timed = st == TROUPE_OK;
    return st;
}

static void link_ready(struct trp_queue *q, struct trp_queue_item *it) {
    trp_queue_order_add(&q->ready[it->priority], &q->set->key, it);
    q->ready_mask |= 1u << it->priority;
    q->ready_bytes += it->size;
    if (trp_queue_item_expires(it) != TRP_QUEUE_NEVER)
        trp_timer_arm(&q->set->timers, &it->timer, trp_queue_item_expires(it));
}

static void unlink_ready(struct trp_queue *q, struct trp_queue_item *it) {
    struct trp_queue_order *o = &q->ready[it->priority];
    trp_queue_order_remove(o, &q->set->key, it);
    if (trp_queue_order_is_empty(o))
        q->ready_mask &= ~(1u << it->priority);
    q->ready_bytes -= it->size;
}

static void link_delayed(struct trp_queue *q, struct trp_queue_item *it) {
    trp_queue_items_push(&q->delayed, it);
    uint64_t expires = trp_queue_item_expires(it);
    trp_timer_arm(&q->set->timers, &it->timer, it->due < expires ? it->due : expires);
}

void trp_queue_link(struct trp_queue *q, struct trp_queue_item *it) {
    it->queue = q;
    q->messages[it->state]++;
    q->bytes += it->size;
    if (it->state == TRP_QUEUE_READY)
        link_ready(q, it);
    else if (it->state == TRP_QUEUE_DELAYED)
        link_delayed(q, it);
    else
        trp_queue_items_push(&q->buried, it);
}

void trp_queue_unlink(struct trp_queue *q, struct trp_queue_item *it) {
    trp_assert(it->state != TRP_QUEUE_HELD && it->queue == q);
    trp_queue_look_leave(q, it);
    q->messages[it->state]--;
    q->bytes -= it->size;
    trp_timer_disarm(&q->set->timers, &it->timer);
    if (it->state == TRP_QUEUE_READY)
        unlink_ready(q, it);
    else
        trp_queue_items_remove(it->state == TRP_QUEUE_DELAYED ? &q->delayed : &q->buried, it);
}

void trp_queue_forget(struct trp_queues *s, struct trp_queue_item *it) {
    if (it->timed)
        trp_timers_release(&s->timers);
    if (it->segment)
        trp_queue_items_remove_live(&s->live, it);
    if (s->replay.on)
        trp_queues_unindex(s, it);
    trp_queue_item_free(it);
}

void trp_queue_touch(struct trp_queue *q) {
    struct trp_queues *s = q->set;
    if (q->touched)
        return;
    q->touched = true;
    q->next_touched = NULL;
    *(s->first_touched ? &s->last_touched->next_touched : &s->first_touched) = q;
    s->last_touched = q;
}

/* ---- put ---- */

static bool is_valid(const struct trp_queue_put *put) {
    return put->raw.n > 0 && put->raw.n <= UINT32_MAX && put->priority < TRP_QUEUE_PRIORITIES &&
           put->dedup.n <= TRP_QUEUE_TEXT_MAX;
}

/* An id that has ended and was not taken out yet must go before it can come again. */
static bool is_duplicate(struct trp_queue *q, struct trp_when now, struct trp_slice text, uint64_t *lsn) {
    struct trp_dedup_id *id = text.n && q->config.dedup_ms ? trp_dedup_find(&q->dedup, &q->set->key, text) : NULL;
    if (!id)
        return false;
    if (id->until <= now.mono_ns) {
        trp_queue_forget_id(q, id);
        return false;
    }
    q->totals.duplicates++;
    *lsn = id->lsn;
    return true;
}

/* A message on its way in: nothing of it is visible yet, and all that it needs is there. */
struct arrival {
    struct trp_queue_item *it;
    struct trp_dedup_id *id; /* NULL: it has none */
};

static uint64_t ttl_of(const struct trp_queue *q, uint64_t asked) {
    uint64_t ms = asked ? asked : q->config.ttl_ms;
    return ms ? ms : TRP_QUEUE_NEVER;
}

static void arrival_drop(struct trp_queues *s, struct arrival *a) {
    if (a->it)
        trp_queue_forget(s, a->it);
    trp_free(a->id);
}

static void fill(struct trp_queue *q, struct trp_when now, const struct trp_queue_put *put, uint64_t ttl,
                 struct trp_queue_item *it) {
    it->seq = q->set->next_seq;
    it->first_seen = now.wall_ms < SEEN_MAX ? now.wall_ms : SEEN_MAX;
    it->priority = put->priority & 15;
    if (ttl != TRP_QUEUE_NEVER)
        trp_queue_item_expire_at(it, trp_queue_later(now, ttl));
    it->state = put->delay_ms ? TRP_QUEUE_DELAYED : TRP_QUEUE_READY;
    if (put->delay_ms)
        it->due = trp_queue_later(now, put->delay_ms);
}

static troupe_status prepare(struct trp_queue *q, struct trp_when now, const struct trp_queue_put *put, struct arrival *a) {
    struct trp_queues *s = q->set;
    uint64_t ttl = ttl_of(q, put->ttl_ms);
    *a = (struct arrival){0};
    a->it = trp_queue_item_new(&(struct trp_queue_item_spec){
        .raw = put->raw, .blob = put->blob, .durable = q->config.durable, .mortal = trp_queue_is_mortal(q, ttl)});
    if (!a->it)
        return TROUPE_NO_MEMORY;
    fill(q, now, put, ttl, a->it);
    if ((put->delay_ms || ttl != TRP_QUEUE_NEVER) && trp_queue_reserve_timer(s, a->it))
        return TROUPE_NO_MEMORY;
    if (!put->dedup.n || !q->config.dedup_ms)
        return TROUPE_OK;
    a->id = trp_dedup_prepare(&q->dedup, &s->key, put->dedup);
    return a->id ? TROUPE_OK : TROUPE_NO_MEMORY;
}

static void remember_id(struct trp_queue *q, struct trp_when now, const struct arrival *a, uint64_t lsn) {
    a->id->until = trp_queue_later(now, q->config.dedup_ms);
    trp_dedup_add(&q->dedup, a->id);
    trp_queue_log_id(q, a->id, a->it, lsn);
    trp_queue_arm_ids(q);
}

static void make_room(struct trp_queue *q, size_t size, struct trp_when now) {
    while (!trp_queue_fits(q, size)) {
        struct trp_queue_item *oldest = trp_queue_oldest_ready(q);
        trp_queue_unlink(q, oldest);
        trp_queue_overflow(q, oldest, now);
    }
}

static void accept(struct trp_queue *q, struct trp_when now, const struct arrival *a, uint64_t lsn) {
    q->set->next_seq++;
    q->totals.put++;
    make_room(q, a->it->size, now);
    trp_queue_link(q, a->it);
    if (a->id)
        remember_id(q, now, a, lsn);
    trp_queue_touch(q);
    trp_queues_settle(q->set, now);
}

static troupe_status admit(struct trp_queue *q, struct trp_when now, const struct trp_queue_put *put, uint64_t *lsn) {
    if (q->set->draining)
        return TROUPE_CLOSED;
    if (!is_valid(put))
        return TROUPE_INVALID;
    if (is_duplicate(q, now, put->dedup, lsn))
        return TROUPE_EXISTS;
    return trp_queue_accepts(q, put->raw.n) ? TROUPE_OK : TROUPE_FULL;
}

static troupe_status take(struct trp_queue *q, struct trp_when now, const struct trp_queue_put *put, uint64_t *lsn) {
    struct arrival a;
    uint64_t at = 0;
    troupe_status st = prepare(q, now, put, &a);
    if (!st)
        st = trp_queue_log_put(q, a.it, now, 0, a.id ? put->dedup : (struct trp_slice){0}, &at);
    if (st) {
        arrival_drop(q->set, &a);
        return st;
    }
    *lsn = at;
    accept(q, now, &a, at);
    return TROUPE_OK;
}

troupe_status trp_queue_put(struct trp_queue *q, struct trp_when now, const struct trp_queue_put *put, uint64_t *lsn) {
    troupe_status st = admit(q, now, put, lsn);
    if (!st)
        st = take(q, now, put, lsn);
    q->totals.refused += st == TROUPE_FULL || st == TROUPE_AGAIN;
    return st;
}

troupe_status trp_queue_pause(struct trp_queue *q, struct trp_when now, bool paused) {
    uint64_t lsn;
    if (q->paused == paused)
        return TROUPE_OK;
    troupe_status st = trp_queue_log_declare(q, paused, false, &lsn);
    if (st)
        return st;
    q->paused = paused;
    trp_queue_touch(q);
    trp_queues_settle(q->set, now);
    return TROUPE_OK;
}
