/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors */
#include "broker/queue_info.h"

#include "transports/pack.h"

enum { PAIR_MOST = 64, DELIVERY_PAIRS = 11 };

/* The caller has made room. */
static uint8_t *key_uint(uint8_t *p, const char *key, uint64_t v) {
    return trp_pack_uint(trp_pack_str(p, trp_slice_str(key)), v);
}

static uint8_t *key_str(uint8_t *p, const char *key, struct trp_slice v) {
    return trp_pack_str(trp_pack_str(p, trp_slice_str(key)), v);
}

static bool died_with_crashes(const struct trp_queue_message *m) {
    return m->death.queue.n > 0 && m->death.crashes > 0;
}

static uint32_t delivery_pairs(const struct trp_queue_message *m, uint64_t pull) {
    return 2 + (m->crashes > 0 ? 2 : 0) + (m->death.queue.n > 0 ? 2 : 0) + (died_with_crashes(m) ? 2 : 0) +
           (m->death.reason.n > 0 ? 1 : 0) + (pull ? 1 : 0);
}

static size_t delivery_size(const struct trp_queue_message *m) {
    return (size_t)DELIVERY_PAIRS * PAIR_MOST + m->death.queue.n + m->death.reason.n;
}

static uint8_t *put_delivery(uint8_t *p, const struct trp_queue_message *m, uint64_t pull) {
    p = key_uint(p, "t-deliveries", m->deliveries);
    p = key_uint(p, "t-first-seen", m->first_seen_ms);
    if (m->crashes > 0) {
        p = key_uint(p, "t-crashes", m->crashes);
        p = key_uint(p, "t-signal", (uint64_t)(m->signal > 0 ? m->signal : 0));
    }
    if (m->death.queue.n > 0) {
        p = key_str(p, "t-queue", m->death.queue);
        p = key_uint(p, "t-died-deliveries", m->death.deliveries);
    }
    if (died_with_crashes(m)) {
        p = key_uint(p, "t-died-crashes", m->death.crashes);
        p = key_uint(p, "t-died-signal", (uint64_t)(m->death.signal > 0 ? m->death.signal : 0));
    }
    if (m->death.reason.n > 0)
        p = key_str(p, "t-reason", m->death.reason);
    return pull ? key_uint(p, "t-get", pull) : p;
}

troupe_status trp_queue_info_delivery(struct trp_buf *b, const struct trp_queue_message *m, uint64_t pull) {
    troupe_status st = trp_buf_room(b, delivery_size(m));
    if (st != TROUPE_OK)
        return st;
    uint8_t *p = trp_pack_map(b->p + b->n, delivery_pairs(m, pull));
    b->n = (size_t)(put_delivery(p, m, pull) - b->p);
    return TROUPE_OK;
}

static uint64_t ms_from(struct trp_when now, uint64_t ns) {
    return ns <= now.mono_ns ? 0 : (ns - now.mono_ns) / 1000000;
}

troupe_status trp_queue_info_peek(struct trp_buf *b, const struct trp_queue_message *m, struct trp_when now) {
    static const char *const states[] = {"ready", "held", "delayed", "buried"};
    troupe_status st = trp_buf_room(b, delivery_size(m) + 8 * PAIR_MOST + m->raw.n);
    if (st != TROUPE_OK)
        return st;
    bool due = m->due_ns != TRP_QUEUE_NEVER && (m->state == TRP_QUEUE_HELD || m->state == TRP_QUEUE_DELAYED);
    bool expires = m->expires_ns != TRP_QUEUE_NEVER;
    uint8_t *p = trp_pack_map(b->p + b->n, delivery_pairs(m, 0) + 4 + due + expires);
    p = put_delivery(p, m, 0);
    p = key_uint(p, "seq", m->seq);
    p = key_str(p, "state", trp_slice_str(states[m->state]));
    p = key_uint(p, "priority", m->priority);
    if (due)
        p = key_uint(p, "due_ms", ms_from(now, m->due_ns));
    if (expires)
        p = key_uint(p, "expires_ms", ms_from(now, m->expires_ns));
    p = trp_pack_str(p, trp_slice_str("message"));
    memcpy(p, m->raw.p, m->raw.n);
    b->n = (size_t)(p + m->raw.n - b->p);
    return TROUPE_OK;
}

/* --- a queue --- */

static uint8_t *put_config(uint8_t *p, const struct trp_queue *q, const struct trp_queue_config *c) {
    p = key_uint(p, "number", trp_queue_number(q));
    p = key_str(p, "name", c->name);
    p = key_uint(p, "durable", c->durable);
    p = key_uint(p, "max_messages", c->max_messages);
    p = key_uint(p, "max_bytes", c->max_bytes);
    p = key_str(p, "overflow", trp_slice_str(c->overflow == TRP_QUEUE_DROP_OLDEST ? "drop-oldest" : "reject"));
    p = key_uint(p, "ttl", c->ttl_ms);
    p = key_uint(p, "ack_timeout", c->ack_timeout_ms);
    p = key_uint(p, "max_deliveries", c->max_deliveries);
    p = key_uint(p, "max_crashes", c->max_crashes);
    p = key_str(p, "dead", c->dead_letter);
    p = key_uint(p, "dedup_window", c->dedup_ms);
    p = trp_pack_array(trp_pack_str(p, trp_slice_str("bind")), (uint32_t)c->n_patterns);
    for (size_t i = 0; i < c->n_patterns; i++)
        p = trp_pack_str(p, c->patterns[i]);
    return p;
}

static uint8_t *put_counts(uint8_t *p, const struct trp_queue_stat *s) {
    p = key_uint(p, "ready", s->messages[TRP_QUEUE_READY]);
    p = key_uint(p, "held", s->messages[TRP_QUEUE_HELD]);
    p = key_uint(p, "delayed", s->messages[TRP_QUEUE_DELAYED]);
    p = key_uint(p, "buried", s->messages[TRP_QUEUE_BURIED]);
    p = key_uint(p, "bytes", s->bytes);
    p = key_uint(p, "oldest_ms", s->oldest_ms);
    p = key_uint(p, "consumers", s->consumers);
    p = key_uint(p, "waiting", s->pulls);
    p = key_uint(p, "paused", s->paused);
    return p;
}

static uint8_t *put_totals(uint8_t *p, const struct trp_queue_totals *t) {
    p = key_uint(p, "total_put", t->put);
    p = key_uint(p, "total_duplicates", t->duplicates);
    p = key_uint(p, "total_refused", t->refused);
    p = key_uint(p, "total_delivered", t->delivered);
    p = key_uint(p, "total_acked", t->acked);
    p = key_uint(p, "total_returned", t->returned);
    p = key_uint(p, "total_expired", t->expired);
    p = key_uint(p, "total_dead", t->dead);
    p = key_uint(p, "total_dropped", t->dropped);
    p = key_uint(p, "total_purged", t->purged);
    return p;
}

enum { STAT_PAIRS = 13 + 9 + 10 };

troupe_status trp_queue_info_stat(struct trp_buf *b, const struct trp_queue *q, struct trp_when now) {
    const struct trp_queue_config *c = trp_queue_config_of(q);
    struct trp_queue_stat s;
    size_t size = (size_t)STAT_PAIRS * PAIR_MOST + c->name.n + c->dead_letter.n;
    for (size_t i = 0; i < c->n_patterns; i++)
        size += TRP_PACK_MAX_HEAD + c->patterns[i].n;
    troupe_status st = trp_buf_room(b, size);
    if (st != TROUPE_OK)
        return st;
    trp_queue_stat(q, now, &s);
    uint8_t *p = trp_pack_map(b->p + b->n, STAT_PAIRS);
    p = put_totals(put_counts(put_config(p, q, c), &s), &s.totals);
    b->n = (size_t)(p - b->p);
    return TROUPE_OK;
}
