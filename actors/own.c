/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A short list: an actor keeps few things, and most keep none and pay nothing. */
#include "actors/own.h"

#include "actors/bond.h"
#include "actors/self.h"
#include "transports/alloc.h"

struct trp_own {
    struct trp_own *next;
    const void *key;
    void *value;
    troupe_own_free *free;
};

/* NULL: there is none (and with `make`: no memory). */
static struct trp_own **list_of(troupe_self *self, bool make) {
    struct trp_actor *a = self->actor;
    if (!make && !trp_actor_bound(a))
        return NULL;
    pthread_mutex_lock(&a->lock);
    struct trp_own **list = trp_bonds_own(a);
    pthread_mutex_unlock(&a->lock);
    return list;
}

/* Where it hangs, or where the list ends. */
static struct trp_own **place_of(struct trp_own **at, const void *key) {
    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

static void discard(struct trp_own **at) {
    struct trp_own *own = *at;
    *at = own->next;
    if (own->free)
        own->free(own->value);
    trp_free(own);
}

static troupe_status add(struct trp_own **list, const void *key, void *value, troupe_own_free *release) {
    struct trp_own *own = trp_malloc(sizeof *own);
    if (!own)
        return TROUPE_NO_MEMORY;
    struct trp_own **old = place_of(list, key);
    if (*old)
        discard(old);
    *own = (struct trp_own){.next = *list, .key = key, .value = value, .free = release};
    *list = own;
    return TROUPE_OK;
}

troupe_status troupe_own_set(troupe_self *self, const void *key, void *value, troupe_own_free *release) {
    if (trp_self_is_copy(self))
        return TROUPE_UNSUPPORTED;
    struct trp_own **list = list_of(self, value != NULL), **old = list ? place_of(list, key) : NULL;
    if (value)
        return list ? add(list, key, value, release) : TROUPE_NO_MEMORY;
    if (old && *old)
        discard(old);
    return TROUPE_OK;
}

void *troupe_own_get(troupe_self *self, const void *key) {
    if (trp_self_is_copy(self))
        return NULL;
    struct trp_own **list = list_of(self, false), **at = list ? place_of(list, key) : NULL;
    return at && *at ? (*at)->value : NULL;
}

void trp_own_leave(troupe_self *self) {
    struct trp_own **list = list_of(self, false);
    while (list && *list)
        discard(list);
}
