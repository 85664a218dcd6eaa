/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Who registers a name looks at the actor's life after the name is there, and who ends takes the names away after the
 * life is ENDED: one of the two takes it away. */
#include "actors/names.h"

#include <string.h>

#include "actors/actor.h"
#include "transports/alloc.h"

enum { FIRST_SIZE = 64 };

/* On its chain, and on its actor's list. */
struct trp_name {
    struct trp_name *next, **link;
    struct trp_name *sibling, **place;
    uint64_t id;
    char text[TROUPE_NAME_MAX + 1];
};

void trp_names_init(struct trp_names *n) {
    *n = (struct trp_names){0};
    pthread_mutex_init(&n->lock, NULL);
}

void trp_names_fini(struct trp_names *n) {
    pthread_mutex_destroy(&n->lock);
    trp_free((void *)n->chains);
}

static uint64_t hash(const char *s) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

static struct trp_name **chain(const struct trp_names *n, const char *text) {
    return &n->chains[hash(text) & (n->size - 1)];
}

static void push(struct trp_names *n, struct trp_name *name) {
    struct trp_name **at = chain(n, name->text);
    name->next = *at;
    name->link = at;
    if (name->next)
        name->next->link = &name->next;
    *at = name;
}

static void take_off(struct trp_name *name) {
    *name->link = name->next;
    if (name->next)
        name->next->link = name->link;
}

/* No memory: a table that is there goes on with longer chains. */
static bool grow(struct trp_names *n) {
    if (n->chains && n->count < n->size)
        return true;
    size_t was = n->size, size = was ? was * 2 : FIRST_SIZE;
    struct trp_name **old = n->chains, **chains = trp_calloc(size, sizeof *chains), *name;
    if (!chains)
        return old != NULL;
    n->chains = chains;
    n->size = size;
    for (size_t i = 0; i < was; i++) {
        while ((name = old[i])) {
            take_off(name);
            push(n, name);
        }
    }
    trp_free((void *)old);
    return true;
}

static struct trp_name *find(const struct trp_names *n, const char *text) {
    struct trp_name *name = n->chains ? *chain(n, text) : NULL;
    while (name && strcmp(name->text, text) != 0)
        name = name->next;
    return name;
}

static void insert(struct trp_names *n, struct trp_name *name, struct trp_name **names) {
    push(n, name);
    n->count++;
    name->sibling = *names;
    name->place = names;
    if (name->sibling)
        name->sibling->place = &name->sibling;
    *names = name;
}

static void discard(struct trp_names *n, struct trp_name *name) {
    take_off(name);
    n->count--;
    *name->place = name->sibling;
    if (name->sibling)
        name->sibling->place = name->place;
    trp_free(name);
}

/* Takes *name with OK. */
static troupe_status add(struct trp_names *n, struct trp_name **name, struct trp_name **names) {
    troupe_status st = TROUPE_OK;
    pthread_mutex_lock(&n->lock);
    if (find(n, (*name)->text))
        st = TROUPE_EXISTS;
    else if (!grow(n))
        st = TROUPE_NO_MEMORY;
    if (st == TROUPE_OK) {
        insert(n, *name, names);
        *name = NULL;
    }
    pthread_mutex_unlock(&n->lock);
    return st;
}

/* Where the actor keeps its names. NOT_FOUND: it has ended. */
static troupe_status names_of(struct trp_actor *a, struct trp_name ***out) {
    pthread_mutex_lock(&a->lock);
    bool ended = a->life == TRP_ENDED;
    *out = ended ? NULL : trp_bonds_names(a);
    pthread_mutex_unlock(&a->lock);
    if (*out)
        return TROUPE_OK;
    return ended ? TROUPE_NOT_FOUND : TROUPE_NO_MEMORY;
}

static bool has_ended(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    bool ended = a->life == TRP_ENDED;
    pthread_mutex_unlock(&a->lock);
    return ended;
}

troupe_status trp_names_add(struct trp_names *n, const char *text, struct trp_actor *a) {
    struct trp_name **names, *name = trp_calloc(1, sizeof *name);
    if (!name)
        return TROUPE_NO_MEMORY;
    name->id = trp_actor_id(a);
    memcpy(name->text, text, strlen(text));
    troupe_status st = names_of(a, &names);
    if (st == TROUPE_OK)
        st = add(n, &name, names);
    trp_free(name);
    if (st == TROUPE_OK && has_ended(a)) {
        trp_names_end(n, a);
        st = TROUPE_NOT_FOUND;
    }
    return st;
}

troupe_status trp_names_remove(struct trp_names *n, const char *text) {
    pthread_mutex_lock(&n->lock);
    struct trp_name *name = find(n, text);
    if (name)
        discard(n, name);
    pthread_mutex_unlock(&n->lock);
    return name ? TROUPE_OK : TROUPE_NOT_FOUND;
}

troupe_status trp_names_find(struct trp_names *n, const char *text, uint64_t *out) {
    pthread_mutex_lock(&n->lock);
    const struct trp_name *name = find(n, text);
    if (name)
        *out = name->id;
    pthread_mutex_unlock(&n->lock);
    return name ? TROUPE_OK : TROUPE_NOT_FOUND;
}

/* NULL: it never had one. */
static struct trp_name **names_if_any(struct trp_actor *a) {
    pthread_mutex_lock(&a->lock);
    struct trp_name **names = a->bonds ? trp_bonds_names(a) : NULL;
    pthread_mutex_unlock(&a->lock);
    return names;
}

void trp_names_end(struct trp_names *n, struct trp_actor *a) {
    struct trp_name **names = names_if_any(a);
    if (!names)
        return;
    pthread_mutex_lock(&n->lock);
    while (*names)
        discard(n, *names);
    pthread_mutex_unlock(&n->lock);
}
