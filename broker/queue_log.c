/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Records out: what happens to durable queues. Records in: a set is rebuilt from them. queue.h has why a log that lost
 * its oldest segments still rebuilds the same set.
 *
 * Nothing here may rely on the set not being looked at while a record is appended: `record` may ask for the catalog. */
#include "broker/queue_state.h"
#include "transports/assert.h"

static const struct trp_slice nothing = {0};

/* ---- records out ---- */

static troupe_status append(struct trp_queues *s, const struct trp_queue_record *r, struct trp_slice body, bool must,
                            uint64_t *lsn, uint64_t *segment) {
    uint8_t head[TRP_QUEUE_RECORD_HEAD_MAX];
    size_t n = (size_t)(trp_queue_record_write(head, r) - head);
    return s->sink.record(s->ctx, (struct trp_slice){head, n}, body, must, lsn, segment);
}

static void tell_counts(struct trp_queue_record *r, const struct trp_queue_item *it) {
    r->deliveries = it->deliveries;
    r->crashes = it->crashes;
    r->signal = it->signal;
    r->reason = (enum trp_queue_reason)it->reason;
}

static void tell_item(struct trp_queue_record *r, const struct trp_queue_item *it, struct trp_when now) {
    r->seq = it->seq;
    r->first_seen_ms = it->first_seen;
    r->priority = it->priority;
    r->buried = it->state == TRP_QUEUE_BURIED;
    r->delay_ms = it->state == TRP_QUEUE_DELAYED ? trp_queue_left(now, it->due) : 0;
    if (trp_queue_item_expires(it) != TRP_QUEUE_NEVER)
        r->ttl_ms = trp_queue_left(now, trp_queue_item_expires(it));
    tell_counts(r, it);
    r->dead = it->dead;
    if (it->dead)
        r->death = trp_queue_item_epitaph(it);
}

/* It lies at the end of the log now. */
static void set_place(struct trp_queues *s, struct trp_queue_item *it, uint64_t segment) {
    trp_assert(segment > 0 && segment <= UINT32_MAX);
    if (it->segment)
        trp_queue_items_remove_live(&s->live, it);
    it->segment = (uint32_t)segment;
    trp_queue_items_push_live(&s->live, it);
}

troupe_status trp_queue_log_put(struct trp_queue *q, struct trp_queue_item *it, struct trp_when now, uint64_t was,
                                struct trp_slice dedup, uint64_t *lsn) {
    if (!q->config.durable)
        return TROUPE_OK;
    struct trp_queue_record r = {.kind = TRP_QUEUE_RECORD_PUT,
                                 .queue = q->number,
                                 .was = was,
                                 .at_ms = now.wall_ms,
                                 .ttl_ms = TRP_QUEUE_NEVER,
                                 .dedup = dedup};
    uint64_t segment;
    tell_item(&r, it, now);
    troupe_status st = append(q->set, &r, trp_queue_item_raw(it, NULL), false, lsn, &segment);
    if (!st)
        set_place(q->set, it, segment);
    return st;
}

troupe_status trp_queue_log_state(struct trp_queue *q, const struct trp_queue_item *it, struct trp_when now, uint64_t delay_ms,
                                  bool buried) {
    if (!q->config.durable)
        return TROUPE_OK;
    struct trp_queue_record r = {.kind = TRP_QUEUE_RECORD_STATE,
                                 .seq = it->seq,
                                 .at_ms = now.wall_ms,
                                 .delay_ms = delay_ms,
                                 .buried = buried,
                                 .ttl_ms = TRP_QUEUE_NEVER};
    uint64_t lsn, segment;
    tell_counts(&r, it);
    return append(q->set, &r, nothing, true, &lsn, &segment);
}

troupe_status trp_queue_log_done(struct trp_queue *q, const struct trp_queue_item *it, uint64_t *lsn) {
    uint64_t segment;
    if (!q->config.durable)
        return TROUPE_OK;
    return append(q->set, &(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DONE, .seq = it->seq}, nothing, true, lsn,
                  &segment);
}

troupe_status trp_queue_log_batch(struct trp_queue *q, const struct trp_queue_record_batch *b, uint64_t *lsn) {
    uint64_t segment;
    if (!q->config.durable)
        return TROUPE_OK;
    return q->set->sink.record(q->set->ctx, (struct trp_slice){b->bytes, b->n}, nothing, true, lsn, &segment);
}

troupe_status trp_queue_log_declare(struct trp_queue *q, bool paused, bool must, uint64_t *lsn) {
    uint64_t segment;
    if (!q->config.durable)
        return TROUPE_OK;
    return append(q->set, &(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DECLARE, .queue = q->number, .paused = paused},
                  q->packed, must, lsn, &segment);
}

troupe_status trp_queue_log_delete(struct trp_queue *q, uint64_t *lsn) {
    uint64_t segment;
    if (!q->config.durable)
        return TROUPE_OK;
    return append(q->set, &(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_DELETE, .queue = q->number}, nothing, true, lsn,
                  &segment);
}

void trp_queue_log_id(struct trp_queue *q, struct trp_dedup_id *id, const struct trp_queue_item *it, uint64_t lsn) {
    id->queue = q;
    id->lsn = lsn;
    id->segment = it->segment;
    if (id->segment)
        trp_dedup_live_push(&q->set->live_ids, id);
}

/* ---- segments ---- */

troupe_status trp_queues_catalog(struct trp_queues *s) {
    uint64_t lsn, segment;
    troupe_status st =
        append(s, &(struct trp_queue_record){.kind = TRP_QUEUE_RECORD_MARK, .seq = s->next_seq}, nothing, true, &lsn, &segment);
    for (struct trp_queue *q = s->first; q && !st; q = q->next)
        st = trp_queue_log_declare(q, q->paused, true, &lsn);
    return st;
}

/* Of a deleted queue nothing lives. */
static troupe_status rewrite_item(struct trp_queues *s, struct trp_queue_item *it, struct trp_when now) {
    struct trp_queue *q = trp_queue_of(it);
    uint64_t lsn;
    if (!q->deleted)
        return trp_queue_log_put(q, it, now, 0, nothing, &lsn);
    trp_queue_unlink(q, it);
    trp_queue_forget(s, it);
    return TROUPE_OK;
}

static troupe_status rewrite_id(struct trp_queues *s, struct trp_dedup_id *id, struct trp_when now) {
    if (id->queue->deleted) {
        trp_queue_forget_id(id->queue, id);
        return TROUPE_OK;
    }
    struct trp_queue_record r = {.kind = TRP_QUEUE_RECORD_DEDUP,
                                 .queue = id->queue->number,
                                 .at_ms = now.wall_ms,
                                 .ttl_ms = trp_queue_left(now, id->until)};
    uint64_t lsn, segment;
    r.dedup = (struct trp_slice){id->text, id->n};
    troupe_status st = append(s, &r, nothing, false, &lsn, &segment);
    if (st)
        return st;
    trp_assert(segment > 0 && segment <= UINT32_MAX);
    trp_dedup_live_remove(&s->live_ids, id);
    id->segment = (uint32_t)segment;
    trp_dedup_live_push(&s->live_ids, id);
    return TROUPE_OK;
}

static struct trp_queue_item *item_up_to(const struct trp_queues *s, uint64_t segment) {
    return s->live.first && s->live.first->segment <= segment ? s->live.first : NULL;
}

static struct trp_dedup_id *id_up_to(const struct trp_queues *s, uint64_t segment) {
    return s->live_ids.first && s->live_ids.first->segment <= segment ? s->live_ids.first : NULL;
}

troupe_status trp_queues_rewrite(struct trp_queues *s, struct trp_when now, uint64_t segment, size_t most, bool *done) {
    struct trp_queue_item *it;
    struct trp_dedup_id *id;
    troupe_status st = TROUPE_OK;
    for (; most > 0 && !st && (it = item_up_to(s, segment)); most--)
        st = rewrite_item(s, it, now);
    for (; most > 0 && !st && (id = id_up_to(s, segment)); most--)
        st = rewrite_id(s, id, now);
    *done = !item_up_to(s, segment) && !id_up_to(s, segment);
    return st;
}

/* ---- records in: books by number ---- */

static bool same_item(const void *value, const void *want) {
    return ((const struct trp_queue_item *)value)->seq == *(const uint64_t *)want;
}

static bool same_queue(const void *value, const void *want) {
    return ((const struct trp_queue *)value)->number == *(const uint64_t *)want;
}

static struct trp_queue_item *find_item(struct trp_queues *s, uint64_t seq) {
    return trp_table_find(&s->replay.items, trp_hash_u64(&s->key, seq), same_item, &seq);
}

static struct trp_queue *find_queue(struct trp_queues *s, uint64_t number) {
    return trp_table_find(&s->replay.queues, trp_hash_u64(&s->key, number), same_queue, &number);
}

void trp_queues_unindex(struct trp_queues *s, const struct trp_queue_item *it) {
    if (find_item(s, it->seq) == it)
        trp_table_remove(&s->replay.items, trp_hash_u64(&s->key, it->seq), it);
}

void trp_queues_recovered(struct trp_queues *s) {
    trp_table_fini(&s->replay.items);
    trp_table_fini(&s->replay.queues);
    for (struct trp_queue *q = s->first; s->replay.on && q; q = q->next)
        q->totals.came = trp_queue_count(q);
    s->replay.on = false;
}

/* ---- records in: one kind each ---- */

/* A record being applied. */
struct replay {
    struct trp_queues *s;
    struct trp_when now;
    struct trp_queue_record r;
    uint64_t lsn, segment;
    const char **why;
};

static troupe_status damaged(struct replay *a, const char *why) {
    *a->why = why;
    return TROUPE_PROTOCOL;
}

/* What is left of a time that was written so long ago; not more than was left then, whatever the wall clock did. */
static uint64_t then(const struct replay *a, uint64_t left_ms) {
    uint64_t gone = a->now.wall_ms > a->r.at_ms ? a->now.wall_ms - a->r.at_ms : 0;
    return trp_queue_later(a->now, left_ms > gone ? left_ms - gone : 0);
}

static troupe_status apply_mark(struct replay *a) {
    struct trp_queues *s = a->s;
    if (a->r.seq < s->next_seq)
        return damaged(a, "a segment's mark is lower than the numbers before it");
    if (!s->replay.floor)
        s->replay.floor = a->r.seq;
    s->next_seq = a->r.seq;
    return TROUPE_OK;
}

static troupe_status declare_anew(struct replay *a, const struct trp_queue_config *config) {
    struct trp_queues *s = a->s;
    if (trp_queues_find(s, config->name))
        return damaged(a, "a queue's name is declared twice");
    struct trp_queue *q = trp_table_reserve(&s->replay.queues) ? NULL : trp_queue_new(s, config);
    if (!q)
        return TROUPE_NO_MEMORY;
    q->number = a->r.queue;
    q->declared = a->lsn;
    q->paused = a->r.paused;
    if (s->next_queue <= q->number)
        s->next_queue = q->number + 1;
    trp_table_add(&s->replay.queues, trp_hash_u64(&s->key, q->number), q);
    trp_queue_enlist(q);
    return TROUPE_OK;
}

static troupe_status apply_declare(struct replay *a) {
    struct trp_queue_config config;
    struct trp_queue_declared resolved;
    struct trp_slice patterns[TRP_QUEUE_PATTERNS_MAX];
    struct trp_queue *q = find_queue(a->s, a->r.queue);
    if (q && trp_slice_eq(q->packed, a->r.body)) {
        q->paused = a->r.paused;
        return TROUPE_OK;
    }
    if (q)
        return damaged(a, "a queue is declared in two ways");
    if (!trp_queue_config_read(a->r.body, &config, patterns))
        return damaged(a, "a queue's declaration can't be read");
    config.durable = true;
    if (trp_queue_config_resolve(&config, &resolved, a->s->why))
        return damaged(a, "a queue's declaration makes no sense");
    return declare_anew(a, &resolved.config);
}

static troupe_status apply_delete(struct replay *a) {
    struct trp_queue *q = find_queue(a->s, a->r.queue);
    if (!q)
        return damaged(a, "a queue is deleted that was not declared");
    trp_table_remove(&a->s->replay.queues, trp_hash_u64(&a->s->key, q->number), q);
    trp_queue_destroy(q);
    return TROUPE_OK;
}

/* Where what a STATE or PUT says is put into the item, which is in no state. */
static void set_counts(struct replay *a, struct trp_queue_item *it) {
    const struct trp_queue_record *r = &a->r;
    it->deliveries = r->deliveries;
    it->crashes = r->crashes;
    it->signal = r->signal;
    it->state = r->buried ? TRP_QUEUE_BURIED : TRP_QUEUE_READY;
    if (r->buried)
        it->reason = (uint8_t)r->reason;
    uint64_t due = r->delay_ms ? then(a, r->delay_ms) : 0;
    if (due > a->now.mono_ns) {
        it->state = TRP_QUEUE_DELAYED;
        it->due = due;
    }
}

static void set_all(struct replay *a, struct trp_queue_item *it) {
    const struct trp_queue_record *r = &a->r;
    it->first_seen = r->first_seen_ms & ((UINT64_C(1) << 48) - 1);
    it->priority = r->priority & 15;
    it->reason = (uint8_t)r->reason;
    trp_queue_item_expire_at(it, r->ttl_ms == TRP_QUEUE_NEVER ? TRP_QUEUE_NEVER : then(a, r->ttl_ms));
    set_counts(a, it);
}

static bool needs_timer(const struct trp_queue_record *r) {
    return r->delay_ms || r->ttl_ms != TRP_QUEUE_NEVER;
}

/* A message that is not known: new, or copied forward and its first PUT dropped. */
static troupe_status put_anew(struct replay *a, struct trp_queue *q) {
    struct trp_queues *s = a->s;
    struct trp_queue_item_spec spec = {.raw = a->r.body,
                                       .durable = true,
                                       .mortal = trp_queue_is_mortal(q, a->r.ttl_ms),
                                       .death = a->r.dead ? &a->r.death : NULL};
    if (a->r.seq >= s->replay.floor && a->r.seq < s->next_seq)
        return damaged(a, "a message is put that was done");
    struct trp_queue_item *it = trp_table_reserve(&s->replay.items) ? NULL : trp_queue_item_new(&spec);
    if (!it)
        return TROUPE_NO_MEMORY;
    it->seq = a->r.seq;
    if (needs_timer(&a->r) && trp_queue_reserve_timer(s, it)) {
        trp_queue_item_free(it);
        return TROUPE_NO_MEMORY;
    }
    set_all(a, it);
    set_place(s, it, a->segment);
    trp_table_add(&s->replay.items, trp_hash_u64(&s->key, it->seq), it);
    trp_queue_link(q, it);
    if (s->next_seq <= it->seq)
        s->next_seq = it->seq + 1;
    return TROUPE_OK;
}

/* Copied forward: the same message in the state that it had by then. */
static troupe_status put_again(struct replay *a, struct trp_queue *q, struct trp_queue_item *it) {
    bool mortal = a->r.ttl_ms != TRP_QUEUE_NEVER;
    if (it->queue != q || it->size != a->r.body.n || it->dead != a->r.dead || (mortal && !it->mortal))
        return damaged(a, "a message is put again, and is another");
    if (needs_timer(&a->r) && trp_queue_reserve_timer(a->s, it))
        return TROUPE_NO_MEMORY;
    trp_queue_unlink(q, it);
    set_all(a, it);
    set_place(a->s, it, a->segment);
    trp_queue_link(q, it);
    return TROUPE_OK;
}

/* An id that comes again came after the first one had ended. */
static troupe_status put_id(struct replay *a, struct trp_queue *q, uint64_t left_ms) {
    struct trp_queues *s = a->s;
    uint64_t until = then(a, left_ms);
    struct trp_dedup_id *id = trp_dedup_find(&q->dedup, &s->key, a->r.dedup);
    if (id)
        trp_queue_forget_id(q, id);
    if (until <= a->now.mono_ns)
        return TROUPE_OK;
    id = trp_dedup_prepare(&q->dedup, &s->key, a->r.dedup);
    if (!id)
        return TROUPE_NO_MEMORY;
    id->until = until;
    id->queue = q;
    id->lsn = a->lsn;
    id->segment = (uint32_t)a->segment;
    trp_dedup_add(&q->dedup, id);
    trp_dedup_live_push(&s->live_ids, id);
    trp_queue_arm_ids(q);
    return TROUPE_OK;
}

/* OK: it is not known, and need not be. */
static troupe_status passed_over(struct replay *a, uint64_t seq) {
    return seq < a->s->replay.floor ? TROUPE_OK : damaged(a, "a message is spoken of that was never put");
}

static troupe_status finish(struct replay *a, uint64_t seq) {
    struct trp_queue_item *it = find_item(a->s, seq);
    if (!it)
        return passed_over(a, seq);
    trp_queue_unlink(it->queue, it);
    trp_queue_forget(a->s, it);
    return TROUPE_OK;
}

static troupe_status apply_put(struct replay *a) {
    struct trp_queue *q = find_queue(a->s, a->r.queue);
    if (!q)
        return damaged(a, "a message is put into a queue that was not declared");
    struct trp_queue_item *it = find_item(a->s, a->r.seq);
    troupe_status st = it ? put_again(a, q, it) : put_anew(a, q);
    if (!st && a->r.was)
        st = finish(a, a->r.was);
    if (!st && a->r.dedup.n)
        st = put_id(a, q, q->config.dedup_ms);
    return st;
}

static troupe_status apply_state(struct replay *a) {
    struct trp_queue_item *it = find_item(a->s, a->r.seq);
    if (!it)
        return passed_over(a, a->r.seq);
    if (a->r.delay_ms && trp_queue_reserve_timer(a->s, it))
        return TROUPE_NO_MEMORY;
    struct trp_queue *q = it->queue;
    trp_queue_unlink(q, it);
    set_counts(a, it);
    trp_queue_link(q, it);
    return TROUPE_OK;
}

static troupe_status apply_done(struct replay *a) {
    uint64_t seq = a->r.seq;
    troupe_status st;
    do
        st = finish(a, seq);
    while (!st && trp_queue_record_next_done(&a->r, &seq));
    return st;
}

static troupe_status apply_dedup(struct replay *a) {
    struct trp_queue *q = find_queue(a->s, a->r.queue);
    if (!q)
        return damaged(a, "an id belongs to a queue that was not declared");
    return put_id(a, q, a->r.ttl_ms);
}

troupe_status trp_queues_apply(struct trp_queues *s, struct trp_when now, struct trp_slice record, uint64_t lsn,
                               uint64_t segment, const char **why) {
    static troupe_status (*const apply[])(struct replay *) = {
        [TRP_QUEUE_RECORD_MARK] = apply_mark,     [TRP_QUEUE_RECORD_DECLARE] = apply_declare,
        [TRP_QUEUE_RECORD_DELETE] = apply_delete, [TRP_QUEUE_RECORD_PUT] = apply_put,
        [TRP_QUEUE_RECORD_STATE] = apply_state,   [TRP_QUEUE_RECORD_DONE] = apply_done,
        [TRP_QUEUE_RECORD_DEDUP] = apply_dedup,
    };
    struct replay a = {.s = s, .now = now, .lsn = lsn, .segment = segment, .why = why};
    s->replay.on = true;
    troupe_status st = trp_queue_record_read(record, &a.r, why);
    return st ? st : apply[a.r.kind](&a);
}
