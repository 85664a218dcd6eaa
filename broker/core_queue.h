/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues in the core: what peers say of them, and what they say to peers. The engine (queue.h) knows no peers, topics or
 * envelopes; here a topic reaches a queue, a subscription is a consumer, and headers become delays. */
#ifndef TRP_BROKER_CORE_QUEUE_H
#define TRP_BROKER_CORE_QUEUE_H

#include "broker/core_state.h"

/* A queue as a target of topics; behind a binding. */
struct trp_queue_route {
    struct trp_binding binding;
    struct trp_queue *queue;
};

/* What a publisher asks of the queues that its message reaches, by the headers t-delay, t-priority, t-ttl, t-id, t-level. */
struct trp_put_options {
    uint64_t delay_ms, ttl_ms;
    unsigned priority;
    struct trp_slice dedup;
    enum trp_level level; /* demanded; ROUTED: what the queue gives */
};

TROUPE_NODISCARD troupe_status trp_core_queues_open(struct trp_core *c);
void trp_core_queues_close(struct trp_core *c);

/* Routes the queue's patterns to it (NO_MEMORY: none), and not any more. */
TROUPE_NODISCARD troupe_status trp_core_route_queue(struct trp_core *c, struct trp_queue *q);
void trp_core_unroute_queue(struct trp_core *c, struct trp_queue *q);

/* "_q.NAME": the queue itself, to put into and to subscribe to. */
static inline bool trp_core_is_queue_topic(struct trp_slice topic) {
    return topic.n >= 3 && topic.p[0] == '_' && topic.p[1] == 'q' && topic.p[2] == '.';
}

/* False: a header of that name makes no sense; *why. */
bool trp_put_options_read(struct trp_slice headers, struct trp_put_options *o, const char **why);
/* *lsn: what its confirmation waits for, 0: nothing; *level: what it will then be. REFUSED: the level demanded is more than
 * the queue gives. Others as trp_queue_put (EXISTS is OK). */
TROUPE_NODISCARD troupe_status trp_core_put(struct trp_core *c, struct trp_queue *q, const struct trp_message *m,
                                            const struct trp_put_options *o, uint64_t *lsn, enum trp_level *level);
/* A PUB to "_q.NAME". */
void trp_core_publish_to_queue(struct trp_core *c, struct trp_peer *p, uint64_t id, const struct trp_message *m);
/* What a publisher hears of a put that failed. */
const char *trp_put_code(troupe_status st);
const char *trp_put_text(const struct trp_core *c, troupe_status st);

void trp_core_queue_verb(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e);
void trp_core_queue_sub(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e);
void trp_core_queue_unsub(struct trp_core *c, struct trp_sub *s);
void trp_core_queue_credit(struct trp_core *c, struct trp_sub *s, uint32_t credit);
/* False: no delivery of a queue. */
bool trp_core_queue_ack(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e);
bool trp_core_queue_nack(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e);
/* At the end of an event: subscriptions whose queue was deleted. */
void trp_core_end_consumers(struct trp_core *c);

#endif
