/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The ready messages of one priority in the order of their numbers. New ones have the highest number and go to the end
 * of a list; one that comes back is most often older than all and goes to its front. Only what belongs in the middle goes
 * into a tree beside it, so that no order of events makes a put or a return slow:
 *
 *     list: 3 - 9 - 10 - 11 - 14          first: the lower of 3 and 5
 *     tree:      5 - 12
 *
 * The tree is a treap: a search tree by number and a heap by a secret hash of the number, hence balanced in all
 * likelihood whatever comes back in whatever order. */
#ifndef TRP_BROKER_QUEUE_ORDER_H
#define TRP_BROKER_QUEUE_ORDER_H

#include "broker/hash.h"
#include "broker/queue_item.h"

/* Zero-initialise. */
struct trp_queue_order {
    struct trp_queue_items list;
    struct trp_queue_item *root;
};

void trp_queue_order_add(struct trp_queue_order *o, const struct trp_hash_key *k, struct trp_queue_item *it);
void trp_queue_order_remove(struct trp_queue_order *o, const struct trp_hash_key *k, struct trp_queue_item *it);
/* NULL: there is none. */
struct trp_queue_item *trp_queue_order_first(const struct trp_queue_order *o);
static inline bool trp_queue_order_is_empty(const struct trp_queue_order *o) {
    return !o->list.first && !o->root;
}

/* A walk in order; what it stands on may be taken out only after it has gone on. */
struct trp_queue_walk {
    struct trp_queue_item *list, *tree; /* the next of each */
};

struct trp_queue_walk trp_queue_order_walk(const struct trp_queue_order *o);
/* NULL: that was all. */
struct trp_queue_item *trp_queue_walk_next(struct trp_queue_walk *w);
/* The one that comes next, without going on. */
struct trp_queue_item *trp_queue_walk_here(const struct trp_queue_walk *w);
/* Goes on past that one, if it is the next in the list or in the tree. */
void trp_queue_walk_past(struct trp_queue_walk *w, struct trp_queue_item *it);

#endif
