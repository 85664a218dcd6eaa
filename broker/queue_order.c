/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A sorted list with a treap beside it. In the tree prev is the left child, next the right one. */
#include "broker/queue_order.h"

/* ---- the tree ---- */

static struct trp_queue_item *leftmost(struct trp_queue_item *it) {
    while (it && it->prev)
        it = it->prev;
    return it;
}

static struct trp_queue_item *successor(struct trp_queue_item *it) {
    if (it->next)
        return leftmost(it->next);
    while (it->up && it->up->next == it)
        it = it->up;
    return it->up;
}

/* Where `old` hangs, `it` (which may be NULL) hangs now. */
static void replace(struct trp_queue_order *o, struct trp_queue_item *old, struct trp_queue_item *it) {
    struct trp_queue_item *up = old->up;
    if (!up)
        o->root = it;
    else if (up->prev == old)
        up->prev = it;
    else
        up->next = it;
    if (it)
        it->up = up;
}

static void hang(struct trp_queue_item **where, struct trp_queue_item *it, struct trp_queue_item *up) {
    *where = it;
    if (it)
        it->up = up;
}

/* Swaps it with its parent, keeping the order. */
static void rotate_up(struct trp_queue_order *o, struct trp_queue_item *it) {
    struct trp_queue_item *down = it->up;
    replace(o, down, it);
    if (down->prev == it) {
        hang(&down->prev, it->next, down);
        hang(&it->next, down, it);
    } else {
        hang(&down->next, it->prev, down);
        hang(&it->prev, down, it);
    }
}

static void tree_add(struct trp_queue_order *o, const struct trp_hash_key *k, struct trp_queue_item *it) {
    struct trp_queue_item *up = NULL, **where = &o->root;
    while (*where) {
        up = *where;
        where = it->seq < up->seq ? &up->prev : &up->next;
    }
    it->prev = it->next = NULL;
    it->up = up;
    it->in_tree = true;
    *where = it;
    uint64_t weight = trp_hash_u64(k, it->seq);
    while (it->up && trp_hash_u64(k, it->up->seq) < weight)
        rotate_up(o, it);
}

static void tree_remove(struct trp_queue_order *o, const struct trp_hash_key *k, struct trp_queue_item *it) {
    while (it->prev && it->next)
        rotate_up(o, trp_hash_u64(k, it->prev->seq) > trp_hash_u64(k, it->next->seq) ? it->prev : it->next);
    replace(o, it, it->prev ? it->prev : it->next);
    it->in_tree = false;
}

/* ---- both ---- */

void trp_queue_order_add(struct trp_queue_order *o, const struct trp_hash_key *k, struct trp_queue_item *it) {
    if (!o->list.last || it->seq > o->list.last->seq)
        trp_queue_items_push(&o->list, it);
    else if (it->seq < o->list.first->seq)
        trp_queue_items_push_front(&o->list, it);
    else
        tree_add(o, k, it);
}

void trp_queue_order_remove(struct trp_queue_order *o, const struct trp_hash_key *k, struct trp_queue_item *it) {
    if (it->in_tree)
        tree_remove(o, k, it);
    else
        trp_queue_items_remove(&o->list, it);
}

static struct trp_queue_item *lower(struct trp_queue_item *a, struct trp_queue_item *b) {
    if (!a || !b)
        return a ? a : b;
    return a->seq < b->seq ? a : b;
}

struct trp_queue_item *trp_queue_order_first(const struct trp_queue_order *o) {
    return o->root ? lower(o->list.first, leftmost(o->root)) : o->list.first;
}

struct trp_queue_walk trp_queue_order_walk(const struct trp_queue_order *o) {
    return (struct trp_queue_walk){o->list.first, leftmost(o->root)};
}

struct trp_queue_item *trp_queue_walk_here(const struct trp_queue_walk *w) {
    return lower(w->list, w->tree);
}

void trp_queue_walk_past(struct trp_queue_walk *w, struct trp_queue_item *it) {
    if (it == w->tree)
        w->tree = successor(it);
    else if (it == w->list)
        w->list = it->next;
}

struct trp_queue_item *trp_queue_walk_next(struct trp_queue_walk *w) {
    struct trp_queue_item *it = trp_queue_walk_here(w);
    if (it)
        trp_queue_walk_past(w, it);
    return it;
}
