/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A trie by token. Literal children are edges in one table for the whole trie, keyed by the path's hash, so that a node
 * is small and a million patterns are one array and a million small blocks; '*' and '>' are plain pointers.
 *
 *     fib            (root) -fib-> [sub, group]
 *     log.*.error           -log-> ( ) -*-> ( ) -error-> [sub]
 *     log.>                             `-rest-> [sub, sub]
 *
 * Invariant: a node without bindings has a child; the root alone may have neither. */
#include "broker/topics.h"
#include "transports/alloc.h"
#include "transports/assert.h"
#include "transports/envelope.h"

struct trp_node {
    struct trp_node *parent, *star, *rest;
    struct trp_binding *first, *last;
    uint64_t hash;   /* of the path, its key in the table of edges */
    size_t children; /* literal ones */
    size_t n;
    uint8_t token[]; /* n bytes; '*' and '>' nodes keep theirs for the way back up */
};

/* ---- tokens ---- */

/* Cuts the first token off; the last one leaves rest->p NULL. */
static struct trp_slice next_token(struct trp_slice *rest) {
    const uint8_t *dot = memchr(rest->p, '.', rest->n);
    struct trp_slice token = {rest->p, dot ? (size_t)(dot - rest->p) : rest->n};
    *rest = dot ? (struct trp_slice){dot + 1, rest->n - token.n - 1} : (struct trp_slice){NULL, 0};
    return token;
}

static bool is_char(struct trp_slice token, char c) {
    return token.n == 1 && token.p[0] == c;
}

/* ---- nodes ---- */

struct edge {
    const struct trp_node *parent;
    struct trp_slice token;
};

static bool same_edge(const void *value, const void *want) {
    const struct trp_node *node = value;
    const struct edge *e = want;
    return node->parent == e->parent && node->n == e->token.n && memcmp(node->token, e->token.p, node->n) == 0;
}

static uint64_t edge_hash(const struct trp_topics *t, const struct trp_node *parent, struct trp_slice token) {
    return trp_hash_bytes(&t->key, parent->hash, token.p, token.n);
}

static struct trp_node *literal_child(const struct trp_topics *t, const struct trp_node *parent, struct trp_slice token) {
    struct edge e = {parent, token};
    return parent->children ? trp_table_find(&t->edges, edge_hash(t, parent, token), same_edge, &e) : NULL;
}

static struct trp_node *node_new(struct trp_node *parent, struct trp_slice token, uint64_t hash) {
    struct trp_node *node = trp_calloc(1, sizeof *node + token.n);
    if (!node)
        return NULL;
    node->parent = parent;
    node->hash = hash;
    node->n = token.n;
    if (token.n)
        memcpy(node->token, token.p, token.n);
    return node;
}

static struct trp_node **wild_child(struct trp_node *parent, struct trp_slice token) {
    return is_char(token, '*') ? &parent->star : is_char(token, '>') ? &parent->rest : NULL;
}

static struct trp_node *find_or_add_child(struct trp_topics *t, struct trp_node *parent, struct trp_slice token) {
    struct trp_node **wild = wild_child(parent, token);
    struct trp_node *child = wild ? *wild : literal_child(t, parent, token);
    if (child)
        return child;
    if (!wild && trp_table_reserve(&t->edges))
        return NULL;
    child = node_new(parent, token, edge_hash(t, parent, token));
    if (!child)
        return NULL;
    if (wild) {
        *wild = child;
    } else {
        trp_table_add(&t->edges, child->hash, child);
        parent->children++;
    }
    return child;
}

static void unlink_from_parent(struct trp_topics *t, struct trp_node *node) {
    struct trp_node *parent = node->parent;
    if (parent->star == node) {
        parent->star = NULL;
    } else if (parent->rest == node) {
        parent->rest = NULL;
    } else {
        trp_table_remove(&t->edges, node->hash, node);
        parent->children--;
    }
}

/* Frees the node and what is above it as far as nothing needs it. */
static void prune(struct trp_topics *t, struct trp_node *node) {
    while (node->parent && !node->first && !node->children && !node->star && !node->rest) {
        struct trp_node *parent = node->parent;
        unlink_from_parent(t, node);
        trp_free(node);
        node = parent;
    }
}

static struct trp_node *find_or_add_path(struct trp_topics *t, struct trp_slice pattern) {
    struct trp_node *node = t->root;
    while (pattern.p) {
        struct trp_node *child = find_or_add_child(t, node, next_token(&pattern));
        if (!child) {
            prune(t, node);
            return NULL;
        }
        node = child;
    }
    return node;
}

/* ---- bindings ---- */

troupe_status trp_topics_init(struct trp_topics *t, struct trp_hash_key key) {
    *t = (struct trp_topics){.key = key};
    t->root = node_new(NULL, (struct trp_slice){0}, 0);
    if (!t->root)
        return TROUPE_NO_MEMORY;
    return trp_routes_init(&t->routes);
}

void trp_topics_fini(struct trp_topics *t) {
    if (t->root)
        trp_assert(!t->root->children && !t->root->star && !t->root->rest);
    trp_routes_fini(&t->routes);
    trp_table_fini(&t->edges);
    trp_free(t->matched);
    trp_free(t->root);
    *t = (struct trp_topics){0};
}

/* Writes the node's pattern, from its last token to its first, to the end of buf; *literal: it has no wildcard. */
static struct trp_slice path_of(const struct trp_node *node, uint8_t buf[TRP_TOPIC_MAX], bool *literal) {
    uint8_t *p = buf + TRP_TOPIC_MAX;
    *literal = true;
    for (; node->parent; node = node->parent) {
        p -= node->n;
        memcpy(p, node->token, node->n);
        if (node->parent->star == node || node->parent->rest == node)
            *literal = false;
        if (node->parent->parent)
            *--p = '.';
    }
    return (struct trp_slice){p, (size_t)(buf + TRP_TOPIC_MAX - p)};
}

static uint64_t topic_hash(const struct trp_topics *t, struct trp_slice topic) {
    return trp_hash_bytes(&t->key, 0, topic.p, topic.n);
}

static void routes_changed(struct trp_topics *t, const struct trp_node *node) {
    uint8_t buf[TRP_TOPIC_MAX];
    bool literal;
    struct trp_slice path = path_of(node, buf, &literal);
    if (literal)
        trp_routes_forget(&t->routes, topic_hash(t, path), path);
    else
        trp_routes_forget_all(&t->routes);
}

troupe_status trp_topics_bind(struct trp_topics *t, struct trp_slice pattern, struct trp_binding *b) {
    struct trp_node *node = find_or_add_path(t, pattern);
    if (!node)
        return TROUPE_NO_MEMORY;
    b->node = node;
    b->next = NULL;
    b->prev = node->last;
    *(b->prev ? &b->prev->next : &node->first) = b;
    node->last = b;
    routes_changed(t, node);
    return TROUPE_OK;
}

void trp_topics_unbind(struct trp_topics *t, struct trp_binding *b) {
    struct trp_node *node = b->node;
    routes_changed(t, node);
    *(b->prev ? &b->prev->next : &node->first) = b->next;
    *(b->next ? &b->next->prev : &node->last) = b->prev;
    b->node = NULL;
    b->prev = b->next = NULL;
    prune(t, node);
}

/* ---- matching ---- */

static troupe_status collect(struct trp_topics *t, const struct trp_node *node) {
    for (struct trp_binding *b = node->first; b; b = b->next) {
        if (t->n_matched == t->cap_matched) {
            size_t cap = t->cap_matched ? t->cap_matched * 2 : 16;
            struct trp_binding **p = trp_array(t->matched, cap, sizeof(struct trp_binding *));
            if (!p)
                return TROUPE_NO_MEMORY;
            t->matched = p;
            t->cap_matched = cap;
        }
        t->matched[t->n_matched++] = b;
    }
    return TROUPE_OK;
}

/* Recursion is as deep as the topic has tokens: 128 at most. The nodes visited are at most those that exist. */
static troupe_status match(struct trp_topics *t, const struct trp_node *node, struct trp_slice rest) {
    troupe_status st = node->rest ? collect(t, node->rest) : TROUPE_OK;
    struct trp_slice token = next_token(&rest);
    const struct trp_node *children[2] = {literal_child(t, node, token), node->star};
    for (size_t i = 0; i < 2 && !st; i++)
        if (children[i])
            st = rest.p ? match(t, children[i], rest) : collect(t, children[i]);
    return st;
}

static troupe_status route_anew(struct trp_topics *t, uint64_t hash, struct trp_slice topic, struct trp_targets *targets) {
    if (!trp_is_topic(topic))
        return TROUPE_INVALID;
    t->n_matched = 0;
    troupe_status st = match(t, t->root, topic);
    if (st)
        return st;
    *targets = (struct trp_targets){t->matched, t->n_matched};
    trp_routes_add(&t->routes, hash, topic, *targets);
    return TROUPE_OK;
}

troupe_status trp_topics_route(struct trp_topics *t, struct trp_slice topic, struct trp_targets *targets) {
    uint64_t hash = topic_hash(t, topic);
    if (trp_routes_find(&t->routes, hash, topic, targets))
        return TROUPE_OK;
    return route_anew(t, hash, topic, targets);
}
