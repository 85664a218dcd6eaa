/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Groups: membership, the heap of ready members, and the backlog. */
#include "broker/group.h"
#include "broker/core_state.h"
#include "transports/alloc.h"
#include "transports/assert.h"

/* ---- the heap of ready members ---- */

static uint32_t load_of(const struct trp_sub *s) {
    return s->credited ? s->holding : 0;
}

/* Least in hand, then longest idle; `served` differs between any two members. */
static bool comes_before(const struct trp_sub *a, const struct trp_sub *b) {
    uint32_t x = load_of(a), y = load_of(b);
    return x != y ? x < y : a->served < b->served;
}

static void put_at(struct trp_group *g, uint32_t i, struct trp_sub *s) {
    g->ready[i] = s;
    s->ready_at = i;
}

static void sift_up(struct trp_group *g, uint32_t i, struct trp_sub *s) {
    for (; i > 0 && comes_before(s, g->ready[(i - 1) / 2]); i = (i - 1) / 2)
        put_at(g, i, g->ready[(i - 1) / 2]);
    put_at(g, i, s);
}

static void sift_down(struct trp_group *g, uint32_t i, struct trp_sub *s) {
    for (uint32_t child; (child = 2 * i + 1) < g->n_ready; i = child) {
        if (child + 1 < g->n_ready && comes_before(g->ready[child + 1], g->ready[child]))
            child++;
        if (!comes_before(g->ready[child], s))
            break;
        put_at(g, i, g->ready[child]);
    }
    put_at(g, i, s);
}

/* s stands at i, or is to stand there, and may belong higher or lower. */
static void sift(struct trp_group *g, uint32_t i, struct trp_sub *s) {
    if (i > 0 && comes_before(s, g->ready[(i - 1) / 2]))
        sift_up(g, i, s);
    else
        sift_down(g, i, s);
}

static void heap_remove(struct trp_group *g, struct trp_sub *s) {
    uint32_t i = s->ready_at;
    struct trp_sub *last = g->ready[--g->n_ready];
    s->ready_at = TRP_NOT_READY;
    if (last != s)
        sift(g, i, last);
}

static void heap_add(struct trp_group *g, struct trp_sub *s) {
    sift_up(g, g->n_ready++, s);
}

void trp_group_reorder(struct trp_sub *s) {
    struct trp_group *g = s->group;
    bool ready = !s->gone && (!s->credited || s->holding < s->credit);
    if (s->ready_at == TRP_NOT_READY) {
        if (ready)
            heap_add(g, s);
    } else if (!ready) {
        heap_remove(g, s);
    } else {
        sift(g, s->ready_at, s);
    }
}

/* The next to be served; NULL: nobody is ready. A peer that was closed in this event is passed over. */
static struct trp_sub *next_ready(struct trp_group *g) {
    while (g->n_ready > 0 && g->ready[0]->peer->closed)
        heap_remove(g, g->ready[0]);
    return g->n_ready > 0 ? g->ready[0] : NULL;
}

/* ---- membership ---- */

struct group_name {
    struct trp_slice pattern, name;
};

static struct trp_slice pattern_of(const struct trp_group *g) {
    return (struct trp_slice){g->text, g->pattern_n};
}

static bool same_group(const void *value, const void *want) {
    const struct trp_group *g = value;
    const struct group_name *w = want;
    return trp_slice_eq(pattern_of(g), w->pattern) &&
           trp_slice_eq((struct trp_slice){g->text + g->pattern_n, g->name_n}, w->name);
}

static uint64_t hash_of(const struct trp_core *c, const struct group_name *w) {
    uint64_t pattern = trp_hash_bytes(&c->key, 0, w->pattern.p, w->pattern.n);
    return trp_hash_bytes(&c->key, pattern, w->name.p, w->name.n);
}

static struct trp_group *find_or_add(struct trp_core *c, const struct group_name *w) {
    uint64_t hash = hash_of(c, w);
    struct trp_group *g = trp_table_find(&c->groups, hash, same_group, w);
    if (g)
        return g;
    if (trp_table_reserve(&c->groups) || !(g = trp_calloc(1, sizeof *g + w->pattern.n + w->name.n)))
        return NULL;
    g->binding.kind = TRP_BINDING_GROUP;
    g->hash = hash;
    g->pattern_n = w->pattern.n;
    g->name_n = w->name.n;
    memcpy(g->text, w->pattern.p, w->pattern.n);
    memcpy(g->text + w->pattern.n, w->name.p, w->name.n);
    trp_table_add(&c->groups, hash, g);
    c->stats.groups++;
    return g;
}

static void free_if_empty(struct trp_core *c, struct trp_group *g) {
    if (g->subs > 0)
        return;
    trp_assert(g->backlog.n == 0 && g->n_ready == 0 && !g->binding.node && !g->touched);
    trp_table_remove(&c->groups, g->hash, g);
    trp_free(g->ready);
    trp_free(g);
    c->stats.groups--;
}

static troupe_status reserve_ready(struct trp_group *g) {
    if (g->members < g->cap_ready)
        return TROUPE_OK;
    uint32_t cap = g->cap_ready ? g->cap_ready * 2 : 4;
    struct trp_sub **ready = trp_array(g->ready, cap, sizeof(struct trp_sub *));
    if (!ready)
        return TROUPE_NO_MEMORY;
    g->ready = ready;
    g->cap_ready = cap;
    return TROUPE_OK;
}

troupe_status trp_group_join(struct trp_core *c, struct trp_sub *s, struct trp_slice pattern, struct trp_slice name) {
    struct trp_group *g = find_or_add(c, &(struct group_name){pattern, name});
    if (!g)
        return TROUPE_NO_MEMORY;
    if (reserve_ready(g) || (g->members == 0 && trp_topics_bind(&c->topics, pattern, &g->binding))) {
        free_if_empty(c, g);
        return TROUPE_NO_MEMORY;
    }
    s->group = g;
    s->served = ++g->served;
    g->members++;
    g->subs++;
    trp_group_reorder(s);
    return TROUPE_OK;
}

/* Nobody is left who could be given the item: what of it? */
static void give_up(struct trp_core *c, struct trp_item *it) {
    if (!it->ask)
        c->stats.dropped++;
    else if (trp_ask_lose(c, it->ask, "NO_RESPONDERS", "the last member of the group has left"))
        c->stats.no_responders++;
    trp_item_free(&c->items, it);
}

static void backlog_remove(struct trp_core *c, struct trp_group *g, struct trp_item *it) {
    trp_item_list_remove(&g->backlog, it);
    c->stats.backlog--;
    c->stats.backlog_bytes -= it->m.raw.n;
}

static void give_up_backlog(struct trp_core *c, struct trp_group *g) {
    for (struct trp_item *it; (it = g->backlog.first);) {
        backlog_remove(c, g, it);
        give_up(c, it);
    }
}

void trp_group_leave(struct trp_core *c, struct trp_sub *s) {
    struct trp_group *g = s->group;
    if (s->ready_at != TRP_NOT_READY)
        heap_remove(g, s);
    if (--g->members > 0)
        return;
    trp_topics_unbind(&c->topics, &g->binding);
    give_up_backlog(c, g);
}

void trp_group_forget(struct trp_core *c, struct trp_sub *s) {
    s->group->subs--;
    free_if_empty(c, s->group);
}

/* ---- messages ---- */

static bool is_full(const struct trp_core *c, const struct trp_group *g, const struct trp_message *m) {
    return g->backlog.n >= c->opts.backlog_messages || g->backlog.bytes + m->raw.n > c->opts.backlog_bytes;
}

static void has_served(struct trp_sub *s) {
    s->served = ++s->group->served;
    trp_group_reorder(s);
}

/* A member without credit owes no ACK for a plain message: it is not kept. */
static bool wants_ack(const struct trp_sub *s, const struct trp_ask *ask) {
    return s->credited || ask;
}

/* The oldest that waits to a member that is ready. Where there is no memory to note that it has it, the member can't go
 * on: its peer is closed, and the message waits for the next. */
static void give(struct trp_core *c, struct trp_sub *s, struct trp_item *it) {
    if (wants_ack(s, it->ask) && trp_peer_reserve(s->peer)) {
        trp_core_close(c, s->peer, "NO_MEMORY", "no memory for its deliveries in hand");
        return;
    }
    backlog_remove(c, s->group, it);
    if (!wants_ack(s, it->ask)) {
        has_served(s);
        trp_core_msg(c, s->peer, s->sid, 0, &it->m);
        trp_item_free(&c->items, it);
        return;
    }
    trp_core_hold(c, s, it);
    has_served(s);
    trp_core_msg(c, s->peer, s->sid, it->token, &it->m);
}

static void abandon(struct trp_core *c, struct trp_group *g, struct trp_item *it) {
    backlog_remove(c, g, it);
    trp_ask_settle(c, it->ask);
    trp_item_free(&c->items, it);
    c->stats.abandoned++;
}

void trp_group_dispatch(struct trp_core *c, struct trp_group *g) {
    for (struct trp_item *it; (it = g->backlog.first);) {
        struct trp_sub *s = next_ready(g);
        if (!s)
            return;
        if (it->ask && trp_ask_is_abandoned(c, it->ask))
            abandon(c, g, it);
        else
            give(c, s, it);
    }
}

static void backlog_add(struct trp_core *c, struct trp_item *it) {
    c->stats.backlog++;
    c->stats.backlog_bytes += it->m.raw.n;
}

troupe_status trp_group_put(struct trp_core *c, struct trp_group *g, struct trp_parcel *parcel, struct trp_ask *ask) {
    struct trp_sub *s = next_ready(g);
    if (s && !wants_ack(s, ask)) {
        has_served(s);
        trp_core_msg(c, s->peer, s->sid, 0, parcel->m);
        return TROUPE_OK;
    }
    if (!s && is_full(c, g, parcel->m))
        return TROUPE_BUSY;
    struct trp_item *it = trp_item_new(&c->items, parcel);
    if (!it)
        return TROUPE_NO_MEMORY;
    it->ask = ask;
    if (ask)
        trp_ask_share(ask);
    trp_item_list_push(&g->backlog, it);
    backlog_add(c, it);
    if (s)
        trp_group_dispatch(c, g);
    return TROUPE_OK;
}

void trp_group_put_back(struct trp_core *c, struct trp_group *g, struct trp_item *it) {
    if (g->members == 0) {
        give_up(c, it);
        return;
    }
    it->sub = NULL;
    trp_item_list_push_front(&g->backlog, it);
    backlog_add(c, it);
    c->stats.requeued++;
}
