/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One allocation a route: the targets, then the topic they belong to. */
#include "broker/routes.h"
#include "transports/alloc.h"

struct trp_route {
    uint64_t generation;
    size_t topic_n;
    size_t n;
    struct trp_binding *targets[]; /* n of them, then topic_n bytes */
};

troupe_status trp_routes_init(struct trp_routes *r) {
    *r = (struct trp_routes){.sets = trp_calloc(TRP_ROUTES_SETS, sizeof *r->sets)};
    return r->sets ? TROUPE_OK : TROUPE_NO_MEMORY;
}

static const uint8_t *topic_of(const struct trp_route *route) {
    return (const uint8_t *)(route->targets + route->n);
}

static size_t size_of(size_t targets, size_t topic) {
    return sizeof(struct trp_route) + targets * sizeof(struct trp_binding *) + topic;
}

static void drop(struct trp_routes *r, struct trp_route **route) {
    if (!*route)
        return;
    r->bytes -= size_of((*route)->n, (*route)->topic_n);
    trp_free(*route);
    *route = NULL;
}

static void drop_all(struct trp_routes *r) {
    for (size_t i = 0; i < TRP_ROUTES_SETS; i++)
        for (size_t w = 0; w < TRP_ROUTES_WAYS; w++)
            drop(r, &r->sets[i].way[w].route);
}

void trp_routes_fini(struct trp_routes *r) {
    if (r->sets)
        drop_all(r);
    trp_free(r->sets);
    *r = (struct trp_routes){0};
}

static struct trp_routes_set *set_of(const struct trp_routes *r, uint64_t hash) {
    return &r->sets[hash % TRP_ROUTES_SETS];
}

static bool is_of(const struct trp_route *route, struct trp_slice topic) {
    return route->topic_n == topic.n && memcmp(topic_of(route), topic.p, topic.n) == 0;
}

bool trp_routes_find(const struct trp_routes *r, uint64_t hash, struct trp_slice topic, struct trp_targets *targets) {
    const struct trp_routes_set *set = set_of(r, hash);
    for (size_t w = 0; w < TRP_ROUTES_WAYS; w++) {
        const struct trp_route *route = set->way[w].route;
        if (set->way[w].hash != hash || !route)
            continue;
        if (route->generation != r->generation || !is_of(route, topic))
            continue;
        *targets = (struct trp_targets){route->targets, route->n};
        return true;
    }
    return false;
}

/* A free or stale way if there is one, else each in turn. */
static size_t way_to_use(struct trp_routes *r, const struct trp_routes_set *set) {
    for (size_t w = 0; w < TRP_ROUTES_WAYS; w++)
        if (!set->way[w].route || set->way[w].route->generation != r->generation)
            return w;
    return r->turn++ % TRP_ROUTES_WAYS;
}

void trp_routes_add(struct trp_routes *r, uint64_t hash, struct trp_slice topic, struct trp_targets targets) {
    if (targets.n > TRP_ROUTE_BYTES / sizeof(struct trp_binding *))
        return;
    size_t size = size_of(targets.n, topic.n);
    struct trp_route *route = trp_malloc(size);
    if (!route)
        return;
    route->generation = r->generation;
    route->topic_n = topic.n;
    route->n = targets.n;
    if (targets.n)
        memcpy(route->targets, targets.p, targets.n * sizeof *targets.p);
    memcpy(route->targets + targets.n, topic.p, topic.n);
    if (r->bytes + size > TRP_ROUTES_BYTES)
        drop_all(r); /* stale ones keep their bytes until they are overwritten: begin anew */
    struct trp_routes_set *set = set_of(r, hash);
    size_t w = way_to_use(r, set);
    drop(r, &set->way[w].route);
    set->way[w].hash = hash;
    set->way[w].route = route;
    r->bytes += size;
}

void trp_routes_forget(struct trp_routes *r, uint64_t hash, struct trp_slice topic) {
    struct trp_routes_set *set = set_of(r, hash);
    for (size_t w = 0; w < TRP_ROUTES_WAYS; w++)
        if (set->way[w].route && set->way[w].hash == hash && is_of(set->way[w].route, topic))
            drop(r, &set->way[w].route);
}

void trp_routes_forget_all(struct trp_routes *r) {
    r->generation++;
}
