/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The cache topic -> targets in front of the trie. Set-associative: a topic's hash names a set of four ways (one cache
 * line of hashes and pointers), an insertion takes a stale way or, in turn, one of the four. So it is bounded by
 * construction, never rehashes, and a flood of one-time topics pushes out little else.
 *
 * A change of a literal pattern forgets that one topic; a change of a pattern with wildcards makes every route stale
 * by a new generation, and a stale route is never looked into, only overwritten: what it points to may be gone. */
#ifndef TRP_BROKER_ROUTES_H
#define TRP_BROKER_ROUTES_H

#include "transports/buf.h"

struct trp_binding;

enum { TRP_ROUTES_SETS = 2048, TRP_ROUTES_WAYS = 4, TRP_ROUTES_BYTES = 8 << 20, TRP_ROUTE_BYTES = 1 << 20 };

struct trp_targets {
    struct trp_binding *const *p;
    size_t n;
};

struct trp_route;

struct trp_routes_set {
    struct {
        uint64_t hash;
        struct trp_route *route; /* NULL: free */
    } way[TRP_ROUTES_WAYS];
};

struct trp_routes {
    struct trp_routes_set *sets;
    uint64_t generation;
    size_t bytes; /* of all routes, at most TRP_ROUTES_BYTES */
    unsigned turn;
};

TROUPE_NODISCARD troupe_status trp_routes_init(struct trp_routes *r);
void trp_routes_fini(struct trp_routes *r);

/* False: not known. The targets are borrowed until the next call of another function here. */
bool trp_routes_find(const struct trp_routes *r, uint64_t hash, struct trp_slice topic, struct trp_targets *targets);
/* Remembers a copy, if there is memory and it is not too large: a cache may decline. */
void trp_routes_add(struct trp_routes *r, uint64_t hash, struct trp_slice topic, struct trp_targets targets);
/* One topic's targets have changed. */
void trp_routes_forget(struct trp_routes *r, uint64_t hash, struct trp_slice topic);
/* Any topic's may have. */
void trp_routes_forget_all(struct trp_routes *r);

#endif
