/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Looking into a queue. */
#include "broker/queue_state.h"

const struct trp_queue_config *trp_queue_config_of(const struct trp_queue *q) {
    return &q->config;
}

void trp_queue_set_user(struct trp_queue *q, void *user) {
    q->user = user;
}

void *trp_queue_user(const struct trp_queue *q) {
    return q->user;
}

/* ---- a message ---- */

static uint64_t due_of(const struct trp_queue_item *it) {
    if (it->state == TRP_QUEUE_HELD)
        return it->deadline;
    return it->state == TRP_QUEUE_DELAYED ? it->due : TRP_QUEUE_NEVER;
}

void trp_queue_view(const struct trp_queue *q, const struct trp_queue_item *it, struct trp_queue_message *m) {
    m->raw = trp_queue_item_raw(it, &m->blob);
    m->queue = q->config.name;
    m->seq = it->seq;
    m->priority = it->priority;
    m->first_seen_ms = it->first_seen;
    m->deliveries = it->deliveries;
    m->crashes = it->crashes;
    m->signal = it->signal;
    m->death = it->reason ? trp_queue_item_death(it) : (struct trp_death){0};
    m->state = (enum trp_queue_state)it->state;
    m->due_ns = due_of(it);
    m->expires_ns = trp_queue_item_expires(it);
    m->user = it->state == TRP_QUEUE_HELD ? it->holder->user : NULL;
}

/* ---- a queue ---- */

uint64_t trp_queue_number(const struct trp_queue *q) {
    return q->number;
}

static uint64_t oldest_ms(const struct trp_queue *q, struct trp_when now) {
    const struct trp_queue_item *it = trp_queue_oldest_ready(q);
    return it && now.wall_ms > it->first_seen ? now.wall_ms - it->first_seen : 0;
}

void trp_queue_stat(const struct trp_queue *q, struct trp_when now, struct trp_queue_stat *out) {
    *out = (struct trp_queue_stat){
        .bytes = q->bytes,
        .oldest_ms = oldest_ms(q, now),
        .consumers = q->n_consumers,
        .pulls = q->pulls,
        .dedup_ids = trp_dedup_count(&q->dedup),
        .paused = q->paused,
        .totals = q->totals,
    };
    memcpy(out->messages, q->messages, sizeof out->messages);
}
