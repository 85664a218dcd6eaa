/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What comes back from a hand, what can't be worked on, and how the dead get another life.
 *
 * A message moves to another queue as a copy with a number of its own, so that it stands there in the order it came; in
 * the log the copy takes the place of the original in one record. What its dead-letter queue can't take (full, no
 * memory, no log) is buried where it is, which needs nothing; but one that had to make room is dropped then. A dead
 * letter that makes room for another is dropped, too: letters do not die twice at once, so no chain of full queues can
 * make one put do the work of many. */
#include "broker/queue_state.h"
#include "transports/assert.h"

/* ---- moving ---- */

static void drop(struct trp_queue *q, struct trp_queue_item *it) {
    uint64_t lsn;
    q->totals.dropped++;
    trp_queue_unrecorded(q, trp_queue_log_done(q, it, &lsn));
    trp_queue_forget(q->set, it);
}

static struct trp_queue_item *copy_for(struct trp_queue *to, struct trp_when now, const struct trp_queue_item *it,
                                       const struct trp_death *death, enum trp_queue_reason reason) {
    struct trp_queue_item_spec spec = {
        .durable = to->config.durable, .mortal = to->config.ttl_ms, .death = death, .reason = reason};
    spec.raw = trp_queue_item_raw(it, &spec.blob);
    struct trp_queue_item *copy = trp_queue_item_new(&spec);
    if (!copy)
        return NULL;
    copy->seq = to->set->next_seq;
    copy->first_seen = it->first_seen;
    copy->priority = it->priority;
    if (!to->config.ttl_ms)
        return copy;
    trp_queue_item_expire_at(copy, trp_queue_later(now, to->config.ttl_ms));
    if (!trp_queue_reserve_timer(to->set, copy))
        return copy;
    trp_queue_forget(to->set, copy);
    return NULL;
}

static void make_room(struct trp_queue *to, size_t size) {
    while (!trp_queue_fits(to, size)) {
        struct trp_queue_item *oldest = trp_queue_oldest_ready(to);
        trp_queue_unlink(to, oldest);
        to->totals.overflowed++;
        drop(to, oldest);
    }
}

/* The log knows of both in one record, unless only one of the queues is in it. */
static troupe_status log_move(struct trp_queue *from, struct trp_queue_item *it, struct trp_queue *to,
                              struct trp_queue_item *copy, struct trp_when now) {
    uint64_t lsn;
    uint64_t was = from->config.durable && to->config.durable ? it->seq : 0;
    troupe_status st = trp_queue_log_put(to, copy, now, was, (struct trp_slice){0}, &lsn);
    if (!st && from->config.durable && !was)
        trp_queue_unrecorded(from, trp_queue_log_done(from, it, &lsn));
    return st;
}

/* The original is in no state, and lives on if this fails. `to` accepts one of its size. */
static troupe_status move(struct trp_queue *from, struct trp_queue_item *it, struct trp_queue *to,
                          const struct trp_death *death, enum trp_queue_reason reason, struct trp_when now) {
    struct trp_queues *s = from->set;
    struct trp_queue_item *copy = copy_for(to, now, it, death, reason);
    if (!copy)
        return TROUPE_NO_MEMORY;
    troupe_status st = log_move(from, it, to, copy, now);
    if (st) {
        trp_queue_forget(s, copy);
        return st;
    }
    s->next_seq++;
    from->totals.left++;
    to->totals.came++;
    make_room(to, copy->size);
    trp_queue_link(to, copy);
    trp_queue_touch(to);
    trp_queue_forget(s, it);
    return TROUPE_OK;
}

/* ---- dying ---- */

/* NULL: there is none and none can be made. */
static struct trp_queue *dead_letter_queue(struct trp_queue *q) {
    struct trp_queue *to = trp_queues_find(q->set, q->config.dead_letter);
    if (to)
        return to;
    struct trp_queue_config c = {
        .name = q->config.dead_letter,
        .durable = q->config.durable,
        .max_messages = q->config.max_messages,
        .max_bytes = q->config.max_bytes,
        .ack_timeout_ms = q->config.ack_timeout_ms,
        .dead_letter = trp_slice_str(""),
    };
    return trp_queues_declare_resolved(q->set, &c, &to) ? NULL : to;
}

static bool move_to_dead_letters(struct trp_queue *q, struct trp_queue_item *it, enum trp_queue_reason reason,
                                 struct trp_slice text, struct trp_when now) {
    struct trp_queue *to = dead_letter_queue(q);
    struct trp_death death = {q->config.name, text, it->deliveries, it->crashes, it->signal};
    return to && trp_queue_accepts(to, it->size) && move(q, it, to, &death, reason, now) == TROUPE_OK;
}

static void bury(struct trp_queue *q, struct trp_queue_item *it, enum trp_queue_reason reason, struct trp_when now) {
    it->state = TRP_QUEUE_BURIED;
    it->reason = (uint8_t)reason;
    trp_queue_unrecorded(q, trp_queue_log_state(q, it, now, 0, true));
    q->totals.buried++;
    trp_queue_link(q, it);
}

void trp_queue_die(struct trp_queue *q, struct trp_queue_item *it, enum trp_queue_reason reason, struct trp_slice text,
                   struct trp_when now) {
    if (q->config.dead_letter.n == 0)
        drop(q, it);
    else if (move_to_dead_letters(q, it, reason, text, now))
        q->totals.dead++;
    else if (reason == TRP_REASON_OVERFLOW)
        drop(q, it);
    else
        bury(q, it, reason, now);
}

void trp_queue_expire(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now) {
    q->totals.expired++;
    trp_queue_die(q, it, TRP_REASON_EXPIRED, (struct trp_slice){0}, now);
}

void trp_queue_overflow(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now) {
    q->totals.overflowed++;
    trp_queue_die(q, it, TRP_REASON_OVERFLOW, (struct trp_slice){0}, now);
}

enum trp_queue_reason trp_queue_verdict(const struct trp_queue *q, const struct trp_queue_item *it) {
    if (q->config.max_crashes && it->crashes >= q->config.max_crashes)
        return TRP_REASON_CRASHED;
    if (q->config.max_deliveries && it->deliveries >= q->config.max_deliveries)
        return TRP_REASON_MAX_DELIVERIES;
    return TRP_REASON_NONE;
}

void trp_queue_come_back(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now) {
    enum trp_queue_reason verdict = trp_queue_verdict(q, it);
    q->totals.returned++;
    trp_queue_touch(q);
    if (verdict) {
        trp_queue_die(q, it, verdict, (struct trp_slice){0}, now);
    } else if (trp_queue_item_expires(it) <= now.mono_ns) {
        trp_queue_expire(q, it, now);
    } else {
        trp_queue_unrecorded(q, trp_queue_log_state(q, it, now, 0, false));
        trp_queue_link(q, it);
    }
}

/* ---- another life ---- */

/* A buried message as it was before anything happened to it, with a new ttl. */
static void renew(const struct trp_queue *q, struct trp_queue_item *it, struct trp_when now) {
    it->state = TRP_QUEUE_READY;
    trp_queue_item_expire_at(it, q->config.ttl_ms ? trp_queue_later(now, q->config.ttl_ms) : TRP_QUEUE_NEVER);
    it->deliveries = 0;
    it->crashes = 0;
    it->signal = 0;
    it->reason = it->dead ? it->reason : TRP_REASON_NONE;
}

/* It is written whole, since a STATE says nothing of its ttl. */
static troupe_status dig_up(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now) {
    uint64_t lsn;
    if (q->config.ttl_ms && trp_queue_reserve_timer(q->set, it))
        return TROUPE_NO_MEMORY;
    struct trp_queue_item before = *it;
    uint64_t expires = trp_queue_item_expires(it);
    renew(q, it, now);
    troupe_status st = trp_queue_log_put(q, it, now, 0, (struct trp_slice){0}, &lsn);
    if (st) {
        *it = before;
        trp_queue_item_expire_at(it, expires);
        return st;
    }
    it->state = TRP_QUEUE_BURIED;
    trp_queue_unlink(q, it);
    it->state = TRP_QUEUE_READY;
    trp_queue_link(q, it);
    trp_queue_touch(q);
    return TROUPE_OK;
}

/* EMPTY: it has no home to go to. */
static troupe_status send_home(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now) {
    struct trp_queue *home = it->dead ? trp_queues_find(q->set, trp_queue_item_death(it).queue) : NULL;
    if (!home || home == q)
        return TROUPE_EMPTY;
    if (!trp_queue_fits(home, it->size))
        return TROUPE_FULL;
    trp_queue_unlink(q, it);
    troupe_status st = move(q, it, home, NULL, TRP_REASON_NONE, now);
    if (st)
        trp_queue_link(q, it);
    return st;
}

static bool has_passed(const struct trp_queue_retry *r, const struct trp_queue_item *it) {
    return it->priority < r->priority || (it->priority == r->priority && it->seq <= r->last);
}

/* As long as none has stayed, the next one is the first. */
static struct trp_queue_item *next_ready(struct trp_queue *q, const struct trp_queue_retry *r) {
    if (!r->last)
        return trp_queue_first_ready(q);
    if (!trp_queue_look_behind(q, TRP_QUEUE_READY, r->last)) {
        trp_queue_look_at(q, TRP_QUEUE_READY, 0);
        while (trp_queue_look_here(q) && has_passed(r, trp_queue_look_here(q)))
            trp_queue_look_on(q);
    }
    return trp_queue_look_here(q);
}

/* It stays. */
static void pass_over(struct trp_queue *q, struct trp_queue_retry *r, const struct trp_queue_item *it) {
    if (!r->last)
        trp_queue_look_at(q, TRP_QUEUE_READY, 0);
    r->last = it->seq;
    r->priority = it->priority;
    trp_queue_look_on(q);
}

static troupe_status retry_ready(struct trp_queue *q, struct trp_queue_retry *r, struct trp_when now, uint64_t *looks,
                                 uint64_t *count) {
    struct trp_queue_item *it = NULL;
    for (; r->left && r->ready && *looks && (it = next_ready(q, r)); r->ready--, --*looks) {
        troupe_status st = send_home(q, it, now);
        if (st == TROUPE_EMPTY) {
            pass_over(q, r, it);
            continue;
        }
        if (st)
            return st;
        r->left--;
        ++*count;
    }
    if (!it && r->left && *looks)
        r->ready = 0; /* others have taken some */
    return TROUPE_OK;
}

static troupe_status retry_buried(struct trp_queue *q, struct trp_queue_retry *r, struct trp_when now, uint64_t *looks,
                                  uint64_t *count) {
    for (; r->left && r->buried && *looks && q->buried.first; r->left--, r->buried--, --*looks, ++*count) {
        troupe_status st = dig_up(q, q->buried.first, now);
        if (st)
            return st;
    }
    if (!q->buried.first)
        r->buried = 0;
    return TROUPE_OK;
}

struct trp_queue_retry trp_queue_retry_begin(const struct trp_queue *q, uint64_t most) {
    return (struct trp_queue_retry){
        .left = most, .ready = q->messages[TRP_QUEUE_READY], .buried = q->messages[TRP_QUEUE_BURIED]};
}

troupe_status trp_queue_retry(struct trp_queue *q, struct trp_when now, struct trp_queue_retry *r, uint64_t looks,
                              uint64_t *count) {
    *count = 0;
    troupe_status st = retry_ready(q, r, now, &looks, count);
    if (!st && r->ready == 0)
        st = retry_buried(q, r, now, &looks, count);
    q->totals.retried += *count;
    trp_queues_settle(q->set, now);
    return st;
}
