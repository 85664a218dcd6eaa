/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * From references to actors. A reference's number is generation << 32 | slot; slots are used again, numbers are not.
 *
 * The memory of actors is type-stable: a slot is an actor or was one, and goes back to the allocator only with the
 * registry. So a look-up needs no lock: it takes a reference on what the slot holds, if anything is alive there, and
 * then checks whether it is the right one. */
#ifndef TRP_REGISTRY_H
#define TRP_REGISTRY_H

#include <stdalign.h>

#include "actors/actor.h"
#include "actors/expanse.h"
#include "actors/line.h"

enum { TRP_SLAB = 256, TRP_SLABS = 65536 }; /* 16 M actors */
enum { TRP_SLABS_FEW = 16 };                /* that come from the allocator: 4,096 actors */

/* Begins where a line of the cache does: what a message needs of an actor it then finds in two of them. */
struct trp_slot {
    alignas(TRP_LINE) struct trp_actor actor;
};

struct trp_registry {
    pthread_mutex_t lock;
    struct trp_actor *free;          /* (m) last freed first: warm memory */
    uint32_t used;                   /* (m) slots that have been an actor at least once */
    struct trp_slot *_Atomic *slabs; /* TRP_SLABS pointers, NULL from some one on */
    void *few[TRP_SLABS_FEW];        /* (m) what the first slabs lie in */
    struct trp_expanse crowd;        /* (m) what the slabs of a crowd are cut from */
};

/* Some free slots that one thread keeps at hand: zero it. They need not be given back before the registry's end. */
struct trp_slots_near {
    struct trp_actor *free;
    unsigned count;
};

TROUPE_NODISCARD troupe_status trp_registry_init(struct trp_registry *r);
/* No actor is left. */
void trp_registry_fini(struct trp_registry *r);

/* A new actor with one reference, found by nobody until trp_registry_publish. NO_MEMORY: the birth is still the caller's. */
TROUPE_NODISCARD troupe_status trp_registry_new(struct trp_registry *r, struct trp_actor **out, troupe_system *sys,
                                                struct trp_birth *birth);
void trp_registry_publish(struct trp_actor *a);
/* Called when the last reference is gone. */
void trp_registry_put(struct trp_registry *r, struct trp_actor *a);

/* With a reference; NULL: there is no such actor. Any thread, no lock. */
struct trp_actor *trp_registry_get(struct trp_registry *r, uint64_t id);
/* Without a reference; NULL: there is no such actor. It may end at any moment, and its memory become another's, but stay an
 * actor's: only for what bears that (trp_actor_post). Any thread, no lock. */
static inline struct trp_actor *trp_registry_peek(struct trp_registry *r, uint64_t id) {
    uint32_t slot = (uint32_t)id;
    if (slot >= TRP_SLABS * TRP_SLAB)
        return NULL;
    /* Acquire pairs with the release in slab_add: the slab is initialised when it can be seen. */
    struct trp_slot *slab = atomic_load_explicit(&r->slabs[slot / TRP_SLAB], memory_order_acquire);
    struct trp_actor *a = slab ? &slab[slot % TRP_SLAB].actor : NULL;
    /* Acquire pairs with the release in publish: the mailbox is this one's, or a later one's. */
    return a && id && atomic_load_explicit(&a->id, memory_order_acquire) == id ? a : NULL;
}
/* A reference on whatever lives there now. False: nobody. */
TROUPE_NODISCARD bool trp_registry_ref(struct trp_actor *a);
/* Calls fn for each actor there is now, with a reference held; what is born meanwhile may be missed. */
void trp_registry_each(struct trp_registry *r, void (*fn)(struct trp_actor *a, void *ctx), void *ctx);

#endif
