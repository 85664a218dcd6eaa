/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A pairing heap: a tree in which no child is earlier than its parent; the children of a node hang on one list.
 * Starting is one comparison, stopping merges the children two by two, which keeps the next stops cheap. Both links
 * are needed since most timers are stopped, not fired. */
#include "actors/timer.h"

#include <stddef.h>

#include "transports/assert.h"

static void hang(struct trp_timer **where, struct trp_timer *t) {
    *where = t;
    t->link = where;
}

/* Two roots become one. */
static struct trp_timer *meld(struct trp_timer *a, struct trp_timer *b) {
    if (b->deadline < a->deadline) {
        struct trp_timer *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (b->next)
        b->next->link = &b->next;
    hang(&a->child, b);
    return a;
}

/* Neighbours first, then all pairs from the last to the first: without recursion, the pairs wait on a list of their
 * own, linked backwards. */
static struct trp_timer *meld_list(struct trp_timer *t) {
    struct trp_timer *pairs = NULL, *root = NULL;
    while (t) {
        struct trp_timer *a = t, *b = a->next, *rest = b ? b->next : NULL;
        a->next = NULL;
        if (b) {
            b->next = NULL;
            a = meld(a, b);
        }
        a->next = pairs;
        pairs = a;
        t = rest;
    }
    while (pairs) {
        struct trp_timer *rest = pairs->next;
        pairs->next = NULL;
        root = root ? meld(root, pairs) : pairs;
        pairs = rest;
    }
    return root;
}

static void insert(struct trp_timers *ts, struct trp_timer *root) {
    root->next = NULL;
    hang(&ts->first, ts->first ? meld(ts->first, root) : root);
}

void trp_timer_start(struct trp_timers *ts, struct trp_timer *t, int64_t deadline) {
    trp_assert(!t->link);
    if (deadline == TRP_NEVER)
        return;
    t->deadline = deadline;
    t->child = NULL;
    insert(ts, t);
}

void trp_timer_stop(struct trp_timers *ts, struct trp_timer *t) {
    if (!t->link)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->link = NULL;
    struct trp_timer *orphans = meld_list(t->child);
    t->child = t->next = NULL;
    if (orphans)
        insert(ts, orphans);
}

void trp_timers_run(struct trp_timers *ts, int64_t now) {
    while (ts->first && ts->first->deadline <= now) {
        struct trp_timer *t = ts->first;
        trp_timer_stop(ts, t);
        t->fire(t);
    }
}
