/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The set of queues: declarations, deletions, and what the time brings. */
#include "broker/queue_state.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include <stddef.h>

enum { QUEUES_DEFAULT = 10000 };

/* ---- timers ---- */

static struct trp_queue_item *item_of(const struct trp_timer *t) {
    return (struct trp_queue_item *)((uintptr_t)t - offsetof(struct trp_queue_item, timer));
}
static struct trp_consumer *consumer_of(const struct trp_timer *t) {
    return (struct trp_consumer *)((uintptr_t)t - offsetof(struct trp_consumer, timer));
}
static struct trp_queue *queue_of(const struct trp_timer *t) {
    return (struct trp_queue *)((uintptr_t)t - offsetof(struct trp_queue, timer));
}

static uint64_t rank_of(const struct trp_timer *t) {
    switch (t->kind) {
    case TRP_TIMER_ITEM:
        return item_of(t)->seq;
    case TRP_TIMER_CONSUMER:
        return consumer_of(t)->number;
    default:
        return queue_of(t)->number;
    }
}

/* Ready or delayed, and its time has come: of its delay, or of its ttl. */
static void fire_item(struct trp_queue_item *it, struct trp_when now) {
    struct trp_queue *q = it->queue;
    uint64_t expires = trp_queue_item_expires(it);
    bool expired = expires <= now.mono_ns && (it->state == TRP_QUEUE_READY || expires <= it->due);
    trp_queue_unlink(q, it);
    if (q->deleted) {
        trp_queue_forget(q->set, it);
        return;
    }
    trp_queue_touch(q);
    if (expired) {
        trp_queue_expire(q, it, now);
        return;
    }
    it->state = TRP_QUEUE_READY;
    trp_queue_link(q, it);
}

/* False: nothing was due yet. */
static bool fire(struct trp_timer *t, struct trp_when now) {
    switch (t->kind) {
    case TRP_TIMER_ITEM:
        fire_item(item_of(t), now);
        return true;
    case TRP_TIMER_CONSUMER:
        return trp_consumer_fire(consumer_of(t), now);
    default:
        trp_queue_forget_id(queue_of(t), queue_of(t)->dedup.first);
        return true;
    }
}

size_t trp_queues_tick(struct trp_queues *s, struct trp_when now, size_t most) {
    size_t n = 0;
    for (struct trp_timer *t; n < most && (t = trp_timers_due(&s->timers, now.mono_ns));) {
        n += fire(t, now);
        trp_queues_settle(s, now);
    }
    return s->deleted && trp_queues_sweep(s, most) ? most : n;
}

uint64_t trp_queues_next_deadline(const struct trp_queues *s) {
    return s->deleted ? 0 : trp_timers_first(&s->timers);
}

void trp_queue_arm_ids(struct trp_queue *q) {
    if (q->dedup.first)
        trp_timer_arm(&q->set->timers, &q->timer, q->dedup.first->until);
    else
        trp_timer_disarm(&q->set->timers, &q->timer);
}

void trp_queue_forget_id(struct trp_queue *q, struct trp_dedup_id *id) {
    bool first = id == q->dedup.first;
    if (id->segment)
        trp_dedup_live_remove(&q->set->live_ids, id);
    trp_dedup_remove(&q->dedup, id);
    if (first)
        trp_queue_arm_ids(q);
}

/* ---- the set ---- */

troupe_status trp_queues_new(struct trp_queues **out, const struct trp_queues_opts *opts, const struct trp_queue_sink *sink,
                             void *ctx) {
    struct trp_queues *s = trp_calloc(1, sizeof *s);
    if (!s)
        return TROUPE_NO_MEMORY;
    s->sink = *sink;
    s->ctx = ctx;
    s->key = trp_hash_key(opts->seed);
    s->max_queues = opts->max_queues ? opts->max_queues : QUEUES_DEFAULT;
    s->max_hand = opts->max_hand ? opts->max_hand : UINT64_MAX;
    s->next_seq = s->next_queue = 1;
    trp_timers_init(&s->timers, rank_of);
    *out = s;
    return TROUPE_OK;
}

void trp_queues_free(struct trp_queues *s) {
    if (!s)
        return;
    while (s->first) {
        trp_assert(!s->first->first);
        trp_queue_destroy(s->first);
    }
    while (trp_queues_sweep(s, SIZE_MAX))
        ;
    trp_assert(!s->live.first && !s->live_ids.first && s->names.count == 0);
    trp_queues_recovered(s);
    trp_table_fini(&s->names);
    trp_timers_fini(&s->timers);
    trp_free(s);
}

struct trp_queue *trp_queues_next(const struct trp_queues *s, const struct trp_queue *q) {
    return q ? q->next : s->first;
}

static uint64_t hash_of(const struct trp_queues *s, struct trp_slice name) {
    return trp_hash_bytes(&s->key, 0, name.p, name.n);
}

static bool same_name(const void *value, const void *want) {
    return trp_slice_eq(((const struct trp_queue *)value)->config.name, *(const struct trp_slice *)want);
}

struct trp_queue *trp_queues_find(const struct trp_queues *s, struct trp_slice name) {
    return trp_table_find(&s->names, hash_of(s, name), same_name, &name);
}

void trp_queues_drain(struct trp_queues *s) {
    s->draining = true;
}

/* ---- a queue's beginning and end ---- */

/* The configuration packed, and one that borrows from it. */
static void keep_config(struct trp_queue *q, const struct trp_queue_config *config) {
    struct trp_slice *patterns = (struct trp_slice *)(q + 1);
    uint8_t *packed = (uint8_t *)(patterns + config->n_patterns);
    struct trp_slice room[TRP_QUEUE_PATTERNS_MAX];
    q->packed = (struct trp_slice){packed, (size_t)(trp_queue_config_pack(packed, config) - packed)};
    bool good = trp_queue_config_read(q->packed, &q->config, room);
    trp_assert(good);
    memcpy(patterns, room, config->n_patterns * sizeof *patterns);
    q->config.patterns = patterns;
    q->config.durable = config->durable;
}

struct trp_queue *trp_queue_new(struct trp_queues *s, const struct trp_queue_config *config) {
    if (trp_table_reserve(&s->names) || trp_timers_reserve(&s->timers))
        return NULL;
    struct trp_queue *q =
        trp_calloc(1, sizeof *q + config->n_patterns * sizeof *config->patterns + trp_queue_config_size(config));
    if (!q) {
        trp_timers_release(&s->timers);
        return NULL;
    }
    q->set = s;
    q->timer.kind = TRP_TIMER_QUEUE;
    q->hash = hash_of(s, config->name);
    keep_config(q, config);
    return q;
}

void trp_queue_free(struct trp_queue *q) {
    trp_timer_disarm(&q->set->timers, &q->timer);
    trp_timers_release(&q->set->timers);
    trp_dedup_fini(&q->dedup);
    trp_free(q->open);
    trp_free(q);
}

void trp_queue_enlist(struct trp_queue *q) {
    struct trp_queues *s = q->set;
    q->prev = s->last;
    *(s->last ? &s->last->next : &s->first) = q;
    s->last = q;
    trp_table_add(&s->names, q->hash, q);
}

static void delist(struct trp_queue *q) {
    struct trp_queues *s = q->set;
    *(q->prev ? &q->prev->next : &s->first) = q->next;
    *(q->next ? &q->next->prev : &s->last) = q->prev;
    trp_table_remove(&s->names, q->hash, q);
}

/* Nobody finds it any more. */
static void leave(struct trp_queue *q) {
    trp_assert(!q->touched);
    delist(q);
    while (q->first)
        trp_consumer_end(q->first);
}

void trp_queue_destroy(struct trp_queue *q) {
    leave(q);
    trp_queue_empty(q);
    trp_queue_free(q);
}

troupe_status trp_queue_delete(struct trp_queue **q, uint64_t *lsn) {
    uint64_t at = 0;
    troupe_status st = trp_queue_log_delete(*q, &at);
    if (st)
        return st;
    leave(*q);
    trp_queue_bury_remains(*q);
    *q = NULL;
    *lsn = at;
    return TROUPE_OK;
}

/* ---- declaring ---- */

troupe_status trp_queues_declare_resolved(struct trp_queues *s, const struct trp_queue_config *config, struct trp_queue **out) {
    if (config->durable && !s->sink.record)
        return TROUPE_UNSUPPORTED;
    if (s->names.count >= s->max_queues)
        return TROUPE_FULL;
    struct trp_queue *q = trp_queue_new(s, config);
    if (!q)
        return TROUPE_NO_MEMORY;
    q->number = s->next_queue;
    troupe_status st = trp_queue_log_declare(q, false, false, &q->declared);
    if (st) {
        trp_queue_free(q);
        return st;
    }
    s->next_queue++;
    trp_queue_enlist(q);
    *out = q;
    return TROUPE_OK;
}

static const char *why_not(const struct trp_queues *s, troupe_status st) {
    if (st == TROUPE_UNSUPPORTED)
        return "there is nowhere to keep a durable queue";
    if (st == TROUPE_FULL && s->names.count >= s->max_queues)
        return "there are as many queues as there may be";
    return troupe_status_text(st);
}

troupe_status trp_queues_declare(struct trp_queues *s, const struct trp_queue_config *config, struct trp_queue **out,
                                 uint64_t *lsn, const char **why) {
    struct trp_queue_declared d;
    *why = s->why;
    troupe_status st = trp_queue_config_resolve(config, &d, s->why);
    if (st)
        return st;
    struct trp_queue *q = trp_queues_find(s, d.config.name);
    if (q && trp_queue_config_differs(&q->config, &d.config, s->why))
        return TROUPE_REFUSED;
    st = q ? TROUPE_OK : trp_queues_declare_resolved(s, &d.config, &q);
    if (st) {
        *why = why_not(s, st);
        return st;
    }
    *out = q;
    *lsn = q->declared;
    return TROUPE_OK;
}
