/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Topics: what a published topic reaches. A topic is tokens joined by '.'; a pattern may have '*' (any one token) and,
 * as its last token, '>' (any one or more). Bound to a pattern are bindings: plain subscriptions and groups; a third
 * kind of target (a queue) is one more value of the enum and knows nothing of what is in here.
 *
 * The order of what a topic reaches is part of the contract: patterns are compared token by token, at the first
 * difference '>' comes before the literal token and that before '*'; within a pattern, in the order they were bound. */
#ifndef TRP_BROKER_TOPICS_H
#define TRP_BROKER_TOPICS_H

#include "broker/hash.h"
#include "broker/routes.h"
#include "broker/table.h"
#include "transports/topic.h"

struct trp_node;

enum trp_binding_kind {
    TRP_BINDING_SUB,   /* the head of a struct trp_sub */
    TRP_BINDING_GROUP, /* the head of a struct trp_group */
    TRP_BINDING_QUEUE, /* the head of a struct trp_queue_route */
};

/* Embedded, as its first member, in what is bound. */
struct trp_binding {
    struct trp_binding *prev, *next; /* of the same pattern */
    struct trp_node *node;           /* NULL: not bound */
    enum trp_binding_kind kind;
};

struct trp_topics {
    struct trp_hash_key key;
    struct trp_node *root;
    struct trp_table edges; /* every literal child of every node */
    struct trp_routes routes;
    struct trp_binding **matched; /* the last match */
    size_t n_matched, cap_matched;
};

TROUPE_NODISCARD troupe_status trp_topics_init(struct trp_topics *t, struct trp_hash_key key);
/* Nothing is bound any more. Accepts what init left half-built. */
void trp_topics_fini(struct trp_topics *t);

/* Binds b (its kind is set) behind those bound earlier; the pattern is valid and not kept. NO_MEMORY: nothing changed. */
TROUPE_NODISCARD troupe_status trp_topics_bind(struct trp_topics *t, struct trp_slice pattern, struct trp_binding *b);
void trp_topics_unbind(struct trp_topics *t, struct trp_binding *b);

/* What the topic reaches, in *targets, borrowed until the next call of any function here. One hash and one comparison
 * when it was asked before and no pattern that could matter has changed since. INVALID: not a topic. NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_topics_route(struct trp_topics *t, struct trp_slice topic, struct trp_targets *targets);

#endif
