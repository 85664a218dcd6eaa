/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The one subtle thing is trp_registry_get against the end of an actor and the new use of its slot:
 *
 *     get                                     last unref, then new
 *     refs 0? give up                         refs 1 -> 0
 *     refs n -> n + 1                         id = 0, slot free; later refs = 1, id = new
 *     id as wanted? else unref
 *
 * The count is raised only where it isn't 0, and the id is looked at after that: a new id in an old slot is told by
 * its generation. A look-up of an old number may for a moment hold a reference on the slot's new actor; whoever drops
 * the last one does the work, so this is harmless. */
#include "actors/registry.h"

#include <assert.h>
#include <stddef.h>

#include "actors/system.h"
#include "actors/worker.h"
#include "transports/alloc.h"
#include "transports/assert.h"

enum { NEAR_BATCH = 32, NEAR_MOST = 64 };

/* Where addresses have 64 bits, that is. */
static_assert(sizeof(void *) != 8 || (offsetof(struct trp_actor, sys) == TRP_LINE &&
                                      offsetof(struct trp_actor, mailbox.max) == (size_t)2 * TRP_LINE),
              "what a message looks at is in the first two lines");

static uint64_t id_of(const struct trp_actor *a) {
    return (uint64_t)a->generation << 32 | a->slot;
}

troupe_status trp_registry_init(struct trp_registry *r) {
    *r = (struct trp_registry){.slabs = trp_calloc(TRP_SLABS, sizeof *r->slabs)};
    if (!r->slabs)
        return TROUPE_NO_MEMORY;
    pthread_mutex_init(&r->lock, NULL);
    return TROUPE_OK;
}

static struct trp_slot *slab_at(struct trp_registry *r, uint32_t slab) {
    /* Acquire pairs with the release in slab_add: the slab is initialised when it can be seen. */
    return atomic_load_explicit(&r->slabs[slab], memory_order_acquire);
}

/* NULL: it has never been an actor's. */
static struct trp_actor *slot_memory(struct trp_registry *r, uint32_t slot) {
    struct trp_slot *slab = slot / TRP_SLAB < TRP_SLABS ? slab_at(r, slot / TRP_SLAB) : NULL;
    return slab ? &slab[slot % TRP_SLAB].actor : NULL;
}

void trp_registry_fini(struct trp_registry *r) {
    if (!r->slabs)
        return;
    for (uint32_t slot = 0; slot < r->used; slot++) {
        struct trp_actor *a = slot_memory(r, slot);
        trp_assert(atomic_load(&a->refs) == 0);
        trp_actor_fini(a);
    }
    for (uint32_t s = 0; s < TRP_SLABS_FEW; s++)
        trp_free(r->few[s]);
    trp_expanse_free(&r->crowd);
    pthread_mutex_destroy(&r->lock);
    trp_free((void *)(uintptr_t)r->slabs);
    *r = (struct trp_registry){0};
}

static void *slab_of_few(struct trp_registry *r, uint32_t slab, size_t size) {
    const size_t align = alignof(struct trp_slot);
    char *p = r->few[slab] = trp_calloc(1, size + align);
    return p ? p + (align - (uintptr_t)p % align) : NULL;
}

/* Zeroed; a slot is made an actor's when it is first used, while its memory is warm. */
static bool slab_add(struct trp_registry *r, uint32_t slab) {
    size_t size = TRP_SLAB * sizeof(struct trp_slot);
    struct trp_slot *slots = NULL;
    if (slab < TRP_SLABS)
        slots = slab < TRP_SLABS_FEW ? slab_of_few(r, slab, size) : trp_expanse_get(&r->crowd, size);
    if (!slots)
        return false;
    atomic_store_explicit(&r->slabs[slab], slots, memory_order_release);
    return true;
}

/* Under the lock. */
static struct trp_actor *slot_take(struct trp_registry *r) {
    struct trp_actor *a = r->free;
    if (a) {
        r->free = a->next;
        return a;
    }
    if (r->used % TRP_SLAB == 0 && !slab_add(r, r->used / TRP_SLAB))
        return NULL;
    a = slot_memory(r, r->used);
    trp_actor_init(a);
    a->slot = r->used++;
    return a;
}

static struct trp_slots_near *near_here(void) {
    struct trp_runner *here = trp_runner_here();
    return here ? &here->slots : NULL;
}

static void near_add(struct trp_slots_near *near, struct trp_actor *a) {
    a->next = near->free;
    near->free = a;
    near->count++;
}

static struct trp_actor *near_take(struct trp_slots_near *near) {
    struct trp_actor *a = near->free;
    near->free = a->next;
    near->count--;
    return a;
}

/* From what the thread has at hand, which is filled when it is empty; a thread that keeps nothing takes one. */
static struct trp_actor *slot_get(struct trp_registry *r) {
    struct trp_slots_near *near = near_here();
    if (near && near->free)
        return near_take(near);
    pthread_mutex_lock(&r->lock);
    struct trp_actor *a = slot_take(r), *more = NULL;
    for (unsigned n = 1; a && near && n < NEAR_BATCH && (more = slot_take(r)); n++)
        near_add(near, more);
    pthread_mutex_unlock(&r->lock);
    return a;
}

troupe_status trp_registry_new(struct trp_registry *r, struct trp_actor **out, troupe_system *sys, struct trp_birth *birth) {
    struct trp_actor *a = slot_get(r);
    if (!a)
        return TROUPE_NO_MEMORY;
    a->generation++;
    trp_actor_begin(a, sys, birth);
    *out = a;
    return TROUPE_OK;
}

void trp_registry_publish(struct trp_actor *a) {
    /* Release pairs with the acquire of the id in trp_registry_get. The count comes last: until it is above 0, nobody touches
     * it. Sequentially consistent against the end of the system, see kill_if_closing. */
    atomic_store_explicit(&a->id, id_of(a), memory_order_release);
    trp_standing_set(&a->sys->standing, a);
    atomic_store(&a->refs, 1);
}

/* Under the lock. */
static void slot_give(struct trp_registry *r, struct trp_actor *a) {
    a->next = r->free;
    r->free = a;
}

void trp_registry_put(struct trp_registry *r, struct trp_actor *a) {
    atomic_store_explicit(&a->id, 0, memory_order_release);
    struct trp_slots_near *near = near_here();
    if (near && near->count < NEAR_MOST) {
        near_add(near, a);
        return;
    }
    pthread_mutex_lock(&r->lock);
    for (unsigned n = 0; near && n < NEAR_BATCH; n++)
        slot_give(r, near_take(near));
    slot_give(r, a);
    pthread_mutex_unlock(&r->lock);
}

bool trp_registry_ref(struct trp_actor *a) {
    unsigned refs = atomic_load(&a->refs); /* sequentially consistent: see trp_registry_publish */
    while (refs > 0) {
        /* Acquire pairs with the release in publish and in unref: what the actor is can be read. */
        if (atomic_compare_exchange_weak_explicit(&a->refs, &refs, refs + 1, memory_order_acquire, memory_order_relaxed))
            return true;
    }
    return false;
}

static struct trp_actor *slot_actor(struct trp_registry *r, uint32_t slot) {
    struct trp_actor *a = slot_memory(r, slot);
    return a && trp_registry_ref(a) ? a : NULL;
}

struct trp_actor *trp_registry_get(struct trp_registry *r, uint64_t id) {
    struct trp_actor *a = slot_actor(r, (uint32_t)id);
    if (a && atomic_load_explicit(&a->id, memory_order_acquire) != id) {
        trp_actor_unref(a);
        return NULL;
    }
    return a;
}

void trp_registry_each(struct trp_registry *r, void (*fn)(struct trp_actor *a, void *ctx), void *ctx) {
    pthread_mutex_lock(&r->lock);
    uint32_t used = r->used;
    pthread_mutex_unlock(&r->lock);
    for (uint32_t slot = 0; slot < used; slot++) {
        struct trp_actor *a = slot_actor(r, slot);
        if (a) {
            fn(a, ctx);
            trp_actor_unref(a);
        }
    }
}
